//! README, ARCHITECTURE and CONTRIBUTING say what is true: their commands exist, their paths are there.

use std::process::Command;

use pleach_tests::source::{Source, files};
use pleach_tests::{have, job};
use xtask::places;

use crate::none;

const DOCUMENTS: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];

fn documents() -> Vec<Source> {
    let found: Vec<Source> = files("", &[".md"])
        .into_iter()
        .filter(is_document)
        .collect();
    assert_eq!(
        found.len(),
        DOCUMENTS.len(),
        "README, ARCHITECTURE and CONTRIBUTING are there"
    );
    found
}

fn is_document(source: &Source) -> bool {
    DOCUMENTS
        .iter()
        .any(|name| source.path.as_os_str() == *name)
}

/// What stands between backticks or alone on a line of a fenced block, as words.
fn commands(text: &str) -> Vec<Vec<String>> {
    let fenced = text
        .split("```")
        .skip(1)
        .step_by(2)
        .flat_map(|block| block.lines().map(|line| line.trim_start_matches("$ ")));
    let prose = text
        .split("```")
        .step_by(2)
        .flat_map(|part| part.split('`').skip(1).step_by(2));
    let words = |line: &str| {
        line.split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    fenced
        .chain(prose)
        .map(words)
        .filter(|words| words.len() > 1)
        .collect()
}

/// Whether a program answers `SUBCOMMAND --help` where all the long options that are used are listed.
fn is_understood(program: &mut Command, words: &[String]) -> bool {
    // Commands of commands stand before the first option, with plain words that help overlooks.
    let named = words.iter().take_while(|word| !word.starts_with('-'));
    let Ok(output) = program.args(named).arg("--help").output() else {
        return false;
    };
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    let options = words
        .iter()
        .filter(|word| word.starts_with("--"))
        .map(|word| word.split('=').next().unwrap_or(word));
    output.status.success() && options.into_iter().all(|option| help.contains(option))
}

fn xtask() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(places::root()).arg("xtask");
    command
}

#[test]
fn commands_in_documents_exist() {
    let mut offenders = Vec::new();
    let mut asked = 0;
    for document in documents() {
        for words in commands(&document.text) {
            let line: Vec<&str> = words.iter().map(String::as_str).collect();
            let understood = match line[..] {
                ["cargo", "xtask", ..] => is_understood(&mut xtask(), &words[2..]),
                ["pleach", next, ..] if next.starts_with(char::is_lowercase) => {
                    is_understood(&mut Command::new(have::pleach()), &words[1..])
                }
                _ => continue,
            };
            asked += 1;
            if !understood {
                offenders.push(format!("{}: `{}`", document.path.display(), line.join(" ")));
            }
        }
    }
    assert!(
        asked >= 3,
        "the documents show commands, {asked} were found"
    );
    none("a command in a document exists as it is written", offenders);
}

#[test]
fn paths_in_documents_are_there() {
    let looks_like_path = |text: &&str| {
        let clean = text
            .chars()
            .all(|letter| letter.is_alphanumeric() || "/._-".contains(letter));
        clean && text.contains('/') && !text.starts_with(['/', '.']) || text.starts_with(".ci/")
    };
    let mut offenders = Vec::new();
    for document in documents() {
        let prose = document
            .text
            .split("```")
            .step_by(2)
            .flat_map(|part| part.split('`').skip(1).step_by(2));
        let missing = prose.filter(looks_like_path).filter(|path| !is_there(path));
        offenders.extend(missing.map(|path| format!("{}: {path}", document.path.display())));
    }
    none("a path in a document is there", offenders);
}

/// Whether a path is in the checkout; what commands make (a run's folder, build results) is not looked for.
fn is_there(path: &str) -> bool {
    let made = ["target/", "runs/"]
        .iter()
        .any(|folder| path.starts_with(folder));
    made || places::root().join(path).exists()
}

#[test]
fn the_gate_is_the_suite() {
    let script =
        std::fs::read_to_string(places::root().join(".ci/run")).expect("there is a .ci/run");
    let commands: Vec<&str> = script
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .collect();
    assert_eq!(commands, ["set -euo pipefail", "exec cargo xtask test"]);
}

/// The text of README's first fenced block of a kind.
fn block<'t>(text: &'t str, kind: &str) -> &'t str {
    let opening = format!("```{kind}\n");
    let (_, rest) = text
        .split_once(&opening)
        .unwrap_or_else(|| panic!("README has a block of {kind}"));
    rest.split_once("```").expect("the block ends").0
}

#[test]
fn the_screen_in_readme_is_what_pleach_prints() {
    let path = places::root().join("README.md");
    let text = std::fs::read_to_string(&path).expect("there is a README");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let spec = folder.path().join("pythia.pleach");
    std::fs::write(&spec, block(&text, "pleach")).expect("a file can be written");
    let answer = job::succeed(
        Command::new(have::pleach())
            .arg("plan")
            .arg(&spec)
            .env("NO_COLOR", "1"),
    );
    let (shown, printed) = (
        block(&text, "text"),
        format!("{}\n", answer.stdout.trim_end()),
    );
    if std::env::var("PLEACH_README").is_ok_and(|mode| mode == "write") {
        let mended = text.replacen(
            &format!("```text\n{shown}```"),
            &format!("```text\n{printed}```"),
            1,
        );
        std::fs::write(&path, mended).expect("README can be written");
    } else {
        assert_eq!(
            shown, printed,
            "`PLEACH_README=write cargo test -p pleach-tests --test tidy` brings README up to date"
        );
    }
}
