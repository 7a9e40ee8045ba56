//! A folder that `transformers` wrote, as the weights of a plan's model: opened, held against the model, read slice by slice.
//!
//! In comes a folder with `config.json` and safetensors, in one file or in shards with an index; out comes any stretch of any of our parameters, as exact
//! `f64`. Opening looks at headers alone, and whatever is missing, too much or of another shape is told at once. Pickle is never read.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pleach_plan::{Dtype, Plan};
use serde_json::Value;

use super::tensors::Theirs;
use super::write::transposed;
use super::{Decoder, ExportError, Family};
use crate::checkpoint::{Needed, gather};
use crate::files::{At, FileError, Stored};
use crate::lockfile::Content;
use crate::tensor_file::{decode, known_dtype, read_header};

/// The one file.
pub const WHOLE: &str = "model.safetensors";
/// The index of many.
pub const INDEX: &str = "model.safetensors.index.json";
/// The configuration beside them.
pub const CONFIG: &str = "config.json";

/// Why a folder cannot be begun from.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// There are no weights, or only pickled ones.
    #[error("{} holds no `{WHOLE}` and no `{INDEX}`{rest}", path.display())]
    NoWeights {
        /// The folder.
        path: PathBuf,
        /// What is there instead.
        rest: &'static str,
    },
    /// A file is not what it should be.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The plan's model is none that such folders hold.
    #[error(transparent)]
    Model(#[from] ExportError),
    /// The folder is of a family that cannot be the plan's model.
    #[error("{} is a {family}, and the spec's model is none: {}", path.display(), lacks.join(", and "))]
    OtherFamily {
        /// The folder.
        path: PathBuf,
        /// Its family.
        family: &'static str,
        /// Why not.
        lacks: Vec<String>,
    },
    /// Tensors do not fit the model.
    #[error("{} does not hold the weights of this model:\n{}", path.display(), problems.join("\n"))]
    Tensors {
        /// The folder.
        path: PathBuf,
        /// All that is missing, too much, or of another shape.
        problems: Vec<String>,
    },
}

/// A tensor in a file.
#[derive(Debug)]
struct Held {
    file: usize,
    dtype: Dtype,
    dims: Vec<u64>,
    /// Where its first byte lies in the file.
    start: u64,
}

/// Neighbouring rows of one of our parameters in one of their tensors.
#[derive(Clone, Copy, Debug)]
struct Rows {
    first: u64,
    count: u64,
    tensor: usize,
    at: u64,
}

/// The weights of a folder, found to be those of a plan's model.
#[derive(Debug)]
pub struct Weights {
    files: Vec<Stored>,
    tensors: Vec<(Theirs, Held)>,
    /// By our parameter, in the order of its rows.
    rows: BTreeMap<String, Vec<Rows>>,
    /// The last tensor that was turned around.
    turned: RefCell<Option<(usize, Vec<f64>)>>,
}

impl Weights {
    /// Opens a folder and holds its tensors against the model of a plan.
    ///
    /// # Errors
    /// Another family, or tensors that are missing, too much, of another shape or of no known type: all of them at once.
    pub fn open(folder: &Path, plan: &Plan) -> Result<Weights, ImportError> {
        let model = Decoder::of(plan)?;
        let family = family(folder)?;
        let lacks = family.lacks(&model);
        if !lacks.is_empty() {
            return Err(ImportError::OtherFamily {
                path: folder.to_path_buf(),
                family: family.name(),
                lacks,
            });
        }
        let (files, mut found) = headers(folder)?;
        let mut problems = Vec::new();
        let mut there = BTreeMap::new();
        for (name, held) in std::mem::take(&mut found) {
            match family.tensor(&name, model.tied) {
                Some(own) => drop(there.insert(own, (name, held))),
                None => continue,
            }
        }
        let mut tensors = Vec::new();
        for theirs in family.tensors(&model) {
            match there.remove(&theirs.name) {
                None => problems.push(format!("`{}` is missing", theirs.name)),
                Some((name, held)) if held.dims != theirs.dims => problems.push(format!(
                    "`{name}` is {:?}, the spec's model needs {:?}",
                    held.dims, theirs.dims
                )),
                Some((_, held)) => tensors.push((theirs, held)),
            }
        }
        let unexpected = there.into_values();
        problems.extend(
            unexpected
                .map(|(name, _)| format!("`{name}` is there and the spec's model has it not")),
        );
        if !problems.is_empty() {
            return Err(ImportError::Tensors {
                path: folder.to_path_buf(),
                problems,
            });
        }
        Ok(Weights {
            files,
            rows: inverted(&tensors),
            tensors,
            turned: RefCell::default(),
        })
    }

