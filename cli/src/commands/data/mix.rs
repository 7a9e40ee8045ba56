//! `pleach data mix SPEC`: what a run really consumes of each component, against what was asked.
//!
//! The data is prepared where it is not yet, so every count is real; nothing is planned and no machine is needed.

use pleach_data::order::{Draw, Order};
use pleach_data::prepare::Prepared;
use pleach_dsl::experiment::Experiment;
use pleach_planner::program;
use serde_json::{Value, json};

use crate::arguments::Global;
use crate::arguments::data::MixArguments;
use crate::data::{order_failure, prepared};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::screen::{Screen, figures, table};
use crate::{compile, lock};

/// What one component gives.
struct Row {
    name: String,
    asked: f64,
    samples: u64,
    tokens: u64,
    /// Passes over it from the beginning of the run to the last step that is shown.
    epochs: f64,
    /// How often it may be passed over.
    allowed: f64,
    /// Tokens of one pass.
    size: u64,
}

/// Shows the mix of a spec's run.
pub fn mix(screen: &Screen, global: &Global, arguments: &MixArguments) -> Outcome<Exit> {
    let experiment = compile::experiment(screen, global, &arguments.file)?;
    let plan = program::data(&experiment);
    let folder = lock::folder(&arguments.file);
    let prepared = prepared(screen, &plan, folder)?;
    let train = &experiment.train;
    let draw = Draw {
        ordering: plan.ordering,
        seed: plan.order_seed.unwrap_or(experiment.seed),
        sequence: experiment.model.context,
        total: train.steps * train.global_batch,
    };
    let failed = |error| order_failure(&error);
    let order = Order::of(&plan, draw, &prepared).map_err(failed)?;
    let hash = order.hash(order.samples()).map_err(failed)?;
    let asked = arguments.steps.clone().unwrap_or(0..train.steps);
    let steps = asked.start.min(train.steps)..asked.end.min(train.steps);
    let rows = rows(&experiment, &order, &prepared, &steps);
    for row in rows.iter().filter(|row| row.epochs > row.allowed) {
        let (epochs, allowed) = (figures::number(row.epochs), figures::number(row.allowed));
        let text = format!(
            "`{}` is passed over {epochs} times, the spec allows {allowed}",
            row.name
        );
        screen.warn("pleach::data::repeats", &text);
    }
    if screen.json {
        screen.data_json(&json!({"steps": [steps.start, steps.end], "order": hash,
            "components": rows.iter().map(Row::json).collect::<Vec<_>>()}));
        return Ok(Exit::Fine);
    }
    let samples = (steps.end - steps.start) * train.global_batch;
    let [from, to, all, samples, tokens] = [
        steps.start,
        steps.end,
        train.steps,
        samples,
        samples * experiment.model.context,
    ]
    .map(figures::count);
    screen.data(&format!(
        "steps {from}..{to} of {all}: {samples} samples of {} tokens, {tokens} tokens\n",
        figures::count(experiment.model.context)
    ));
    let header = [
        "component",
        "asked",
        "consumed",
        "tokens",
        "epochs",
        "one epoch",
    ];
    let whole: u64 = rows.iter().map(|row| row.samples).sum();
    let cells = rows.iter().map(|row| row.cells(whole)).collect();
    screen.data(&table::table(&header, cells, 1));
    screen.data(&format!("\ndata order {hash}"));
    Ok(Exit::Fine)
}

fn rows(
    experiment: &Experiment,
    order: &Order,
    prepared: &Prepared,
    steps: &std::ops::Range<u64>,
) -> Vec<Row> {
    let batch = experiment.train.global_batch;
    let before = order.counts(steps.start * batch);
    let until = order.counts(steps.end * batch);
    let data = &experiment.data;
    let parts = data.mix.iter().zip(order.parts()).enumerate();
    let row = |(number, (component, part)): (usize, (&pleach_dsl::experiment::Component, _))| {
        let part: &pleach_data::order::Part = part;
        let samples = until[number] - before[number];
        Row {
            name: component.name.clone(),
            asked: part.weight[0] as f64 / part.weight[1] as f64,
            samples,
            tokens: samples * experiment.model.context,
            epochs: order.epochs(number, until[number]),
            allowed: component.repeat.unwrap_or(data.repeat),
            size: prepared.components[number].tokens,
        }
    };
    parts.map(row).collect()
}

impl Row {
    fn json(&self) -> Value {
        json!({"name": self.name, "asked": self.asked, "samples": self.samples, "tokens": self.tokens,
            "epochs": self.epochs, "allowed_epochs": self.allowed, "tokens_of_an_epoch": self.size})
    }

    fn cells(&self, whole: u64) -> Vec<String> {
        let share = self.samples as f64 / whole.max(1) as f64;
        vec![
            self.name.clone(),
            format!("{:.2} %", 100.0 * self.asked),
            format!("{:.2} %", 100.0 * share),
            figures::count(self.tokens),
            format!("{:.3}", self.epochs),
            figures::count(self.size),
        ]
    }
}
