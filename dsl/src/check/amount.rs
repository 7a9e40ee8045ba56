//! The data is as much as the run asks for: where the spec says how many tokens there are, a run that passes over them more often than it says
//! is worth a look.
//!
//! A dataset's own `tokens` are one pass over the whole. Else each component of the mix that says its `tokens` is held against its share of the run.

use num_rational::BigRational;
use num_traits::Zero;

use super::Known;
use crate::origin::Layer;
use crate::problem::Problem;
use crate::quantity::{exact_power, show, whole};
use crate::resolve::{Resolver, Share};
use crate::syntax::Place;

/// A dataset, and how many tokens are asked of it.
struct Use {
    path: String,
    name: String,
    asked: BigRational,
    place: Place,
}

/// More passes than were allowed.
struct Excess {
    /// What is passed over: the dataset, or a component.
    what: String,
    asked: BigRational,
    has: BigRational,
    passes: BigRational,
    /// The `repeat` that would allow it.
    repeat: BigRational,
    /// Where its tokens are said.
    said: Option<Place>,
    /// Whether it is the whole dataset.
    whole: bool,
}

/// The rule.
pub fn check(resolver: &mut Resolver) {
    for used in uses(resolver) {
        if let Some(excess) = excess(resolver, &used) {
            report(resolver, &used, &excess);
        }
    }
}

/// Every dataset that is trained on, once, with the tokens of all its phases.
fn uses(resolver: &mut Resolver) -> Vec<Use> {
    let mut found: Vec<Use> = Vec::new();
    let mut path = "data".to_string();
    let rows = resolver.phases().unwrap_or_default();
    if rows.is_empty() {
        let tokens = resolver.known("train.tokens");
        let asked = tokens.and_then(|known| known.number().cloned());
        found.extend(asked.and_then(|asked| used(resolver, &path, asked)));
    }
    for row in rows {
        let phase = resolver.tree.node(row).path.clone();
        if resolver.tree.find(&format!("{phase}.data")).is_some() {
            path = format!("{phase}.data");
        }
        let lasts = resolver.known(&format!("{phase}.lasts"));
        let Some(asked) = lasts.and_then(|known| known.number().cloned()) else {
            continue;
        };
        let Some(used) = used(resolver, &path, asked) else {
            continue;
        };
        match found.iter_mut().find(|known| known.name == used.name) {
            Some(known) => known.asked += used.asked,
            None => found.push(used),
        }
    }
    found
}

fn used(resolver: &Resolver, path: &str, asked: BigRational) -> Option<Use> {
    Some(Use {
        path: path.to_string(),
        name: resolver.kind(path)?,
        asked,
        place: resolver.tree.node(resolver.tree.find(path)?).place,
    })
}

/// What is passed over more often than it may be; of several components the one that exceeds it most.
fn excess(resolver: &mut Resolver, used: &Use) -> Option<Excess> {
    let repeat = resolver.known(&format!("{}.repeat", used.path))?;
    let repeat = repeat.number()?.clone();
    if let Some(tokens) = resolver.known(&format!("{}.tokens", used.path)) {
        let has = tokens.number()?.clone();
        return of_whole(used, has, Some(tokens.place), &repeat);
    }
    let mix = resolver.mix_of(&used.path)?;
    if let Some(has) = one_pass(&mix) {
        return of_whole(used, has, None, &repeat);
    }
    let ratios = mix.iter().filter_map(|share| {
        let tokens = share.tokens.clone()?;
        let asked = &used.asked * &share.weight;
        let passes = &asked / &tokens;
        let own = share.repeat.clone();
        let allowed = own.clone().unwrap_or_else(|| &repeat * &share.epochs);
        let ratio = &passes / &allowed;
        let excess = Excess {
            what: share.name.clone(),
            repeat: match own {
                Some(_) => passes.clone(),
                None => &passes / &share.epochs,
            },
            asked,
            has: tokens,
            passes,
            said: Some(share.place),
            whole: false,
        };
        (ratio > whole(1)).then_some((ratio, excess))
    });
    let worst = ratios.max_by(|left, right| left.0.cmp(&right.0))?;
    Some(worst.1)
}

