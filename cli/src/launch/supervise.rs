//! The supervisor's loop: events of workers, their ends, and signals to us, one after the other on the main thread.
//!
//! When a rank ends badly the others get a moment to notice by themselves and say where they stood (a brief one before they have met), then
//! SIGTERM, then SIGKILL; all within [`LIMIT`]. SIGINT and SIGTERM to us are passed on as SIGTERM ("save and stop"); a second one kills.

use std::io::{BufRead, BufReader};
use std::process::ChildStdout;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use pleach_storage::run::RankFailure;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::ending::{Ending, PREEMPTED, Rank};
use super::event::{self, Event};
use super::process::{Worker, wait_uncollected};
use super::{Job, Rendezvous};
use crate::failure::{Failure, Outcome};

/// Time from the first failure to the last process.
pub const LIMIT: Duration = Duration::from_secs(5);

/// After the first failure: time in which the others may end by themselves.
const NOTICE: Duration = Duration::from_millis(1500);

/// The same before the ranks have met, when nobody can notice.
const UNMET: Duration = Duration::from_millis(300);

/// After the first failure: when those still there are killed.
const KILL: Duration = Duration::from_millis(4000);

/// The least time between two attempts to stop what is still there.
const PAUSE: Duration = Duration::from_millis(20);

/// Signals that follow one another so closely are one.
const ECHO: Duration = Duration::from_millis(500);

/// The longest line of a worker that is read as one.
const LINE_LIMIT: u64 = 1 << 20;

/// What reaches the loop.
enum Message {
    Line(u32, String),
    Closed(u32),
    Ended,
    Signal,
}

/// Starts all ranks and watches them to their end; `listen` hears every event with its rank.
pub fn supervise(job: &Job, listen: &mut dyn FnMut(u32, Event)) -> Outcome<Ending> {
    let shared = Rendezvous::new(job.ranks)?;
    let (sender, inbox) = mpsc::channel();
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| {
        Failure::machine(
            "pleach::launch::signals",
            format!("signals cannot be handled: {error}"),
        )
    })?;
    let handle = signals.handle();
    let signal_sender = sender.clone();
    std::thread::spawn(move || {
        signals
            .forever()
            .for_each(|_| drop(signal_sender.send(Message::Signal)))
    });
    let mut workers = Vec::new();
    for rank in 0..job.ranks {
        let mut worker = Worker::start(job, &shared, rank)?;
        watch(&mut worker, &sender);
        workers.push(worker);
    }
    // From here on only rank 0 holds the socket: when it ends, whoever connects there learns so at once.
    drop(shared);
    let mut state = State::new(workers, job.says_done);
    state.run(&inbox, listen);
    handle.close();
    Ok(state.ending())
}

/// Two threads for each worker: one reads its lines, one waits for its end.
fn watch(worker: &mut Worker, sender: &Sender<Message>) {
    let (rank, id) = (worker.rank, worker.id());
    let output = worker.take_output().expect("a worker's stdout is a pipe");
    let (lines, ended) = (sender.clone(), sender.clone());
    std::thread::spawn(move || read_lines(output, rank, &lines));
    std::thread::spawn(move || {
        wait_uncollected(id);
        let _ = ended.send(Message::Ended);
    });
}

fn read_lines(output: ChildStdout, rank: u32, sender: &Sender<Message>) {
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match std::io::Read::take(&mut reader, LINE_LIMIT).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(Message::Line(rank, text)).is_err() {
                    break;
                }
            }
        }
    }
    let _ = sender.send(Message::Closed(rank));
}

/// What the loop knows.
struct State {
    workers: Vec<Worker>,
    records: Vec<Option<RankFailure>>,
    /// Whether ranks say that they have done what they were asked, and those that did.
    says_done: bool,
    done: Vec<bool>,
    /// Whose pipe is closed.
    silent: Vec<bool>,
    /// Whether some rank said that all have met.
    met: bool,
    /// Those that were stopped when others had failed.
    stood_still: Vec<bool>,
    /// Ranks in the order of their end, and whether they ended unasked.
    order: Vec<(u32, bool)>,
    open_pipes: usize,
    /// Since when somebody has failed.
    failed: Option<Instant>,
    /// The strongest signal sent because of a failure.
    stopping: Option<libc::c_int>,
    /// How often we were told to stop.
    told: u32,
    /// When last.
    heard: Option<Instant>,
}

impl State {
    fn new(workers: Vec<Worker>, says_done: bool) -> Self {
        let ranks = workers.len();
        let records = vec![None; ranks];
        Self {
            workers,
            records,
            says_done,
            done: vec![false; ranks],
            silent: vec![false; ranks],
            met: false,
            stood_still: vec![false; ranks],
            order: Vec::new(),
            open_pipes: ranks,
            failed: None,
            stopping: None,
            told: 0,
            heard: None,
        }
    }

    fn run(&mut self, inbox: &Receiver<Message>, listen: &mut dyn FnMut(u32, Event)) {
        while self.order.len() < self.workers.len() {
            match self.next(inbox) {
                Some(Message::Line(rank, line)) => self.hear(rank, &line, listen),
                Some(Message::Closed(rank)) => self.closed(rank),
                Some(Message::Ended) => self.collect(),
                Some(Message::Signal) => self.told_to_stop(),
                None => self.escalate(),
            }
        }
        self.drain(inbox, listen);
    }

