//! The frame of a plan: mesh, groups, training figures, and which stage holds which layers.

use crate::check::fault::{Faults, Place, What};
use crate::json::SCHEMA;
use crate::{Axis, Plan, Role, Slot};

/// The most ranks, and the most layers of a stage.
const RANKS: u64 = 1 << 20;
const LAYERS: u64 = 1 << 16;
/// The most instructions that a stage may run in a step.
const UNROLLED: u64 = 1 << 28;
/// Sizes of the training stay below this, so that products of two of them can be counted.
const SIZE: u64 = 1 << 31;

/// Checks mesh, groups, training and the shape of roles.
pub fn header(plan: &Plan, faults: &mut Faults) {
    if plan.schema != SCHEMA {
        faults.push(
            Place::default(),
            What::Schema {
                found: plan.schema,
                known: SCHEMA,
            },
        );
    }
    mesh(plan, faults);
    groups(plan, faults);
    training(plan, faults);
    roles(plan, faults);
    if faults.is_empty() {
        unrolled(plan, faults);
    }
}

fn number(
    faults: &mut Faults,
    holds: bool,
    field: &'static str,
    value: impl ToString,
    law: &'static str,
) {
    if !holds {
        faults.push(
            Place::default(),
            What::Number {
                field,
                value: value.to_string(),
                law,
            },
        );
    }
}

fn mesh(plan: &Plan, faults: &mut Faults) {
    let mesh = plan.mesh;
    for (field, size) in [
        ("mesh.dp", mesh.dp),
        ("mesh.pp", mesh.pp),
        ("mesh.tp", mesh.tp),
    ] {
        number(faults, size > 0, field, size, "it must be at least 1");
    }
    number(
        faults,
        mesh.cp == 1,
        "mesh.cp",
        mesh.cp,
        "context parallelism is not there yet: it must be 1",
    );
    number(
        faults,
        plan.zero <= 3,
        "zero",
        plan.zero,
        "it must be 0 to 3",
    );
    if let Some(shards) = mesh.shards {
        let law = "it must divide the replicas, and leave more than one block of more than one";
        let blocks = shards > 1 && shards < mesh.dp && mesh.dp.is_multiple_of(shards);
        number(faults, blocks, "mesh.shards", shards, law);
    }
    let ranks = [mesh.dp, mesh.cp, mesh.pp, mesh.tp]
        .iter()
        .try_fold(1_u64, |product, &size| {
            product
                .checked_mul(u64::from(size))
                .filter(|&product| product <= RANKS)
        });
    if ranks.is_none() {
        let what = What::Ranks {
            dp: mesh.dp,
            cp: mesh.cp,
            pp: mesh.pp,
            tp: mesh.tp,
            limit: RANKS,
        };
        faults.push(Place::default(), what);
    }
}

fn groups(plan: &Plan, faults: &mut Faults) {
    for (index, group) in plan.groups.iter().enumerate() {
        if group.id.0 as usize != index {
            faults.push(
                Place::named(&group.name),
                What::Index {
                    table: "groups",
                    index,
                    id: group.id.0,
                },
            );
        }
        let law = "a group of the first and the last stage must have the axis pp";
        let ends = !group.ends || group.spans_stages();
        number(faults, ends, "group.ends", group.ends, law);
        let law = "only replicas that stand in blocks have parts";
        let part =
            group.part.is_none() || plan.mesh.shards.is_some() && group.axes[..] == [Axis::Dp];
        number(faults, part, "group.part", group.part.is_some(), law);
        if !group.axes.is_sorted_by(|left, right| left < right) {
            faults.push(
                Place::named(&group.name),
                What::Axes {
                    axes: group.axes.clone(),
                },
            );
        }
    }
}

