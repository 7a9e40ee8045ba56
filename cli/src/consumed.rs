//! What a run consumes of each component of its mix, against what was asked: counted from the order that its workers read.
//!
//! In come the phases of a run and their orders; out come a table for the screen, objects for programs and the run's record, and a warning for
//! each component that is passed over more often than its spec allows.

use std::ops::Range;

use pleach_data::order::{Order, Phases};
use pleach_plan::{DataPlan, Plan};
use pleach_storage::run::Consumed;

use crate::screen::{Screen, figures, table};

/// A phase of a run, or all of a run without phases.
#[derive(Debug)]
pub struct Stretch<'p> {
    /// The phase's name.
    pub phase: Option<&'p str>,
    /// Its data.
    pub data: &'p DataPlan,
    /// Steps of the run before it, and behind it.
    pub steps: Range<u64>,
    /// Samples of a step.
    pub batch: u64,
    /// Tokens of a sample.
    pub sequence: u64,
}

impl<'p> Stretch<'p> {
    /// The phases of a plan.
    pub fn of(plan: &'p Plan) -> Vec<Stretch<'p>> {
        let one = |phase: &'p Plan| Stretch {
            phase: phase.training.phase.as_deref(),
            data: &phase.data,
            steps: phase.training.begins.steps..phase.training.steps,
            batch: phase.training.global_batch,
            sequence: phase.training.sequence,
        };
        plan.phases().map(one).collect()
    }

    /// Those of its steps that lie in a range of the run's.
    fn inside(&self, steps: &Range<u64>) -> Range<u64> {
        let bound = |step: u64| step.clamp(self.steps.start, self.steps.end);
        bound(steps.start)..bound(steps.end)
    }
}

/// What a phase gave in some of its steps.
#[derive(Debug)]
pub struct Given {
    /// The heading of its table.
    title: String,
    /// Its components.
    pub rows: Vec<Consumed>,
    /// Tokens of one pass over each, and those that are never trained on.
    sizes: Vec<[u64; 2]>,
}

/// What the steps of a range consume, phase by phase.
pub fn given(stretches: &[Stretch<'_>], orders: &Phases, steps: &Range<u64>) -> Vec<Given> {
    let all = stretches.iter().zip(orders.orders());
    let touched = all.filter(|(stretch, _)| !stretch.inside(steps).is_empty());
    touched
        .map(|(stretch, order)| of_stretch(stretch, order, steps))
        .collect()
}

fn of_stretch(stretch: &Stretch<'_>, order: &Order, steps: &Range<u64>) -> Given {
    let steps = stretch.inside(steps);
    let samples = |step: u64| (step - stretch.steps.start) * stretch.batch;
    let before = order.counts(samples(steps.start));
    let until = order.counts(samples(steps.end));
    let row = |(number, component): (usize, &pleach_plan::Component)| {
        let samples = until[number] - before[number];
        Consumed {
            phase: stretch.phase.map(str::to_owned),
            component: component.name.clone(),
            asked: component.weight[0] as f64 / component.weight[1] as f64,
            samples,
            tokens: order.tokens(number, until[number]) - order.tokens(number, before[number]),
            epochs: order.epochs(number, until[number]),
            allowed_epochs: component.repeat,
        }
    };
    let samples = (steps.end - steps.start) * stretch.batch;
    let [from, to, all, samples, sequence, tokens] = [
        steps.start,
        steps.end,
        stretch.steps.end,
        samples,
        stretch.sequence,
        samples * stretch.sequence,
    ]
    .map(figures::count);
    let phase = stretch.phase.map(|name| format!("phase {name}, "));
    let parts = order.parts().iter();
    let sizes = parts.map(|part| [part.trained(), part.parts.held_out()]);
    Given {
        title: format!(
            "{}steps {from}..{to} of {all}: {samples} samples of {sequence} tokens, {tokens} tokens",
            phase.unwrap_or_default()
        ),
        rows: stretch.data.mix.iter().enumerate().map(row).collect(),
        sizes: sizes.collect(),
    }
}

/// Warns of what is passed over more often than its spec allows.
pub fn warn(screen: &Screen, all: &[Given]) {
    for row in all.iter().flat_map(|given| &given.rows) {
        if row.epochs <= row.allowed_epochs || row.samples == 0 {
            continue;
        }
        let (epochs, allowed) = (
            figures::number(row.epochs),
            figures::number(row.allowed_epochs),
        );
        let phase = row.phase.as_ref();
        let until = phase.map_or_else(String::new, |name| format!(" by the end of `{name}`"));
        let text = format!(
            "`{}` is passed over {epochs} times{until}, the spec allows {allowed}",
            row.component
        );
        screen.warn("pleach::data::repeats", &text);
    }
}

impl Given {
    /// The table under its heading.
    pub fn screen(&self) -> String {
        let header = [
            "component",
            "asked",
            "consumed",
            "tokens",
            "epochs",
            "one epoch",
        ];
        let whole: u64 = self.rows.iter().map(|row| row.samples).sum();
        let rows = self.rows.iter().zip(&self.sizes);
        let cells = rows.map(|(row, size)| {
            let share = row.samples as f64 / whole.max(1) as f64;
            vec![
                row.component.clone(),
                format!("{:.2} %", 100.0 * row.asked),
                format!("{:.2} %", 100.0 * share),
                figures::count(row.tokens),
                format!("{:.3}", row.epochs),
                figures::count(size[0]),
            ]
        });
        let table = table::table(&header, cells.collect(), 1);
        let held_out: u64 = self.sizes.iter().map(|size| size[1]).sum();
        let held_out = match held_out {
            0 => String::new(),
            tokens => format!(
                "\nheld out, never trained on: {} tokens",
                figures::count(tokens)
            ),
        };
        format!("{}\n\n{table}{held_out}", self.title)
    }

    /// Its components with the tokens of one pass over each, for programs.
    pub fn json(&self) -> Vec<serde_json::Value> {
        let rows = self.rows.iter().zip(&self.sizes);
        rows.map(|(row, size)| {
            let mut object = serde_json::json!(row);
            object["tokens_of_an_epoch"] = size[0].into();
            object["held_out_tokens"] = size[1].into();
            object
        })
        .collect()
    }
}
