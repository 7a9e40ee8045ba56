//! Token files: Megatron's and GPT-NeoX's `.bin` with its `.idx`, version 1, mapped into memory.
//!
//! In comes the path of a `.bin`; out come tokens by position and sequences by number. Every number of the index is checked
//! against the sizes of both files before it is used, so that a damaged file is an error with its name and never a panic or a huge allocation.
//! [`TokenWriter`] writes the same pair.

mod index;
mod kind;
mod writer;

use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::{Mmap, UncheckedAdvice};
use pleach_storage::files::map;

pub use kind::{Convention, Kind};
pub use writer::{Place, TokenWriter, Written};

use crate::DataError;
use index::Index;

/// How far around a page that is touched the system maps others, on either side.
const NEIGHBOURHOOD: usize = 1 << 16;

/// An open token file.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    tokens: Mmap,
    index: Index,
}

impl TokenFile {
    /// Opens `path` (a `.bin`) and the `.idx` beside it, and checks that their sizes and both ends fit. It takes the same
    /// time for any size; [`TokenFile::check`] looks at every entry.
    ///
    /// # Errors
    /// A missing, truncated, foreign or contradictory file, by name.
    pub fn open(path: &Path) -> Result<TokenFile, DataError> {
        let index_path = path.with_extension("idx");
        let (tokens, bytes) = (map(path)?, map(&index_path)?);
        let index = Index::new(bytes, tokens.len() as u64)
            .map_err(|problem| DataError::damaged(&index_path, problem))?;
        Ok(TokenFile {
            path: path.to_path_buf(),
            tokens,
            index,
        })
    }

    /// Looks at every entry of the index.
    ///
    /// # Errors
    /// The first sequence that does not begin where the one before ended.
    pub fn check(&self) -> Result<(), DataError> {
        let path = self.path.with_extension("idx");
        self.index
            .check()
            .map_err(|problem| DataError::damaged(&path, problem))
    }

    /// What is odd about the file without harming anybody here.
    pub fn oddity(&self) -> Option<String> {
        self.index.boundaries()
    }

    /// BLAKE3 of the `.bin`, in hexadecimal.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (number, part) in self.tokens.chunks(NEIGHBOURHOOD * 16).enumerate() {
            hasher.update(part);
            self.let_go(number * NEIGHBOURHOOD * 16, part.len());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Number of tokens, separators included.
    pub fn len(&self) -> u64 {
        self.tokens.len() as u64 / self.kind().bytes()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Number of sequences: documents, as GPT-NeoX counts them.
    pub fn sequences(&self) -> usize {
        self.index.sequences
    }

    /// Number of documents by the boundaries of the index, which may hold several sequences each.
    pub fn documents(&self) -> usize {
        self.index.entries.saturating_sub(1)
    }

    /// How tokens are stored.
    pub fn kind(&self) -> Kind {
        self.index.kind
    }

    /// Whose numbering of types the index follows.
    pub fn convention(&self) -> Convention {
        self.index.convention
    }

    /// The `.bin` file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The positions of a sequence; none if there are not so many, or where its entry cannot be.
    pub fn sequence(&self, number: usize) -> Option<Range<u64>> {
        let (start, length) = self.index.sequence(number)?;
        Some(start..start + length)
    }

    /// The sequence that a token belongs to; none beyond the end, or where entries cannot be.
    pub fn sequence_of(&self, token: u64) -> Option<usize> {
        let begins = |number: usize| self.sequence(number).map(|place| place.start);
        let (mut low, mut high) = (0, self.sequences());
        while low < high {
            let middle = low + (high - low) / 2;
            if begins(middle)? <= token {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let last = low.checked_sub(1)?;
        self.sequence(last)?.contains(&token).then_some(last)
    }

    /// Tokens of each sequence.
    ///
    /// # Errors
    /// An entry that cannot be.
    pub fn lengths(&self) -> Result<Vec<u32>, DataError> {
        let length = |number| u32::try_from(self.index.length(number)).ok();
        let all: Option<Vec<u32>> = (0..self.sequences()).map(length).collect();
        all.ok_or_else(|| {
            DataError::damaged(
                &self.path.with_extension("idx"),
                "a sequence has less than no tokens",
            )
        })
    }

    /// Copies the tokens from position `start` on into `out`. False, and nothing written, where they reach beyond the end or
    /// are no whole numbers.
    #[must_use]
    pub fn read(&self, start: u64, out: &mut [i64]) -> bool {
        let Some(bytes) = self.stored(start, out.len()) else {
            return false;
        };
        let whole = self.kind().decode(&self.tokens[bytes.clone()], out);
        self.let_go(bytes.start, bytes.len());
        whole
    }

    /// As [`TokenFile::read`], for values of any type.
    #[must_use]
    pub fn values(&self, start: u64, out: &mut [f64]) -> bool {
        let Some(bytes) = self.stored(start, out.len()) else {
            return false;
        };
        self.kind().values(&self.tokens[bytes.clone()], out);
        self.let_go(bytes.start, bytes.len());
        true
    }

    /// The bytes of so many tokens.
    fn stored(&self, start: u64, count: usize) -> Option<Range<usize>> {
        let end = start.checked_add(count as u64)?;
        let width = self.kind().bytes() as usize;
        (end <= self.len()).then(|| start as usize * width..end as usize * width)
    }

    /// Takes the pages out of this process's resident size, which would otherwise grow by sixteen a sample up to the whole
    /// file; they stay in the system's cache.
    fn let_go(&self, start: usize, bytes: usize) {
        let first = start.saturating_sub(NEIGHBOURHOOD);
        let end = (start + bytes).saturating_add(NEIGHBOURHOOD);
        let length = end.min(self.tokens.len()) - first;
        // SAFETY: the mapping is shared and of a file, so its pages come back with the same content when they are read.
        let advised = unsafe {
            self.tokens
                .unchecked_advise_range(UncheckedAdvice::DontNeed, first, length)
        };
        // Advice that is not taken costs memory only.
        drop(advised);
    }
}

#[cfg(test)]
mod tests;
