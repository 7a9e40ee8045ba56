//! One thread reads, some tokenize, the caller takes what they made in the order in which it was read.
//!
//! In come files and a place; out come encoded batches, in order. Queues are short, and what is under way has a budget of bytes, so that memory does
//! not grow with the size of the files, nor with threads where lines are long.

mod budget;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::DataError;
use crate::text::{At, Batch, Fault, Fields, Input, Place, Raw, Records};
use crate::tokenizer::Tokenizer;
use budget::{Budget, Share};

/// Bytes of text between reading and writing, where it is more than one batch.
const UNDER_WAY: usize = 1 << 26;
/// Batches that wait for each thread.
const WAITING: usize = 2;

/// What turns batches of records into ids.
#[derive(Clone)]
pub(super) struct Encoder {
    /// All files.
    pub inputs: Arc<Vec<Input>>,
    /// What makes the ids; a copy for each thread, because it remembers words under a lock.
    pub tokenizer: Tokenizer,
    /// Where texts are in records.
    pub fields: Fields,
    /// Whether faults are counted instead of ending it.
    pub skip_bad_lines: bool,
}

/// A document in a batch, or one of the sequences that it consists of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Document {
    /// Where its bytes end.
    pub end: usize,
    /// Its file.
    pub file: usize,
    /// Whether a document begins with it.
    pub begins: bool,
}

/// A batch as it is stored.
#[derive(Clone, Debug, Default)]
pub(super) struct Encoded {
    /// The tokens of all documents, as they are stored.
    pub stored: Vec<u8>,
    /// The documents.
    pub documents: Vec<Document>,
    /// What was left out.
    pub faults: Vec<(Fault, At)>,
    pub largest_id: Option<u32>,
    pub nuls: u64,
    pub empty: u64,
    /// The place behind the batch.
    pub end: Place,
    /// Bytes of all files read so far.
    pub read: u64,
    /// Hashes of files that were read to their ends.
    pub hashes: Vec<(usize, String)>,
}

type Answer = Result<Encoded, DataError>;
type Task = (Batch, SyncSender<Answer>);
type Promise = (Receiver<Answer>, Share);

/// Reads from a place on and gives every encoded batch to `take`, in order; ends with the first error in that order.
pub(super) fn run(
    encoder: &Encoder,
    threads: usize,
    from: Place,
    take: &mut dyn FnMut(Encoded) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let records = Records::new(Arc::clone(&encoder.inputs), from);
    all(encoder, threads.max(1), records, take)
}

fn all(
    encoder: &Encoder,
    threads: usize,
    batches: impl Iterator<Item = Result<Batch, DataError>> + Send,
    take: &mut dyn FnMut(Encoded) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let (tasks, shared) = sync_channel::<Task>(WAITING * threads);
    let (answers, ordered) = sync_channel::<Promise>(2 * WAITING * threads);
    let shared = Arc::new(Mutex::new(shared));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (encoder, shared) = (encoder.clone(), Arc::clone(&shared));
            scope.spawn(move || work(&encoder, &shared));
        }
        drop(shared);
        scope.spawn(move || read(batches, &tasks, &answers));
        // Taken by value: whoever waits to send, or for bytes, learns from its end that nobody wants more.
        for (answer, _share) in ordered {
            match answer.recv() {
                Ok(answer) => take(answer?)?,
                // The thread ended in a panic, which joining it repeats.
                Err(_) => break,
            }
        }
        Ok(())
    })
}

/// Gives out batches until they end or nobody wants more.
fn read(
    batches: impl Iterator<Item = Result<Batch, DataError>>,
    tasks: &SyncSender<Task>,
    answers: &SyncSender<Promise>,
) {
    let budget = Arc::new(Budget::new(UNDER_WAY));
    for batch in batches {
        let bytes = batch.as_ref().map_or(0, |batch| batch.bytes.capacity());
        let share = budget.share(bytes);
        let (answer, receiver) = sync_channel(1);
        let promise = (receiver, share);
        let wanted = match batch {
            Ok(batch) => answers.send(promise).is_ok() && tasks.send((batch, answer)).is_ok(),
            Err(error) => answer.send(Err(error)).is_ok() && answers.send(promise).is_ok(),
        };
        if !wanted {
            return;
        }
    }
}

