//! A text that is being typed: whatever is missing of it, the rest is still in its tree.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pleach_dsl::{Completion, Role, Sources, Symbol, SymbolKind, complete, outline};

use crate::spec::{cases, suites};

/// The longest a parse may take, with much room for a busy machine: the whole of a sample takes some milliseconds.
const LONGEST: Duration = Duration::from_secs(5);

/// Every example and sample.
fn texts() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut texts = Vec::new();
    for folder in ["examples", "tests/spec/samples"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            texts.push((path.clone(), std::fs::read_to_string(path).unwrap()));
        }
    }
    texts.sort();
    texts
}

/// Where words, numbers and signs of a text are; comments and spaces are not among them.
fn tokens(text: &str) -> Vec<(usize, usize)> {
    let word = |character: char| character.is_alphanumeric() || "_.".contains(character);
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let line = rest.find('\n').unwrap_or(rest.len());
        let length = match first {
            '#' => line,
            '"' => rest[1..].find('"').map_or(line, |end| end + 2).min(line),
            first if word(first) => rest.find(|next| !word(next)).unwrap_or(rest.len()),
            first => first.len_utf8(),
        };
        let start = text.len() - rest.len();
        if first != '#' && !first.is_whitespace() {
            tokens.push((start, start + length));
        }
        rest = &rest[length..];
    }
    tokens
}

/// The outline, in time.
fn timely(text: &str) -> Vec<Symbol> {
    let begin = Instant::now();
    let symbols = outline(text);
    assert!(
        begin.elapsed() < LONGEST,
        "{:?} for\n{text}",
        begin.elapsed()
    );
    symbols
}

/// The symbol that goes on where another began.
fn twin<'symbols>(symbol: &Symbol, among: &'symbols [Symbol]) -> Option<&'symbols Symbol> {
    among
        .iter()
        .find(|other| other.at == symbol.at && other.name == symbol.name)
}

/// What of a text up to a byte is not in the outline of its stump: whole entries that are missing, and open ones that are gone with all they hold.
fn lost(text: &str, whole: &[Symbol], cut: usize, stump: &[Symbol], found: &mut Vec<String>) {
    for symbol in whole {
        if symbol.place.end < cut {
            // The reason of a law and a dash at a row's end are on its line, but not in its place.
            let ends_later = matches!(symbol.kind, SymbolKind::Law | SymbolKind::Row);
            let same_line = ends_later && !text[symbol.place.end..cut].contains('\n');
            if twin(symbol, stump) != Some(symbol) && !same_line {
                found.push(format!("{} `{}`", symbol.path, symbol.name));
            }
        } else if let Some(twin) = twin(symbol, stump) {
            lost(text, &symbol.inner, cut, &twin.inner, found);
        }
    }
}

#[test]
fn what_stands_before_a_cut_is_in_the_tree() {
    let mut wrong = Vec::new();
    for (path, text) in texts() {
        let whole = timely(&text);
        for (start, end) in tokens(&text) {
            let stump = timely(&text[..start]);
            let mut found = Vec::new();
            lost(&text, &whole, start, &stump, &mut found);
            wrong.extend(told(&path, &text, (start, end), found));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_missing_token_takes_no_declaration_with_it() {
    let mut wrong = Vec::new();
    for (path, text) in texts() {
        let whole = timely(&text);
        for (start, end) in tokens(&text) {
            let blank = " ".repeat(end - start);
            let rest = timely(&format!("{}{blank}{}", &text[..start], &text[end..]));
            let mut found = Vec::new();
            lost(&text, &whole, start, &rest, &mut found);
            let line = end + text[end..].find('\n').unwrap_or(0);
            for later in whole.iter().filter(|symbol| symbol.place.start > line) {
                if twin(later, &rest) != Some(later) {
                    found.push(format!("later {}", later.name));
                }
            }
            wrong.extend(told(&path, &text, (start, end), found));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

/// What was lost, for a reader.
fn told(
    path: &Path,
    text: &str,
    (start, end): (usize, usize),
    found: Vec<String>,
) -> Option<String> {
    let line = text[..start].matches('\n').count() + 1;
    let name = path.file_name().unwrap().to_string_lossy();
    (!found.is_empty()).then(|| {
        format!(
            "{name}:{line} at `{}`: lost {}",
            &text[start..end],
            found.join(", ")
        )
    })
}

/// An outline in the form of the suites.
fn shown(symbols: &[Symbol], sources: &Sources, depth: usize, text: &mut String) {
    for symbol in symbols {
        let word = match symbol.kind {
            SymbolKind::Declaration(kind) => kind.word().to_string(),
            kind => format!("{kind:?}").to_lowercase(),
        };
        let (line, column) = sources.position(symbol.at);
        let indent = "  ".repeat(depth);
        let row = format!(
            "{indent}{word} {} {line}:{column} {}",
            symbol.name, symbol.path
        );
        writeln!(text, "{}", row.trim_end()).unwrap();
        shown(&symbol.inner, sources, depth + 1, text);
    }
}

/// What is offered at the cursor of a text.
fn offered(text: &str) -> Vec<Completion> {
    let offset = text.find('¦').expect("the text has a cursor");
    complete(
        "main.pleach",
        &text.replace('¦', ""),
        offset,
        &BTreeMap::new(),
    )
}

#[test]
fn pages_show_what_an_editor_is_told() {
    let mut wrong = String::new();
    let mut count = 0;
    for path in suites() {
        for case in cases(&std::fs::read_to_string(path).unwrap()) {
            let Some(text) = case.block("pleach") else {
                continue;
            };
            if let Some(expected) = case.block("outline") {
                let mut sources = Sources::default();
                sources.add("main.pleach", text, false);
                let mut found = String::new();
                shown(&outline(text), &sources, 0, &mut found);
                if found != expected {
                    writeln!(wrong, "{}\n{found}", case.title).unwrap();
                }
                count += 1;
            }
            if let Some(expected) = case.block("offers") {
                let names = offered(text);
                let line =
                    |name: &Completion| format!("{} {:?}", name.name, name.role).to_lowercase();
                let found: Vec<String> = names.iter().map(line).collect();
                // The first that are expected, in order, others between them.
                let mut open = found.iter();
                let all = expected
                    .lines()
                    .all(|line| open.any(|found| *found == line.to_lowercase()));
                let withheld = case.block("withheld").unwrap_or_default();
                let some = withheld
                    .lines()
                    .any(|line| names.iter().any(|name| name.name == line));
                if !all || some || expected.is_empty() != names.is_empty() {
                    writeln!(wrong, "{}\n{}\n", case.title, found.join("\n")).unwrap();
                }
                count += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 15, "only {count} cases");
}

#[test]
fn something_is_offered_or_not_at_every_byte() {
    for (path, text) in texts() {
        let boundaries = (0..=text.len()).filter(|at| text.is_char_boundary(*at));
        for offset in boundaries.step_by(101) {
            let names = complete("main.pleach", &text, offset, &BTreeMap::new());
            let typed = &text[..offset];
            let word = typed
                .rsplit(|character: char| !character.is_alphanumeric() && character != '_')
                .next()
                .unwrap();
            let fits = |name: &&Completion| {
                name.role != Role::File && !name.name.split('.').any(|part| part.starts_with(word))
            };
            assert_eq!(
                names.iter().find(fits),
                None,
                "{}:{offset} `{word}`",
                path.display()
            );
        }
    }
}
