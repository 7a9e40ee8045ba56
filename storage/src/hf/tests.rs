//! Exported folders seen from the other side: `transformers` loads each family and finds a place for every tensor.
//!
//! Asks the Python environment in the user's cache; says so and does nothing where there is none. That values mean the same is held with real workers, by
//! `tests/tests/runs/hub`.

use std::path::{Path, PathBuf};
use std::process::Command;

use pleach_plan::{Activation, Dtype};

use super::decoder::{Biases, Positions, Residual};
use super::*;
use crate::init::fill_normal;

const CHECK: &str = r#"
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
for folder in sys.argv[1:]:
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"], (folder, info)
    assert model.dtype == torch.float64, (folder, model.dtype)
    text = "fn naïve() -> &'static str {\n\t\"ÿ €\"  }"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text).input_ids
    assert ids == list(text.encode()), (folder, ids)
    assert tokenizer.decode(ids) == text, folder
    assert tokenizer.eos_token_id == 0 == model.config.eos_token_id, folder
    logits = model(torch.tensor([ids])).logits
    assert logits.shape == (1, len(ids), 256) and torch.isfinite(logits).all(), folder
    assert len(model.generate(torch.tensor([ids]), max_new_tokens=3, do_sample=False)[0]) > len(ids), folder
print("equal")
"#;

const ROTARY: Positions = Positions::Rotary {
    entries: 24,
    base: 5000.0,
    scale: 1.0,
};

/// A small model with layer norms, one half behind the other.
fn plain() -> Decoder {
    Decoder {
        layers: 2,
        hidden: 72,
        heads: 3,
        kv_heads: 3,
        head_dim: 24,
        ffn: 100,
        activation: Activation::Gelu,
        is_gated: false,
        vocab: 256,
        sequence: 64,
        positions: ROTARY,
        window: None,
        has_means: true,
        eps: 1e-5,
        embedding_norm: false,
        residual: Residual::Sequential,
        biases: Biases::all(true),
        tied: false,
    }
}

/// A small model of a family.
fn model(family: Family) -> Decoder {
    let plain = plain();
    let llama = Decoder {
        has_means: false,
        is_gated: true,
        activation: Activation::Silu,
        kv_heads: 1,
        biases: Biases::all(false),
        ..plain.clone()
    };
    let learned = Positions::Learned(64);
    match family {
        Family::GptNeox => Decoder {
            positions: Positions::Rotary {
                entries: 6,
                base: 5000.0,
                scale: 1.0,
            },
            residual: Residual::ParallelSeparate,
            ..plain
        },
        Family::Gpt2 => Decoder {
            positions: learned,
            tied: true,
            ..plain
        },
        Family::Opt => Decoder {
            positions: learned,
            activation: Activation::Relu,
            ..plain
        },
        Family::Bloom => Decoder {
            positions: Positions::Alibi,
            embedding_norm: true,
            activation: Activation::GeluTanh,
            ffn: 288,
            ..plain
        },
        Family::Llama => llama,
        Family::Mistral => Decoder {
            window: Some(7),
            ..llama
        },
        Family::Qwen2 => Decoder {
            biases: Biases {
                qkv: true,
                ..Biases::all(false)
            },
            ..llama
        },
        Family::Falcon => Decoder {
            biases: Biases::all(false),
            residual: Residual::ParallelShared,
            kv_heads: 1,
            tied: true,
            ..plain
        },
    }
}

/// Any values, as many as the largest parameter has.
fn values(name: &str) -> Result<Vec<f64>, CheckpointError> {
    Ok(fill_normal(11, name, &[288 * 256], None, 0.1))
}

fn python() -> Option<PathBuf> {
    let python = dirs::cache_dir()?.join("pleach/python-2.11.0/bin/python");
    python.exists().then_some(python)
}

fn written(family: Family, model: &Decoder, out: &Path) -> Result<(), ExportError> {
    let writer = Writer {
        family,
        model,
        dtype: Dtype::F64,
        shard: 500_000,
    };
    writer.write(out, values)
}

#[test]
fn transformers_loads_what_is_written() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with torch and transformers in the cache folder");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folders = Family::ALL.map(|family| folder.path().join(family.model_type()));
    for (family, out) in Family::ALL.iter().zip(&folders) {
        written(*family, &model(*family), out).unwrap();
        assert!(
            out.join("model-00001-of-00002.safetensors").exists()
                || out.join("model-00001-of-00003.safetensors").exists()
        );
    }
    let output = Command::new(python)
        .args(["-c", CHECK])
        .args(&folders)
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
fn each_model_is_known_as_its_own_family() {
    for family in Family::ALL {
        assert_eq!(Family::of(&model(family)).unwrap(), family);
        assert_eq!(Family::called(family.model_type()), Some(family));
    }
}

#[test]
fn what_no_family_has_is_refused_with_the_nearest() {
    let told = |model: &Decoder| Family::of(model).unwrap_err().to_string();
    let sloped = Decoder {
        positions: Positions::Alibi,
        ..model(Family::Llama)
    };
    assert_eq!(
        told(&sloped),
        "no model of transformers is this one: the nearest is LLaMA, but positions do not rotate its heads"
    );
    let gated = Decoder {
        is_gated: true,
        tied: true,
        ..model(Family::Gpt2)
    };
    assert!(
        told(&gated).contains("GPT-2, but its feed-forward half has a gate"),
        "{}",
        told(&gated)
    );
}

#[test]
fn an_existing_folder_and_too_few_values_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(Family::GptNeox);
    let error = written(Family::GptNeox, &model, folder.path()).unwrap_err();
    assert!(matches!(error, ExportError::Exists { .. }), "{error}");
    let out = folder.path().join("model");
    let large = Decoder {
        vocab: 1 << 20,
        ..model
    };
    let error = written(Family::GptNeox, &large, &out).unwrap_err();
    assert!(matches!(error, ExportError::Shape { .. }), "{error}");
    assert!(!out.exists());
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "nothing is left behind");
}
