//! Where things lie: the checkout, and the folder of the user's cache that every clone shares.

use std::path::{Path, PathBuf};

use crate::process::Failure;

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate lies one folder below the checkout")
}

/// The folder of the user's cache that belongs to pleach.
///
/// # Errors
/// The system names no cache folder: neither `HOME` nor `XDG_CACHE_HOME` is set.
pub fn cache() -> Result<PathBuf, Failure> {
    dirs::cache_dir()
        .map(|folder| folder.join("pleach"))
        .ok_or_else(|| {
            Failure::new("the user has no cache folder")
                .help("set HOME, or XDG_CACHE_HOME to a writable folder")
        })
}

/// The slim libtorch that `setup` fetches.
///
/// # Errors
/// As [`cache`].
pub fn libtorch() -> Result<PathBuf, Failure> {
    Ok(cache()?.join(format!("libtorch-{}", crate::setup::libtorch::VERSION)))
}

/// The Python environment that tests and benchmarks ask for the truth.
///
/// # Errors
/// As [`cache`].
pub fn python_environment() -> Result<PathBuf, Failure> {
    Ok(cache()?.join(format!("python-{}", crate::setup::libtorch::VERSION)))
}

/// The link in the checkout through which cargo finds libtorch.
pub fn libtorch_link() -> PathBuf {
    root().join(".libtorch")
}

/// The folder of built binaries of one profile, `debug` or `release`.
pub fn binaries(profile: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |folder| root().join(folder));
    target.join(profile)
}

/// A path as people write it: below the home folder with `~`.
pub fn shown(path: &Path) -> String {
    match dirs::home_dir().and_then(|home| path.strip_prefix(home).ok().map(Path::to_path_buf)) {
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}
