//! What a plan says beside its program: named sizes, training constants, the data mix.

use std::collections::BTreeMap;

use pleach_dsl::experiment::{
    self, Checkpoints, Dataset, Evaluate, Experiment, Layer, Log, Mixer, Mlp, Order, Pack,
    Precision, Records, Sums,
};
use pleach_plan::{
    Begins, Component, DataPlan, Dtype, Evaluation, Figure, HeldOut, Logging, Moving, NotFinite,
    Ordering, Packing, Reading, Saving, Scaling, Training, Weights,
};

use crate::graph::attention::split;
use crate::graph::transformer::Sizes;
use crate::placement::Placement;
use crate::rate;
use crate::support::{self, Unsupported};

/// Compute and accumulation types of a precision.
pub fn dtypes(precision: Precision) -> (Dtype, Dtype) {
    match precision {
        Precision::Fp64 => (Dtype::F64, Dtype::F64),
        Precision::Fp32 => (Dtype::F32, Dtype::F32),
        Precision::Bf16 => (Dtype::Bf16, Dtype::F32),
        Precision::Fp16(_) => (Dtype::F16, Dtype::F32),
    }
}

/// Named sizes, for readers.
pub fn dims(experiment: &Experiment, placement: &Placement) -> BTreeMap<String, u64> {
    let model = &experiment.model;
    let sizes = Sizes::of(model, placement.micro_batch);
    let named = [sizes.batch, sizes.sequence, sizes.hidden, sizes.vocab];
    let named = named.map(|dim| (dim.name, dim.size)).into_iter();
    let own = model.kinds.iter().rev().flat_map(of_layer);
    named
        .chain([("layers", model.layers())])
        .chain(own)
        .map(|(name, size)| (name.to_owned(), size))
        .collect()
}

/// Named sizes of a kind of layers.
fn of_layer(layer: &Layer) -> Vec<(&'static str, u64)> {
    let mut found = Vec::new();
    if let Mixer::Mamba(mamba) = &layer.mixer {
        found.push(("state", mamba.state));
    }
    if let Mixer::Attention(attention) = &layer.mixer {
        found.extend([
            ("heads", attention.heads),
            ("head_dim", attention.head_dim),
            ("rotary", split(attention).rotary),
        ]);
        let shared = attention.kv_heads != attention.heads;
        found.extend(shared.then_some(("kv_heads", attention.kv_heads)));
    }
    match &layer.mlp {
        Mlp::Dense(dense) => found.push(("ffn", dense.width)),
        Mlp::Experts(experts) => found.extend([
            ("experts", experts.experts),
            ("active", experts.active),
            ("ffn", experts.expert.width),
        ]),
        Mlp::None => {}
    }
    found
}

/// Training constants.
pub fn training(experiment: &Experiment, placement: &Placement) -> Training {
    let train = &experiment.train;
    let (compute, accumulate) = dtypes(train.precision);
    let micro_steps = train.global_batch / (u64::from(placement.dp) * placement.micro_batch);
    let part = train.part.as_ref();
    let begins = part.map_or_else(Begins::default, |part| Begins {
        steps: part.steps,
        samples: part.samples,
    });
    Training {
        seed: experiment.seed,
        phase: part.map(|part| part.name.clone()),
        steps: begins.steps + train.steps,
        begins,
        global_batch: train.global_batch,
        micro_batch: placement.micro_batch,
        micro_steps: u32::try_from(micro_steps).unwrap_or(u32::MAX),
        sequence: experiment.model.context,
        schedule: rate::schedule(train),
        compute,
        accumulate,
        saving: saving(&experiment.checkpoints),
        logging: logging(&experiment.log),
        evaluation: evaluation(&experiment.evaluate),
        scaling: scaling(train.precision),
        lanes: lanes(train.sums),
        not_finite: match train.not_finite {
            experiment::NotFinite::Halt => NotFinite::Halt,
            experiment::NotFinite::Skip { in_a_row } => NotFinite::Skip { in_a_row },
            experiment::NotFinite::RollBack { times } => NotFinite::RollBack { times },
        },
        weights: weights(experiment),
    }
}

