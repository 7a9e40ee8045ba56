//! A process that saves, killed at every one of its system calls: whatever instant it is, the newest checkpoint is whole.
//!
//! The test starts itself again as the process that saves, follows it with `ptrace`, and kills it before its first system call, in the
//! next round before its second, until one round ends. Between two calls nothing changes on disk, so these are all the instants there are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::ptr::null_mut;

use pleach_plan::{Dtype, Plan, Saving};
use pleach_storage::{checkpoint, init};
use tempfile::TempDir;

#[path = "../src/checkpoint/tests/sample.rs"]
mod sample;

use checkpoint::{Checkpoint, Kind, keep, list, newest};
use sample::{LAYERS, Placement, logical, plan, write};

/// The variable that tells the process which folder to save in.
const FOLDER: &str = "PLEACH_TEST_CRASH_IN";
/// The steps that are there already, and the one that is saved.
const OLDER: u64 = 10;
const OLD: u64 = 20;
const NEW: u64 = 30;

fn two_ranks() -> Plan {
    plan(Placement {
        dp: 1,
        shards: 1,
        pp: 1,
        tp: 2,
        zero: 0,
        compute: Dtype::F32,
        accumulate: Dtype::F32,
    })
}

/// What all ranks do at a step that is saved.
fn save(folder: &Path) {
    write(folder, &two_ranks(), NEW);
    keep(folder, &Saving::at_the_end(2)).unwrap();
}

/// A folder in memory where there is one: what is asked is the order of calls, and a disk takes its time to sync.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory)
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// Between two marks the parent counts.
fn mark() {
    // SAFETY: a signal to ourselves that whoever follows us takes away.
    unsafe { libc::raise(libc::SIGUSR1) };
}

#[test]
fn a_process_killed_at_any_system_call_of_saving_leaves_a_whole_checkpoint() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        mark();
        save(Path::new(&folder));
        return mark();
    }
    let (mut before, mut after) = (0, 0);
    for call in 0.. {
        let folder = folder();
        for step in [OLDER, OLD] {
            write(folder.path(), &two_ranks(), step);
        }
        let ended = match save_until(folder.path(), call) {
            Ok(ended) => ended,
            Err(error) if call == 0 && error.kind() == io::ErrorKind::PermissionDenied => {
                return eprintln!("skipped: this system lets no process follow another ({error})");
            }
            Err(error) => panic!("call {call}: {error}"),
        };
        let step = examine(folder.path(), call);
        assert!(
            step == NEW || after == 0,
            "call {call}: what was saved is gone"
        );
        *if step == NEW { &mut after } else { &mut before } += 1;
        if ended {
            break;
        }
        save(folder.path());
        assert_eq!(
            examine(folder.path(), call),
            NEW,
            "saving goes on after a kill"
        );
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            2,
            "call {call}: something is left"
        );
    }
    println!(
        "killed at {before} system calls before the checkpoint was complete, at {after} behind"
    );
    assert!(before > 30 && after > 5, "{before} {after}");
}

/// The newest checkpoint: nothing newer is damaged, and every value of it is right.
fn examine(folder: &Path, call: usize) -> u64 {
    let found = newest(folder).unwrap();
    assert!(
        found.rejected.is_empty(),
        "call {call}: {:?}",
        found.rejected
    );
    let good: Checkpoint = found.checkpoint.expect("there is always one");
    let step = good.manifest.step;
    assert!([OLD, NEW].contains(&step), "call {call}: step {step}");
    let parameters: Vec<_> = good.parameters().collect();
    assert_eq!(parameters.len(), 2 + 4 * LAYERS as usize);
    for (name, dims) in parameters {
        let wanted = logical(name, dims, None, Kind::Weight, step, Dtype::F32);
        assert_eq!(
            good.logical(name, Kind::Weight).unwrap(),
            wanted,
            "call {call}: {name}"
        );
    }
    assert!(list(folder).unwrap().len() <= 3);
    step
}

/// Lets the process save until just before its system call of that number; says whether it ended before.
fn save_until(folder: &Path, call: usize) -> io::Result<bool> {
    let mut command = Command::new(std::env::current_exe()?);
    let name = "a_process_killed_at_any_system_call_of_saving_leaves_a_whole_checkpoint";
    command
        .args([name, "--exact", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::null());
    // SAFETY: one call that is allowed between fork and exec.
    unsafe { command.pre_exec(|| request(libc::PTRACE_TRACEME, 0, 0)) };
    let child = command.spawn()?;
    let pid = libc::pid_t::try_from(child.id()).unwrap();
    assert!(libc::WIFSTOPPED(wait(pid)?.1), "it stops when it begins");
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_EXITKILL;
    request(libc::PTRACE_SETOPTIONS, pid, options)?;
    let ended = follow(pid, call);
    // SAFETY: our own child, which has not been collected.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    // The first thread's end comes after that of all others.
    while wait(-1).is_ok_and(|(thread, status)| thread != pid || libc::WIFSTOPPED(status)) {}
    ended
}

/// Follows the process and its threads from call to call.
fn follow(pid: libc::pid_t, call: usize) -> io::Result<bool> {
    request(libc::PTRACE_SYSCALL, pid, 0)?;
    let (mut saver, mut stops) = (None, 0);
    loop {
        let (thread, status) = wait(-1)?;
        if !libc::WIFSTOPPED(status) {
            assert_ne!(thread, pid, "it ended without its second mark: {status}");
            continue;
        }
        let signal = libc::WSTOPSIG(status);
        match (signal, saver) {
            (libc::SIGUSR1, None) => saver = Some(thread),
            (libc::SIGUSR1, Some(_)) => return Ok(true),
            // It stops before and behind each call.
            (signal, Some(known)) if known == thread && signal == libc::SIGTRAP | 0x80 => {
                if stops == 2 * call {
                    return Ok(false);
                }
                stops += 1;
            }
            _ => {}
        }
        request(libc::PTRACE_SYSCALL, thread, 0)?;
    }
}

fn request(what: libc::c_uint, pid: libc::pid_t, data: libc::c_int) -> io::Result<()> {
    let data = usize::try_from(data).unwrap();
    // SAFETY: requests that take numbers and write to no memory.
    match unsafe { libc::ptrace(what, pid, null_mut::<libc::c_void>(), data) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn wait(pid: libc::pid_t) -> io::Result<(libc::pid_t, libc::c_int)> {
    let mut status = 0;
    // SAFETY: it only writes to `status`.
    match unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) } {
        -1 => Err(io::Error::last_os_error()),
        found => Ok((found, status)),
    }
}
