//! Brings in what cargo cannot: libtorch, and for tests a Python that has PyTorch and transformers.
//!
//! Everything that is downloaded goes to the user's cache once; what is already there is used, and a second run needs no
//! network.

pub mod libtorch;
pub mod python;
pub mod tools;

use std::fs::{self, File};
use std::path::Path;

use crate::places;
use crate::process::{Doing, Failure};

/// What `cargo xtask setup` does.
///
/// # Errors
/// Something is missing on the machine, or could not be fetched.
pub fn run(python_too: bool) -> Result<(), Failure> {
    tools::need(&[tools::Tool::Compiler])?;
    libtorch::ensure()?;
    if python_too {
        python::ensure()?;
    }
    Ok(())
}

/// Holds off other clones that set up at the same time, until it is dropped.
fn exclusively() -> Result<File, Failure> {
    let folder = places::cache()?;
    fs::create_dir_all(&folder)
        .doing(|| format!("could not make {}", folder.display()))
        .map_err(|failure| {
            failure.help("set XDG_CACHE_HOME to a folder that can be written, with 500 MB of room")
        })?;
    let path = folder.join("setup.lock");
    let file = File::create(&path).doing(|| format!("could not write {}", path.display()))?;
    file.lock()
        .doing(|| format!("could not lock {}", path.display()))?;
    Ok(file)
}

/// Removes a folder, a file or a link, whichever is there.
fn clear(path: &Path) -> Result<(), Failure> {
    let removed = match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(entry) if entry.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    removed.doing(|| format!("could not remove {}", path.display()))
}
