//! Writing token files: sequences of tokens in, `.bin` and `.idx` out, with their fingerprint.
//!
//! Memory does not grow with what is written: lengths wait in a file of their own (`.lengths`) until the index is written at the end. What was
//! written and synced can be taken up again after a crash. The folder or the names are given by the caller, last.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use pleach_storage::files::{At, FileError};

use super::Kind;
use super::index::{HEADER, MAGIC, VERSION};
use crate::DataError;

/// What is gathered before it is written.
const BUFFER: usize = 1 << 20;

/// How far a token file has been written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// Sequences.
    pub sequences: u64,
    /// Tokens of all of them.
    pub tokens: u64,
}

/// A token file while it is written.
pub struct TokenWriter {
    path: PathBuf,
    kind: Kind,
    code: u8,
    tokens: BufWriter<File>,
    lengths: BufWriter<File>,
    hasher: blake3::Hasher,
    place: Place,
}

/// What is known of a token file once it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Sequences and tokens.
    pub place: Place,
    /// BLAKE3 of the `.bin`.
    pub fingerprint: String,
}

impl TokenWriter {
    /// Begins the `.bin` at `path`.
    ///
    /// # Errors
    /// A type that programs number differently, or the system's.
    pub fn create(path: &Path, kind: Kind) -> Result<TokenWriter, DataError> {
        for path in [path.to_path_buf(), lengths_of(path)] {
            File::create(&path).at("create", &path)?;
        }
        TokenWriter::resume(path, kind, Place::default())
    }

    /// Goes on at a place that was synced before; what was written behind it is cut off.
    ///
    /// # Errors
    /// Files that are shorter than the place, or the system's.
    pub fn resume(path: &Path, kind: Kind, place: Place) -> Result<TokenWriter, DataError> {
        let code = kind
            .code()
            .ok_or_else(|| DataError::damaged(path, format_args!("{kind} is no type of tokens")))?;
        let lengths_path = lengths_of(path);
        let mut hasher = blake3::Hasher::new();
        let tokens = cut(path, place.tokens * kind.bytes(), Some(&mut hasher))?;
        let lengths = cut(&lengths_path, place.sequences * 4, None)?;
        Ok(TokenWriter {
            path: path.to_path_buf(),
            kind,
            code,
            tokens: BufWriter::with_capacity(BUFFER, tokens),
            lengths: BufWriter::new(lengths),
            hasher,
            place,
        })
    }

    /// How tokens are stored.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How far it is.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Adds a sequence whose tokens are stored already; `from` is where it comes from, for errors.
    ///
    /// # Errors
    /// More tokens than an index can say, or the system's.
    pub fn sequence(&mut self, stored: &[u8], from: &Path) -> Result<(), DataError> {
        let count = stored.len() as u64 / self.kind.bytes();
        let length = i32::try_from(count).map_err(|_| DataError::DocumentTooLong {
            path: from.to_path_buf(),
            tokens: count,
        })?;
        self.hasher.update(stored);
        self.tokens.write_all(stored).at("write", &self.path)?;
        let entry = length.to_le_bytes();
        self.lengths.write_all(&entry).at("write", &self.path)?;
        self.place.sequences += 1;
        self.place.tokens += count;
        Ok(())
    }

    /// Adds a sequence of ids; `from` is where it comes from, for errors.
    ///
    /// # Errors
    /// An id that the type cannot hold, or as [`TokenWriter::sequence`].
    pub fn ids(&mut self, ids: &[u32], from: &Path) -> Result<(), DataError> {
        let mut stored = Vec::with_capacity(ids.len() * self.kind.bytes() as usize);
        for &id in ids {
            if !self.kind.encode(id, &mut stored) {
                let kind = self.kind;
                let path = from.to_path_buf();
                return Err(DataError::IdTooLarge { path, id, kind });
            }
        }
        self.sequence(&stored, from)
    }

    /// Makes all that was written durable: from here on it can be resumed.
    ///
    /// # Errors
    /// The system's.
    pub fn sync(&mut self) -> Result<Place, DataError> {
        for file in [&mut self.tokens, &mut self.lengths] {
            file.flush()
                .and_then(|()| file.get_ref().sync_data())
                .at("write", &self.path)?;
        }
        Ok(self.place)
    }

    /// Ends the `.bin` and writes the `.idx`, in which each document consists of so many sequences.
    ///
    /// # Errors
    /// The system's.
    pub fn finish(mut self, each: u64) -> Result<Written, DataError> {
        self.sync()?;
        self.write_index(each.max(1))?;
        let lengths = lengths_of(&self.path);
        fs::remove_file(&lengths).at("delete", &lengths)?;
        Ok(Written {
            place: self.place,
            fingerprint: self.hasher.finalize().to_hex().to_string(),
        })
    }

    /// Document boundaries are `0, 1, 2, …` for one sequence each, `0, 2, 4, …` for two.
    fn write_index(&self, each: u64) -> Result<(), FileError> {
        let path = self.path.with_extension("idx");
        let lengths = lengths_of(&self.path);
        let read = || {
            File::open(&lengths)
                .at("open", &lengths)
                .map(BufReader::new)
        };
        let mut file = BufWriter::with_capacity(BUFFER, File::create(&path).at("create", &path)?);
        let (mut first, mut second) = (read()?, read()?);
        let mut write = || {
            file.write_all(&self.header(each))?;
            std::io::copy(&mut first, &mut file)?;
            let mut start = 0i64;
            let mut length = [0; 4];
            for _ in 0..self.place.sequences {
                file.write_all(&start.to_le_bytes())?;
                second.read_exact(&mut length)?;
                start += i64::from(i32::from_le_bytes(length)) * self.kind.bytes() as i64;
            }
            for document in 0..=self.place.sequences / each {
                file.write_all(&(document * each).to_le_bytes())?;
            }
            file.flush()?;
            file.get_ref().sync_all()
        };
        write().at("write", &path)
    }

    fn header(&self, each: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.push(self.code);
        bytes.extend(self.place.sequences.to_le_bytes());
        bytes.extend((self.place.sequences / each + 1).to_le_bytes());
        bytes
    }
}

/// Where lengths wait.
fn lengths_of(path: &Path) -> PathBuf {
    path.with_extension("lengths")
}

/// Opens a file for appending after its first `size` bytes, which are hashed where asked; the rest goes.
fn cut(path: &Path, size: u64, hasher: Option<&mut blake3::Hasher>) -> Result<File, DataError> {
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .append(true)
        .open(path)
        .at("open", path)?;
    let found = file.metadata().at("read", path)?.len();
    if found < size {
        let problem = format!("it has {found} bytes, {size} were written");
        return Err(DataError::damaged(path, problem));
    }
    file.set_len(size).at("cut", path)?;
    if let Some(hasher) = hasher {
        hasher.update_reader(&mut file).at("read", path)?;
    }
    Ok(file)
}
