//! From text to a token file: in parallel, in bounded memory, and never lost.
//!
//! In come files, a tokenizer and the name of the output; out come `NAME.bin`, `NAME.idx` and `NAME.json`, which says what they were made from. While it is
//! written it lies in `NAME.partial/`, under a lock, with a [`State`] from which a killed process is taken up again; what is whole gets its name
//! last. The bytes do not depend on the number of threads, on interruptions or on the time.

mod description;
mod pipeline;
mod state;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pleach_storage::files::{At as _, remove_folder, replace, sync_folder, sync_parent};

pub use description::{Description, Skipped, Source, TokenizerNote};

use crate::DataError;
use crate::text::{Fields, Input};
use crate::tokenizer::Tokenizer;
use crate::tokens::TokenWriter;
use pipeline::{Encoded, Encoder};
use state::State;

/// Bytes of tokens between two states that can be taken up again.
pub const SYNC_EVERY: u64 = 1 << 26;

/// What to tokenize.
#[derive(Clone, Debug)]
pub struct Job {
    /// The files, in their order.
    pub inputs: Vec<Input>,
    /// The output, without an ending.
    pub out: PathBuf,
    /// What turns text into ids.
    pub tokenizer: Tokenizer,
    /// What it is called, for people.
    pub tokenizer_name: String,
    /// Where the text stands in lines.
    pub fields: Fields,
    /// Whether lines that cannot be read are skipped and counted; else the first ends it.
    pub skip_bad_lines: bool,
    /// Threads that tokenize.
    pub threads: usize,
    /// Bytes of tokens between two states, [`SYNC_EVERY`] but for tests.
    pub sync_every: u64,
    /// Whether an output that was made from something else is replaced.
    pub replace: bool,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the files that have been read.
    pub read: u64,
    /// Bytes of all files.
    pub total: u64,
    /// Bytes that an earlier process had read.
    pub resumed: u64,
    /// Documents written.
    pub documents: u64,
    /// Tokens written.
    pub tokens: u64,
}

/// How it ended.
#[derive(Clone, Debug)]
pub struct Done {
    /// What was written.
    pub description: Description,
    /// Whether it was there before.
    pub was_there: bool,
    /// Documents that an earlier process had written.
    pub resumed: u64,
}

/// Tokenizes, or goes on where an earlier process was ended; `tell` hears how far it is.
///
/// # Errors
/// A record that cannot be read (unless such are skipped), another process at the same output, an output made from something else, or the system's.
pub fn run(job: &Job, tell: &mut dyn FnMut(&Progress)) -> Result<Done, DataError> {
    let identity = identity(job);
    if let Some(description) = finished(job, &identity)? {
        clear(&ending(&job.out, "partial"), &job.out)?;
        return Ok(Done {
            description,
            was_there: true,
            resumed: 0,
        });
    }
    let partial = ending(&job.out, "partial");
    fs::create_dir_all(&partial).at("create", &partial)?;
    let _lock = lock(&partial, &job.out)?;
    let (mut state, mut writer) = begin(job, &partial, &identity)?;
    let resumed = state.place.sequences;
    if !partial.join("tokens.json").exists() {
        write(job, &partial, &mut state, &mut writer, tell)?;
        let written = writer.finish(job.fields.sequences())?;
        let index = hash_of(&partial.join("tokens.idx"))?;
        let description = state.describe(job, &identity, &written, index);
        let text =
            serde_json::to_string_pretty(&description).expect("names and counts are plain JSON");
        replace(&partial.join("tokens.json"), text.as_bytes())?;
    }
    publish(&partial, &job.out)?;
    let description = finished(job, &identity)?.ok_or_else(|| {
        DataError::damaged(&ending(&job.out, "json"), "it is not what was just written")
    })?;
    Ok(Done {
        description,
        was_there: false,
        resumed,
    })
}

/// `out` with an ending behind whatever dots its name has.
pub fn ending(out: &Path, ending: &str) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(ending);
    out.with_file_name(name)
}

