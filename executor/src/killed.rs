//! A death on request: `--kill-at RANK:STEP:NUMBER` ends that rank with SIGKILL, to try what happens then.
//!
//! In comes which rank, in which step (from 1), before which of that step's instructions and transfers (from 0); out comes nothing, because
//! the process is gone as if somebody, or the kernel for memory, had killed it there. Through `pleach run` it goes as `PLEACH_KILL_AT`.

use std::str::FromStr;

use crate::interpreter::{Memory, Observer};
use crate::place::Place;

/// Where a rank is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KillAt {
    /// The rank.
    pub rank: u32,
    /// The step, from 1.
    pub step: u64,
    /// Its instruction or transfer, from 0.
    pub number: u64,
}

impl FromStr for KillAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not RANK:STEP:NUMBER");
        let parts: Option<Vec<u64>> = text.split(':').map(|part| part.parse().ok()).collect();
        match parts.as_deref() {
            Some(&[rank, step, number]) => Ok(KillAt {
                rank: u32::try_from(rank).map_err(|_| wrong())?,
                step,
                number,
            }),
            _ => Err(wrong()),
        }
    }
}

/// Counts a step's instructions until the one to die at.
#[derive(Debug)]
pub struct Killer {
    number: u64,
    passed: u64,
}

impl Killer {
    /// One that waits for the number.
    pub fn new(number: u64) -> Self {
        Killer { number, passed: 0 }
    }
}

impl Observer for Killer {
    fn begin(&mut self, _place: &Place<'_>, _memory: &dyn Memory) {
        if self.passed == self.number {
            // SAFETY: a signal to ourselves, which does not come back.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
        self.passed += 1;
    }

    fn end(&mut self, _place: &Place<'_>, _memory: &dyn Memory) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_numbers_say_where() {
        let [rank, step, number] = [2, 7, 130];
        let wanted = KillAt {
            rank: 2,
            step,
            number,
        };
        assert_eq!(format!("{rank}:{step}:{number}").parse(), Ok(wanted));
        for wrong in ["", "1:2", "1:2:3:4", "1:-2:3", "4294967296:1:1"] {
            assert!(wrong.parse::<KillAt>().is_err(), "{wrong}");
        }
    }
}
