//! Why a worker cannot go on: what happened, at which instruction, with whom, and what to do.
//!
//! Kernels and collectives give a [`Cause`]; the interpreter adds the place and makes a [`Failure`], which becomes the failure
//! record that the launcher reads, a line on stderr, and an exit code.

use std::fmt;
use std::path::Path;

use tch::TchError;

use crate::native::essence;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The plan or the command is at fault.
    Wish = 1,
    /// The program or the machine is at fault.
    Machine = 2,
    /// The run ended on a fault and can be resumed.
    Fault = 10,
    /// Stopped after saving: put it back in the queue.
    Preempted = 75,
}

/// What went wrong inside an instruction.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// A kernel refused its operands or found no memory.
    #[error("libtorch refused it: {0}")]
    Kernel(String),
    /// The operation does not take so many operands.
    #[error("`{op}` does not take {ins} inputs and {updates} updates")]
    Operands {
        /// The operation.
        op: &'static str,
        /// Inputs given.
        ins: usize,
        /// Updates given.
        updates: usize,
    },
    /// A tensor that the plan names is not there, or not as the plan says.
    #[error("{0}")]
    State(String),
    /// A collective broke.
    #[error("lost contact in group `{group}` with {}: {text}", ranks(peers))]
    Group {
        /// The group's name.
        group: String,
        /// Its other members.
        peers: Vec<u32>,
        /// What the transport says.
        text: String,
    },
    /// A transfer between two ranks broke.
    #[error("lost contact with rank {peer}: {text}")]
    Peer {
        /// The other side.
        peer: u32,
        /// What the transport says.
        text: String,
    },
    /// The data could not be read.
    #[error("the data cannot be read: {0}")]
    Data(String),
}

impl From<TchError> for Cause {
    fn from(error: TchError) -> Self {
        Cause::Kernel(match error {
            TchError::Torch(text) => essence(&text),
            other => other.to_string(),
        })
    }
}

impl Cause {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Cause::Kernel(_) => "pleach::worker::kernel",
            Cause::Operands { .. } => "pleach::worker::operands",
            Cause::State(_) => "pleach::worker::state",
            Cause::Group { .. } | Cause::Peer { .. } => "pleach::worker::peer_lost",
            Cause::Data(_) => "pleach::worker::data",
        }
    }

    /// The rank on the other side, where there is exactly one.
    pub fn peer(&self) -> Option<u32> {
        match self {
            Cause::Peer { peer, .. } => Some(*peer),
            Cause::Group { peers, .. } if peers.len() == 1 => Some(peers[0]),
            _ => None,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Cause::Group { .. } | Cause::Peer { .. } | Cause::Data(_) => Exit::Fault,
            Cause::Kernel(_) | Cause::Operands { .. } | Cause::State(_) => Exit::Machine,
        }
    }

    fn help(&self) -> &'static str {
        match self {
            Cause::Group { .. } | Cause::Peer { .. } => {
                "look at the log of the rank that ended first, then `pleach run … --resume` goes on from the last checkpoint"
            }
            Cause::Data(_) => {
                "delete the folder of prepared data, then `pleach resume` prepares it again and goes on"
            }
            _ => "this is a fault of the plan or of pleach: report it with the plan file",
        }
    }
}

/// A failure with its place, as launchers read it and as it is printed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Stable code: `pleach::worker::peer_lost`.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
    /// The step in which it happened: steps done, counting this one.
    pub step: Option<u64>,
    /// The instruction: `layer.forward[12] all_reduce, slot 5, layer 3, micro-batch 1`.
    pub instruction: Option<String>,
    /// The rank on the other side.
    pub peer: Option<u32>,
    /// What to do about it.
    pub help: Option<Box<str>>,
    /// The process's exit code.
    pub exit: Exit,
}

impl Failure {
    /// A failure outside any instruction; `code` is the whole code.
    pub fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            step: None,
            instruction: None,
            peer: None,
            help: None,
            exit,
        }
    }

    /// The same with advice.
    #[must_use]
    pub fn help(self, help: impl Into<Box<str>>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    /// A cause with its place; `step` counts from 0.
    pub fn at(cause: &Cause, step: u64, instruction: String) -> Self {
        Self {
            code: cause.code(),
            message: cause.to_string(),
            step: Some(step + 1),
            instruction: Some(instruction),
            peer: cause.peer(),
            help: Some(cause.help().into()),
            exit: cause.exit(),
        }
    }

    /// A cause outside any instruction; `doing` stands in the instruction's place.
    pub fn outside(cause: &Cause, doing: &str) -> Self {
        Self {
            peer: cause.peer(),
            instruction: Some(doing.to_owned()),
            ..Self::new(cause.exit(), cause.code(), cause.to_string()).help(cause.help())
        }
    }

    /// A file that cannot be read or written.
    pub fn file(path: &Path, error: &impl fmt::Display) -> Self {
        Self::new(
            Exit::Machine,
            "pleach::worker::file",
            format!("{}: {error}", path.display()),
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "error [{}]: {}", self.code, self.message)?;
        if let Some(instruction) = &self.instruction {
            write!(out, "\n  at: {instruction}")?;
        }
        if let Some(step) = self.step {
            write!(out, " (step {step})")?;
        }
        self.help
            .as_ref()
            .map_or(Ok(()), |help| write!(out, "\n  help: {help}"))
    }
}

/// `rank 3`, or `ranks 1, 2 and 3`.
pub fn ranks(all: &[u32]) -> String {
    let names: Vec<String> = all.iter().map(u32::to_string).collect();
    match names.split_last() {
        None => "nobody".to_owned(),
        Some((only, [])) => format!("rank {only}"),
        Some((last, rest)) => format!("ranks {} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_place_and_peer() {
        let cause = Cause::Group {
            group: "tp".into(),
            peers: vec![3],
            text: "Connection closed by peer".into(),
        };
        let failure = Failure::at(
            &cause,
            7,
            "layer.forward[2] all_reduce, slot 4, layer 1, micro-batch 0".into(),
        );
        assert_eq!((failure.peer, failure.exit), (Some(3), Exit::Fault));
        let text = failure.to_string();
        for part in [
            "peer_lost",
            "`tp`",
            "rank 3",
            "layer.forward[2]",
            "(step 8)",
            "--resume",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert_eq!(ranks(&[0, 2, 5]), "ranks 0, 2 and 5");
    }
}
