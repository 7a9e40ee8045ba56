//! Opening a checkpoint: nothing of it is believed before every byte has been checked.
//!
//! In comes a folder; out comes a [`Checkpoint`] whose manifest is the one that was written, whose files have the sizes
//! and hashes that it says, whose headers agree with it, and in which no element of any parameter is missing. Reading
//! can rely on all that.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::Metadata;

use super::CheckpointError;
use super::manifest::{self, BucketLayout, FileRecord, Kind};
use super::read::{Checkpoint, Piece, Stretch, logical_name};
use crate::files::Stored;
use crate::region::{Region, Shard};
use crate::tensor_file::{format_dtype, read_header};

/// Layers, and pieces of a bucket, beyond which a manifest is not believed.
const MOST: u64 = 1 << 20;

impl Checkpoint {
    /// Opens a checkpoint and reads all of it once: hashes, headers, and that no element of any parameter is missing.
    ///
    /// # Errors
    /// The first file that is missing, truncated or changed, by name, with what was expected.
    pub fn open(folder: &Path) -> Result<Checkpoint, CheckpointError> {
        let manifest = manifest::read(folder)?;
        let mut checkpoint = Checkpoint {
            folder: folder.to_path_buf(),
            files: Vec::new(),
            pieces: BTreeMap::new(),
            names: BTreeMap::new(),
            manifest,
        };
        for number in 0..checkpoint.manifest.files.len() {
            checkpoint.add_file(number)?;
        }
        checkpoint.pieces.values_mut().for_each(put_in_order);
        for bucket in 0..checkpoint.manifest.buckets.len() {
            let checked = checkpoint.add_bucket(bucket);
            checked.map_err(|problem| {
                CheckpointError::damaged(&folder.join(manifest::FILE), problem)
            })?;
        }
        Ok(checkpoint)
    }

    /// Opens a file, checks its hash and its header, and notes what it holds.
    fn add_file(&mut self, number: usize) -> Result<(), CheckpointError> {
        let record = &self.manifest.files[number];
        let path = self.folder.join(&record.file);
        let damaged = |problem: String| CheckpointError::damaged(&path, problem);
        if record.file.contains(['/', '\\']) || record.file == ".." {
            return Err(damaged("a checkpoint's files lie in its own folder".into()));
        }
        let stored = Stored::open(&path)?;
        let (found, wanted) = (stored.bytes, record.bytes);
        if found != wanted {
            return Err(damaged(format!("{found} bytes, expected {wanted}")));
        }
        let found = stored.hash()?.to_hex().to_string();
        if found != record.blake3 {
            return Err(damaged(format!(
                "BLAKE3 {found}, expected {}",
                record.blake3
            )));
        }
        let header = read_header(&stored)?.map_err(&damaged)?;
        for (piece, stretch) in stretches(record, number, &header).map_err(&damaged)? {
            self.pieces.entry(piece).or_default().push(stretch);
        }
        self.files.push(stored);
        Ok(())
    }

    /// Notes a bucket's parameters, and checks that they lie inside it and that all of it is there.
    fn add_bucket(&mut self, number: usize) -> Result<(), String> {
        let layout = &self.manifest.buckets[number];
        check_entries(layout)?;
        if u64::from(self.manifest.layers) > MOST {
            return Err(format!(
                "{} layers, at most {MOST} are read",
                self.manifest.layers
            ));
        }
        let layers: Vec<Option<u32>> = match (&layout.of, layout.layered) {
            (Some(layers), true) => layers.iter().copied().map(Some).collect(),
            (None, true) => (0..self.manifest.layers).map(Some).collect(),
            _ => vec![None],
        };
        for layer in layers {
            for (entry, described) in layout.entries.iter().enumerate() {
                let name = logical_name(&described.name, layer);
                if self
                    .names
                    .insert(name.clone(), (number, layer, entry))
                    .is_some()
                {
                    return Err(format!("the parameter `{name}` is described twice"));
                }
            }
            let with_moments = self.has_moments();
            for (kind, shard) in Kind::of(layout)
                .iter()
                .filter(|&&kind| with_moments || kind == Kind::Weight)
                .flat_map(|&kind| (0..layout.shards).map(move |it| (kind, it)))
            {
                let stretches = self
                    .pieces
                    .get(&(number, layer, kind, shard))
                    .map_or(&[][..], Vec::as_slice);
                let end = covered(stretches);
                if end < layout.length {
                    let layer = layer.map_or(String::new(), |layer| format!(" of layer {layer}"));
                    return Err(format!(
                        "no file holds element {end} of {} of `{}`{layer}, {}, piece {shard} of {}",
                        layout.length,
                        layout.name,
                        kind.name(),
                        layout.shards
                    ));
                }
            }
        }
        Ok(())
    }
}

/// What a file holds, once its header agrees with the manifest.
fn stretches(
    record: &FileRecord,
    file: usize,
    (begin, metadata): &(u64, Metadata),
) -> Result<Vec<(Piece, Stretch)>, String> {
    let mut found = Vec::with_capacity(record.tensors.len());
    for stored in &record.tensors {
        let info = metadata
            .info(&stored.name)
            .ok_or(format!("there is no tensor `{}`", stored.name))?;
        let fits =
            info.dtype == format_dtype(stored.dtype) && info.shape == [stored.length as usize];
        let end = stored.begin.checked_add(stored.length);
        let (true, Some(end)) = (fits, end) else {
            let (dtype, shape) = (info.dtype, &info.shape);
            return Err(format!(
                "`{}` is {dtype:?} {shape:?}, expected {} elements of {:?}",
                stored.name, stored.length, stored.dtype
            ));
        };
        let piece = (stored.bucket, stored.layer, stored.kind, stored.shard);
        let start = begin + info.data_offsets.0 as u64;
        found.push((
            piece,
            Stretch {
                elements: stored.begin..end,
                dtype: stored.dtype,
                file,
                start,
            },
        ));
    }
    Ok(found)
}

/// Sorts stretches by their begin and drops those that others cover, so that their ends rise too.
fn put_in_order(stretches: &mut Vec<Stretch>) {
    stretches.sort_by_key(|stretch| stretch.elements.start);
    let mut end = 0;
    stretches.retain(|stretch| {
        let adds = stretch.elements.end > end;
        end = end.max(stretch.elements.end);
        adds
    });
}

/// The end of what the stretches, sorted by their begin, cover from 0 on without a gap.
fn covered(stretches: &[Stretch]) -> u64 {
    stretches.iter().fold(0, |end, stretch| {
        if stretch.elements.start <= end {
            end.max(stretch.elements.end)
        } else {
            end
        }
    })
}

fn check_entries(layout: &BucketLayout) -> Result<(), String> {
    if layout.shards == 0 || layout.shards > MOST {
        return Err(format!(
            "`{}` is cut into {} pieces, expected 1 to {MOST}",
            layout.name, layout.shards
        ));
    }
    let mut free = 0;
    for entry in &layout.entries {
        let shard = entry.shard.map(|dim| Shard {
            dim,
            index: 0,
            count: layout.shards,
        });
        let elements = Region::new(&entry.dims, shard).map(|region| region.elements());
        let end = entry
            .offset
            .checked_add(entry.length)
            .filter(|&end| end <= layout.length);
        let (true, true, Some(end)) = (elements == Some(entry.length), entry.offset >= free, end)
        else {
            return Err(format!(
                "`{}` of shape {:?} cannot be {} elements from {} on of `{}`, where {free} to {} are free",
                entry.name, entry.dims, entry.length, entry.offset, layout.name, layout.length
            ));
        };
        free = end;
    }
    Ok(())
}
