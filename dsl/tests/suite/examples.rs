//! The examples a newcomer runs: they load as they are meant to, and say what they say they do.

use crate::common::Repository;
use pleach_dsl::experiment::{Component, Dense, Experiment, LossScale, Mlp, Precision, Shape};
use pleach_dsl::wish::{Choice, Direction, Figure, Quantity, Verdict};
use pleach_dsl::{Loaded, SHIPPED, load};

fn example(name: &str) -> Loaded {
    load(&format!("examples/{name}.pleach"), &Repository, &[], None)
}

fn good(name: &str) -> Experiment {
    let loaded = example(name);
    assert!(
        loaded.problems.is_empty(),
        "{}",
        loaded.problems.render(false)
    );
    loaded.experiment.unwrap()
}

/// Parameters of a GPT-NeoX: four matrices and two norms a layer, all with biases; untied embedding and head.
fn parameters(experiment: &Experiment) -> u64 {
    let model = &experiment.model;
    let hidden = model.hidden;
    let Some(Mlp::Dense(Dense { width, .. })) = model.uniform().map(|layer| &layer.mlp) else {
        panic!("a dense half in every layer");
    };
    let attention = hidden * 3 * hidden + 3 * hidden + hidden * hidden + hidden;
    let mlp = 2 * hidden * width + width + hidden;
    let norms = 2 * 2 * hidden;
    model.layers() * (attention + mlp + norms) + 2 * hidden + 2 * model.vocab * hidden
}

#[test]
fn quickstart_is_small_and_divides() {
    let experiment = good("quickstart");
    assert!((5_000_000..=10_000_000).contains(&parameters(&experiment)));
    assert_eq!(experiment.cluster.gpus(), 4);
    assert_eq!(experiment.plan.tp.fixed(), Some(&2));
    assert_eq!(experiment.plan.pp.fixed(), Some(&2));
    assert_eq!(experiment.data.mix.len(), 3);
    let total: f64 = experiment
        .data
        .mix
        .iter()
        .map(|component| component.weight[0] as f64 / component.weight[1] as f64)
        .sum();
    assert!((total - 1.0).abs() < 1e-12);
    assert_eq!(experiment.model.layers() % 2, 0);
}

#[test]
fn neox_20b_has_exactly_its_published_parameters() {
    let experiment = good("neox_20b");
    assert_eq!(parameters(&experiment), 20_554_567_680);
    assert_eq!(experiment.train.global_batch, 1536);
    assert_eq!(
        experiment.train.precision,
        Precision::Fp16(LossScale::default())
    );
    assert_eq!(experiment.plan.engine, "neox");
    let lr = experiment.train.lr.expect("one rate for the whole run");
    let shape = Shape::Cosine {
        end: 0.97e-5,
        over: 150_000,
    };
    assert_eq!((lr.peak, lr.warmup, lr.shape), (0.97e-4, 1500, shape));
    assert!(experiment.plan.dp.is_auto());
    let pile = experiment
        .data
        .mix
        .iter()
        .find(|component| component.name == "pile_cc")
        .unwrap();
    let share = pile.weight[0] as f64 / pile.weight[1] as f64;
    assert!(
        (share - 0.1811).abs() < 5e-5,
        "the paper says 18.11%, this is {share}"
    );
}

/// Shares of a shipped mix, in percent.
fn shares(preset: &str, dataset: &str) -> Vec<(String, f64)> {
    let text = crate::common::small("", "").replace("data = text", &format!("data = {dataset}"));
    let text = text.replace("vocab = 256", "vocab = 262_144");
    let text = format!("import \"{preset}\"\n{text}");
    let loaded = crate::common::load_text(&text);
    let problems = loaded.problems.render(false);
    let experiment = loaded.experiment.unwrap_or_else(|| panic!("{problems}"));
    let share = |component: &Component| {
        let [part, whole] = component.weight;
        (component.name.clone(), 100.0 * part as f64 / whole as f64)
    };
    experiment.data.mix.iter().map(share).collect()
}

/// Gao et al., 2020, table 1, column "Weight"; its sizes are rounded too, which moves one row by 0.0052 points.
#[test]
fn the_pile_has_the_shares_of_its_paper() {
    let published = [
        18.11, 14.40, 12.07, 10.01, 8.96, 7.59, 6.12, 5.13, 3.65, 3.07, 2.17, 1.55, 1.53, 1.24,
        0.88, 0.75, 0.73, 0.62, 0.60, 0.38, 0.30, 0.14,
    ];
    let found = shares("presets/pile.pleach", "the_pile");
    assert_eq!(found.len(), published.len());
    for ((name, share), published) in found.iter().zip(published) {
        assert!((share - published).abs() < 0.0055, "{name}: {share}");
    }
}

