//! The `.idx` beside a `.bin`: where each sequence lies.
//!
//! In come the mapped bytes of an index and the size of its `.bin`; out come lengths and places by number. The file is 34 bytes of header
//! (magic, version, type code, number of sequences, number of document entries), then a length (i32) and a byte offset (i64)
//! for each sequence, then the document boundaries (i64), all little endian; newer Megatron files append a mode byte to each sequence. Opening
//! takes the same time whatever the size: the header must fit the file, the first sequence must begin at 0 and the last end with the `.bin`.
//! Every other entry is checked when it is used, and all of them by [`Index::check`].

use memmap2::Mmap;

use super::{Convention, Kind};

/// The first bytes of an index.
pub(super) const MAGIC: &[u8; 9] = b"MMIDIDX\0\0";
/// The version that is written and read.
pub(super) const VERSION: u64 = 1;
/// Bytes before the lengths.
pub(super) const HEADER: usize = 34;

/// An open index.
#[derive(Debug)]
pub(super) struct Index {
    bytes: Mmap,
    /// How tokens are stored.
    pub kind: Kind,
    /// Whose numbering says so.
    pub convention: Convention,
    /// Number of sequences.
    pub sequences: usize,
    /// Number of document entries: documents and one.
    pub entries: usize,
    /// Bytes of the `.bin`.
    size: u64,
}

impl Index {
    /// Reads the header and both ends, for a `.bin` of `size` bytes.
    pub fn new(bytes: Mmap, size: u64) -> Result<Index, String> {
        let (code, sequences, entries) = header(&bytes)?;
        let mut index = Index {
            bytes,
            kind: Kind::U8,
            convention: Convention::Common,
            sequences,
            entries,
            size,
        };
        (index.kind, index.convention) = Kind::of_code(code, index.stored(code)?)?;
        index.ends()?;
        Ok(index)
    }

    /// The bytes that a value takes, by the first sequence that has any; asked only where the code does not tell.
    fn stored(&self, code: u8) -> Result<Option<u64>, String> {
        if !matches!(code, 6 | 7) {
            return Ok(None);
        }
        let Some(first) = (0..self.sequences).find(|&number| self.length(number) > 0) else {
            return Ok(None);
        };
        let end = match first + 1 {
            next if next < self.sequences => self.offset(next),
            _ => i64::try_from(self.size).unwrap_or(i64::MAX),
        };
        let length = i64::from(self.length(first));
        let bytes = end.checked_sub(self.offset(first));
        match bytes.filter(|&bytes| bytes > 0 && bytes % length == 0) {
            Some(bytes) => Ok(Some((bytes / length) as u64)),
            None => Err(format!("sequence {first} has {length} values of no size")),
        }
    }

    /// The first sequence begins with the `.bin`, the last ends with it.
    fn ends(&self) -> Result<(), String> {
        let Some(last) = self.sequences.checked_sub(1) else {
            return self.ends_at(0);
        };
        if self.offset(0) != 0 {
            return Err(self.stray(0, 0));
        }
        match self.claimed_end(last) {
            Some(end) => self.ends_at(end),
            None => Err(self.stray(last, self.size)),
        }
    }

    fn ends_at(&self, end: u64) -> Result<(), String> {
        if end == self.size {
            Ok(())
        } else {
            Err(format!(
                "it describes {end} bytes of tokens, the .bin beside it has {}",
                self.size
            ))
        }
    }

    /// Every sequence begins where the one before ended, and document boundaries rise from 0 to the number of sequences.
    pub fn check(&self) -> Result<(), String> {
        let mut end = 0;
        for sequence in 0..self.sequences {
            let begins = u64::try_from(self.offset(sequence)) == Ok(end);
            match self.end_of(sequence).filter(|_| begins) {
                Some(next) => end = next,
                None => return Err(self.stray(sequence, end)),
            }
        }
        self.ends_at(end)
    }

    /// What is odd about document boundaries; no program here reads them, so it is no error.
    pub fn boundaries(&self) -> Option<String> {
        let last = self.sequences as i64;
        let entry = |number| self.boundary(number);
        let rises = (1..self.entries).all(|number| entry(number - 1) <= entry(number));
        let whole = self.entries > 0 && entry(0) == 0 && entry(self.entries - 1) == last;
        (!rises || !whole).then(|| {
            format!(
                "its {} document boundaries do not rise from 0 to {last}",
                self.entries
            )
        })
    }

    fn stray(&self, sequence: usize, end: u64) -> String {
        let (offset, length) = (self.offset(sequence), self.length(sequence));
        let size = self.size;
        format!(
            "sequence {sequence} has {length} tokens at byte {offset} of {size}, expected byte {end}"
        )
    }

    /// The byte after a sequence; none where its entry cannot be.
    fn end_of(&self, sequence: usize) -> Option<u64> {
        self.claimed_end(sequence).filter(|&end| end <= self.size)
    }

    fn claimed_end(&self, sequence: usize) -> Option<u64> {
        let length = u64::try_from(self.length(sequence)).ok()?;
        let offset = u64::try_from(self.offset(sequence)).ok()?;
        offset.checked_add(length.checked_mul(self.kind.bytes())?)
    }

    /// First token and number of tokens of a sequence; none where there is none, or its entry cannot be.
    pub fn sequence(&self, number: usize) -> Option<(u64, u64)> {
        if number >= self.sequences {
            return None;
        }
        let end = self.end_of(number)?;
        let length = self.length(number) as u64;
        let start = end - length * self.kind.bytes();
        start
            .is_multiple_of(self.kind.bytes())
            .then(|| (start / self.kind.bytes(), length))
    }

    /// Tokens of a sequence that is there, as its entry says.
    pub fn length(&self, sequence: usize) -> i32 {
        i32::from_le_bytes(array(&self.bytes, HEADER + 4 * sequence))
    }

    fn offset(&self, sequence: usize) -> i64 {
        let at = HEADER + 4 * self.sequences + 8 * sequence;
        i64::from_le_bytes(array(&self.bytes, at))
    }

    fn boundary(&self, entry: usize) -> i64 {
        let at = HEADER + 12 * self.sequences + 8 * entry;
        i64::from_le_bytes(array(&self.bytes, at))
    }
}

/// Type code, number of sequences and of document entries, once the header and the file's size agree.
fn header(index: &[u8]) -> Result<(u8, usize, usize), String> {
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
    let (sequences, entries) = (word(18), word(26));
    let bare = sequences
        .checked_mul(12)
        .zip(entries.checked_mul(8))
        .and_then(|(sequences, entries)| sequences.checked_add(entries))
        .and_then(|body| body.checked_add(HEADER as u64));
    let fits = |bare: u64| {
        let beyond = (index.len() as u64).checked_sub(bare);
        beyond.is_some_and(|beyond| beyond == 0 || beyond == sequences)
    };
    if !bare.is_some_and(fits) {
        return Err(format!(
            "{} bytes, but its header says {sequences} sequences and {entries} document entries (34 + 12 × {sequences} \
             + 8 × {entries} bytes)",
            index.len()
        ));
    }
    Ok((index[17], sequences as usize, entries as usize))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}
