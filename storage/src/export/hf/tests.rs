//! An exported folder seen from the other side: `transformers` loads it and finds every value where it belongs.
//!
//! Asks the Python environment in the user's cache; says so and does nothing where there is none.

use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::init::fill_normal;

const CHECK: &str = r#"
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, parallel = sys.argv[1], sys.argv[2] == "true"
model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"], info
config = model.config
assert model.dtype == torch.float64, model.dtype
assert config.use_parallel_residual == parallel and config.layer_norm_eps == 3e-5, config
assert model.gpt_neox.layers[0].attention.rotary_ndims == 6
assert config.rope_parameters["rope_theta"] == 5000.0, config
assert not config.tie_word_embeddings
state = {name.replace("lm_head", "embed_out"): value for name, value in model.state_dict().items()}
for line in open(sys.argv[3]):
    name, index, value = line.split()
    found = state[name].flatten()[int(index)].item()
    assert found == float(value), (name, index, found, value)
text = "fn naïve() -> &'static str {\n\t\"ÿ €\"  }"
tokenizer = AutoTokenizer.from_pretrained(folder)
ids = tokenizer(text).input_ids
assert ids == list(text.encode()), ids
assert tokenizer.decode(ids) == text
assert tokenizer.eos_token_id == 0 == config.eos_token_id
logits = model(torch.tensor([ids])).logits
assert logits.shape == (1, len(ids), 256) and torch.isfinite(logits).all()
assert len(model.generate(torch.tensor([ids]), max_new_tokens=3, do_sample=False)[0]) > len(ids)
print("equal")
"#;

fn model(parallel_residual: bool) -> HfModel {
    HfModel {
        layers: 2,
        hidden: 72,
        heads: 3,
        ffn: 100,
        vocab: 256,
        sequence: 64,
        rotary: 6,
        rotary_base: 5000.0,
        eps: 3e-5,
        parallel_residual,
        shared_norm: false,
        tied: false,
    }
}

/// The shape of a logical parameter of [`model`].
fn dims(name: &str) -> Vec<u64> {
    let module = name
        .strip_suffix(".weight")
        .or(name.strip_suffix(".bias"))
        .unwrap();
    let module = module
        .split('.')
        .skip_while(|part| *part == "layers" || part.parse::<u32>().is_ok());
    let shape: &[u64] = match module.collect::<Vec<_>>().join(".").as_str() {
        "embedding" | "head" => &[256, 72],
        "attention.norm" | "mlp.norm" | "head.norm" => &[72],
        "attention.qkv" => &[216, 72],
        "attention.output" => &[72, 72],
        "mlp.up" => &[100, 72],
        "mlp.down" => &[72, 100],
        other => panic!("{other} is no module"),
    };
    if name.ends_with(".bias") {
        shape[..1].to_vec()
    } else {
        shape.to_vec()
    }
}

fn values(name: &str) -> Result<Vec<f64>, CheckpointError> {
    Ok(fill_normal(11, name, &dims(name), None, 0.1))
}

fn python() -> Option<PathBuf> {
    let python = dirs::cache_dir()?.join("pleach/python-2.11.0/bin/python");
    python.exists().then_some(python)
}

/// For some elements of some parameters: the name they should have there, the place and the value.
fn expectations() -> String {
    let pairs = [
        ("embedding.weight", "gpt_neox.embed_in.weight"),
        (
            "layers.0.attention.norm.weight",
            "gpt_neox.layers.0.input_layernorm.weight",
        ),
        (
            "layers.1.attention.norm.bias",
            "gpt_neox.layers.1.input_layernorm.bias",
        ),
        (
            "layers.1.mlp.norm.weight",
            "gpt_neox.layers.1.post_attention_layernorm.weight",
        ),
        (
            "layers.0.attention.qkv.weight",
            "gpt_neox.layers.0.attention.query_key_value.weight",
        ),
        (
            "layers.1.attention.qkv.bias",
            "gpt_neox.layers.1.attention.query_key_value.bias",
        ),
        (
            "layers.0.attention.output.weight",
            "gpt_neox.layers.0.attention.dense.weight",
        ),
        (
            "layers.1.mlp.up.weight",
            "gpt_neox.layers.1.mlp.dense_h_to_4h.weight",
        ),
        (
            "layers.0.mlp.down.weight",
            "gpt_neox.layers.0.mlp.dense_4h_to_h.weight",
        ),
        (
            "layers.0.mlp.down.bias",
            "gpt_neox.layers.0.mlp.dense_4h_to_h.bias",
        ),
        ("head.norm.bias", "gpt_neox.final_layer_norm.bias"),
        ("head.weight", "embed_out.weight"),
    ];
    let mut lines = String::new();
    for (ours, theirs) in pairs {
        let values = values(ours).unwrap();
        for index in [0, values.len() / 3, values.len() - 1] {
            lines.push_str(&format!("{theirs} {index} {:?}\n", values[index]));
        }
    }
    lines
}

fn check(python: &Path, parallel: bool) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    write(&out, &model(parallel), Dtype::F64, values).unwrap();
    let expected = folder.path().join("expected.txt");
    fs::write(&expected, expectations()).unwrap();
    let output = Command::new(python)
        .args(["-c", CHECK])
        .args([
            &out,
            Path::new(if parallel { "true" } else { "false" }),
            &expected,
        ])
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && output.stdout == b"equal\n",
        "{errors}"
    );
}

#[test]
fn transformers_loads_what_is_written() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with torch and transformers in the cache folder");
        return;
    };
    check(&python, true);
    check(&python, false);
}

#[test]
fn a_folder_that_exists_and_a_model_without_rotation_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = write(folder.path(), &model(true), Dtype::F32, values).unwrap_err();
    assert!(matches!(error, ExportError::Exists { .. }), "{error}");
    let out = folder.path().join("model");
    let error = write(
        &out,
        &HfModel {
            rotary: 0,
            ..model(true)
        },
        Dtype::F32,
        values,
    )
    .unwrap_err();
    assert!(
        error.to_string().contains("0 of 24 entries of a head"),
        "{error}"
    );
    let error = write(
        &out,
        &HfModel {
            ffn: 101,
            ..model(true)
        },
        Dtype::F32,
        values,
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`layers.0.mlp.up.weight` has 7200 values, 7272"),
        "{error}"
    );
    assert!(!out.exists());
}

#[test]
fn a_fraction_gives_its_part_again() {
    for whole in 1..400 {
        for part in 1..=whole {
            assert_eq!(
                (whole as f64 * fraction(part, whole)) as u64,
                part,
                "{part}/{whole}"
            );
        }
    }
}
