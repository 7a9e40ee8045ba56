//! Writing a checkpoint: every rank its own file, then one rank completes it.
//!
//! In come the run's checkpoint folder, the plan and the ranks' bytes; out comes `step-000040/`, or nothing. Everything is
//! written into `step-000040.partial/`, each file synced; the manifest comes last, then the folder gets its name. A crash at any
//! instant leaves a `.partial` that no reader looks at, and the checkpoint before it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use pleach_plan::{Dtype, Plan};
use safetensors::tensor::{Metadata, TensorInfo};

use super::layout::{Saved, layers, layouts};
use super::manifest::{self, FileRecord, Manifest, SCHEMA, StoredTensor};
use super::{CheckpointError, folder_name};
use crate::files::{At, remove_folder, replace, sync_folder, sync_parent};

/// Writes what `rank` saves of `step`. `content` gives each tensor's bytes (little endian), which are asked for one at a
/// time. The record is left beside the file for [`commit`].
///
/// # Errors
/// The system's, or bytes that do not fit a tensor.
pub fn write_shard(
    checkpoints: &Path,
    step: u64,
    rank: u32,
    tensors: &[Saved],
    mut content: impl FnMut(&Saved) -> Vec<u8>,
) -> Result<FileRecord, CheckpointError> {
    let folder = partial(checkpoints, step);
    fs::create_dir_all(&folder).at("create", &folder)?;
    let mut sorted: Vec<&Saved> = tensors.iter().collect();
    // Wide types first, so that all data is aligned.
    let order = |saved: &&Saved| {
        (
            u64::MAX - saved.stored.dtype.bytes(),
            saved.stored.name.clone(),
        )
    };
    sorted.sort_by_key(order);
    let file = format!("rank-{rank}.safetensors");
    let path = folder.join(&file);
    let mut writer = HashingWriter::create(&path)?;
    writer.write(&header(&sorted))?;
    for saved in &sorted {
        let bytes = content(saved);
        let wanted = size(&saved.stored);
        if bytes.len() as u64 != wanted {
            let tensor = saved.stored.name.clone();
            return Err(CheckpointError::Content {
                tensor,
                wanted,
                found: bytes.len(),
            });
        }
        writer.write(&bytes)?;
    }
    let (bytes, blake3) = writer.finish()?;
    let stored = sorted.iter().map(|saved| saved.stored.clone()).collect();
    let record = FileRecord {
        file,
        bytes,
        blake3,
        tensors: stored,
    };
    let text = serde_json::to_string(&record).expect("a record is plain JSON");
    replace(&record_path(&folder, rank), text.as_bytes())?;
    Ok(record)
}

/// Completes the checkpoint of `step` once all ranks have written: gathers their records into the manifest and gives the
/// folder its name, in place of an older checkpoint of the same step.
///
/// # Errors
/// A rank's record or file is missing, or the system's.
pub fn commit(checkpoints: &Path, plan: &Plan, step: u64) -> Result<PathBuf, CheckpointError> {
    let folder = partial(checkpoints, step);
    let files = (0..plan.mesh.ranks())
        .map(|rank| record(&folder, step, rank))
        .collect::<Result<Vec<_>, _>>()?;
    remove_strangers(&folder, &files)?;
    let manifest = Manifest {
        schema: SCHEMA,
        step,
        samples: step * plan.training.global_batch,
        experiment_hash: plan.hashes.experiment.clone(),
        placement_hash: plan.hashes.placement.clone(),
        data_order: plan.data.order.clone(),
        mesh: plan.mesh,
        layers: layers(plan),
        buckets: layouts(plan),
        files,
    };
    manifest::write(&folder, manifest)?;
    sync_folder(&folder)?;
    let place = checkpoints.join(folder_name(step));
    let replaced = place.with_extension("replaced");
    remove_folder(&replaced)?;
    if place.exists() {
        fs::rename(&place, &replaced).at("rename", &place)?;
    }
    fs::rename(&folder, &place).at("rename", &folder)?;
    sync_parent(&place)?;
    remove_folder(&replaced)?;
    Ok(place)
}

