//! There is text to evaluate on.

use num_traits::Zero;

use crate::evaluate::Value;
use crate::origin::Layer;
use crate::problem::Problem;
use crate::resolve::Resolver;

/// The rule.
pub fn check(resolver: &mut Resolver) {
    // A mix that contradicts itself is reported on the way.
    drop(resolver.mix_of("evaluate.data"));
    part_of_the_data(resolver);
}

/// The part that is evaluated on is not empty.
fn part_of_the_data(resolver: &mut Resolver) -> Option<()> {
    let every = resolver.known("evaluate.every")?;
    let at_end = resolver.known("evaluate.at_end")?;
    let wanted = every.number().is_some() || at_end.value == Value::Truth(true);
    if !wanted || resolver.tree.find("evaluate.data").is_some() {
        return None;
    }
    let name = resolver.known("evaluate.split")?.text()?.to_string();
    let index = if name == "validation" { 1 } else { 2 };
    let split = resolver.known("data.split");
    let share = split.as_ref().and_then(|split| match &split.value {
        Value::List(shares) => match shares.get(index) {
            Some(Value::Number(share)) => Some(share.value.clone()),
            _ => None,
        },
        _ => None,
    });
    if share.is_some_and(|share| !share.is_zero()) {
        return None;
    }
    let asked = match every.layer {
        Layer::Default => at_end.place,
        _ => every.place,
    };
    let data = resolver.kind("data")?;
    let title = format!("`{data}` has no {name} part to evaluate on");
    let problem = Problem::error("pleach::evaluate::split", title, asked, "evaluates");
    let problem = match split {
        Some(split) => problem.and(split.place, "all of it is trained on"),
        None => problem,
    };
    let shares = match index {
        1 => "[99%, 1%, 0%]",
        _ => "[98%, 1%, 1%]",
    };
    resolver.report(problem.help(format!("split the data: `split = {shares}`")));
    None
}
