//! How a job ended: which rank was first, what it and the others said about it, and which exit code that is.
//!
//! The first to go is known from the order in which processes ended here, not from clocks. Its own record says most; a worker
//! that was killed leaves none, and then the records of those who waited for it name the instruction and the peer.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::exit::Exit;
use crate::failure::Failure;
use pleach_storage::run::RankFailure;

/// Exit code of a worker that saved and stopped because it was told to.
pub const PREEMPTED: i32 = 75;

/// Lines of a failed worker's log that are shown.
const SHOWN_LINES: usize = 12;

/// What is known of one rank when all have ended.
#[derive(Clone, Debug)]
pub struct Rank {
    /// Its number.
    pub rank: u32,
    /// How its process ended.
    pub status: ExitStatus,
    /// What it said about it.
    pub record: Option<RankFailure>,
    /// Its log.
    pub log: PathBuf,
    /// Whether it ended before we told anyone to stop.
    pub unasked: bool,
    /// Whether it left without an error and without having done what it was asked.
    pub early: bool,
    /// Whether it was there, stopped by a signal or a debugger, when the others had failed.
    pub stood_still: bool,
}

/// How a job ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// The verdict.
    pub verdict: Verdict,
    /// All ranks, in the order in which they ended.
    pub ranks: Vec<Rank>,
}

/// What a job's end amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All ranks did what they were asked.
    Done,
    /// All ranks saved and stopped.
    Preempted,
    /// We were told to stop, and at least one rank ended without saving.
    Aborted,
    /// At least one rank failed.
    Failed,
}

impl Ending {
    /// Judges the ranks, given in the order in which they ended; `told` is how often we were asked to stop.
    pub fn judge(ranks: Vec<Rank>, told: u32) -> Self {
        let verdict = if ranks.iter().any(|rank| rank.early) {
            Verdict::Failed
        } else if ranks.iter().all(|rank| rank.status.success()) {
            Verdict::Done
        } else if ranks
            .iter()
            .all(|rank| matches!(rank.status.code(), Some(0 | PREEMPTED)))
        {
            Verdict::Preempted
        } else if told > 0 && ranks.iter().all(|rank| obeyed(rank.status)) {
            Verdict::Aborted
        } else {
            Verdict::Failed
        };
        Self { verdict, ranks }
    }

    /// Adds the records that ranks left in the run's folder, where they did not also say them.
    #[must_use]
    pub fn with_records(mut self, records: Vec<RankFailure>) -> Self {
        for record in records {
            if let Some(rank) = self.ranks.iter_mut().find(|rank| rank.rank == record.rank) {
                rank.record.get_or_insert(record);
            }
        }
        self
    }

    /// The exit code. Where the ranks never met, nothing can be resumed, and the first rank's own judgement stands.
    pub fn exit(&self, met: bool) -> Exit {
        let own = self.first().and_then(|rank| rank.status.code());
        match (self.verdict, own) {
            (Verdict::Done, _) => Exit::Fine,
            (Verdict::Preempted, _) => Exit::Preempted,
            (Verdict::Failed, Some(1)) if !met => Exit::Wish,
            (Verdict::Failed, Some(2)) if !met => Exit::Machine,
            (Verdict::Failed | Verdict::Aborted, _) => Exit::Fault,
        }
    }

    /// The rank that the others died of: the first that blames no peer, else the first that failed at all.
    fn first(&self) -> Option<&Rank> {
        let failed = || {
            let own = self.ranks.iter().filter(|rank| rank.unasked);
            own.filter(|rank| rank.early || !rank.status.success())
        };
        let stood_still = self.ranks.iter().find(|rank| rank.stood_still);
        stood_still
            .or_else(|| failed().find(|rank| !blames_others(rank)))
            .or_else(|| failed().next())
            .or(self.ranks.first())
    }

    /// The failure to show, where there is one; `help` says how to go on.
    pub fn failure(&self, help: &str) -> Option<Failure> {
        match self.verdict {
            Verdict::Done | Verdict::Preempted => None,
            Verdict::Aborted => Some(
                Failure::fault(
                    "pleach::run::aborted",
                    "stopped on request before everything was saved",
                )
                .help(help),
            ),
            Verdict::Failed => self.first().map(|first| describe(first, &self.ranks, help)),
        }
    }
}

