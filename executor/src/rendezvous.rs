//! How ranks find and trust each other: a store on one interface, and a handshake over it before anything else.
//!
//! The store itself lets anybody in. So each side proves that it knows the job's secret without saying it: a keyed BLAKE3 over
//! the other's random challenge. All keys of a job lie under a prefix that depends on the secret and the restart, so that two
//! jobs that meet on one port do not mix.

use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};
use std::os::fd::FromRawFd;
use std::time::{Duration, Instant};

use crate::environment::{Environment, LISTENER};
use crate::error::{Exit, Failure, ranks};
use crate::native::{Result as Answer, Store};

/// Bytes of a challenge and of a proof.
const LENGTH: usize = 32;

/// A place where all ranks of a job have met.
pub struct Meeting {
    /// The store, under the job's prefix.
    pub store: Store,
    /// The address that this rank is reached at.
    pub address: String,
}

/// Meets the other ranks.
///
/// # Errors
/// A port in use, ranks that do not come before the deadline, or somebody who does not know the secret.
pub fn meet(environment: &Environment, deadline: Duration) -> Result<Meeting, Failure> {
    let end = Instant::now() + deadline;
    let address = own_address(environment)?;
    let base = open(environment, deadline)?;
    let handshake = Handshake::new(environment, end);
    let prefix = format!("pleach/{}/{}/", handshake.name(), environment.restart);
    let store = base
        .prefixed(&prefix)
        .map_err(|error| failed(environment, &error))?;
    if environment.rank == 0 {
        handshake.answer(&store)?
    } else {
        handshake.ask(&store)?
    }
    Ok(Meeting { store, address })
}

/// The store's server on rank 0 (unless torchrun's agent has one), a client everywhere else.
fn open(environment: &Environment, deadline: Duration) -> Result<Store, Failure> {
    let Environment { host, port, .. } = environment;
    if environment.rank != 0 || environment.agent_store {
        return Store::connect(host, *port, deadline).map_err(|error| failed(environment, &error));
    }
    let listener = match environment.listener {
        Some(file) => inherited(file, *port)?,
        None => bind(resolve(host, *port)?)?,
    };
    Store::serve(listener, host, *port, deadline).map_err(|error| failed(environment, &error))
}

/// The socket that the launcher has opened for this rank.
fn inherited(file: i32, port: u16) -> Result<TcpListener, Failure> {
    let wrong = |what: String| {
        let message = format!("{LISTENER} is {file}, {what}");
        Failure::new(Exit::Machine, "pleach::worker::rendezvous", message)
            .help("it is set by `pleach run` alone; unset it for other launchers")
    };
    // SAFETY: asks about a number, which need not be an open file.
    if unsafe { libc::fcntl(file, libc::F_GETFD) } == -1 {
        return Err(wrong("which is no open file".to_owned()));
    }
    // SAFETY: the file is open, and the launcher has given it to this process for this one use.
    let listener = unsafe { TcpListener::from_raw_fd(file) };
    match listener.local_addr() {
        Ok(place) if place.port() == port => Ok(listener),
        Ok(place) => Err(wrong(format!(
            "which listens at {place}, not at port {port}"
        ))),
        Err(error) => Err(wrong(format!("which is no socket: {error}"))),
    }
}

fn bind(place: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(place).map_err(|error| {
        let (code, help) = match error.kind() {
            std::io::ErrorKind::AddrInUse => (
                "pleach::worker::port_taken",
                "another job may be there: choose another MASTER_PORT, or wait for it to end",
            ),
            _ => (
                "pleach::worker::rendezvous",
                "MASTER_ADDR must name an address of the machine that rank 0 runs on",
            ),
        };
        let message = format!("rank 0 cannot listen at {place}: {error}");
        Failure::new(Exit::Machine, code, message).help(help)
    })
}

fn failed(environment: &Environment, error: &tch::TchError) -> Failure {
    let Environment {
        rank, host, port, ..
    } = environment;
    let message = format!(
        "rank {rank} cannot reach the store at {host}:{port}: {}",
        plain(error)
    );
    Failure::new(Exit::Machine, "pleach::worker::rendezvous", message)
        .help("rank 0 must be running and MASTER_ADDR and MASTER_PORT must name it")
}

fn plain(error: &tch::TchError) -> String {
    crate::native::essence(&error.to_string())
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let found = (host, port).to_socket_addrs().ok().and_then(|all| {
        let all: Vec<_> = all.collect();
        all.iter()
            .find(|place| place.is_ipv4())
            .or(all.first())
            .copied()
    });
    found.ok_or_else(|| {
        Failure::new(
            Exit::Machine,
            "pleach::worker::rendezvous",
            format!("the host `{host}` has no address"),
        )
        .help("MASTER_ADDR must be a host name or an address that every rank can resolve")
    })
}

