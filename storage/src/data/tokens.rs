//! Reading token files: Megatron's and GPT-NeoX's `.bin` with its `.idx`, version 1, mapped into memory.
//!
//! In comes the path of a `.bin`; out come tokens by position and documents by number. The `.idx` is 34 bytes of header
//! (magic, version, type code, number of sequences, number of document entries), then a length (i32) and a byte offset (i64)
//! for each sequence, then the document boundaries (i64), all little endian. Every number in it is checked against the sizes of both
//! files before it is used, so that a damaged file is an error with its name and never a panic or a huge allocation.

use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::{Mmap, UncheckedAdvice};

use super::DataError;
use crate::files::map;

/// The first bytes of an index.
pub(super) const MAGIC: &[u8; 9] = b"MMIDIDX\0\0";
/// The version that is written and read.
pub(super) const VERSION: u64 = 1;
/// Bytes before the lengths.
pub(super) const HEADER: usize = 34;

/// How a token is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// One byte.
    U8,
    /// Two bytes.
    U16,
    /// Four bytes, signed.
    I32,
}

impl Width {
    /// The type of a code in an index; codes of other types (floating point above all) are no tokens.
    fn from_code(code: u8) -> Option<Width> {
        match code {
            1 => Some(Width::U8),
            4 => Some(Width::I32),
            8 => Some(Width::U16),
            _ => None,
        }
    }

    /// Bytes of one token.
    pub fn bytes(self) -> u64 {
        match self {
            Width::U8 => 1,
            Width::U16 => 2,
            Width::I32 => 4,
        }
    }
}

/// An open token file.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    tokens: Mmap,
    index: Mmap,
    width: Width,
    sequences: usize,
}

impl TokenFile {
    /// Opens `path` (a `.bin`) and the `.idx` beside it, and checks that they fit each other.
    ///
    /// # Errors
    /// A missing, truncated, foreign or contradictory file, by name.
    pub fn open(path: &Path) -> Result<TokenFile, DataError> {
        let index_path = path.with_extension("idx");
        let (tokens, index) = (map(path)?, map(&index_path)?);
        let (width, sequences) =
            header(&index).map_err(|problem| DataError::damaged(&index_path, problem))?;
        let file = TokenFile {
            path: path.to_path_buf(),
            tokens,
            index,
            width,
            sequences,
        };
        file.check_sequences()
            .map_err(|problem| DataError::damaged(&index_path, problem))?;
        Ok(file)
    }

    /// Number of tokens, separators included.
    pub fn len(&self) -> u64 {
        self.tokens.len() as u64 / self.width.bytes()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Number of sequences: documents, as GPT-NeoX counts them.
    pub fn documents(&self) -> usize {
        self.sequences
    }

    /// How tokens are stored.
    pub fn width(&self) -> Width {
        self.width
    }

    /// The `.bin` file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The raw content of the `.bin` file.
    pub fn bytes(&self) -> &[u8] {
        &self.tokens
    }

    /// The positions of a document, or none if there are not so many.
    pub fn document(&self, number: usize) -> Option<Range<u64>> {
        (number < self.sequences).then(|| {
            let start = self.offset(number) as u64 / self.width.bytes();
            start..start + self.length(number) as u64
        })
    }

    /// Copies the tokens from position `start` on into `out`. False, and nothing written, where they reach beyond the end.
    #[must_use]
    pub fn read(&self, start: u64, out: &mut [i64]) -> bool {
        let end = start.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > self.len()) {
            return false;
        }
        let width = self.width.bytes() as usize;
        let first = start as usize * width;
        let bytes = &self.tokens[first..first + out.len() * width];
        for (out, token) in out.iter_mut().zip(bytes.chunks_exact(width)) {
            *out = match *token {
                [byte] => i64::from(byte),
                [low, high] => i64::from(u16::from_le_bytes([low, high])),
                [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
                _ => 0,
            };
        }
        self.let_go();
        true
    }

    /// Takes the pages out of this process's resident size, which would otherwise grow by sixteen a sample up to the whole
    /// file; they stay in the system's cache.
    fn let_go(&self) {
        // SAFETY: the mapping is shared and of a file, so its pages come back with the same content when they are read.
        let advised = unsafe { self.tokens.unchecked_advise(UncheckedAdvice::DontNeed) };
        // Advice that is not taken costs memory only.
        drop(advised);
    }

    fn length(&self, sequence: usize) -> i32 {
        i32::from_le_bytes(array(&self.index, HEADER + 4 * sequence))
    }

    fn offset(&self, sequence: usize) -> i64 {
        i64::from_le_bytes(array(
            &self.index,
            HEADER + 4 * self.sequences + 8 * sequence,
        ))
    }

    /// Every sequence must begin where the one before ended, and the last must end with the file.
    fn check_sequences(&self) -> Result<(), String> {
        let mut end = 0i64;
        for sequence in 0..self.sequences {
            let (offset, length) = (self.offset(sequence), self.length(sequence));
            if length < 0 || offset != end {
                return Err(format!(
                    "sequence {sequence} has {length} tokens at byte {offset}, expected byte {end}"
                ));
            }
            // Offsets are sums of at most 2^31 lengths of at most 2^33 bytes, which 64 bits hold.
            end += i64::from(length) * self.width.bytes() as i64;
        }
        let size = self.tokens.len();
        if u64::try_from(end) == Ok(size as u64) {
            Ok(())
        } else {
            Err(format!(
                "it describes {end} bytes of tokens, {} has {size}",
                self.path.display()
            ))
        }
    }
}

/// Type and number of sequences, once the header and the file's size agree.
fn header(index: &[u8]) -> Result<(Width, usize), String> {
    if index.len() < HEADER {
        return Err(format!(
            "{} bytes are too few for a header of {HEADER}",
            index.len()
        ));
    }
    if index.starts_with(b"TNTIDX\0\0") {
        return Err("this is an index of the old cached format; write it again as mmap".into());
    }
    if &index[..9] != MAGIC {
        return Err("this is no token index: it does not begin with MMIDIDX".into());
    }
    let word = |at| u64::from_le_bytes(array(index, at));
    if word(9) != VERSION {
        return Err(format!("version {}, expected {VERSION}", word(9)));
    }
    let code = index[17];
    let width = Width::from_code(code).ok_or_else(|| {
        format!("type code {code} is no token type, expected 1 (u8), 4 (i32) or 8 (u16)")
    })?;
    let (sequences, documents) = (word(18), word(26));
    let bare = sequences
        .checked_mul(12)
        .zip(documents.checked_mul(8))
        .and_then(|(sequences, documents)| sequences.checked_add(documents))
        .and_then(|body| body.checked_add(HEADER as u64));
    // Newer Megatron files append one mode byte to each sequence.
    let fits = |bare: u64| {
        let beyond = (index.len() as u64).checked_sub(bare);
        beyond.is_some_and(|beyond| beyond == 0 || beyond == sequences)
    };
    if !bare.is_some_and(fits) {
        return Err(format!(
            "{} bytes, but its header says {sequences} sequences and {documents} document entries (34 + 12 × {sequences} \
             + 8 × {documents} bytes)",
            index.len()
        ));
    }
    Ok((width, sequences as usize))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}
