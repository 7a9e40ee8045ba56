//! Specs that were damaged at random, and files made to break a parser: all end, with problems or without, in bounded depth.

use crate::robust::PIECES;
use crate::shapes::{self, Shape};
use crate::spec::cases_of_all_suites;

#[path = "../../fuzz/src/checks.rs"]
mod checks;

/// Damaged texts for each check.
const INPUTS: usize = 600;

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

/// Texts that fuzzing found, each of which once broke one of the checks.
const FOUND: &[&str] = &[
    // A place that ended inside of a character.
    include_str!("found/sign_behind_a_break.pleach"),
];

#[test]
fn found_texts_hold() {
    for text in FOUND {
        checks::parse(text);
        checks::resolve(text);
        checks::check(text);
        checks::format(text);
    }
}

/// What a hostile file may take: two seconds, optimised. Elsewhere so long that only what explodes takes longer, on a busy machine too.
const LONGEST: std::time::Duration =
    std::time::Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 2 });

fn end_in_time(shapes: Vec<Shape>) {
    let checks: [fn(&str); 4] = [
        checks::parse,
        checks::resolve,
        checks::check,
        checks::format,
    ];
    for (name, text) in shapes {
        for check in checks {
            let begun = std::time::Instant::now();
            check(&text);
            let took = begun.elapsed();
            assert!(took < LONGEST, "{name}: {took:?}");
        }
    }
}

#[test]
fn brackets_end() {
    end_in_time(shapes::brackets());
}

#[test]
fn lines_end() {
    end_in_time(shapes::lines());
}

#[test]
fn names_end() {
    end_in_time(shapes::names());
    end_in_time(shapes::bases());
}

#[test]
fn tables_end() {
    end_in_time(shapes::tables());
    end_in_time(shapes::wide_tables());
}

#[test]
fn values_end() {
    end_in_time(shapes::laws());
    end_in_time(shapes::growing());
    end_in_time(shapes::stacks());
}

#[test]
fn runs_end() {
    end_in_time(shapes::runs());
    end_in_time(shapes::axes());
    end_in_time(shapes::declarations());
}
