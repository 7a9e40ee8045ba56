//! An experiment written again as it stands is the same experiment with the same wishes, and everything in it says where it came from.

use std::collections::BTreeMap;

use crate::common::{Repository, small};
use pleach_dsl::{Loaded, Loader, SHIPPED, Spec, format};

/// The resolved spec of what was loaded.
fn resolved(loaded: &Loaded) -> String {
    assert!(
        !loaded.lines.is_empty(),
        "{}",
        loaded.problems.render(false)
    );
    let lines: Vec<&str> = loaded.lines.iter().map(|line| line.text.as_str()).collect();
    let text = lines.join("\n");
    format("resolved", &text)
        .unwrap_or_else(|problems| panic!("{}\n{text}", problems.render(false)))
}

/// The repository with the two files that samples import and no reader has.
struct WithData;

impl Loader for WithData {
    fn load(&self, path: &str) -> Result<String, pleach_dsl::Failure> {
        let dataset = |name, tokenizer| {
            format!("dataset {name} {{ source = \"hf:a/{name}\", tokenizer = \"hf:{tokenizer}\" }}")
        };
        match path {
            "tests/spec/samples/data/web.pleach" => Ok(dataset("mix", "a/tokenizer")),
            "tests/spec/samples/data/curated.pleach" => {
                Ok(dataset("textbook", "EleutherAI/gpt-neox-20b"))
            }
            _ => Repository.load(path),
        }
    }
}

/// Nothing but one text.
struct Alone(String);

impl Loader for Alone {
    fn load(&self, path: &str) -> Result<String, pleach_dsl::Failure> {
        match path {
            "resolved.pleach" => Ok(self.0.clone()),
            _ => Err(pleach_dsl::Failure::Missing),
        }
    }
}

/// Holds that the resolved spec needs no other file, has both hashes, and is its own resolved spec.
fn holds(what: &str, loaded: &Loaded) {
    let text = resolved(loaded);
    let again = Spec::read("resolved.pleach", &Alone(text.clone()), &[]).load(None);
    let shown = || format!("{what}\n{}\n{text}", again.problems.render(false));
    assert_eq!(again.problems.errors(), 0, "{}", shown());
    assert_eq!(again.hash, loaded.hash, "{}", shown());
    let experiments = (&again.experiment, &loaded.experiment);
    if let (Some(again), Some(first)) = experiments {
        assert_eq!(again.model, first.model, "{what}");
        assert_eq!(again.data, first.data, "{what}");
    }
    assert_eq!(again.placement_hash, loaded.placement_hash, "{}", shown());
    assert_eq!(resolved(&again), text, "{what}");
}

/// Holds it of every experiment and of the first, middle and last run of every sweep.
fn holds_of_all(file: &str, loader: &dyn Loader) -> usize {
    let mut spec = Spec::read(file, loader, &[]);
    let names: Vec<String> = spec.experiments().iter().map(ToString::to_string).collect();
    let mut count = names.len();
    for name in names {
        holds(&format!("{file}: {name}"), &spec.load(Some(&name)));
    }
    for sweep in 0..spec.sweeps().len() {
        let total = spec.sweeps()[sweep].total();
        for run in [0, total / 2, total - 1] {
            let loaded = spec.load_run(sweep, run);
            holds(&format!("{file}: {:?}", loaded.name), &loaded);
            count += 1;
        }
    }
    count
}

#[test]
fn examples_and_samples_stay_the_same_experiments() {
    let mut count = 0;
    for folder in ["examples", "tests/spec/samples"] {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let mut files: Vec<_> = std::fs::read_dir(format!("{root}/{folder}"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".pleach") && name != "mistake.pleach")
            .collect();
        files.sort();
        for file in files {
            count += holds_of_all(&format!("{folder}/{file}"), &WithData);
        }
    }
    assert!(count >= 10, "{count}");
}

#[test]
fn every_published_model_stays_itself() {
    let (file, text) = SHIPPED
        .iter()
        .find(|(file, _)| *file == "presets/models.pleach")
        .unwrap();
    let declared = text.lines().filter_map(|line| {
        let mut words = line.strip_prefix("model ")?.split(' ');
        words.next()
    });
    let names: Vec<&str> = declared.collect();
    let mut held = 0;
    for name in names {
        let base = small("", "").replace("experiment small {", "experiment base {");
        let text = format!(
            "import \"{file}\"\n{base}\nexperiment one extends base {{ model = {name} }}\n"
        );
        let files = BTreeMap::from([("main.pleach".to_string(), text)]);
        let loaded = Spec::read("main.pleach", &files, &[]).load(Some("one"));
        if loaded.problems.errors() == 0 {
            holds(name, &loaded);
            held += 1;
        }
    }
    assert!(held >= 46, "{held}");
}

#[test]
fn what_is_written_by_hand_survives() {
    let cases = [
        small("", "plan { let most = 4\n tp in [1, 2, 4]\n require tp <= most because \"a \\\"reason\\\"\"\n maximize tp within 1.5% then minimize time }"),
        small("", "").replace("nodes = 1", "nodes in 1..4, price = 2.5 usd/hour, price_source = \"https://a.b\", price_date = \"2026-11-09\""),
        small("init = small_init { output = wang_init }", "train.optimizer.betas = [1 / 3, 0.95]"),
        small("", "")
            .replace("cosine { peak = 1e-3 }", "mine { peak = sqrt(2) * 1e-3 }") + "schedule mine extends cosine { warmup = 1% of steps }\n",
        small("", "train { phases = table {\n name | lasts | context | lr\n a | 50 steps | 128 tokens | linear { to = 1e-4 }\n b | 60 steps | - | -\n} }")
            .replace("train { steps = 100 steps, global_batch = 16 sequences, lr = cosine { peak = 1e-3 } }", "train.global_batch = 16 sequences"),
        small("positions = none\nlet odd = 3\nwindow = odd * 16 tokens", "about = \"tab\\t \\\\ end\""),
    ];
    for text in cases {
        let files = BTreeMap::from([("main.pleach".to_string(), text.clone())]);
        let loaded = Spec::read("main.pleach", &files, &[]).load(None);
        assert_eq!(
            loaded.problems.errors(),
            0,
            "{}\n{text}",
            loaded.problems.render(false)
        );
        holds(&text, &loaded);
    }
}

#[test]
fn every_value_has_an_origin() {
    for file in [
        "examples/neox_20b.pleach",
        "examples/tour.pleach",
        "tests/spec/samples/pythia.pleach",
    ] {
        let mut spec = Spec::read(
            file,
            &Repository,
            &[("train.clip".to_string(), "2".to_string())],
        );
        let loaded = match spec.sweeps().len() {
            0 => spec.load(None),
            _ => spec.load_run(0, 0),
        };
        let set = loaded.lines.iter().filter(|line| line.text.contains(" = "));
        let paths = set.filter_map(|line| line.path.as_ref());
        assert!(paths.clone().count() > 80, "{file}");
        for path in paths {
            let cell = loaded.cells.get(path);
            let origin = &cell
                .unwrap_or_else(|| panic!("{file}: `{path}` has no origin"))
                .origin;
            let place = (origin.line, origin.file.is_empty());
            assert!(place.0 > 0 || place.1, "{file}: {path} {origin:?}");
        }
        assert_eq!(
            loaded.cells["train.clip"].origin.to_string(),
            "command line: --set train.clip=2"
        );
    }
}
