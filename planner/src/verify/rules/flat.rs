//! Operations on the flat storages of buckets: each part by the rule of its family, the storage as a whole cut or joined.

use pleach_plan::{Axis, Group, Op, Part, Reduce};

use super::{Reach, Site, norm, reduce_over};
use crate::verify::held::{Flat, Held, Item, State};
use crate::verify::number::Number;

/// The axis of the replicas among those of a stage.
const DP: usize = 0;

/// What an operation does to operands of which at least one is flat: new updates and results; none where it has no meaning.
pub fn apply_flat(
    op: &Op,
    group: Option<&Group>,
    ins: &[Held],
    updates: &[Held],
    site: &Site,
) -> Option<[Vec<Held>; 2]> {
    let flat = |held: Flat| Held::Flat(held);
    match (op, ins, updates) {
        (Op::Zero {}, [], [Held::Flat(x)]) => {
            Some([vec![flat(x.map(|_| Item::whole(Number::ZERO)))], vec![]])
        }
        // What a target held before does not matter.
        (Op::Cast {}, [Held::Flat(source)], [_]) => Some([vec![flat(source.clone())], vec![]]),
        (Op::Cast {}, [Held::Flat(source)], []) => Some([vec![], vec![flat(source.clone())]]),
        (Op::Accumulate {}, [Held::Flat(x)], [Held::Flat(y)]) => {
            Some([vec![flat(accumulated(x, y, site)?)], vec![]])
        }
        (Op::Slice { axis, dim: 0 }, [Held::Flat(x)], []) => {
            Some([vec![], vec![flat(slice(x, *axis, site)?)]])
        }
        (Op::SumSquares { replicas }, [Held::Flat(x)], [Held::One(report)]) => Some([
            vec![Held::One(sum_squares(x, *report, *replicas, site))],
            vec![],
        ]),
        (op, [Held::One(factor)], state) if op.is_update() => {
            let flats = state.iter().map(|held| match held {
                Held::Flat(flat) => Some(flat),
                Held::One(_) => None,
            });
            let updated = update(op, factor, &flats.collect::<Option<Vec<_>>>()?, site)?;
            Some([updated.into_iter().map(flat).collect(), vec![]])
        }
        (_, [Held::Flat(x)], []) => Some([
            vec![],
            vec![flat(collective(op, x, Reach::new(group?, site), site)?)],
        ]),
        (Op::AllReduce { .. }, [], [Held::Flat(x)]) => Some([
            vec![flat(collective(op, x, Reach::new(group?, site), site)?)],
            vec![],
        ]),
        (Op::AllGather { .. }, [Held::Flat(x)], [Held::Flat(_)]) => Some([
            vec![flat(collective(op, x, Reach::new(group?, site), site)?)],
            vec![],
        ]),
        _ => None,
    }
}

fn accumulated(x: &Flat, y: &Flat, site: &Site) -> Option<Flat> {
    let sum = |index: usize, item: Item| item.plus(x.parts[index].1, site.sizes);
    let parts = y.parts.iter().enumerate();
    x.fits(y).then(|| Flat {
        parts: parts
            .map(|(index, &(length, item))| (length, sum(index, item)))
            .collect(),
        cut: y.cut,
    })
}

fn slice(x: &Flat, over: Axis, site: &Site) -> Option<Flat> {
    let Some(axis) = site.axis(over) else {
        return Some(x.clone());
    };
    let whole = x
        .parts
        .iter()
        .all(|(_, item)| item.states[axis] == State::Whole);
    (whole && x.cut.is_none()).then(|| Flat {
        cut: Some(axis),
        ..x.clone()
    })
}