/// What is declared; else loopback if the first rank is there; else the address from which it is reached.
fn own_address(environment: &Environment) -> Result<String, Failure> {
    if let Some(address) = &environment.address {
        return Ok(address.clone());
    }
    let first = resolve(&environment.host, environment.port)?;
    if first.ip().is_loopback() {
        return Ok(first.ip().to_string());
    }
    let any: IpAddr = if first.is_ipv4() {
        [0, 0, 0, 0].into()
    } else {
        [0u16; 8].into()
    };
    // Connecting a datagram socket sends nothing; it only asks the system for the way.
    let way = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(first)?;
        socket.local_addr()
    });
    way.map(|own| own.ip().to_string()).map_err(|error| {
        Failure::new(
            Exit::Machine,
            "pleach::worker::rendezvous",
            format!("there is no way to {first}: {error}"),
        )
        .help("PLEACH_ADDRESS names the address that this rank is reached at")
    })
}

/// Mutual proof of knowing the job's secret.
struct Handshake {
    rank: u32,
    world: u32,
    key: [u8; LENGTH],
    end: Instant,
}

impl Handshake {
    fn new(environment: &Environment, end: Instant) -> Self {
        let secret = environment.secret.as_deref().unwrap_or("");
        let key = blake3::derive_key("pleach 2026 handshake of a job's ranks", secret.as_bytes());
        Self {
            rank: environment.rank,
            world: environment.world,
            key,
            end,
        }
    }

    /// A name for the job that does not tell the secret.
    fn name(&self) -> String {
        blake3::keyed_hash(&self.key, b"name").to_hex()[..16].to_owned()
    }

    fn proof(&self, role: &str, rank: u32, challenge: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher
            .update(role.as_bytes())
            .update(&rank.to_le_bytes())
            .update(challenge);
        hasher.finalize()
    }

    fn left(&self) -> Duration {
        self.end
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(10))
    }

    /// Rank 0: answers every rank's challenge and demands a proof of each.
    fn answer(&self, store: &Store) -> Result<(), Failure> {
        let mut challenges = Vec::new();
        for rank in 1..self.world {
            let Ok(asked) = store.get(&format!("ask/{rank}"), self.left()) else {
                return Err(self.missing(store, rank));
            };
            let challenge = random()?;
            let answer = [
                self.proof("server", rank, &asked).as_bytes().as_slice(),
                &challenge,
            ]
            .concat();
            said(store.set(&format!("answer/{rank}"), &answer))?;
            challenges.push((rank, challenge));
        }
        for (rank, challenge) in challenges {
            let proof = said(store.get(&format!("proof/{rank}"), self.left()))?;
            if !same(&proof, self.proof("client", rank, &challenge)) {
                return Err(stranger(&format!("rank {rank}")));
            }
        }
        said(store.set("met", b"1"))
    }

    /// Other ranks: challenge rank 0, then prove themselves.
    fn ask(&self, store: &Store) -> Result<(), Failure> {
        let challenge = random()?;
        said(store.set(&format!("ask/{}", self.rank), &challenge))?;
        let answer = store.get(&format!("answer/{}", self.rank), self.left()).map_err(|_| {
            Failure::new(Exit::Machine, "pleach::worker::rendezvous", "rank 0 did not answer in time")
                .help("all ranks must share one PLEACH_SECRET (or torchrun's --rdzv-id); the log of rank 0 may say more")
        })?;
        if answer.len() != 2 * LENGTH
            || !same(
                &answer[..LENGTH],
                self.proof("server", self.rank, &challenge),
            )
        {
            return Err(stranger("whoever answers as rank 0"));
        }
        let proof = self.proof("client", self.rank, &answer[LENGTH..]);
        said(store.set(&format!("proof/{}", self.rank), proof.as_bytes()))?;
        said(store.get("met", self.left())).map(drop)
    }

    /// All ranks that have not come, the first of them known.
    fn missing(&self, store: &Store, first: u32) -> Failure {
        let brief = Duration::from_millis(50);
        let absent =
            (first..self.world).filter(|rank| store.get(&format!("ask/{rank}"), brief).is_err());
        let message = format!(
            "{} of {} did not come to the meeting",
            ranks(&absent.collect::<Vec<_>>()),
            self.world
        );
        Failure::new(Exit::Machine, "pleach::worker::rendezvous", message)
            .help("look at their logs; all ranks must share MASTER_ADDR, MASTER_PORT and the job's secret")
    }
}

fn same(found: &[u8], wanted: blake3::Hash) -> bool {
    // Comparing hashes takes the same time wherever they differ.
    <[u8; LENGTH]>::try_from(found).is_ok_and(|found| blake3::Hash::from(found) == wanted)
}

