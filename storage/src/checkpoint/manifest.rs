//! The manifest of a checkpoint: what the files hold, in terms that outlive the placement that wrote them.
//!
//! Parameters lie in flat buckets. A [`BucketLayout`] says where each logical parameter (or its tensor-parallel shard) lies in a
//! bucket; a [`StoredTensor`] says which stretch of which bucket a tensor of a file is. Both together find any element of
//! any logical parameter, whatever tp, pp, dp and ZeRO were. The file carries the hash of its own content.

use std::fs;
use std::path::Path;

use pleach_plan::{Counts, Dtype, Guard, Mesh};
use serde::{Deserialize, Serialize};

use super::CheckpointError;
use crate::files::{At, replace};

/// The version of the format.
pub const SCHEMA: u32 = 1;
/// The manifest's file name.
pub const FILE: &str = "manifest.json";
/// A manifest beyond this size is not read: ten thousand ranks stay below.
const LARGEST: u64 = 1 << 30;

/// What a checkpoint is and holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub schema: u32,
    /// Steps that were completed.
    pub step: u64,
    /// Samples that were consumed; the next one has this number.
    pub samples: u64,
    /// Identity of the experiment.
    pub experiment_hash: String,
    /// Identity of the program that wrote it.
    pub placement_hash: String,
    /// Hash over the order of the run's samples, where it was known.
    pub data_order: Option<String>,
    /// The mesh that wrote it.
    pub mesh: Mesh,
    /// Layers of the model.
    pub layers: u32,
    /// The next step's loss scale and the updates that were left out, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// What is counted of steps that are not finite, where there is anything.
    #[serde(default, skip_serializing_if = "Counts::is_none")]
    pub counts: Counts,
    /// Where parameters lie in buckets.
    pub buckets: Vec<BucketLayout>,
    /// The files.
    pub files: Vec<FileRecord>,
}

/// Where parameters lie in a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketLayout {
    /// The bucket's name in the plan.
    pub name: String,
    /// Whether each layer has a bucket of its own; parameter names then hold `{layer}`.
    pub layered: bool,
    /// Which layers have one, where not all of them do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Vec<u32>>,
    /// Tensor-parallel pieces; 1 where all ranks held the same.
    pub shards: u64,
    /// Elements in use.
    pub length: u64,
    /// Whether it has first moments only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub momentum: bool,
    /// What lies in it.
    pub entries: Vec<BucketEntry>,
}

/// A parameter in a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketEntry {
    /// Its logical name; `{layer}` stands for the layer's number.
    pub name: String,
    /// Its logical dimensions.
    pub dims: Vec<u64>,
    /// The dimension that is cut into `shards` equal pieces; none where each piece of the bucket holds it whole.
    pub shard: Option<usize>,
    /// Its first element in the bucket.
    pub offset: u64,
    /// Its elements in the bucket.
    pub length: u64,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its name in the checkpoint's folder.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Its BLAKE3.
    pub blake3: String,
    /// What it holds.
    pub tensors: Vec<StoredTensor>,
}

/// A tensor of a file: a stretch of one piece of one bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTensor {
    /// Its name in the file.
    pub name: String,
    /// Index of its bucket.
    pub bucket: usize,
    /// The layer, for buckets that each layer has.
    pub layer: Option<u32>,
    /// Weights or a moment.
    pub kind: Kind,
    /// Which tensor-parallel piece.
    pub shard: u64,
    /// Its first element's place in the bucket.
    pub begin: u64,
    /// Its elements.
    pub length: u64,
    /// Their type.
    pub dtype: Dtype,
}

/// What is stored of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Weights in the most exact type there is.
    Weight,
    /// First moments.
    M,
    /// Second moments.
    V,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 3] = [Kind::Weight, Kind::M, Kind::V];

    /// Those of a bucket.
    pub fn of(layout: &BucketLayout) -> &'static [Kind] {
        match layout.momentum {
            true => &[Kind::Weight, Kind::M],
            false => &Kind::ALL,
        }
    }

    /// As the manifest spells it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Weight => "weight",
            Kind::M => "m",
            Kind::V => "v",
        }
    }
}

/// The manifest with the hash of its canonical JSON.
#[derive(Serialize, Deserialize)]
struct Sealed {
    blake3: String,
    manifest: Manifest,
}

/// Writes the manifest of a folder.
pub(super) fn write(folder: &Path, manifest: Manifest) -> Result<(), CheckpointError> {
    let sealed = Sealed {
        blake3: hash(&manifest),
        manifest,
    };
    let text = serde_json::to_string_pretty(&sealed).expect("a manifest is plain JSON");
    Ok(replace(&folder.join(FILE), text.as_bytes())?)
}

/// Reads the manifest of a folder and checks version and hash.
pub(super) fn read(folder: &Path) -> Result<Manifest, CheckpointError> {
    let path = folder.join(FILE);
    let size = fs::metadata(&path).at("read", &path)?.len();
    if size > LARGEST {
        return Err(CheckpointError::damaged(
            &path,
            format!("{size} bytes, at most {LARGEST} are read"),
        ));
    }
    let text = fs::read(&path).at("read", &path)?;
    let sealed: Sealed = serde_json::from_slice(&text).map_err(|error| {
        CheckpointError::damaged(&path, format!("this is no manifest: {error}"))
    })?;
    let Sealed { blake3, manifest } = sealed;
    if manifest.schema != SCHEMA {
        let problem = format!("schema {}, this program reads {SCHEMA}", manifest.schema);
        return Err(CheckpointError::damaged(&path, problem));
    }
    let found = hash(&manifest);
    if found != blake3 {
        let problem = format!(
            "its content has BLAKE3 {found}, it claims {blake3}: it was changed or damaged"
        );
        return Err(CheckpointError::damaged(&path, problem));
    }
    Ok(manifest)
}

fn hash(manifest: &Manifest) -> String {
    let text = serde_json::to_string(manifest).expect("a manifest is plain JSON");
    blake3::hash(text.as_bytes()).to_hex().to_string()
}
