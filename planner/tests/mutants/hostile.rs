//! Experiments with absurd figures: planning ends with a placement or with a sentence, and never panics or overflows.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::random::Random;
use pleach_dsl::experiment::Experiment;
use pleach_dsl::wish::Choice;
use pleach_planner::hardware;
use pleach_planner::search::{Options, plan, space};
use pleach_planner::support;

const SPECS: usize = 100;

/// Numbers that somebody could write by mistake.
const ABSURD: [&str; 12] = [
    "1",
    "2",
    "3",
    "7",
    "64",
    "4096",
    "65_537",
    "1_000_003",
    "4_294_967_295",
    "4_294_967_296",
    "1_000_000_000_000",
    "9_000_000_000_000_000",
];

fn spec(random: &mut Random) -> String {
    let mut number = |usual: &str| match random.below(6) {
        0 => random.pick(&ABSURD).to_owned(),
        _ => usual.to_owned(),
    };
    let model = format!(
        "layers = {}, hidden = {}, heads = {}, kv_heads = {}, context = {} tokens, vocab = {}, mlp = gelu {{ width = {} }}",
        number("4"),
        number("64"),
        number("4"),
        number("4"),
        number("32"),
        number("96"),
        number("128"),
    );
    let train = format!(
        "steps = {} steps, global_batch = {} sequences",
        number("10"),
        number("8")
    );
    let cluster = format!("nodes = {}, gpus_per_node = {}", number("1"), number("4"));
    let plan = format!(
        "tp = {}\npp = {}\nmicro_batch = {} sequences",
        number("2"),
        number("1"),
        number("1")
    );
    format!(
        "import \"presets/clusters.pleach\"\n\
         dataset nothing {{ source = \"cargo:dependencies\", tokenizer = \"hf:none\" }}\n\
         experiment one {{\nmodel = transformer {{ {model} }}\ndata = nothing\ncluster = a100_80g {{ {cluster} }}\n\
         train {{ {train}, lr = constant {{ peak = 1e-3 }} }}\nplan {{\n{plan}\n}}\n}}\n"
    )
}

/// A small experiment that is right.
const RIGHT: &str = r#"import "presets/clusters.pleach"
dataset nothing { source = "cargo:dependencies", tokenizer = "hf:none" }
experiment one {
model = transformer { layers = 4, hidden = 64, heads = 4, context = 32 tokens, vocab = 96 }
data = nothing
cluster = a100_80g { nodes = 1 }
train { steps = 10 steps, global_batch = 8 sequences, lr = constant { peak = 1e-3 } }
plan { recompute = none }
}
"#;

/// The experiment, or what the language says against it.
fn load(text: &str, settings: &[(&str, &str)]) -> Result<Experiment, String> {
    let files = BTreeMap::from([("one.pleach".to_owned(), text.to_owned())]);
    let own = |(path, value): &(&str, &str)| ((*path).to_owned(), (*value).to_owned());
    let settings: Vec<_> = settings.iter().map(own).collect();
    let loaded = pleach_dsl::load("one.pleach", &files, &settings, None);
    let told = loaded.problems.render(false);
    loaded.experiment.ok_or(told)
}

/// What became of it, and what was said.
fn outcome_of(text: &str, settings: &[(&str, &str)]) -> (&'static str, String) {
    match load(text, settings) {
        Ok(experiment) => planned(&experiment),
        Err(told) => {
            assert!(!told.is_empty(), "refused without a word");
            ("refused by the language", told)
        }
    }
}

fn planned(experiment: &Experiment) -> (&'static str, String) {
    let beyond = support::check(experiment);
    if !beyond.is_empty() {
        let told: Vec<&str> = beyond.iter().map(|one| one.what).collect();
        return ("not supported", told.join("; "));
    }
    let table = hardware::find(&experiment.cluster.device, None).expect("a known device");
    match plan(experiment, &table, Options { alternatives: 1 }) {
        Err(nowhere) => {
            assert!(nowhere.to_string().len() > 30, "{nowhere}");
            ("nowhere", nowhere.to_string())
        }
        Ok(answer) if answer.feasible > 0 => ("planned", String::new()),
        Ok(answer) => {
            let reasons: Vec<String> = answer.rejected.into_iter().map(|one| one.why).collect();
            assert!(reasons.iter().all(|why| !why.is_empty()));
            ("does not fit", reasons.join("; "))
        }
    }
}

#[test]
fn absurd_figures_end_in_a_sentence() {
    let mut random = Random::new(5);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut panics = Vec::new();
    for _ in 0..SPECS {
        let text = spec(&mut random);
        match catch_unwind(AssertUnwindSafe(|| outcome_of(&text, &[]))) {
            Ok((name, _)) => *counts.entry(name).or_default() += 1,
            Err(_) => panics.push(text),
        }
    }
    println!("{counts:?}");
    assert!(
        panics.is_empty(),
        "{} panic:\n{}",
        panics.len(),
        panics.join("\n")
    );
    for name in ["planned", "nowhere", "not supported"] {
        assert!(counts.contains_key(name), "{counts:?}");
    }
}

