//! Starts a calibration's ranks, where no launcher has done so.

use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use crate::environment::{LISTENER, SECRET};
use crate::error::{Exit, Failure};

/// Runs `calibrate --out OUT` as so many processes of this program.
///
/// # Errors
/// One cannot be started, or one ends badly.
pub fn spawn(ranks: u32, out: &Path) -> Result<(), Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::file(Path::new("/proc/self/exe"), &error))?;
    let socket = |error: std::io::Error| Failure::file(Path::new("127.0.0.1"), &error);
    let listener = TcpListener::bind("127.0.0.1:0").map_err(socket)?;
    let port = listener.local_addr().map_err(socket)?.port();
    let secret = blake3::hash(
        format!("{:?} {}", std::time::SystemTime::now(), std::process::id()).as_bytes(),
    );
    let start = |rank: u32| {
        let mut command = Command::new(&program);
        if rank == 0 {
            let file = listener.as_raw_fd();
            command.env(LISTENER, file.to_string());
            // SAFETY: the closure runs between fork and exec and makes one call, which only changes a flag of a number.
            unsafe {
                command.pre_exec(move || match libc::fcntl(file, libc::F_SETFD, 0) {
                    -1 => Err(std::io::Error::last_os_error()),
                    _ => Ok(()),
                });
            }
        }
        command
            .args(["calibrate".as_ref(), "--out".as_ref(), out.as_os_str()])
            .envs([
                ("RANK", rank.to_string()),
                ("WORLD_SIZE", ranks.to_string()),
            ])
            .envs([
                ("MASTER_ADDR", "127.0.0.1".to_owned()),
                ("MASTER_PORT", port.to_string()),
            ])
            .env(SECRET, secret.to_hex().as_str())
            .spawn()
    };
    let mut children = Vec::new();
    for rank in 0..ranks {
        children.push(start(rank).map_err(|error| Failure::file(&program, &error))?);
    }
    drop(listener);
    wait(children)
}

/// Waits for all; when one ends badly the others are stopped.
fn wait(mut children: Vec<Child>) -> Result<(), Failure> {
    let mut failed = false;
    while !children.is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
        children.retain_mut(|child| match child.try_wait() {
            Ok(None) if !failed => true,
            Ok(Some(status)) if status.success() => false,
            _ => {
                failed = true;
                // It may have ended by itself meanwhile.
                let _ = child.kill().and_then(|()| child.wait().map(drop));
                false
            }
        });
    }
    if failed {
        let message = "a rank of the calibration ended badly";
        return Err(
            Failure::new(Exit::Machine, "pleach::worker::calibrate", message)
                .help("its own message stands above"),
        );
    }
    Ok(())
}
