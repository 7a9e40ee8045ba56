//! What must hold of an index, whatever its bytes are: the fuzz target brings a fuzzer's, the suite damaged ones.

use std::fs;
use std::path::Path;

use pleach_data::tokens::TokenFile;

/// An index beside a `.bin` of so many bytes is refused with the name of a file, or every sequence that it gives lies inside.
pub fn index(folder: &Path, bytes: &[u8], size: u64) {
    let path = folder.join("tokens.bin");
    let file = fs::File::create(&path).expect("it can be created");
    file.set_len(size).expect("it can grow");
    fs::write(path.with_extension("idx"), bytes).expect("it can be written");
    let tokens = match TokenFile::open(&path) {
        Ok(tokens) => tokens,
        Err(error) => {
            assert!(error.to_string().contains("tokens."), "{error}");
            return;
        }
    };
    let whole = tokens.check().is_ok();
    assert_eq!(
        tokens.len() * tokens.kind().bytes(),
        size - size % tokens.kind().bytes()
    );
    for number in 0..tokens.sequences().min(1 << 12) {
        let Some(range) = tokens.sequence(number) else {
            assert!(!whole, "sequence {number} of a whole index cannot be");
            continue;
        };
        assert!(
            range.start <= range.end && range.end <= tokens.len(),
            "{range:?}"
        );
        let length = (range.end - range.start).min(64) as usize;
        assert!(tokens.values(range.start, &mut vec![0.0; length]));
    }
    let _ = (
        tokens.lengths().is_ok(),
        tokens.oddity(),
        tokens.documents(),
    );
}
