//! Which ranks of this machine are gone: a broken connection does not say who broke it, the system's list of processes does.
//!
//! At the meeting every rank writes its machine and process down. When a group breaks, those whose process is no more are
//! named instead of all members, and those that are stopped (a signal, a debugger) where nobody is gone.

use std::sync::Arc;
use std::time::Duration;

use crate::error::ranks;
use crate::native::Store;

/// Between two looks: a process closes its connections a little before it counts as gone.
const PAUSE: Duration = Duration::from_millis(30);

/// Machine and process of every rank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processes(Arc<[(String, u32)]>);

impl Processes {
    /// Writes this rank down and reads all others.
    ///
    /// # Errors
    /// A rank did not write itself down before the deadline.
    pub fn meet(
        store: &Store,
        rank: u32,
        world: u32,
        deadline: Duration,
    ) -> crate::native::Result<Self> {
        let own = format!("{} {}", machine(), std::process::id());
        store.set(&format!("process/{rank}"), own.as_bytes())?;
        let read = |other| {
            Ok(parse(&String::from_utf8_lossy(
                &store.get(&format!("process/{other}"), deadline)?,
            )))
        };
        (0..world)
            .map(read)
            .collect::<crate::native::Result<_>>()
            .map(Self)
    }

    /// Those of `ranks` that are gone, or all of them where nobody is known to be.
    pub fn gone(&self, ranks: &[u32]) -> Vec<u32> {
        for pause in [Duration::ZERO, PAUSE] {
            std::thread::sleep(pause);
            let gone: Vec<u32> = ranks
                .iter()
                .copied()
                .filter(|&rank| self.is_gone(rank))
                .collect();
            if !gone.is_empty() {
                return gone;
            }
        }
        let stopped = ranks.iter().copied();
        let stopped: Vec<u32> = stopped
            .filter(|&rank| self.is(rank, stands_still))
            .collect();
        if stopped.is_empty() {
            ranks.to_vec()
        } else {
            stopped
        }
    }

    /// All ranks of the run that are gone or stopped, as a remark; empty where none is.
    pub fn remark(&self) -> String {
        let those = |state: fn(u32) -> bool| -> Vec<u32> {
            let all = 0..self.0.len() as u32;
            all.filter(|&rank| self.is(rank, state)).collect()
        };
        let said = |what: &str, found: Vec<u32>| match found.is_empty() {
            true => String::new(),
            false => format!(" ({what}: {})", ranks(&found)),
        };
        said("ended by now", those(ended)) + &said("stopped by a signal", those(stands_still))
    }

    fn is_gone(&self, rank: u32) -> bool {
        self.is(rank, ended)
    }

    fn is(&self, rank: u32, state: impl Fn(u32) -> bool) -> bool {
        let known = self.0.get(rank as usize);
        known.is_some_and(|(host, process)| *host == machine() && state(*process))
    }
}

fn parse(text: &str) -> (String, u32) {
    let (host, process) = text.split_once(' ').unwrap_or(("", ""));
    (host.to_owned(), process.parse().unwrap_or(0))
}

/// A process that is not there, or whose parent has not collected it yet.
fn ended(process: u32) -> bool {
    state(process).is_none_or(|state| ['Z', 'X'].contains(&state))
}

/// A process that a signal or a debugger has stopped.
fn stands_still(process: u32) -> bool {
    state(process).is_some_and(|state| ['T', 't'].contains(&state))
}

/// The state of a process; none where it is not there.
fn state(process: u32) -> Option<char> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // It follows the name, which stands in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    rest.trim_start().chars().next()
}

/// Differs between machines and between their containers, whose processes have other numbers.
fn machine() -> String {
    let read = |path| {
        std::fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let space = std::fs::read_link("/proc/self/ns/pid")
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    format!("{}/{space}", read("/proc/sys/kernel/random/boot_id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ended_processes_are_gone() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let all = Processes(
            [
                (machine(), std::process::id()),
                (machine(), child.id()),
                ("elsewhere".into(), 1 << 30),
            ]
            .into(),
        );
        assert_eq!(
            all.gone(&[0, 1, 2]),
            [0, 1, 2],
            "nobody is known to be gone"
        );
        // SAFETY: a signal to our own child, which has not been collected.
        unsafe { libc::kill(child.id() as i32, libc::SIGSTOP) };
        while all.gone(&[0, 1, 2]) != [1] {}
        assert_eq!(all.remark(), " (stopped by a signal: rank 1)");
        child.kill().unwrap();
        // Not collected yet: a process without life.
        assert_eq!(all.gone(&[0, 1, 2]), [1]);
        child.wait().unwrap();
        assert_eq!(all.gone(&[1, 2]), [1]);
        assert_eq!(all.remark(), " (ended by now: rank 1)");
    }
}
