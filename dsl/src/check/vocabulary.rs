//! The embedding has a row for every id of the tokenizer. Bytes have ids up to 255; other tokenizers are looked at where their files are.

use crate::problem::Problem;
use crate::resolve::Resolver;

/// Ids of a byte.
const BYTES: u64 = 256;

/// The rule.
pub fn check(resolver: &mut Resolver) {
    rows_for_bytes(resolver);
}

fn rows_for_bytes(resolver: &mut Resolver) -> Option<()> {
    let tokenizer = resolver.known("data.tokenizer")?;
    let vocabulary = resolver.known("model.vocab")?;
    let rows = vocabulary.count()?;
    if tokenizer.text()? != "bytes" || rows >= BYTES {
        return None;
    }
    let title = format!(
        "tokenizer ids reach {}, the embedding has {rows} rows",
        BYTES - 1
    );
    let problem = Problem::error(
        "pleach::vocab::rows",
        title,
        vocabulary.place,
        format!("{rows} rows"),
    );
    resolver.report(
        problem
            .and(tokenizer.place, "a byte has 256 values")
            .help(format!("set `vocab = {BYTES}`")),
    );
    None
}
