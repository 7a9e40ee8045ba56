//! The experiment's hash: wording, order, names, units, machines and placement leave it; meaning changes it.

use crate::common::{load_text, small};
use pleach_dsl::load;

fn hash(text: &str) -> String {
    let loaded = load_text(text);
    match loaded.experiment {
        Some(experiment) => experiment.hash,
        None => panic!("{}\n{text}", loaded.problems.render(false)),
    }
}

/// The small spec with lines of its own in its dataset.
fn of_data(lines: &str) -> String {
    let bytes = "tokenizer = \"bytes\"";
    small("", "").replace(bytes, &format!("{bytes}, {lines}"))
}

#[test]
fn wording_leaves_the_hash() {
    let text = small("", "");
    let reference = hash(&text);
    assert_eq!(reference.len(), 64);
    let same = [
        text.replace("layers = 4\n", "layers = 4 # deep\n\n"),
        text.replace(
            " layers = 4\n hidden = 256\n",
            " hidden = 256\n layers = 4\n",
        ),
        text.replace("experiment small", "experiment other"),
        text.replace("dataset text", "dataset words")
            .replace("data = text", "data = words"),
        text.replace("100 steps", "10 * 10 steps"),
        text.replace("16 sequences", "4Ki tokens"),
        text.replace("steps = 100 steps", "tokens = 400Ki tokens"),
        text.replace("hidden = 256", "hidden = 32 * heads"),
        text.replace("peak = 1e-3", "peak = 0.001, end = 1e-4"),
        text.replace("a100_80g { nodes = 1 }", "h100_80g { nodes = 2 }"),
        small("mlp = gelu { width = 1024 }", ""),
        small(
            "",
            "about = \"something\"\nplan { tp = 2, micro_batch = 1 sequences }\ncheckpoints { every = 10 steps }",
        ),
        text.replace(
            "peak = 1e-3",
            "peak = 1e-3, over = 50 * 2 steps, version = plain",
        ),
        small(
            "",
            "train.precision = bf16, train.accumulate = fp32, train.reduce = fp32, train.loss.z_loss = 0, train.optimizer.decay_biases = false",
        ),
        of_data(
            "pack = stream, order = counter, order_seed = seed, repeat = 4, tokens = 1B tokens",
        ),
        small("let wide = 1024\nmlp = gelu { width = wide }", ""),
        text.replace("model = transformer", "model = mine")
            + "model mine extends transformer { tied = false }\n",
    ];
    for (index, other) in same.iter().enumerate() {
        assert_ne!(*other, text, "case {index} changes nothing");
        assert_eq!(hash(other), reference, "case {index}");
    }
}

#[test]
fn meaning_changes_the_hash() {
    let text = small("", "");
    let other = [
        text.replace("layers = 4", "layers = 6"),
        text.replace("peak = 1e-3", "peak = 2e-3"),
        text.replace("100 steps", "101 steps"),
        text.replace("16 sequences", "32 sequences"),
        text.replace("hf:a/b", "hf:a/c"),
        of_data("pack = documents"),
        of_data("reset_attention_mask = true"),
        of_data("eod_mask_loss = true"),
        of_data("order = gpt_neox"),
        of_data("order_seed = 7"),
        of_data("records = documents { text = \"body\" }"),
        of_data("records = instructions"),
        of_data("split = [99%, 1%]"),
        of_data("append_eod = true"),
        text.replace("lr = cosine", "lr = constant"),
        small("positions = none", ""),
        small("", "seed = 7"),
        small("", "train.precision = fp32"),
        small("", "train.precision = fp16"),
        small("", "train.precision = fp16 { window = 500 steps }"),
        small("", "train.accumulate = bf16"),
        small("", "train.accumulate = bf16, train.reduce = fp32"),
        small("", "train.loss.z_loss = 1e-4"),
        small("", "train.optimizer.decay_norms = true"),
        small("", "train.optimizer = adam { weight_decay = 0.1 }"),
        text.replace("peak = 1e-3", "peak = 1e-3, over = 200 steps"),
        text.replace("peak = 1e-3", "peak = 1e-3, version = neox_v1"),
        small("", "train.clip = none"),
        small("residual = parallel", ""),
        small("residual = parallel { norms = shared }", ""),
    ];
    let mut hashes: Vec<String> = other.iter().map(|text| hash(text)).collect();
    hashes.push(hash(&text));
    let count = hashes.len();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), count);
}

