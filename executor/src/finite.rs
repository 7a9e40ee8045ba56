//! Steps that are not finite: in comes what a step reported, out comes whether its update was made, and what the run does next.
//!
//! Every rank has the same report and the same state, so that all decide alike without asking each other.

use pleach_plan::{NotFinite, Scaling, Standing, Training};

use crate::error::{Exit, Failure};

/// What follows a step.
#[derive(Debug)]
pub enum Verdict {
    /// Its update was made.
    Applied,
    /// Its update was left out, for this reason.
    Skipped(String),
    /// The run goes back to its last checkpoint, for this reason.
    RollBack(String),
    /// The run ends; the state is that before the step.
    Halt(Box<Failure>),
}

/// How a run stands.
#[derive(Clone, Debug)]
pub struct Finite(pub Standing);

impl Finite {
    /// Before the first step.
    pub fn new(training: &Training) -> Self {
        Finite(Standing::new(training.scaling.as_ref()))
    }

    /// Goes back to the loss scale of a checkpoint; what is counted stays, since the run did go back.
    pub fn go_back(&mut self, to: Standing) {
        self.0.guard = to.guard;
    }

    /// A step (from 0) is done and has left its report. Behind a halt all is as before the step, which a run that goes on begins with.
    pub fn judge(&mut self, training: &Training, step: u64, report: [f64; 2]) -> Verdict {
        let before = self.0.clone();
        let verdict = self.pass(training, step, report);
        if matches!(verdict, Verdict::Halt(_)) {
            self.0 = before;
        }
        verdict
    }

    fn pass(&mut self, training: &Training, step: u64, report: [f64; 2]) -> Verdict {
        let before = self.0.guard;
        let scaling = training.scaling.as_ref();
        let [loss, squares] = report;
        let is_finite = loss.is_finite() && squares.is_finite();
        self.0.guard.pass(is_finite, scaling);
        if is_finite {
            self.0.counts.in_a_row = 0;
            return Verdict::Applied;
        }
        if loss.is_finite() && before.can_fall(scaling) {
            let (was, now) = (before.scale, self.0.guard.scale);
            let text = format!(
                "step {}: gradients overflow at a loss scale of {was}; its update is left out, the scale is now {now}",
                step + 1
            );
            return Verdict::Skipped(text);
        }
        self.answer(training, step, report)
    }

    /// A rank's weights are not finite when `done` steps are, though the last one's report was: rows that no sample read do not show.
    pub fn found_spoilt(&mut self, training: &Training, done: u64, rank: u32) -> Verdict {
        let what = format!("after step {done} weights of rank {rank} are not finite");
        let counts = &mut self.0.counts;
        counts.spoilt += 1;
        match training.not_finite {
            NotFinite::RollBack { times } if counts.times() <= times => Verdict::RollBack(what),
            _ => Verdict::Halt(Box::new(spoilt(done, &what))),
        }
    }

    /// What the spec says of a step that is not finite with nothing to blame but itself.
    fn answer(&mut self, training: &Training, step: u64, report: [f64; 2]) -> Verdict {
        let what = said(training, step, report, self.0.guard.scale);
        let counts = &mut self.0.counts;
        match training.not_finite {
            NotFinite::Halt => Verdict::Halt(halt(training, step, &what)),
            NotFinite::Skip { in_a_row } => {
                counts.in_a_row += 1;
                match counts.in_a_row > in_a_row {
                    true => {
                        let limit = format!(
                            "; it follows {in_a_row} others that were left out, as many as `train.not_finite` allows"
                        );
                        Verdict::Halt(halt(training, step, &(what + &limit)))
                    }
                    false => Verdict::Skipped(format!("{what}; its update is left out")),
                }
            }
            NotFinite::RollBack { .. } if counts.again.contains(&step) => {
                Verdict::Skipped(format!("{what}, a second time; its update is left out"))
            }
            NotFinite::RollBack { times } => {
                counts.again.insert(step);
                match counts.times() > times {
                    true => {
                        let limit = format!(
                            "; the run has gone back {times} times, as often as `train.not_finite` allows"
                        );
                        Verdict::Halt(halt(training, step, &(what + &limit)))
                    }
                    false => Verdict::RollBack(what),
                }
            }
        }
    }
}

/// A state that must not be saved.
pub fn spoilt(step: u64, what: &str) -> Failure {
    let message = format!("{what}; this state is not saved");
    let failure = Failure::new(Exit::Fault, "pleach::worker::not_finite", message);
    let failure = Failure {
        step: Some(step),
        ..failure
    };
    failure.help(
        "the last checkpoint is from before; the memory of that rank's machine may be at fault",
    )
}

/// The step, what it reported, and the samples that it was made of.
fn said(training: &Training, step: u64, [loss, squares]: [f64; 2], scale: f64) -> String {
    let first = training.samples(step);
    let scaled = match training.scaling {
        Some(_) => format!(" at a loss scale of {scale}"),
        None => String::new(),
    };
    format!(
        "step {}: the loss is {loss} and the squared gradient norm {squares}{scaled}; the step's samples are {first} to {}",
        step + 1,
        first + training.global_batch - 1
    )
}

