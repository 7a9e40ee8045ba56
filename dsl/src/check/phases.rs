//! A curriculum adds up: its phases to the length of the run, each of them in its own batch and context.

use num_rational::BigRational;
use num_traits::{Signed, Zero};

use super::Known;
use crate::origin::Layer;
use crate::problem::Problem;
use crate::quantity::{exact_power, show, whole};
use crate::resolve::{NodeId, Resolver};

/// All of them.
pub fn check(resolver: &mut Resolver) {
    let Some(rows) = resolver.phases() else {
        return;
    };
    for row in &rows {
        let path = resolver.tree.node(*row).path.clone();
        within_positions(resolver, &path);
        endless_exponential(resolver, &path);
        one_tokenizer(resolver, &path);
        if resolver.tree.find(&format!("{path}.data")).is_some() {
            // A mix that contradicts itself is reported on the way.
            drop(resolver.mix_of(&format!("{path}.data")));
        }
    }
    steps_add_up(resolver);
}

/// A number of tokens as people write it: `290B`.
fn short(tokens: &BigRational) -> (String, &'static str) {
    for (letter, power) in [("T", 12), ("B", 9), ("M", 6)] {
        let scaled = tokens / exact_power(10, power);
        if scaled.abs() >= whole(1) && (&scaled * whole(100)).is_integer() {
            return (show(&scaled), letter);
        }
    }
    (show(tokens), "")
}

fn joined(tokens: &BigRational) -> String {
    let (number, letter) = short(tokens);
    format!("{number}{letter}")
}

/// Reports phases whose lengths contradict `tokens`. This comes before the laws of a spec, which say the same in other words.
pub fn tokens_disagree(resolver: &mut Resolver) -> bool {
    disagreement(resolver).is_some()
}

fn disagreement(resolver: &mut Resolver) -> Option<()> {
    let rows = resolver.phases()?;
    let tokens = resolver.known("train.tokens")?;
    let mut lasts: Vec<Known> = Vec::new();
    for row in &rows {
        let path = resolver.tree.node(*row).path.clone();
        lasts.push(resolver.known(&format!("{path}.lasts"))?);
    }
    let lengths: Vec<BigRational> = lasts
        .iter()
        .filter_map(|known| known.number().cloned())
        .collect();
    let sum: BigRational = lengths.iter().sum();
    let asked = tokens.number()?.clone();
    if tokens.layer == Layer::Default || sum == asked {
        return None;
    }
    let title = format!(
        "the phases last {} tokens, `tokens` is {}",
        joined(&sum),
        joined(&asked)
    );
    let letter = short(&lengths[0]).1;
    let alike = lengths.iter().all(|length| short(length).1 == letter);
    let parts: Vec<String> = lengths
        .iter()
        .map(|length| match alike {
            true => short(length).0,
            false => joined(length),
        })
        .collect();
    let last = lasts.last()?;
    let problem = Problem::error("pleach::phases::sum", title, last.place, parts.join(" + "));
    let mended = lengths.last()? + &asked - &sum;
    let drop = "drop `tokens`";
    resolver.report(
        problem
            .and(tokens.place, joined(&asked))
            .help(if mended.is_positive() {
                let (number, letter) = short(&mended);
                format!("make the last one {number}{letter}, or {drop}")
            } else {
                drop.to_string()
            }),
    );
    Some(())
}

/// Written `steps` are those of the phases.
fn steps_add_up(resolver: &mut Resolver) -> Option<()> {
    let steps = resolver.known("train.steps")?;
    if steps.layer == Layer::Default {
        return None;
    }
    let mut sum = BigRational::zero();
    let rows = resolver.phases()?;
    for row in &rows {
        let path = resolver.tree.node(*row).path.clone();
        sum += resolver.known(&format!("{path}.steps"))?.number()?;
    }
    let asked = steps.number()?.clone();
    if sum == asked {
        return None;
    }
    let (all, wanted) = (show(&sum), show(&asked));
    let title = format!("the phases last {all} steps, `steps` is {wanted}");
    let place = resolver.tree.node(last(&rows)?).place;
    let problem = Problem::error(
        "pleach::phases::sum",
        title,
        steps.place,
        format!("{wanted} steps"),
    );
    resolver.report(
        problem
            .and(place, format!("ends after {all} steps"))
            .help("write `steps = sum(phases.steps)`, or leave it out: it will be computed"),
    );
    None
}

fn last(rows: &[NodeId]) -> Option<NodeId> {
    rows.last().copied()
}

/// Sequences are no longer than the model's positions.
fn within_positions(resolver: &mut Resolver, phase: &str) -> Option<()> {
    let own = resolver.known(&format!("{phase}.context"))?;
    let positions = resolver.known("model.context")?;
    if own.number()? <= positions.number()? {
        return None;
    }
    let (length, there) = (show(own.number()?), show(positions.number()?));
    let title = format!("sequences of {length} tokens exceed the model's {there} positions");
    let label = format!("{length} tokens");
    let problem = Problem::error("pleach::phases::context", title, own.place, label);
    resolver.report(
        problem
            .and(positions.place, format!("{there} positions"))
            .help(format!(
                "set `context = {length} tokens` in the model, or make the phase's shorter"
            )),
    );
    None
}

/// An exponential goes from and to rates above zero.
fn endless_exponential(resolver: &mut Resolver, phase: &str) -> Option<()> {
    if resolver.kind(&format!("{phase}.lr"))? != "exponential" {
        return None;
    }
    let to = resolver.known(&format!("{phase}.lr.to"))?;
    let from = resolver.known(&format!("{phase}.lr.from"));
    let zero = |known: &Known| known.number().is_some_and(Zero::is_zero);
    let wrong = [Some(to), from].into_iter().flatten().find(zero)?;
    let title = "a rate that loses the same share in every step never reaches 0";
    let problem = Problem::error("pleach::lr::zero", title, wrong.place, "0");
    resolver.report(problem.help("write a rate above it, or `linear { to = 0 }`"));
    None
}

/// All phases read the same tokens.
fn one_tokenizer(resolver: &mut Resolver, phase: &str) -> Option<()> {
    let own = resolver.known(&format!("{phase}.data.tokenizer"))?;
    let first = resolver.known("data.tokenizer")?;
    if own.text()? == first.text()? {
        return None;
    }
    let name = resolver.kind(&format!("{phase}.data"))?;
    let (here, there) = (own.text()?.to_string(), first.text()?.to_string());
    let title = format!("`{name}` is read by another tokenizer than the data before it");
    let place = resolver
        .tree
        .node(resolver.tree.find(&format!("{phase}.data"))?)
        .place;
    let problem = Problem::error(
        "pleach::phases::tokenizer",
        title,
        place,
        format!("\"{here}\""),
    );
    resolver.report(
        problem
            .and(first.place, format!("\"{there}\""))
            .help(format!("write `{name} {{ tokenizer = \"{there}\" }}`")),
    );
    None
}
