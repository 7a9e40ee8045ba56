//! GPT-NeoX models for `transformers`: a folder that `AutoModelForCausalLM.from_pretrained` loads.
//!
//! In come the model's dimensions, read off a plan's program or given, and the values of its logical parameters; out come
//! `config.json`, `model.safetensors`, `generation_config.json` and, for a byte-level vocabulary, the tokenizer. Rows of
//! query-key-value matrices are ordered alike on both sides (per head: q, k, v), and so are the rotated entries, so values pass unchanged.

mod model;

use std::fs;
use std::path::Path;

use pleach_plan::{Dtype, Plan};
use serde_json::{Value, json};

pub use model::HfModel;

use super::{ExportError, tokenizer};
use crate::checkpoint::{Checkpoint, CheckpointError, Kind};
use crate::files::{At, remove_folder, replace, sync_folder, sync_parent};
use crate::tensor_file::{HashingWriter, Planned, encode, header};

/// Writes the model of a checkpoint into the new folder `out`, in `dtype` (f32 loses nothing of a bf16 run, whose master
/// weights are f32).
///
/// # Errors
/// A model that GPT-NeoX cannot express, `out` exists, a parameter that the checkpoint lacks, or the system's.
pub fn export(
    checkpoint: &Checkpoint,
    plan: &Plan,
    dtype: Dtype,
    out: &Path,
) -> Result<(), ExportError> {
    checkpoint.check(plan)?;
    write(out, &HfModel::of(plan)?, dtype, |name| {
        checkpoint.logical(name, Kind::Weight)
    })
}

/// Writes a model into the new folder `out`; `values` gives each logical parameter. The folder appears complete or not at all.
///
/// # Errors
/// As [`export`].
pub fn write(
    out: &Path,
    model: &HfModel,
    dtype: Dtype,
    values: impl FnMut(&str) -> Result<Vec<f64>, CheckpointError>,
) -> Result<(), ExportError> {
    if out.exists() {
        return Err(ExportError::Exists {
            path: out.to_path_buf(),
        });
    }
    let mut partial = out.as_os_str().to_os_string();
    partial.push(".partial");
    let partial = Path::new(&partial);
    remove_folder(partial)?;
    let written = write_folder(partial, model, dtype, values);
    if written.is_err() {
        remove_folder(partial)?;
    }
    written?;
    fs::rename(partial, out).at("rename", partial)?;
    Ok(sync_parent(out)?)
}

fn write_folder(
    folder: &Path,
    model: &HfModel,
    dtype: Dtype,
    values: impl FnMut(&str) -> Result<Vec<f64>, CheckpointError>,
) -> Result<(), ExportError> {
    let config = config(model, dtype)?;
    fs::create_dir_all(folder).at("create", folder)?;
    write_weights(&folder.join("model.safetensors"), model, dtype, values)?;
    let write_json = |name: &str, value: &Value| {
        let text = serde_json::to_string_pretty(value).expect("JSON values print");
        replace(&folder.join(name), text.as_bytes())
    };
    write_json("config.json", &config)?;
    write_json(
        "generation_config.json",
        &json!({ "bos_token_id": 0, "eos_token_id": 0 }),
    )?;
    if model.vocab == 256 {
        write_json("tokenizer.json", &tokenizer::tokenizer())?;
        write_json(
            "tokenizer_config.json",
            &tokenizer::configuration(model.sequence),
        )?;
    }
    Ok(sync_folder(folder)?)
}

fn write_weights(
    path: &Path,
    model: &HfModel,
    dtype: Dtype,
    mut values: impl FnMut(&str) -> Result<Vec<f64>, CheckpointError>,
) -> Result<(), ExportError> {
    let names = names(model);
    let planned = |(_, name, dims): &(String, String, Vec<u64>)| Planned {
        name: name.clone(),
        dtype,
        dims: dims.clone(),
    };
    let planned: Vec<Planned> = names.iter().map(planned).collect();
    let mut writer = HashingWriter::create(path)?;
    writer.write(&header(&planned, Some(("format", "pt"))))?;
    for (ours, _, dims) in &names {
        let values = values(ours)?;
        let wanted = dims.iter().product();
        if values.len() as u64 != wanted {
            let (name, found) = (ours.clone(), values.len());
            return Err(ExportError::Shape {
                name,
                found,
                wanted,
                dims: dims.clone(),
            });
        }
        writer.write(&encode(dtype, &values))?;
    }
    writer.finish()?;
    Ok(())
}

