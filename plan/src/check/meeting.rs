//! All roles together: transfers meet their counterparts, collectives that span stages meet each other, and the step ends.
//!
//! Members of one stage run the same code and always meet; so it is enough to advance one abstract rank for each stage until
//! all are done or nobody can go on. A transfer's start never blocks. A wait blocks until the peer has begun its side: the n-th
//! send of a wire from one stage to another meets the n-th receive there, as on an ordered channel for each direction and wire.

use std::collections::BTreeMap;

use crate::check::fault::{Faults, Place, What};
use crate::walk::{Event, Visit, walk};
use crate::{Dtype, Group, Instr, Plan, Transfer, TransferKind, Wire};

/// Checks that all roles together reach the end of the step.
pub fn meeting(plan: &Plan, faults: &mut Faults) {
    let mut stages: Vec<Stage> = plan
        .roles
        .iter()
        .map(|role| Stage::new(plan, role.stage))
        .collect();
    let mut channels = Channels::default();
    loop {
        let mut moved = false;
        for stage in &mut stages {
            moved |= stage.advance(&mut channels, faults);
        }
        let met = meet(plan, &mut stages, faults);
        if !moved && !met {
            break;
        }
        if !faults.is_empty() {
            return;
        }
    }
    let standing: Vec<String> = stages.iter().filter_map(Stage::standing).collect();
    if !standing.is_empty() {
        faults.push(Place::default(), What::Deadlock { stages: standing });
    }
    channels.unpaired(faults);
}

/// What a stage cannot pass alone.
enum Point<'p> {
    Start(usize, &'p Transfer),
    Wait(usize, u32),
    Collective(Visit<'p>, usize, &'p Instr),
}

struct Stage<'p> {
    plan: &'p Plan,
    number: u32,
    points: Box<dyn Iterator<Item = Point<'p>> + 'p>,
    next: Option<Point<'p>>,
    /// Transfers of this stage by token: the channel and the position in it.
    tokens: BTreeMap<u32, (Channel, TransferKind, usize)>,
}

/// Sending and receiving stage, and what travels: values and their gradients do not wait for each other.
type Channel = (u32, u32, Wire);

impl<'p> Stage<'p> {
    fn new(plan: &'p Plan, number: u32) -> Self {
        let points =
            walk(plan, &plan.roles[number as usize]).filter_map(move |event| match event {
                Event::Start(slot, transfer) => Some(Point::Start(slot, transfer)),
                Event::Wait(slot, token) => Some(Point::Wait(slot, token)),
                Event::Run(visit, index, instr) if spans(plan, instr) => {
                    Some(Point::Collective(visit, index, instr))
                }
                _ => None,
            });
        let mut points: Box<dyn Iterator<Item = Point<'p>> + 'p> = Box::new(points);
        let next = points.next();
        Stage {
            plan,
            number,
            points,
            next,
            tokens: BTreeMap::new(),
        }
    }

    fn step(&mut self) {
        self.next = self.points.next();
    }

    /// Goes on until something blocks; says whether it moved at all.
    fn advance(&mut self, channels: &mut Channels<'p>, faults: &mut Faults) -> bool {
        let mut moved = false;
        loop {
            match self.next {
                Some(Point::Start(slot, transfer)) => {
                    let place = Place::slot(self.number, slot);
                    let entry = channels.post(self.plan, self.number, place, transfer, faults);
                    self.tokens.insert(transfer.token, entry);
                }
                Some(Point::Wait(_, token)) if channels.done(self.tokens.get(&token)) => {}
                _ => return moved,
            }
            self.step();
            moved = true;
        }
    }

    /// Where an unfinished stage stands.
    fn standing(&self) -> Option<String> {
        let number = self.number;
        Some(match self.next.as_ref()? {
            Point::Start(slot, _) => format!("stage {number} is at slot {slot}"),
            Point::Wait(slot, token) => {
                let (side, peer) = match self.tokens.get(token) {
                    Some((channel, TransferKind::Send, _)) => ("receives", channel.1),
                    Some((channel, TransferKind::Receive, _)) => ("sends", channel.0),
                    None => ("knows", number),
                };
                format!(
                    "stage {number} waits at slot {slot} for token {token} until stage {peer} {side}"
                )
            }
            Point::Collective(visit, index, instr) => {
                let (slot, body) = (visit.slot, &visit.body.name);
                format!(
                    "stage {number} waits at slot {slot} in {body} instruction {index} ({}) for other stages",
                    instr.op.name()
                )
            }
        })
    }
}

/// Whether an instruction needs other stages.
fn spans(plan: &Plan, instr: &Instr) -> bool {
    instr
        .op
        .group()
        .is_some_and(|group| plan.mesh.pp > 1 && plan.groups[group.0 as usize].spans_stages())
}