#[test]
fn the_order_of_a_mix_leaves_the_hash_and_its_shares_change_it() {
    let mix = |rows: &str| {
        let table = format!(
            "tokenizer = \"bytes\"
mix = table {{
name | weight | files
{rows}
}}
"
        );
        hash(&small("", "").replace("tokenizer = \"bytes\"", &table))
    };
    let reference = mix("a | 25% | \"*.rs\"\nb | 75% | \"*.md\"");
    assert_eq!(
        mix("b | 3 / 4 | \"*.md\"\na | 0.25 | [\"*.rs\"]"),
        reference
    );
    assert_ne!(mix("a | 20% | \"*.rs\"\nb | 80% | \"*.md\""), reference);
    assert_ne!(mix("a | 25% | \"*.toml\"\nb | 75% | \"*.md\""), reference);
}

#[test]
fn phases_count_by_what_they_do() {
    let phases = |rows: &str| {
        let train = format!(
            "train {{ lr = cosine {{ peak = 1e-3 }}
phases = table {{
name | lasts | context | global_batch | lr
{rows}
}} }}"
        );
        let text = small("", "");
        let start = text.find("train {").unwrap();
        let end = start + text[start..].find('\n').unwrap();
        hash(&format!("{}{train}{}", &text[..start], &text[end..]))
    };
    let one = "a | 400Ki tokens | 128 tokens | 32 sequences | -\n";
    let two = "b | 10 steps | - | - | linear { to = 0 }";
    let reference = phases(&format!("{one}{two}"));
    let same = [
        format!("{one}{two}").replace("a |", "first |"),
        format!("{one}b | 40Ki tokens | 128 tokens | 4Ki tokens | linear {{ to = 0 }}"),
        format!("a | 100 steps | 128 tokens | 4Ki tokens | -\n{two}"),
        format!("a | 409_599 tokens | 128 tokens | 4Ki tokens | -\n{two}"),
    ];
    for (index, other) in same.iter().enumerate() {
        assert_eq!(phases(other), reference, "case {index}");
    }
    let other = [
        format!("{one}{two}").replace("400Ki", "401Ki"),
        format!("{one}{two}").replace("128 tokens", "256 tokens"),
        format!("{one}{two}").replace("to = 0", "to = 1e-5"),
        format!("{one}{two}").replace("linear", "cosine"),
        format!("{one}b | 10 steps | - | - | -"),
        "b | 10 steps | 128 tokens | 32 sequences | -\na | 400Ki tokens | - | - | -".to_string(),
    ];
    let mut hashes: Vec<String> = other.iter().map(|rows| phases(rows)).collect();
    hashes.extend([reference, hash(&small("", ""))]);
    let count = hashes.len();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), count);
}

#[test]
fn settings_count_like_words_of_the_spec() {
    let text = small("", "");
    let files = std::collections::BTreeMap::from([("main.pleach".to_string(), text.clone())]);
    let settings = [
        ("train.steps".to_string(), "50".to_string()),
        ("plan.tp".to_string(), "4".to_string()),
    ];
    let loaded = load("main.pleach", &files, &settings, None);
    let experiment = loaded.experiment.unwrap();
    assert_eq!(
        experiment.hash,
        hash(&text.replace("100 steps", "50 steps"))
    );
    assert_eq!(
        experiment.origins["train.steps"].to_string(),
        "command line: --set train.steps=50"
    );
    assert_eq!(
        experiment.origins["model.hidden"].to_string(),
        "override, main.pleach:6"
    );
    assert_eq!(
        experiment.origins["cluster.memory"].to_string(),
        "preset, presets/clusters.pleach:21"
    );
    assert_eq!(experiment.origins["model.mlp.width"].to_string(), "default");
}

/// Paths with values that differ from those of [`small`], one for each kind of place a value can stand in.
const EDITS: [(&str, &str); 14] = [
    ("seed", "7"),
    ("model.layers", "6"),
    ("model.mlp.width", "3 * hidden"),
    ("model.positions", "none"),
    ("model.tied", "true"),
    ("train.steps", "50 steps"),
    ("train.global_batch", "32 sequences"),
    ("train.lr", "constant { peak = 2e-3 }"),
    ("train.optimizer.weight_decay", "1%"),
    ("train.precision", "fp16"),
    ("train.clip", "none"),
    ("cluster.nodes", "2"),
    ("plan.tp", "4"),
    ("plan.zero", "if dp > 1 then 1 else 0"),
];

