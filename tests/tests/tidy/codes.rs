//! Every code that can be printed has a page, every page is about a code that exists, and every command that a message
//! advises is one that `pleach` has.

use std::collections::{BTreeMap, BTreeSet};

use pleach_tests::have;
use pleach_tests::source::files;

use crate::none;

/// The rooms whose codes have their pages in `tests/pages`; those of the language are held by its own suite.
const ROOMS: [&str; 7] = [
    "cli/src",
    "executor/src",
    "storage/src",
    "data/src",
    "planner/src",
    "plan/src",
    "xtask/src",
];

/// What begins a code.
const CODE: &str = "pleach::";

/// Codes that are whole string literals of the sources, each with a place where it stands.
fn codes() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for source in ROOMS.into_iter().flat_map(|room| files(room, &[".rs"])) {
        let place = source.path.display().to_string();
        for (number, line) in source.code() {
            for literal in line
                .split('"')
                .skip(1)
                .step_by(2)
                .filter(|text| is_code(text))
            {
                found.insert(literal.to_owned(), format!("{place}:{number}"));
            }
        }
    }
    found
}

fn is_code(text: &str) -> bool {
    let letters = |rest: &str| {
        !rest.is_empty()
            && rest
                .chars()
                .all(|letter| letter.is_ascii_lowercase() || "_:".contains(letter))
    };
    text.strip_prefix(CODE).is_some_and(letters)
}

/// The headings of all pages below a folder.
fn pages(folder: &str) -> BTreeSet<String> {
    let sources = files(folder, &[".md"]);
    let headings = sources.iter().flat_map(|source| source.text.lines());
    headings
        .filter_map(|line| line.strip_prefix("## ").filter(|title| is_code(title)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let (codes, own, language) = (codes(), pages("tests/pages"), pages("tests/spec/errors"));
    assert!(
        codes.len() > 50 && own.len() > 50,
        "codes and pages are found"
    );
    let without = codes
        .iter()
        .filter(|(code, _)| !own.contains(*code) && !language.contains(*code));
    let unused = own.iter().filter(|page| !codes.contains_key(*page));
    let offenders = without
        .map(|(code, place)| format!("{place}: {code} has no page in tests/pages"))
        .chain(unused.map(|page| format!("tests/pages: no source says {page}")));
    none("codes and their pages go together", offenders.collect());
}

#[test]
fn every_page_can_be_asked_for() {
    let asked = |code: &String| {
        let answer = std::process::Command::new(have::pleach())
            .args(["explain", code])
            .output();
        let answer = answer.expect("pleach starts");
        !(answer.status.success() && String::from_utf8_lossy(&answer.stdout).contains(code))
    };
    let silent: Vec<String> = pages("tests/pages").into_iter().filter(asked).collect();
    none("`pleach explain CODE` prints the page", silent);
}

/// Subcommands as `pleach --help` lists them.
fn subcommands() -> BTreeSet<String> {
    let output = std::process::Command::new(have::pleach())
        .arg("--help")
        .output();
    let help = String::from_utf8_lossy(&output.expect("pleach starts").stdout).into_owned();
    let list = help.split("Commands:").nth(1).unwrap_or_default();
    let list = list.split("\n\n").next().unwrap_or_default();
    list.lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn commands_that_messages_advise_exist() {
    let known = subcommands();
    assert!(
        known.contains("resume") && known.contains("doctor"),
        "{known:?}"
    );
    let sources = ROOMS
        .into_iter()
        .chain(["dsl/src"])
        .flat_map(|room| files(room, &[".rs"]));
    let pages = files("tests/pages", &[".md"]);
    let mut offenders = Vec::new();
    for source in sources.chain(pages) {
        for (number, line) in source.code() {
            for advised in line.split("`pleach ").skip(1) {
                let word: String = advised
                    .chars()
                    .take_while(char::is_ascii_lowercase)
                    .collect();
                if !word.is_empty() && !known.contains(&word) {
                    offenders.push(format!(
                        "{}:{number}: `pleach {word}`",
                        source.path.display()
                    ));
                }
            }
        }
    }
    none(
        "a command that is advised is one that `pleach` has",
        offenders,
    );
}
