//! Bytes of the fuzzer as lines of JSON.

#![no_main]

use std::sync::LazyLock;

#[path = "../checks/lines.rs"]
mod checks;

static FOLDER: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a folder"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::lines(FOLDER.path(), bytes));
