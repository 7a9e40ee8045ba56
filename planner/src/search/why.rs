//! "Why not?": the best placement with one field pinned otherwise, beside the chosen one, or the reason there is none.

use pleach_dsl::experiment::Experiment;
use pleach_dsl::wish::Choice;
use pleach_plan::hardware::Hardware;

use super::{Answer, Evaluated, Options, Rejected, gibibytes, plan, seconds};

/// A field of the placement set to a value: `tp = 8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Nodes of the cluster.
    Nodes(u64),
    /// Tensor-parallel ranks.
    Tp(u64),
    /// Stages.
    Pp(u64),
    /// Replicas.
    Dp(u64),
    /// ZeRO stage.
    Zero(u64),
    /// Sequences at once.
    MicroBatch(u64),
    /// What forward keeps.
    Recompute(String),
    /// Whether the residual stream is sharded over the sequence.
    SequenceParallel(bool),
}

/// The text is no pin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` says no field and value; write for example `tp = 8`, with one of {FIELDS}")]
pub struct NoPin {
    text: String,
}

const FIELDS: &str = "nodes, tp, pp, dp, zero, micro_batch, recompute, sequence_parallel";

/// What came of a question.
#[derive(Clone, Debug)]
pub struct WhyNot {
    /// The question: `tp = 8`.
    pub question: String,
    /// The best with that pin, where there is one (it may not fit).
    pub best: Option<Evaluated>,
    /// The answer in a sentence.
    pub verdict: String,
    /// What was rejected under the pin.
    pub rejected: Vec<Rejected>,
}

impl Pin {
    /// Reads `field = value`; `plan.` before the field may be written.
    ///
    /// # Errors
    /// Another form, an unknown field, or a value of another kind.
    pub fn parse(text: &str) -> Result<Self, NoPin> {
        let wrong = || NoPin {
            text: text.to_owned(),
        };
        let (field, value) = text.split_once('=').ok_or_else(wrong)?;
        let (field, value) = (
            field
                .trim()
                .trim_start_matches("plan.")
                .trim_start_matches("cluster."),
            value.trim_start_matches('=').trim(),
        );
        let number = || {
            value
                .split_whitespace()
                .next()
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(wrong)
        };
        Ok(match field {
            "nodes" => Pin::Nodes(number()?),
            "tp" => Pin::Tp(number()?),
            "pp" => Pin::Pp(number()?),
            "dp" => Pin::Dp(number()?),
            "zero" => Pin::Zero(number()?),
            "micro_batch" => Pin::MicroBatch(number()?),
            "recompute" => Pin::Recompute(value.to_owned()),
            "sequence_parallel" => Pin::SequenceParallel(value.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        })
    }

    /// The experiment with this pin in place of what it says of the field.
    pub fn apply(&self, experiment: &Experiment) -> Experiment {
        let mut pinned = experiment.clone();
        let wishes = &mut pinned.plan;
        match self.clone() {
            Pin::Nodes(value) => return experiment.on_nodes(value),
            Pin::Tp(value) => wishes.tp = Choice::Fixed(value),
            Pin::Pp(value) => wishes.pp = Choice::Fixed(value),
            Pin::Dp(value) => wishes.dp = Choice::Fixed(value),
            Pin::Zero(value) => wishes.zero = Choice::Fixed(value),
            Pin::MicroBatch(value) => wishes.micro_batch = Choice::Fixed(value),
            Pin::Recompute(value) => wishes.recompute = Choice::Fixed(value),
            Pin::SequenceParallel(value) => wishes.sequence_parallel = Choice::Fixed(value),
        }
        pinned
    }
}

/// Answers why the chosen placement is not another one.
///
/// # Errors
/// The question is not of the form `field = value`.
pub fn why_not(
    experiment: &Experiment,
    hardware: &Hardware,
    answer: &Answer,
    question: &str,
) -> Result<WhyNot, NoPin> {
    let pinned = Pin::parse(question)?.apply(experiment);
    let question = question.trim().to_owned();
    Ok(match plan(&pinned, hardware, Options { alternatives: 0 }) {
        Err(nowhere) => {
            let reasons: Vec<String> = nowhere
                .rejected
                .iter()
                .map(|region| format!("{}: {}", region.what, region.why))
                .collect();
            WhyNot {
                question,
                best: None,
                verdict: format!("it cannot be: {}", reasons.join("; ")),
                rejected: nowhere.rejected,
            }
        }
        Ok(other) => {
            let verdict = compare(&answer.chosen, &other);
            WhyNot {
                question,
                best: Some(other.chosen),
                verdict,
                rejected: other.rejected,
            }
        }
    })
}

fn compare(chosen: &Evaluated, other: &Answer) -> String {
    let best = &other.chosen;
    if (best.nodes, &best.placement) == (chosen.nodes, &chosen.placement) {
        return "it is the chosen placement".to_owned();
    }
    if !best.fits() {
        let [peak, capacity] = [best.peak(), best.capacity].map(gibibytes);
        return format!(
            "it does not fit: {peak} of {capacity} on stage {} at best",
            best.fullest()
        );
    }
    let [own, theirs] = [chosen.simulation.step, best.simulation.step];
    let [step, against] = [theirs, own].map(seconds);
    let percent = (theirs as f64 / own.max(1) as f64 - 1.0) * 100.0;
    if theirs >= own {
        return format!("slower: {step} a step against {against} (+{percent:.1} %)");
    }
    let gain = format!("faster: {step} a step against {against} ({percent:.1} %)");
    if other.feasible == 0 {
        return format!("{gain}, but it breaks a law of the spec");
    }
    format!("{gain}; the spec's pins or goals chose otherwise")
}
