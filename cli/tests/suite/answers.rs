//! What `plan` answers beside the plan: why a field has its value, and why another one was not taken.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{run, stderr, stdout};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Plans the published run with more arguments.
fn plan(arguments: &[&str]) -> std::process::Output {
    let all = [&["plan", "examples/neox_20b.pleach"], arguments].concat();
    run(&root(), &all)
}

#[test]
fn why_tells_of_every_value_what_it_would_give() {
    let text = stdout(&plan(&["--why", "tp"]));
    let told = text.split("why tp = 2? ").nth(1).expect("it is answered");
    assert!(told.starts_with("`plan.tp`: 2 (override"), "{told}");
    let values = ["1  ", "4  ", "8  "].map(|value| format!("\n    {value}"));
    assert!(values.iter().all(|value| told.contains(value)), "{told}");
    assert!(
        told.contains("\n  > 2  ") && told.contains("chosen"),
        "{told}"
    );
    assert!(
        told.contains("slower: ") && told.contains("does not fit"),
        "{told}"
    );
    let heads = "tp 3, 6, 12, 24, 48, 96: 64 attention heads do not divide by it";
    assert!(told.contains(heads), "{told}");
    assert!(
        told.lines().all(|line| line.chars().count() <= 80),
        "{told}"
    );
}

#[test]
fn why_and_why_not_say_the_same_of_a_value() {
    let output = plan(&["--why", "tp", "--why-not", "tp = 8", "--json"]);
    let told: Value = serde_json::from_str(&stdout(&output)).expect("one object");
    let values = told["why"]["values"].as_array().expect("values");
    let eight = values.iter().find(|value| value["value"] == "8");
    assert_eq!(eight, Some(&told["why_not"]));
    let best = &told["why_not"]["best"];
    let ratio = best["step_ratio"].as_f64().expect("a ratio");
    let steps = [&best["time"], &told["time"]].map(|time| time["step_s"].as_f64().expect("a step"));
    assert!((ratio - steps[0] / steps[1]).abs() < 1e-9 && ratio > 1.0);
}

#[test]
fn a_question_that_is_none_names_the_fields() {
    for arguments in [["--why", "speed"], ["--why-not", "tp"]] {
        let output = plan(&arguments);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("pleach::plan::question"), "{told}");
        assert!(told.contains("micro_batch"), "{told}");
    }
}

/// A published configuration, as it lies beside the weights.
const LLAMA: &str = r#"{"architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": 4096,
"intermediate_size": 11008, "max_position_embeddings": 2048, "model_type": "llama", "num_attention_heads": 32,
"num_hidden_layers": 32, "rms_norm_eps": 1e-06, "vocab_size": 32000, "num_mtp_modules": 1}"#;

#[test]
fn fit_answers_for_a_configuration_a_preset_and_a_spec() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), LLAMA).unwrap();
    let ask = |config: &str| {
        let output = run(
            folder.path(),
            &["fit", config, "--on", "2 x 8 h100_80g", "--batch", "64"],
        );
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        (stdout(&output), stderr(&output))
    };
    let (text, told) = ask("config.json");
    for part in [
        "it fits",
        "6.74 B parameters",
        "micro-batches of up to",
        "between",
        "sequences of 2048 tokens",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(told.contains("`num_mtp_modules`"), "{told}");
    // The preset is the same model, so the answer is the same, and so is that for the spec of the question.
    let answer = |text: &str| {
        text[text.find("placement").unwrap()..text.find("assumed").unwrap()].to_owned()
    };
    assert_eq!(answer(&ask("llama_7b").0), answer(&text));
    let spec = run(
        folder.path(),
        &[
            "fit",
            "config.json",
            "--on",
            "2 x 8 h100_80g",
            "--batch",
            "64",
            "--emit",
            "spec",
        ],
    );
    std::fs::write(folder.path().join("one.pleach"), stdout(&spec)).unwrap();
    let checked = run(folder.path(), &["check", "one.pleach"]);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    assert!(ask("one.pleach").0.contains("it fits"));
}

