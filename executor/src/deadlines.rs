//! How long an instruction may take before the run is given up: what the plan says it takes, times how much slower this machine has shown
//! itself to be, times a wide margin.
//!
//! In come the plan's predictions and the seconds of the run's own steps, out comes for each instruction what is [`Allowed`], with its
//! arithmetic in words. The rule, in one place:
//!
//! - What a rank computes alone is allowed [`MARGIN`] times the plan's seconds times the measured ratio. The ratio is the longest of the last
//!   [`REMEMBERED`] steps over the plan's step: a machine that was never measured is off by a factor, and the run itself knows by which.
//! - A collective, a transfer or an agreement waits for others, who may have a whole step to do until they come: it is allowed as
//!   much as a step.
//! - Nothing is allowed less than [`FLOOR`]: what is short is held up by the system far longer than by itself.
//! - Nothing is allowed more than `--deadline` says, and that holds alone where there is nothing to derive from: in the first
//!   [`LEARNT`] steps, where a plan carries no prediction, and, until a step has ended behind it, beside what no plan predicts (reading, saving,
//!   measuring what is held out), since others may still be at that.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pleach_plan::Plan;

use crate::place::{Place, What};

/// How many times as long as expected something may take.
const MARGIN: f64 = 50.0;
/// What everything is allowed.
const FLOOR: Duration = Duration::from_secs(30);
/// Steps that the ratio is taken from.
const REMEMBERED: usize = 16;
/// Steps before anything is derived; the first of them, which warms libraries up, does not count.
const LEARNT: usize = 3;

/// Picoseconds of a second.
const PICO: f64 = 1e12;

/// What something is allowed, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowed {
    /// How long.
    pub limit: Duration,
    derived: Option<Derived>,
}

/// What an allowance was derived from.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Derived {
    /// The plan's seconds.
    planned: f64,
    /// Whether these are a step's.
    of_step: bool,
    /// How many times as long this machine takes.
    ratio: f64,
}

impl Allowed {
    /// What was asked for, for whatever it is.
    pub fn asked(limit: Duration) -> Self {
        let derived = None;
        Allowed { limit, derived }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.limit.as_secs_f64();
        let Some(derived) = self.derived else {
            return write!(out, "{} are allowed", seconds(limit));
        };
        let Derived {
            planned,
            ratio,
            of_step,
        } = derived;
        let of = if of_step { " for a step" } else { "" };
        let planned_text = seconds(planned);
        write!(
            out,
            "the plan says {planned_text}{of}, this machine takes {ratio:.1} times that, {MARGIN} times as long is allowed"
        )?;
        if limit > planned * ratio * MARGIN {
            return write!(out, ", and nothing less than {}", seconds(limit));
        }
        if limit < planned * ratio * MARGIN {
            return write!(out, ", but nothing more than {}", seconds(limit));
        }
        Ok(())
    }
}

/// Seconds with the unit that they are read in.
fn seconds(value: f64) -> String {
    let units = [(1.0, "s"), (1e-3, "ms"), (1e-6, "us")];
    let (size, unit) = units
        .into_iter()
        .find(|(size, _)| value >= *size)
        .unwrap_or((1e-6, "us"));
    let digits = usize::from(value / size < 10.0 && (value / size).fract() > 0.05);
    format!("{:.digits$} {unit}", value / size)
}

/// What is allowed in a run.
#[derive(Debug)]
pub struct Deadlines {
    longest: Duration,
    step: f64,
    /// Seconds of each instruction of each body.
    bodies: HashMap<String, Vec<f64>>,
    /// Measured over planned, of the last steps.
    ratios: VecDeque<f64>,
    seen: usize,
    /// Whether something that no plan predicts may still go on.
    unpredicted: bool,
}

impl Deadlines {
    /// For a run of a plan in which nothing may take longer than this.
    pub fn new(plan: &Plan, longest: Duration) -> Self {
        let prediction = plan.prediction.as_ref();
        let planned = prediction.map_or(&[][..], |own| &own.instructions_ps);
        let bodies = plan.bodies.iter().zip(planned);
        let all = |own: &[u64]| own.iter().map(|&ps| ps as f64 / PICO).collect();
        Deadlines {
            longest,
            step: prediction.map_or(0.0, |own| own.step_ps as f64 / PICO),
            bodies: bodies
                .map(|(body, own)| (body.name.clone(), all(own)))
                .collect(),
            ratios: VecDeque::with_capacity(REMEMBERED),
            seen: 0,
            unpredicted: false,
        }
    }

    /// So long for everything.
    pub fn flat(longest: Duration) -> Self {
        Deadlines {
            longest,
            step: 0.0,
            bodies: HashMap::new(),
            ratios: VecDeque::new(),
            seen: 0,
            unpredicted: false,
        }
    }

