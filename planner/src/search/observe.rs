//! One measurement of a placement, taken into the device's table: every other placement is predicted again with it.
//!
//! A single time cannot tell computing from communicating. Both are as uncertain as the band says, so each takes of the error what is
//! likeliest then: in proportion to its share of the step. An alternative that communicates more than what was measured so moves less
//! where computing was to blame. Of memory, weights, gradients and the optimizer's state are known to the byte, so only the rest of it is multiplied.

use pleach_dsl::experiment::Experiment;
use pleach_plan::hardware::{Hardware, Observed};

use super::evaluate::Evaluated;
use crate::cost::{Costs, PICO};
use crate::report::model;
use crate::report::screen::{gibibytes, seconds};
use crate::simulate::{self, Detail};

/// Something that was measured of the chosen placement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measured {
    /// Seconds of a step.
    Step(f64),
    /// Tokens a second, of all GPUs.
    TokensPerSecond(f64),
    /// Bytes of the fullest rank, as the device shows them.
    Memory(f64),
}

/// The text is no measurement, or one that no run can give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoMeasurement {
    /// Another form.
    #[error(
        "`{0}` is no measurement; write `step=5.1s`, `tokens_per_second=93_000` or `memory=31.2GiB`"
    )]
    Form(String),
    /// So far from what was predicted that the unit must be another.
    #[error("{measured} is {} what was predicted ({predicted}): no run is so far off; is the unit right?", if *.more { "more than 1,000 times" } else { "less than a thousandth of" })]
    Beyond {
        /// What was said.
        measured: String,
        /// What was predicted.
        predicted: String,
        /// Whether it is more.
        more: bool,
    },
    /// Less memory than is known to be held.
    #[error("{measured} cannot be: weights, gradients and the optimizer's state alone are {state}")]
    TooLittle {
        /// What was said.
        measured: String,
        /// What is known.
        state: String,
    },
}

/// Units with what they are worth: of seconds and of bytes.
const SECONDS: [(&str, f64); 5] = [
    ("ms", 1e-3),
    ("us", 1e-6),
    ("min", 60.0),
    ("s", 1.0),
    ("", 1.0),
];
const BYTES: [(&str, f64); 4] = [
    ("GiB", 1_073_741_824.0),
    ("MiB", 1_048_576.0),
    ("GB", 1e9),
    ("MB", 1e6),
];

impl Measured {
    /// Reads `step=5.1s`.
    ///
    /// # Errors
    /// Another form, an unknown figure or unit, or a number that is not above zero.
    pub fn parse(text: &str) -> Result<Self, NoMeasurement> {
        let wrong = || NoMeasurement::Form(text.to_owned());
        let (figure, value) = text.split_once('=').ok_or_else(wrong)?;
        let value = value.trim().replace('_', "");
        let amount = |units: &[(&str, f64)]| {
            let found = units.iter().find_map(|(unit, worth)| {
                let number: f64 = value.strip_suffix(unit)?.trim().parse().ok()?;
                Some(number * worth)
            });
            found
                .filter(|number| number.is_finite() && *number > 0.0)
                .ok_or_else(wrong)
        };
        match figure.trim() {
            "step" | "step_time" => amount(&SECONDS).map(Measured::Step),
            "tokens_per_second" => amount(&[("", 1.0)]).map(Measured::TokensPerSecond),
            "memory" | "memory.peak" => amount(&BYTES).map(Measured::Memory),
            _ => Err(wrong()),
        }
    }
}

/// The table with measurements of a placement taken into it.
///
/// # Errors
/// A measurement that no run can give.
pub fn observe(
    experiment: &Experiment,
    hardware: &Hardware,
    chosen: &Evaluated,
    measured: &[Measured],
) -> Result<Hardware, NoMeasurement> {
    for one in measured {
        believable(experiment, chosen, one)?;
    }
    let mut observed = Observed::default();
    let mut time = |step: f64| times(&mut observed, experiment, hardware, (chosen, step));
    for one in measured {
        match *one {
            Measured::Step(measured) => time(measured),
            Measured::TokensPerSecond(rate) => time(model::tokens(experiment) / rate),
            Measured::Memory(_) => {}
        }
    }
    for one in measured {
        match *one {
            Measured::Step(_) | Measured::TokensPerSecond(_) => {}
            Measured::Memory(measured) => memory(&mut observed, measured, chosen)?,
        }
    }
    Ok(Hardware {
        observed: Some(observed),
        ..hardware.clone()
    })
}

/// How far measurements may lie from predictions, as a factor.
const FAR: f64 = 1000.0;