/// Lanes in which gradients are summed.
pub fn lanes(sums: Sums) -> Option<u32> {
    match sums {
        Sums::Fast => None,
        Sums::Reproducible { lanes } => Some(u32::try_from(lanes).unwrap_or(u32::MAX)),
    }
}

/// How the loss is multiplied in a format of small range.
fn scaling(precision: Precision) -> Option<Scaling> {
    let Precision::Fp16(scale) = precision else {
        return None;
    };
    Some(Scaling {
        initial: scale.fixed.unwrap_or(scale.initial),
        moving: scale.fixed.is_none().then_some(Moving {
            window: scale.window,
            hysteresis: scale.hysteresis,
            least: scale.least,
        }),
    })
}

fn logging(log: &Log) -> Logging {
    let writes = |form: &str| log.to.iter().any(|own| own == form);
    let figures = log.what.iter().filter_map(|name| Figure::find(name));
    let mut figures: Vec<Figure> = figures.collect();
    figures.sort_unstable();
    Logging {
        every: log.every,
        figures,
        lines: writes("jsonl"),
        tensorboard: writes("tensorboard"),
    }
}

fn evaluation(evaluate: &Evaluate) -> Option<Evaluation> {
    let asked = evaluate.every.is_some() || evaluate.at_end;
    asked.then_some(Evaluation {
        every: evaluate.every,
        at_end: evaluate.at_end,
        batches: evaluate.batches,
        part: match evaluate.split.as_str() {
            "test" => HeldOut::Test,
            _ => HeldOut::Validation,
        },
    })
}

fn saving(checkpoints: &Checkpoints) -> Saving {
    Saving {
        every: checkpoints.every,
        also: checkpoints.also.clone(),
        keep: keep(checkpoints.keep),
        weights_only: !checkpoints.optimizer,
        background: checkpoints.background,
    }
}

/// What the run begins with, known by content only once it is there.
fn weights(experiment: &Experiment) -> Option<Weights> {
    let source = experiment.model.weights.clone();
    source.map(|source| Weights {
        source,
        fingerprint: None,
    })
}

/// How many checkpoints stay; all of them are more than anybody writes.
fn keep(wanted: Option<u64>) -> u32 {
    wanted.map_or(u32::MAX, |count| u32::try_from(count).unwrap_or(u32::MAX))
}

/// What a run would have to leave out of the data: such a plan is not run.
fn unread(experiment: &Experiment) -> Vec<String> {
    let found = support::unread(experiment);
    let text = |found: &Unsupported| format!("`{}`: {}", found.path, found.what);
    found.iter().map(text).collect()
}

/// The mix, without what is only known once the data is there.
pub fn data(experiment: &Experiment) -> DataPlan {
    let data = &experiment.data;
    let component = |part: &experiment::Component| Component {
        name: part.name.clone(),
        source: part.source.clone(),
        files: part.files.clone(),
        weight: part.weight,
        repeat: part.repeat.unwrap_or(data.repeat),
        fingerprint: None,
    };
    DataPlan {
        name: data.name.clone(),
        source: data.source.clone(),
        tokenizer: data.tokenizer.clone(),
        vocab: experiment.model.vocab,
        mix: data.mix.iter().map(component).collect(),
        reading: reading(data),
        ordering: match data.order {
            Order::GptNeox => Ordering::GptNeox,
            Order::Sequential => Ordering::Sequential,
            Order::Counter | Order::Megatron => Ordering::Counter,
        },
        order_seed: data.order_seed,
        packing: match data.pack {
            Pack::Stream => Packing::Stream,
            Pack::Documents => Packing::Documents,
            Pack::Single => Packing::Single,
        },
        split: data.split.clone().unwrap_or_default(),
        order: None,
        unread: unread(experiment),
    }
}

/// How files of lines are read.
fn reading(data: &Dataset) -> Reading {
    let (text, answer, answers_only) = match &data.records {
        Records::Documents { text } => (text, None, false),
        Records::Instructions {
            prompt,
            answer,
            answers_only,
        } => (prompt, Some(answer.clone()), *answers_only),
    };
    Reading {
        text: text.clone(),
        answer,
        answers_only,
        skip_bad_lines: data.skip_bad_lines,
        append_eod: data.append_eod,
    }
}
