//! The clock: runs all roles' actions side by side until every one has ended.
//!
//! At each instant every role goes on as far as it can; then time jumps to the next end of some work, message or meeting. Work on
//! shared cores advances by the slow-down that the number of working ranks implies; on devices of their own it is one.

use pleach_plan::TransferKind;

use super::actions::{Action, Program, Sharing, Side, Work};
use super::beside::INTERFERENCE;
use super::{Place, RoleTime, Simulation, Span};
use crate::cost::{Class, Joins};

/// The stages wait for each other for ever.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the simulation stands still at {at} ps: stage {stage} waits in slot {slot} for something that nobody sends"
)]
pub struct Stuck {
    /// When.
    pub at: u64,
    /// The first stage that waits.
    pub stage: usize,
    /// Its slot.
    pub slot: usize,
}

const MILLION: u128 = 1_000_000;

/// What a role is doing.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Takes its next action.
    Ready,
    /// Works: picoseconds left, alone on the machine; when it began.
    Working(Work, u64, u64),
    /// Waits for its side of a message since then.
    Waiting(Side, u64),
    /// Waits at a meeting since then.
    Meeting(Work, Joins, u64),
    /// Waits for the end of a collective beside the computation since then.
    Joining(usize, u64),
    /// Has ended.
    Done,
}

#[derive(Clone, Copy, Debug, Default)]
struct Travel {
    sent: Option<(u64, Place)>,
    awaited: Option<u64>,
    span: Option<(u64, u64)>,
}

struct Clock<'p> {
    program: &'p Program,
    now: u64,
    next: Vec<usize>,
    states: Vec<State>,
    travels: Vec<Travel>,
    links: Vec<u64>,
    /// For each role: when each of its collectives beside the computation ends, in order.
    beside: Vec<Vec<u64>>,
    times: Vec<RoleTime>,
    spans: Option<Vec<Span>>,
}

/// Runs a program to its end.
///
/// # Errors
/// The roles wait for each other for ever.
pub fn run(program: &Program, keep: bool) -> Result<Simulation, Stuck> {
    let count = program.roles.len();
    let mut clock = Clock {
        program,
        now: 0,
        next: vec![0; count],
        states: vec![State::Ready; count],
        travels: vec![Travel::default(); program.messages.len()],
        links: vec![0; count * count],
        beside: vec![Vec::new(); count],
        times: vec![RoleTime::default(); count],
        spans: keep.then(Vec::new),
    };
    let mut ends = vec![0; count];
    loop {
        clock.settle(&mut ends);
        if clock
            .states
            .iter()
            .all(|state| matches!(state, State::Done))
        {
            break;
        }
        clock.advance()?;
    }
    let step = clock.now;
    for (time, end) in clock.times.iter_mut().zip(&ends) {
        time.bubble += step - end;
    }
    let mut spans = clock.spans.unwrap_or_default();
    spans.sort_by_key(|span| (span.stage, span.start, span.place));
    Ok(Simulation {
        step,
        roles: clock.times,
        spans,
    })
}