fn believable(
    experiment: &Experiment,
    chosen: &Evaluated,
    measured: &Measured,
) -> Result<(), NoMeasurement> {
    let step = chosen.simulation.step as f64 / PICO;
    let rate = |rate: f64| format!("{rate:.3e} tokens/s");
    let (found, predicted, [shown, wanted]) = match *measured {
        Measured::Step(found) => (found, step, [found, step].map(seconds)),
        Measured::TokensPerSecond(found) => {
            let predicted = model::tokens(experiment) / step;
            (found, predicted, [found, predicted].map(rate))
        }
        Measured::Memory(found) => {
            let peak = chosen.peak() as f64;
            let bytes = |bytes: f64| format!("{:.1} GiB", bytes / f64::from(1 << 30));
            (found, peak, [found, peak].map(bytes))
        }
    };
    let factor = found / predicted;
    if (1.0 / FAR..=FAR).contains(&factor) {
        return Ok(());
    }
    Err(NoMeasurement::Beyond {
        measured: shown,
        predicted: wanted,
        more: factor > 1.0,
    })
}

/// Takes a measured step in: factors of computing and communicating with which the chosen placement takes so long.
fn times(
    observed: &mut Observed,
    experiment: &Experiment,
    hardware: &Hardware,
    (chosen, measured): (&Evaluated, f64),
) {
    let predicted = chosen.simulation.step as f64 / PICO;
    let shares = shares(chosen);
    let factors = |part: f64| {
        let squares: f64 = shares.iter().map(|share| share * share).sum();
        shares.map(|share| libm::exp(part * share / squares))
    };
    let with = |part: f64| {
        let [compute, communication] = factors(part);
        let mut table = hardware.clone();
        table.observed = Some(Observed {
            compute: Some(compute),
            communication: Some(communication),
            ..Observed::default()
        });
        let costs = Costs::new(&chosen.plan, &table, &experiment.cluster);
        let step = simulate::run(&costs, Detail::Calls).map(|simulation| simulation.step);
        step.map_or(predicted, |step| step as f64 / PICO)
    };
    let part = found(libm::log(measured / predicted), |part| {
        libm::log(with(part) / measured)
    });
    let [compute, communication] = factors(part);
    observed.compute = Some(compute);
    observed.communication = Some(communication);
    // What waiting left over of it.
    observed.time = Some(measured / with(part));
    let [measured, predicted] = [measured, predicted].map(seconds);
    observed.about.push(format!(
        "a step of {measured} where {predicted} were predicted: computing is multiplied by {compute:.3}, communicating by {communication:.3}, each by its share of the step"
    ));
}

/// Computing and communicating of a step, of both together.
fn shares(chosen: &Evaluated) -> [f64; 2] {
    let mean = chosen.simulation.mean();
    let compute = (mean.compute + mean.optimizer) as f64;
    let communication = mean.communication as f64;
    let both = (compute + communication).max(1.0);
    [compute / both, communication / both]
}

/// Steps of the search for the part.
const TRIES: usize = 8;

/// Where a rising function is zero, by secants from zero and a guess.
fn found(guess: f64, function: impl Fn(f64) -> f64) -> f64 {
    let (mut last, mut next) = ((0.0, function(0.0)), guess);
    for _ in 0..TRIES {
        let value = function(next);
        let rise = (value - last.1) / (next - last.0);
        if value == 0.0 || !rise.is_normal() || rise <= 0.0 {
            break;
        }
        last = (next, value);
        next -= value / rise;
    }
    next
}

