//! One worker process: started so that it cannot outlive us, and stopped with everything that it started itself.
//!
//! Each worker leads a process group of its own (Ctrl-C reaches us alone, we pass it on; a kill reaches its children too) and
//! asks the kernel for SIGKILL when the thread that started it ends, which holds even if we are killed without warning.
//! Therefore workers are started from the main thread only.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use super::{Job, Rendezvous};
use crate::failure::{Failure, Outcome};

/// A worker process that has been started.
#[derive(Debug)]
pub struct Worker {
    /// Its rank.
    pub rank: u32,
    /// Where its stderr goes.
    pub log: PathBuf,
    child: Child,
    status: Option<ExitStatus>,
}

impl Worker {
    /// Starts one rank.
    pub fn start(job: &Job, shared: &Rendezvous, rank: u32) -> Outcome<Self> {
        let log = job.logs.join(format!("rank-{rank}.txt"));
        let stderr = File::create(&log).map_err(|error| Failure::writing(&log, &error))?;
        let child = command(job, shared, rank, stderr)
            .spawn()
            .map_err(|error| {
                Failure::machine(
                    "pleach::launch::start",
                    format!("`{}` could not be started: {error}", job.worker.display()),
                )
                .help("`pleach doctor` says whether the worker is built and runs here")
            })?;
        Ok(Self {
            rank,
            log,
            child,
            status: None,
        })
    }

    /// The pipe that its events come through; there once.
    pub fn take_output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Collects it if it has ended. Once collected, its process id is never used again.
    pub fn collect(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// How it ended, where it has been collected.
    pub fn status(&self) -> Option<ExitStatus> {
        self.status
    }

    /// Whether a signal or a debugger has stopped it.
    pub fn is_stopped(&self) -> bool {
        let stat = format!("/proc/{}/stat", self.child.id());
        let text = std::fs::read_to_string(stat).unwrap_or_default();
        // The state follows the name, which stands in parentheses and may hold anything.
        let state = text
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        self.status.is_none() && matches!(state, Some('T' | 't'))
    }

    /// Sends a signal to it and all it started, unless it has ended.
    pub fn signal(&mut self, signal: libc::c_int) {
        if self.collect().is_none() {
            let group = libc::pid_t::try_from(self.child.id())
                .expect("a process id fits the system's own type");
            // SAFETY: kill takes plain numbers; the child is not collected yet, so the id is still its own.
            unsafe { libc::kill(-group, signal) };
        }
    }
}

impl Drop for Worker {
    /// Whatever path leads out of here, nothing stays behind.
    fn drop(&mut self) {
        if self.collect().is_none() {
            self.signal(libc::SIGKILL);
            self.status = self.child.wait().ok();
        }
    }
}

/// Blocks until the process has ended, leaving it to be collected by its owner.
pub fn wait_uncollected(id: u32) {
    loop {
        // SAFETY: an all-zero siginfo_t is valid, and waitid only writes to it.
        let done = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(
                libc::P_PID,
                id,
                &raw mut info,
                libc::WEXITED | libc::WNOWAIT,
            )
        };
        if done == 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}

fn command(job: &Job, shared: &Rendezvous, rank: u32, stderr: File) -> Command {
    let mut command = Command::new(&job.worker);
    command
        .args(&job.arguments)
        .env("RANK", rank.to_string())
        .env("LOCAL_RANK", rank.to_string())
        .env("WORLD_SIZE", job.ranks.to_string())
        .env("LOCAL_WORLD_SIZE", job.ranks.to_string())
        .env("MASTER_ADDR", "127.0.0.1")
        .env("MASTER_PORT", shared.port.to_string())
        .env("PLEACH_SECRET", &shared.secret)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .process_group(0);
    if std::env::var_os("OMP_NUM_THREADS").is_none() {
        command.env("OMP_NUM_THREADS", shared.threads.to_string());
    }
    let parent = std::process::id();
    // SAFETY: the closure runs in the child between fork and exec and makes only async-signal-safe calls.
    unsafe { command.pre_exec(move || die_with(parent)) };
    if rank == 0 {
        let file = shared.listener.as_raw_fd();
        command.env("PLEACH_LISTENER", file.to_string());
        // SAFETY: as above.
        unsafe { command.pre_exec(move || keep_open(file)) };
    }
    command
}

/// Lets a file stay open in the program that is started.
fn keep_open(file: RawFd) -> io::Result<()> {
    // SAFETY: changes a flag of a number.
    match unsafe { libc::fcntl(file, libc::F_SETFD, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Asks for SIGKILL when the parent ends; gives up if it has ended already.
fn die_with(parent: u32) -> io::Result<()> {
    // SAFETY: prctl with these arguments and getppid touch no memory of ours.
    let (asked, now) = unsafe {
        (
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL),
            libc::getppid(),
        )
    };
    if asked != 0 {
        return Err(io::Error::last_os_error());
    }
    if u32::try_from(now) == Ok(parent) {
        Ok(())
    } else {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}