    /// The weights that a rank of `plan` needs of a bucket, padding included.
    ///
    /// # Errors
    /// The system's.
    pub fn fill(&self, plan: &Plan, rank: u32, needed: &Needed) -> Result<Vec<f64>, FileError> {
        gather(
            plan,
            rank,
            needed,
            |_, _| Ok(()),
            |name, start, out| self.read(name, start, out),
        )
    }

    /// Copies elements of one of our parameters from `start` on into `out`.
    fn read(&self, name: &str, start: u64, out: &mut [f64]) -> Result<(), FileError> {
        let all = self.rows.get(name).map_or(&[][..], Vec::as_slice);
        let mut done = 0;
        for rows in all {
            let (_, width) = self.tensors[rows.tensor].0.rows();
            let (first, end) = (rows.first * width, (rows.first + rows.count) * width);
            let next = start + done as u64;
            if !(first..end).contains(&next) {
                continue;
            }
            let taken = ((end - next) as usize).min(out.len() - done);
            let from = rows.at * width + (next - first);
            self.copy(rows.tensor, from, &mut out[done..done + taken])?;
            done += taken;
            if done == out.len() {
                break;
            }
        }
        Ok(())
    }

    /// Copies elements of one of their tensors, rows first, from `start` on into `out`.
    fn copy(&self, tensor: usize, start: u64, out: &mut [f64]) -> Result<(), FileError> {
        let (theirs, held) = &self.tensors[tensor];
        if !theirs.is_transposed {
            return self.decoded(held, start, out);
        }
        let mut turned = self.turned.borrow_mut();
        if turned.as_ref().is_none_or(|(last, _)| *last != tensor) {
            let (rows, width) = theirs.rows();
            let mut stored = vec![0.0; (rows * width) as usize];
            self.decoded(held, 0, &mut stored)?;
            *turned = Some((tensor, transposed(&stored, rows as usize)));
        }
        if let Some((_, values)) = &*turned {
            let start = start as usize;
            out.copy_from_slice(&values[start..start + out.len()]);
        }
        Ok(())
    }

    /// Stored elements from `start` on.
    fn decoded(&self, held: &Held, start: u64, out: &mut [f64]) -> Result<(), FileError> {
        let width = held.dtype.bytes();
        let mut bytes = vec![0; out.len() * width as usize];
        self.files[held.file].read(held.start + start * width, &mut bytes)?;
        decode(held.dtype, &bytes, out);
        Ok(())
    }
}

/// For each of our parameters where its rows are. What is written twice is read once.
fn inverted(tensors: &[(Theirs, Held)]) -> BTreeMap<String, Vec<Rows>> {
    let mut all: BTreeMap<String, Vec<Rows>> = BTreeMap::new();
    for (tensor, (theirs, _)) in tensors.iter().enumerate() {
        let mut at = 0;
        for strip in &theirs.strips {
            if let Some((name, first)) = &strip.from {
                let rows = Rows {
                    first: *first,
                    count: strip.rows,
                    tensor,
                    at,
                };
                let own = all.entry(name.clone()).or_default();
                if own.iter().all(|other| other.first != rows.first) {
                    own.push(rows);
                }
            }
            at += strip.rows;
        }
    }
    for own in all.values_mut() {
        own.sort_by_key(|rows| rows.first);
    }
    all
}

/// The configuration of a folder.
///
/// # Errors
/// The system's, or no JSON.
pub fn config(folder: &Path) -> Result<Value, ImportError> {
    let path = folder.join(CONFIG);
    let text = std::fs::read_to_string(&path).at("read", &path)?;
    serde_json::from_str(&text).map_err(|error| ImportError::Damaged {
        path,
        problem: error.to_string(),
    })
}

fn family(folder: &Path) -> Result<Family, ImportError> {
    let config = config(folder)?;
    let called = config["model_type"].as_str().unwrap_or_default();
    let called = match called {
        "RefinedWeb" | "RefinedWebModel" => "falcon",
        other => other,
    };
    Family::called(called).ok_or_else(|| ImportError::Damaged {
        path: folder.join(CONFIG),
        problem: format!("weights of the architecture `{called}` are not known"),
    })
}