    /// The next message, or none when it is time to escalate.
    fn next(&self, inbox: &Receiver<Message>) -> Option<Message> {
        let Some(failed) = self.failed else {
            return Some(inbox.recv().unwrap_or(Message::Ended));
        };
        let deadline = match self.stopping {
            None if !self.met => failed + UNMET,
            None => failed + NOTICE,
            Some(SIGTERM) => failed + KILL,
            Some(_) => failed + LIMIT,
        };
        let patience = deadline
            .saturating_duration_since(Instant::now())
            .max(PAUSE);
        inbox.recv_timeout(patience).ok()
    }

    fn hear(&mut self, rank: u32, line: &str, listen: &mut dyn FnMut(u32, Event)) {
        let Some(event) = event::parse(rank, line) else {
            return;
        };
        if let Event::Failed(record) = &event {
            self.records[rank as usize].get_or_insert_with(|| record.clone());
            self.failed.get_or_insert_with(Instant::now);
        }
        self.met |= matches!(event, Event::Ready { .. });
        self.done[rank as usize] |= matches!(event, Event::Done { .. });
        listen(rank, event);
    }

    /// A rank says no more. Only then is it known that it left without a word.
    fn closed(&mut self, rank: u32) {
        self.open_pipes -= 1;
        self.silent[rank as usize] = true;
        self.notice_early();
    }

    /// A rank that ends before it has done what it was asked fails all, also without an error.
    fn notice_early(&mut self) {
        let left = |worker: &Worker| {
            let rank = worker.rank as usize;
            let ended = worker.status().is_some_and(|status| status.success());
            self.says_done && ended && self.silent[rank] && !self.done[rank]
        };
        if self.workers.iter().any(left) {
            self.failed.get_or_insert_with(Instant::now);
        }
    }

    fn collect(&mut self) {
        for worker in &mut self.workers {
            // A signal may have collected one before its end was told here.
            if self.order.iter().any(|(rank, _)| *rank == worker.rank) {
                continue;
            }
            let Some(status) = worker.collect() else {
                continue;
            };
            self.order.push((worker.rank, self.stopping.is_none()));
            if !matches!(status.code(), Some(0 | PREEMPTED)) {
                self.failed.get_or_insert_with(Instant::now);
            }
        }
        self.notice_early();
    }

    fn told_to_stop(&mut self) {
        // `timeout` signals its child and the child's group: one wish, heard twice.
        if self.heard.is_some_and(|heard| heard.elapsed() < ECHO) {
            return;
        }
        self.heard = Some(Instant::now());
        self.told += 1;
        let signal = if self.told > 1 {
            libc::SIGKILL
        } else {
            SIGTERM
        };
        self.workers
            .iter_mut()
            .for_each(|worker| worker.signal(signal));
    }

    fn escalate(&mut self) {
        let signal = if self.stopping.is_none() {
            SIGTERM
        } else {
            libc::SIGKILL
        };
        if self.stopping.is_none() {
            self.stood_still = self.workers.iter().map(Worker::is_stopped).collect();
        }
        self.stopping = Some(signal);
        self.workers
            .iter_mut()
            .for_each(|worker| worker.signal(signal));
        self.collect();
    }

    /// Hears what is still in the pipes; a grandchild that holds one open is not waited for.
    fn drain(&mut self, inbox: &Receiver<Message>, listen: &mut dyn FnMut(u32, Event)) {
        let end = Instant::now() + Duration::from_millis(500);
        while self.open_pipes > 0 {
            match inbox.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Message::Line(rank, line)) => self.hear(rank, &line, listen),
                Ok(Message::Closed(_)) => self.open_pipes -= 1,
                Ok(Message::Ended | Message::Signal) => {}
                Err(_) => return,
            }
        }
    }

    fn ending(mut self) -> Ending {
        let ranks = self.order.iter().map(|&(rank, unasked)| {
            let worker = &self.workers[rank as usize];
            let status = worker
                .status()
                .expect("a rank is in the order only once it has been collected");
            Rank {
                rank,
                status,
                record: self.records[rank as usize].take(),
                log: worker.log.clone(),
                unasked,
                early: self.says_done && status.success() && !self.done[rank as usize],
                stood_still: self.stood_still[rank as usize],
            }
        });
        Ending::judge(ranks.collect(), self.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A signal collects whoever has ended already; the end counts all the same.
    #[test]
    fn a_worker_that_ends_just_before_it_is_signalled_has_ended() {
        let logs = tempfile::tempdir().expect("a folder");
        let job = Job {
            worker: "true".into(),
            arguments: Vec::new(),
            ranks: 1,
            logs: logs.path().to_owned(),
            says_done: false,
        };
        let shared = Rendezvous::new(1).expect("a socket");
        let worker = Worker::start(&job, &shared, 0).expect("a process");
        wait_uncollected(worker.id());
        let mut state = State::new(vec![worker], false);
        state.told_to_stop();
        state.collect();
        assert_eq!(state.order, [(0, true)]);
        state.collect();
        assert_eq!(state.order.len(), 1);
    }
}