fn memory(observed: &mut Observed, measured: f64, chosen: &Evaluated) -> Result<(), NoMeasurement> {
    let fullest = &chosen.memory[chosen.fullest()];
    let state = fullest.parameters + fullest.gradients + fullest.optimizer;
    let shown = gibibytes(measured as u64);
    if measured <= state as f64 {
        return Err(NoMeasurement::TooLittle {
            measured: shown,
            state: gibibytes(state),
        });
    }
    let factor = (measured - state as f64) / (fullest.peak - state).max(1) as f64;
    observed.memory = Some(factor);
    let [peak, state] = [fullest.peak, state].map(gibibytes);
    observed.about.push(format!(
        "{shown} on a rank where {peak} were predicted: all but its {state} of weights, gradients and optimizer is multiplied by {factor:.3}"
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use pleach_dsl::wish::Choice;

    use super::*;
    use crate::hardware::{self, bands};
    use crate::search::tests::experiment;
    use crate::search::{Options, plan};

    #[test]
    fn measurements_are_read_with_their_units() {
        assert_eq!(Measured::parse("step=5.1s"), Ok(Measured::Step(5.1)));
        assert_eq!(Measured::parse("step = 250 ms"), Ok(Measured::Step(0.25)));
        assert_eq!(
            Measured::parse("memory=2GiB"),
            Ok(Measured::Memory(2_147_483_648.0))
        );
        let rate = Measured::parse("tokens_per_second=93_000");
        assert_eq!(rate, Ok(Measured::TokensPerSecond(93_000.0)));
        for wrong in [
            "step",
            "step=fast",
            "speed=3s",
            "step=-1s",
            "memory=3",
            "step=3GiB",
            "step=infs",
        ] {
            assert!(Measured::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_a_thousand_times_off_is_another_unit() {
        let experiment = experiment("a100_40g", [1, 4], [4, 512, 8, 8]);
        let plain = hardware::find("a100_40g", None).unwrap();
        let chosen = plan(&experiment, &plain, Options::default())
            .unwrap()
            .chosen;
        let step = chosen.simulation.step as f64 / PICO;
        let rate = model::tokens(&experiment) / step;
        let peak = chosen.peak() as f64;
        let kinds: [fn(f64) -> Measured; 3] =
            [Measured::Step, Measured::TokensPerSecond, Measured::Memory];
        for (of, predicted) in kinds.into_iter().zip([step, rate, peak]) {
            for (factor, is_more) in [(2e3, true), (5e-4, false)] {
                let told = observe(&experiment, &plain, &chosen, &[of(predicted * factor)]);
                let refused =
                    matches!(told, Err(NoMeasurement::Beyond { more, .. }) if more == is_more);
                assert!(refused, "{factor}: {told:?}");
            }
            assert!(observe(&experiment, &plain, &chosen, &[of(predicted * 3.0)]).is_ok());
        }
    }

    /// What was measured is predicted from then on, bands lie around it, and the pruned search stays the optimum.
    #[test]
    fn every_placement_is_predicted_anew() {
        let mut experiment = experiment("a100_40g", [1, 4], [4, 512, 8, 8]);
        experiment.plan.micro_batch = Choice::OneOf(vec![1, 2]);
        let plain = hardware::find("a100_40g", None).unwrap();
        let before = plan(&experiment, &plain, Options::default()).unwrap();
        let (step, peak) = (
            before.chosen.simulation.step as f64,
            before.chosen.peak() as f64,
        );
        for (slower, larger) in [(1.25, 1.1), (0.8, 0.9)] {
            let measured = [
                Measured::Step(step / PICO * slower),
                Measured::Memory(peak * larger),
            ];
            let table = observe(&experiment, &plain, &before.chosen, &measured).unwrap();
            let after = plan(&experiment, &table, Options::default()).unwrap();
            let exhaustive =
                crate::search::exhaustive(&experiment, &table, Options::default()).unwrap();
            assert_eq!(after.chosen.placement, exhaustive.chosen.placement);
            let same = |one: &&Evaluated| one.placement == before.chosen.placement;
            let all = || std::iter::once(&after.chosen).chain(&after.alternatives);
            let own = all().find(same).unwrap();
            assert!((own.simulation.step as f64 / (step * slower) - 1.0).abs() < 1e-6);
            assert!((own.peak() as f64 / (peak * larger) - 1.0).abs() < 1e-6);
            let parts = own.simulation.mean();
            let sum = parts.compute + parts.communication + parts.bubble + parts.optimizer;
            assert!((sum as f64 / own.simulation.step as f64 - 1.0).abs() < 1e-3);
            let [wide, narrow] = [&plain, &table].map(|table| bands::of(table, "pleach").step);
            assert!((narrow.low - wide.low / wide.median).abs() < 1e-9 && narrow.median == 1.0);
        }
        let state = [Measured::Memory(1e6)];
        assert!(observe(&experiment, &plain, &before.chosen, &state).is_err());
    }

    /// What was measured computes for the most part: so what mostly communicates moves less, and the other way round.
    #[test]
    fn the_part_that_was_measured_takes_the_error() {
        let mut experiment = experiment("a100_80g", [4, 4], [4, 2048, 16, 256]);
        experiment.plan.recompute = Choice::Fixed("none".into());
        experiment.plan.micro_batch = Choice::Fixed(1);
        let plain = hardware::find("a100_80g", None).unwrap();
        let with = |zero: u64, table: &Hardware| {
            let mut pinned = experiment.clone();
            pinned.plan.zero = Choice::Fixed(zero);
            pinned.plan.tp = Choice::Fixed(1);
            pinned.plan.pp = Choice::Fixed(1);
            let answer = plan(&pinned, table, Options { alternatives: 0 });
            answer.unwrap().chosen
        };
        let [near, wide] = [0, 3].map(|zero| with(zero, &plain));
        let [computes, communicates] = [&near, &wide].map(shares);
        assert!(
            computes[0] > communicates[0] + 0.2,
            "{computes:?} {communicates:?}"
        );
        for (measured, other) in [(&near, 3), (&wide, 0)] {
            let slower = measured.simulation.step as f64 / PICO * 1.3;
            let taken = [Measured::Step(slower)];
            let table = observe(&experiment, &plain, measured, &taken).unwrap();
            let own = with(measured.placement.zero.into(), &table);
            assert!((own.simulation.step as f64 / PICO / slower - 1.0).abs() < 1e-6);
            let before = with(other, &plain).simulation.step as f64;
            let moved = with(other, &table).simulation.step as f64 / before;
            assert!(moved > 1.0 && moved < 1.29, "{other}: {moved}");
        }
    }
}