impl Clock<'_> {
    /// Lets every role go on at this instant until none can.
    fn settle(&mut self, ends: &mut [u64]) {
        let mut moved = true;
        while moved {
            moved = false;
            for role in 0..self.states.len() {
                while self.go_on(role, ends) {
                    moved = true;
                }
            }
            moved |= self.meet();
        }
    }

    /// One move of one role; false where it must wait for time or for others.
    fn go_on(&mut self, role: usize, ends: &mut [u64]) -> bool {
        match self.states[role] {
            State::Ready => self.take(role, ends),
            State::Working(work, 0, start) => {
                self.account(role, &work, start);
                self.states[role] = State::Ready;
            }
            State::Waiting(side, since) => return self.arrived(role, side, since),
            State::Joining(number, since) if self.beside[role][number] <= self.now => {
                self.times[role].communication += self.now - since;
                self.states[role] = State::Ready;
            }
            State::Joining(..) => return false,
            State::Working(..) | State::Meeting(..) | State::Done => return false,
        }
        true
    }

    fn take(&mut self, role: usize, ends: &mut [u64]) {
        let Some(&action) = self.program.roles[role].get(self.next[role]) else {
            ends[role] = self.now;
            self.states[role] = State::Done;
            return;
        };
        self.next[role] += 1;
        self.states[role] = match action {
            Action::Work(work) => State::Working(work, work.ps, self.now),
            Action::Meet(work, joins) => State::Meeting(work, joins, self.now),
            Action::Start(side) => self.start(side),
            Action::Wait(side) => State::Waiting(side, self.now),
            Action::Beside(work) => self.begin_beside(role, &work),
            Action::Join(number, _) => State::Joining(number, self.now),
        };
    }

    /// Puts a collective behind those that run beside the computation already.
    fn begin_beside(&mut self, role: usize, work: &Work) -> State {
        let start = self.queued(role).max(self.now);
        self.beside[role].push(start + work.ps);
        let times = (start, start + work.ps);
        self.record(role, work.place, times, work.class, true);
        State::Ready
    }

    /// When the last collective beside a role's computation ends.
    fn queued(&self, role: usize) -> u64 {
        self.beside[role].last().copied().unwrap_or(0)
    }

    /// Posts one side of a message; when both are posted and the link is free, it travels.
    fn start(&mut self, side: Side) -> State {
        let message = self.program.messages[side.message];
        let travel = &mut self.travels[side.message];
        match side.kind {
            TransferKind::Send => travel.sent = Some((self.now, side.place)),
            TransferKind::Receive => travel.awaited = Some(self.now),
        }
        if let (Some((sent, place)), Some(awaited), None) =
            (travel.sent, travel.awaited, travel.span)
        {
            let link =
                &mut self.links[message.from as usize * self.states.len() + message.to as usize];
            let start = sent.max(awaited).max(*link);
            *link = start + message.ps;
            travel.span = Some((start, start + message.ps));
            self.record(
                message.from as usize,
                place,
                (start, start + message.ps),
                Class::Communication,
                true,
            );
        }
        State::Ready
    }

    /// Ends a wait whose message has ended.
    fn arrived(&mut self, role: usize, side: Side, since: u64) -> bool {
        let Some((start, end)) = self.travels[side.message]
            .span
            .filter(|(_, end)| *end <= self.now)
        else {
            return false;
        };
        let travelling = end.saturating_sub(start.max(since)).min(self.now - since);
        self.times[role].communication += travelling;
        self.times[role].bubble += self.now - since - travelling;
        self.states[role] = State::Ready;
        true
    }

    /// When all roles that belong to a meeting have come, it begins.
    fn meet(&mut self) -> bool {
        let last = self.states.len().saturating_sub(1);
        let mut met = false;
        for meeting in [Joins::Ends, Joins::All] {
            let belongs = |role: &usize| meeting == Joins::All || [0, last].contains(role);
            let members: Vec<usize> = (0..self.states.len()).filter(belongs).collect();
            let came = |&role: &usize| matches!(self.states[role], State::Meeting(_, joins, _) if joins == meeting);
            if members.is_empty() || !members.iter().all(came) {
                continue;
            }
            for role in members {
                if let State::Meeting(work, _, since) = self.states[role] {
                    self.times[role].bubble += self.now - since;
                    self.states[role] = State::Working(work, work.ps, self.now);
                }
            }
            met = true;
        }
        met
    }

    fn account(&mut self, role: usize, work: &Work, start: u64) {
        let wall = self.now - start;
        let time = &mut self.times[role];
        match (work.class, work.once) {
            (Class::Communication, _) => time.communication += wall,
            (Class::Compute, true) => time.optimizer += wall,
            (Class::Compute, false) => time.compute += wall,
        }
        let times = (start, self.now);
        self.record(role, work.place, times, work.class, false);
    }

    fn record(
        &mut self,
        role: usize,
        place: Place,
        (start, end): (u64, u64),
        class: Class,
        transfer: bool,
    ) {
        if let Some(spans) = &mut self.spans {
            spans.push(Span {
                stage: role as u32,
                place,
                start,
                end,
                class,
                transfer,
            });
        }
    }

    /// Jumps to the next end of something.
    fn advance(&mut self) -> Result<(), Stuck> {
        let slow: Vec<u64> = self.slowdowns();
        let ends = self.states.iter().enumerate().filter_map(|(role, state)| {
            let queued = self.queued(role);
            match state {
                State::Working(_, left, _) => {
                    let end = self.now + wall(*left, slow[role]);
                    Some(if queued > self.now {
                        end.min(queued)
                    } else {
                        end
                    })
                }
                State::Waiting(side, _) => self.travels[side.message].span.map(|(_, end)| end),
                State::Joining(number, _) => Some(self.beside[role][*number]),
                State::Ready | State::Meeting(..) | State::Done => None,
            }
        });
        let Some(next) = ends.min() else {
            return Err(self.stuck());
        };
        let passed = next - self.now;
        for (state, &slow) in self.states.iter_mut().zip(&slow) {
            if let State::Working(_, left, _) = state {
                let ended = wall(*left, slow) <= passed;
                let done = u128::from(passed) * MILLION / u128::from(slow);
                *left = if ended {
                    0
                } else {
                    left.saturating_sub(done as u64).max(1)
                };
            }
        }
        self.now = next;
        Ok(())
    }

    /// For each role, how many millionths longer its work takes now.
    fn slowdowns(&self) -> Vec<u64> {
        let mut slow = self.crowding();
        for (role, (slow, state)) in slow.iter_mut().zip(&self.states).enumerate() {
            let computes =
                matches!(state, State::Working(work, ..) if work.class == Class::Compute);
            if computes && self.queued(role) > self.now {
                *slow = (u128::from(*slow) * u128::from(INTERFERENCE) / MILLION) as u64;
            }
        }
        slow
    }

    /// For each role, how many millionths longer its work takes since others work on the same cores.
    fn crowding(&self) -> Vec<u64> {
        let Some(sharing) = &self.program.sharing else {
            return vec![MILLION as u64; self.states.len()];
        };
        let nodes = sharing
            .nodes
            .iter()
            .flatten()
            .map(|&(node, _)| node as usize + 1)
            .max()
            .unwrap_or(0);
        let mut load = vec![0u64; nodes];
        for (state, nodes) in self.states.iter().zip(&sharing.nodes) {
            if let State::Working(work, ..) = state {
                nodes.iter().for_each(|&(node, ranks)| {
                    load[node as usize] += u64::from(ranks) * u64::from(work.busy)
                });
            }
        }
        let worst = |nodes: &Vec<(u32, u32)>| {
            nodes
                .iter()
                .map(|&(node, _)| load[node as usize])
                .max()
                .unwrap_or(0)
        };
        sharing
            .nodes
            .iter()
            .map(|nodes| sharing.slowdown(worst(nodes)))
            .collect()
    }

    fn stuck(&self) -> Stuck {
        let place = |state: &State| match state {
            State::Waiting(side, _) => Some(side.place.slot),
            State::Meeting(work, ..) => Some(work.place.slot),
            State::Ready | State::Working(..) | State::Joining(..) | State::Done => None,
        };
        let found = self
            .states
            .iter()
            .enumerate()
            .find_map(|(stage, state)| place(state).map(|slot| (stage, slot)));
        let (stage, slot) = found.unwrap_or((0, 0));
        Stuck {
            at: self.now,
            stage,
            slot,
        }
    }
}

