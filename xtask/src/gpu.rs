//! `cargo xtask gpu`: everything that a machine with a GPU is to be asked, built here and packed into one folder that is carried there.
//!
//! That machine needs Python with PyTorch 2.11 for CUDA and no toolchain: `./run.sh OUT` in the folder tests, measures and writes figures. With
//! `--cpu` the same script runs here at once, small and on the CPU, to prove itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::{Doing, Failure, capture, cargo, run as finish};
use crate::{places, setup};

/// What may be carried.
const MOST: u64 = 64 << 20;
/// Bytes of text to train on.
const TEXT: usize = 4 << 20;
/// What goes along as it is.
const FILES: [&str; 5] = [
    "xtask/gpu/run.sh",
    "xtask/gpu/run.py",
    "xtask/gpu/gpt2.pleach",
    "xtask/gpu/pythia.pleach",
    "tests/python/compiled.py",
];

/// Builds and packs; with `cpu` also runs the script, small and here.
///
/// # Errors
/// Something cannot be built, is too large to be carried, or a stage failed.
pub fn run(cpu: bool) -> Result<(), Failure> {
    setup::run(false)?;
    let profile = if cpu { "debug" } else { "release" };
    let tests = build(profile)?;
    let folder = places::root().join("target/gpu");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).doing(|| format!("could not make {}", folder.display()))?;
    let binaries = places::binaries(profile);
    for (from, name) in [
        (binaries.join("pleach"), "pleach"),
        (binaries.join("pleach-worker"), "pleach-worker"),
        (tests, "kernels"),
    ] {
        copy(&from, &folder.join(name))?;
        finish(Command::new("strip").arg(folder.join(name)))?;
    }
    for file in FILES {
        let from = places::root().join(file);
        copy(&from, &folder.join(from.file_name().unwrap_or_default()))?;
    }
    fs::write(folder.join("text.txt"), text()?).doing(|| "could not write the text".to_owned())?;
    println!("{}", packed(&folder)?);
    match cpu {
        true => try_here(&folder),
        false => {
            println!(
                "carry it to the machine with the GPU and run `./run.sh OUT` there (9 minutes at most)"
            );
            Ok(())
        }
    }
}

/// Builds the binaries; answers where the tests of kernels are.
fn build(profile: &str) -> Result<PathBuf, Failure> {
    let release = (profile == "release").then_some("--release");
    let packages = ["--package", "pleach", "--package", "pleach-executor"];
    finish(&mut cargo(
        ["build"].into_iter().chain(packages).chain(release),
    ))?;
    let words = ["test", "--no-run", "--message-format=json"];
    let which = ["--package", "pleach-executor", "--test", "kernels"];
    let said = capture(&mut cargo(words.into_iter().chain(which).chain(release)))?;
    executable(&said, "kernels")
        .ok_or_else(|| Failure::new("cargo did not say where the tests are"))
}

/// The executable of a target in cargo's messages.
fn executable(messages: &str, target: &str) -> Option<PathBuf> {
    let lines = messages.lines().rev();
    let values = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    values
        .filter(|value| value["target"]["name"] == target)
        .find_map(|value| value["executable"].as_str().map(PathBuf::from))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::copy(from, to)
        .map(drop)
        .doing(|| format!("could not copy {}", from.display()))
}

/// This project's own sources, as much as is wanted.
fn text() -> Result<Vec<u8>, Failure> {
    let listed = capture(
        Command::new("git")
            .current_dir(places::root())
            .args(["ls-files", "*.rs", "*.md"]),
    )?;
    let mut text = Vec::new();
    for file in listed.lines() {
        if text.len() < TEXT {
            text.extend(fs::read(places::root().join(file)).unwrap_or_default());
        }
    }
    Ok(text)
}

/// The files with their sizes, none of them too large together.
fn packed(folder: &Path) -> Result<String, Failure> {
    let mut lines = vec![format!("packed in {}:", folder.display())];
    let mut all = 0;
    let entries = fs::read_dir(folder).doing(|| format!("could not read {}", folder.display()))?;
    for entry in entries.flatten() {
        let bytes = entry.metadata().map_or(0, |found| found.len());
        all += bytes;
        let name = entry.file_name();
        lines.push(format!(
            "  {:>8} KiB  {}",
            bytes >> 10,
            name.to_string_lossy()
        ));
    }
    lines.push(format!("  {:>8} KiB  in all", all >> 10));
    match all > MOST {
        true => Err(Failure::new(lines.join("\n")).help("64 MiB are all that may be carried")),
        false => Ok(lines.join("\n")),
    }
}

/// Runs the packed script on the CPU.
fn try_here(folder: &Path) -> Result<(), Failure> {
    let libraries = places::libtorch_link().join("torch/lib");
    let python = setup::python::ready().unwrap_or_else(|| "python3".into());
    let mut script = Command::new(folder.join("run.sh"));
    script.arg(folder.join("figures")).arg("--cpu");
    script
        .arg("--libtorch")
        .arg(libraries)
        .env("PYTHON", python);
    finish(script.stdin(Stdio::null()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_executable_of_a_target_is_found_in_messages() {
        let messages = "{\"target\":{\"name\":\"kernels\"},\"executable\":null}\n\
            {\"target\":{\"name\":\"other\"},\"executable\":\"/a\"}\n\
            {\"target\":{\"name\":\"kernels\"},\"executable\":\"/b\"}\nnothing\n";
        assert_eq!(executable(messages, "kernels"), Some("/b".into()));
        assert_eq!(executable(messages, "missing"), None);
    }

    #[test]
    fn what_goes_along_is_there_and_text_is_enough() {
        for file in FILES {
            assert!(places::root().join(file).exists(), "{file}");
        }
        assert!(text().unwrap().len() >= TEXT);
    }
}
