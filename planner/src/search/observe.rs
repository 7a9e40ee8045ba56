//! One measurement of a placement, taken into the device's table: every other placement is predicted again with it.
//!
//! A single time cannot tell computing from communicating, so all times are multiplied by measured over predicted. Of memory, weights,
//! gradients and the optimizer's state are known to the byte, so only the rest of it is multiplied.

use pleach_dsl::experiment::Experiment;
use pleach_plan::hardware::{Hardware, Observed};

use super::evaluate::Evaluated;
use crate::cost::PICO;
use crate::report::model;
use crate::report::screen::{gibibytes, seconds};

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
    let mut observed = Observed::default();
    let step = chosen.simulation.step as f64 / PICO;
    for one in measured {
        match *one {
            Measured::Step(measured) => time(&mut observed, [measured, step]),
            Measured::TokensPerSecond(rate) => {
                time(&mut observed, [model::tokens(experiment) / rate, step]);
            }
            Measured::Memory(measured) => memory(&mut observed, measured, chosen)?,
        }
    }
    Ok(Hardware {
        observed: Some(observed),
        ..hardware.clone()
    })
}

fn time(observed: &mut Observed, [measured, predicted]: [f64; 2]) {
    let factor = measured / predicted;
    let [measured, predicted] = [measured, predicted].map(seconds);
    observed.time = Some(factor);
    observed.about.push(format!(
        "a step of {measured} where {predicted} were predicted: all times, computing and communicating alike, are multiplied by {factor:.3}"
    ));
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
}
