//! What the language accepts and the planner does not is refused by its path, and what a run does is not.

use std::collections::BTreeMap;

use pleach_planner::support;

const SPEC: &str = include_str!("common/small.pleach");

/// The paths that are refused once these values are set.
fn refused(settings: &[(&str, &str)]) -> Vec<&'static str> {
    let changes: Vec<_> = settings
        .iter()
        .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()))
        .collect();
    let files = BTreeMap::from([("small.pleach".to_owned(), SPEC.to_owned())]);
    let loaded = pleach_dsl::load("small.pleach", &files, &changes, None);
    let problems = loaded.problems.render(false);
    let experiment = loaded
        .experiment
        .unwrap_or_else(|| panic!("{settings:?}\n{problems}"));
    let found = support::check(&experiment);
    found.iter().map(|unsupported| unsupported.path).collect()
}

#[test]
fn what_runs_is_not_refused() {
    for setting in [
        ("train.precision", "fp64"),
        ("train.precision", "fp32"),
        ("train.precision", "bf16"),
        ("train.precision", "fp16 { window = 500 steps }"),
        ("train.lr", "constant { peak = 1e-3 }"),
        ("train.lr", "wsd { peak = 1e-3 }"),
        ("train.lr", "cosine { peak = 1e-3, version = neox_v1 }"),
        ("train.accumulate", "fp64"),
        ("train.optimizer", "adam"),
        ("train.loss.z_loss", "1e-4"),
        ("train.loss.label_smoothing", "10%"),
        ("train.optimizer", "lion"),
        ("train.optimizer", "sgd { nesterov = true }"),
        ("train.optimizer.decay_embeddings", "false"),
        ("train.optimizer.decay_biases", "true"),
        ("train.optimizer.decay_norms", "true"),
        ("checkpoints.keep", "all"),
        ("checkpoints.also", "[0, 1]"),
        ("checkpoints.doubling_to", "4 steps"),
        ("checkpoints.optimizer", "false"),
        ("checkpoints.background", "true"),
        ("log.every", "2 steps"),
        ("log.what", "[loss]"),
        ("log.to", "[jsonl, tensorboard]"),
        ("plan.cp", "1"),
        ("plan.ep", "auto"),
        ("plan.stages", "uneven"),
        ("plan.schedule", "\"1f1b\""),
        ("plan.offload", "none"),
        ("plan.zero", "if dp > 1 then 1 else 0"),
        ("plan.engine", "megatron"),
        ("plan.gpus", "4"),
        ("model.biases", "false"),
        ("model.dropout", "10%"),
        ("model.tied", "true"),
        ("model.positions", "learned"),
        ("model.embedding.scale", "4"),
        ("model.head.bias", "true"),
        ("model.head.cap", "30"),
        ("model.head.norm", "rmsnorm"),
        ("model.qk_norm", "rmsnorm"),
        ("model.norm", "none"),
        ("model.norm.bias", "false"),
        ("model.residual", "sequential { norms = both }"),
        ("model.residual", "sequential { norms = after }"),
        ("model.residual", "sequential { norms = output }"),
        ("model.norm", "rmsnorm"),
        ("model.embedding.norm", "layernorm"),
        ("model.kv_heads", "2"),
        ("model.positions", "alibi"),
        ("model.positions.scale", "2"),
        ("model.window", "4 tokens"),
        ("model.mlp", "relu"),
        ("model.mlp", "gelu { form = tanh }"),
        ("model.mlp", "swiglu"),
        ("model.mlp", "geglu"),
    ] {
        assert_eq!(refused(&[setting]), Vec::<&str>::new(), "{setting:?}");
    }
}

#[test]
fn what_would_be_left_out_is_refused() {
    assert_eq!(
        refused(&[("evaluate.at_end", "true"), ("evaluate.data", "letters")]),
        ["evaluate.data"]
    );
    for (path, value, at) in [
        ("train.reduce", "bf16", ""),
        ("log.to", "wandb", ""),
        ("plan.cp", "2", ""),
        ("plan.schedule", "zero_bubble", ""),
        ("plan.offload", "optimizer", ""),
        ("plan.engine", "torchtitan", ""),
    ] {
        let at = if at.is_empty() { path } else { at };
        assert_eq!(refused(&[(path, value)]), [at], "{path} = {value}");
    }
    let backwards = [
        ("train.not_finite", "roll_back"),
        ("checkpoints.optimizer", "false"),
    ];
    assert_eq!(refused(&backwards), ["train.not_finite"]);
    let narrow = [("train.precision", "bf16"), ("train.accumulate", "bf16")];
    assert_eq!(refused(&narrow), ["train.accumulate", "train.reduce"]);
}

#[test]
fn models_beyond_this_version_are_refused() {
    for (path, value) in [("model.dropout", "100%"), ("model.qk_norm", "layernorm")] {
        assert_eq!(refused(&[(path, value)])[..1], [path], "{path} = {value}");
    }
    let moe = (
        "model.mlp",
        "moe { experts = 4, active = 2, expert = swiglu }",
    );
    assert_eq!(refused(&[moe]), ["model.mlp.expert.bias"]);
    let plain = ("model.biases", "false");
    assert_eq!(refused(&[moe, plain]), Vec::<&str>::new());
    let dropping = [moe, plain, ("model.mlp.capacity", "1.5")];
    assert_eq!(refused(&dropping), ["model.mlp.capacity"]);
    let sloped = [("model.positions", "alibi"), ("model.window", "4 tokens")];
    assert_eq!(refused(&sloped), Vec::<&str>::new());
}

/// What is refused of the small experiment in two phases, with these values set.
fn refused_in_phases(settings: &[(&str, &str)], rows: &str) -> Vec<&'static str> {
    let text = SPEC.replace(
        "steps        = 10 steps",
        &format!("phases = table {{\n{rows}\n}}"),
    );
    let changes: Vec<_> = settings
        .iter()
        .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()))
        .collect();
    let files = BTreeMap::from([("small.pleach".to_owned(), text)]);
    let loaded = pleach_dsl::load("small.pleach", &files, &changes, None);
    let problems = loaded.problems.render(false);
    let found = support::check(&loaded.experiment.unwrap_or_else(|| panic!("{problems}")));
    found.iter().map(|unsupported| unsupported.path).collect()
}

#[test]
fn phases_are_planned_one_by_one() {
    let rows = "name | lasts\na | 5 steps\nb | 5 steps";
    let refused = |settings: &[(&str, &str)]| refused_in_phases(settings, rows);
    assert_eq!(refused(&[]), Vec::<&str>::new());
    assert_eq!(refused(&[("data.order", "gpt_neox")]), ["data.order"]);
    assert_eq!(
        refused(&[("data.eod_mask_loss", "true")]),
        ["data.eod_mask_loss"]
    );
}
