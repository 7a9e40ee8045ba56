//! What this process is like for the machine: its resident size, and how it ends.

use crate::error::Exit;

/// Resident size now and at its largest, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// Now.
    pub now: u64,
    /// The most so far.
    pub peak: u64,
}

/// Asks the system; zero where it does not say.
pub fn resident() -> Resident {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace()
            .next()?
            .parse::<u64>()
            .ok()
            .map(|kibibytes| kibibytes << 10)
    };
    Resident {
        now: field("VmRSS:").unwrap_or(0),
        peak: field("VmHWM:").unwrap_or(0),
    }
}

/// Gives freed memory of the general allocator back to the system: after a start, which needs much that a step does not.
pub fn trim() {
    // SAFETY: the allocator may be called at any time.
    unsafe { libc::malloc_trim(0) };
}

/// Ends the process at once, whatever its threads are doing. Libraries' destructors would wait for threads that may be
/// stuck in a broken connection; everything that matters is on disk or said by now.
pub fn end(exit: Option<Exit>) -> ! {
    let code = exit.map_or(0, |exit| exit as i32);
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resident_size_is_that_of_a_process() {
        let Resident { now, peak } = resident();
        assert!(now > 1 << 20 && peak >= now, "{now} {peak}");
    }
}
