//! Who this process is: the variables that torchrun sets, and those of our own launcher.
//!
//! `PLEACH_SECRET` is what the ranks of one job know and nobody else does; under plain torchrun its run id takes that part.
//! `PLEACH_ADDRESS` names the address that this rank is reached at, where the way to the first rank does not say it.

use crate::error::{Exit, Failure};

/// The variable with the job's secret.
pub const SECRET: &str = "PLEACH_SECRET";
/// The variable with this rank's own address.
pub const ADDRESS: &str = "PLEACH_ADDRESS";

/// The variable with the number of an open file: the socket that rank 0 listens on. Our own launcher opens it itself, so
/// that no other program can take the port between its choice and its use.
pub const LISTENER: &str = "PLEACH_LISTENER";

/// Where ranks meet when nobody says it.
const DEFAULT_PORT: u16 = 29500;

/// What a process is told about its place in the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// This rank.
    pub rank: u32,
    /// Number of ranks.
    pub world: u32,
    /// Ranks of the job on this machine.
    pub local_world: u32,
    /// This rank among those of this machine.
    pub local_rank: u32,
    /// The first rank's host.
    pub host: String,
    /// The port of the store there.
    pub port: u16,
    /// Whether torchrun's agent already serves a store at that port.
    pub agent_store: bool,
    /// How often torchrun has restarted the job.
    pub restart: u32,
    /// What ranks of this job know.
    pub secret: Option<String>,
    /// Whether our own launcher started us.
    pub launched: bool,
    /// The address this rank is reached at.
    pub address: Option<String>,
    /// The open socket that this rank serves the store on.
    pub listener: Option<i32>,
}

impl Environment {
    /// Reads the variables through `look`; without them this is a job of one.
    ///
    /// # Errors
    /// A variable that is not what it should be, or some of torchrun's without the others.
    pub fn read(look: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let rank = number(&look, "RANK", 0)?;
        let world = number(&look, "WORLD_SIZE", 1)?;
        if rank >= world {
            return Err(wrong(format!(
                "RANK is {rank} and WORLD_SIZE {world}: ranks go from 0 to WORLD_SIZE - 1"
            )));
        }
        if world > 1 && look("MASTER_ADDR").is_none() {
            return Err(wrong(format!(
                "WORLD_SIZE is {world}, but MASTER_ADDR is not set"
            )));
        }
        let local_world = number(&look, "LOCAL_WORLD_SIZE", world)?.max(1);
        let secret = look(SECRET).or_else(|| look("TORCHELASTIC_RUN_ID").filter(|id| id != "none"));
        Ok(Self {
            rank,
            world,
            local_world,
            local_rank: number(&look, "LOCAL_RANK", rank % local_world)?,
            host: look("MASTER_ADDR").unwrap_or_else(|| "127.0.0.1".to_owned()),
            port: number(&look, "MASTER_PORT", DEFAULT_PORT)?,
            agent_store: look("TORCHELASTIC_USE_AGENT_STORE")
                .is_some_and(|value| value.eq_ignore_ascii_case("true")),
            restart: number(&look, "TORCHELASTIC_RESTART_COUNT", 0)?,
            secret,
            launched: look(SECRET).is_some(),
            address: look(ADDRESS),
            listener: look(LISTENER)
                .map(|_| number(&look, LISTENER, 0))
                .transpose()?,
        })
    }

    /// Reads the process's own environment.
    ///
    /// # Errors
    /// As [`Environment::read`].
    pub fn of_process() -> Result<Self, Failure> {
        Self::read(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// Threads for this rank: what `OMP_NUM_THREADS` says, or its share of the cores.
    pub fn threads(&self) -> usize {
        let named = std::env::var("OMP_NUM_THREADS")
            .ok()
            .and_then(|text| text.parse().ok());
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        named.unwrap_or(cores / self.local_world as usize).max(1)
    }
}

fn number<T: std::str::FromStr>(
    look: &impl Fn(&str) -> Option<String>,
    name: &str,
    other: T,
) -> Result<T, Failure> {
    match look(name) {
        None => Ok(other),
        Some(text) => text
            .parse()
            .map_err(|_| wrong(format!("{name} is `{text}`, which is not such a number"))),
    }
}

fn wrong(message: String) -> Failure {
    Failure::new(Exit::Wish, "pleach::worker::environment", message)
        .help("start workers with `pleach run` or `torchrun --no-python … pleach-worker`, which set these variables")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, Failure> {
        let find = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Environment::read(find)
    }

    #[test]
    fn no_variables_make_a_job_of_one() {
        let alone = read(&[]).unwrap();
        assert_eq!(
            (alone.rank, alone.world, alone.secret, alone.launched),
            (0, 1, None, false)
        );
    }

    #[test]
    fn torchruns_variables_are_understood() {
        let torchrun = [
            ("RANK", "3"),
            ("WORLD_SIZE", "4"),
            ("LOCAL_WORLD_SIZE", "2"),
            ("MASTER_ADDR", "node1"),
            ("MASTER_PORT", "4711"),
            ("TORCHELASTIC_USE_AGENT_STORE", "True"),
            ("TORCHELASTIC_RUN_ID", "job7"),
        ];
        let found = read(&torchrun).unwrap();
        assert_eq!((found.rank, found.port, found.agent_store), (3, 4711, true));
        assert_eq!((found.local_world, found.local_rank), (2, 1));
        let named = read(&[&torchrun[..], &[("LOCAL_RANK", "0")]].concat()).unwrap();
        assert_eq!(named.local_rank, 0);
        assert_eq!(found.secret.as_deref(), Some("job7"));
        let ours = read(&[&torchrun[..], &[(SECRET, "s")]].concat()).unwrap();
        assert_eq!((ours.secret.as_deref(), ours.launched), (Some("s"), true));
    }

    #[test]
    fn nonsense_is_named() {
        for (variables, part) in [
            (
                vec![("RANK", "4"), ("WORLD_SIZE", "4"), ("MASTER_ADDR", "a")],
                "RANK is 4",
            ),
            (vec![("RANK", "one")], "RANK is `one`"),
            (vec![("WORLD_SIZE", "2")], "MASTER_ADDR"),
        ] {
            let message = read(&variables).unwrap_err().message;
            assert!(message.contains(part), "{message}");
        }
    }
}