fn work(encoder: &Encoder, tasks: &Mutex<Receiver<Task>>) {
    loop {
        let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((batch, answer)) = task else { return };
        // Nobody waits for it where an error came before.
        let _ = answer.send(encoder.encode(batch));
    }
}

impl Encoder {
    fn encode(&self, batch: Batch) -> Answer {
        let mut encoded = Encoded {
            end: batch.end,
            read: batch.read,
            hashes: batch.hashes,
            ..Encoded::default()
        };
        let mut ids = Vec::new();
        for raw in &batch.records {
            let input = &self.inputs[raw.file];
            let bytes = raw.bytes.clone().map(|range| &batch.bytes[range]);
            let text = bytes.and_then(|bytes| {
                let text = self.fields.text(input.form, bytes)?;
                let answer = text.as_ref().map(|_| self.fields.answer(input.form, bytes));
                Ok(text.zip(answer.transpose()?))
            });
            match text {
                Ok(Some((text, None))) => self.document(&text, raw, &mut ids, &mut encoded)?,
                Ok(Some((prompt, Some(answer)))) => {
                    self.instruction([&prompt, &answer], raw, &mut ids, &mut encoded)?;
                }
                Ok(None) => {}
                Err(fault) if self.skip_bad_lines => encoded.faults.push((fault, self.at(raw))),
                Err(fault) => {
                    return Err(DataError::BadRecord {
                        at: self.at(raw),
                        fault,
                    });
                }
            }
        }
        Ok(encoded)
    }

    fn document(
        &self,
        text: &str,
        raw: &Raw,
        ids: &mut Vec<u32>,
        encoded: &mut Encoded,
    ) -> Result<(), DataError> {
        ids.clear();
        let made = self.tokenizer.document(text, ids);
        let at = || self.at(raw);
        encoded.nuls += made.map_err(|reason| DataError::Encode { at: at(), reason })?;
        if ids.is_empty() {
            encoded.empty += 1;
            return Ok(());
        }
        self.store(ids, raw, true, encoded)
    }

    /// A prompt and its answer, each a sequence of its own, whatever is in it; what ends a document stands behind the answer.
    fn instruction(
        &self,
        texts: [&str; 2],
        raw: &Raw,
        ids: &mut Vec<u32>,
        encoded: &mut Encoded,
    ) -> Result<(), DataError> {
        if texts == [""; 2] {
            encoded.empty += 1;
            return Ok(());
        }
        for (number, text) in texts.into_iter().enumerate() {
            ids.clear();
            let made = self.tokenizer.part(text, ids);
            let at = || self.at(raw);
            encoded.nuls += made.map_err(|reason| DataError::Encode { at: at(), reason })?;
            ids.extend(self.tokenizer.end().filter(|_| number == 1));
            self.store(ids, raw, number == 0, encoded)?;
        }
        Ok(())
    }

    /// Stores a sequence.
    fn store(
        &self,
        ids: &[u32],
        raw: &Raw,
        begins: bool,
        encoded: &mut Encoded,
    ) -> Result<(), DataError> {
        let kind = self.tokenizer.kind();
        for &id in ids.iter() {
            if !kind.encode(id, &mut encoded.stored) {
                let path = self.at(raw).path;
                return Err(DataError::IdTooLarge { path, id, kind });
            }
        }
        encoded.largest_id = encoded.largest_id.max(ids.iter().copied().max());
        encoded.documents.push(Document {
            end: encoded.stored.len(),
            file: raw.file,
            begins,
        });
        Ok(())
    }

    fn at(&self, raw: &Raw) -> At {
        At {
            path: self.inputs[raw.file].path.clone(),
            line: raw.line,
        }
    }
}

#[cfg(test)]
mod tests;
