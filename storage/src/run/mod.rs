//! A run's folder: what a run was asked, what it did, and what it left, in files that people and programs read.
//!
//! In come a spec's text and a plan; out comes `runs/NAME-HASH/`, complete from its first instant. The launcher
//! makes it and holds its lock, workers write metrics, checkpoints and failures into it.
//!
//! ```text
//! spec.pleach      what was asked
//! plan.json        what was planned and is run
//! plans/           1a2b3c4d5e6f.json, .pleach: plans that earlier attempts ran, by the hash of their placement, and their specs
//! metrics.jsonl    one line for each step
//! tensorboard/     the same as events, where that is asked
//! record.json      identities, attempts and how they ended
//! checkpoints/     step-000040/ …
//! failures/        rank-3.json: where and why a rank stopped; rank-3.flight.json: what it did last
//! log/             rank-3.txt: what a rank wrote to stderr
//! trace/           what ran when
//! run.lock         held while somebody runs it
//! ```

mod failure;
mod lock;
mod metrics;
mod number;
mod placing;
mod record;
mod tensorboard;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use failure::RankFailure;
pub use lock::RunLock;
pub use metrics::{Cut, MetricsWriter, StepMetrics};
pub use record::{Attempt, Consumed, RunRecord, Straggler, WorkerExit};

use crate::files::{At, FileError, remove_folder, replace, sync_parent};

/// Why a run's folder could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// A folder of that name is there already.
    #[error(
        "{} exists already; continue it with `--resume`, or move it away to start from the beginning",
        path.display()
    )]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// Not the folder of a run.
    #[error("{} is not the folder of a run: it has no plan.json", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// Somebody else is running it.
    #[error(
        "{} is being run by process {holder}; two runs would overwrite each other's checkpoints: wait for that one, or stop it",
        path.display()
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The process that holds the lock, as far as it is known.
        holder: String,
    },
    /// A file of the folder that cannot be read as what it should be.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line of it, from 1, where it is one of many.
        line: Option<usize>,
        /// What is wrong, and where.
        problem: String,
    },
}

impl RunError {
    fn damaged(path: &Path, problem: impl std::fmt::Display) -> RunError {
        RunError::Damaged {
            path: path.to_path_buf(),
            line: None,
            problem: problem.to_string(),
        }
    }
}

/// The folder of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The name of a run: the experiment's name, made safe for a path, and the first eight digits of a hash.
    pub fn name(experiment: &str, hash: &str) -> String {
        let safe = |letter: char| {
            if letter.is_ascii_alphanumeric() || "_-".contains(letter) {
                letter
            } else {
                '_'
            }
        };
        let name: String = experiment.chars().map(safe).collect();
        let digits: String = hash
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(8)
            .collect();
        format!("{name}-{digits}")
    }

    /// Makes the folder `name` in `runs`, with the spec's text and the plan's canonical JSON. It appears complete or not at all.
    ///
    /// # Errors
    /// It exists already, or the system's.
    pub fn create(runs: &Path, name: &str, spec: &str, plan: &str) -> Result<RunFolder, RunError> {
        let path = runs.join(name);
        if path.exists() {
            return Err(RunError::Exists { path });
        }
        let partial = runs.join(format!("{name}.{}.partial", std::process::id()));
        remove_folder(&partial)?;
        let folder = RunFolder { path: partial };
        folder
            .fill(spec, plan)
            .inspect_err(|_| drop(remove_folder(&folder.path)))?;
        if let Err(error) = fs::rename(&folder.path, &path) {
            remove_folder(&folder.path)?;
            // Somebody else was quicker.
            let taken = matches!(
                error.kind(),
                io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
            );
            return if taken {
                Err(RunError::Exists { path })
            } else {
                Err(error).at("create", &path)?
            };
        }
        sync_parent(&path)?;
        Ok(RunFolder { path })
    }

    /// Makes what a run begins with.
    fn fill(&self, spec: &str, plan: &str) -> Result<(), FileError> {
        for made in [
            self.checkpoints(),
            self.failures(),
            self.logs(),
            self.traces(),
        ] {
            fs::create_dir_all(&made).at("create", &made)?;
        }
        replace(&self.spec(), spec.as_bytes())?;
        replace(&self.plan(), plan.as_bytes())
    }

    /// The folder of a run that was made before.
    ///
    /// # Errors
    /// It is no such folder.
    pub fn open(path: &Path) -> Result<RunFolder, RunError> {
        let folder = RunFolder {
            path: path.to_path_buf(),
        };
        if folder.plan().is_file() {
            Ok(folder)
        } else {
            Err(RunError::NotARun {
                path: path.to_path_buf(),
            })
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The spec's text.
    pub fn spec(&self) -> PathBuf {
        self.path.join("spec.pleach")
    }

    /// The plan that is run.
    pub fn plan(&self) -> PathBuf {
        self.path.join("plan.json")
    }

    /// The plans that earlier attempts ran.
    pub fn plans(&self) -> PathBuf {
        self.path.join("plans")
    }

    /// The folder of events for TensorBoard.
    pub fn events(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// One line for each step.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// Identities, attempts and how they ended.
    pub fn record(&self) -> PathBuf {
        self.path.join("record.json")
    }

    /// Checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Failure records of ranks.
    pub fn failures(&self) -> PathBuf {
        self.path.join("failures")
    }

    /// Logs of ranks.
    pub fn logs(&self) -> PathBuf {
        self.path.join("log")
    }

    /// A rank's log.
    pub fn log(&self, rank: u32) -> PathBuf {
        self.logs().join(format!("rank-{rank}.txt"))
    }

    /// Traces.
    pub fn traces(&self) -> PathBuf {
        self.path.join("trace")
    }

    /// Takes the run's lock, for as long as the returned value lives.
    ///
    /// # Errors
    /// Somebody else holds it, or the system's.
    pub fn lock(&self) -> Result<RunLock, RunError> {
        RunLock::take(&self.path)
    }
}

#[cfg(test)]
mod tests;
