//! Megatron's column and row splits, and sequence parallelism, come out of operations' strategies by themselves.

mod common;

use common::{experiment, placement};
use pleach_plan::{Layout, Plan};
use pleach_planner::placement::Placement;
use pleach_planner::program;

fn plan(changes: &[(&str, &str)], sequence_parallel: bool) -> Plan {
    let placement = Placement {
        sequence_parallel,
        ..placement(1, 1, 2)
    };
    let sizes = [
        ("model.hidden", "1024"),
        ("model.heads", "8"),
        ("model.context", "512 tokens"),
    ];
    let mut experiment = experiment(&[&sizes, changes].concat());
    experiment.model.vocab = 8192;
    program::emit(&experiment, &placement).expect("it divides")
}

/// Collectives of a body, by name, in order.
fn collectives(plan: &Plan, body: &str) -> Vec<&'static str> {
    let body = plan
        .bodies
        .iter()
        .find(|candidate| candidate.name == body)
        .expect("every block has its bodies");
    body.code
        .iter()
        .filter(|instr| instr.op.group().is_some())
        .map(|instr| instr.op.name())
        .collect()
}

fn layout(plan: &Plan, name: &str) -> Layout {
    let parameter = plan
        .parameters
        .iter()
        .find(|parameter| parameter.name == name)
        .expect("the model has this parameter");
    plan.tensors[parameter.tensor.0 as usize].layout.tp
}

#[test]
fn matrices_are_split_by_columns_then_rows() {
    let plan = plan(&[], false);
    for name in ["attention.qkv", "mlp.up"] {
        assert_eq!(
            layout(&plan, &format!("layers.{{layer}}.{name}.weight")),
            Layout::Shard(0),
            "{name}"
        );
        assert_eq!(
            layout(&plan, &format!("layers.{{layer}}.{name}.bias")),
            Layout::Shard(0),
            "{name}"
        );
    }
    for name in ["attention.output", "mlp.down"] {
        assert_eq!(
            layout(&plan, &format!("layers.{{layer}}.{name}.weight")),
            Layout::Shard(1),
            "{name}"
        );
        assert_eq!(
            layout(&plan, &format!("layers.{{layer}}.{name}.bias")),
            Layout::Replicate,
            "{name}"
        );
    }
    assert_eq!(layout(&plan, "embedding.weight"), Layout::Shard(0));
    assert_eq!(layout(&plan, "head.weight"), Layout::Shard(0));
}

#[test]
fn each_matrix_has_a_bias_of_its_own_or_none() {
    let plan = plan(
        &[(
            "model.stack",
            "4 * [layer(attention { output_bias = false }, gelu { width = 4 * hidden, bias = false })]",
        )],
        false,
    );
    let biases: Vec<&str> = plan
        .parameters
        .iter()
        .map(|parameter| parameter.name.as_str())
        .filter(|name| name.ends_with(".bias") && !name.contains("norm"))
        .collect();
    assert_eq!(biases, ["layers.{layer}.attention.qkv.bias"]);
    assert_eq!(collectives(&plan, "layer.forward"), ["all_reduce"]);
}

#[test]
fn a_sequential_layer_sums_once_for_each_half() {
    let plan = plan(&[("model.residual", "sequential")], false);
    assert_eq!(collectives(&plan, "layer.forward"), ["all_reduce"; 2]);
    assert_eq!(collectives(&plan, "layer.backward"), ["all_reduce"; 2]);
}

#[test]
fn a_parallel_layer_sums_its_halves_together() {
    let plan = plan(&[], false);
    assert_eq!(collectives(&plan, "layer.forward"), ["all_reduce"]);
    assert_eq!(collectives(&plan, "layer.backward"), ["all_reduce"; 2]);
}

#[test]
fn a_gated_half_splits_both_its_front_matrices_by_columns() {
    let changes = [
        ("model.residual", "sequential"),
        ("model.biases", "false"),
        ("model.norm", "rmsnorm"),
        ("model.mlp", "swiglu { width = 2816 }"),
    ];
    let plain = plan(&changes, false);
    for name in ["mlp.up", "mlp.gate"] {
        let name = format!("layers.{{layer}}.{name}.weight");
        assert_eq!(layout(&plain, &name), Layout::Shard(0), "{name}");
    }
    let down = layout(&plain, "layers.{layer}.mlp.down.weight");
    assert_eq!(down, Layout::Shard(1));
    assert_eq!(collectives(&plain, "layer.forward"), ["all_reduce"; 2]);
    assert_eq!(collectives(&plain, "layer.backward"), ["all_reduce"; 2]);
    let cut = plan(&changes, true);
    let around = ["all_gather", "reduce_scatter"];
    assert_eq!(
        collectives(&cut, "layer.forward"),
        [around, around].concat()
    );
    assert!(!collectives(&cut, "layer.backward").contains(&"all_reduce"));
}

