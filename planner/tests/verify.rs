//! What the verifier says of programs that are broken by hand: the cause comes first, with its place.

mod common;

use common::{experiment, placement};
use pleach_dsl::experiment::Experiment;
use pleach_plan::{Body, Layout, Op, Plan, Reduce, TensorId};
use pleach_planner::placement::Placement;
use pleach_planner::program::emit;
use pleach_planner::verify::{What, verify};

fn case() -> (Plan, Experiment) {
    let experiment = experiment(&[]);
    let placement = Placement {
        zero: 1,
        ..placement(2, 1, 2)
    };
    let plan = emit(&experiment, &placement).expect("the small model divides");
    (plan, experiment)
}

/// The faults of a changed plan, the cause first.
fn faults(change: impl FnOnce(&mut Plan)) -> Vec<pleach_planner::verify::Fault> {
    let (mut plan, experiment) = case();
    assert_eq!(verify(&plan, &experiment), Ok(()));
    change(&mut plan);
    verify(&plan, &experiment).expect_err("it must be refused")
}

fn body<'p>(plan: &'p mut Plan, name: &str) -> &'p mut Body {
    let mut bodies = plan.bodies.iter_mut();
    bodies.find(|body| body.name == name).expect("a known body")
}

fn position(body: &Body, wanted: impl Fn(&Op) -> bool) -> usize {
    let mut code = body.code.iter();
    code.position(|instr| wanted(&instr.op))
        .expect("a known operation")
}

/// No deadlock check can see this: the sum is missing on every rank.
#[test]
fn a_sum_that_no_rank_finishes_is_found() {
    let faults = faults(|plan| {
        let body = body(plan, "layer.forward");
        let index = position(body, |op| matches!(op, Op::AllReduce { .. }));
        let gone = body.code.remove(index);
        for instr in &mut body.code {
            for id in instr.ins.iter_mut().chain(&mut instr.frees) {
                if *id == gone.outs[0] {
                    *id = gone.ins[0];
                }
            }
        }
        if !gone.frees.contains(&gone.ins[0]) {
            let frees = body.code.iter_mut().map(|instr| &mut instr.frees);
            frees.for_each(|frees| frees.retain(|&id| id != gone.ins[0]));
        }
    });
    let first = &faults[0];
    assert_eq!(
        first.place.body.as_deref(),
        Some("layer.forward"),
        "{first}"
    );
    let named = matches!(first.what, What::Meaningless { .. } | What::Stranger { .. });
    assert!(named, "{first}");
}

#[test]
fn contributions_are_counted() {
    let weight = |op: &Op| matches!(op, Op::BiasBackward {});
    let missing = faults(|plan| {
        let body = body(plan, "layer.backward");
        let index = position(body, weight);
        let gone = body.code.remove(index);
        body.code[index].frees.extend(gone.frees);
    });
    let message = missing[0].to_string();
    let wanted = "nothing adds what the unsharded program's bias_backward of layers.";
    assert!(message.starts_with(wanted), "{message}");
    let doubled = faults(|plan| {
        let body = body(plan, "layer.backward");
        let index = position(body, weight);
        let mut again = body.code[index].clone();
        again.frees.clear();
        body.code.insert(index, again);
    });
    let message = doubled[0].to_string();
    assert!(message.contains("gains this 2 times, not 1"), "{message}");
}

#[test]
fn the_optimizer_is_the_experiments() {
    let decay = faults(|plan| {
        let updates = plan.bodies.iter_mut().flat_map(|body| &mut body.code);
        for instr in updates {
            if let Op::AdamW { weight_decay, .. } = &mut instr.op {
                *weight_decay = 0.1;
            }
        }
    });
    let what = decay.iter().map(|fault| &fault.what);
    let moved = |what: &What| matches!(what, What::Value { what: "the weight" });
    assert!(what.clone().any(moved), "{decay:?}");
    let norm = faults(|plan| {
        let body = body(plan, "step.reduce");
        let index = position(body, |op| matches!(op, Op::AllReduce { .. }));
        if let Op::AllReduce { reduce, .. } = &mut body.code[index].op {
            *reduce = Reduce::Max;
        }
    });
    assert!(
        norm.iter()
            .any(|fault| matches!(fault.what, What::Value { what: "the report" }))
    );
}

#[test]
fn settings_and_declarations_are_compared() {
    let seed = faults(|plan| plan.training.seed += 1);
    let message = seed[0].to_string();
    assert!(message.starts_with("the seed is"), "{message}");
    let declared = faults(|plan| {
        let body = body(plan, "layer.forward");
        let index = position(body, |op| matches!(op, Op::Gelu {}));
        let out = body.code[index].outs[0];
        plan.tensors[out.0 as usize].layout.tp = Layout::Replicate;
    });
    assert!(
        declared
            .iter()
            .any(|fault| matches!(fault.what, What::Declared { .. })),
        "{declared:?}"
    );
}

#[test]
fn a_structure_that_cannot_run_is_refused_first() {
    let faults = faults(|plan| plan.roles[0].slots.truncate(3));
    assert!(
        faults
            .iter()
            .all(|fault| matches!(fault.what, What::Structure(_)))
    );
}

