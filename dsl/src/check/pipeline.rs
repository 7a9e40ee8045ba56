//! What is said of the pipeline and of one sequence fits together: written stages, virtual stages, the schedule, context parallelism, and the
//! budget of recomputation.

use num_rational::BigRational;

use super::batch::Batch;
use super::{divisors, either};
use crate::evaluate::Value;
use crate::origin::Layer;
use crate::problem::Problem;
use crate::quantity::show;
use crate::resolve::Resolver;

/// All of them.
pub fn check(resolver: &mut Resolver) {
    written_stages(resolver);
    virtual_stages(resolver);
    interleaving(resolver);
    for place in resolver.batches() {
        shared_sequence(resolver, &place);
    }
    budget(resolver);
}

/// `stages = [12, 10, 10, 12]`.
fn written_stages(resolver: &mut Resolver) -> Option<()> {
    let stages = resolver.known("plan.stages")?;
    let Value::List(items) = &stages.value else {
        return None;
    };
    let counts: Vec<u64> = items.iter().filter_map(whole).collect();
    let (count, sum) = (counts.len() as u64, counts.iter().sum::<u64>());
    let layers = resolver.known("model.layers")?;
    if let Some(all) = layers.count().filter(|all| *all != sum) {
        let title = format!("the stages hold {sum} layers, the model has {all}");
        let label = counts.iter().map(u64::to_string).collect::<Vec<_>>();
        let label = format!("{} = {sum}", label.join(" + "));
        let problem = Problem::error("pleach::stages::sum", title, stages.place, label);
        resolver.report(
            problem
                .and(layers.place, format!("{all} layers"))
                .help(format!(
                    "make them add up to {all}, or write `stages = uneven`"
                )),
        );
        return None;
    }
    let pp = resolver.known("plan.pp")?;
    let passes = match resolver.known("plan.vpp") {
        Some(vpp) => vpp.count()?,
        None => 1,
    };
    let wanted = pp.count()?.checked_mul(passes)?;
    if wanted == count {
        return None;
    }
    let title = format!("{count} stages are written, `pp` makes {wanted}");
    let problem = Problem::error(
        "pleach::stages::count",
        title,
        stages.place,
        format!("{count} counts"),
    );
    let label = match passes {
        1 => format!("{wanted} stages"),
        passes => format!("{} ranks × {passes} virtual stages", wanted / passes),
    };
    resolver.report(problem.and(pp.place, label).help(match passes {
        1 => format!("write `pp = {count}`, or {wanted} counts"),
        _ => format!("write {wanted} counts"),
    }));
    None
}

fn whole(item: &Value) -> Option<u64> {
    match item {
        Value::Number(number) => number.to_u64(),
        _ => None,
    }
}

/// Layers over ranks and virtual stages.
fn virtual_stages(resolver: &mut Resolver) -> Option<()> {
    let vpp = resolver.known("plan.vpp")?;
    let pp = resolver.known("plan.pp")?;
    let layers = resolver.known("model.layers")?;
    let (passes, ranks, count) = (vpp.count()?, pp.count()?, layers.count()?);
    if passes == 1 {
        return None;
    }
    if ranks == 1 {
        let title = format!("{passes} virtual stages need a pipeline, and `pp` is 1");
        let problem = Problem::error("pleach::vpp::pipeline", title, vpp.place, "no pipeline");
        let problem = problem.and(pp.place, "one stage");
        resolver.report(problem.help("leave `vpp` out, or give `pp` more ranks"));
        return None;
    }
    let said = resolver.known("plan.stages");
    if said.is_some_and(|said| said.text() != Some("even")) {
        return None;
    }
    let all = ranks.checked_mul(passes)?;
    // Layers that not even the ranks divide have a message of their own.
    if !count.is_multiple_of(ranks) || count.is_multiple_of(all) {
        return None;
    }
    let title = format!("{count} layers cannot be cut into {ranks} × {passes} virtual stages");
    let quotient = show(&BigRational::new(count.into(), all.into()));
    let label = format!("{count} / ({ranks} × {passes}) = {quotient} layers");
    let problem = Problem::error("pleach::vpp::indivisible", title, vpp.place, label);
    let legal = either(&divisors(count / ranks));
    resolver.report(
        problem
            .and(layers.place, format!("{count} layers"))
            .help(format!("use `vpp` {legal}, or `stages = uneven`")),
    );
    None
}

