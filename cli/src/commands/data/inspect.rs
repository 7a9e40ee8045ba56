//! `pleach data inspect`: documents, tokens, how long documents are, and some of them decoded.

use std::ops::Range;
use std::path::Path;

use pleach_data::order::Parts;
use pleach_data::tokenize::Description;
use pleach_data::tokenizer::Tokenizer;
use pleach_data::tokens::{Convention, TokenFile};
use serde_json::{Value, json};

use super::named;
use crate::arguments::data::InspectArguments;
use crate::data::data_failure;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::screen::{Screen, figures, table};
use crate::tokenizing::warn_of_skipped;

/// Tokens of a document that are shown.
const SHOWN: usize = 64;
/// Characters of a bar.
const BAR: u64 = 30;

/// Shows a token file.
pub fn inspect(screen: &Screen, arguments: &InspectArguments) -> Outcome<Exit> {
    let (path, description) = named(&arguments.file)?;
    let file = TokenFile::open(&path).map_err(|error| data_failure(&error))?;
    let lengths = file.lengths().map_err(|error| data_failure(&error))?;
    let tokenizer = tokenizer(arguments, description.as_ref())?;
    let samples = samples(&file, arguments.samples, tokenizer.as_ref());
    let parts = Parts::of(&file, &arguments.split, sequences(&file))
        .map_err(|error| data_failure(&error))?;
    if let Some(oddity) = file.oddity() {
        screen.warn("pleach::data::oddity", &oddity);
    }
    if screen.json {
        let histogram = histogram(&lengths);
        let histogram: Vec<Value> = histogram
            .iter()
            .map(|row| json!({"from": row.from, "to": row.to, "documents": row.documents, "tokens": row.tokens}))
            .collect();
        let samples: Vec<Value> = samples
            .iter()
            .map(|(number, tokens, text)| json!({"document": number, "tokens": tokens, "text": text}))
            .collect();
        screen.data_json(&json!({
            "file": path, "kind": file.kind().to_string(), "convention": convention(file.convention()),
            "tokens": file.len(), "sequences": file.sequences(), "documents": file.documents(),
            "lengths": histogram, "samples": samples, "description": description,
            "split": {"documents": parts.documents, "tokens": parts.tokens},
        }));
        return Ok(Exit::Fine);
    }
    if let Some(description) = &description {
        warn_of_skipped(screen, description);
    }
    screen.data(&head(&path, &file, description.as_ref()));
    if !arguments.split.is_empty() {
        screen.data(&held_out(&parts));
    }
    screen.data(&chart(&histogram(&lengths)));
    for (number, tokens, text) in samples {
        let tokens = figures::count(tokens);
        screen.data(&format!("\ndocument {number}, {tokens} tokens\n  {text}"));
    }
    Ok(Exit::Fine)
}

/// Sequences of each document: two for prompts and answers.
fn sequences(file: &TokenFile) -> usize {
    let documents = file.documents().max(1);
    if file.sequences().is_multiple_of(documents) {
        (file.sequences() / documents).max(1)
    } else {
        1
    }
}

/// What decodes: what was asked for, else what the description names, where that is there.
fn tokenizer(
    arguments: &InspectArguments,
    description: Option<&Description>,
) -> Outcome<Option<Tokenizer>> {
    let open = |name: &str| Tokenizer::open(name, Path::new(""), false);
    if let Some(name) = &arguments.tokenizer {
        return open(name).map(Some).map_err(|error| data_failure(&error));
    }
    let note = description.map(|description| &description.tokenizer);
    let found = note.and_then(|note| {
        let found = open(&note.name).ok()?;
        (found.fingerprint() == note.fingerprint).then_some(found)
    });
    Ok(found)
}

fn convention(convention: Convention) -> &'static str {
    match convention {
        Convention::Common => "common",
        Convention::GptNeox => "gpt_neox",
        Convention::Megatron => "megatron",
    }
}

