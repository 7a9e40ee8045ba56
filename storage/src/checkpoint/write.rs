//! Writing a checkpoint: every rank its own file, then one rank completes it.
//!
//! In come the run's checkpoint folder, the plan and the ranks' bytes; out comes `step-000040/`, or nothing. Everything is
//! written into `step-000040.partial/`, each file synced; the manifest comes last, then the folder gets its name. A crash at any
//! instant leaves a `.partial` that no reader looks at, and the checkpoint before it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pleach_plan::{Guard, Plan, Standing};

use super::layout::{Saved, layers, layouts};
use super::manifest::{self, FileRecord, Manifest, SCHEMA, StoredTensor};
use super::{CheckpointError, folder_name};
use crate::files::{At, remove_folder, replace, sync_folder, sync_parent};
use crate::tensor_file::{HashingWriter, Planned, header};

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
    // What is not whole takes room that others need, on a disk that may have none left.
    let (bytes, blake3) = write_tensors(&path, &sorted, &mut content)
        .inspect_err(|_| drop(fs::remove_file(&path)))?;
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

/// Writes tensors one after the other; says the file's size and hash.
fn write_tensors(
    path: &Path,
    sorted: &[&Saved],
    content: &mut impl FnMut(&Saved) -> Vec<u8>,
) -> Result<(u64, String), CheckpointError> {
    let mut writer = HashingWriter::create(path)?;
    let planned: Vec<Planned> = sorted.iter().map(|saved| planned(&saved.stored)).collect();
    writer.write(&header(&planned, None))?;
    for saved in sorted {
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
    Ok(writer.finish()?)
}

/// Completes the checkpoint of `step` once all ranks have written: gathers their records into the manifest and gives the
/// folder its name, in place of an older checkpoint of the same step.
///
/// # Errors
/// A rank's record or file is missing, or the system's.
pub fn commit(
    checkpoints: &Path,
    plan: &Plan,
    step: u64,
    standing: &Standing,
) -> Result<PathBuf, CheckpointError> {
    let folder = partial(checkpoints, step);
    let files = (0..plan.mesh.ranks())
        .map(|rank| record(&folder, step, rank))
        .collect::<Result<Vec<_>, _>>()?;
    remove_strangers(&folder, &files)?;
    let manifest = Manifest {
        schema: SCHEMA,
        step,
        samples: plan.training.samples(step),
        experiment_hash: plan.hashes.experiment.clone(),
        placement_hash: plan.hashes.placement.clone(),
        data_order: plan.data.order.clone(),
        mesh: plan.mesh,
        layers: layers(plan),
        guard: (standing.guard != Guard::new(None)).then_some(standing.guard),
        counts: standing.counts.clone(),
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

fn planned(stored: &StoredTensor) -> Planned {
    Planned {
        name: stored.name.clone(),
        dtype: stored.dtype,
        dims: vec![stored.length],
    }
}

fn size(stored: &StoredTensor) -> u64 {
    stored.length * stored.dtype.bytes()
}
