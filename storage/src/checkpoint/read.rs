//! Reading an open checkpoint: any stretch of any logical parameter.
//!
//! In comes a [`Checkpoint`] whose bytes have all been checked; out come logical parameters, or exactly the flat tensors that a rank of some plan needs,
//! also of another placement than the one that wrote it. Values come as `f64`, which holds every type that is stored
//! exactly, so the way through it changes no bit.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use pleach_plan::{Dtype, Plan};

use super::CheckpointError;
use super::layout::{self, Needed};
use super::manifest::{BucketEntry, Kind, Manifest};
use crate::files::{FileError, Stored};
use crate::region::{Cut, Region, Shard, product};
use crate::tensor_file::decode;

/// A complete checkpoint that has every byte it should have.
pub struct Checkpoint {
    /// Its folder.
    pub folder: PathBuf,
    /// What it is and holds.
    pub manifest: Manifest,
    pub(super) files: Vec<Stored>,
    /// By bucket, layer, kind and tensor-parallel piece: the stretches in order.
    pub(super) pieces: BTreeMap<Piece, Vec<Stretch>>,
    /// By logical name: bucket, layer, place among the bucket's entries.
    pub(super) names: BTreeMap<String, (usize, Option<u32>, usize)>,
}

/// Elements that are read at once.
const AT_ONCE: usize = 1 << 16;

/// Names one piece of one bucket's state.
pub(super) type Piece = (usize, Option<u32>, Kind, u64);

/// A stretch of a piece in a file.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    pub elements: Range<u64>,
    pub dtype: Dtype,
    pub file: usize,
    /// Where its first byte lies in the file.
    pub start: u64,
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.manifest.step;
        formatter
            .debug_struct("Checkpoint")
            .field("folder", &self.folder)
            .field("step", &step)
            .finish_non_exhaustive()
    }
}

impl Checkpoint {
    /// Checks that the checkpoint is of the plan's experiment and data; its placement may be another.
    ///
    /// # Errors
    /// What differs.
    pub fn check(&self, plan: &Plan) -> Result<(), CheckpointError> {
        let differs = |what: &str, found: &str, wanted: &str, help| CheckpointError::Other {
            path: self.folder.clone(),
            what: what.to_owned(),
            found: found.to_owned(),
            wanted: wanted.to_owned(),
            help,
        };
        let (found, wanted) = (&self.manifest.experiment_hash, &plan.hashes.experiment);
        if found != wanted {
            let help = "only the placement may change between a run and its continuation";
            return Err(differs("experiment's hash", found, wanted, help));
        }
        if let (Some(found), Some(wanted)) = (&self.manifest.data_order, &plan.data.order)
            && found != wanted
        {
            let help = "continue where the same Cargo.lock is";
            return Err(differs("hash of the data order", found, wanted, help));
        }
        Ok(())
    }

    /// Whether the optimizer's state is in it too: without, it can be used, and not gone on from.
    pub fn has_moments(&self) -> bool {
        let stored = self.manifest.files.iter().flat_map(|file| &file.tensors);
        stored.into_iter().any(|tensor| tensor.kind != Kind::Weight)
    }