    /// A step has ended after so many seconds.
    pub fn step_took(&mut self, seconds: f64) {
        self.unpredicted = false;
        self.seen += 1;
        if self.step <= 0.0 || self.seen == 1 {
            return;
        }
        if self.ratios.len() == REMEMBERED {
            self.ratios.pop_front();
        }
        self.ratios.push_back(seconds / self.step);
    }

    /// Something begins that no plan predicts; it is allowed the longest.
    pub fn begin_unpredicted(&mut self) -> Allowed {
        self.unpredicted = true;
        Allowed::asked(self.longest)
    }

    /// What is allowed at a place.
    pub fn at(&self, place: &Place<'_>) -> Allowed {
        match place.what {
            What::Instruction {
                body, index, instr, ..
            } if instr.op.group().is_none() => {
                let planned = self.bodies.get(body).and_then(|own| own.get(index));
                self.derive(planned.copied(), false)
            }
            _ => self.waiting(),
        }
    }

    /// What waiting for others is allowed.
    pub fn waiting(&self) -> Allowed {
        self.derive(Some(self.step), true)
    }

    fn derive(&self, planned: Option<f64>, of_step: bool) -> Allowed {
        let known = self.seen >= LEARNT && !self.unpredicted && self.step > 0.0;
        let Some(planned) = planned.filter(|_| known) else {
            return Allowed::asked(self.longest);
        };
        let ratio = self.ratios.iter().copied().fold(0.0, f64::max);
        let limit = Duration::try_from_secs_f64(planned * ratio * MARGIN).unwrap_or(self.longest);
        let derived = Some(Derived {
            planned,
            of_step,
            ratio,
        });
        let limit = limit.max(FLOOR).min(self.longest);
        Allowed { limit, derived }
    }
}

/// What the instruction under way is allowed, for those inside of it who wait.
#[derive(Clone, Debug)]
pub struct Patience(Arc<Mutex<Allowed>>);

impl Patience {
    /// So long for everything, until something else is said.
    pub fn new(limit: Duration) -> Self {
        Patience(Arc::new(Mutex::new(Allowed::asked(limit))))
    }

    /// From now on.
    pub fn set(&self, allowed: Allowed) {
        *self.lock() = allowed;
    }

    /// Now.
    pub fn get(&self) -> Allowed {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Allowed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(300);

    fn deadlines(step: f64) -> Deadlines {
        Deadlines {
            step,
            ..Deadlines::flat(LONGEST)
        }
    }

    #[test]
    fn before_a_run_has_shown_its_pace_the_longest_holds() {
        let mut own = deadlines(0.04);
        for seconds in [9.0, 0.2] {
            own.step_took(seconds);
            assert_eq!(own.derive(Some(0.04), false), Allowed::asked(LONGEST));
        }
        own.step_took(0.248);
        let allowed = own.derive(Some(0.04), false);
        assert_eq!(allowed.limit, FLOOR, "the slow first step does not count");
        let text = allowed.to_string();
        assert_eq!(
            text,
            "the plan says 40 ms, this machine takes 6.2 times that, 50 times as long is allowed, and nothing less than 30 s"
        );
    }

    #[test]
    fn a_long_instruction_is_allowed_many_times_itself_and_a_wait_a_step() {
        let mut own = deadlines(4.0);
        (0..4).for_each(|_| own.step_took(2.0));
        let allowed = own.derive(Some(1.6), false);
        assert_eq!(allowed.limit.as_secs_f64().round(), 40.0);
        assert!(
            allowed.to_string().ends_with("50 times as long is allowed"),
            "{allowed}"
        );
        let waiting = own.waiting();
        assert_eq!(waiting.limit.as_secs_f64().round(), 100.0);
        assert!(waiting.to_string().contains("4 s for a step"), "{waiting}");
        own.step_took(20.0);
        assert_eq!(
            own.waiting().limit,
            LONGEST,
            "a machine that becomes slower is given more"
        );
        (0..REMEMBERED).for_each(|_| own.step_took(2.0));
        assert_eq!(
            own.waiting().limit.as_secs_f64().round(),
            100.0,
            "and less when it recovers"
        );
    }

    #[test]
    fn what_no_plan_predicts_makes_others_wait_too() {
        let mut own = deadlines(0.04);
        (0..4).for_each(|_| own.step_took(0.04));
        assert_eq!(own.begin_unpredicted().limit, LONGEST);
        assert_eq!(own.waiting().limit, LONGEST, "others may still be at it");
        own.step_took(0.04);
        assert_eq!(own.waiting().limit, FLOOR);
        assert_eq!(deadlines(0.0).waiting().limit, LONGEST, "no prediction");
        assert_eq!(own.derive(None, false).limit, LONGEST);
    }
}
