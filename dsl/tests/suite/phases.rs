//! The curriculum of the samples as the planner gets it.

use std::collections::BTreeMap;

use pleach_dsl::experiment::{Decay, Experiment, Rate, Segment};
use pleach_dsl::load;

const SAMPLE: &str = include_str!("../../../tests/spec/samples/staged_3b.pleach");

fn staged() -> Experiment {
    let textbook = "dataset textbook {
        source = \"hf:someone/textbook\"
        tokenizer = \"hf:EleutherAI/gpt-neox-20b\"
    }";
    let files = BTreeMap::from([
        ("staged_3b.pleach".to_string(), SAMPLE.to_string()),
        ("data/curated.pleach".to_string(), textbook.to_string()),
    ]);
    let machines = "a100_80g { nodes = 16 }".to_string();
    let settings = [("cluster".to_string(), machines)];
    let loaded = load("staged_3b.pleach", &files, &settings, None);
    assert!(
        loaded.problems.is_empty(),
        "{}",
        loaded.problems.render(false)
    );
    loaded.experiment.expect("no problems")
}

#[test]
fn phases_are_whole_steps_of_their_own_context_and_batch() {
    let train = staged().train;
    let shapes: Vec<_> = train
        .phases
        .iter()
        .map(|phase| {
            (
                phase.name.as_str(),
                phase.steps,
                phase.context,
                phase.global_batch,
            )
        })
        .collect();
    assert_eq!(
        shapes,
        [
            ("warm", 4769, 1024, 2048),
            ("main", 57_221, 4096, 1024),
            ("stretch", 4769, 32_768, 128),
            ("anneal", 7153, 32_768, 128),
        ]
    );
    let tokens: u64 = train.phases.iter().map(|phase| phase.tokens).sum();
    assert!(
        (300_000_000_000..300_020_000_000).contains(&tokens),
        "{tokens}"
    );
    assert_eq!(train.steps, 4769 + 57_221 + 4769 + 7153);
    assert_eq!(train.global_batch, 2048);
}

#[test]
fn phases_keep_data_and_share_rates() {
    let experiment = staged();
    let train = experiment.train;
    assert_eq!(train.lr, None);
    let data: Vec<_> = train
        .phases
        .iter()
        .map(|phase| phase.data.name.as_str())
        .collect();
    assert_eq!(data, ["the_pile", "the_pile", "the_pile", "textbook"]);
    assert_eq!(train.phases[2].data.mix.len(), 22);
    assert_eq!(experiment.data, train.phases[0].data);
    let shared = Rate::Segment(Segment {
        begins: 4769,
        steps: 57_221 + 4769,
        from: None,
        to: Some(1e-4),
        shape: Decay::Cosine,
    });
    assert_eq!(train.phases[1].rate, shared);
    assert_eq!(train.phases[2].rate, shared);
}
