//! `pleach data` as its users meet it: from text to a token file, into it, and what a run takes of it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{run, stderr, stdout};

const TRAIN: [&str; 8] = [
    "data",
    "tokenizer",
    "train",
    "in",
    "--vocab",
    "300",
    "--bad-lines",
    "skip",
];
const TOKENIZE: [&str; 9] = [
    "data",
    "tokenize",
    "in",
    "--out",
    "web",
    "--bad-lines",
    "skip",
    "--tokenizer",
    "tokenizer.json",
];

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("it has a folder")).expect("a folder");
    fs::write(path, text).expect("it can be written");
}

/// Text of two forms, one line of it bad.
fn texts(folder: &Path) {
    let code = "fn main() {\n        let number = 12;\n}\n".repeat(40);
    write(&folder.join("in/a.txt"), &code);
    let lines = "{\"text\": \"let it be\"}\n{\"body\": 1}\n{\"text\": \"naïve\"}\n";
    write(&folder.join("in/b.jsonl"), lines);
}

fn fine(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

fn told(folder: &Path, arguments: &[&str], code: i32, part: &str) {
    let output = run(folder, arguments);
    assert!(stderr(&output).contains(part), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(code));
}

#[test]
fn text_becomes_a_token_file_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    texts(folder);
    assert!(fine(folder, &TRAIN).starts_with("tokenizer.json: 300 ids\nblake3 "));
    told(folder, &TRAIN, 1, "tokenizer.json is there already");
    let strict = [&TOKENIZE[..5], &TOKENIZE[7..]].concat();
    told(folder, &strict, 1, "in/b.jsonl:2: the key is missing");
    told(folder, &strict, 1, "`--bad-lines skip`");
    let output = run(folder, &TOKENIZE);
    assert!(
        stdout(&output).contains("in 3 documents of 2 files"),
        "{}",
        stdout(&output)
    );
    assert!(
        stderr(&output).contains("1 record was left out"),
        "{}",
        stderr(&output)
    );
    assert!(fine(folder, &TOKENIZE).contains("it was there already"));
    let mut ended = TOKENIZE;
    let out = ended.iter().position(|it| *it == "web").expect("an output");
    ended[out] = "web.bin";
    assert!(fine(folder, &ended).contains("it was there already"));
    let other = [&TOKENIZE[..8], &["bytes"]].concat();
    told(folder, &other, 1, "web.bin is there already");
    assert!(fine(folder, &[&other[..], &["--force"]].concat()).contains("tokens in 3 documents"));
}

#[test]
fn a_token_file_can_be_looked_at_and_verified() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    texts(folder);
    fine(folder, &TRAIN);
    fine(folder, &TOKENIZE);
    let screen = fine(folder, &["data", "inspect", "web.idx", "--samples", "2"]);
    let parts = [
        "stored as u16",
        "tokenizer.json, 300 ids",
        "document 1,",
        "let it be<|endoftext|>",
    ];
    assert!(parts.iter().all(|part| screen.contains(part)), "{screen}");
    let json = fine(folder, &["data", "inspect", "web", "--json"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["sequences"], 3);
    assert!(
        fine(folder, &["data", "verify", "web"]).contains("the hash is that of its description")
    );
    told(
        folder,
        &["data", "verify", "web.bin", "--vocab", "50"],
        1,
        "expected 0 to 49",
    );
    for (name, byte) in [("web.idx", 60), ("web.bin", 5)] {
        let path = folder.join(name);
        let mut bytes = fs::read(&path).expect("it can be read");
        bytes[byte] ^= 1;
        fs::write(&path, &bytes).expect("it can be written");
        told(folder, &["data", "verify", "web"], 2, name);
        bytes[byte] ^= 1;
        fs::write(&path, bytes).expect("it can be written");
    }
}

#[test]
fn a_full_disk_is_said_and_the_same_command_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write(&folder.join("in/a.txt"), &"some words\n".repeat(40_000));
    let arguments = "data tokenize in --out all --tokenizer bytes";
    let line = format!("trap '' XFSZ && ulimit -f 100 && exec \"$0\" {arguments}");
    let mut command = std::process::Command::new("sh");
    command.current_dir(folder).args(["-c", &line]);
    command.arg(env!("CARGO_BIN_EXE_pleach"));
    let output = command.output().expect("there is a shell");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let told = stderr(&output);
    let parts = ["all.partial/tokens.bin", "make room there"];
    assert!(parts.iter().all(|part| told.contains(part)), "{told}");
    assert!(!folder.join("all.bin").exists());
    let arguments: Vec<&str> = arguments.split(' ').collect();
    assert!(fine(folder, &arguments).contains("440,001 tokens"));
}

#[test]
fn index_files_are_written_and_held_against_the_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    texts(folder);
    fine(
        folder,
        &[
            "data",
            "tokenize",
            "in/a.txt",
            "--out",
            "a",
            "--tokenizer",
            "bytes",
        ],
    );
    let arguments = [
        "data",
        "index",
        "a.bin",
        "--sequence",
        "16",
        "--samples",
        "200",
        "--seed",
        "7",
    ];
    let screen = fine(folder, &arguments);
    let name = "a_train_indexmap_200ns_16sl_7s_packedpi_ac_shuffle_idx.npy";
    assert!(screen.contains(name), "{screen}");
    let check = [&arguments[..], &["--check"]].concat();
    assert!(fine(folder, &check).contains("as they should be"));
    let path = folder.join(name);
    let mut bytes = fs::read(&path).expect("it is there");
    bytes.swap(128, 132);
    fs::write(&path, bytes).expect("it can be written");
    told(folder, &check, 1, "shuffle_idx.npy: entry 0 is");
}

