//! `dsl`, `plan` and `planner` touch no file, clock, environment, thread or unordered map: the lints and the text say so.

use pleach_tests::source::{Source, files};

use crate::none;

const PURE: [&str; 3] = ["dsl", "plan", "planner"];

/// Each with the reason why a pure crate has no use for it.
const IMPURE: [(&str, &str); 9] = [
    ("std::fs", "text comes in through the caller"),
    (
        "std::env",
        "the same input gives the same output on every machine",
    ),
    ("std::time", "there is no clock in a plan"),
    ("std::thread", "the answer does not depend on who is first"),
    ("std::process", "a pure crate starts and ends nothing"),
    ("std::net", "a pure crate talks to nobody"),
    ("HashMap", "its order differs from run to run"),
    ("HashSet", "its order differs from run to run"),
    ("println!", "the caller prints"),
];

#[test]
fn pure_crates_are_linted() {
    for name in PURE {
        let settings = files(name, &["clippy.toml"]);
        assert_eq!(settings.len(), 1, "{name}/clippy.toml is there");
        for word in [
            "disallowed-types",
            "disallowed-methods",
            "HashMap",
            "std::fs::File",
            "std::time::Instant",
            "std::env::var",
        ] {
            assert!(
                settings[0].text.contains(word),
                "{name}/clippy.toml says nothing of {word}"
            );
        }
    }
}

#[test]
fn pure_crates_reach_for_nothing_outside() {
    let sources: Vec<Source> = PURE
        .iter()
        .flat_map(|name| files(&format!("{name}/src"), &[".rs"]))
        .collect();
    assert!(sources.len() > 30, "the pure crates have sources");
    let mut offenders = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        for (number, line) in source.code() {
            let found = IMPURE.iter().filter(|(word, _)| line.contains(word));
            offenders.extend(
                found.map(|(word, why)| {
                    format!("{}:{number}: {word}: {why}", source.path.display())
                }),
            );
        }
    }
    none("dsl, plan and planner are pure", offenders);
}
