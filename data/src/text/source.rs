//! Raw records of many files, one after another, in batches.
//!
//! In come files and the place to begin at; out come batches of records that are about equally large, each with the place behind it. A place is a
//! file and how much of it, unpacked, has been read, so that reading can be taken up again anywhere. The bytes of each file are
//! hashed as they are read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use pleach_storage::files::At as _;

use super::lines::{self, Line};
use super::{At, Fault, Form, Input, Packing, parquet};
use crate::DataError;

/// Bytes that a batch is filled up to.
const BATCH: usize = 1 << 18;
/// Records that a batch is filled up to.
const MOST_RECORDS: usize = 4096;
/// The longest document.
const LONGEST: usize = 1 << 30;
/// What is read at once.
const BUFFER: usize = 1 << 18;

/// How far all files have been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// The file.
    pub file: usize,
    /// Bytes of it, unpacked.
    pub offset: u64,
    /// Lines of it.
    pub line: u64,
}

/// One record.
#[derive(Clone, Debug)]
pub struct Raw {
    /// Its bytes within the batch; or why there are none.
    pub bytes: Result<std::ops::Range<usize>, Fault>,
    /// Its file.
    pub file: usize,
    /// Its line, from 1; none where it is a whole file.
    pub line: Option<u64>,
}

/// Records that are worked on at once.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Their bytes, one after another.
    pub bytes: Vec<u8>,
    /// The records.
    pub records: Vec<Raw>,
    /// The place behind them.
    pub end: Place,
    /// Bytes of all files, as they lie on the disk, that have been read so far.
    pub read: u64,
    /// BLAKE3 of each file that was read to its end meanwhile.
    pub hashes: Vec<(usize, String)>,
}

/// Reads the records of files.
pub struct Records {
    inputs: Arc<Vec<Input>>,
    place: Place,
    /// The file at hand.
    open: Option<Box<dyn BufRead + Send>>,
    count: Arc<Tally>,
    /// Bytes of the files before the one at hand.
    before: u64,
}

impl Records {
    /// Begins at a place.
    pub fn new(inputs: Arc<Vec<Input>>, place: Place) -> Records {
        let before = inputs
            .iter()
            .take(place.file)
            .map(|input| input.bytes)
            .sum();
        Records {
            inputs,
            place,
            open: None,
            count: Arc::default(),
            before,
        }
    }

    /// The next batch; none at the end of the last file.
    fn batch(&mut self) -> Result<Option<Batch>, DataError> {
        let mut batch = Batch::default();
        while self.place.file < self.inputs.len()
            && batch.bytes.len() < BATCH
            && batch.records.len() < MOST_RECORDS
        {
            self.record(&mut batch)?;
        }
        batch.end = self.place;
        batch.read = self.before + self.count.bytes();
        let empty = batch.records.is_empty() && batch.hashes.is_empty();
        Ok((!empty).then_some(batch))
    }

    /// Appends the next record, or goes on to the next file.
    fn record(&mut self, batch: &mut Batch) -> Result<(), DataError> {
        let inputs = Arc::clone(&self.inputs);
        let input = &inputs[self.place.file];
        let file = self.place.file;
        let failed = |error| unreadable(input, self.place.line, error);
        let reader = match &mut self.open {
            Some(reader) => reader,
            closed => {
                self.count = Arc::default();
                let mut reader = open(input, &self.count)?;
                skip(&mut reader, self.place.offset).map_err(failed)?;
                closed.insert(reader)
            }
        };
        let start = batch.bytes.len();
        let (ended, record) = match input.form {
            Form::Text => {
                let whole = lines::rest(reader, &mut batch.bytes, LONGEST).map_err(failed)?;
                (true, Some((whole, None)))
            }
            Form::Lines => {
                let (length, whole) =
                    match lines::line(reader, &mut batch.bytes, LONGEST).map_err(failed)? {
                        Line::End => (0, false),
                        Line::Whole(length) => (length, true),
                        Line::TooLong(length) => (length, false),
                    };
                let ended = length == 0;
                self.place.offset += length;
                self.place.line += u64::from(!ended);
                (ended, (!ended).then_some((whole, Some(self.place.line))))
            }
        };
        if let Some((whole, line)) = record {
            let range = start..batch.bytes.len();
            batch.records.push(Raw {
                bytes: whole.then_some(range).ok_or(Fault::TooLong),
                file,
                line,
            });
        }
        if ended {
            self.open = None;
            self.count.is_all_of(input)?;
            batch.hashes.push((file, self.count.hash()));
            self.before += input.bytes;
            self.count = Arc::default();
            self.place = Place {
                file: file + 1,
                ..Place::default()
            };
        }
        Ok(())
    }
}

