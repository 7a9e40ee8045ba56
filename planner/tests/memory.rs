//! Memory against formulas that others published.

mod common;

use common::{experiment, placement};
use pleach_plan::Recompute;
use pleach_planner::cost::Costs;
use pleach_planner::placement::Placement;
use pleach_planner::{hardware, memory, program};

/// Korthikanti and others, "Reducing Activation Recomputation in Large Transformer Models" (arXiv 2205.05198), equation 6: with sequence parallelism and
/// selective recomputation a layer leaves 34 bytes for each position and hidden element, divided over tensor-parallel ranks. Norms on whole sequences would leave
/// 4 of them undivided.
#[test]
fn a_layer_leaves_what_the_paper_on_sequence_parallelism_says() {
    let experiment = experiment(&[
        ("model.layers", "4"),
        ("model.hidden", "1024"),
        ("model.heads", "16"),
        ("model.residual", "sequential"),
        ("model.context", "1024 tokens"),
        ("train.precision", "bf16"),
        ("train.global_batch", "8 sequences"),
    ]);
    let table = hardware::plain("a100_80g").expect("it is built in");
    for tp in [2_u32, 4, 8] {
        let placement = Placement {
            sequence_parallel: true,
            recompute: Recompute::Selective,
            micro_batch: 2,
            engine: "megatron_2022".into(),
            ..placement(1, 1, tp)
        };
        let plan = program::emit(&experiment, &placement).expect("it can be planned");
        let left = memory::frame(&Costs::new(&plan, &table, &experiment.cluster), "layer");
        let paper = 34 * 2 * 1024 * 1024 / u64::from(tp);
        let ratio = left as f64 / paper as f64;
        assert!((0.9..1.1).contains(&ratio), "tp {tp}: {ratio}");
    }
}