fn training(plan: &Plan, faults: &mut Faults) {
    let training = &plan.training;
    let sizes = [
        ("training.global_batch", training.global_batch),
        ("training.micro_batch", training.micro_batch),
        ("training.micro_steps", u64::from(training.micro_steps)),
        ("training.sequence", training.sequence),
    ];
    for (field, value) in sizes {
        number(
            faults,
            (1..SIZE).contains(&value),
            field,
            value,
            "it must be at least 1 and less than 2^31",
        );
    }
    let product = u128::from(training.micro_batch)
        * u128::from(training.micro_steps)
        * u128::from(plan.mesh.dp);
    if let Some(why) = training.uncut_lanes(plan.mesh.dp) {
        faults.push(Place::default(), What::Lanes { why });
    }
    if product != u128::from(training.global_batch) {
        let what = What::Batch {
            global: training.global_batch,
            micro: training.micro_batch,
            steps: training.micro_steps,
            dp: plan.mesh.dp,
            product,
        };
        faults.push(Place::default(), what);
    }
}

fn roles(plan: &Plan, faults: &mut Faults) {
    if plan.roles.len() != plan.mesh.pp as usize {
        faults.push(
            Place::default(),
            What::Roles {
                roles: plan.roles.len(),
                pp: plan.mesh.pp,
            },
        );
    }
    for (index, role) in plan.roles.iter().enumerate() {
        let place = Place {
            stage: Some(role.stage),
            ..Place::default()
        };
        if role.stage as usize != index {
            faults.push(
                place.clone(),
                What::Index {
                    table: "roles",
                    index,
                    id: role.stage,
                },
            );
        }
        let count = role.layer_count();
        if count > LAYERS {
            faults.push(
                place,
                What::TooMany {
                    count,
                    things: "layers",
                    limit: LAYERS,
                },
            );
        }
    }
    let kinds = plan.kinds.is_empty() || plan.kinds.len() == plan.layer_count() as usize;
    let law = "each layer has a kind, or none has";
    number(faults, kinds, "kinds", plan.kinds.len(), law);
    chunks(plan, faults);
}

/// The chunks of all stages, in turn, hold the layers of the model in order.
fn chunks(plan: &Plan, faults: &mut Faults) {
    let expected = plan.roles.first().map_or(0, |role| role.chunks.len());
    let place = |role: &Role| Place {
        stage: Some(role.stage),
        ..Place::default()
    };
    for role in &plan.roles {
        let chunks = role.chunks.len();
        if chunks != expected || chunks == 0 {
            faults.push(place(role), What::Chunks { chunks, expected });
        }
    }
    let mut next = 0_u64;
    for chunk in 0..expected {
        for role in &plan.roles {
            let Some(&[first, last]) = role.chunks.get(chunk) else {
                continue;
            };
            if u64::from(first) != next || last < first {
                faults.push(place(role), What::Layers { first, last, next });
            }
            next = u64::from(last) + 1;
        }
    }
}

/// Refuses roles whose step is too long to walk, and calls that name no body or no layer of their stage.
fn unrolled(plan: &Plan, faults: &mut Faults) {
    for role in &plan.roles {
        let mut instructions = 0_u64;
        for (slot, entry) in role.slots.iter().enumerate() {
            let Slot::Call(call) = entry else { continue };
            let place = Place::slot(role.stage, slot);
            let Some(body) = plan.bodies.get(call.body.0 as usize) else {
                let id = u64::from(call.body.0);
                faults.push(
                    place,
                    What::Unknown {
                        table: "body",
                        id,
                        count: plan.bodies.len(),
                    },
                );
                continue;
            };
            let chunk = role.chunks.get(call.chunk as usize);
            let [first, last] = call.layers.unwrap_or_default();
            let inside = chunk.is_some_and(|chunk| {
                call.layers.is_none() || chunk[0] <= first && first <= last && last <= chunk[1]
            });
            if !inside || call.layers.is_some() != (body.block == "layer") {
                let what = What::CallLayers {
                    block: body.block.clone(),
                    layers: call.layers,
                    chunk: call.chunk,
                    held: role.chunks.clone(),
                };
                faults.push(place, what);
                continue;
            }
            let visits = u64::from(last - first) + 1;
            instructions = instructions.saturating_add(visits * (body.code.len() as u64 + 1));
        }
        if instructions > UNROLLED {
            let what = What::TooMany {
                count: instructions,
                things: "instructions in a step",
                limit: UNROLLED,
            };
            faults.push(
                Place {
                    stage: Some(role.stage),
                    ..Place::default()
                },
                what,
            );
        }
    }
}
