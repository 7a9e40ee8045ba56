//! Operations on the flat storages of buckets: each part by the rule of its family, the storage as a whole cut or joined.

use pleach_plan::{Axis, Group, Op};

use super::{Reach, Site, adam_w, norm, reduce_over};
use crate::verify::held::{Flat, Held, Item, State};
use crate::verify::number::Number;

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
        (
            Op::AdamW { .. },
            [Held::One(factor)],
            [Held::Flat(w), Held::Flat(m), Held::Flat(v), Held::Flat(g)],
        ) => Some([
            update(op, factor, [w, m, v, g], site)?.map(flat).into(),
            vec![],
        ]),
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
        site.accumulate(&sum, norm::sum_squares(&item, replicas, site))
    })
}

fn update(op: &Op, factor: &Item, [w, m, v, g]: [&Flat; 4], site: &Site) -> Option<[Flat; 4]> {
    if ![m, v, g].iter().all(|other| other.fits(w)) {
        return None;
    }
    let mut updated = [w, m, v, g].map(Flat::clone);
    for index in 0..w.parts.len() {
        let state = [w, m, v, g].map(|flat| &flat.parts[index].1);
        let results = adam_w::adam_w(op, factor, state, site);
        for (flat, item) in updated.iter_mut().zip(results) {
            flat.parts[index].1 = item;
        }
    }
    Some(updated)
}

fn collective(op: &Op, x: &Flat, reach: Reach, site: &Site) -> Option<Flat> {
    let axis = reach.only();
    match op {
        Op::AllReduce { .. } if !reach.stages && x.cut.is_none_or(|cut| !reach.axes[cut]) => {
            Some(x.map(|item| reduce_over(op, item, reach, site)))
        }
        Op::AllGather { dim: 0, .. } | Op::ReduceScatter { dim: 0, .. } if reach.nothing() => {
            Some(x.clone())
        }
        Op::AllGather { dim: 0, .. } if axis.is_some() && x.cut == axis => Some(Flat {
            cut: None,
            ..x.clone()
        }),
        Op::ReduceScatter { dim: 0, .. } if x.cut.is_none() => {
            let axis = axis?;
            let summed = x.map(|item| match item.states[axis] {
                _ if item.number == Number::ZERO && !item.is_odd() => item,
                State::Sum => finished(item, axis),
                State::Whole => finished(item.counted(axis, site.sizes), axis),
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

/// A sum over ranks that has been added up.
fn finished(mut item: Item, axis: usize) -> Item {
    item.states[axis] = State::Whole;
    item
}
