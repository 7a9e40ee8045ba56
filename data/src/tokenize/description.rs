//! What a token file was made from, and what was found on the way: `NAME.json` beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pleach_storage::files::At as _;
use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::text::{At, Fault};

/// The version of the description.
pub(super) const SCHEMA: u32 = 1;
/// So many places of a fault are kept.
const PLACES: usize = 10;

/// What stands in `NAME.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The version of this form.
    pub schema: u32,
    /// Documents: sequences of the index, or pairs of them where lines hold prompts and answers.
    pub documents: u64,
    /// Tokens.
    pub tokens: u64,
    /// How they are stored.
    pub kind: String,
    /// BLAKE3 of the `.bin`.
    pub fingerprint: String,
    /// BLAKE3 of the `.idx`.
    pub index: String,
    /// What made the ids.
    pub tokenizer: TokenizerNote,
    /// The largest id; none where there is no token.
    pub largest_id: Option<u32>,
    /// The key of a line's text.
    pub text_key: String,
    /// The key of a line's answer; the other one is then that of its prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_key: Option<String>,
    /// NULs that were left out because id 0 ends documents.
    pub skipped_nuls: u64,
    /// Documents without any text.
    pub skipped_empty: u64,
    /// Records that were left out, by what is wrong with them.
    pub skipped: BTreeMap<Fault, Skipped>,
    /// The files, in their order.
    pub sources: Vec<Source>,
    /// What it is made from and how, as one hash.
    pub identity: String,
}

/// A tokenizer as it was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizerNote {
    /// Its name.
    pub name: String,
    /// A built-in one's name, else BLAKE3 of its file.
    pub fingerprint: String,
    /// Ids run from 0 to below this.
    pub ids: u64,
    /// The id behind each document.
    pub end: Option<u32>,
}

/// Records that were left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// How many.
    pub count: u64,
    /// Where the first of them are.
    pub first: Vec<At>,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Where it was.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of it as it lay there.
    pub blake3: String,
    /// Documents that came from it.
    pub documents: u64,
}

impl Skipped {
    /// Counts one more.
    pub(super) fn add(&mut self, at: &At) {
        self.count += 1;
        if self.first.len() < PLACES {
            self.first.push(at.clone());
        }
    }
}

impl Description {
    /// Reads the description of a token file.
    ///
    /// # Errors
    /// The system's, or a file of another form.
    pub fn read(path: &Path) -> Result<Description, DataError> {
        let text = std::fs::read_to_string(path).at("read", path)?;
        let read: Description =
            serde_json::from_str(&text).map_err(|error| DataError::damaged(path, error))?;
        if read.schema == SCHEMA {
            Ok(read)
        } else {
            let problem = format!("schema {}, expected {SCHEMA}", read.schema);
            Err(DataError::damaged(path, problem))
        }
    }

    /// All records that were left out.
    pub fn skipped_records(&self) -> u64 {
        self.skipped.values().map(|skipped| skipped.count).sum()
    }
}
