//! `pleach data verify`: reads token files whole and says what is not as it should be.

use std::path::Path;

use pleach_data::DataError;
use pleach_data::tokens::TokenFile;
use serde_json::{Value, json};

use super::named;
use crate::arguments::data::VerifyArguments;
use crate::data::data_failure;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::screen::{Screen, figures};

/// Tokens that are looked at at once.
const PART: usize = 1 << 16;

/// What was found of one file.
struct Found {
    fingerprint: String,
    tokens: u64,
    sequences: usize,
    /// Smallest and largest id.
    ids: Option<[i64; 2]>,
    /// Whether there was a description to hold the hash against.
    described: bool,
}

/// Verifies all; the first that is damaged ends it.
pub fn verify(screen: &Screen, arguments: &VerifyArguments) -> Outcome<Exit> {
    let mut rows = Vec::new();
    for file in &arguments.files {
        let (path, found) = one(file, arguments.vocab)?;
        if screen.json {
            rows.push(
                json!({"file": path, "blake3": found.fingerprint, "tokens": found.tokens,
                "sequences": found.sequences, "ids": found.ids, "described": found.described}),
            );
            continue;
        }
        let [tokens, sequences] = [found.tokens, found.sequences as u64].map(figures::count);
        let ids = found.ids.map_or_else(String::new, |[least, most]| {
            format!(", ids {least} to {most}")
        });
        let hash = match found.described {
            true => "the hash is that of its description",
            false => "no description to hold the hash against",
        };
        screen.data(&format!(
            "{path}: whole; {tokens} tokens in {sequences} documents{ids}\n  blake3 {}, {hash}",
            found.fingerprint
        ));
    }
    if screen.json {
        screen.data_json(&Value::Array(rows));
    }
    Ok(Exit::Fine)
}

/// Holds an index against the hash that its description has of it.
fn index(path: &Path, wanted: &str) -> Outcome<()> {
    let mut hasher = blake3::Hasher::new();
    let file = std::fs::File::open(path).map_err(|error| Failure::reading(path, &error))?;
    let read = hasher.update_reader(file);
    read.map_err(|error| Failure::reading(path, &error))?;
    let found = hasher.finalize().to_hex();
    if found.as_str() == wanted {
        return Ok(());
    }
    let message = format!(
        "{}: BLAKE3 {found}, its description says {wanted}",
        path.display()
    );
    Err(Failure::machine("pleach::data::damaged", message)
        .help("delete the file and make it again"))
}

fn one(file: &Path, vocab: Option<u64>) -> Outcome<(String, Found)> {
    let (path, description) = named(file)?;
    let failed = |error: DataError| data_failure(&error);
    let tokens = TokenFile::open(&path).map_err(failed)?;
    tokens.check().map_err(failed)?;
    let fingerprint = tokens.fingerprint();
    let wanted = description
        .as_ref()
        .map(|description| &description.fingerprint);
    if let Some(wanted) = wanted.filter(|wanted| **wanted != fingerprint) {
        let message = format!(
            "{}: BLAKE3 {fingerprint}, its description says {wanted}",
            path.display()
        );
        return Err(Failure::machine("pleach::data::damaged", message)
            .help("delete the file and make it again"));
    }
    if let Some(description) = &description {
        index(&path.with_extension("idx"), &description.index)?;
    }
    let known = description
        .as_ref()
        .map(|description| description.tokenizer.ids);
    let ids = range(&tokens);
    let below = vocab.or(known).and_then(|below| i64::try_from(below).ok());
    if let (Some([least, most]), Some(below)) = (ids, below)
        && (least < 0 || most >= below)
    {
        let message = format!(
            "{}: ids from {least} to {most}, expected 0 to {}",
            path.display(),
            below - 1
        );
        return Err(Failure::wish("pleach::data::vocabulary", message)
            .help("make the token file again with the tokenizer that is meant"));
    }
    let found = Found {
        fingerprint,
        tokens: tokens.len(),
        sequences: tokens.sequences(),
        ids,
        described: description.is_some(),
    };
    Ok((path.display().to_string(), found))
}

/// Smallest and largest id; none of an empty file or one of floats.
fn range(tokens: &TokenFile) -> Option<[i64; 2]> {
    let mut found: Option<[i64; 2]> = None;
    let mut part = vec![0; PART];
    let mut start = 0;
    while start < tokens.len() {
        let length = (tokens.len() - start).min(PART as u64) as usize;
        if !tokens.read(start, &mut part[..length]) {
            return None;
        }
        for &id in &part[..length] {
            let [least, most] = found.unwrap_or([id, id]);
            found = Some([least.min(id), most.max(id)]);
        }
        start += length as u64;
    }
    found
}
