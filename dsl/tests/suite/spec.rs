//! Runs the literate suites in `tests/spec/`: the specification of the language and of its messages is what is tested.
//!
//! A heading names a case, prose says why, and fenced blocks are the case:
//!
//! - `pleach`: the spec. Without an `experiment` of its own it is laid over `tests/spec/base.pleach`, and lines count from the block.
//! - `sample`: the name of a file in `tests/spec/samples`, which is the spec; every case may import these files.
//! - `pleach NAME`: a file it imports; `pleach mended`: the same spec put right, which must load without a word.
//! - `repeated`: a number and a line, which stands as often where the spec says `# repeated`.
//! - `formatted`: the spec laid out; `outline`, `offers`, `withheld`: what an editor is told. `format.rs` and `editor.rs` read such cases; they are not loaded.
//! - `runs`: names of the runs that the file's sweeps have; the whole file is then checked, and `name` chooses the run for `values`.
//! - `planned`: what is reported to whoever wants to plan it, beyond the problems.
//! - `set`: lines of `--set`; `values`: `path = value`, as `explain` shows it; `problems`: everything that is reported, in order.
//!
//! `PLEACH_SPEC=write cargo test -p pleach-dsl --test suite spec` writes the `problems` and `values` that came out into the suites, to be read in the
//! diff against what they ought to be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use pleach_dsl::{Loaded, Problems, Spec};

/// One fenced block: its info string, and its text.
pub struct Block {
    pub info: String,
    pub text: String,
}

/// One heading with its blocks. A sample is read when its case is.
pub struct Case {
    pub title: String,
    pub blocks: Vec<Block>,
}

impl Case {
    pub fn block(&self, info: &str) -> Option<&str> {
        self.blocks
            .iter()
            .find(|block| block.info == info)
            .map(|block| block.text.as_str())
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/spec")
}

/// All suites, sorted by path.
pub fn suites() -> Vec<PathBuf> {
    let mut open = vec![folder()];
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                std::fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The samples of the design, by their files' names.
fn samples() -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder().join("samples")).unwrap();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().to_string();
        (name, std::fs::read_to_string(path).unwrap())
    };
    entries.map(|entry| read(entry.unwrap().path())).collect()
}

/// Cuts a suite into its cases.
pub fn cases(text: &str) -> Vec<Case> {
    let mut cases = vec![Case {
        title: String::new(),
        blocks: Vec::new(),
    }];
    let mut block: Option<Block> = None;
    for line in text.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (Some(_), Some("")) => {
                let block = block.take().unwrap();
                let blocks = &mut cases.last_mut().unwrap().blocks;
                if block.info == "sample" {
                    let info = "pleach".to_string();
                    let text = samples()[block.text.trim()].clone();
                    blocks.push(Block { info, text });
                }
                blocks.push(block);
            }
            (Some(open), _) => writeln!(open.text, "{line}").unwrap(),
            (None, Some(info)) => {
                block = Some(Block {
                    info: info.trim().to_string(),
                    text: String::new(),
                })
            }
            (None, None) => {
                if let Some(title) = line.strip_prefix('#') {
                    cases.push(Case {
                        title: title.trim_start_matches('#').trim().to_string(),
                        blocks: Vec::new(),
                    });
                }
            }
        }
    }
    assert!(block.is_none(), "a block is not closed");
    cases.retain(|case| !case.blocks.is_empty());
    cases
}

/// Lines that stand in front of a block that is laid over the base.
const HEADER: &str = "import \"base.pleach\" as base\nimport \"presets/clusters.pleach\"\nexperiment case extends base.base {\n";

/// A spec of a case as a whole file, and how many lines were put in front of it.
pub fn whole(case: &Case, text: &str) -> (String, usize) {
    let whole =
        text.lines().any(|line| line.starts_with("experiment ")) || case.block("whole").is_some();
    if whole {
        (text.to_string(), 0)
    } else {
        (format!("{HEADER}{text}}}\n"), HEADER.lines().count())
    }
}

/// A spec of a case, read.
struct Read {
    spec: Spec,
    name: Option<String>,
    /// How many lines were put in front of it.
    above: usize,
}

impl Read {
    fn load(&mut self) -> Loaded {
        self.spec.load(self.name.as_deref())
    }
}

/// Reads one spec of a case.
fn read(case: &Case, text: &str) -> Read {
    let (text, above) = whole(case, text);
    Read {
        above,
        ..read_text(case, &text)
    }
}

/// Loads a whole text with the other files and settings of a case.
pub fn load_text(case: &Case, text: &str) -> Loaded {
    read_text(case, text).load()
}

