//! The typed dataset.

use num_rational::BigRational;
use num_traits::ToPrimitive;

use super::{count, real, text, truth};
use crate::evaluate::Value;
use crate::experiment::{Component, Dataset, Order, Pack, Records};
use crate::quantity::to_f64;
use crate::resolve::{Resolver, Share};

/// The dataset with its shares.
pub fn dataset(resolver: &mut Resolver, path: &str, mix: &[Share]) -> Option<Dataset> {
    let field = |name: &str| format!("{path}.{name}");
    let seed = count(resolver, "seed")?;
    Some(Dataset {
        name: resolver.kind(path)?,
        source: text(resolver, &field("source"))?,
        tokenizer: text(resolver, &field("tokenizer"))?,
        mix: mix.iter().map(component).collect::<Option<Vec<_>>>()?,
        tokens: count(resolver, &field("tokens")),
        repeat: real(resolver, &field("repeat"))?,
        split: numbers(resolver, &field("split")),
        records: records(resolver, &field("records"))?,
        skip_bad_lines: text(resolver, &field("bad_lines"))? == "skip",
        append_eod: truth(resolver, &field("append_eod"))?,
        eod_mask_loss: truth(resolver, &field("eod_mask_loss"))?,
        pack: match text(resolver, &field("pack"))?.as_str() {
            "documents" => Pack::Documents,
            "none" => Pack::Single,
            _ => Pack::Stream,
        },
        reset_attention_mask: truth(resolver, &field("reset_attention_mask"))?,
        reset_position_ids: truth(resolver, &field("reset_position_ids"))?,
        order: match text(resolver, &field("order"))?.as_str() {
            "gpt_neox" => Order::GptNeox,
            "megatron" => Order::Megatron,
            "sequential" => Order::Sequential,
            _ => Order::Counter,
        },
        order_seed: Some(count(resolver, &field("order_seed"))?).filter(|own| *own != seed),
    })
}

/// What a line holds.
fn records(resolver: &mut Resolver, path: &str) -> Option<Records> {
    let field = |name: &str| format!("{path}.{name}");
    Some(match resolver.kind(path)?.as_str() {
        "instructions" => Records::Instructions {
            prompt: text(resolver, &field("prompt"))?,
            answer: text(resolver, &field("answer"))?,
            answers_only: text(resolver, &field("loss"))? == "answers",
        },
        _ => Records::Documents {
            text: text(resolver, &field("text"))?,
        },
    })
}

/// A list of numbers, where it is set.
fn numbers(resolver: &mut Resolver, path: &str) -> Option<Vec<f64>> {
    let Value::List(items) = resolver.known(path)?.value else {
        return None;
    };
    let number = |item: &Value| match item {
        Value::Number(quantity) => Some(to_f64(&quantity.value)),
        _ => None,
    };
    items.iter().map(number).collect()
}

fn component(share: &Share) -> Option<Component> {
    let floor = |number: &Option<BigRational>| {
        let number = number.as_ref()?;
        number.floor().to_integer().to_u64()
    };
    Some(Component {
        name: share.name.clone(),
        source: share.source.clone(),
        files: share.files.clone(),
        weight: fraction(&share.weight)?,
        size: floor(&share.size),
        tokens: floor(&share.tokens),
        documents: floor(&share.documents),
        repeat: share.repeat.as_ref().map(to_f64),
    })
}

/// An exact share as two numbers.
pub fn fraction(share: &BigRational) -> Option<[u64; 2]> {
    Some([share.numer().to_u64()?, share.denom().to_u64()?])
}