/// What the output is made from and how, without what does not change its bytes.
fn identity(job: &Job) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("pleach 2026 tokenization");
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(job.tokenizer.fingerprint().as_bytes());
    part(
        &job.tokenizer
            .end()
            .map_or(u64::MAX, u64::from)
            .to_le_bytes(),
    );
    part(job.fields.text.as_bytes());
    if let Some(answer) = &job.fields.answer {
        part(answer.as_bytes());
    }
    part(&[u8::from(job.skip_bad_lines)]);
    for input in &job.inputs {
        part(input.path.as_os_str().as_encoded_bytes());
        part(&input.bytes.to_le_bytes());
        part(&input.changed.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// The description of an output that is there; an error where it was made from something else and is not to be replaced.
fn finished(job: &Job, identity: &str) -> Result<Option<Description>, DataError> {
    let there = ["bin", "idx", "json"].map(|end| ending(&job.out, end).exists());
    let exists = || DataError::Exists {
        path: ending(&job.out, "bin"),
    };
    let partly = there.contains(&true);
    if !there[2] {
        // A crash between the names of `bin` and `json` leaves the rest of the output in `partial`.
        let own = ending(&job.out, "partial").join("tokens.json").exists();
        return if partly && !own && !job.replace {
            Err(exists())
        } else {
            Ok(None)
        };
    }
    let description = Description::read(&ending(&job.out, "json"))?;
    let same = description.identity == identity && there == [true; 3];
    match (same, job.replace) {
        (true, _) => Ok(Some(description)),
        (false, true) => Ok(None),
        (false, false) => Err(exists()),
    }
}

fn lock(partial: &Path, out: &Path) -> Result<File, DataError> {
    let path = partial.join("lock");
    let file = File::create(&path).at("create", &path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(DataError::Busy {
            path: ending(out, "bin"),
        }),
        Err(fs::TryLockError::Error(error)) => Err(error).at("lock", &path).map_err(Into::into),
    }
}

/// Deletes what a process that was killed behind the last name has left. Whoever still writes holds the lock or has tokens there.
fn clear(partial: &Path, out: &Path) -> Result<(), DataError> {
    if !partial.exists() || partial.join("tokens.bin").exists() {
        return Ok(());
    }
    match lock(partial, out) {
        Ok(_lock) => Ok(remove_folder(partial)?),
        Err(DataError::Busy { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The state to go on from: that of an earlier process with the same job, or a new one.
fn begin(job: &Job, partial: &Path, identity: &str) -> Result<(State, TokenWriter), DataError> {
    let tokens = partial.join("tokens.bin");
    let kind = job.tokenizer.kind();
    if let Some(state) = State::read(partial, identity) {
        if partial.join("tokens.json").exists() && !tokens.exists() {
            // All that is missing are names.
            let scrap = partial.join("scrap.bin");
            return Ok((state, TokenWriter::create(&scrap, kind)?));
        }
        if let Ok(writer) = TokenWriter::resume(&tokens, kind, state.place) {
            return Ok((state, writer));
        }
    }
    let description = partial.join("tokens.json");
    if description.exists() {
        fs::remove_file(&description).at("delete", &description)?;
    }
    let writer = TokenWriter::create(&tokens, kind)?;
    let state = State::new(identity, job.inputs.len());
    state.write(partial)?;
    Ok((state, writer))
}

fn write(
    job: &Job,
    partial: &Path,
    state: &mut State,
    writer: &mut TokenWriter,
    tell: &mut dyn FnMut(&Progress),
) -> Result<(), DataError> {
    let encoder = Encoder {
        inputs: Arc::new(job.inputs.clone()),
        tokenizer: job.tokenizer.clone(),
        fields: job.fields.clone(),
        skip_bad_lines: job.skip_bad_lines,
    };
    let mut progress = Progress {
        total: job.inputs.iter().map(|input| input.bytes).sum(),
        resumed: state.read,
        ..Progress::default()
    };
    let mut since = 0;
    pipeline::run(&encoder, job.threads, state.at, &mut |encoded: Encoded| {
        since += encoded.stored.len() as u64;
        state.take(&job.inputs, &encoded, writer)?;
        if since >= job.sync_every {
            since = 0;
            state.place = writer.sync()?;
            state.write(partial)?;
        }
        progress.read = encoded.read;
        progress.documents = writer.place().sequences;
        progress.tokens = writer.place().tokens;
        tell(&progress);
        Ok(())
    })
}

/// Gives what is whole its names, the description last.
fn publish(partial: &Path, out: &Path) -> Result<(), DataError> {
    sync_folder(partial)?;
    if partial.join("tokens.bin").exists() {
        for end in ["json", "idx"] {
            let old = ending(out, end);
            if old.exists() {
                fs::remove_file(&old).at("delete", &old)?;
            }
        }
    }
    for end in ["bin", "idx", "json"] {
        let from = partial.join(format!("tokens.{end}"));
        if from.exists() {
            fs::rename(&from, ending(out, end)).at("rename", &from)?;
        }
    }
    sync_parent(out)?;
    remove_folder(partial)?;
    Ok(())
}

fn hash_of(path: &Path) -> Result<String, DataError> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path).at("open", path)?;
    hasher.update_reader(&mut file).at("read", path)?;
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests;