fn halt(training: &Training, step: u64, message: &str) -> Box<Failure> {
    let failure = Failure::new(Exit::Fault, "pleach::worker::not_finite", message);
    let failure = Failure {
        step: Some(step + 1),
        ..failure
    };
    let skips = match training.not_finite {
        NotFinite::Halt => ", or `train.not_finite = skip`, which leaves such steps out",
        NotFinite::Skip { .. } | NotFinite::RollBack { .. } => "",
    };
    let scale = match training.scaling {
        None => "",
        Some(Scaling { moving: None, .. }) => {
            "a smaller `train.precision.scale`, or none, which follows the gradients; "
        }
        Some(_) => {
            "the scale of the loss may be at `train.precision.min_scale`, or the loss itself beyond fp16; "
        }
    };
    Box::new(failure.help(format!(
        "nothing of this step was applied. In a new run: {scale}a lower learning rate or a tighter clip{skips}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_plan::{Begins, Dtype, Logging, Moving, Saving, Scaling, Schedule};

    const GOOD: [f64; 2] = [1.0, 2.0];
    const BAD: [f64; 2] = [f64::NAN, 2.0];
    const OVERFLOW: [f64; 2] = [1.0, f64::INFINITY];

    fn training(not_finite: NotFinite, scaling: Option<Scaling>) -> Training {
        Training {
            seed: 1,
            phase: None,
            begins: Begins::default(),
            steps: 10,
            global_batch: 8,
            micro_batch: 2,
            micro_steps: 4,
            sequence: 16,
            schedule: Schedule::Constant {
                peak: 1e-3,
                warmup: 0,
            },
            compute: Dtype::F16,
            accumulate: Dtype::F32,
            saving: Saving::at_the_end(1),
            logging: Logging::default(),
            evaluation: None,
            scaling,
            not_finite,
            lanes: None,
            weights: None,
        }
    }

    /// What follows each of some reports, in a word.
    fn words(training: &Training, reports: &[(u64, [f64; 2])]) -> Vec<&'static str> {
        let mut finite = Finite::new(training);
        let mut word =
            |&(step, report): &(u64, [f64; 2])| match finite.judge(training, step, report) {
                Verdict::Applied => "applied",
                Verdict::Skipped(_) => "skipped",
                Verdict::RollBack(_) => "back",
                Verdict::Halt(_) => "halt",
            };
        reports.iter().map(&mut word).collect()
    }

    #[test]
    fn so_many_in_a_row_are_left_out() {
        let skip = training(NotFinite::Skip { in_a_row: 2 }, None);
        let reports = [
            (0, BAD),
            (1, BAD),
            (2, GOOD),
            (3, BAD),
            (4, BAD),
            (5, OVERFLOW),
        ];
        let wanted = [
            "skipped", "skipped", "applied", "skipped", "skipped", "halt",
        ];
        assert_eq!(words(&skip, &reports), wanted);
    }

    #[test]
    fn what_happens_twice_is_left_out_and_what_does_not_is_not() {
        let back = training(NotFinite::RollBack { times: 2 }, None);
        let reports = [
            (3, BAD),
            (2, GOOD),
            (3, BAD),
            (4, GOOD),
            (5, BAD),
            (3, BAD),
            (5, GOOD),
            (6, BAD),
        ];
        let wanted = [
            "back", "applied", "skipped", "applied", "back", "skipped", "applied", "halt",
        ];
        assert_eq!(words(&back, &reports), wanted);
    }

    #[test]
    fn an_overflow_is_a_matter_of_the_scale_while_it_can_fall() {
        let moving = Moving {
            window: 100,
            hysteresis: 1,
            least: 2.0,
        };
        let scaling = Scaling {
            initial: 8.0,
            moving: Some(moving),
        };
        let halt = training(NotFinite::Halt, Some(scaling));
        let reports = [(0, OVERFLOW), (1, OVERFLOW), (2, OVERFLOW)];
        assert_eq!(words(&halt, &reports), ["skipped", "skipped", "halt"]);
        assert_eq!(words(&halt, &[(0, BAD)]), ["halt"]);
        let fixed = Scaling {
            initial: 8.0,
            moving: None,
        };
        let fixed = training(NotFinite::Halt, Some(fixed));
        assert_eq!(words(&fixed, &[(0, OVERFLOW)]), ["halt"]);
    }

    #[test]
    fn a_halt_names_the_samples_and_leaves_the_guard_as_it_was() {
        let halt = training(NotFinite::Halt, None);
        let mut finite = Finite::new(&halt);
        let before = finite.0.clone();
        let Verdict::Halt(failure) = finite.judge(&halt, 2, BAD) else {
            panic!("it halts");
        };
        assert!(
            failure.message.contains("samples are 16 to 23"),
            "{failure}"
        );
        assert_eq!((finite.0, failure.step), (before, Some(3)));
    }
}
