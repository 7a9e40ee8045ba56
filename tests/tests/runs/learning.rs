//! The quickstart learns: its loss ends below what the frequencies of single tokens would give.

use std::collections::BTreeMap;

use pleach_data::order::Phases;
use pleach_data::prepare;
use pleach_tests::have;
use pleach_tests::job::{self, QUICKSTART, Workspace, succeed};
use xtask::places;

/// Nats per token of a model that knows only how often each token occurs among those that the run was trained on.
fn unigram_entropy(plan: &pleach_plan::Plan) -> f64 {
    let spec = places::root().join(QUICKSTART);
    let cache = prepare::default_cache().expect("there is a cache folder");
    let prepared = prepare::build(
        &plan.data,
        spec.parent().expect("a file lies in a folder"),
        &cache,
    )
    .expect("the data is there");
    let order = Phases::open(plan, &[prepared]).expect("the data has an order");
    let mut counts = BTreeMap::<i64, u64>::new();
    let mut tokens = vec![0; plan.training.sequence as usize + 1];
    for sample in 0..plan.training.steps * plan.training.global_batch {
        order.orders()[0]
            .sample(sample, &mut tokens)
            .expect("every sample of the run is there");
        tokens[1..]
            .iter()
            .for_each(|&token| *counts.entry(token).or_default() += 1);
    }
    let total = counts.values().sum::<u64>() as f64;
    counts
        .values()
        .map(|&count| count as f64 / total)
        .map(|share| -share * share.ln())
        .sum()
}

#[test]
fn the_quickstart_ends_below_the_unigram_entropy() {
    if have::worker().is_none() {
        return;
    }
    let workspace = Workspace::new();
    succeed(&mut workspace.run(QUICKSTART, &[]));
    let run = workspace.only_run();
    let plan = job::plan(&run);
    let losses = job::losses(&run);
    let entropy = unigram_entropy(&plan);
    let last = losses.last().copied().expect("there are steps");
    println!(
        "loss {:.3} to {last:.3}, unigram entropy {entropy:.3}",
        losses[0]
    );
    assert_eq!(losses.len() as u64, plan.training.steps);
    assert!(
        losses[0] > entropy,
        "a model that has learnt nothing is worse than the frequencies"
    );
    assert!(
        last < entropy,
        "the loss ends at {last}, the unigram entropy is {entropy}"
    );
}