/// What is set against a small experiment that is right, and a part of what is said of it.
const TABLE: [(&[(&str, &str)], &str); 34] = [
    (&[("cluster.nodes", "0")], "nodes"),
    (&[("cluster.gpus_per_node", "0")], "gpus_per_node"),
    (&[("cluster.nodes", "-1")], "nodes"),
    (
        &[("cluster.nodes", "1_000_000")],
        "more than 1,048,576 GPUs",
    ),
    (
        &[("cluster.nodes", "9_000_000_000_000_000")],
        "gpus` is less than 2^53",
    ),
    (&[("cluster.nodes", "1e30")], "nodes"),
    (&[("cluster.memory", "0 GiB")], "memory"),
    (&[("cluster.memory", "1 MiB")], "does not fit"),
    (&[("model.layers", "0")], "layers"),
    (&[("model.layers", "9_000_000_000")], "at most 10000 layers"),
    (
        &[("model.hidden", "9_000_000_000")],
        "a width above 1,048,576",
    ),
    (&[("model.layers", "9000")], "more than 8,192 layers"),
    (&[("model.hidden", "0")], "hidden"),
    (&[("model.heads", "0")], "heads"),
    (
        &[("model.context", "9_000_000_000 tokens")],
        "more than 16,777,216 tokens",
    ),
    (&[("model.context", "0 tokens")], "context"),
    (
        &[("model.vocab", "9_000_000_000_000_000")],
        "more than 16,777,216 rows",
    ),
    (
        &[("model.mlp", "gelu { width = 9_000_000_000 }")],
        "wider than 4,194,304",
    ),
    (&[("train.steps", "0 steps")], "steps"),
    (
        &[("train.steps", "9_000_000_000_000_000 steps")],
        "more than 2^40 steps",
    ),
    (&[("train.global_batch", "0 sequences")], "batch"),
    (
        &[("train.global_batch", "9_000_000_000_000_000 sequences")],
        "more than 67,108,864 sequences",
    ),
    (
        &[("train.global_batch", "7 sequences"), ("plan.dp", "4")],
        "cannot be dealt",
    ),
    (&[("plan.tp", "3")], "cannot be shared by 3"),
    (&[("plan.tp", "0")], "tp"),
    (
        &[("plan.tp", "9_000_000_000_000_000")],
        "cannot be shared by",
    ),
    (&[("plan.pp", "4_294_967_296")], "cannot be cut"),
    (
        &[("plan.vpp", "9_000_000_000_000_000"), ("plan.pp", "2")],
        "virtual stages",
    ),
    (&[("plan.micro_batch", "0 sequences")], "micro_batch"),
    (
        &[("plan.micro_batch", "9_000_000_000 sequences")],
        "cannot be cut",
    ),
    (
        &[("plan.tp", "2"), ("plan.pp", "2"), ("plan.dp", "4")],
        "ranks",
    ),
    (&[("plan.gpus", "9_000_000_000")], "GPUs are to be used"),
    (&[("plan.zero", "9")], "zero"),
    (&[("plan.shards", "3"), ("plan.zero", "1")], "shards"),
];

#[test]
fn each_mistake_has_its_sentence() {
    let mut wrong = Vec::new();
    for (settings, expected) in TABLE {
        let (name, told) = outcome_of(RIGHT, settings);
        if name == "planned" || !told.contains(expected) {
            wrong.push(format!("{settings:?}: not `{expected}` but {name}: {told}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(outcome_of(RIGHT, &[]).0, "planned");
    let many = RIGHT.replace("nodes = 1", "nodes in 1..9000, gpus_per_node = 1");
    let (name, told) = outcome_of(&many, &[]);
    assert!(told.contains("more than 8,192 sizes"), "{name}: {told}");
}

/// Wishes that contradict each other.
#[test]
fn wishes_that_cannot_hold_together_are_told() {
    for (wishes, expected) in [
        ("tp = 8, require tp <= 4", "tp <= 4"),
        (
            "require step_time <= 1 ms\nrequire step_time >= 20 s",
            "step_time",
        ),
        ("require memory.peak <= 1 MiB", "memory.peak"),
        ("require nodes > 4", "nodes"),
        ("tp in [3, 5, 7]", "do not divide"),
        ("require tp > pp\nrequire pp > tp", "tp"),
    ] {
        let text = RIGHT.replace("plan {", &format!("plan {{ {wishes}\n"));
        let (name, told) = outcome_of(&text, &[]);
        assert_ne!(name, "planned", "{wishes}");
        assert!(told.contains(expected), "{wishes}: {name}: {told}");
    }
}

/// What no spec can say any more still ends in a sentence.
#[test]
fn a_cluster_of_nothing_has_no_placement() {
    let mut experiment = load(RIGHT, &[]).expect("it is right");
    experiment.cluster.nodes = 0;
    experiment.plan.nodes = Choice::Fixed(0);
    assert!(space::enumerate(&experiment).candidates.is_empty());
    let (name, told) = planned(&experiment);
    assert!(name == "nowhere" && told.contains("no GPU"), "{told}");
}
