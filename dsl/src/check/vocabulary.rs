//! The embedding has a row for every id of the tokenizer. How many ids the well-known ones have is written here, each with its source; others
//! are looked at where their files are.

use crate::evaluate::DIVISIBLE_BY;
use crate::problem::Problem;
use crate::quantity::{show, whole};
use crate::resolve::Resolver;

/// Ids of a byte.
const BYTES: u64 = 256;

/// Well-known tokenizers by their names on the Hub, or the beginnings of them, and how many ids each has, special ones included.
const KNOWN: [(&str, u64); 16] = [
    // Black et al., 2022 (arXiv:2204.06745), whose tokenizer Pythia has too (arXiv:2304.01373).
    ("EleutherAI/gpt-neox-20b", 50_277),
    ("EleutherAI/pythia-", 50_277),
    // Radford et al., 2019: 256 bytes, 50,000 merges and one special token.
    ("gpt2", 50_257),
    ("openai-community/gpt2", 50_257),
    // Touvron et al., 2023 (arXiv:2302.13971 and 2307.09288).
    ("huggyllama/llama-", 32_000),
    ("meta-llama/Llama-2-", 32_000),
    // Dubey et al., 2024 (arXiv:2407.21783): 128,000 and 256 special ones.
    ("meta-llama/Meta-Llama-3-", 128_256),
    ("meta-llama/Llama-3.1-", 128_256),
    ("meta-llama/Llama-3.2-", 128_256),
    // Jiang et al., 2023 (arXiv:2310.06825, table 1) and 2024 (arXiv:2401.04088, table 1).
    ("mistralai/Mistral-7B-v0.1", 32_000),
    ("mistralai/Mixtral-8x7B-v0.1", 32_000),
    // Le Scao et al., 2022 (arXiv:2211.05100, section 3.2).
    ("bigscience/bloom", 250_680),
    // Its padding token is the last id, 100,277 (generation_config.json of allenai/OLMo-2-1124-7B).
    ("allenai/dolma2-tokenizer", 100_278),
    ("allenai/OLMo-2-1124-", 100_278),
    // Almazrouei et al., 2023 (arXiv:2311.16867).
    ("tiiuae/falcon-7b", 65_024),
    ("tiiuae/falcon-40b", 65_024),
];

/// The rule.
pub fn check(resolver: &mut Resolver) {
    rows_for_ids(resolver);
}

/// How many ids a tokenizer has, where that is known.
fn ids(tokenizer: &str) -> Option<u64> {
    if tokenizer == "bytes" {
        return Some(BYTES);
    }
    let name = tokenizer.strip_prefix("hf:")?;
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let is = |known: &str| match known.strip_suffix('-') {
        Some(_) => name.starts_with(known),
        None => name == known,
    };
    let known = KNOWN.iter().find(|(known, _)| is(known));
    known.map(|(_, ids)| *ids)
}

fn rows_for_ids(resolver: &mut Resolver) -> Option<()> {
    let tokenizer = resolver.known("data.tokenizer")?;
    let vocabulary = resolver.known("model.vocab")?;
    let rows = vocabulary.count()?;
    let name = tokenizer.text()?;
    let ids = ids(name).filter(|ids| rows < *ids)?;
    let count = |count: u64| show(&whole(count));
    let title = format!(
        "tokenizer ids reach {}, the embedding has {} rows",
        count(ids - 1),
        count(rows)
    );
    let label = format!("{} rows", count(rows));
    let problem = Problem::error("pleach::vocab::rows", title, vocabulary.place, label);
    let beside = match name {
        "bytes" => "a byte has 256 values".to_string(),
        _ => format!("it has {} ids", count(ids)),
    };
    let tp = resolver.known("plan.tp").and_then(|tp| tp.count());
    let padded = tp.filter(|tp| *tp > 1).map_or(String::new(), |tp| {
        let rows = ids.next_multiple_of(DIVISIBLE_BY.saturating_mul(tp));
        format!(" (padded to {} for tp {tp})", count(rows))
    });
    let wanted = count(ids).replace(',', "_");
    resolver.report(
        problem
            .and(tokenizer.place, beside)
            .help(format!("set `vocab = {wanted}`{padded}")),
    );
    None
}
