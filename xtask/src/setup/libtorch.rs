//! Finds libtorch, or fetches the part of it that a worker on CPUs needs, and links it into the checkout.
//!
//! In order: what `LIBTORCH` names; what the checkout is linked to already; what another clone has fetched; a Python's torch;
//! PyTorch's wheels. The binding fits one version only, so a `LIBTORCH` of another one is refused, not tried.
//! Wheels are pinned by hash and kept until all of them are unpacked, so an interrupted run goes on where it was.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{clear, exclusively, tools};
use crate::places;
use crate::process::{Doing, Failure, ask, run};

/// The version that the binding (`tch`, `torch-sys`) is made for.
pub const VERSION: &str = "2.11.0";

/// Version-independent prefix of releases that fit.
const RELEASE: &str = "2.11.";

/// The wheels and their hashes, the large one last.
const WHEELS: [(&str, &str); 3] = [
    (
        "nvidia-cuda-runtime==13.0.96",
        "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
    ),
    (
        "nvidia-cuda-cupti==13.0.85",
        "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
    ),
    (
        "torch==2.11.0",
        "0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756",
    ),
];

const UNPACK: &str = include_str!("unpack.py");

/// Asks a Python where its torch lies, without importing it.
const LOCATE: &str = "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')";

/// Makes sure that the checkout's `.libtorch/torch` is a libtorch that fits, downloading only where none is found.
///
/// # Errors
/// `LIBTORCH` names another version; Python or pip is missing; the wheels cannot be had.
pub fn ensure() -> Result<(), Failure> {
    let linked = places::libtorch_link().join("torch");
    if let Some(named) = named_by_user(&linked) {
        return link_found(&usable(&named)?, "LIBTORCH");
    }
    if usable(&linked).is_ok() {
        return Ok(());
    }
    let _alone = exclusively()?;
    let own = places::libtorch()?;
    if usable(&own.join("torch")).is_ok() {
        return link_own(&own);
    }
    match python_torch() {
        Some(torch) if usable(&torch).is_ok() => return link_found(&torch, "python3"),
        Some(torch) => note_unusable(&torch),
        None => {}
    }
    fetch(&own)?;
    link_own(&own)
}

/// What `LIBTORCH` says, unless it is only what cargo itself sets from the checkout's configuration.
fn named_by_user(linked: &Path) -> Option<PathBuf> {
    let named = PathBuf::from(std::env::var_os("LIBTORCH").filter(|value| !value.is_empty())?);
    let checkout = named
        .ancestors()
        .nth(2)
        .and_then(|folder| fs::canonicalize(folder).ok());
    let same_checkout = checkout.is_some() && checkout == fs::canonicalize(places::root()).ok();
    (named != linked && !(same_checkout && named.ends_with(".libtorch/torch"))).then_some(named)
}

/// The same folder, if it holds headers and libraries of a version that fits.
fn usable(torch: &Path) -> Result<PathBuf, Failure> {
    let place = places::shown(torch);
    for part in [
        "include/torch/csrc/api/include",
        "lib/libtorch_cpu.so",
        "lib/libc10.so",
    ] {
        if !torch.join(part).exists() {
            let help = "unset LIBTORCH to have the right one fetched, or point it at a folder with `include` and `lib`";
            return Err(
                Failure::new(format!("{place} is no libtorch: it has no {part}")).help(help),
            );
        }
    }
    let version = version(torch).unwrap_or_else(|| "unknown".to_owned());
    if version.starts_with(RELEASE) {
        return Ok(torch.to_owned());
    }
    let help =
        format!("unset LIBTORCH to have {VERSION} fetched, or point it at a torch {VERSION}");
    Err(Failure::new(format!(
        "the libtorch in {place} is version {version}, pleach needs {VERSION}"
    ))
    .help(help))
}

/// The version of a libtorch: its own mark, or that of the Python package it belongs to.
fn version(torch: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(torch.join("build-version")) {
        return Some(text.trim().to_owned());
    }
    let text = fs::read_to_string(torch.join("version.py")).ok()?;
    let line = text.lines().find(|line| line.starts_with("__version__"))?;
    line.split(['\'', '"']).nth(1).map(str::to_owned)
}