fn wall(left: u64, slow: u64) -> u64 {
    (u128::from(left) * u128::from(slow)).div_ceil(MILLION) as u64
}

impl Sharing {
    /// Slow-down in millionths when so many millionths of ranks work: between the points straight, beyond them in proportion.
    pub fn slowdown(&self, load: u64) -> u64 {
        let (first, last) = (self.curve[0], self.curve[self.curve.len() - 1]);
        if load <= first.0 {
            return first.1;
        }
        if load >= last.0 {
            return (u128::from(last.1) * u128::from(load) / u128::from(last.0)) as u64;
        }
        let upper = self
            .curve
            .iter()
            .position(|point| point.0 >= load)
            .unwrap_or(self.curve.len() - 1)
            .max(1);
        let ((x0, y0), (x1, y1)) = (self.curve[upper - 1], self.curve[upper]);
        let rise = i128::from(y1) - i128::from(y0);
        (i128::from(y0) + rise * i128::from(load - x0) / i128::from(x1 - x0)) as u64
    }

    /// The least time in which the cores of so many nodes can do so much work (picoseconds of single ranks, summed), whoever does it.
    pub fn least(&self, work: u128, nodes: u32) -> u64 {
        let time = |&(load, slow): &(u64, u64)| {
            work * u128::from(slow) / u128::from(load.max(1)) / u128::from(nodes.max(1))
        };
        self.curve.iter().map(time).min().unwrap_or(0) as u64
    }
}
