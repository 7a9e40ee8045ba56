//! Collectives change states and nothing else, if they are right: sums are finished, pieces joined, wholes cut.

use pleach_plan::{Axis, Group, Op, Part, Reduce};

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// Over which axes of more than one rank a group reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// dp, then tp.
    pub axes: [bool; 2],
    /// Whether it spans stages.
    pub stages: bool,
    /// Which of the replicas it joins, where not all of them.
    pub part: Option<Part>,
}

impl Reach {
    /// The reach of a group on a site.
    pub fn new(group: &Group, site: &Site) -> Self {
        let over = |axis: Axis, size: u64| size > 1 && group.axes.contains(&axis);
        let [dp, tp] = site.sizes.ranks;
        Reach {
            axes: [over(Axis::Dp, dp), over(Axis::Tp, tp)],
            stages: over(Axis::Pp, site.stages),
            part: group.part,
        }
    }

    /// The axis it reaches over, if there is exactly one and it does not span stages.
    pub fn only(&self) -> Option<usize> {
        match (self.axes, self.stages) {
            ([true, false], false) => Some(0),
            ([false, true], false) => Some(1),
            _ => None,
        }
    }

    /// Whether it reaches over nothing.
    pub fn nothing(&self) -> bool {
        self.axes == [false; 2] && !self.stages
    }
}

/// What the members of one stage have after a collective whose stages were added up before.
pub fn reduce_over(op: &Op, x: Item, reach: Reach, site: &Site) -> Item {
    let odd = || Item::odd(Number::of("odd collective", &[], &[x.number]));
    match op {
        // Parts of the replicas join nothing but pieces of flat storages.
        _ if reach.part.is_some() => odd(),
        Op::AllReduce { reduce, .. } => all_reduce(x, *reduce, reach, site).unwrap_or_else(odd),
        _ if reach.nothing() => x,
        Op::AllGather { dim, .. } => gather(x, *dim, reach).unwrap_or_else(odd),
        Op::ReduceScatter { dim, .. } => scatter(x, *dim, reach, site).unwrap_or_else(odd),
        _ => odd(),
    }
}

fn all_reduce(mut x: Item, reduce: Reduce, reach: Reach, site: &Site) -> Option<Item> {
    for axis in (0..2).filter(|&axis| reach.axes[axis]) {
        x = match (reduce, x.states[axis]) {
            _ if x.number == Number::ZERO && reduce == Reduce::Sum && !x.is_odd() => x,
            (Reduce::Sum, State::Whole) => x.counted(axis, site.sizes),
            (Reduce::Sum, State::Sum) | (Reduce::Max, State::Largest | State::Whole) => x,
            _ => return None,
        };
        x.states[axis] = State::Whole;
    }
    Some(x)
}

fn gather(mut x: Item, dim: usize, reach: Reach) -> Option<Item> {
    let axis = reach
        .only()
        .filter(|&axis| x.states[axis] == State::Shard(dim))?;
    x.states[axis] = State::Whole;
    (x.states[1 - axis] != State::Shard(dim)).then_some(x)
}

fn scatter(x: Item, dim: usize, reach: Reach, site: &Site) -> Option<Item> {
    let axis = reach.only()?;
    let mut sum = match x.states[axis] {
        State::Whole => x.counted(axis, site.sizes),
        State::Sum => x,
        _ => return None,
    };
    sum.states[axis] = State::Shard(dim);
    (sum.states[1 - axis] != State::Shard(dim)).then_some(sum)
}