/// Along the axis over which a storage is cut, every rank has other elements.
fn sum_squares(x: &Flat, report: Item, replicas: u64, site: &Site) -> Item {
    x.parts.iter().fold(report, |sum, (_, item)| {
        let mut item = *item;
        if let Some(axis) = x.cut.filter(|_| item.number != Number::ZERO) {
            item.states[axis] = if item.states[axis] == State::Whole {
                State::Shard(0)
            } else {
                State::Odd
            };
        }
        let mut gain = norm::sum_squares(&item, replicas, site);
        if x.cut == Some(DP) {
            // Every block of replicas adds the same pieces.
            gain.number = gain.number.times(site.sizes.blocks);
        }
        site.accumulate(&sum, gain)
    })
}

fn update(op: &Op, factor: &Item, state: &[&Flat], site: &Site) -> Option<Vec<Flat>> {
    let (weight, others) = state.split_first()?;
    if !others.iter().all(|other| other.fits(weight)) {
        return None;
    }
    let mut updated: Vec<Flat> = state.iter().copied().cloned().collect();
    for index in 0..weight.parts.len() {
        let parts: Vec<&Item> = state.iter().map(|flat| &flat.parts[index].1).collect();
        let results = super::update::update(op, factor, &parts, site)?;
        for (flat, item) in updated.iter_mut().zip(results) {
            flat.parts[index].1 = item;
        }
    }
    Some(updated)
}

fn collective(op: &Op, x: &Flat, reach: Reach, site: &Site) -> Option<Flat> {
    let axis = reach.only();
    // Replicas in blocks cut among those of one block only.
    let wanted = |axis| (axis == Some(DP) && site.sizes.blocks > 1).then_some(Part::Within);
    let pieces = |axis| reach.part == wanted(axis);
    match op {
        Op::AllReduce {
            reduce: Reduce::Sum,
            ..
        } if reach.part == Some(Part::Across) => {
            (x.cut == Some(DP)).then(|| x.map(|item| over_blocks(item, site)))
        }
        Op::AllReduce { .. } if reach.part.is_some() => None,
        Op::AllReduce { .. } if !reach.stages && x.cut.is_none_or(|cut| !reach.axes[cut]) => {
            Some(x.map(|item| reduce_over(op, item, reach, site)))
        }
        Op::AllGather { dim: 0, .. } | Op::ReduceScatter { dim: 0, .. } if reach.nothing() => {
            Some(x.clone())
        }
        Op::AllGather { dim: 0, .. } if axis.is_some() && x.cut == axis && pieces(axis) => {
            let blocks = |(_, item): &(u64, Item)| item.states.contains(&State::Blocks);
            (!x.parts.iter().any(blocks)).then(|| Flat {
                cut: None,
                ..x.clone()
            })
        }
        Op::ReduceScatter { dim: 0, .. } if x.cut.is_none() && pieces(axis) => {
            let axis = axis?;
            let summed = x.map(|item| match item.states[axis] {
                _ if item.number == Number::ZERO && !item.is_odd() => item,
                State::Sum => scattered(item, axis, site),
                State::Whole => scattered(item.counted(axis, site.sizes), axis, site),
                _ => Item::odd(Number::of("odd scatter", &[], &[item.number])),
            });
            Some(Flat {
                cut: Some(axis),
                ..summed
            })
        }
        _ => None,
    }
}

/// A sum over ranks that has been added up, over those of each block where replicas stand in blocks.
fn scattered(mut item: Item, axis: usize, site: &Site) -> Item {
    item.states[axis] = match axis == DP && site.sizes.blocks > 1 {
        true => State::Blocks,
        false => State::Whole,
    };
    item
}

/// Pieces added up over the blocks of replicas.
fn over_blocks(mut item: Item, site: &Site) -> Item {
    if item.number == Number::ZERO && !item.is_odd() {
        return item;
    }
    match item.states[DP] {
        State::Blocks => item.states[DP] = State::Whole,
        State::Whole => item.number = item.number.times(site.sizes.blocks),
        _ => return Item::odd(Number::of("odd sum over blocks", &[], &[item.number])),
    }
    item
}