/// Reads a whole text with the other files and settings of a case.
fn read_text(case: &Case, text: &str) -> Read {
    let mut files = samples();
    files.insert("main.pleach".to_string(), text.to_string());
    files.insert(
        "base.pleach".to_string(),
        std::fs::read_to_string(folder().join("base.pleach")).unwrap(),
    );
    for block in &case.blocks {
        if let Some(name) = block
            .info
            .strip_prefix("pleach ")
            .filter(|name| *name != "mended")
        {
            files.insert(name.to_string(), block.text.clone());
        }
    }
    let settings: Vec<(String, String)> = case
        .block("set")
        .unwrap_or_default()
        .lines()
        .map(|line| line.split_once('=').expect("a setting has a `=`"))
        .map(|(path, value)| (path.to_string(), value.to_string()))
        .collect();
    Read {
        spec: Spec::read("main.pleach", &files, &settings),
        name: case.block("name").map(|name| name.trim().to_string()),
        above: 0,
    }
}

/// The names of the runs; of many only the first.
fn runs(spec: &Spec) -> String {
    const SHOWN: u64 = 12;
    let mut text = String::new();
    for sweep in spec.sweeps() {
        for run in 0..sweep.total().min(SHOWN) {
            writeln!(text, "{}", sweep.run_name(&sweep.picks(run))).unwrap();
        }
        if sweep.total() > SHOWN {
            writeln!(text, "and {} more", sweep.total() - SHOWN).unwrap();
        }
    }
    text
}

/// The cases of all suites that have problems and are specs of one run.
pub fn cases_of_all_suites() -> Vec<Case> {
    suites()
        .iter()
        .flat_map(|path| cases(&std::fs::read_to_string(path).unwrap()))
        .filter(|case| case.block("problems").is_some() && case.block("runs").is_none())
        .collect()
}

/// Every problem in the form of the suites.
fn problems(problems: &Problems, above: usize) -> String {
    let mut text = String::new();
    let sources = problems.sources();
    for problem in problems.iter() {
        let position = |place: pleach_dsl::syntax::Place| {
            let (line, column) = sources.position(place);
            let name = &sources.get(place.file).name;
            match name.as_str() {
                "main.pleach" => format!("{}:{column}", line.saturating_sub(above)),
                name => format!("{name}:{line}:{column}"),
            }
        };
        writeln!(
            text,
            "{} {} {}",
            position(problem.at.place),
            problem.severity.word(),
            problem.code
        )
        .unwrap();
        writeln!(text, "  {}", problem.title).unwrap();
        for line in problem.picture.iter().flat_map(|picture| picture.lines()) {
            writeln!(text, "  | {line}").unwrap();
        }
        if !problem.at.text.is_empty() {
            writeln!(text, "  - {}", problem.at.text).unwrap();
        }
        for label in &problem.others {
            writeln!(text, "  - {} {}", position(label.place), label.text).unwrap();
        }
        if let Some(help) = &problem.help {
            writeln!(text, "  help: {help}").unwrap();
        }
    }
    text
}

/// The values of the paths a `values` block names.
fn values(loaded: &Loaded, expected: &str) -> String {
    let mut text = String::new();
    for line in expected.lines() {
        let path = line.split_once(" = ").map_or(line, |(path, _)| path).trim();
        let value = match path {
            "hash" => loaded.hash.clone(),
            path => loaded.cells.get(path).map(|cell| cell.value.clone()),
        };
        writeln!(
            text,
            "{path} = {}",
            value.unwrap_or_else(|| "(none)".to_string())
        )
        .unwrap();
    }
    text
}

/// A spec with the line that its case repeats.
fn repeated(case: &Case, text: &str) -> String {
    let Some((times, line)) = case
        .block("repeated")
        .and_then(|block| block.split_once(' '))
    else {
        return text.to_string();
    };
    let times = times.parse().expect("a number, then a line");
    text.replace("# repeated\n", &line.repeat(times))
}

/// What is wrong with a case; and its blocks as they came out.
fn check(case: &Case) -> (Vec<String>, BTreeMap<String, String>) {
    let mut wrong = Vec::new();
    let mut actual = BTreeMap::new();
    let Some(text) = case.block("pleach") else {
        return (vec!["no `pleach` block".to_string()], actual);
    };
    let mut read = read(case, &repeated(case, text));
    let above = read.above;
    let found = if case.block("runs").is_some() {
        actual.insert("runs".to_string(), runs(&read.spec));
        problems(&read.spec.check(None).problems, above)
    } else {
        let loaded = read.load();
        if loaded.hash.is_none() && loaded.problems.errors() == 0 {
            wrong.push("no experiment and no error".to_string());
        }
        problems(&loaded.problems, above)
    };
    actual.insert("problems".to_string(), found);
    if case.block("planned").is_some() {
        let text = match read.load().into_result() {
            Ok(_) => String::new(),
            Err(missing) => problems(&missing, above),
        };
        actual.insert("planned".to_string(), text);
    }
    for (block, found) in &actual {
        let expected = case.block(block).unwrap_or_default();
        if found != expected {
            wrong.push(format!("{block}:\n{found}expected:\n{expected}"));
        }
    }
    if let Some(expected) = case.block("values") {
        let found = values(&read.load(), expected);
        if found != expected {
            wrong.push(format!("values:\n{found}expected:\n{expected}"));
        }
        actual.insert("values".to_string(), found);
    }
    if let Some(mended) = case.block("pleach mended") {
        let mut read = self::read(case, mended);
        let found = if case.block("runs").is_some() {
            read.spec.check(None).problems
        } else {
            match read.load().into_result() {
                Ok((_, warnings)) => warnings,
                Err(problems) => problems,
            }
        };
        if !found.is_empty() {
            wrong.push(format!(
                "the mended spec has problems:\n{}",
                problems(&found, read.above)
            ));
        }
    }
    (wrong, actual)
}