/// Tokens of the cards, in billions: OLMo 2's mix and OLMoE's.
#[test]
fn open_mixes_have_the_shares_of_their_cards() {
    let cards = [
        ("olmo_mix", [3700.0, 83.0, 58.6, 20.8, 12.2, 11.8, 3.66]),
        ("olmoe_mix", [3860.0, 101.0, 57.2, 21.1, 12.7, 12.6, 3.69]),
    ];
    for (dataset, tokens) in cards {
        let total: f64 = tokens.iter().sum();
        let found = shares("presets/open_mix.pleach", dataset);
        assert_eq!(found.len(), tokens.len());
        for ((name, share), tokens) in found.iter().zip(tokens) {
            let published = 100.0 * tokens / total;
            assert!((share - published).abs() < 1e-9, "{name}: {share}");
        }
    }
}

#[test]
fn the_tour_leaves_choices_laws_and_a_wish() {
    let experiment = good("tour");
    let plan = &experiment.plan;
    assert!(matches!(&plan.tp, Choice::OneOf(values) if *values == [1, 2, 4, 8]));
    let scope = |dp: u64, peak: u64| {
        move |name: &str| match name {
            "dp" => Some(Figure::Number(Quantity::count(dp))),
            "tp" => Some(Figure::Number(Quantity::count(4))),
            "memory.peak" => Some(Figure::Number(Quantity::bytes(peak))),
            _ => None,
        }
    };
    assert_eq!(plan.zero.names(), ["dp"]);
    assert_eq!(plan.zero.candidates(&scope(8, 0)), Some(vec![1]));
    assert_eq!(plan.zero.candidates(&scope(1, 0)), Some(vec![0]));
    assert_eq!(plan.zero.candidates(&|_: &str| None::<Figure>), None);
    let law = |text: &str| {
        plan.requirements
            .iter()
            .find(|law| law.text.starts_with(text))
            .unwrap()
    };
    assert_eq!(law("tp").check(&scope(1, 0)), Verdict::Holds);
    assert_eq!(
        law("time").check(&scope(1, 0)),
        Verdict::Unknown("time".to_string())
    );
    assert_eq!(
        law("memory.peak").check(&scope(1, 60 << 30)),
        Verdict::Holds
    );
    let Verdict::Fails { power, values } = law("memory.peak").check(&scope(1, 75 << 30)) else {
        panic!("75 GiB of 80 are too many")
    };
    insta::assert_snapshot!(power);
    assert!(
        values.contains(&("peak".to_string(), "75 GiB".to_string())),
        "{values:?}"
    );
    let [first, second] = plan.objectives.as_slice() else {
        panic!("two goals")
    };
    assert_eq!(
        (first.direction, first.metric.as_str(), first.within),
        (Direction::Minimize, "time", Some(0.02))
    );
    assert_eq!(
        (second.metric.as_str(), second.within),
        ("memory.peak", None)
    );
    assert_eq!(second.evaluate(&scope(1, 1024)), Some(1024.0));
}

#[test]
fn the_mistake_has_three() {
    let loaded = example("mistake");
    assert!(loaded.experiment.is_none());
    insta::assert_snapshot!(loaded.problems.render(false));
}

#[test]
fn every_preset_parses_and_every_declaration_can_be_used() {
    for (name, text) in SHIPPED {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(kind), Some(declared)) = (words.next(), words.next()) else {
                continue;
            };
            let field = match kind {
                "cluster" => format!("cluster = {declared} {{ nodes = 1, gpus_per_node = 8 }}"),
                // More rows than any tokenizer of a preset has ids.
                "dataset" => format!("data = {declared}\nmodel {{ vocab = 262_144 }}"),
                "model" if line.contains("extends decoder") => {
                    format!("model = {declared} {{ hidden = 256, stack = 4 * [layer(mamba)] }}")
                }
                "model" if line.ends_with(" {") && !text.contains(&format!("{line}\n  layers")) => {
                    format!(
                        "model = {declared} {{ layers = 4, hidden = 256, heads = 8, vocab = 50_304 }}"
                    )
                }
                "model" => format!("model = {declared}"),
                _ => continue,
            };
            let text =
                crate::common::small("", "").replace("experiment small {", "experiment base {");
            let text = format!(
                "import \"{name}\"\n{text}\nexperiment one extends base {{\n{field}\ntrain {{ precision = fp16 }}\n}}\n"
            );
            let files = std::collections::BTreeMap::from([("main.pleach".to_string(), text)]);
            let loaded = load("main.pleach", &files, &[], Some("one"));
            assert!(
                loaded.problems.is_empty(),
                "{declared}: {}",
                loaded.problems.render(false)
            );
        }
    }
}
