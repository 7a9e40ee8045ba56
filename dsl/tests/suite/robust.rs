//! Whatever is typed, loading ends with problems or an experiment, never with a panic; and units and numbers keep their laws.

use crate::common::{load_text, small};
use proptest::prelude::*;

/// Pieces of the language, to be thrown together.
pub const PIECES: [&str; 44] = [
    "experiment",
    "model",
    "a",
    "tp",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "=",
    "==",
    "<=",
    "..",
    "+",
    "-",
    "*",
    "/",
    "%",
    "of",
    "in",
    "if",
    "then",
    "else",
    "require",
    "minimize",
    "table {\n",
    "|",
    ",",
    "\n",
    "1",
    "25%",
    "2048 tokens",
    "1e999",
    "\"text\"",
    "\"",
    "#",
    "auto",
    "not",
    "let",
    "é",
    "\r",
    "\t",
    "hidden",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_ends(text in "\\PC{0,200}") {
        let loaded = load_text(&text);
        prop_assert!(loaded.problems.errors() > 0 || loaded.experiment.is_some());
        prop_assert!(loaded.experiment.is_some() || !loaded.problems.render(false).is_empty());
    }

    #[test]
    fn any_pieces_end(indexes in proptest::collection::vec(0..PIECES.len(), 0..60)) {
        let body: Vec<&str> = indexes.iter().map(|index| PIECES[*index]).collect();
        let loaded = load_text(&small("", &body.join(" ")));
        prop_assert!(loaded.problems.errors() > 0 || loaded.experiment.is_some());
        prop_assert!(!loaded.problems.iter().any(|problem| problem.code == "pleach::fault"));
    }

    #[test]
    fn cutting_a_spec_anywhere_ends(cut in 0usize..600) {
        let text = small("mlp = gelu { width = 4 * hidden }", "plan { tp in [1, 2]\n require memory.peak <= 40 GiB\n minimize time }");
        let text: String = text.chars().take(cut).collect();
        let loaded = load_text(&text);
        prop_assert!(!loaded.problems.iter().any(|problem| problem.code == "pleach::fault"));
    }

    #[test]
    fn units_of_a_size_agree(size in 1u32..100_000) {
        let text = small("", &format!("let same = {size} GiB == {} MiB and {size} KiB == {} bytes", u64::from(size) * 1024, u64::from(size) * 1024));
        let loaded = load_text(&text);
        prop_assert_eq!(&loaded.cells["same"].value, "true");
    }

    #[test]
    fn arithmetic_is_exact(a in 1i64..1_000_000, b in 1i64..1_000_000, c in 1i64..1000) {
        let text = small("", &format!("let same = ({a} / {b}) * {b} == {a} and 0.{c} * 10 - 0.{c} == 9 * 0.{c} and ({a} + {c}) % {c} == {a} % {c}"));
        let loaded = load_text(&text);
        prop_assert_eq!(&loaded.cells["same"].value, "true");
    }

    #[test]
    fn dimensions_cancel(a in 1u32..10_000, b in 1u32..10_000) {
        let text = small("", &format!("let same = {a} tokens / ({b} tokens / 1 step) == {a} / {b} * 1 steps"));
        let loaded = load_text(&text);
        prop_assert_eq!(&loaded.cells["same"].value, "true");
    }
}

#[test]
fn long_chains_of_cells_are_told() {
    let chain: String = (0..150)
        .map(|index| format!("let a{index:03} = a{:03}\n", index + 1))
        .collect();
    let loaded = load_text(&small(
        "",
        &format!("{chain}let a150 = 1\ntrain.clip = a000"),
    ));
    let codes: Vec<&str> = loaded.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["pleach::cell::chain"]);
}

#[test]
fn very_long_formulas_are_told() {
    let sum = vec!["1"; 50_000].join(" + ");
    let loaded = load_text(&small("", &format!("train.clip = {sum}")));
    let codes: Vec<&str> = loaded.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["pleach::syntax::long"]);
    let nested = "if a then b else ".repeat(5000);
    assert!(
        load_text(&small("", &format!("train.clip = {nested} c")))
            .problems
            .errors()
            > 0
    );
}

#[test]
fn the_same_text_gives_the_same_answer() {
    let text = small("hidden_size = 3", "plan { tp = 3, require tp > 4 }");
    assert_eq!(
        load_text(&text).problems.to_json(),
        load_text(&text).problems.to_json()
    );
}
