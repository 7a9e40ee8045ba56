//! What a run does beside training, typed.

use num_traits::ToPrimitive;

use super::{count, data, text, truth};
use crate::evaluate::Value;
use crate::experiment::{Checkpoints, Evaluate, Log};
use crate::resolve::Resolver;

/// When the run is saved.
pub fn checkpoints(resolver: &mut Resolver) -> Option<Checkpoints> {
    let steps = match resolver.known("checkpoints.also")?.value {
        Value::List(steps) => steps,
        _ => return None,
    };
    let number = |value: &Value| match value {
        Value::Number(steps) => steps.value.to_u64(),
        _ => None,
    };
    let mut also: Vec<u64> = steps.iter().map(number).collect::<Option<_>>()?;
    if let Some(last) = resolver.known("checkpoints.doubling_to")?.count() {
        also.extend(
            (0..64)
                .map(|power| 1 << power)
                .take_while(|step| *step <= last),
        );
    }
    let length = count(resolver, "train.steps")?;
    also.retain(|step| *step <= length);
    also.sort_unstable();
    also.dedup();
    Some(Checkpoints {
        every: resolver.known("checkpoints.every")?.count(),
        also,
        keep: resolver.known("checkpoints.keep")?.count(),
        optimizer: truth(resolver, "checkpoints.optimizer")?,
        background: truth(resolver, "checkpoints.background")?,
    })
}

/// What the run writes of its steps.
pub fn log(resolver: &mut Resolver) -> Option<Log> {
    Some(Log {
        every: count(resolver, "log.every")?,
        what: words(resolver, "log.what")?,
        to: words(resolver, "log.to")?,
    })
}

/// When the loss is measured on other text.
pub fn evaluate(resolver: &mut Resolver) -> Option<Evaluate> {
    let own = resolver.tree.find("evaluate.data").is_some();
    let data = match own {
        true => {
            let mix = resolver.mix_of("evaluate.data")?;
            Some(data::dataset(resolver, "evaluate.data", &mix)?)
        }
        false => None,
    };
    Some(Evaluate {
        every: resolver.known("evaluate.every")?.count(),
        at_end: truth(resolver, "evaluate.at_end")?,
        batches: count(resolver, "evaluate.batches")?,
        split: text(resolver, "evaluate.split")?,
        data,
    })
}

/// A list of words.
fn words(resolver: &mut Resolver, path: &str) -> Option<Vec<String>> {
    let Value::List(items) = resolver.known(path)?.value else {
        return None;
    };
    let word = |item: &Value| match item {
        Value::Word(word) => Some(word.clone()),
        _ => None,
    };
    items.iter().map(word).collect()
}
