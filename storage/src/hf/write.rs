//! A folder that `AutoModelForCausalLM.from_pretrained` loads.
//!
//! In come a model, read off a plan's program or given, and the values of its logical parameters; out come `config.json`, the tensors in one file or in
//! shards with an index, `generation_config.json` and, for a byte-level vocabulary, the tokenizer. The folder appears complete or not at all.

use std::fs;
use std::path::Path;

use pleach_plan::{Dtype, Plan};
use serde_json::{Map, Value, json};

use super::family::end_of_text;
use super::tensors::Theirs;
use super::{Decoder, ExportError, Family, tokenizer};
use crate::checkpoint::{Checkpoint, CheckpointError, Kind};
use crate::files::{At, remove_folder, replace, sync_folder, sync_parent};
use crate::tensor_file::{HashingWriter, Planned, encode, header};

/// Bytes of tensors beyond which another file is begun.
const SHARD: u64 = 5_000_000_000;

/// Writes the model of a checkpoint into the new folder `out`, in `dtype` (f32 loses nothing of a bf16 run, whose master
/// weights are f32); says which family it is: `from`, whose weights it began with, where that is still so.
///
/// # Errors
/// A model that no family can express, `out` exists, a parameter that the checkpoint lacks, or the system's.
pub fn export(
    checkpoint: &Checkpoint,
    plan: &Plan,
    (dtype, from): (Dtype, Option<Family>),
    out: &Path,
) -> Result<Family, ExportError> {
    checkpoint.check(plan)?;
    let model = Decoder::of(plan)?;
    let from = from.filter(|from| from.lacks(&model).is_empty());
    let family = from.map_or_else(|| Family::of(&model), Ok)?;
    let writer = Writer {
        family,
        model: &model,
        dtype,
        shard: SHARD,
    };
    writer.write(out, |name| checkpoint.logical(name, Kind::Weight))?;
    Ok(family)
}

/// What is written, and how.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'m> {
    /// As a model of which family.
    pub family: Family,
    /// The model.
    pub model: &'m Decoder,
    /// The type of its tensors.
    pub dtype: Dtype,
    /// Bytes of tensors beyond which another file is begun.
    pub shard: u64,
}

