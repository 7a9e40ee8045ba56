//! Lanes in which gradients are summed in one order: a power of two, of whole micro-batches, dealt evenly to the replicas.

use num_traits::ToPrimitive;

use super::Known;
use crate::origin::Layer;
use crate::problem::Problem;
use crate::resolve::Resolver;

const CODE: &str = "pleach::sums::lanes";
/// More lanes than any batch has sequences are not offered.
const MOST: u64 = 1 << 20;

/// All rules.
pub fn check(resolver: &mut Resolver) {
    let Some(mut lanes) = resolver.known("train.sums.lanes") else {
        return;
    };
    let sums = resolver
        .tree
        .find("train.sums")
        .filter(|_| lanes.layer == Layer::Default);
    if let Some(sums) = sums {
        lanes.place = resolver.tree.node(sums).place;
    }
    let Some(count) = lanes.count() else {
        return;
    };
    if !count.is_power_of_two() {
        return power_of_two(resolver, &lanes, count);
    }
    whole_gradients(resolver, &lanes);
    if replicas(resolver, &lanes, count).is_none() {
        batch(resolver, &lanes, count);
    }
}

fn power_of_two(resolver: &mut Resolver, lanes: &Known, count: u64) {
    let (above, title) = (
        count.next_power_of_two(),
        format!("{count} lanes cannot be summed pairwise to the end"),
    );
    let problem = Problem::error(CODE, title, lanes.place, "not a power of two");
    let most = most(resolver);
    let offered: Vec<String> = [above / 2, above]
        .into_iter()
        .filter(|own| *own <= most)
        .map(|own| format!("`lanes = {own}`"))
        .collect();
    resolver.report(problem.help(match &offered[..] {
        [] => format!("write `lanes = {most}` or a smaller power of two"),
        some => format!("write {}", some.join(" or ")),
    }));
}

/// The most lanes that every batch falls into.
fn most(resolver: &mut Resolver) -> u64 {
    let mut most = MOST;
    for place in resolver.batches() {
        if let Some((_, sequences)) = sequences(resolver, &place.batch, &place.context) {
            most = most.min(1u64 << sequences.trailing_zeros().min(20));
        }
    }
    most
}

/// ZeRO 2 and 3 divide gradients before all are summed.
fn whole_gradients(resolver: &mut Resolver, lanes: &Known) -> Option<()> {
    let zero = resolver.known("plan.zero")?;
    let stage = zero.count().filter(|&stage| stage > 1)?;
    let title = format!("ZeRO {stage} divides gradients before they are summed in one order");
    let problem = Problem::error("pleach::sums::zero", title, zero.place, "divides gradients");
    let problem = problem.and(lanes.place, "lanes are of whole gradients");
    resolver.report(problem.help("write `zero = 1`, or `sums = fast`"));
    Some(())
}

/// Every replica has whole lanes; said of replicas that are pinned.
fn replicas(resolver: &mut Resolver, lanes: &Known, count: u64) -> Option<()> {
    let dp = resolver.known("plan.dp")?;
    let replicas = dp.count().filter(|&replicas| replicas > 0)?;
    if count.is_multiple_of(replicas) {
        return None;
    }
    let title = format!("{count} lanes cannot be dealt evenly to {replicas} replicas");
    let label = format!("{count} / {replicas} is not whole");
    let problem = Problem::error(CODE, title, lanes.place, label);
    let problem = problem.and(dp.place, format!("{replicas} replicas"));
    resolver.report(problem.help(match replicas.is_power_of_two() {
        true => format!("write `lanes = {replicas}` or more"),
        false => "replicas are a power of two where sums keep one order".to_owned(),
    }));
    Some(())
}

/// Every lane is whole micro-batches, in every phase.
fn batch(resolver: &mut Resolver, lanes: &Known, count: u64) {
    for place in resolver.batches() {
        let Some((batch, sequences)) = sequences(resolver, &place.batch, &place.context) else {
            continue;
        };
        let micro = resolver.known("plan.micro_batch");
        let size = micro.as_ref().and_then(Known::count).unwrap_or(1).max(1);
        let Some(portion) = count.checked_mul(size) else {
            continue;
        };
        if sequences.is_multiple_of(portion) {
            continue;
        }
        let title = match size {
            1 => format!("{sequences} sequences do not fall into {count} lanes"),
            _ => format!(
                "{sequences} sequences do not fall into {count} lanes of micro-batches of {size}"
            ),
        };
        let label = format!("{sequences} / {portion} is not whole");
        let mut problem = Problem::error(CODE, title, lanes.place, label);
        problem = problem.and(batch.place, format!("{sequences} sequences"));
        if let Some(micro) = micro.filter(|_| size > 1) {
            problem = problem.and(micro.place, format!("{size} each"));
        }
        let problem = place.in_phase(resolver, problem);
        resolver.report(problem.help(remedy(sequences, count, size)));
    }
}

/// What mends a batch of so many sequences in so many lanes of micro-batches of this size, the least change first.
fn remedy(sequences: u64, lanes: u64, size: u64) -> String {
    let portion = lanes * size;
    let fits = |size: u64| 1u64 << (sequences / size).trailing_zeros().min(31);
    let at_once = match sequences.is_multiple_of(lanes) {
        true => (1..=size)
            .rev()
            .find(|own| (sequences / lanes).is_multiple_of(*own)),
        false => None,
    };
    let fewer = (sequences.is_multiple_of(size) && sequences > 0).then(|| fits(size));
    match (at_once, fewer) {
        (Some(own), Some(lanes)) => format!("write `micro_batch = {own}`, or `lanes = {lanes}`"),
        (Some(own), None) => format!("write `micro_batch = {own}`"),
        (None, Some(lanes)) => {
            format!("write `lanes = {lanes}`, or a batch that is a multiple of {portion} sequences")
        }
        (None, None) => format!("a batch that is a multiple of {portion} sequences does"),
    }
}

fn sequences(resolver: &mut Resolver, batch: &str, context: &str) -> Option<(Known, u64)> {
    let (batch, context) = (resolver.known(batch)?, resolver.known(context)?);
    let sequences = batch.number()? / context.number()?;
    let whole = sequences.is_integer().then(|| sequences.to_u64());
    Some((batch, whole??))
}
