//! The shipped models have exactly the parameters that were published or follow from the published sizes, counted from their parts; and the parts
//! agree with the graph wherever the graph is built.

// The list of models is read where it is at hand.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::path::Path;

use pleach_dsl::experiment::{Experiment, Model};
use pleach_plan::Recompute;
use pleach_planner::graph::beyond::{beyond, shared};
use pleach_planner::graph::{transformer, weights};
use pleach_planner::placement::Placement;
use pleach_planner::{program, verify};

/// Presets and their parameters: the tables and repositories that `presets/models.pleach` names beside each.
const PARAMETERS: &str = include_str!("models.txt");

/// Presets beyond that list, with the parameters of their published weights.
const ALSO: [(&str, u64); 16] = [
    ("gpt2_small", 124_439_808),
    ("gpt2_medium", 354_823_168),
    ("gpt2_large", 774_030_080),
    ("gpt2_xl", 1_557_611_200),
    ("llama3_8b", 8_030_261_248),
    ("llama3_70b", 70_553_706_496),
    ("llama3_405b", 405_853_388_800),
    ("qwen2_0b5", 494_032_768),
    ("qwen2_1b5", 1_543_714_304),
    ("qwen2_7b", 7_615_616_512),
    ("qwen2_72b", 72_706_203_648),
    ("qwen3_0b6", 596_049_920),
    ("qwen3_8b", 8_190_735_360),
    ("gemma_2b", 2_506_172_416),
    ("gemma_7b", 8_537_680_896),
    ("gemma3_1b", 999_885_952),
];

fn model(name: &str) -> Model {
    experiment(name).model
}

fn experiment(name: &str) -> Experiment {
    one(
        "import \"presets/models.pleach\"\nimport \"presets/clusters.pleach\"\n",
        name,
    )
}

/// An experiment on a model that the first lines name.
fn one(lines: &str, name: &str) -> Experiment {
    let spec = format!(
        "{lines}dataset none_yet {{ source = \"cargo:dependencies\", tokenizer = \"hf:none\" }}\n\
         experiment one {{\n model = {name}\n data = none_yet\n cluster = a100_80g {{ nodes = 1 }}\n\
         train {{ steps = 1 steps, global_batch = 8 sequences, lr = constant {{ peak = 1e-3 }} }}\n}}\n"
    );
    let files = BTreeMap::from([("one.pleach".to_owned(), spec)]);
    let loaded = pleach_dsl::load("one.pleach", &files, &[], None);
    let problems = loaded.problems.render(false);
    loaded
        .experiment
        .unwrap_or_else(|| panic!("{name}: {problems}"))
}

fn published() -> Vec<(&'static str, u64)> {
    let row = |line: &'static str| {
        let (name, count) = line.split_once(' ').expect("a name and a count");
        (name, count.trim().parse().expect("a count"))
    };
    PARAMETERS.lines().map(row).collect()
}

fn all() -> Vec<(&'static str, u64)> {
    published().into_iter().chain(ALSO).collect()
}

#[test]
fn every_shipped_model_has_its_published_parameters() {
    let wrong: Vec<String> = all()
        .into_iter()
        .map(|(name, wanted)| (name, wanted, weights::parameters(&model(name))))
        .filter(|(_, wanted, found)| wanted != found)
        .map(|(name, wanted, found)| format!("{name}: {found}, published {wanted}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(published().len(), 46);
}

#[test]
fn a_token_meets_two_of_eight_experts() {
    let mixtral = model("mixtral_8x7b");
    assert_eq!(weights::active_parameters(&mixtral), 12_879_925_248);
    let llama = model("llama_7b");
    assert_eq!(
        weights::active_parameters(&llama),
        weights::parameters(&llama)
    );
}

/// The list of 46 models that the counts were taken from, where it is at hand.
#[test]
fn the_counts_are_those_of_the_list() {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/models.csv");
    let Ok(text) = std::fs::read_to_string(&list) else {
        eprintln!("skipped: {} is not there", list.display());
        return;
    };
    let mut counts: Vec<u64> = text.lines().skip(1).filter_map(total).collect();
    let mut ours: Vec<u64> = published().into_iter().map(|(_, count)| count).collect();
    counts.sort_unstable();
    ours.sort_unstable();
    assert_eq!(ours, counts);
}

/// The column `total_params`: the 18th, where commas inside quotes do not count.
fn total(line: &str) -> Option<u64> {
    let mut quoted = false;
    let mut column = 0;
    let mut field = String::new();
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                if column == 17 {
                    return field.parse().ok();
                }
                column += 1;
                field.clear();
            }
            letter => field.push(letter),
        }
    }
    None
}