/// Whether a process ended as it does when it is told to.
fn obeyed(status: ExitStatus) -> bool {
    matches!(status.code(), Some(0 | PREEMPTED))
        || matches!(status.signal(), Some(libc::SIGTERM | libc::SIGKILL))
}

/// Whether a rank only lost contact with another.
fn blames_others(rank: &Rank) -> bool {
    let Some(record) = &rank.record else {
        return false;
    };
    record.peer.is_some()
        || record
            .code
            .as_deref()
            .is_some_and(|code| code.ends_with("::peer_lost"))
}

fn describe(first: &Rank, ranks: &[Rank], help: &str) -> Failure {
    let record = first.record.as_ref();
    let said = match record {
        _ if first.stood_still => {
            "was stopped by a signal (SIGSTOP, a debugger), and time was up".to_owned()
        }
        Some(record) => record.message.clone(),
        None => how(first.status),
    };
    let place = first_place(first, ranks);
    let message = format!(
        "rank {} of {} stopped{place}: {said}",
        first.rank,
        ranks.len()
    );
    let mut detail: Vec<String> = ranks
        .iter()
        .filter(|rank| rank.rank != first.rank)
        .map(line)
        .collect();
    if record.is_none() {
        detail.extend(log_tail(first));
    }
    let help = match record.and_then(|record| record.help.as_deref()) {
        Some(own) => format!("{own}\n{help}"),
        None => help.to_owned(),
    };
    let code = record
        .and_then(|record| record.code.as_deref())
        .unwrap_or("pleach::run::worker_lost");
    Failure::fault(code, message)
        .detail(detail.join("\n"))
        .help(help)
}

/// ` at <instruction>`: its own, or where another waited for it.
fn first_place(first: &Rank, ranks: &[Rank]) -> String {
    if let Some((instruction, peer)) = stood(first) {
        let peer = peer.map_or_else(String::new, |peer| format!(" with rank {peer}"));
        return format!(" at {instruction}{peer}");
    }
    let waited = |peer: Option<u32>| {
        ranks.iter().find_map(|rank| {
            let (instruction, blamed) = stood(rank)?;
            (blamed == peer && blames_others(rank)).then_some((rank.rank, instruction))
        })
    };
    match waited(Some(first.rank)).or_else(|| waited(None)) {
        Some((rank, instruction)) => format!(" while rank {rank} waited for it at {instruction}"),
        None => String::new(),
    }
}

/// The instruction at which a rank stopped, and whom it blames.
fn stood(rank: &Rank) -> Option<(&str, Option<u32>)> {
    let record = rank.record.as_ref()?;
    Some((record.instruction.as_deref()?, record.peer))
}

/// One line for a rank that is not the first.
fn line(rank: &Rank) -> String {
    let Some(record) = &rank.record else {
        let how = match rank.status.signal() {
            Some(libc::SIGTERM | libc::SIGKILL) if !rank.unasked => "was stopped after that".into(),
            None if !rank.unasked && rank.status.code() == Some(PREEMPTED) => {
                "was stopped after that".into()
            }
            _ => how(rank.status),
        };
        return format!("rank {}: {how}", rank.rank);
    };
    let at = record
        .instruction
        .as_ref()
        .map_or_else(String::new, |instruction| format!(" at {instruction}"));
    let peer = record
        .peer
        .map_or_else(String::new, |peer| format!(", peer rank {peer}"));
    let step = record
        .step
        .map_or_else(String::new, |step| format!(" in step {step}"));
    format!("rank {}: {}{step}{at}{peer}", rank.rank, record.message)
}

