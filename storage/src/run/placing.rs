//! Another plan for a run that is there: in come its spec and its plan, out comes the same folder, which the next attempt runs by them.
//!
//! The spec takes its place before the plan: a crash between the two leaves the earlier plan, which is a plan of that spec too, since only
//! what is no part of the experiment may have changed. Earlier plans stay, each with the spec that it was made from.

use std::fs;
use std::path::{Path, PathBuf};

use super::{RunError, RunFolder, RunLock};
use crate::files::{At, replace};

/// Digits of a hash by which an earlier plan is called.
const DIGITS: usize = 12;

impl RunFolder {
    /// Where the plan of an earlier attempt is kept.
    pub fn earlier_plan(&self, placement_hash: &str) -> PathBuf {
        let digits: String = placement_hash.chars().take(DIGITS).collect();
        self.plans().join(format!("{digits}.json"))
    }

    /// Replaces the spec alone: the plan stays what it asks for.
    ///
    /// # Errors
    /// The system's.
    pub fn replace_spec(&self, _held: &RunLock, spec: &str) -> Result<(), RunError> {
        Ok(replace(&self.spec(), spec.as_bytes())?)
    }

    /// Replaces spec and plan; `before` is the hash of the placement that the folder's plan has now, which is kept.
    ///
    /// # Errors
    /// The system's; the run goes on by the earlier plan then.
    pub fn replace_plan(
        &self,
        held: &RunLock,
        before: &str,
        (spec, plan): (&str, &str),
    ) -> Result<(), RunError> {
        let folder = self.plans();
        fs::create_dir_all(&folder).at("create", &folder)?;
        let kept = self.earlier_plan(before);
        keep(&self.plan(), &kept)?;
        keep(&self.spec(), &kept.with_extension("pleach"))?;
        self.replace_spec(held, spec)?;
        Ok(replace(&self.plan(), plan.as_bytes())?)
    }
}

/// Copies a file to where it is kept; what is there stays, since a crash may have come after it.
fn keep(file: &Path, kept: &Path) -> Result<(), RunError> {
    if kept.exists() || !file.exists() {
        return Ok(());
    }
    let text = fs::read(file).at("read", file)?;
    Ok(replace(kept, &text)?)
}
