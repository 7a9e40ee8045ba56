//! Launching: one worker process for each rank on this machine, watched until the last of them is gone.
//!
//! In comes a [`Job`]: the worker's arguments, the number of ranks, where their logs go. Out comes an [`Ending`]. Everything
//! that a worker says on its stdout is a line of JSON ([`event`]); its stderr goes to `log/rank-N.txt`. No worker outlives
//! this process ([`process`]); the secret that lets workers of one job know each other travels by environment, never by argv.

pub mod ending;
pub mod event;
pub mod find;
pub mod process;
pub mod supervise;

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::PathBuf;

use crate::failure::{Failure, Outcome};

/// What to launch.
#[derive(Clone, Debug)]
pub struct Job {
    /// The worker binary.
    pub worker: PathBuf,
    /// Its arguments, the same for all ranks.
    pub arguments: Vec<OsString>,
    /// Number of ranks.
    pub ranks: u32,
    /// Folder for `rank-N.txt`; it exists.
    pub logs: PathBuf,
    /// Whether a rank that has done what it was asked says so.
    pub says_done: bool,
}

/// What all ranks of one job share.
#[derive(Debug)]
pub struct Rendezvous {
    /// 256 random bits in hexadecimal.
    pub secret: String,
    /// Where rank 0 listens. It is open from here on and rank 0 inherits it, so nobody else can take the port.
    pub listener: TcpListener,
    /// Its port.
    pub port: u16,
    /// Threads for each rank.
    pub threads: usize,
}

impl Rendezvous {
    /// Draws a secret, opens a port that the system chooses, and shares the cores out.
    pub fn new(ranks: u32) -> Outcome<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let opened = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
        let (port, listener) = opened.map_err(|error| {
            Failure::machine(
                "pleach::launch::port",
                format!("no port of 127.0.0.1 could be bound: {error}"),
            )
            .help("`ulimit -n` and the firewall decide; `ss -ltn` lists what listens")
        })?;
        Ok(Self {
            secret: secret()?,
            listener,
            port,
            threads: (cores / ranks as usize).max(1),
        })
    }
}

/// 256 bits from the system's generator, in hexadecimal.
fn secret() -> Outcome<String> {
    let mut bits = [0_u8; 32];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bits))
        .map_err(|error| {
            Failure::machine(
                "pleach::launch::random",
                format!("the system gives no random bits: {error}"),
            )
        })?;
    Ok(bits.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_has_its_own_secret() {
        let (one, two) = (secret().unwrap(), secret().unwrap());
        assert_eq!(one.len(), 64);
        assert_ne!(one, two);
    }
}