/// Lets stages pass that stand at a collective of one group with all others that belong to it.
fn meet<'p>(plan: &'p Plan, stages: &mut [Stage<'p>], faults: &mut Faults) -> bool {
    let mut met = false;
    for group in plan.groups.iter().filter(|group| group.spans_stages()) {
        let stands = |stage: &Stage<'p>| match &stage.next {
            Some(Point::Collective(_, _, instr)) => instr.op.group() == Some(group.id),
            _ => false,
        };
        let mut members: Vec<&mut Stage<'p>> = stages
            .iter_mut()
            .filter(|stage| plan.mesh.takes_part(group, stage.number))
            .collect();
        if members.iter().all(|stage| stands(stage)) {
            compare(plan, &members, group, faults);
            members.iter_mut().for_each(|stage| stage.step());
            met = true;
        }
    }
    met
}

fn compare<'p>(plan: &'p Plan, stages: &[&mut Stage<'p>], group: &Group, faults: &mut Faults) {
    let kinds: Vec<_> = stages
        .iter()
        .filter_map(|stage| kind(plan, stage))
        .collect();
    for (stage, found) in stages.iter().zip(&kinds).skip(1) {
        if *found != kinds[0] {
            let say =
                |kind: &(String, &[u64], Dtype)| format!("{} of {:?} {:?}", kind.0, kind.1, kind.2);
            let what = What::Collective {
                group: group.name.clone(),
                first: stages[0].number,
                left: say(&kinds[0]),
                second: stage.number,
                right: say(found),
            };
            faults.push(
                Place {
                    stage: Some(stage.number),
                    ..Place::default()
                },
                what,
            );
        }
    }
}

/// What must be equal for all members of a collective: operation, shape and type of what each gives.
fn kind<'p>(plan: &'p Plan, stage: &Stage<'p>) -> Option<(String, &'p [u64], Dtype)> {
    let Some(Point::Collective(_, _, instr)) = &stage.next else {
        return None;
    };
    let given = instr.ins.first().or(instr.updates.first())?;
    let tensor = &plan.tensors[given.0 as usize];
    Some((format!("{:?}", instr.op), &tensor.dims, tensor.dtype))
}

/// Transfers in the order in which they were begun, for each direction between two stages.
#[derive(Default)]
struct Channels<'p> {
    sends: BTreeMap<Channel, Vec<(Place, &'p Transfer)>>,
    receives: BTreeMap<Channel, Vec<(Place, &'p Transfer)>>,
}

impl<'p> Channels<'p> {
    fn post(
        &mut self,
        plan: &Plan,
        stage: u32,
        place: Place,
        transfer: &'p Transfer,
        faults: &mut Faults,
    ) -> (Channel, TransferKind, usize) {
        let (channel, own, other) = match transfer.kind {
            TransferKind::Send => (
                (stage, transfer.peer, transfer.wire),
                &mut self.sends,
                &self.receives,
            ),
            TransferKind::Receive => (
                (transfer.peer, stage, transfer.wire),
                &mut self.receives,
                &self.sends,
            ),
        };
        let queue = own.entry(channel).or_default();
        let index = queue.len();
        if let Some((_, counterpart)) = other.get(&channel).and_then(|queue| queue.get(index)) {
            let pair = match transfer.kind {
                TransferKind::Send => (describe(plan, transfer), describe(plan, counterpart)),
                TransferKind::Receive => (describe(plan, counterpart), describe(plan, transfer)),
            };
            if pair.0 != pair.1 {
                let (from, to, _) = channel;
                faults.push(
                    place.clone(),
                    What::Transfer {
                        from,
                        to,
                        index,
                        sent: pair.0,
                        expected: pair.1,
                    },
                );
            }
        }
        queue.push((place, transfer));
        (channel, transfer.kind, index)
    }

    /// Whether the counterpart of a transfer has been begun.
    fn done(&self, entry: Option<&(Channel, TransferKind, usize)>) -> bool {
        entry.is_some_and(|(channel, kind, index)| {
            let others = match kind {
                TransferKind::Send => &self.receives,
                TransferKind::Receive => &self.sends,
            };
            others
                .get(channel)
                .is_some_and(|queue| queue.len() > *index)
        })
    }

    fn unpaired(&self, faults: &mut Faults) {
        for (mine, others) in [(&self.sends, &self.receives), (&self.receives, &self.sends)] {
            for (channel, queue) in mine {
                let met = others.get(channel).map_or(0, Vec::len);
                for (place, transfer) in queue.iter().skip(met) {
                    let what = format!(
                        "{:?} of micro-batch {}",
                        transfer.wire, transfer.micro_batch
                    );
                    faults.push(
                        place.clone(),
                        What::Unpaired {
                            kind: transfer.kind,
                            what,
                            peer: transfer.peer,
                        },
                    );
                }
            }
        }
    }
}

fn describe(plan: &Plan, transfer: &Transfer) -> String {
    let tensor = &plan.tensors[transfer.tensor.0 as usize];
    format!(
        "{:?} of micro-batch {} from chunk {} as {:?} {:?}",
        transfer.wire, transfer.micro_batch, transfer.chunk, tensor.dims, tensor.dtype
    )
}