fn said<T>(answer: Answer<T>) -> Result<T, Failure> {
    answer.map_err(|error| {
        let message = format!("the handshake broke off: {}", plain(&error));
        Failure::new(Exit::Machine, "pleach::worker::rendezvous", message)
            .help("the log of rank 0 may say more")
    })
}

fn stranger(who: &str) -> Failure {
    Failure::new(
        Exit::Machine,
        "pleach::worker::stranger",
        format!("{who} does not know this job's secret"),
    )
    .help("another job is at this address: choose another MASTER_PORT")
}

fn random() -> Result<[u8; LENGTH], Failure> {
    let mut bytes = [0; LENGTH];
    let source = std::path::Path::new("/dev/urandom");
    std::fs::File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| Failure::file(source, &error))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::fd::IntoRawFd;

    use super::*;

    fn environment(rank: u32, port: u16, secret: &str) -> Environment {
        let text = |name: &str| match name {
            "RANK" => Some(rank.to_string()),
            "WORLD_SIZE" => Some("3".to_owned()),
            "MASTER_ADDR" => Some("127.0.0.1".to_owned()),
            "MASTER_PORT" => Some(port.to_string()),
            "PLEACH_SECRET" => Some(secret.to_owned()),
            _ => None,
        };
        Environment::read(text).unwrap()
    }

    fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port()
    }

    fn meet_all(secrets: [&'static str; 3]) -> Vec<Result<String, Failure>> {
        meet_at(free_port(), None, secrets)
    }

    /// Lets three ranks meet; a rank's connection stays open until all have answered.
    fn meet_at(
        port: u16,
        listener: Option<TcpListener>,
        secrets: [&'static str; 3],
    ) -> Vec<Result<String, Failure>> {
        let listener = listener.map(IntoRawFd::into_raw_fd);
        let (sender, results) = std::sync::mpsc::channel();
        let threads: Vec<_> = (0..3)
            .map(|rank| {
                let environment = Environment {
                    listener: listener.filter(|_| rank == 0),
                    ..environment(rank, port, secrets[rank as usize])
                };
                let sender = sender.clone();
                std::thread::spawn(move || {
                    let met = meet(&environment, Duration::from_secs(3));
                    let (address, store) = match met {
                        Ok(Meeting { address, store }) => (Ok(address), Some(store)),
                        Err(failure) => (Err(failure), None),
                    };
                    sender.send((rank, address)).unwrap();
                    std::thread::sleep(Duration::from_millis(500));
                    drop(store);
                })
            })
            .collect();
        let mut answers: Vec<_> = results.iter().take(3).collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        answers.sort_by_key(|(rank, _)| *rank);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    #[test]
    fn ranks_with_one_secret_meet_on_loopback() {
        let answers = meet_all(["s", "s", "s"]);
        assert!(
            answers
                .iter()
                .all(|answer| answer.as_ref().is_ok_and(|address| address == "127.0.0.1")),
            "{answers:?}"
        );
    }

    #[test]
    fn ranks_meet_at_the_socket_that_rank_0_was_given() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(
            TcpListener::bind(("127.0.0.1", port)).is_err(),
            "nobody else can take the port"
        );
        let answers = meet_at(port, Some(listener), ["s", "s", "s"]);
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }

    #[test]
    fn a_port_that_is_taken_is_named_at_once() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        let answer = meet(&environment(0, port, "s"), Duration::from_secs(3));
        let failure = answer.err().unwrap();
        assert_eq!(failure.code, "pleach::worker::port_taken");
        assert!(failure.message.contains(&port.to_string()), "{failure}");
        let elsewhere = Environment {
            listener: Some(other.into_raw_fd()),
            ..environment(0, 1, "s")
        };
        let failure = meet(&elsewhere, Duration::from_secs(3)).err().unwrap();
        assert!(failure.message.contains("not at port 1"), "{failure}");
    }

    #[test]
    fn a_rank_with_another_secret_is_left_out_and_named() {
        let answers = meet_all(["s", "s", "t"]);
        let first = answers[0].as_ref().unwrap_err();
        assert!(first.message.contains("rank 2"), "{first}");
        assert!(answers[2].is_err());
    }

    #[test]
    fn a_proof_is_of_one_rank_one_role_and_one_challenge() {
        let handshake = Handshake::new(&environment(1, 1, "s"), Instant::now());
        let proof = handshake.proof("client", 1, b"c");
        assert!(same(proof.as_bytes(), proof));
        for other in [
            handshake.proof("server", 1, b"c"),
            handshake.proof("client", 2, b"c"),
            handshake.proof("client", 1, b"d"),
        ] {
            assert!(!same(proof.as_bytes(), other));
        }
    }
}