fn python_torch() -> Option<PathBuf> {
    ask(Command::new("python3").args(["-c", LOCATE]))
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

fn note_unusable(torch: &Path) {
    let version = version(torch).unwrap_or_else(|| "of an unknown version".to_owned());
    eprintln!(
        "python3 has torch {version}, pleach needs {VERSION}: fetching its own, yours stays as it is"
    );
}

/// Links the checkout to a libtorch that lies elsewhere.
fn link_found(torch: &Path, source: &str) -> Result<(), Failure> {
    let link = places::libtorch_link();
    let torch =
        fs::canonicalize(torch).doing(|| format!("could not follow {}", torch.display()))?;
    if fs::canonicalize(link.join("torch")).is_ok_and(|now| now == torch) {
        return Ok(());
    }
    clear(&link)?;
    fs::create_dir(&link).doing(|| format!("could not make {}", link.display()))?;
    symlink(&torch, link.join("torch")).doing(|| format!("could not link {}", link.display()))?;
    eprintln!("libtorch: the one of {source}, {}", places::shown(&torch));
    Ok(())
}

/// Links the checkout to the tree in the user's cache.
fn link_own(own: &Path) -> Result<(), Failure> {
    let link = places::libtorch_link();
    clear(&link)?;
    symlink(own, &link).doing(|| format!("could not link {}", link.display()))?;
    eprintln!("libtorch: {VERSION} in {}", places::shown(own));
    Ok(())
}

/// Downloads the wheels, unpacks what is needed beside its place and renames it there.
fn fetch(own: &Path) -> Result<(), Failure> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        let help = format!(
            "install torch {VERSION} (`python3 -m pip install torch=={VERSION}`); `cargo xtask setup` finds it"
        );
        return Err(Failure::new("the slim libtorch is known for Linux on x86-64 only").help(help));
    }
    tools::need(&[tools::Tool::Python, tools::Tool::Pip])?;
    let wheels = own.with_extension("0.wheels");
    fs::create_dir_all(&wheels).doing(|| format!("could not make {}", wheels.display()))?;
    eprintln!("libtorch: fetching {VERSION} from PyTorch's wheels, once (544 MB; 499 MB stay)");
    for (requirement, hash) in WHEELS {
        download(&wheels, requirement, hash)?;
    }
    let aside = own.with_extension("0.partial");
    clear(&aside)?;
    let script = wheels.join("unpack.py");
    fs::write(&script, UNPACK).doing(|| format!("could not write {}", script.display()))?;
    run(Command::new("python3")
        .arg(&script)
        .arg(&wheels)
        .arg(&aside))?;
    let mark = aside.join("torch/build-version");
    fs::write(&mark, format!("{VERSION}\n"))
        .doing(|| format!("could not write {}", mark.display()))?;
    clear(own)?;
    fs::rename(&aside, own).doing(|| format!("could not rename {}", aside.display()))?;
    clear(&wheels)
}

/// One wheel, unless an earlier run has it: pip compares the file that is there with the hash.
fn download(wheels: &Path, requirement: &str, hash: &str) -> Result<(), Failure> {
    let list = wheels.join("requirement.txt");
    fs::write(&list, format!("{requirement} --hash=sha256:{hash}\n"))
        .doing(|| format!("could not write {}", list.display()))?;
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--disable-pip-version-check",
    ]);
    pip.args([
        "--python-version",
        "3.12",
        "--implementation",
        "cp",
        "--require-hashes",
    ]);
    for platform in [
        "manylinux_2_28_x86_64",
        "manylinux_2_25_x86_64",
        "manylinux2014_x86_64",
    ] {
        pip.args(["--platform", platform]);
    }
    pip.arg("--dest")
        .arg(wheels)
        .arg("--requirement")
        .arg(&list);
    run(&mut pip).map_err(|_| {
        let help = "pip says why above; wheels that are complete are kept, so the same command goes on from here";
        Failure::new(format!("{requirement} could not be fetched")).help(help)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(name: &str) -> PathBuf {
        let torch =
            std::env::temp_dir().join(format!("pleach-xtask-{}-{name}", std::process::id()));
        fs::create_dir_all(torch.join("include/torch/csrc/api/include")).unwrap();
        fs::create_dir_all(torch.join("lib")).unwrap();
        for library in ["lib/libtorch_cpu.so", "lib/libc10.so"] {
            fs::write(torch.join(library), "").unwrap();
        }
        torch
    }

    #[test]
    fn another_version_is_refused_with_both_named() {
        let torch = tree("another");
        fs::write(torch.join("version.py"), "__version__ = '2.8.0+cu128'\n").unwrap();
        let text = usable(&torch).unwrap_err().to_string();
        assert!(
            text.contains("2.8.0+cu128") && text.contains("needs 2.11.0"),
            "{text}"
        );
        fs::remove_dir_all(torch).unwrap();
    }

    #[test]
    fn the_right_version_is_taken_from_either_mark() {
        let torch = tree("right");
        fs::write(
            torch.join("version.py"),
            "__version__ = '2.11.0+cu130'\ndebug = False\n",
        )
        .unwrap();
        assert!(usable(&torch).is_ok());
        fs::write(torch.join("build-version"), "2.11.1\n").unwrap();
        assert_eq!(version(&torch).unwrap(), "2.11.1");
        assert!(usable(&torch).is_ok());
        fs::remove_dir_all(torch).unwrap();
    }

    #[test]
    fn a_folder_without_libraries_is_no_libtorch() {
        let text = usable(Path::new("/nonexistent")).unwrap_err().to_string();
        assert!(text.contains("is no libtorch"), "{text}");
    }
}
