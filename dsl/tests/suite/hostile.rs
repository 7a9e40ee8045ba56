//! Specs that were damaged at random, and files made to break a parser: all end, with problems or without, in bounded depth.
//!
//! Files that are still slow are not among them: a hundred thousand entries of one name, a long chain of bases, a mebibyte of imports.

use crate::robust::PIECES;
use crate::spec::cases_of_all_suites;

#[path = "../../fuzz/src/checks.rs"]
mod checks;

/// Damaged texts for each check.
const INPUTS: usize = 600;

/// The size of a hostile file.
const MEBIBYTE: usize = 1 << 20;

/// A generator of numbers that is the same everywhere (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }

    /// A place between two characters.
    fn place(&mut self, text: &str) -> usize {
        let mut at = self.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    /// A stretch of a text, mostly a short one.
    fn stretch(&mut self, text: &str) -> (usize, usize) {
        let start = self.place(text);
        let most = if self.below(8) == 0 { text.len() } else { 12 };
        let length = self.below(most + 1);
        let ends = text[start..].char_indices().map(|(at, _)| start + at);
        (start, ends.take(length + 1).last().unwrap_or(start))
    }

    /// A text with a few things wrong.
    fn damaged(&mut self, text: &str, other: &str) -> String {
        let mut text = text.to_string();
        for _ in 0..1 + self.below(4) {
            let (start, end) = self.stretch(&text);
            let with = match self.below(5) {
                0 => String::new(),
                1 => text[start..end].repeat(2 + self.below(3)),
                2 => PIECES[self.below(PIECES.len())].to_string(),
                3 => {
                    let (from, to) = self.stretch(other);
                    other[from..to].to_string()
                }
                _ => text[start..end].chars().rev().collect(),
            };
            text.replace_range(start..end, &with);
        }
        text
    }
}

/// Specs to begin with: the examples, the presets, and every case of the suites.
fn seeds() -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let examples = std::fs::read_dir(folder).unwrap();
    let mut seeds: Vec<String> = examples
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    seeds.sort();
    seeds.extend(
        pleach_dsl::SHIPPED
            .iter()
            .map(|(_, text)| (*text).to_string()),
    );
    let cases = cases_of_all_suites();
    seeds.extend(
        cases
            .iter()
            .filter_map(|case| case.block("pleach"))
            .map(str::to_string),
    );
    seeds
}

fn damaged_specs(seed: u64, check: fn(&str)) {
    let seeds = seeds();
    let mut random = Random(seed);
    for _ in 0..INPUTS {
        let first = &seeds[random.below(seeds.len())];
        let second = &seeds[random.below(seeds.len())];
        check(&random.damaged(first, second));
    }
}

#[test]
fn damaged_specs_parse() {
    damaged_specs(0x9e37_79b9, checks::parse);
}

#[test]
fn damaged_specs_resolve() {
    damaged_specs(0x85eb_ca6b, checks::resolve);
}

#[test]
fn damaged_specs_are_laid_out_once_and_for_all() {
    damaged_specs(0xc2b2_ae35, checks::format);
}

/// Texts of a mebibyte that nest, repeat or never end.
fn hostile() -> Vec<(&'static str, String)> {
    let filled = |front: &str, piece: &str, back: &str| {
        let room = MEBIBYTE - front.len() - back.len();
        format!("{front}{}{back}", piece.repeat(room / piece.len()))
    };
    let inside = "experiment a {\n x = ";
    vec![
        ("open braces", filled("", "{", "")),
        ("nested blocks", filled("experiment a ", "{ a ", "")),
        ("closing braces", filled("", "}\n", "")),
        ("parentheses", filled(inside, "(", "")),
        (
            "balanced parentheses",
            format!(
                "{inside}{}1{}\n}}",
                "(".repeat(MEBIBYTE / 2),
                ")".repeat(MEBIBYTE / 2)
            ),
        ),
        ("brackets", filled(inside, "[", "")),
        ("calls", filled(inside, "min(", "")),
        ("minus signs", filled(inside, "-", "1\n}")),
        ("nots", filled(inside, "not ", "true\n}")),
        ("ifs", filled(inside, "if a then b else ", "c\n}")),
        ("sums", filled(inside, "1 + ", "1\n}")),
        ("a long path", filled(inside, "a.", "a\n}")),
        ("a long name", filled(inside, "a", "\n}")),
        ("a long number", filled(inside, "9", "\n}")),
        ("an open string", filled("experiment a {\n x = \"", "a", "")),
        ("quotes", filled("", "\"", "")),
        ("a comment", filled("# ", "a", "")),
        ("commas", filled("experiment a {", ",", "}")),
    ]
}

#[test]
fn hostile_files_end() {
    for (name, text) in hostile() {
        println!("{name}");
        checks::parse(&text);
        checks::resolve(&text);
        checks::format(&text);
    }
}