/// The files that hold a folder's weights, in order.
///
/// # Errors
/// None is there, or the index names others than its neighbours.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let whole = folder.join(WHOLE);
    if whole.is_file() {
        return Ok(vec![whole]);
    }
    let index = folder.join(INDEX);
    if !index.is_file() {
        let is_pickled = ["pytorch_model.bin", "pytorch_model.bin.index.json"];
        let is_pickled = is_pickled.iter().any(|name| folder.join(name).exists());
        return Err(ImportError::NoWeights {
            path: folder.to_path_buf(),
            rest: match is_pickled {
                true => ", only pickled weights, which can hold any program and are not read",
                false => "",
            },
        });
    }
    let damaged = |problem: String| ImportError::Damaged {
        path: index.clone(),
        problem,
    };
    let text = std::fs::read_to_string(&index).at("read", &index)?;
    let parsed: Value = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    let map = parsed["weight_map"].as_object();
    let map = map.ok_or_else(|| damaged("it has no `weight_map`".to_owned()))?;
    let names: BTreeSet<&str> = map.values().filter_map(Value::as_str).collect();
    if let Some(name) = names.iter().find(|name| name.contains(['/', '\\'])) {
        return Err(damaged(format!("`{name}` does not lie beside it")));
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// The files opened, and every tensor in them by its name.
fn headers(folder: &Path) -> Result<(Vec<Stored>, BTreeMap<String, Held>), ImportError> {
    let (mut files_open, mut found) = (Vec::new(), BTreeMap::new());
    for path in files(folder)? {
        let damaged = |problem: String| ImportError::Damaged {
            path: path.clone(),
            problem,
        };
        let stored = Stored::open(&path)?;
        let (begin, metadata) = read_header(&stored)?.map_err(damaged)?;
        for (name, info) in metadata.tensors() {
            let Some(dtype) = known_dtype(info.dtype) else {
                if is_buffer(&name) {
                    continue;
                }
                return Err(damaged(format!(
                    "`{name}` is {:?}; weights are F64, F32, BF16 or F16",
                    info.dtype
                )));
            };
            let held = Held {
                file: files_open.len(),
                dtype,
                dims: info.shape.iter().map(|&size| size as u64).collect(),
                start: begin + info.data_offsets.0 as u64,
            };
            if found.insert(name.clone(), held).is_some() {
                return Err(damaged(format!("`{name}` is there twice")));
            }
        }
        files_open.push(stored);
    }
    Ok((files_open, found))
}

/// Masks and frequencies, which older programs stored too.
fn is_buffer(name: &str) -> bool {
    [
        ".attn.bias",
        ".attn.masked_bias",
        ".attention.bias",
        ".attention.masked_bias",
        "rotary_emb.inv_freq",
    ]
    .iter()
    .any(|end| name.ends_with(end))
}

impl Family {
    /// The name that a tensor has here, whichever program of its family named it; none of what is no weight.
    fn tensor(self, name: &str, is_tied: bool) -> Option<String> {
        let head = ["lm_head.weight", "embed_out.weight"].contains(&name);
        if is_buffer(name) || (head && is_tied) {
            return None;
        }
        let (base, own_head) = match self {
            Family::GptNeox => ("gpt_neox.", "embed_out.weight"),
            Family::Gpt2 | Family::Bloom | Family::Falcon => ("transformer.", "lm_head.weight"),
            _ => ("model.", "lm_head.weight"),
        };
        Some(match (head, name.starts_with(base)) {
            (true, _) => own_head.to_owned(),
            (false, true) => name.to_owned(),
            (false, false) => format!("{base}{name}"),
        })
    }
}

/// What a folder holds, for a lockfile: its configuration and its weights.
///
/// # Errors
/// The system's, or no weights.
pub fn content(folder: &Path) -> Result<Content, ImportError> {
    let mut all = files(folder)?;
    all.push(folder.join(CONFIG));
    let mut parts = Vec::new();
    for path in all {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let hash = Stored::open(&path)?.hash()?.to_hex().to_string();
        parts.push((name.into_owned(), hash));
    }
    Ok(Content::of_parts("files", parts))
}
