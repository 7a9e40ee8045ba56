//! Laying text out: `tests/spec/format.md` says how, and whatever is written comes out with its words, its comments and its meaning.

use std::path::{Path, PathBuf};

use pleach_dsl::format;
use proptest::prelude::*;

use crate::spec::{cases, suites, whole};

/// The tree of a text as words, without places.
fn meaning(text: &str) -> String {
    let mut problems = Vec::new();
    let tree = pleach_dsl::parse::parse(0, text, &mut problems);
    assert!(problems.is_empty(), "{text}\n{problems:?}");
    let written = format!("{tree:?}");
    let mut pieces = written.split("Place { file: 0, start: ");
    let mut words = pieces.next().unwrap().to_string();
    for piece in pieces {
        words.push_str(piece.split_once('}').unwrap().1);
    }
    words
}

/// The text laid out, with all that must hold of it.
fn laid_out(name: &str, text: &str) -> String {
    let formatted =
        format(name, text).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    assert_eq!(
        meaning(&formatted),
        meaning(text),
        "{name}: the meaning changed:\n{formatted}"
    );
    assert_eq!(
        format(name, &formatted).unwrap(),
        formatted,
        "{name}: not settled after one pass"
    );
    formatted
}

/// All files below a folder of the repository that end so.
fn files(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(folder);
    let entries = std::fs::read_dir(root).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "pleach")
        })
        .collect();
    files.sort();
    files
}

#[test]
fn shipped_specs_and_the_samples_are_laid_out_already() {
    let mut count = 0;
    let mut wrong = String::new();
    for path in ["examples", "presets", "tests/spec/samples"]
        .into_iter()
        .flat_map(files)
    {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.display().to_string();
        let formatted = laid_out(&name, &text);
        count += 1;
        for (line, (is, should)) in text.lines().zip(formatted.lines()).enumerate() {
            if is != should {
                wrong += &format!("{name}:{}\n  is     {is}\n  should {should}\n", line + 1);
            }
        }
        assert_eq!(
            text.lines().count(),
            formatted.lines().count(),
            "{name}:\n{formatted}"
        );
    }
    assert!(count >= 14, "only {count} files");
    assert!(
        wrong.is_empty(),
        "`pleach fmt examples/*.pleach presets/*.pleach` mends\n{wrong}"
    );
}

#[test]
fn pages_show_what_the_rules_do() {
    let mut count = 0;
    for path in suites() {
        let text = std::fs::read_to_string(&path).unwrap();
        for case in cases(&text) {
            let Some(formatted) = case.block("formatted") else {
                continue;
            };
            let written = case.block("pleach").unwrap();
            assert_eq!(laid_out(&case.title, written), formatted, "{}", case.title);
            assert_ne!(written, formatted, "{}: nothing is shown", case.title);
            count += 1;
        }
    }
    assert!(count >= 12, "only {count} pairs");
}

#[test]
fn every_spec_of_the_suites_keeps_its_meaning() {
    let mut count = 0;
    for path in suites() {
        let text = std::fs::read_to_string(&path).unwrap();
        for case in cases(&text) {
            for block in case
                .blocks
                .iter()
                .filter(|block| block.info.starts_with("pleach"))
            {
                for text in [&block.text, &whole(&case, &block.text).0] {
                    if format(&case.title, text).is_ok() {
                        laid_out(&case.title, text);
                        count += 1;
                    }
                }
            }
        }
    }
    assert!(count > 150, "only {count} specs");
}

#[test]
fn what_cannot_be_read_is_told_and_not_touched() {
    let problems = format("a.pleach", "model a extends b {\n  layers: 4\n").unwrap_err();
    assert_eq!(problems.errors(), 2);
    assert_eq!(problems.sources().get(0).name, "a.pleach");
}

#[test]
fn one_wide_thing_does_not_widen_everything() {
    let wide = "x".repeat(9000);
    let many = |line: &str| line.repeat(500);
    let texts = [
        format!(
            "dataset a {{\n mix = table {{\n name | b | c\n {wide} | 1 | 2\n{} }}\n}}\n",
            many(" d | \"e\" | 3\n")
        ),
        format!("model a {{\n {wide} = 1\n{}}}\n", many(" b = 2\n")),
        format!(
            "model a {{\n b = [\n \"{wide}\", 1\n{}]\n}}\n",
            many(" 2, 3\n")
        ),
        format!(
            "model a {{\n b = \"{wide}\" # c\n{}}}\n",
            many(&format!(" b = \"{}\" # c\n", "d".repeat(50)))
        ),
        format!("model a {{ b = f(\n{}\"{wide}\") }}\n", many("\"d\",\n")),
        many("model a { b = 1 }\n") + &format!("model {wide} {{ b = 1 }}\n"),
    ];
    for text in texts {
        let formatted = laid_out("wide", &text);
        assert!(
            formatted.len() < 2 * text.len() + 30_000,
            "{} from {}",
            formatted.len(),
            text.len()
        );
    }
}

#[test]
fn a_line_with_nothing_but_a_comma_counts_as_blank() {
    let text = "model a {\n  seed = 1\n  ,\n  layers = 2\n}\n";
    let formatted = laid_out("comma", text);
    assert_eq!(formatted, "model a {\n  seed = 1\n\n  layers = 2\n}\n");
}

/// All texts that are laid out already, for changing their spaces.
fn texts() -> Vec<String> {
    ["examples", "presets", "tests/spec/samples"]
        .into_iter()
        .flat_map(files)
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect()
}

/// What a space or a line end becomes.
const SPACES: [&str; 12] = [
    " ",
    "  ",
    "     ",
    "\t",
    "\n",
    "\n\n",
    "\n\n\n",
    "\r\n",
    ", ",
    " # told\n",
    "\n# told\n",
    "",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn other_spaces_are_laid_out_the_same(
        which in 0usize..100,
        changes in proptest::collection::vec((0.0f64..1.0, 0..SPACES.len()), 0..8),
    ) {
        let texts = texts();
        let mut text = texts[which % texts.len()].clone();
        for (at, with) in changes {
            let spaces: Vec<usize> = text.match_indices([' ', '\n', '{', '(', '[']).map(|(at, _)| at + 1).collect();
            let at = spaces[(at * spaces.len() as f64) as usize];
            let mut changed = text.clone();
            changed.insert_str(at, SPACES[with]);
            if format("changed", &changed).is_ok() {
                text = changed;
            }
        }
        laid_out("changed", &text);
    }

    #[test]
    fn any_width_settles(hidden in "[a-z_]{1,40}", values in proptest::collection::vec("v[a-z]{1,12}", 1..30), line in 1usize..6) {
        let lines: Vec<String> = values.chunks(line).map(|row| row.join(", ")).collect();
        laid_out("wide", &format!("model a extends b {{ x_{hidden} = c {{ d = [{}], x = f(1, {{}}) }} }}\n", values.join(", ")).replace("{})", "2)"));
        laid_out("rows", &format!("model a extends b {{\n y{hidden} = 2 * [\n{}\n]\n z = 1 # told\n}}\n", lines.join("\n")));
    }
}
