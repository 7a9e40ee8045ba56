//! Plans as JSON: one canonical form, so that equal plans are equal bytes, and the hash over it.
//!
//! Struct fields stand in declaration order, maps are ordered, floating point is printed in its shortest exact form.

use crate::{Hashes, Plan};

/// The version of the plan format that this crate reads and writes.
pub const SCHEMA: u32 = 2;

/// Why a plan file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The text is not a plan.
    #[error("this is not a plan: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version of the format.
    #[error("the plan has schema {found}, this program reads {SCHEMA}")]
    Schema {
        /// The file's version.
        found: u32,
    },
    /// The content does not match the hash that it carries.
    #[error("the plan was changed after it was made: its hash is {found}, it claims {claimed}")]
    Hash {
        /// Hash of the content.
        found: String,
        /// Hash written in the file.
        claimed: String,
    },
}

/// The plan as canonical JSON, one line.
///
/// # Panics
/// Never for plans made of finite numbers; a NaN attribute is a bug of the planner.
pub fn write(plan: &Plan) -> String {
    serde_json::to_string(plan).expect("plans hold only finite numbers and string keys")
}

/// Reads a plan and refuses one whose placement hash does not fit its content.
///
/// # Errors
/// Not JSON, another schema, or edited since it was written.
pub fn read(text: &str) -> Result<Plan, ReadError> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    let found = value
        .get("schema")
        .and_then(serde_json::Value::as_u64)
        .unwrap_or(0);
    if found != u64::from(SCHEMA) {
        return Err(ReadError::Schema {
            found: u32::try_from(found).unwrap_or(u32::MAX),
        });
    }
    let plan: Plan = serde_json::from_value(value)?;
    let found = placement_hash(&plan);
    if found != plan.hashes.placement {
        return Err(ReadError::Hash {
            found,
            claimed: plan.hashes.placement,
        });
    }
    Ok(plan)
}

/// BLAKE3 of the canonical JSON of everything but hashes, data fingerprints and predictions, of all phases.
pub fn placement_hash(plan: &Plan) -> String {
    blake3::hash(write(&bare(plan)).as_bytes())
        .to_hex()
        .to_string()
}

/// A plan without what is no part of its identity.
fn bare(plan: &Plan) -> Plan {
    let mut bare = plan.clone();
    bare.hashes = Hashes {
        experiment: plan.hashes.experiment.clone(),
        placement: String::new(),
    };
    bare.prediction = None;
    bare.data.order = None;
    for component in &mut bare.data.mix {
        component.fingerprint = None;
    }
    if let Some(weights) = &mut bare.training.weights {
        weights.fingerprint = None;
    }
    bare.then = plan.then.iter().map(self::bare).collect();
    bare
}