fn head(path: &Path, file: &TokenFile, description: Option<&Description>) -> String {
    let whose = match file.convention() {
        Convention::Common => "",
        Convention::GptNeox => " (type code as GPT-NeoX numbers floats)",
        Convention::Megatron => " (type code as Megatron-LM numbers floats)",
    };
    let [tokens, sequences] = [file.len(), file.sequences() as u64].map(figures::count);
    let mut lines = vec![
        path.display().to_string(),
        format!(
            "{tokens} tokens in {sequences} documents, stored as {}{whose}",
            file.kind()
        ),
    ];
    if file.documents() != file.sequences() {
        let documents = figures::count(file.documents() as u64);
        lines.push(format!("its boundaries join them to {documents} documents"));
    }
    if let Some(description) = description {
        let note = &description.tokenizer;
        let sources = figures::count(description.sources.len() as u64);
        let ids = figures::count(note.ids);
        lines.push(format!(
            "tokenizer {}, {ids} ids; from {sources} files",
            note.name
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// The parts of a split, one a line.
fn held_out(parts: &Parts) -> String {
    let names = ["trained on", "validation", "test"].iter();
    let both = names.zip(parts.documents.iter().zip(&parts.tokens));
    let line = |(name, (documents, tokens)): (&&str, (&Range<usize>, &Range<u64>))| {
        let [from, to] = [documents.start, documents.end].map(|it| figures::count(it as u64));
        let tokens = figures::count(tokens.end - tokens.start);
        format!("{name:<10}  documents {from}..{to}, {tokens} tokens\n")
    };
    both.map(line).collect()
}

/// Documents of similar length.
struct Row {
    from: u64,
    to: u64,
    documents: u64,
    tokens: u64,
}

/// Documents by the power of two of their length.
fn histogram(lengths: &[u32]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for &length in lengths {
        let class = (u32::BITS - length.leading_zeros()) as usize;
        while rows.len() <= class {
            let bits = rows.len() as u32;
            rows.push(Row {
                from: if bits == 0 { 0 } else { 1 << (bits - 1) },
                to: (1 << bits) - 1,
                documents: 0,
                tokens: 0,
            });
        }
        rows[class].documents += 1;
        rows[class].tokens += u64::from(length);
    }
    let first = rows.iter().position(|row| row.documents > 0).unwrap_or(0);
    rows.drain(..first);
    rows
}

fn chart(rows: &[Row]) -> String {
    let most = rows
        .iter()
        .map(|row| row.documents)
        .max()
        .unwrap_or(1)
        .max(1);
    let row = |row: &Row| {
        let length = (row.documents * BAR).div_ceil(most) as usize;
        vec![
            format!("{} to {}", figures::count(row.from), figures::count(row.to)),
            "━".repeat(length),
            figures::count(row.documents),
            figures::count(row.tokens),
        ]
    };
    let header = ["length", "", "documents", "tokens"];
    table::table(&header, rows.iter().map(row).collect(), 2)
}

/// Some documents, evenly spread: number, tokens, text.
fn samples(
    file: &TokenFile,
    count: usize,
    tokenizer: Option<&Tokenizer>,
) -> Vec<(usize, u64, String)> {
    let total = file.sequences();
    let count = count.min(total);
    let chosen = (0..count).map(|number| number * total / count.max(1));
    let sample = |number: usize| {
        let range = file.sequence(number)?;
        let length = range.end - range.start;
        let mut values = vec![0.0; SHOWN.min(length as usize)];
        if !file.values(range.start, &mut values) {
            return None;
        }
        let ids: Vec<u32> = values.iter().map(|&value| value as u32).collect();
        let text = match tokenizer.filter(|_| file.kind().is_whole()) {
            Some(tokenizer) => tokenizer.text(&ids).escape_debug().to_string(),
            None => values
                .iter()
                .map(f64::to_string)
                .collect::<Vec<_>>()
                .join(" "),
        };
        let more = if length as usize > SHOWN { "…" } else { "" };
        Some((number, length, format!("{text}{more}")))
    };
    chosen.filter_map(sample).collect()
}
