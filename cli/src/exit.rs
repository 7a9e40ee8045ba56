//! Exit codes: the part of the answer that scripts read first.

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Fine.
    Fine = 0,
    /// The spec or the wish is at fault, or fits nowhere.
    Wish = 1,
    /// The program or the machine is at fault.
    Machine = 2,
    /// Something changed; only where the command line asks for this code.
    Changed = 3,
    /// The run ended on a fault and can be resumed.
    Fault = 10,
    /// Stopped after saving: put it back in the queue.
    Preempted = 75,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
