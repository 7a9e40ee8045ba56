//! Which layers each pipeline stage holds: as the spec says, by work, evenly, by counting modules, or as DeepSpeed cuts GPT-NeoX's list of them.

use pleach_dsl::experiment::{Experiment, Model, Stages};

use crate::engine::{self, Partition};
use crate::graph::work;
use crate::placement::Placement;

/// First and last layer of each chunk of each stage, in the model's order. `head` is the head's work in thousandths of a layer's.
pub fn spans(experiment: &Experiment, placement: &Placement, head: u64) -> Vec<[u32; 2]> {
    let own = || engine::find(&placement.engine).map_or(Partition::Work, |own| own.partition);
    let (layers, stages) = (
        experiment.model.layers(),
        u64::from(placement.pp) * u64::from(placement.vpp),
    );
    let partition = match &experiment.plan.stages {
        Some(Stages::Layers(counts)) => return consecutive(counts),
        Some(Stages::Even) => Partition::Even,
        Some(Stages::Uneven) => Partition::Work,
        None if placement.vpp > 1 => Partition::Even,
        None => own(),
    };
    match loads(&experiment.model) {
        Some(loads) if partition == Partition::Work => consecutive(&weigh(&loads, stages, head)),
        _ => cut(partition, layers, stages, head),
    }
}

/// What each layer takes in thousandths of one of the first kind; none where all take the same.
fn loads(model: &Model) -> Option<Vec<u64>> {
    let take = |kind| work::matrices(model, kind) + work::scores(model, kind);
    let kinds: Vec<u64> = model.kinds.iter().map(take).collect();
    let first = kinds[0].max(1);
    let differ = kinds.iter().any(|&kind| kind != first);
    let load = |&kind: &usize| (u128::from(kinds[kind]) * 1000 / u128::from(first)) as u64;
    differ.then(|| model.order.iter().map(load).collect())
}

/// Counts of layers that make the heaviest stage as light as can be; the last one has the head beside.
fn weigh(loads: &[u64], stages: u64, head: u64) -> Vec<u64> {
    let all: u64 = loads.iter().sum::<u64>() + head;
    let (mut least, mut most) = (0, all);
    while least < most {
        let middle = (least + most) / 2;
        match filled(loads, stages, head, middle) {
            Some(_) => most = middle,
            None => least = middle + 1,
        }
    }
    filled(loads, stages, head, most).unwrap_or_else(|| balance(loads.len() as u64, stages, head))
}

/// Stages filled from the last one, which has the head, up to a load; none where some layers are left. Each stage gets a layer.
fn filled(loads: &[u64], stages: u64, head: u64, most: u64) -> Option<Vec<u64>> {
    let (mut counts, mut left) = (Vec::new(), loads.len());
    for stage in (0..stages as usize).rev() {
        let (mut load, mut count) = (if counts.is_empty() { head } else { 0 }, 0);
        while left > stage && (count == 0 || load + loads[left - 1] <= most) {
            left -= 1;
            load += loads[left];
            count += 1;
        }
        if load > most || count == 0 {
            return None;
        }
        counts.push(count);
    }
    counts.reverse();
    (left == 0).then_some(counts)
}

/// First and last layer of each stage.
fn cut(partition: Partition, layers: u64, stages: u64, head: u64) -> Vec<[u32; 2]> {
    let counts = match partition {
        Partition::Even if layers.is_multiple_of(stages) => {
            vec![layers / stages; stages as usize]
        }
        Partition::Even => balance(layers, stages, head),
        Partition::Work => balance(layers, stages, head),
        Partition::NamedModules => {
            named_modules(layers, stages).unwrap_or_else(|| balance(layers, stages, head))
        }
        Partition::Counted { before, after } => {
            counted(layers, stages, [before, after].map(u64::from))
                .unwrap_or_else(|| balance(layers, stages, head))
        }
    };
    consecutive(&counts)
}

fn consecutive(counts: &[u64]) -> Vec<[u32; 2]> {
    let mut first = 0;
    let span = |&count: &u64| {
        let own = [first, first + count as u32 - 1];
        first += count as u32;
        own
    };
    counts.iter().map(span).collect()
}

/// Layers of each stage, as even as the head's weight allows.
fn balance(layers: u64, stages: u64, head: u64) -> Vec<u64> {
    let mut counts = vec![1; stages as usize];
    let last = counts.len() - 1;
    for _ in stages..layers {
        let load =
            |index: usize, count: u64| (count + 1) * 1000 + if index == last { head } else { 0 };
        let lightest = (0..counts.len()).min_by_key(|&index| (load(index, counts[index]), index));
        counts[lightest.unwrap_or(0)] += 1;
    }
    counts
}