/// A suite with its results put in.
fn rewritten(text: &str, results: &mut dyn Iterator<Item = BTreeMap<String, String>>) -> String {
    let mut output = String::new();
    let mut current: BTreeMap<String, String> = BTreeMap::new();
    let mut block: Option<String> = None;
    let mut fresh = false;
    for line in text.lines() {
        if let (None, Some(info)) = (&block, line.strip_prefix("```")) {
            if fresh {
                current = results.next().unwrap_or_default();
                fresh = false;
            }
            block = Some(info.trim().to_string());
            writeln!(output, "{line}").unwrap();
            output.push_str(current.get(info.trim()).map_or("", String::as_str));
            continue;
        }
        if line == "```" {
            block = None;
        } else if block
            .as_ref()
            .is_some_and(|info| current.contains_key(info))
        {
            continue;
        }
        fresh |= block.is_none() && line.starts_with('#');
        writeln!(output, "{line}").unwrap();
    }
    output
}

#[test]
fn suites_hold() {
    let writing = std::env::var("PLEACH_SPEC").is_ok_and(|mode| mode == "write");
    let mut failures = Vec::new();
    let mut count = 0;
    for path in suites() {
        let text = std::fs::read_to_string(&path).unwrap();
        let cases = cases(&text);
        let name = path.file_name().unwrap().to_string_lossy().to_string();
        let mut results = Vec::new();
        for case in &cases {
            count += 1;
            if ["formatted", "outline", "offers"]
                .iter()
                .any(|info| case.block(info).is_some())
            {
                results.push(BTreeMap::new());
                continue;
            }
            let (wrong, actual) = check(case);
            failures.extend(
                wrong
                    .into_iter()
                    .map(|wrong| format!("{name}: {}\n{wrong}", case.title)),
            );
            results.push(actual);
        }
        if writing {
            std::fs::write(&path, rewritten(&text, &mut results.into_iter())).unwrap();
        }
    }
    assert!(count > 100, "only {count} cases were found");
    assert!(
        failures.is_empty(),
        "{} of {count} cases fail\n\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Codes that stand in the source of the language.
fn codes_in_source() -> BTreeSet<String> {
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut codes = BTreeSet::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                std::fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        codes.extend(
            text.split('"')
                .filter(|piece| piece.starts_with("pleach::") && !piece.contains(' '))
                .map(str::to_string),
        );
    }
    codes
}

#[test]
fn every_code_has_a_page_that_shows_it() {
    let mut shown = BTreeSet::new();
    for path in suites()
        .iter()
        .filter(|path| path.parent().unwrap().ends_with("errors"))
    {
        for case in cases(&std::fs::read_to_string(path).unwrap()) {
            let code = case.title.clone();
            let blocks = ["problems", "planned"].map(|info| case.block(info).unwrap_or_default());
            let problems = blocks
                .into_iter()
                .find(|block| !block.is_empty())
                .unwrap_or_default();
            assert!(
                problems.contains(&format!(" {code}\n")),
                "the page of {code} does not show it"
            );
            let page = pleach_dsl::page(&code).expect("the page is compiled in");
            assert!(page.starts_with(&format!("## {code}\n")) && page.contains(problems));
            shown.insert(code);
        }
    }
    let mut known = codes_in_source();
    // A fault of the program itself, to which no spec leads; and a spec too long for a page, which `robust.rs` makes.
    known.remove("pleach::fault");
    known.remove("pleach::cell::chain");
    assert_eq!(
        known.difference(&shown).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "codes without a page"
    );
    assert_eq!(pleach_dsl::codes().len(), shown.len());
    assert_eq!(
        shown.difference(&known).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "pages without a code"
    );
}

/// Each of the seven samples of the design has a case that says what it means.
#[test]
fn samples_of_the_design_are_stated() {
    let suite = std::fs::read_to_string(folder().join("samples.md")).unwrap();
    let names = samples();
    assert_eq!(names.len(), 7);
    for name in names.keys() {
        let stated = cases(&suite).iter().any(|case| {
            let own = case.block("sample").map(str::trim) == Some(name);
            let import = format!("import \"{name}\"");
            let imports = case
                .block("pleach")
                .is_some_and(|text| text.contains(&import));
            (own || imports) && case.block("values").is_some()
        });
        assert!(stated, "{name}");
    }
}
