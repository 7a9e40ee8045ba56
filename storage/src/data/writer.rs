//! Writing token files: documents of bytes in, `.bin` and `.idx` out, with their counts and fingerprint.
//!
//! One token is one byte; id 0 ends each document, so NUL bytes inside a text are left out and counted. The files are
//! synced here; the folder they stand in is renamed as a whole by the caller.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::tokens::{HEADER, MAGIC, VERSION};
use super::{Counts, DataError};
use crate::files::At;

/// The code of one-byte tokens.
const U8_CODE: u8 = 1;
/// Ends every document.
const SEPARATOR: u8 = 0;

/// A token file while it is written.
pub struct TokenWriter {
    path: PathBuf,
    file: BufWriter<File>,
    hasher: blake3::Hasher,
    lengths: Vec<i32>,
    counts: Counts,
    nul_bytes: u64,
}

/// What is known of a token file once it is written.
pub struct Written {
    /// Documents.
    pub documents: u64,
    /// Tokens, separators included.
    pub tokens: u64,
    /// NUL bytes that were left out.
    pub nul_bytes: u64,
    /// BLAKE3 of the `.bin`.
    pub fingerprint: String,
    /// How often each id occurs.
    pub counts: Counts,
}

impl TokenWriter {
    /// Begins the `.bin` at `path`.
    pub fn create(path: &Path) -> Result<TokenWriter, DataError> {
        let file = File::create(path).at("create", path)?;
        Ok(TokenWriter {
            path: path.to_path_buf(),
            file: BufWriter::with_capacity(1 << 20, file),
            hasher: blake3::Hasher::new(),
            lengths: Vec::new(),
            counts: Counts::default(),
            nul_bytes: 0,
        })
    }

    /// Adds a document and its separator; `from` is where it comes from, for errors.
    pub fn document(&mut self, text: &str, from: &Path) -> Result<(), DataError> {
        let mut tokens: Vec<u8> = text.bytes().filter(|&byte| byte != SEPARATOR).collect();
        self.nul_bytes += (text.len() - tokens.len()) as u64;
        tokens.push(SEPARATOR);
        let length = i32::try_from(tokens.len()).map_err(|_| DataError::DocumentTooLong {
            path: from.to_path_buf(),
            bytes: text.len(),
        })?;
        self.lengths.push(length);
        self.counts.add(&tokens);
        self.hasher.update(&tokens);
        self.file.write_all(&tokens).at("write", &self.path)?;
        Ok(())
    }

    /// Ends the `.bin` and writes the `.idx`.
    pub fn finish(self) -> Result<Written, DataError> {
        let file = self.file.into_inner().map_err(|error| error.into_error());
        file.and_then(|file| file.sync_all())
            .at("write", &self.path)?;
        write_index(&self.path.with_extension("idx"), &self.lengths)?;
        Ok(Written {
            documents: self.lengths.len() as u64,
            tokens: self.lengths.iter().map(|&length| length as u64).sum(),
            nul_bytes: self.nul_bytes,
            fingerprint: self.hasher.finalize().to_hex().to_string(),
            counts: self.counts,
        })
    }
}

/// One sequence for each document, so document boundaries are `0, 1, 2, …`.
fn write_index(path: &Path, lengths: &[i32]) -> Result<(), DataError> {
    let mut bytes = Vec::with_capacity(HEADER + 20 * lengths.len() + 8);
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.push(U8_CODE);
    bytes.extend((lengths.len() as u64).to_le_bytes());
    bytes.extend((lengths.len() as u64 + 1).to_le_bytes());
    bytes.extend(lengths.iter().flat_map(|length| length.to_le_bytes()));
    let offsets = lengths.iter().scan(0i64, |end, &length| {
        let start = *end;
        *end += i64::from(length);
        Some(start)
    });
    bytes.extend(offsets.flat_map(i64::to_le_bytes));
    bytes.extend((0..=lengths.len() as i64).flat_map(i64::to_le_bytes));
    let mut file = File::create(path).at("create", path)?;
    file.write_all(&bytes)
        .and_then(|()| file.sync_all())
        .at("write", path)?;
    Ok(())
}
