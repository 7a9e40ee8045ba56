//! The outward shape of files: length, header, and words that have no place in them.

use pleach_tests::source::{Source, files};

use crate::none;

const LONGEST_FILE: usize = 600;

/// What must not stand in the code, written apart so that this file does not offend.
const FORBIDDEN: [(&str, &str); 5] = [
    (concat!("#[", "ignore"), "a test runs or is not there"),
    (
        concat!("allow(", "dead_code"),
        "code that nothing calls is removed",
    ),
    (concat!("to", "do!("), "what is not done is not merged"),
    (
        concat!("unimple", "mented!("),
        "what is not done is not merged",
    ),
    (concat!("/ho", "me/"), "no path of one machine"),
];

#[test]
fn no_file_is_longer_than_a_person_reads() {
    let long = |source: &Source| {
        let lines = source.text.lines().count();
        (lines > LONGEST_FILE).then(|| format!("{}: {lines} lines", source.path.display()))
    };
    let sources = files("", &[".rs", ".py", ".cpp", ".h", ".pest"]);
    assert!(sources.len() > 50, "the checkout has sources");
    none(
        "a file has at most 600 lines",
        sources.iter().filter_map(long).collect(),
    );
}

#[test]
fn every_file_says_what_comes_in_and_what_goes_out() {
    let bare = |source: &Source| !source.text.starts_with("//!");
    let sources = files("", &[".rs"]);
    let offenders = sources
        .iter()
        .filter(|source| bare(source))
        .map(|source| source.path.display().to_string());
    none("a Rust file begins with `//!`", offenders.collect());
}

#[test]
fn nothing_is_left_half_done() {
    let mut offenders = Vec::new();
    for source in files("", &[".rs", ".py", ".cpp", ".h"]) {
        for (number, line) in source.text.lines().enumerate() {
            let found = FORBIDDEN.iter().filter(|(word, _)| line.contains(word));
            offenders.extend(found.map(|(word, why)| {
                format!("{}:{}: `{word}`: {why}", source.path.display(), number + 1)
            }));
        }
    }
    none("some words have no place in the code", offenders);
}

#[test]
fn functions_are_measured_by_clippy_everywhere() {
    let settings = files("", &["clippy.toml"]);
    assert!(
        settings
            .iter()
            .any(|source| source.path.as_os_str() == "clippy.toml"),
        "the workspace has a clippy.toml"
    );
    let lax = |source: &&Source| !source.text.contains("too-many-lines-threshold = 60");
    let offenders = settings
        .iter()
        .filter(lax)
        .map(|source| source.path.display().to_string());
    none(
        "a clippy.toml replaces that of the workspace, so each says `too-many-lines-threshold = 60`",
        offenders.collect(),
    );
}
