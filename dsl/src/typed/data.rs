//! The typed dataset.

use num_rational::BigRational;
use num_traits::ToPrimitive;

use super::text;
use crate::experiment::{Component, Dataset};
use crate::resolve::{Resolver, Share};

/// The dataset with its shares.
pub fn dataset(resolver: &mut Resolver, path: &str, mix: &[Share]) -> Option<Dataset> {
    let field = |name: &str| format!("{path}.{name}");
    Some(Dataset {
        name: resolver.kind(path)?,
        source: text(resolver, &field("source"))?,
        tokenizer: text(resolver, &field("tokenizer"))?,
        mix: mix.iter().map(component).collect::<Option<Vec<_>>>()?,
    })
}

fn component(share: &Share) -> Option<Component> {
    Some(Component {
        name: share.name.clone(),
        files: share.files.clone(),
        weight: fraction(&share.weight)?,
        size: share
            .size
            .as_ref()
            .and_then(|size| size.floor().to_integer().to_u64()),
    })
}

/// An exact share as two numbers.
pub fn fraction(share: &BigRational) -> Option<[u64; 2]> {
    Some([share.numer().to_u64()?, share.denom().to_u64()?])
}
