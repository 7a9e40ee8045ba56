//! Bytes of the fuzzer, as text, through `resolve`.

#![no_main]

#[path = "../src/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        checks::resolve(text);
        checks::check(text);
    }
});
