//! What is generated from the schema is in the repository as it comes out, and says what it should.

use std::path::Path;

use fancy_regex::Regex;
use pleach_dsl::{generated, schema_json};
use serde_json::Value;

#[test]
fn generated_files_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let writing = std::env::var("PLEACH_GENERATE").is_ok_and(|mode| mode == "write");
    for (path, text) in generated() {
        if writing {
            std::fs::write(root.join(path), text).unwrap();
            continue;
        }
        let kept = std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let differs = kept
            .lines()
            .zip(text.lines())
            .find(|(kept, made)| kept != made);
        assert!(
            kept == text,
            "`cargo xtask generate` brings {path} up to date: {differs:?}"
        );
    }
}

/// The grammar for editors.
fn grammar() -> Value {
    let files = generated();
    let (_, text) = files
        .iter()
        .find(|(path, _)| path.ends_with(".tmLanguage.json"))
        .unwrap();
    serde_json::from_str(text).unwrap()
}

/// The pieces of a line and their scopes, as an editor finds them: the earliest match, of the first pattern that has it.
fn scopes(grammar: &Value, line: &str) -> Vec<(String, String)> {
    let patterns: Vec<(Regex, &Value)> = grammar["patterns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pattern| {
            (
                Regex::new(pattern["match"].as_str().unwrap()).unwrap(),
                pattern,
            )
        })
        .collect();
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < line.len() {
        let found = patterns.iter().filter_map(|(regex, pattern)| {
            let captures = regex.captures_from_pos(line, at).unwrap()?;
            Some((captures, *pattern))
        });
        let first = found.min_by_key(|(captures, _)| captures.get(0).unwrap().start());
        let Some((captures, pattern)) = first else {
            break;
        };
        let whole = captures.get(0).unwrap();
        assert!(whole.end() > at, "{pattern} matches nothing in {line}");
        at = whole.end();
        if let Some(name) = pattern["name"].as_str() {
            pieces.push((whole.as_str().to_string(), name.to_string()));
            continue;
        }
        for (group, scope) in pattern["captures"].as_object().unwrap() {
            if let Some(part) = captures.get(group.parse().unwrap()) {
                pieces.push((
                    part.as_str().to_string(),
                    scope["name"].as_str().unwrap().to_string(),
                ));
            }
        }
    }
    pieces
}

/// A line, a piece of it, and the scope of that piece.
const COLOURS: [(&str, &str, &str); 25] = [
    ("# a = 1", "# a = 1", "comment.line.number-sign"),
    (
        "  source = \"hf:# \\\" a\" # b",
        "\"hf:# \\\" a\"",
        "string.quoted.double",
    ),
    (
        "  source = \"hf:# \\\" a\" # b",
        "# b",
        "comment.line.number-sign",
    ),
    ("sweep suite extends neox.pythia {", "sweep", "storage.type"),
    (
        "sweep suite extends neox.pythia {",
        "suite",
        "entity.name.type",
    ),
    (
        "sweep suite extends neox.pythia {",
        "extends",
        "keyword.other",
    ),
    (
        "sweep suite extends neox.pythia {",
        "neox.pythia",
        "entity.other.inherited-class",
    ),
    ("  train {", "train", "entity.name.section"),
    (
        "    steps = 150_000 steps",
        "steps",
        "variable.other.member",
    ),
    ("    steps = 150_000 steps", "150_000", "constant.numeric"),
    ("    steps = 150_000 steps", "steps", "keyword.other.unit"),
    (
        "  context = 32Ki tokens",
        "Ki",
        "keyword.other.unit.magnitude",
    ),
    ("  peak = 312 TFLOP/s", "TFLOP/s", "keyword.other.unit"),
    (
        "  lr = cosine { end = 10% of peak }",
        "%",
        "keyword.operator.percent",
    ),
    (
        "  lr = cosine { end = 10% of peak }",
        "of",
        "keyword.operator.word",
    ),
    (
        "  lr = cosine { end = 10% of peak }",
        "end",
        "variable.other.member",
    ),
    ("  norm = rmsnorm", "rmsnorm", "support.constant"),
    ("  tp in [1, 2]", "tp", "variable.other.member"),
    ("  tp in [1, 2]", "in", "keyword.operator.word"),
    (
        "  zero = if pp > 1 then 1 else auto",
        "then",
        "keyword.control",
    ),
    (
        "  zero = if pp > 1 then 1 else auto",
        "auto",
        "constant.language",
    ),
    ("  steps = ceil(tokens / 2)", "ceil", "support.function"),
    ("  steps = ceil(tokens / 2)", "tokens", "variable.other"),
    ("  require a <= b because \"c\"", "require", "keyword.other"),
    ("  require a <= b because \"c\"", "<=", "keyword.operator"),
];

#[test]
fn words_are_coloured_as_what_they_are() {
    let grammar = grammar();
    for (line, piece, scope) in COLOURS {
        let found = scopes(&grammar, line);
        let wanted = (piece.to_string(), format!("{scope}.pleach"));
        assert!(
            found.contains(&wanted),
            "{line}: {wanted:?} is not in {found:?}"
        );
    }
}

#[test]
fn every_letter_of_the_samples_has_a_colour() {
    let grammar = grammar();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/spec/samples");
    for entry in std::fs::read_dir(samples).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines() {
            let letters = |text: &str| {
                text.chars()
                    .filter(|letter| letter.is_alphanumeric())
                    .count()
            };
            let coloured: usize = scopes(&grammar, line)
                .iter()
                .map(|(piece, _)| letters(piece))
                .sum();
            assert_eq!(
                coloured,
                letters(line),
                "{line}: {:?}",
                scopes(&grammar, line)
            );
        }
    }
}

#[test]
fn the_schema_tells_all_of_a_field() {
    let schema = schema_json();
    let field = |section: &str, name: &str| {
        let fields = schema["sections"][section]["fields"].as_array().unwrap();
        fields
            .iter()
            .find(|field| field["name"] == name)
            .unwrap()
            .clone()
    };
    let peak = field("cluster", "peak");
    assert_eq!(
        (&peak["type"], &peak["unit"]),
        (&"number".into(), &"FLOP/s".into())
    );
    assert_eq!(
        field("plan", "recompute")["words"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(field("plan", "tp")["default"], "auto");
    assert_eq!(field("cluster", "nodes")["from"], "gpus");
    let rate = field("train", "lr");
    let kinds = rate["kinds"].as_array().unwrap();
    let cosine = kinds
        .iter()
        .find(|kind| *kind == "cosine")
        .unwrap()
        .as_str()
        .unwrap();
    assert_eq!(field(cosine, "peak")["name"], "peak");
    let every = schema["sections"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|section| section["fields"].as_array().unwrap());
    for field in every {
        let inner = field["kinds"]
            .as_array()
            .into_iter()
            .flatten()
            .chain(field.get("section"));
        for id in inner {
            assert!(
                schema["sections"][id.as_str().unwrap()].is_object(),
                "{field}"
            );
        }
    }
}