#[test]
fn parts_and_graph_have_the_same_parameters() {
    let built = all()
        .into_iter()
        .map(|(name, _)| (name, model(name)))
        .filter(|(_, model)| beyond(model).is_empty());
    let mut names = Vec::new();
    for (name, model) in built {
        names.push(name);
        let graph = transformer::lower(&model, 1, transformer::Loss::plain(1.0));
        let declared = |block: &pleach_planner::graph::Block| {
            let mut all: Vec<(String, Vec<u64>)> = block
                .parameters()
                .map(|(_, value)| {
                    let sizes = value.dims.iter().map(|dim| dim.size).collect();
                    (value.name.clone(), sizes)
                })
                .collect();
            all.sort();
            all
        };
        let listed = |weights: Vec<weights::Weight>| {
            let mut all: Vec<(String, Vec<u64>)> = weights
                .into_iter()
                .map(|weight| (weight.name, weight.dims))
                .collect();
            all.sort();
            all
        };
        assert_eq!(
            declared(&graph.embedding),
            listed(weights::embedding(&model))
        );
        assert_eq!(
            declared(&graph.layer),
            listed(weights::layer(&model, &model.kinds[0]))
        );
        assert_eq!(declared(&graph.head), listed(weights::head(&model)));
        assert_eq!(graph.parameter_count(), weights::parameters(&model));
    }
    let left = |name: &&str| !names.contains(name);
    let shipped = all();
    let left: Vec<&str> = shipped.iter().map(|(name, _)| *name).filter(left).collect();
    assert_eq!(left, Vec::<&str>::new());
}

/// Jamba's pattern: state spaces and attention, dense halves and experts, which are four kinds of layers with other parameters.
#[test]
fn the_sample_of_all_kinds_of_layers_is_planned() {
    let sample = include_str!("../../tests/spec/samples/hybrid_52b.pleach");
    let experiment = one(sample, "hybrid_52b { biases = false }");
    let placement = Placement {
        tp: 2,
        pp: 2,
        vpp: 1,
        dp: 2,
        zero: 3,
        shards: 2,
        sequence_parallel: true,
        micro_batch: 1,
        recompute: Recompute::Selective,
        engine: "pleach".into(),
    };
    let plan = program::emit(&experiment, &placement).expect("its sizes divide");
    assert_eq!(verify::verify(&plan, &experiment), Ok(()));
    let graph = transformer::lower(&experiment.model, 1, transformer::Loss::plain(1.0));
    let whole: u64 = plan
        .parameters
        .iter()
        .map(|parameter| {
            let lives = plan.tensors[plan.buckets[parameter.bucket].m.0 as usize].lives;
            let layers = (0..plan.layer_count()).filter(|&layer| plan.has(layer, lives));
            let copies = if lives.is_layered() {
                layers.count()
            } else {
                1
            };
            parameter.dims.iter().product::<u64>() * copies as u64
        })
        .sum();
    assert_eq!(whole, graph.parameter_count());
    assert_eq!(plan.kinds.len(), 32);
}

/// On eight ranks, and verified: in two stages of two replicas, split over two ranks where the sizes allow that.
#[test]
fn every_model_that_is_built_is_planned() {
    for (name, _) in all() {
        let experiment = experiment(name);
        let model = &experiment.model;
        if !beyond(model).is_empty() {
            continue;
        }
        let mut shares = model.kinds.iter().flat_map(|kind| shared(model, kind));
        let tp = if model.vocab.is_multiple_of(2) && shares.all(|(_, size)| size % 2 == 0) {
            2
        } else {
            1
        };
        let placement = Placement {
            tp,
            pp: 2,
            vpp: 1,
            dp: 2,
            zero: 1,
            shards: 2,
            sequence_parallel: tp > 1,
            micro_batch: 2,
            recompute: Recompute::Selective,
            engine: "pleach".into(),
        };
        let plan = program::emit(&experiment, &placement).expect(name);
        if let Err(faults) = verify::verify(&plan, &experiment) {
            panic!("{name}: {}", faults[0]);
        }
    }
}