/// Tokens of one pass over a mix of which every component is passed over equally often, as its `epochs` say.
fn one_pass(mix: &[Share]) -> Option<BigRational> {
    let amounts: Option<Vec<BigRational>> = mix
        .iter()
        .map(|share| Some(share.tokens.clone()? * &share.epochs))
        .collect();
    let amounts = amounts?;
    let total: BigRational = amounts.iter().sum();
    let even = mix
        .iter()
        .zip(&amounts)
        .all(|(share, amount)| share.repeat.is_none() && &share.weight * &total == *amount);
    even.then_some(total)
}

/// The whole dataset, if it is passed over too often.
fn of_whole(
    used: &Use,
    has: BigRational,
    said: Option<Place>,
    repeat: &BigRational,
) -> Option<Excess> {
    let passes = &used.asked / &has;
    (passes > *repeat).then(|| Excess {
        what: used.name.clone(),
        asked: used.asked.clone(),
        repeat: passes.clone(),
        has,
        passes,
        said,
        whole: true,
    })
}

fn report(resolver: &mut Resolver, used: &Use, excess: &Excess) {
    let (asked, has) = (short(&excess.asked), short(&excess.has));
    let of = match excess.whole {
        true => format!("`{}`", excess.what),
        false => format!("`{}` of `{}`", excess.what, used.name),
    };
    let title = format!("{asked} tokens are asked of {of}, which has {has}");
    let label = format!("{} passes over every document", show(&excess.passes));
    let mut problem = Problem::warning("pleach::data::repeats", title, used.place, label);
    let (length, shorter) = shorter(resolver, excess);
    if let Some(length) = length {
        problem = problem.and(length.place, format!("{} tokens", short(&used.asked)));
    }
    if let Some(said) = excess.said {
        problem = problem.and(said, format!("{has} tokens"));
    }
    let repeat = show(&((&excess.repeat * whole(100)).ceil() / whole(100))).replace(',', "_");
    resolver.report(problem.help(format!("write `repeat = {repeat}` if meant, or {shorter}")));
}

/// Who says how long the run is, and what would make it short enough.
fn shorter(resolver: &mut Resolver, excess: &Excess) -> (Option<Known>, String) {
    if !excess.whole {
        return (None, format!("give `{}` a smaller share", excess.what));
    }
    if resolver.phases().is_some() {
        return (None, "shorten the phases that train on it".to_string());
    }
    let written = |resolver: &mut Resolver, path: &str| {
        let known = resolver.known(path)?;
        (known.layer != Layer::Default).then_some(known)
    };
    if let Some(steps) = written(resolver, "train.steps") {
        let batch = resolver.known("train.global_batch");
        let batch = batch.and_then(|batch| batch.number().cloned());
        let fewer = batch
            .filter(|batch| !batch.is_zero())
            .map(|batch| &excess.has / batch);
        let fewer = fewer.map_or_else(BigRational::zero, |fewer| fewer.floor());
        let text = format!("`steps = {} steps`", fewer.to_integer());
        return (Some(steps), text);
    }
    let text = format!("`tokens = {} tokens`", exact_or_less(&excess.has));
    (written(resolver, "train.tokens"), text)
}

/// The largest magnitude that a number reaches.
fn magnitude(tokens: &BigRational) -> (&'static str, i32) {
    [("T", 12), ("B", 9), ("M", 6)]
        .into_iter()
        .find(|(_, power)| *tokens >= exact_power(10, *power))
        .unwrap_or(("", 0))
}

/// A number of tokens as people say it: `299.89B`.
fn short(tokens: &BigRational) -> String {
    let (letter, power) = magnitude(tokens);
    format!("{}{letter}", show(&(tokens / exact_power(10, power))))
}

/// The same, never more than it is.
fn exact_or_less(tokens: &BigRational) -> String {
    let (letter, power) = magnitude(tokens);
    let scaled = tokens / exact_power(10, power) * whole(100);
    format!("{}{letter}", show(&(scaled.floor() / whole(100))))
}