fn partial(checkpoints: &Path, step: u64) -> PathBuf {
    checkpoints.join(format!("{}.partial", folder_name(step)))
}

fn record_path(folder: &Path, rank: u32) -> PathBuf {
    folder.join(format!("rank-{rank}.json"))
}

/// A rank's record, once its file is there with the size it says.
fn record(folder: &Path, step: u64, rank: u32) -> Result<FileRecord, CheckpointError> {
    let path = record_path(folder, rank);
    let incomplete = |path: &Path, problem: String| CheckpointError::Incomplete {
        step,
        path: path.to_path_buf(),
        problem,
    };
    let text = fs::read(&path).map_err(|error| incomplete(&path, error.to_string()))?;
    let record: FileRecord =
        serde_json::from_slice(&text).map_err(|error| incomplete(&path, error.to_string()))?;
    let file = folder.join(&record.file);
    let size = fs::metadata(&file)
        .map_err(|error| incomplete(&file, error.to_string()))?
        .len();
    if size == record.bytes {
        Ok(record)
    } else {
        Err(incomplete(
            &file,
            format!("{size} bytes, expected {}", record.bytes),
        ))
    }
}

/// Deletes records that have been gathered, and what an earlier attempt with other ranks has left.
fn remove_strangers(folder: &Path, files: &[FileRecord]) -> Result<(), CheckpointError> {
    let known: BTreeSet<&str> = files.iter().map(|record| record.file.as_str()).collect();
    for entry in fs::read_dir(folder).at("list", folder)? {
        let path = entry.at("list", folder)?.path();
        let name = path.file_name().unwrap_or_default();
        if !name.to_str().is_some_and(|name| known.contains(name)) {
            fs::remove_file(&path).at("delete", &path)?;
        }
    }
    Ok(())
}

/// The length and text of a safetensors header, padded to eight bytes.
fn header(tensors: &[&Saved]) -> Vec<u8> {
    let mut end = 0;
    let mut infos = Vec::with_capacity(tensors.len());
    for saved in tensors {
        let stored = &saved.stored;
        let begin = end;
        end += size(stored) as usize;
        let dtype = format_dtype(stored.dtype);
        let shape = vec![stored.length as usize];
        infos.push((
            stored.name.clone(),
            TensorInfo {
                dtype,
                shape,
                data_offsets: (begin, end),
            },
        ));
    }
    let metadata =
        Metadata::new(None, infos).expect("tensors follow each other and fit their type");
    let mut text = serde_json::to_vec(&metadata).expect("a header is plain JSON");
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.append(&mut text);
    header
}

fn size(stored: &StoredTensor) -> u64 {
    stored.length * stored.dtype.bytes()
}

/// The safetensors name of a type.
pub(super) fn format_dtype(dtype: Dtype) -> safetensors::Dtype {
    match dtype {
        Dtype::F64 => safetensors::Dtype::F64,
        Dtype::F32 => safetensors::Dtype::F32,
        Dtype::Bf16 => safetensors::Dtype::BF16,
        Dtype::F16 => safetensors::Dtype::F16,
        Dtype::I64 => safetensors::Dtype::I64,
    }
}

/// A file whose hash is made of what was meant to be written, not of what can be read back.
struct HashingWriter<'path> {
    path: &'path Path,
    file: BufWriter<File>,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl HashingWriter<'_> {
    fn create(path: &Path) -> Result<HashingWriter<'_>, CheckpointError> {
        let file = BufWriter::with_capacity(1 << 20, File::create(path).at("create", path)?);
        Ok(HashingWriter {
            path,
            file,
            hasher: blake3::Hasher::new(),
            bytes: 0,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CheckpointError> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).at("write", self.path)?;
        Ok(())
    }

    fn finish(self) -> Result<(u64, String), CheckpointError> {
        let file = self.file.into_inner().map_err(|error| error.into_error());
        file.and_then(|file| file.sync_all())
            .at("sync", self.path)?;
        Ok((self.bytes, self.hasher.finalize().to_hex().to_string()))
    }
}
