//! Bytes of the fuzzer as an index. The first says whether they stand behind a header that is right, the next two how large the `.bin` beside it is.

#![no_main]

use std::sync::LazyLock;

#[path = "../checks/index.rs"]
mod checks;

/// How every index begins: its mark and the version of its form.
const BEGIN: [u8; 17] = *b"MMIDIDX\0\0\x01\0\0\0\0\0\0\0";

static FOLDER: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a folder"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let [begin, low, high, rest @ ..] = bytes {
        let size = u64::from(u16::from_le_bytes([*low, *high]));
        let whole = [&BEGIN[..], rest].concat();
        let bytes = if begin % 4 == 0 { rest } else { &whole };
        checks::index(FOLDER.path(), bytes, size);
    }
});
