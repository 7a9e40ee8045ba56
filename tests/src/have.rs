//! What a test needs and the machine may lack: binaries, a worker, Python.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use xtask::suite::{BUILT, PRESENT, PYTHON, SKIPPED, WORKER};
use xtask::{places, process, setup};

/// Says why a test asks nothing. Written past the test harness, which would swallow it.
pub fn skip(reason: &str) {
    let line = format!("{SKIPPED}{reason}\n");
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("stderr can be written to");
}

/// The `pleach` binary, as the sources say it now.
pub fn pleach() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| build("pleach", "pleach")).clone()
}

/// The worker binary; none, with a reason given, where there is no libtorch.
pub fn worker() -> Option<PathBuf> {
    static PATH: OnceLock<Option<PathBuf>> = OnceLock::new();
    let path = PATH.get_or_init(|| {
        let torch = places::libtorch_link()
            .join("torch/lib/libtorch_cpu.so")
            .exists();
        torch.then(|| build("pleach-executor", "pleach-worker"))
    });
    demand(
        path.is_some(),
        WORKER,
        "no libtorch here; `cargo xtask setup` brings it",
    );
    path.clone()
}

/// The interpreter of the environment with PyTorch and transformers; none, with a reason given, where it is not there.
pub fn python() -> Option<PathBuf> {
    let python = setup::python::ready();
    demand(
        python.is_some(),
        PYTHON,
        "no Python with torch and transformers; `cargo xtask setup --python` makes it",
    );
    python
}

/// A program of the Python environment, such as `torchrun`.
pub fn python_program(name: &str) -> Option<PathBuf> {
    Some(python()?.with_file_name(name))
}

/// Skips what is missing, but fails where the suite has said that it is there.
fn demand(there: bool, name: &str, reason: &str) {
    let promised =
        std::env::var(PRESENT).is_ok_and(|names| names.split(' ').any(|word| word == name));
    assert!(there || !promised, "{PRESENT} promises {name}: {reason}");
    if !there {
        skip(reason);
    }
}

/// Brings a binary up to date, unless the suite has done so.
fn build(package: &str, binary: &str) -> PathBuf {
    if std::env::var_os(BUILT).is_none() {
        let mut cargo: Command = process::cargo(["build", "--quiet", "--package", package]);
        process::run(&mut cargo).expect("the binary builds");
    }
    let path = places::binaries("debug").join(binary);
    assert!(
        path.is_file(),
        "{} was built but is not there",
        path.display()
    );
    path
}
