//! What passes between ranks: collectives that wait for all members, transfers on ordered channels.

use std::collections::BTreeMap;

use super::ops::collective;
use super::stuck::Why;
use super::value::Value;
use crate::{GroupId, Op, Transfer, TransferKind, Wire};

/// Sending and receiving rank, and what travels.
pub type Channel = (u32, u32, Wire);

/// A transfer that a rank has begun.
#[derive(Clone, Debug)]
pub struct Open {
    /// Between whom.
    pub channel: Channel,
    /// Which transfer of the channel.
    pub index: usize,
    /// What it is.
    pub transfer: Transfer,
}

/// The state of everything between ranks.
#[derive(Debug, Default)]
pub struct Exchange {
    meetings: BTreeMap<(GroupId, Vec<u32>), Meeting>,
    channels: BTreeMap<Channel, Sides>,
}

#[derive(Debug, Default)]
struct Meeting {
    arrived: BTreeMap<u32, (Op, Value)>,
    results: BTreeMap<u32, Value>,
}

#[derive(Debug, Default)]
struct Sides {
    sends: Vec<(String, Value)>,
    receives: Vec<String>,
}

/// What becomes of a rank that comes to a collective.
pub enum Met {
    /// All were there: this is its result.
    Result(Value),
    /// It has just arrived and waits.
    Arrived,
    /// It still waits.
    Waiting,
}

impl Exchange {
    /// A rank stands at a collective; `given` makes what it brings.
    pub fn meet(
        &mut self,
        rank: u32,
        (group, members): (GroupId, Vec<u32>),
        op: &Op,
        given: impl FnOnce() -> Result<Value, Why>,
    ) -> Result<Met, Why> {
        let count = members.len();
        let meeting = self.meetings.entry((group, members)).or_default();
        if let Some(result) = meeting.results.remove(&rank) {
            return Ok(Met::Result(result));
        }
        if meeting.arrived.contains_key(&rank) {
            return Ok(Met::Waiting);
        }
        let value = given()?;
        if let Some((other, theirs)) = meeting.arrived.values().next() {
            let say =
                |op: &Op, value: &Value| format!("{op:?} of {:?} {:?}", value.dims, value.dtype);
            let (found, expected) = (say(op, &value), say(other, theirs));
            if found != expected {
                return Err(Why::Mismatch { found, expected });
            }
        }
        meeting.arrived.insert(rank, (op.clone(), value));
        if meeting.arrived.len() < count {
            return Ok(Met::Arrived);
        }
        let arrived = std::mem::take(&mut meeting.arrived);
        let given: Vec<&Value> = arrived.values().map(|(_, value)| value).collect();
        meeting.results = arrived
            .keys()
            .copied()
            .zip(collective::exchange(op, &given)?)
            .collect();
        meeting
            .results
            .remove(&rank)
            .map(Met::Result)
            .ok_or_else(|| Why::Missing("its own group".to_owned()))
    }

    /// A rank begins a transfer; a send brings its value.
    pub fn post(
        &mut self,
        channel: Channel,
        transfer: &Transfer,
        value: Option<Value>,
        label: String,
    ) -> Result<Open, Why> {
        let sides = self.channels.entry(channel).or_default();
        let (index, counterpart) = match value {
            Some(value) => {
                sides.sends.push((label.clone(), value));
                let index = sides.sends.len() - 1;
                (index, sides.receives.get(index))
            }
            None => {
                sides.receives.push(label.clone());
                let index = sides.receives.len() - 1;
                (index, sides.sends.get(index).map(|(label, _)| label))
            }
        };
        match counterpart {
            Some(other) if *other != label => Err(Why::Mismatch {
                found: label,
                expected: other.clone(),
            }),
            _ => Ok(Open {
                channel,
                index,
                transfer: transfer.clone(),
            }),
        }
    }

    /// What a waiting rank gets once both sides have begun: nothing for a send, the value for a receive.
    pub fn complete(&self, open: &Open) -> Option<Option<Value>> {
        let sides = self.channels.get(&open.channel)?;
        match open.transfer.kind {
            TransferKind::Send => sides.receives.get(open.index).map(|_| None),
            TransferKind::Receive => sides
                .sends
                .get(open.index)
                .map(|(_, value)| Some(value.clone())),
        }
    }

    /// Forgets the channels of a step that is over.
    ///
    /// # Errors
    /// A transfer without its counterpart.
    pub fn end(&mut self) -> Result<(), Why> {
        let paired = self
            .channels
            .values()
            .all(|sides| sides.sends.len() == sides.receives.len());
        self.channels.clear();
        match paired {
            true => Ok(()),
            false => Err(Why::StepLeftover("a transfer without counterpart")),
        }
    }
}
