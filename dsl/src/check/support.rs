//! What the language can say and this version, or this machine, cannot do.

use crate::origin::Layer;
use crate::problem::Problem;
use crate::resolve::Resolver;

/// All of them.
pub fn check(resolver: &mut Resolver) {
    precision_of_machine(resolver);
    zero_stage(resolver);
}

/// V100 has no bf16.
fn precision_of_machine(resolver: &mut Resolver) -> Option<()> {
    let precision = resolver.known("train.precision")?;
    let device = resolver.known("cluster.device")?;
    if precision.text()? != "bf16" || !device.text()?.starts_with("v100") {
        return None;
    }
    let machines = format!("cluster {}", resolver.kind("cluster")?);
    let place = resolver.tree.node(resolver.tree.find("cluster")?).place;
    let code = "pleach::precision::machine";
    resolver.report(if precision.layer == Layer::Default {
        let title = "V100 has no bf16, the default precision";
        Problem::error(code, title, place, machines)
            .help("add `precision = fp16` to `train`, or use another cluster")
    } else {
        let problem = Problem::error(
            code,
            "V100 has no bf16",
            precision.place,
            "`bf16` is wanted here",
        );
        problem
            .and(place, machines)
            .help("use `precision = fp16` (loss scaling is on by default), or another cluster")
    });
    None
}

fn zero_stage(resolver: &mut Resolver) -> Option<()> {
    let zero = resolver.known("plan.zero")?;
    let stage = zero.count()?;
    if stage > 3 {
        let title = format!("there is no ZeRO stage {stage}");
        resolver.report(
            Problem::error(
                "pleach::zero::stage",
                title,
                zero.place,
                "stages are 0, 1, 2 and 3",
            )
            .help("write `zero = 1`"),
        );
    }
    None
}