#[test]
fn a_gated_half_saves_its_three_widths_and_nothing_else_of_them() {
    let plan = plan(&[("model.mlp", "swiglu { width = 2816 }")], false);
    let forward = plan.bodies.iter().find(|body| body.name == "layer.forward");
    let wide =
        |id: &&pleach_plan::TensorId| plan.tensors[id.0 as usize].dims.last() == Some(&(2816 / 2));
    let saved = &forward.expect("there is a layer").saves;
    assert_eq!(saved.iter().filter(wide).count(), 3);
}

/// Each expert's inner width is split and its router is not: what is exchanged is one sum of tokens as in a dense half, and the gradients of a few weights
/// for each token.
#[test]
fn experts_are_split_as_a_dense_half_is() {
    let changes = [
        ("model.residual", "sequential"),
        ("model.biases", "false"),
        (
            "model.mlp",
            "moe { experts = 8, active = 2, expert = swiglu { width = 1024 } }",
        ),
    ];
    let plain = plan(&changes, false);
    for (name, wanted) in [
        ("router", Layout::Replicate),
        ("experts.up", Layout::Shard(1)),
        ("experts.gate", Layout::Shard(1)),
        ("experts.down", Layout::Shard(2)),
    ] {
        let name = format!("layers.{{layer}}.mlp.{name}.weight");
        assert_eq!(layout(&plain, &name), wanted, "{name}");
    }
    assert_eq!(collectives(&plain, "layer.forward"), ["all_reduce"; 2]);
    assert_eq!(collectives(&plain, "layer.backward"), ["all_reduce"; 3]);
    let backward = plain
        .bodies
        .iter()
        .find(|body| body.name == "layer.backward");
    let sums = backward.expect("there is a layer").code.iter();
    let mut sums = sums.filter(|instr| instr.op.group().is_some());
    let weights = &plain.tensors[sums.next().expect("there are three").outs[0].0 as usize];
    assert_eq!(weights.dims, [2, 512, 2]);
    let cut = plan(&changes, true);
    let around = ["all_gather", "reduce_scatter"];
    let both = [around, around].concat();
    assert_eq!(collectives(&cut, "layer.forward"), both);
}

/// Channels are split from the first matrix to the last; what is selected by them is one sum of few columns, and so are its gradients.
#[test]
fn a_state_space_is_split_by_channels() {
    let changes = [
        ("model.stack", "4 * [layer(mamba)]"),
        ("model.positions", "none"),
        ("model.norm", "rmsnorm"),
        ("model.residual", "sequential"),
    ];
    let plain = plan(&changes, false);
    let split = [
        "in.weight",
        "gate.weight",
        "conv.weight",
        "step.weight",
        "decay",
        "skip",
    ];
    for (names, wanted) in [
        (&split[..], Layout::Shard(0)),
        (&["select.weight", "out.weight"], Layout::Shard(1)),
    ] {
        for name in names {
            let name = format!("layers.{{layer}}.mamba.{name}");
            assert_eq!(layout(&plain, &name), wanted, "{name}");
        }
    }
    assert_eq!(collectives(&plain, "layer.forward"), ["all_reduce"; 2]);
    let forward = plain
        .bodies
        .iter()
        .find(|body| body.name == "layer.forward");
    let sums = forward.expect("there is a layer").code.iter();
    let mut sums = sums.filter(|instr| instr.op.group().is_some());
    let selected = &plain.tensors[sums.next().expect("there are two").outs[0].0 as usize];
    assert_eq!(selected.dims, [2, 512, 64 + 16 + 16]);
    assert_eq!(collectives(&plain, "layer.backward"), ["all_reduce"; 2]);
    let cut = plan(&changes, true);
    let around = ["all_gather", "all_reduce", "reduce_scatter"];
    assert_eq!(collectives(&cut, "layer.forward"), around);
}

#[test]
fn sequence_parallelism_gathers_before_and_scatters_behind() {
    let plan = plan(&[("model.residual", "sequential")], true);
    assert_eq!(
        collectives(&plan, "layer.forward"),
        [
            "all_gather",
            "reduce_scatter",
            "all_gather",
            "reduce_scatter"
        ]
    );
    let backward = collectives(&plan, "layer.backward");
    assert_eq!(
        backward
            .iter()
            .filter(|name| **name == "reduce_scatter")
            .count(),
        2
    );
    assert!(!backward.contains(&"all_reduce"));
}

#[test]
fn a_split_vocabulary_exchanges_rows_of_figures_only() {
    let plan = plan(&[], false);
    let head = plan
        .bodies
        .iter()
        .find(|body| body.name == "head.forward")
        .expect("there is a head");
    for instr in head.code.iter().filter(|instr| instr.op.group().is_some()) {
        let exchanged = &plan.tensors[instr.outs[0].0 as usize];
        assert!(
            exchanged.elements() <= 2 * plan.training.micro_batch * plan.training.sequence,
            "{}",
            exchanged.name
        );
    }
    assert_eq!(collectives(&plan, "head.forward"), ["all_reduce"; 2]);
}