/// Layers of each stage when all modules are counted alike; none where a stage would hold no layer.
fn counted(layers: u64, stages: u64, [before, after]: [u64; 2]) -> Option<Vec<u64>> {
    let modules = before + layers + after;
    let (share, rest) = (modules / stages, modules % stages);
    let mut counts: Vec<u64> = (0..stages)
        .map(|stage| share + u64::from(stage < rest))
        .collect();
    let last = counts.len() - 1;
    counts[0] = counts[0].checked_sub(before)?;
    counts[last] = counts[last].checked_sub(after)?;
    counts.iter().all(|&count| count > 0).then_some(counts)
}

/// Layers of each stage when the list `embedding, helper, layers, helper, norm, head` is cut so that the largest and the
/// smallest count of layers and helpers differ least, later cuts first; none where a stage would hold no layer.
fn named_modules(layers: u64, stages: u64) -> Option<Vec<u64>> {
    let (layers, stages) = (layers as usize, stages as usize);
    let modules = layers + 5;
    let weight: Vec<usize> = (0..modules)
        .map(|index| usize::from((1..=layers + 2).contains(&index)))
        .collect();
    let sums: Vec<usize> = (0..=modules)
        .map(|end| weight[..end].iter().sum())
        .collect();
    let bounds = even_bounds(&sums, stages);
    let layer = |index: usize| index.clamp(2, layers + 2) - 2;
    let counts: Vec<u64> = bounds
        .windows(2)
        .map(|pair| (layer(pair[1]) - layer(pair[0])) as u64)
        .collect();
    counts.iter().all(|&count| count > 0).then_some(counts)
}

/// Bounds of so many parts of a list with these prefix sums: best `(largest, smallest)` for each number of parts and end.
fn even_bounds(sums: &[usize], parts: usize) -> Vec<usize> {
    let ends = sums.len();
    let mut best: Vec<Vec<Option<(usize, usize, usize)>>> = vec![vec![None; ends]; parts + 1];
    for end in 0..ends {
        best[1][end] = Some((sums[end], sums[end], 0));
    }
    for part in 2..=parts {
        for end in 0..ends {
            for cut in 0..=end {
                let Some((most, least, _)) = best[part - 1][cut] else {
                    continue;
                };
                let own = sums[end] - sums[cut];
                let (most, least) = (most.max(own), least.min(own));
                if best[part][end].is_none_or(|(known, small, _)| most - least <= known - small) {
                    best[part][end] = Some((most, least, cut));
                }
            }
        }
    }
    let mut bounds = vec![ends - 1];
    for part in (1..=parts).rev() {
        let end = bounds[bounds.len() - 1];
        bounds.push(best[part][end].map_or(0, |(_, _, cut)| cut));
    }
    bounds.reverse();
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heavy_head_takes_layers_from_the_last_stage() {
        assert_eq!(
            cut(Partition::Work, 8, 4, 0),
            [[0, 1], [2, 3], [4, 5], [6, 7]]
        );
        assert_eq!(balance(44, 4, 680), [11, 11, 11, 11]);
        assert_eq!(balance(9, 2, 1500), [5, 4]);
    }

    #[test]
    fn layers_of_different_weight_are_weighed() {
        assert_eq!(weigh(&[1000, 1000, 4000, 1000, 1000], 2, 0), [2, 3]);
        assert_eq!(weigh(&[3000, 1000, 1000, 1000], 2, 0), [1, 3]);
        assert_eq!(weigh(&[1000; 4], 2, 2000), [3, 1]);
        assert_eq!(weigh(&[1, 1, 9000], 3, 0), [1, 1, 1]);
    }

    #[test]
    fn counted_modules_leave_the_ends_fewer_layers() {
        assert_eq!(counted(96, 8, [0, 0]), Some(vec![12; 8]));
        assert_eq!(counted(70, 12, [1, 1]).unwrap()[..2], [5, 6]);
        assert_eq!(counted(40, 2, [1, 2]), Some(vec![21, 19]));
        assert_eq!(counted(4, 4, [1, 1]), None);
    }

    /// Bounds that DeepSpeed's own function gives for GPT-NeoX's module lists.
    #[test]
    fn named_modules_are_cut_as_deepspeed_cuts_them() {
        assert_eq!(named_modules(44, 4), Some(vec![11, 12, 11, 10]));
        assert_eq!(named_modules(12, 4), Some(vec![3, 4, 3, 2]));
        assert_eq!(named_modules(24, 5), Some(vec![5, 5, 5, 5, 4]));
        assert_eq!(named_modules(10, 4), Some(vec![2, 3, 3, 2]));
    }
}