fn config(model: &HfModel, dtype: Dtype) -> Result<Value, ExportError> {
    let inexpressible = |what: String| Err(ExportError::Inexpressible { what });
    if model.heads == 0 || !model.hidden.is_multiple_of(model.heads) {
        return inexpressible(format!(
            "{} heads do not divide a width of {}",
            model.heads, model.hidden
        ));
    }
    let head = model.hidden / model.heads;
    if model.rotary == 0 || model.rotary > head {
        return inexpressible(format!(
            "{} of {head} entries of a head are rotated",
            model.rotary
        ));
    }
    let dtype = match dtype {
        Dtype::F64 => "float64",
        Dtype::F32 => "float32",
        Dtype::Bf16 => "bfloat16",
        Dtype::F16 => "float16",
        Dtype::I64 => return inexpressible("its weights would be integers".into()),
    };
    Ok(json!({
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "dtype": dtype,
        "vocab_size": model.vocab,
        "hidden_size": model.hidden,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "intermediate_size": model.ffn,
        "max_position_embeddings": model.sequence,
        "hidden_act": "gelu",
        "layer_norm_eps": model.eps,
        "use_parallel_residual": model.parallel_residual,
        "attention_bias": true,
        "attention_dropout": 0.0,
        "hidden_dropout": 0.0,
        "tie_word_embeddings": model.tied,
        "rotary_pct": fraction(model.rotary, head),
        "rotary_emb_base": model.rotary_base,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": model.rotary_base,
            "partial_rotary_factor": fraction(model.rotary, head)
        },
        "bos_token_id": 0,
        "eos_token_id": 0,
        "use_cache": true
    }))
}

/// The least fraction that gives `part` again when it is multiplied with `whole` and cut off, which is what readers do.
fn fraction(part: u64, whole: u64) -> f64 {
    let fraction = part as f64 / whole as f64;
    if ((whole as f64 * fraction) as u64) < part {
        fraction.next_up()
    } else {
        fraction
    }
}

/// Our name, theirs, and the shape of every parameter.
fn names(model: &HfModel) -> Vec<(String, String, Vec<u64>)> {
    let (hidden, ffn) = (model.hidden, model.ffn);
    let second_norm = if model.shared_norm {
        "attention.norm"
    } else {
        "mlp.norm"
    };
    let modules = [
        ("attention.norm", "input_layernorm", vec![hidden]),
        (second_norm, "post_attention_layernorm", vec![hidden]),
        (
            "attention.qkv",
            "attention.query_key_value",
            vec![3 * hidden, hidden],
        ),
        ("attention.output", "attention.dense", vec![hidden, hidden]),
        ("mlp.up", "mlp.dense_h_to_4h", vec![ffn, hidden]),
        ("mlp.down", "mlp.dense_4h_to_h", vec![hidden, ffn]),
    ];
    let mut names = vec![(
        "embedding.weight".to_owned(),
        "gpt_neox.embed_in.weight".to_owned(),
        vec![model.vocab, hidden],
    )];
    let mut module = |ours: String, theirs: String, dims: &[u64]| {
        names.push((
            format!("{ours}.weight"),
            format!("{theirs}.weight"),
            dims.to_vec(),
        ));
        names.push((
            format!("{ours}.bias"),
            format!("{theirs}.bias"),
            dims[..1].to_vec(),
        ));
    };
    for layer in 0..model.layers {
        for (ours, theirs, dims) in &modules {
            module(
                format!("layers.{layer}.{ours}"),
                format!("gpt_neox.layers.{layer}.{theirs}"),
                dims,
            );
        }
    }
    module(
        "head.norm".into(),
        "gpt_neox.final_layer_norm".into(),
        &[hidden],
    );
    if !model.tied {
        names.push((
            "head.weight".into(),
            "embed_out.weight".into(),
            vec![model.vocab, hidden],
        ));
    }
    names
}

#[cfg(test)]
mod tests;
