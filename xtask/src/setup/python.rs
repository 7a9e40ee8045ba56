//! The Python environment that tests and benchmarks compare with: PyTorch itself, transformers, datasets, and Megatron-Core.
//!
//! It lies in the user's cache, is made once, and is believed after its packages have been asked for their versions. A mark
//! remembers the answer; an interrupted installation has no mark and goes on where pip was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tools::{self, Tool};
use super::{clear, exclusively};
use crate::places;
use crate::process::{Doing, Failure, ask, run};

/// What is installed; those with a version are checked for it.
const PACKAGES: [&str; 7] = [
    "torch==2.11.0",
    "transformers==5.23.0",
    "megatron-core==0.16.1",
    "datasets==5.2.0",
    "numpy",
    "safetensors",
    "tensorboard==2.21.0",
];

/// Oldest Python for which these packages exist.
const OLDEST: &str = "(3, 10)";

/// Prints the version of each package, and ends badly where the libraries cannot be loaded.
const VERSIONS: &str = "
import importlib.metadata as m, torch
for name in ('torch', 'transformers', 'megatron-core', 'datasets', 'numpy', 'safetensors', 'tensorboard'):
    print(name + '==' + m.version(name))
";

/// The environment's interpreter, made or completed first where it is not ready.
///
/// # Errors
/// Python is missing or too old, or the packages cannot be had.
pub fn ensure() -> Result<PathBuf, Failure> {
    if let Some(python) = ready() {
        return Ok(python);
    }
    let _alone = exclusively()?;
    let folder = places::python_environment()?;
    if complete(&folder) {
        return mark(&folder);
    }
    tools::need(&[Tool::Python, Tool::Pip, Tool::Venv])?;
    new_enough()?;
    if ask(Command::new(interpreter(&folder)).args(["-m", "pip", "--version"])).is_none() {
        clear(&folder)?;
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    eprintln!(
        "python: installing {} in {}, once (4.9 GB)",
        PACKAGES.join(", "),
        places::shown(&folder)
    );
    let mut pip = Command::new(interpreter(&folder));
    pip.args(["-m", "pip", "install", "--disable-pip-version-check"])
        .args(PACKAGES);
    run(&mut pip).map_err(|_| {
        Failure::new("the Python environment could not be completed")
            .help("pip says why above; the same command goes on from here")
    })?;
    if complete(&folder) {
        mark(&folder)
    } else {
        Err(Failure::new(
            "the installed packages are not those that were asked for",
        ))
    }
}

/// The environment's interpreter, if it has been found complete before.
pub fn ready() -> Option<PathBuf> {
    let folder = places::python_environment().ok()?;
    let python = interpreter(&folder);
    let marked = fs::read_to_string(mark_of(&folder)).is_ok_and(|text| {
        let known: Vec<&str> = text.lines().collect();
        PACKAGES.iter().all(|package| known.contains(package))
    });
    (marked && python.exists()).then_some(python)
}

fn interpreter(folder: &Path) -> PathBuf {
    folder.join("bin/python3")
}

fn mark_of(folder: &Path) -> PathBuf {
    folder.join("pleach-complete")
}

fn mark(folder: &Path) -> Result<PathBuf, Failure> {
    let path = mark_of(folder);
    fs::write(&path, PACKAGES.join("\n"))
        .doing(|| format!("could not write {}", path.display()))?;
    eprintln!(
        "python: {} in {}",
        PACKAGES.join(", "),
        places::shown(folder)
    );
    Ok(interpreter(folder))
}

fn complete(folder: &Path) -> bool {
    ask(Command::new(interpreter(folder)).args(["-c", VERSIONS]))
        .is_some_and(|answer| fits(&answer))
}

/// Whether the installed versions are those asked for; a build mark such as `+cpu` is no other version.
fn fits(answer: &str) -> bool {
    let installed: Vec<&str> = answer
        .lines()
        .map(|line| line.split('+').next().unwrap_or(line))
        .collect();
    PACKAGES.iter().all(|wanted| match wanted.contains("==") {
        true => installed.contains(wanted),
        false => installed
            .iter()
            .any(|have| have.split("==").next() == Some(wanted)),
    })
}

fn new_enough() -> Result<(), Failure> {
    let question = format!("import sys; sys.exit(sys.version_info < {OLDEST})");
    if ask(Command::new("python3").args(["-c", &question])).is_some() {
        return Ok(());
    }
    let version = ask(Command::new("python3").arg("--version")).unwrap_or_default();
    Err(Failure::new(format!(
        "torch {} needs Python 3.10 or newer, this is {version}",
        super::libtorch::VERSION
    ))
    .help("put a newer python3 first on PATH"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_decide_not_names() {
        assert!(fits(
            "torch==2.11.0+cu130\ntransformers==5.23.0\nmegatron-core==0.16.1\ndatasets==5.2.0\nnumpy==2.4.6\nsafetensors==0.8.0\ntensorboard==2.21.0"
        ));
        assert!(!fits(
            "torch==2.10.0\ntransformers==5.23.0\nmegatron-core==0.16.1\ndatasets==5.2.0\nnumpy==2.4.6\nsafetensors==0.8.0\ntensorboard==2.21.0"
        ));
        assert!(!fits(
            "torch==2.11.0\ntransformers==5.23.0\nmegatron-core==0.16.1\ndatasets==5.2.0\nnumpy==2.4.6\ntensorboard==2.21.0"
        ));
    }
}