/// Batches until the last file ends; an error of the system, or a packed file that is damaged, ends them too.
impl Iterator for Records {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.batch().transpose();
        if let Some(Err(_)) = next {
            self.place.file = self.inputs.len();
        }
        next
    }
}

fn unreadable(input: &Input, line: u64, error: io::Error) -> DataError {
    if input.packing == Packing::Plain {
        return DataError::Read {
            at: At {
                path: input.path.clone(),
                line: None,
            },
            reason: error.to_string(),
        };
    }
    DataError::Read {
        at: At {
            path: input.path.clone(),
            line: (line > 0).then_some(line),
        },
        reason: format!("it cannot be unpacked: {error}"),
    }
}

fn open(input: &Input, count: &Arc<Tally>) -> Result<Box<dyn BufRead + Send>, DataError> {
    let file = File::open(&input.path).at("open", &input.path)?;
    if input.packing == Packing::Parquet {
        return parquet::open(input, file, count).map_err(|error| unreadable(input, 0, error));
    }
    let raw = BufReader::with_capacity(
        BUFFER,
        Counted {
            file,
            count: Arc::clone(count),
        },
    );
    let packed = |error| unreadable(input, 0, error);
    Ok(match input.packing {
        Packing::Plain | Packing::Parquet => Box::new(raw),
        Packing::Gzip => Box::new(BufReader::with_capacity(
            BUFFER,
            flate2::bufread::MultiGzDecoder::new(raw),
        )),
        Packing::Zstd => {
            let reader = zstd::Decoder::with_buffer(raw).map_err(packed)?;
            Box::new(BufReader::with_capacity(BUFFER, reader))
        }
    })
}

fn skip(reader: &mut impl BufRead, bytes: u64) -> io::Result<()> {
    let found = io::copy(&mut reader.take(bytes), &mut io::sink())?;
    if found == bytes {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "it has {found} bytes, {bytes} had been read before"
        )))
    }
}

/// How much of a file has been read, and the hash of that.
#[derive(Debug, Default)]
pub(super) struct Tally(std::sync::Mutex<(u64, blake3::Hasher)>);

impl Tally {
    fn with<T>(&self, of: impl FnOnce(&mut (u64, blake3::Hasher)) -> T) -> T {
        of(&mut self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Hashes a file that will not be read from its beginning to its end.
    #[cfg(feature = "parquet")]
    pub(super) fn hash_all(&self, file: &mut File) -> io::Result<()> {
        self.with(|(_, hasher)| hasher.update_reader(file).map(drop))
    }

    /// Counts bytes of such a file.
    #[cfg(feature = "parquet")]
    pub(super) fn read(&self, bytes: u64) {
        self.with(|(all, _)| *all += bytes);
    }

    fn bytes(&self) -> u64 {
        self.with(|(bytes, _)| *bytes)
    }

    /// An error where a file has not the size any more with which it was found.
    fn is_all_of(&self, input: &Input) -> Result<(), DataError> {
        let (found, read) = (input.bytes, self.with(|(_, hasher)| hasher.count()));
        if found == read {
            return Ok(());
        }
        Err(DataError::Read {
            at: At {
                path: input.path.clone(),
                line: None,
            },
            reason: format!(
                "it was changed while it was read: {found} bytes before, {read} now; begin again when nobody writes it"
            ),
        })
    }

    fn hash(&self) -> String {
        self.with(|(_, hasher)| hasher.finalize().to_hex().to_string())
    }
}

struct Counted {
    file: File,
    count: Arc<Tally>,
}

impl Read for Counted {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(out)?;
        self.count.with(|(bytes, hasher)| {
            *bytes += length as u64;
            hasher.update(&out[..length]);
        });
        Ok(length)
    }
}