/// How a process ended, in words.
pub fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "ended early without an error".to_owned(),
        (Some(PREEMPTED), _) => "saved and stopped".to_owned(),
        (Some(code), _) => format!("ended with code {code}"),
        (None, Some(libc::SIGKILL)) => {
            "was killed (SIGKILL: by hand, or by the kernel for memory)".to_owned()
        }
        (None, Some(libc::SIGTERM)) => "was told to stop (SIGTERM)".to_owned(),
        (None, Some(signal)) => format!("crashed on signal {signal}"),
        (None, None) => "ended in a way the system does not tell".to_owned(),
    }
}

/// The last lines of the log, headed by its name.
fn log_tail(rank: &Rank) -> Vec<String> {
    let text = std::fs::read(&rank.log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let tail = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    if tail.is_empty() {
        return Vec::new();
    }
    let head = format!("last lines of {}:", rank.log.display());
    std::iter::once(head)
        .chain(tail.iter().map(|line| format!("  {line}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(rank: u32, raw: i32, peer: Option<u32>) -> Rank {
        let record = peer.map(|peer| RankFailure {
            rank,
            message: "the connection closed".into(),
            instruction: Some("layer.forward[3] all_reduce".into()),
            peer: Some(peer),
            ..RankFailure::default()
        });
        let status = ExitStatus::from_raw(raw);
        Rank {
            rank,
            status,
            record,
            log: "log/rank-0.txt".into(),
            unasked: true,
            early: false,
            stood_still: false,
        }
    }

    #[test]
    fn the_killed_rank_is_named_with_the_instruction_of_who_waited() {
        // The survivor can end first: it noticed before the kernel told us of the kill.
        let ending = Ending::judge(
            vec![rank(0, 10 << 8, Some(2)), rank(2, libc::SIGKILL, None)],
            0,
        );
        assert_eq!(ending.exit(true), Exit::Fault);
        let failure = ending.failure("").unwrap();
        let message = &failure.diagnostics[0].message;
        assert!(
            message
                .starts_with("rank 2 of 2 stopped while rank 0 waited for it at layer.forward[3]"),
            "{message}"
        );
    }

    #[test]
    fn a_worker_that_never_met_the_others_judges_itself() {
        let ending = Ending::judge(vec![rank(1, 2 << 8, None), rank(0, libc::SIGTERM, None)], 0);
        assert_eq!(
            (ending.exit(false), ending.exit(true)),
            (Exit::Machine, Exit::Fault)
        );
    }

    #[test]
    fn a_rank_that_we_stopped_is_not_said_to_have_been_killed() {
        let stopped = Rank {
            unasked: false,
            ..rank(1, libc::SIGKILL, None)
        };
        let ending = Ending::judge(vec![rank(0, 2 << 8, None), stopped], 0);
        let detail = ending.failure("").unwrap().diagnostics.remove(0).detail;
        assert_eq!(detail.as_deref(), Some("rank 1: was stopped after that"));
    }

    #[test]
    fn who_was_stopped_is_named_before_those_who_waited() {
        let stopped = Rank {
            unasked: false,
            stood_still: true,
            ..rank(1, libc::SIGKILL, None)
        };
        let ending = Ending::judge(vec![rank(0, 10 << 8, Some(1)), stopped], 0);
        let failure = ending.failure("").unwrap().diagnostics.remove(0);
        let wanted = "rank 1 of 2 stopped while rank 0 waited for it at layer.forward[3] all_reduce: was stopped by";
        assert!(failure.message.starts_with(wanted), "{}", failure.message);
    }

    #[test]
    fn leaving_early_without_an_error_is_a_failure() {
        let early = Rank {
            early: true,
            ..rank(1, 0, None)
        };
        let ending = Ending::judge(vec![early, rank(0, 10 << 8, Some(1))], 0);
        assert_eq!(ending.exit(true), Exit::Fault);
        let failure = ending.failure("").unwrap().diagnostics.remove(0);
        assert!(
            failure.message.ends_with("ended early without an error"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn saving_on_request_is_no_failure() {
        let ending = Ending::judge(
            vec![rank(0, PREEMPTED << 8, None), rank(1, PREEMPTED << 8, None)],
            1,
        );
        assert_eq!(ending.exit(true), Exit::Preempted);
        assert!(ending.failure("").is_none());
    }
}