    /// Logical names and dimensions of all parameters, by name.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &[u64])> {
        self.names.iter().map(|(name, &(bucket, _, entry))| {
            (
                name.as_str(),
                self.manifest.buckets[bucket].entries[entry].dims.as_slice(),
            )
        })
    }

    /// A whole logical parameter, or its moments.
    ///
    /// # Errors
    /// There is no such parameter.
    pub fn logical(&self, name: &str, kind: Kind) -> Result<Vec<f64>, CheckpointError> {
        let (bucket, _, entry) = self.entry(name)?;
        let elements = product(&self.manifest.buckets[bucket].entries[entry].dims);
        let mut values = vec![0.0; elements.unwrap_or(0) as usize];
        self.read(name, kind, 0, &mut values)?;
        Ok(values)
    }

    /// The values of a tensor that a rank of `plan` needs, padding included.
    ///
    /// # Errors
    /// A parameter of the plan that is not there or has other dimensions.
    pub fn fill(
        &self,
        plan: &Plan,
        rank: u32,
        needed: &Needed,
    ) -> Result<Vec<f64>, CheckpointError> {
        let check = |name: &str, entry: &BucketEntry| self.check_dims(name, entry);
        gather(plan, rank, needed, check, |name, start, out| {
            self.read(name, needed.kind, start, out)
        })
    }

    /// Copies logical elements from `start` on into `out`.
    fn read(
        &self,
        name: &str,
        kind: Kind,
        start: u64,
        out: &mut [f64],
    ) -> Result<(), CheckpointError> {
        let (bucket, layer, entry) = self.entry(name)?;
        let layout = &self.manifest.buckets[bucket];
        let entry = &layout.entries[entry];
        let end = start + out.len() as u64;
        let cut = Cut::new(&entry.dims, entry.shard, layout.shards);
        let (Some(cut), true) = (cut, Some(end) <= product(&entry.dims)) else {
            return Err(self.other_shape(name, entry));
        };
        let mut next = start;
        while next < end {
            let place = cut.place(next, end);
            let first = (next - start) as usize;
            let out = &mut out[first..first + place.length as usize];
            self.copy(
                (bucket, layer, kind, place.index),
                entry.offset + place.offset,
                out,
            )?;
            next += place.length;
        }
        Ok(())
    }

    /// Copies elements of a piece from its element `start` on; opening has checked that they are all there.
    fn copy(&self, piece: Piece, start: u64, out: &mut [f64]) -> Result<(), FileError> {
        let stretches = &self.pieces[&piece];
        let mut number = stretches.partition_point(|stretch| stretch.elements.end <= start);
        let mut done = 0;
        let mut bytes = Vec::new();
        while done < out.len() {
            let stretch = &stretches[number];
            let next = start + done as u64;
            let left = (stretch.elements.end - next) as usize;
            let taken = left.min(out.len() - done).min(AT_ONCE);
            let width = stretch.dtype.bytes();
            bytes.resize(taken * width as usize, 0);
            let skipped = (next - stretch.elements.start) * width;
            self.files[stretch.file].read(stretch.start + skipped, &mut bytes)?;
            decode(stretch.dtype, &bytes, &mut out[done..done + taken]);
            done += taken;
            number += usize::from(taken == left);
        }
        Ok(())
    }

    fn entry(&self, name: &str) -> Result<(usize, Option<u32>, usize), CheckpointError> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| CheckpointError::NoParameter {
                path: self.folder.clone(),
                name: name.to_owned(),
            })
    }

    fn check_dims(&self, name: &str, wanted: &BucketEntry) -> Result<(), CheckpointError> {
        let (bucket, _, entry) = self.entry(name)?;
        let same = self.manifest.buckets[bucket].entries[entry].dims == wanted.dims;
        if same {
            Ok(())
        } else {
            Err(self.other_shape(name, wanted))
        }
    }

    fn other_shape(&self, name: &str, wanted: &BucketEntry) -> CheckpointError {
        let found = self
            .entry(name)
            .map_or(String::new(), |(bucket, _, entry)| {
                format!("{:?}", self.manifest.buckets[bucket].entries[entry].dims)
            });
        CheckpointError::Other {
            path: self.folder.clone(),
            what: format!("shape of `{name}`"),
            found,
            wanted: format!("{:?}", wanted.dims),
            help: "only the placement may change between a run and its continuation",
        }
    }
}

/// The name with the layer's number in its place.
pub(super) fn logical_name(name: &str, layer: Option<u32>) -> String {
    match layer {
        Some(layer) => name.replace("{layer}", &layer.to_string()),
        None => name.to_owned(),
    }
}

/// The values of a tensor that a rank of `plan` needs, padding included, from whatever has logical parameters: `check` is asked about each one, `read` for each
/// stretch of it.
///
/// # Errors
/// Those of `check` and `read`.
///
/// # Panics
/// If the plan cuts a parameter in a way that it cannot be cut; a plan that passed its checks never does.
pub(crate) fn gather<E>(
    plan: &Plan,
    rank: u32,
    needed: &Needed,
    check: impl Fn(&str, &BucketEntry) -> Result<(), E>,
    mut read: impl FnMut(&str, u64, &mut [f64]) -> Result<(), E>,
) -> Result<Vec<f64>, E> {
    let mut values = vec![0.0; needed.length as usize];
    let (tp, index) = (u64::from(plan.mesh.tp), u64::from(plan.mesh.place(rank).tp));
    for entry in layout::entries(plan, needed.bucket) {
        let begin = entry.offset.max(needed.begin);
        let end = (entry.offset + entry.length).min(needed.begin + needed.length);
        if begin >= end {
            continue;
        }
        let name = logical_name(&entry.name, needed.layer);
        check(&name, &entry)?;
        let shard = entry.shard.map(|dim| Shard {
            dim,
            index,
            count: tp,
        });
        let region = Region::new(&entry.dims, shard)
            .filter(|region| region.elements() == entry.length)
            .unwrap_or_else(|| panic!("`{name}` cannot be cut as the plan cuts it"));
        let mut at = (begin - needed.begin) as usize;
        for run in region.runs(begin - entry.offset..end - entry.offset) {
            let length = (run.end - run.start) as usize;
            read(&name, run.start, &mut values[at..at + length])?;
            at += length;
        }
    }
    Ok(values)
}