/// Blocks of replicas, among which ZeRO divides: without the sum over them every block trains a model of its own.
#[test]
fn blocks_of_replicas_are_added_up() {
    let experiment = experiment(&[]);
    for zero in [1, 2, 3] {
        let placement = Placement {
            zero,
            shards: 2,
            micro_batch: 1,
            ..placement(4, 1, 1)
        };
        let plan = emit(&experiment, &placement).expect("the small model divides");
        assert_eq!(verify(&plan, &experiment), Ok(()));
        let blocks = plan.groups.iter().find(|group| group.name == "blocks");
        let blocks = blocks.expect("blocks are a group").id;
        let over_blocks = |op: &Op| matches!(op, Op::AllReduce { group, .. } if *group == blocks);
        let changed = |change: &dyn Fn(&mut Body)| {
            let mut plan = plan.clone();
            change(body(&mut plan, "layer.reduce"));
            verify(&plan, &experiment)
        };
        let missing = |body: &mut Body| {
            body.code.remove(position(body, over_blocks));
        };
        let twice = |body: &mut Body| {
            let index = position(body, over_blocks);
            body.code.insert(index, body.code[index].clone());
        };
        let largest = |body: &mut Body| {
            let index = position(body, over_blocks);
            body.code[index].op = Op::AllReduce {
                group: blocks,
                reduce: Reduce::Max,
            };
        };
        assert!(changed(&missing).is_err(), "zero {zero}");
        assert!(changed(&twice).is_err(), "zero {zero}");
        assert!(changed(&largest).is_err(), "zero {zero}");
        let counted = |body: &mut Body| {
            let index = position(body, |op| matches!(op, Op::SumSquares { .. }));
            body.code[index].op = Op::SumSquares { replicas: 1 };
        };
        assert!(changed(&counted).is_err(), "zero {zero}");
    }
}

/// The names of the parameters that updates shrink, in a model with every kind of parameter.
fn decayed(changes: &[(&str, &str)]) -> Vec<String> {
    let all = [
        ("model.positions", "learned"),
        ("model.embedding.norm", "layernorm"),
        ("model.qk_norm", "rmsnorm"),
        (
            "model.stack",
            "2 * [layer(attention, mlp), layer(mamba, mlp)]",
        ),
    ];
    let experiment = experiment(&[&all, changes].concat());
    let plan = emit(&experiment, &placement(1, 1, 1)).expect("one rank is always possible");
    assert_eq!(verify(&plan, &experiment), Ok(()));
    let code = plan.bodies.iter().flat_map(|body| &body.code);
    let shrinks = |moments: TensorId| {
        let mut updates = code
            .clone()
            .filter(|instr| instr.updates.contains(&moments));
        updates
            .any(|instr| matches!(instr.op, Op::AdamW { weight_decay, .. } if weight_decay > 0.0))
    };
    let parameters = plan.parameters.iter();
    let decayed = parameters.filter(|one| shrinks(plan.buckets[one.bucket].m));
    decayed.map(|one| one.name.clone()).collect()
}

#[test]
fn groups_of_parameters_decay_as_the_experiment_says() {
    let usual = decayed(&[]);
    let has = |list: &[String], name: &str| list.iter().any(|one| one == name);
    let (tables, gains) = (
        ["embedding.weight", "embedding.positions"],
        [
            "embedding.norm.weight",
            "layers.{layer}.mlp.norm.weight",
            "layers.{layer}.attention.q_norm.weight",
            "head.norm.weight",
        ],
    );
    let biases = [
        "embedding.norm.bias",
        "layers.{layer}.mlp.norm.bias",
        "layers.{layer}.attention.qkv.bias",
        "layers.{layer}.mamba.step.bias",
        "layers.{layer}.mamba.conv.bias",
        "head.norm.bias",
    ];
    let matrices = ["layers.{layer}.mlp.up.weight", "head.weight"];
    for name in tables.iter().chain(&matrices) {
        assert!(has(&usual, name), "{name} decays");
    }
    for name in gains.iter().chain(&biases) {
        assert!(!has(&usual, name), "{name} does not decay");
    }
    let added = |path: &str| -> Vec<String> {
        let now = decayed(&[(path, "true")]);
        assert!(usual.iter().all(|name| has(&now, name)));
        now.into_iter().filter(|name| !has(&usual, name)).collect()
    };
    let (norms, vectors) = (
        added("train.optimizer.decay_norms"),
        added("train.optimizer.decay_biases"),
    );
    assert!(
        norms
            .iter()
            .all(|name| name.contains("norm") && name.ends_with("weight"))
    );
    assert!(gains.iter().all(|name| has(&norms, name)), "{norms:?}");
    assert!(vectors.iter().all(|name| name.ends_with("bias")));
    assert!(biases.iter().all(|name| has(&vectors, name)), "{vectors:?}");
    let without = decayed(&[("train.optimizer.decay_embeddings", "false")]);
    let left: Vec<_> = usual.iter().filter(|name| !has(&without, name)).collect();
    assert_eq!(left, tables);
}
