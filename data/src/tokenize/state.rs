//! How far a tokenization is: what a process that takes it up again has to know.
//!
//! In come encoded batches in order; out come a state on the disk, replaced as a whole, and in the end the description.

use std::collections::BTreeMap;
use std::path::Path;

use pleach_storage::files::replace;
use serde::{Deserialize, Serialize};

use super::Job;
use super::description::{Description, SCHEMA, Skipped, Source, TokenizerNote};
use super::pipeline::Encoded;
use crate::DataError;
use crate::text::{Fault, Input, Place};
use crate::tokens::{self, TokenWriter, Written};

/// The name of the state.
const NAME: &str = "state.json";

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    identity: String,
    /// How far the text has been read.
    pub at: Place,
    /// How far the token file was durable.
    pub place: tokens::Place,
    /// Bytes of the files that have been read.
    pub read: u64,
    largest_id: Option<u32>,
    nuls: u64,
    empty: u64,
    skipped: BTreeMap<Fault, Skipped>,
    /// Hash and documents of each file.
    files: Vec<(String, u64)>,
}

impl State {
    pub fn new(identity: &str, files: usize) -> State {
        State {
            identity: identity.to_owned(),
            at: Place::default(),
            place: tokens::Place::default(),
            read: 0,
            largest_id: None,
            nuls: 0,
            empty: 0,
            skipped: BTreeMap::new(),
            files: vec![(String::new(), 0); files],
        }
    }

    /// The state of an earlier process with the same job; none where there is none that can be believed.
    pub fn read(partial: &Path, identity: &str) -> Option<State> {
        let text = std::fs::read_to_string(partial.join(NAME)).ok()?;
        let state: State = serde_json::from_str(&text).ok()?;
        (state.identity == identity).then_some(state)
    }

    /// Replaces the state on the disk.
    pub fn write(&self, partial: &Path) -> Result<(), DataError> {
        let text = serde_json::to_string(self).expect("names and counts are plain JSON");
        Ok(replace(&partial.join(NAME), text.as_bytes())?)
    }

    /// Writes a batch's documents and counts what is in it.
    pub fn take(
        &mut self,
        inputs: &[Input],
        encoded: &Encoded,
        writer: &mut TokenWriter,
    ) -> Result<(), DataError> {
        let mut start = 0;
        for document in &encoded.documents {
            let stored = &encoded.stored[start..document.end];
            writer.sequence(stored, &inputs[document.file].path)?;
            self.files[document.file].1 += u64::from(document.begins);
            start = document.end;
        }
        for (fault, at) in &encoded.faults {
            self.skipped.entry(*fault).or_default().add(at);
        }
        for (file, hash) in &encoded.hashes {
            self.files[*file].0.clone_from(hash);
        }
        self.largest_id = self.largest_id.max(encoded.largest_id);
        self.nuls += encoded.nuls;
        self.empty += encoded.empty;
        self.read = encoded.read;
        self.at = encoded.end;
        Ok(())
    }

    /// The description of what was written.
    pub fn describe(
        &self,
        job: &Job,
        identity: &str,
        written: &Written,
        index: String,
    ) -> Description {
        let source = |(input, (hash, documents)): (&Input, &(String, u64))| Source {
            path: input.path.clone(),
            bytes: input.bytes,
            blake3: hash.clone(),
            documents: *documents,
        };
        Description {
            schema: SCHEMA,
            documents: written.place.sequences / job.fields.sequences(),
            tokens: written.place.tokens,
            kind: job.tokenizer.kind().to_string(),
            fingerprint: written.fingerprint.clone(),
            index,
            tokenizer: TokenizerNote {
                name: job.tokenizer_name.clone(),
                fingerprint: job.tokenizer.fingerprint().to_owned(),
                ids: job.tokenizer.ids(),
                end: job.tokenizer.end(),
            },
            largest_id: self.largest_id,
            text_key: job.fields.text.clone(),
            answer_key: job.fields.answer.clone(),
            skipped_nuls: self.nuls,
            skipped_empty: self.empty,
            skipped: self.skipped.clone(),
            sources: job.inputs.iter().zip(&self.files).map(source).collect(),
            identity: identity.to_owned(),
        }
    }
}