impl Writer<'_> {
    /// Writes the model into the new folder `out`; `values` gives each logical parameter.
    ///
    /// # Errors
    /// `out` exists, values of another number, or the system's.
    pub fn write(
        &self,
        out: &Path,
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
        let written = self.folder(partial, values);
        if written.is_err() {
            remove_folder(partial)?;
        }
        written?;
        fs::rename(partial, out).at("rename", partial)?;
        Ok(sync_parent(out)?)
    }

    fn folder(
        &self,
        folder: &Path,
        values: impl FnMut(&str) -> Result<Vec<f64>, CheckpointError>,
    ) -> Result<(), ExportError> {
        let mut config = self.family.config(self.model);
        config["dtype"] = json!(self.dtype()?);
        fs::create_dir_all(folder).at("create", folder)?;
        self.weights(folder, values)?;
        let end = end_of_text(self.model);
        let mut files = vec![
            ("config.json", config),
            (
                "generation_config.json",
                json!({ "bos_token_id": end, "eos_token_id": end }),
            ),
        ];
        if self.model.vocab == 256 {
            let configuration = tokenizer::configuration(self.model.sequence);
            files.push(("tokenizer.json", tokenizer::tokenizer()));
            files.push(("tokenizer_config.json", configuration));
        }
        for (name, value) in &files {
            write_json(&folder.join(name), value)?;
        }
        Ok(sync_folder(folder)?)
    }

    /// What torch calls the type.
    fn dtype(&self) -> Result<&'static str, ExportError> {
        match self.dtype {
            Dtype::F64 => Ok("float64"),
            Dtype::F32 => Ok("float32"),
            Dtype::Bf16 => Ok("bfloat16"),
            Dtype::F16 => Ok("float16"),
            Dtype::I64 => Err(ExportError::Inexpressible {
                what: "its weights would be integers".into(),
            }),
        }
    }

    /// The tensors in one file, or in several with an index.
    fn weights(
        &self,
        folder: &Path,
        values: impl FnMut(&str) -> Result<Vec<f64>, CheckpointError>,
    ) -> Result<(), ExportError> {
        let mut values = Values {
            give: values,
            last: None,
        };
        let shards = self.shards();
        let count = shards.len();
        let (mut total, mut index) = (0, Map::new());
        for (number, tensors) in shards.iter().enumerate() {
            let name = match count {
                1 => "model.safetensors".to_owned(),
                _ => format!("model-{:05}-of-{count:05}.safetensors", number + 1),
            };
            let planned: Vec<Planned> = tensors.iter().map(|theirs| self.planned(theirs)).collect();
            let path = folder.join(&name);
            let mut writer = HashingWriter::create(&path)?;
            writer.write(&header(&planned, Some(("format", "pt"))))?;
            for (theirs, planned) in tensors.iter().zip(&planned) {
                writer.write(&encode(self.dtype, &values.of(theirs)?))?;
                total += planned.bytes();
                index.insert(planned.name.clone(), json!(name));
            }
            writer.finish()?;
        }
        if count > 1 {
            let index = json!({ "metadata": { "total_size": total }, "weight_map": index });
            write_json(&folder.join("model.safetensors.index.json"), &index)?;
        }
        Ok(())
    }

    fn planned(&self, theirs: &Theirs) -> Planned {
        Planned {
            name: theirs.name.clone(),
            dtype: self.dtype,
            dims: theirs.dims.clone(),
        }
    }

    /// The tensors of each file, in order; one that alone is too large has a file of its own.
    fn shards(&self) -> Vec<Vec<Theirs>> {
        let (mut shards, mut bytes) = (vec![Vec::new()], 0);
        for theirs in self.family.tensors(self.model) {
            let own = self.planned(&theirs).bytes();
            if bytes > 0 && bytes + own > self.shard {
                shards.push(Vec::new());
                bytes = 0;
            }
            bytes += own;
            if let Some(last) = shards.last_mut() {
                last.push(theirs);
            }
        }
        shards
    }
}

fn write_json(path: &Path, value: &Value) -> Result<(), ExportError> {
    let text = serde_json::to_string_pretty(value).expect("JSON values print");
    Ok(replace(path, text.as_bytes())?)
}

/// Values of parameters; the last one is kept, since several tensors may be cut from it.
struct Values<F> {
    give: F,
    last: Option<(String, Vec<f64>)>,
}

impl<F: FnMut(&str) -> Result<Vec<f64>, CheckpointError>> Values<F> {
    /// The values of a tensor as it is stored.
    fn of(&mut self, theirs: &Theirs) -> Result<Vec<f64>, ExportError> {
        let (rows, width) = theirs.rows();
        let mut values = Vec::with_capacity((rows * width) as usize);
        for strip in &theirs.strips {
            let count = (strip.rows * width) as usize;
            let Some((name, first)) = &strip.from else {
                values.resize(values.len() + count, 0.0);
                continue;
            };
            let own = self.parameter(name)?;
            let first = (first * width) as usize;
            let part = own.get(first..first + count);
            values.extend_from_slice(part.ok_or_else(|| ExportError::Shape {
                name: name.clone(),
                found: own.len(),
                wanted: (first + count) as u64,
                dims: theirs.dims.clone(),
            })?);
        }
        Ok(match theirs.is_transposed {
            true => transposed(&values, width as usize),
            false => values,
        })
    }

    fn parameter(&mut self, name: &str) -> Result<&[f64], ExportError> {
        if self.last.as_ref().is_none_or(|(last, _)| last != name) {
            self.last = Some((name.to_owned(), (self.give)(name)?));
        }
        Ok(self.last.as_ref().map_or(&[], |(_, values)| values))
    }
}

/// Rows of so many elements, columns first.
pub(super) fn transposed(values: &[f64], width: usize) -> Vec<f64> {
    let column = |column: usize| values.iter().skip(column).step_by(width).copied();
    (0..width).flat_map(column).collect()
}
