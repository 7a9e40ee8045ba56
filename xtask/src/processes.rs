//! Processes as Linux shows them: the workers of a job, which rank each is, and whether any is left.
//!
//! In comes the process of `pleach`, out come its workers by rank. Only those are ever signalled.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Doing, Failure};

/// A worker of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Worker {
    /// Its rank.
    pub rank: u32,
    /// Its process.
    pub pid: i32,
}

/// The running workers that descend from a process, by rank.
pub fn workers(ancestor: u32) -> Vec<Worker> {
    let mut found: Vec<Worker> = processes()
        .filter(|&pid| descends(pid, ancestor))
        .filter_map(worker)
        .collect();
    found.sort_unstable();
    found
}

/// Waits until so many workers run.
///
/// # Panics
/// They do not within two minutes.
pub fn wait_for_workers(ancestor: u32, count: usize) -> Vec<Worker> {
    wait_until("all workers run", || {
        let found = workers(ancestor);
        (found.len() == count).then_some(found)
    })
}

/// Asks again and again until there is an answer.
///
/// # Panics
/// There is none within two minutes.
pub fn wait_until<T>(what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(120) {
        if let Some(answer) = question() {
            return answer;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("waited two minutes in vain: {what}");
}

/// Whether a process still runs; one that has ended and waits to be collected does not.
pub fn is_running(pid: i32) -> bool {
    status(pid).is_some_and(|(state, _)| state != 'Z')
}

/// Ends a process that descends from this one, at once.
pub fn kill(pid: i32) {
    signal(pid, libc::SIGKILL);
}

/// Sends a signal to a process that descends from this one.
pub fn signal(pid: i32, number: i32) {
    // SAFETY: a signal to a process that was found among our own descendants; no memory is involved.
    unsafe { libc::kill(pid, number) };
}

/// Asks a child to save and stop.
pub fn ask_to_stop(pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        // SAFETY: a signal to a process that the caller started and has not collected; no memory is involved.
        unsafe { libc::kill(pid, libc::SIGTERM) };
    }
}

/// Runs a command to its end and gives the most memory that it held, in KiB.
///
/// # Errors
/// It could not be started or did not end with 0.
pub fn waited(command: &mut Command) -> Result<u64, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let child = command
        .spawn()
        .doing(|| format!("could not start {program}"))?;
    let pid = i32::try_from(child.id()).map_err(|error| Failure::new(error.to_string()))?;
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: a child that nobody else waits for; both places live as long as the call, and zeroes are a valid rusage.
    let (ended, usage) = unsafe {
        let ended = libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr());
        (ended, usage.assume_init())
    };
    match ended == pid && status == 0 {
        true => Ok(u64::try_from(usage.ru_maxrss).unwrap_or(0)),
        false => Err(Failure::new(format!("{program} ended with {status}"))),
    }
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// State and parent of a process. The name before them may hold anything, so it is skipped from its last bracket on.
fn status(pid: i32) -> Option<(char, i32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

fn descends(pid: i32, ancestor: u32) -> bool {
    let mut current = pid;
    while let Some((_, parent)) = status(current) {
        if u32::try_from(parent) == Ok(ancestor) {
            return true;
        }
        current = parent;
    }
    false
}

/// The process as a worker, if it runs that program.
fn worker(pid: i32) -> Option<Worker> {
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let variables = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let rank = variables
        .split(|&byte| byte == 0)
        .find_map(|entry| entry.strip_prefix(b"RANK="))?;
    let rank = std::str::from_utf8(rank).ok()?.parse().ok()?;
    program
        .ends_with("pleach-worker")
        .then_some(Worker { rank, pid })
}