#[test]
fn fit_takes_a_name_of_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder
        .path()
        .join("hf/hub/models--someone--llama/snapshots/main");
    std::fs::create_dir_all(&kept).unwrap();
    std::fs::write(kept.join("config.json"), LLAMA).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pleach"))
        .args(["fit", "hf:someone/llama", "--on", "2 x 8 h100_80g"])
        .env_remove("HF_HUB_CACHE")
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_HOME", folder.path().join("hf"))
        .output()
        .unwrap();
    assert!(
        stdout(&output).contains("6.74 B parameters"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn fit_says_what_would_help_and_what_it_cannot_read() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |arguments: &[&str]| {
        let output = run(folder.path(), &[&["fit"], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
        stderr(&output)
    };
    let full = ask(&["llama_65b", "--on", "1 x 4 a100_40g"]);
    assert!(
        full.contains("memory::too_large") && full.contains("nodes fit"),
        "{full}"
    );
    assert!(ask(&["llama_8b", "--on", "a100_40g"]).contains("did you mean `llama_7b`?"));
    assert!(ask(&["llama_7b", "--on", "2 x 8"]).contains("fit::machines"));
    assert!(ask(&["llama_7b"]).contains("fit::machines"));
    assert!(ask(&["llama_7b", "--on", "a100_40gb"]).contains("fit::spec"));
    std::fs::write(
        folder.path().join("config.json"),
        "{\"model_type\": \"mpt\"}",
    )
    .unwrap();
    let unknown = ask(&["config.json", "--on", "a100_40g"]);
    assert!(
        unknown.contains("fit::config") && unknown.contains("gpt_neox"),
        "{unknown}"
    );
}

#[test]
fn a_measurement_is_named_and_moves_every_figure() {
    let open = ["--set", "plan.pp=auto", "--json"];
    let told = |more: &[&str]| -> Value {
        let output = plan(&[&open[..], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        serde_json::from_str(&stdout(&output)).expect("one object")
    };
    let step = |of: &Value| of["time"]["step_s"].as_f64().expect("a step");
    let plain = told(&[]);
    let measured = format!("step={}s", step(&plain) * 1.5);
    let observed = told(&["--observed", &measured]);
    assert!((step(&observed) / step(&plain) - 1.5).abs() < 1e-6);
    let other = step(&observed["alternatives"][0]) / step(&plain["alternatives"][0]);
    assert!((other - 1.5).abs() < 0.2, "{other}");
    let about = observed["observed"][0].as_str().expect("it is told");
    assert!(about.contains("computing is multiplied by 1."), "{about}");
    assert_eq!(plain["observed"], Value::Array(Vec::new()));
    for wrong in ["step=fast", "memory=1MiB"] {
        let output = plan(&["--observed", wrong]);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("pleach::plan::observed"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn the_exhaustive_search_agrees() {
    let told = |more: &[&str]| -> Value {
        let open = [
            "--set",
            "plan.pp=auto",
            "--set",
            "plan.micro_batch=auto",
            "--json",
        ];
        serde_json::from_str(&stdout(&plan(&[&open[..], more].concat()))).expect("one object")
    };
    let (pruned, whole) = (told(&[]), told(&["--exhaustive"]));
    assert_eq!(pruned["placement"], whole["placement"]);
    assert_eq!(pruned["alternatives"], whole["alternatives"]);
    let of = |told: &Value, what: &str| told["search"][what].as_u64().expect("a count");
    assert_eq!(of(&pruned, "candidates"), of(&whole, "candidates"));
    assert!(of(&pruned, "simulated") < of(&whole, "simulated"));
}

#[test]
fn a_question_about_a_phase_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let mix = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/mix.pleach");
    let ask = |arguments: &[&str]| run(folder.path(), &[&["plan", mix], arguments].concat());
    let placement = |arguments: &[&str]| {
        let output = ask(&[&["--emit", "placement"], arguments].concat());
        let placement: Value = serde_json::from_str(&stdout(&output)).unwrap();
        (placement, stderr(&output))
    };
    let (first, told) = placement(&[]);
    assert!(told.contains("the phase short; --phase asks"), "{told}");
    let (second, told) = placement(&["--phase", "long", "--set", "plan.micro_batch=1"]);
    assert!(!told.contains("--phase asks"), "{told}");
    assert_ne!(first, second);
    let output = ask(&["--phase", "middle", "--why", "tp"]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("`short`, `long`"), "{told}");
    // What was measured in one phase is taken into the predictions of all.
    let seconds = |arguments: &[&str]| {
        let output = ask(&[&["--json"], arguments].concat());
        let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
        let phases = report["phases"].as_array().unwrap().clone();
        let step = |phase: &Value| phase["time"]["step_s"].as_f64().unwrap();
        phases.iter().map(step).collect::<Vec<f64>>()
    };
    let usual = seconds(&[]);
    let slow = format!("step={}s", usual[1] * 3.0);
    let slower = seconds(&["--phase", "long", "--observed", &slow]);
    assert_eq!(slower.len(), 2);
    assert!(
        slower[0] > usual[0] * 1.5 && slower[1] > usual[1] * 2.5,
        "{usual:?} {slower:?}"
    );
}

/// Two processes over a search with everything open: the same plan file, the same screen, the same figures but for the time it took.
#[test]
fn the_same_spec_gives_the_same_bytes_again() {
    let folder = tempfile::tempdir().unwrap();
    let planned = |name: &str| {
        let file = folder.path().join(name);
        let path = file.to_str().expect("the path is text");
        let open = ["tp", "pp", "recompute", "micro_batch"];
        let open: Vec<String> = open.map(|field| format!("plan.{field}=auto")).to_vec();
        let settings = open.iter().flat_map(|setting| ["--set", setting]);
        let asked: Vec<&str> = settings.collect();
        let screen = plan(&[&asked[..], &["--out", path]].concat());
        assert_eq!(screen.status.code(), Some(0), "{}", stderr(&screen));
        let told = plan(&[&asked[..], &["--json"]].concat());
        let mut told: Value = serde_json::from_str(&stdout(&told)).expect("one object");
        told["search"]["seconds"] = Value::Null;
        let screen = stdout(&screen).replace(path, "FILE");
        (std::fs::read(&file).expect("a plan"), screen, told)
    };
    let [one, other] = ["one.json", "other.json"].map(planned);
    assert!(one.2["search"]["simulated"].as_u64() > Some(1));
    assert_eq!(one, other);
}
