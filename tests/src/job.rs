//! Jobs: the real `pleach` in a folder of its own, alone on the machine, and what it left behind.
//!
//! In come a spec of the checkout and settings; out come exit code, both streams and the run's folder. Runs take turns: two of
//! them on one machine would measure each other.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pleach_data::prepare;
use serde_json::Value;
use tempfile::TempDir;
use xtask::places;

use crate::have;

/// The spec that the end-to-end suites train.
pub const QUICKSTART: &str = "examples/quickstart.pleach";

/// Settings that make the quickstart short without leaving out any of its machinery.
pub const SHORT: [&str; 4] = [
    "model.layers=4",
    "model.context=64 tokens",
    "train.global_batch=8 sequences",
    "train.steps=20 steps",
];

static TURN: Mutex<()> = Mutex::new(());

/// A folder of its own, and the machine for as long as it (and the workspace it lies beside) lives.
pub struct Workspace {
    folder: TempDir,
    _turn: Option<MutexGuard<'static, ()>>,
}

/// Below the checkout, so that its lock file is found from there.
fn folder() -> TempDir {
    let parent = places::binaries("tmp");
    std::fs::create_dir_all(&parent).expect("the build's folder can be written to");
    TempDir::new_in(parent).expect("a temporary folder can be made")
}

/// How a command ended and what it said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Workspace {
    /// Waits for its turn.
    pub fn new() -> Workspace {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Workspace {
            folder: folder(),
            _turn: Some(turn),
        }
    }

    /// Another folder in the same turn.
    pub fn beside(&self) -> Workspace {
        Workspace {
            folder: folder(),
            _turn: None,
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `pleach` with its working folder here; ends when `answer` is called, or runs on beside the test after `spawn`.
    pub fn pleach<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.here(have::pleach());
        command.args(arguments);
        command
    }

    /// A line for the shell, with its working folder here.
    pub fn shell(&self, line: &str) -> Command {
        let mut command = self.here("sh");
        command.args(["-c", line]);
        command
    }

    /// A program with its working folder here and a cache for tests only: what somebody measured of this machine, which is another from day
    /// to day, does not choose what is tested.
    fn here(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path())
            .env("NO_COLOR", "1")
            .env("XDG_CACHE_HOME", places::binaries("tmp").join("cache"))
            .stdin(Stdio::null());
        command
    }

    /// `pleach run SPEC --yes` with settings.
    pub fn run(&self, spec: &str, settings: &[&str]) -> Command {
        let mut command = self.pleach(["run", "--yes", "--no-progress"]);
        command
            .arg(places::root().join(spec))
            .args(settings.iter().flat_map(|setting| ["--set", setting]));
        command
    }

    /// The folder of the only run that was made here.
    pub fn only_run(&self) -> PathBuf {
        let runs = self.path().join("runs");
        let entries =
            std::fs::read_dir(&runs).unwrap_or_else(|error| panic!("{}: {error}", runs.display()));
        let folders: Vec<PathBuf> = entries
            .map(|entry| entry.expect("a folder can be listed").path())
            .collect();
        assert_eq!(folders.len(), 1, "there is one run: {folders:?}");
        folders[0].clone()
    }
}

impl Default for Workspace {
    fn default() -> Workspace {
        Workspace::new()
    }
}

/// Runs a command to its end.
pub fn answer(command: &mut Command) -> Answer {
    let output = command.output().expect("the command starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Answer {
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// Runs a command that must succeed.
///
/// # Panics
/// It does not; the message holds all that it said.
pub fn succeed(command: &mut Command) -> Answer {
    let answer = answer(command);
    assert_eq!(
        answer.code,
        Some(0),
        "{command:?}\n{}\n{}",
        answer.stdout,
        answer.stderr
    );
    answer
}

/// Starts a command in a process group of its own, its streams kept for [`Child::wait_with_output`].
pub fn spawn(command: &mut Command) -> Child {
    command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().expect("the command starts")
}

/// Runs every rank of a plan as a worker of its own, as any launcher would start it.
///
/// # Panics
/// A worker does not end with 0; the message holds what it said.
pub fn run_workers(worker: &Path, plan: &Path, run: &Path, arguments: &[&str]) {
    let text_of_plan = std::fs::read_to_string(plan).expect("the plan is there");
    let parsed = pleach_plan::json::read(&text_of_plan).expect("the plan can be read");
    let ranks = parsed.mesh.ranks();
    let data: Vec<PathBuf> = parsed.phases().map(data).collect();
    let port = free_port().to_string();
    let start = |rank: u32| {
        let mut command = Command::new(worker);
        command
            .arg("--plan")
            .arg(plan)
            .arg("--run")
            .arg(run)
            .args(
                data.iter()
                    .flat_map(|folder| [OsStr::new("--data"), folder.as_os_str()]),
            )
            .args(arguments);
        command.envs([("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", &port)]);
        command.envs(
            [
                ("WORLD_SIZE", ranks),
                ("LOCAL_WORLD_SIZE", ranks),
                ("RANK", rank),
                ("LOCAL_RANK", rank),
            ]
            .map(text),
        );
        spawn(&mut command)
    };
    let children: Vec<Child> = (0..ranks).map(start).collect();
    for (rank, child) in children.into_iter().enumerate() {
        let output = child
            .wait_with_output()
            .expect("a worker can be waited for");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success(),
            "rank {rank} ended with {}: {said}",
            output.status
        );
    }
}

fn text((name, value): (&'static str, u32)) -> (&'static str, String) {
    (name, value.to_string())
}

/// The prepared data of a plan that was run before.
pub fn data(plan: &pleach_plan::Plan) -> PathBuf {
    data_from(plan, places::root())
}

/// The same of a plan whose spec lies in a folder.
pub fn data_from(plan: &pleach_plan::Plan, folder: &Path) -> PathBuf {
    let cache = prepare::default_cache().expect("there is a cache folder");
    let prepared = prepare::build(&plan.data, folder, &cache);
    prepared.unwrap_or_else(|error| panic!("{error}")).folder
}

/// A port of the loopback interface that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback interface is there");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

/// The lines of a run's `metrics.jsonl`; a line that is just being written does not count.
pub fn metrics(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// The losses of a run, step by step.
///
/// # Panics
/// A step is missing or stands twice.
pub fn losses(run: &Path) -> Vec<f64> {
    let lines = metrics(run);
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(
            line["step"].as_u64(),
            Some(index as u64 + 1),
            "steps stand in order, each once: {line}"
        );
    }
    lines
        .iter()
        .map(|line| line["loss"].as_f64().expect("a step has a loss"))
        .collect()
}

/// The plan that a run executes.
pub fn plan(run: &Path) -> pleach_plan::Plan {
    let text = std::fs::read_to_string(run.join("plan.json")).expect("a run has a plan");
    pleach_plan::json::read(&text).expect("the plan of a run can be read")
}
