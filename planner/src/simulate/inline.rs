//! Transfers in line with the computation, as DeepSpeed's pipeline engine makes them.
//!
//! Between two passes a stage first hands on what the last one made, then takes what the next one needs, and waits for each. Only
//! between a forward and the backward of the very next clock tick it takes first: there its neighbour hands on first, so that
//! the two meet.

use std::collections::BTreeMap;

use pleach_plan::{BodyKind, Wire};

use super::actions::{Action, Side};

/// The transfers of one role, and where its passes stand.
pub struct Inline {
    /// By direction (sending), wire and micro-batch.
    pub sides: BTreeMap<(bool, Wire, u32), Side>,
    /// The pass that runs: its wire and micro-batch.
    pub last: Option<(Wire, u32)>,
    /// Stages after this one: so many forwards are ahead of a backward in the same tick.
    pub ahead: u32,
}

impl Inline {
    /// What happens before a call: nothing within a pass, else the exchange between two passes.
    pub fn before(&mut self, kind: BodyKind, micro_batch: u32) -> Vec<Action> {
        let next = match kind {
            BodyKind::Forward => Some((Wire::Hidden, micro_batch)),
            BodyKind::Backward => Some((Wire::Gradient, micro_batch)),
            BodyKind::Begin | BodyKind::Reduce | BodyKind::Update => None,
        };
        if next == self.last {
            return Vec::new();
        }
        let send = self
            .last
            .map(|(wire, micro_batch)| (true, wire, micro_batch));
        let receive = next.map(|(wire, micro_batch)| (false, wire, micro_batch));
        let turns = match (self.last, next) {
            (Some((Wire::Hidden, forward)), Some((Wire::Gradient, backward))) => {
                forward == backward + self.ahead
            }
            _ => false,
        };
        self.last = next;
        let order = if turns {
            [receive, send]
        } else {
            [send, receive]
        };
        let sides = order
            .into_iter()
            .flatten()
            .filter_map(|key| self.sides.get(&key));
        sides
            .flat_map(|&side| [Action::Start(side), Action::Wait(side)])
            .collect()
    }
}