#[test]
fn a_tokenizer_of_the_hub_is_read_from_its_cache_or_said_where_to_put() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    texts(folder);
    fine(folder, &TRAIN);
    let pleach = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pleach"));
        let arguments = "data tokenize in/a.txt --out hub --tokenizer hf:someone/words";
        command.current_dir(folder).args(arguments.split(' '));
        command
            .env_remove("HF_HUB_CACHE")
            .env("HF_HUB_OFFLINE", "1")
            .env("HF_HOME", folder.join("hf"));
        command.output().expect("it starts")
    };
    let place = folder.join("hf/hub/models--someone--words/snapshots/main/tokenizer.json");
    let output = pleach();
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output).replace(['\n', ' ', '│'], "");
    assert!(told.contains(&place.display().to_string()), "{told}");
    fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
    fs::copy(folder.join("tokenizer.json"), &place).expect("it can be copied");
    let output = pleach();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn what_means_nothing_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = |arguments: &[&str], code, part| told(folder.path(), arguments, code, part);
    told(&["data", "inspect", "none"], 2, "none.bin");
    told(
        &[
            "data",
            "tokenize",
            "*.txt",
            "--out",
            "a",
            "--tokenizer",
            "bytes",
        ],
        1,
        "means no file",
    );
    told(
        &["data", "tokenize", ".", "--out", "a", "--tokenizer", "gpt2"],
        1,
        "`gpt2`",
    );
    told(
        &["data", "mix", "a.pleach", "--steps", "7"],
        1,
        "two numbers",
    );
}

/// A spec over text and a token file, trained on for so many steps.
fn spec(folder: &Path, vocabulary: u64, order: &str) {
    let text = format!(
        "import \"presets/clusters.pleach\"\n\
         dataset own {{\n  source = \"file:in\"\n  tokenizer = \"file:tokenizer.json\"\n  bad_lines = skip\n  order = {order}\n\
         mix = table {{\n    name   | source         | files     | weight\n    code   | -              | [\"*.txt\"] | 75%\n    \
         tokens | \"file:web.bin\" | []        | 25%\n  }}\n}}\n\
         experiment small {{\n  model = transformer {{ layers = 2, hidden = 64, heads = 2, context = 16 tokens, vocab = {vocabulary} }}\n  \
         data = own\n  train {{ steps = 40 steps, global_batch = 4 sequences, lr = cosine {{ peak = 1e-3 }} }}\n  \
         cluster = this_machine {{ gpus_per_node = 1 }}\n}}\n"
    );
    write(&folder.join("own.pleach"), &text);
}

#[test]
fn a_mix_is_told_as_it_is_consumed() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    texts(folder);
    fine(folder, &TRAIN);
    fine(folder, &TOKENIZE);
    let mut hashes = Vec::new();
    for order in ["counter", "gpt_neox", "sequential"] {
        spec(folder, 300, order);
        let output = run(
            folder,
            &["data", "mix", "own.pleach", "--steps", "10..30", "--json"],
        );
        assert!(output.status.success(), "{}", stderr(&output));
        let json: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        assert_eq!(json["steps"], serde_json::json!([10, 30]));
        assert_eq!(json["components"][0]["samples"], 60, "{order}");
        assert_eq!(json["components"][1]["tokens"], 20 * 16, "{order}");
        hashes.push(json["order"].clone());
    }
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
    let output = run(folder, &["data", "mix", "own.pleach"]);
    let screen = stdout(&output);
    assert!(
        screen.contains("steps 0..40 of 40: 160 samples"),
        "{screen}"
    );
    assert!(screen.contains("data order "), "{screen}");
    assert!(
        stderr(&output).contains("is passed over"),
        "{}",
        stderr(&output)
    );
    let order = screen
        .split("data order ")
        .nth(1)
        .expect("it is told")
        .trim();
    let output = run(folder, &["plan", "own.pleach"]);
    let told_of_plan = stderr(&output);
    assert!(
        told_of_plan.contains(&format!("data order {order}")),
        "{told_of_plan}"
    );
    assert!(told_of_plan.contains("is passed over"), "{told_of_plan}");
    spec(folder, 290, "counter");
    told(folder, &["data", "mix", "own.pleach"], 1, "290 rows");
    let other = [&TOKENIZE[..8], &["bytes", "--force"]].concat();
    fine(folder, &other);
    spec(folder, 300, "counter");
    told(
        folder,
        &["data", "mix", "own.pleach"],
        1,
        "ids of the tokenizer",
    );
}

#[test]
fn a_mix_is_refused_that_no_run_would_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    texts(folder);
    fine(folder, &TRAIN);
    fine(folder, &TOKENIZE);
    let mix = ["data", "mix", "own.pleach"];
    spec(folder, 300, "megatron");
    told(folder, &mix, 1, "the order `megatron`");
    spec(folder, 300, "gpt_neox, pack = documents");
    told(folder, &mix, 1, "the order `gpt_neox` of whole documents");
}

#[test]
fn records_that_a_spec_passes_over_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    texts(folder);
    fine(folder, &TRAIN);
    fine(folder, &TOKENIZE);
    spec(folder, 300, "counter");
    let path = folder.join("own.pleach");
    let text = fs::read_to_string(&path).expect("it is there");
    write(&path, &text.replace("*.txt", "*"));
    let mix = ["data", "mix", "own.pleach"];
    for _ in 0..2 {
        let output = run(folder, &mix);
        assert!(output.status.success(), "{}", stderr(&output));
        let told = stderr(&output);
        assert!(told.contains("1 record was left out"), "{told}");
        assert!(told.contains("b.jsonl:2"), "{told}");
    }
}
