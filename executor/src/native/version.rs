//! Which libtorch is loaded, and whether it is the one that the worker was compiled with.

use std::ffi::{CStr, c_char};
use std::path::{Path, PathBuf};

unsafe extern "C" {
    fn pleach_compiled_version() -> *const c_char;
}

/// The library whose place tells the tree.
const LIBRARY: &str = "libtorch_cpu.so";

/// The version of the headers that the shim was compiled with: `2.11.0`.
pub fn compiled() -> String {
    // SAFETY: a constant of the program.
    unsafe { CStr::from_ptr(pleach_compiled_version()) }
        .to_string_lossy()
        .into_owned()
}

/// The file that the running process has loaded as libtorch, from the kernel's own list.
pub fn library() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with(LIBRARY))?;
    line.find('/').map(|start| PathBuf::from(&line[start..]))
}

/// What the tree around a loaded library says of its version.
pub fn of_tree(library: &Path) -> Option<String> {
    let root = library.parent()?.parent()?;
    if let Ok(text) = std::fs::read_to_string(root.join("build-version")) {
        return Some(text.trim().to_owned());
    }
    let python = std::fs::read_to_string(root.join("version.py")).ok()?;
    let line = python
        .lines()
        .find(|line| line.starts_with("__version__"))?;
    line.split('\'').nth(1).map(str::to_owned)
}

/// Compares the loaded library with the compiled headers; the local part (`+cpu`) and the patch level do not count.
///
/// # Errors
/// One sentence that names both versions and the command that repairs it.
pub fn check() -> Result<(), String> {
    let Some(library) = library() else {
        return Ok(());
    };
    match of_tree(&library) {
        Some(found) => compare(&found, &compiled(), &library),
        None => Ok(()),
    }
}

fn compare(found: &str, wanted: &str, library: &Path) -> Result<(), String> {
    if release(found) == release(wanted) {
        return Ok(());
    }
    Err(format!(
        "the worker was built for libtorch {wanted}, but libtorch {found} is loaded from {}; `cargo xtask setup` fetches \
         the right one and links it",
        library.display()
    ))
}

fn release(version: &str) -> Option<(&str, &str)> {
    let mut parts = version.split(['.', '+']);
    Some((parts.next()?, parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_minor_version_is_refused_by_name() {
        let library = Path::new("/x/lib/libtorch_cpu.so");
        assert_eq!(compare("2.11.0+cu130", "2.11.0", library), Ok(()));
        let message = compare("2.12.1", "2.11.0", library).unwrap_err();
        assert!(
            message.contains("2.12.1")
                && message.contains("2.11.0")
                && message.contains("cargo xtask setup")
        );
    }

    #[test]
    fn the_loaded_library_is_found_and_fits() {
        let library = library().unwrap();
        assert_eq!(
            of_tree(&library).unwrap().split('+').next(),
            compiled().split('+').next()
        );
        assert_eq!(check(), Ok(()));
    }
}