/// `interleaved` and virtual stages come together.
fn interleaving(resolver: &mut Resolver) -> Option<()> {
    let schedule = resolver.known("plan.schedule")?;
    let word = schedule.text()?.to_string();
    let vpp = resolver.known("plan.vpp");
    let open = vpp.is_none() && says(resolver, "plan.vpp");
    let passes = vpp.as_ref().and_then(super::Known::count).unwrap_or(1);
    let problem = match (word.as_str(), passes) {
        ("interleaved", 1) if !open => {
            let title = "an interleaved schedule passes virtual stages, and there are none";
            Problem::error(
                "pleach::schedule::virtual",
                title,
                schedule.place,
                "interleaved",
            )
            .help("add `vpp = 2`, or write `schedule = 1f1b`")
        }
        ("1f1b" | "gpipe", 2..) => {
            let title =
                format!("`{word}` passes each rank once, and `vpp` asks for {passes} times");
            let problem =
                Problem::error("pleach::schedule::virtual", title, schedule.place, "once");
            let problem = problem.and(vpp?.place, format!("{passes} times"));
            problem.help("write `schedule = interleaved`, or leave `vpp` out")
        }
        _ => return None,
    };
    resolver.report(problem);
    None
}

/// Whether somebody set a value.
fn says(resolver: &Resolver, path: &str) -> bool {
    let found = resolver.tree.find(path);
    found.is_some_and(|id| resolver.tree.node(id).layer != Layer::Default)
}

/// Each context-parallel rank takes two pieces of a sequence, one from either end, so that causal attention is shared evenly.
fn shared_sequence(resolver: &mut Resolver, place: &Batch) -> Option<()> {
    let cp = resolver.known("plan.cp")?;
    let context = resolver.known(&place.context)?;
    let (ranks, tokens) = (cp.count()?, context.count()?);
    let pieces = ranks.checked_mul(2)?;
    if ranks == 1 || tokens.is_multiple_of(pieces) {
        return None;
    }
    let length = show(context.number()?);
    let title =
        format!("sequences of {length} tokens cannot be shared by {ranks} context-parallel ranks");
    let quotient = show(&BigRational::new(tokens.into(), pieces.into()));
    let label = format!("{length} / (2 × {ranks}) = {quotient} tokens a piece");
    let problem = Problem::error("pleach::context::indivisible", title, cp.place, label);
    let below = tokens / pieces * pieces;
    let lengths = match below {
        0 => show(&BigRational::from_integer(pieces.into())),
        below => either(&[below, below + pieces]),
    };
    let gpus = resolver.known("plan.gpus").and_then(|gpus| gpus.count());
    let legal: Vec<u64> = divisors(tokens / 2)
        .into_iter()
        .filter(|legal| *legal > 1 && tokens.is_multiple_of(2))
        .filter(|legal| gpus.is_none_or(|gpus| gpus.is_multiple_of(*legal)))
        .collect();
    let lengths = format!("a context of {lengths} tokens");
    let help = match legal.as_slice() {
        [] => format!("use {lengths}"),
        legal => format!("use `cp` {}, or {lengths}", either(legal)),
    };
    resolver.report(
        problem
            .and(context.place, format!("{length} tokens"))
            .help(help),
    );
    None
}

/// A budget is for selective recomputation.
fn budget(resolver: &mut Resolver) -> Option<()> {
    let budget = resolver.known("plan.recompute_budget")?;
    let recompute = resolver.known("plan.recompute")?;
    let word = recompute.text()?.to_string();
    if budget.number().is_none() || word == "selective" {
        return None;
    }
    let title =
        format!("a budget is what selective recomputation keeps, and `recompute` is `{word}`");
    let problem = Problem::error(
        "pleach::recompute::budget",
        title,
        budget.place,
        "never used",
    );
    resolver.report(
        problem
            .and(recompute.place, format!("`{word}`"))
            .help("write `recompute = selective`, or leave the budget out"),
    );
    None
}
