//! Declared layouts against found ones: what a plan says of a tensor is what readers, checkpoints and comparisons rely on.

use pleach_plan::check::Place;
use pleach_plan::walk::Visit;
use pleach_plan::{Layout, Plan, Role, Tensor};

use super::fault::{Fault, What};
use super::held::{Held, Item, State};
use super::memory::{Memory, copies, logical_name};
use super::number::Number;
use super::rules::Site;

/// What a result's declaration says wrongly. Flat storages have no layout of their own: their parts have.
pub fn result(
    tensor: &Tensor,
    held: &Held,
    place: impl Fn() -> Place,
    site: &Site,
) -> Option<Fault> {
    let Held::One(item) = held else { return None };
    wrong(tensor, item, site).map(|what| Fault {
        place: place(),
        what,
    })
}

/// The place of an instruction.
pub fn place(stage: u32, visit: &Visit, index: usize) -> Place {
    Place {
        stage: Some(stage),
        slot: Some(visit.slot),
        layer: visit.layer,
        micro_batch: Some(visit.micro_batch),
        body: Some(visit.body.name.clone()),
        instruction: Some((index, visit.body.code[index].op.name())),
        name: None,
    }
}

/// What declarations of gradients say wrongly when all of them are there.
pub fn gradients(plan: &Plan, role: &Role, memory: &Memory, site: &Site) -> Vec<Fault> {
    let mut faults = Vec::new();
    for parameter in &plan.parameters {
        let tensor = &plan.tensors[parameter.gradient.0 as usize];
        let held = plan.buckets[parameter.bucket].gradients;
        if !role.statics.contains(&held) {
            continue;
        }
        for layer in copies(plan, role, held) {
            if let Held::One(item) = memory.read(parameter.gradient, layer) {
                let place = || Place {
                    stage: Some(role.stage),
                    ..Place::named(&logical_name(parameter, layer))
                };
                faults.extend(wrong(tensor, &item, site).map(|what| Fault {
                    place: place(),
                    what,
                }));
            }
        }
    }
    faults
}

/// Values without meaning are another matter, and zeros may count as anything.
fn wrong(tensor: &Tensor, item: &Item, site: &Site) -> Option<What> {
    if item.is_odd() || item.number == Number::ZERO {
        return None;
    }
    let declared = [tensor.layout.dp, tensor.layout.tp];
    let fits = |axis: usize| match (declared[axis], item.states[axis]) {
        _ if site.sizes.ranks[axis] == 1 => true,
        (Layout::Replicate, State::Whole) | (Layout::Partial, State::Sum | State::Largest) => true,
        (Layout::Shard(dim), State::Shard(found)) => dim == found,
        _ => false,
    };
    let say = |states: [String; 2]| format!("dp {}, tp {}", states[0], states[1]);
    let (found, wanted) = (item.states, declared);
    (!(fits(0) && fits(1))).then(|| What::Declared {
        tensor: tensor.name.clone(),
        declared: say(wanted.map(|layout| format!("{layout:?}"))),
        found: say(found.map(|state| format!("{state:?}"))),
    })
}