#[test]
fn setting_a_value_equals_editing_the_file() {
    let text = small("", "");
    // A block of its own is the nearest word; it stands for editing the line itself.
    let edited = |edits: &[(&str, &str)]| {
        let lines: Vec<String> = edits
            .iter()
            .map(|(path, value)| format!("{path} = {value}"))
            .collect();
        let base = text.replace("experiment small {", "experiment base {");
        format!(
            "{base}\nexperiment small extends base {{\n{}\n}}\n",
            lines.join("\n")
        )
    };
    let pairs = EDITS
        .iter()
        .flat_map(|one| EDITS.iter().map(move |other| [*one, *other]));
    for edits in pairs.filter(|[one, other]| one.0 < other.0) {
        let files = std::collections::BTreeMap::from([("main.pleach".to_string(), text.clone())]);
        let settings = edits.map(|(path, value)| (path.to_string(), value.to_string()));
        let set = load("main.pleach", &files, &settings, None);
        let edited = load_text(&edited(&edits));
        assert!(
            set.hash.is_some(),
            "{edits:?} {}",
            set.problems.render(false)
        );
        assert_eq!(set.hash, edited.hash, "{edits:?}");
        assert_eq!(set.placement_hash, edited.placement_hash, "{edits:?}");
        let values = |loaded: &pleach_dsl::Loaded| -> Vec<(String, String)> {
            let cells = loaded.cells.iter();
            cells
                .map(|(path, cell)| (path.clone(), cell.value.clone()))
                .collect()
        };
        assert_eq!(values(&set), values(&edited), "{edits:?}");
    }
}

#[test]
fn a_placement_never_changes_the_experiment() {
    let placed = |settings: &[(&str, &str)]| {
        let settings: Vec<(String, String)> = settings
            .iter()
            .map(|(path, value)| (path.to_string(), value.to_string()))
            .collect();
        let file = "examples/neox_20b.pleach";
        let loaded = load(file, &crate::common::Repository, &settings, None);
        let experiment = loaded.experiment.unwrap();
        (
            experiment.hash,
            loaded.placement_hash.unwrap(),
            experiment.model,
        )
    };
    let (hash, placement, model) = placed(&[]);
    for settings in [
        &[("plan.tp", "4")][..],
        &[("plan.tp", "8"), ("plan.pp", "2")],
        &[("plan.zero", "3"), ("plan.pp", "1")],
        &[("plan.recompute", "none"), ("plan.micro_batch", "1")],
        &[("cluster", "h100_80g { nodes = 3 }")],
        &[("plan.engine", "pleach")],
    ] {
        let (same, other, rows) = placed(settings);
        assert_eq!(same, hash, "{settings:?}");
        assert_ne!(other, placement, "{settings:?}");
        assert_eq!(rows, model, "{settings:?}");
    }
}

#[test]
fn wording_leaves_the_placement() {
    let hashes = |rest: &str| {
        let loaded = load_text(&small("", rest));
        loaded
            .placement_hash
            .unwrap_or_else(|| panic!("{}", loaded.problems.render(false)))
    };
    let reference = hashes("plan { tp in [1, 2], zero = 1\n require memory.peak <= 40 GiB }");
    assert_eq!(
        hashes(
            "plan { let most = 2 # two\n zero = most - 1, tp in [1, most]\n require memory.peak <= 40 GiB because \"room\" }"
        ),
        reference
    );
    for same in [
        "plan { tp in [2, 1], zero = 1\n require memory.peak <= 40_960 MiB }",
        "plan { tp in [1, 2], zero = 1\n require memory.peak <= 40 GiB\n require memory.peak <= 40 GiB }",
    ] {
        assert_eq!(hashes(same), reference, "{same}");
    }
    assert_eq!(
        hashes("plan { zero = 1\n require memory.peak <= 40 GiB\n require tp <= 8 }"),
        hashes("plan { zero = 1 }\n require plan.tp <= 4 * 2\n require memory.peak <= 40 GiB"),
    );
    assert_ne!(
        hashes("plan { tp in [1, 4], zero = 1\n require memory.peak <= 40 GiB }"),
        reference
    );
    assert_ne!(
        hashes("plan { tp in [1, 2], zero = 1\n require memory.peak <= 41 GiB }"),
        reference
    );
    assert_ne!(hashes("plan { tp in [1, 2], zero = 1 }"), reference);
    assert_ne!(
        hashes("plan { tp in [1, 2], zero = 1\n require memory.peak <= 40 GiB\n minimize time }"),
        reference
    );
}
