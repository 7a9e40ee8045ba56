//! The samples of the design have the parameters that `tests/spec/samples.md` states, counted from their parts. What else that suite states the
//! language holds by itself.

// Suite and samples are files of the repository.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::path::Path;

use pleach_planner::graph::weights;

/// The fenced blocks of one heading, by their info strings.
type Blocks = BTreeMap<String, String>;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/spec")
        .join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn blocks(section: &str) -> Blocks {
    // Between two fences a piece is prose and the next a block, in turns.
    let inside = section.split("\n```").skip(1).step_by(2);
    let cut = |block: &str| {
        let (info, text) = block.split_once('\n').unwrap_or((block, ""));
        (info.to_owned(), text.trim().to_owned())
    };
    inside.map(cut).collect()
}

/// Parameters of the run of a case.
fn parameters(case: &Blocks) -> u64 {
    let sample = |name: &str| (name.to_owned(), read(&format!("samples/{name}")));
    let mut files = BTreeMap::from(["neox_20b.pleach", "hybrid_52b.pleach"].map(sample));
    files.insert("base.pleach".to_owned(), read("base.pleach"));
    for (info, text) in case {
        if let Some(name) = info.strip_prefix("pleach ") {
            files.insert(name.to_owned(), text.clone());
        }
    }
    let spec = match case.get("sample") {
        Some(name) => sample(name).1,
        None => case["pleach"].clone(),
    };
    files.insert("main.pleach".to_owned(), spec);
    let machines = [("cluster".to_owned(), "a100_80g".to_owned())];
    let settings = if case.contains_key("name") {
        &machines[..]
    } else {
        &[]
    };
    let name = case.get("name").map(String::as_str);
    let loaded = pleach_dsl::load("main.pleach", &files, settings, name);
    let problems = loaded.problems.render(false);
    let experiment = loaded.experiment.unwrap_or_else(|| panic!("{problems}"));
    weights::parameters(&experiment.model)
}

#[test]
fn samples_have_the_parameters_that_are_stated() {
    let suite = read("samples.md");
    let mut count = 0;
    for section in suite.split("\n## ").skip(1) {
        let case = blocks(section);
        let Some(stated) = case.get("parameters") else {
            continue;
        };
        let title = section.lines().next().unwrap_or_default();
        assert_eq!(parameters(&case).to_string(), *stated, "{title}");
        count += 1;
    }
    assert_eq!(count, 6);
}
