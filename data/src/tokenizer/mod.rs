//! Text to ids and back: bytes, characters, or what a `tokenizer.json` says.
//!
//! In comes a tokenizer's name as specs have it (`bytes`, `characters`, `file:PATH/tokenizer.json`, `hf:NAME`) or a path; out come ids. `bytes` are the bytes
//! themselves and `characters` Unicode's numbers of them; both end a document with id 0, so NULs inside of a text are left out and counted. A `tokenizer.json` is
//! read by the library that writes them; special tokens are not put around a text, only the end-of-document token behind it where that is asked for.

mod train;
mod words;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pleach_storage::files::At;

use crate::tokens::Kind;
use crate::{DataError, hub};

pub use train::{Training, train};
use words::Words;

/// The tokenizer's file in a repository of the Hub.
const FILE: &str = "tokenizer.json";
/// What ends a document, in the order in which it is looked for.
const ENDS: [&str; 8] = [
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end▁of▁sentence|>",
    "</s>",
    "<eos>",
    "<|eos|>",
    "<|im_end|>",
    "[SEP]",
];

/// Turns text into ids.
#[derive(Clone)]
pub struct Tokenizer {
    means: Means,
    /// The token behind each document.
    end: Option<u32>,
    /// Ids run from 0 to below this.
    ids: u64,
    /// What it is, by content.
    fingerprint: String,
}

#[derive(Clone)]
enum Means {
    Bytes,
    Characters,
    File(Box<Library>),
}

/// A `tokenizer.json`, and what makes it quick where it is of a common kind.
struct Library {
    inner: tokenizers::Tokenizer,
    words: Option<Mutex<Words>>,
}

impl Library {
    fn new(inner: tokenizers::Tokenizer) -> Library {
        let words = Words::new(&inner).map(Mutex::new);
        Library { inner, words }
    }

    fn encode(&self, text: &str, out: &mut Vec<u32>) -> tokenizers::Result<()> {
        if let Some(words) = &self.words {
            let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
            return words.encode(&self.inner, text, out);
        }
        out.extend_from_slice(self.inner.encode_fast(text, false)?.get_ids());
        Ok(())
    }
}

/// A copy remembers words of its own, so that threads do not wait for each other.
impl Clone for Library {
    fn clone(&self) -> Library {
        Library::new(self.inner.clone())
    }
}

impl Tokenizer {
    /// Opens a tokenizer by its name; paths are looked up from `folder`. `append_eod` puts a `tokenizer.json`'s end-of-document token
    /// behind each document.
    ///
    /// # Errors
    /// A name of another form, a file that is not there or no tokenizer, or one that has no token to end documents with.
    pub fn open(name: &str, folder: &Path, append_eod: bool) -> Result<Tokenizer, DataError> {
        let simple = |means, ids| Tokenizer {
            means,
            end: Some(0),
            ids,
            fingerprint: name.to_owned(),
        };
        match name {
            "bytes" => return Ok(simple(Means::Bytes, 256)),
            "characters" => {
                return Ok(simple(
                    Means::Characters,
                    u64::from(u32::from(char::MAX)) + 1,
                ));
            }
            _ => {}
        }
        if name.starts_with(hub::PREFIX) {
            return Tokenizer::read(&hub::file(name, FILE)?, append_eod);
        }
        let path = match name.strip_prefix("file:") {
            Some(path) => folder.join(path),
            None if name.ends_with(".json") => folder.join(name),
            None => {
                return Err(DataError::Tokenizer {
                    tokenizer: name.to_owned(),
                });
            }
        };
        Tokenizer::read(&path, append_eod)
    }

    /// Reads a `tokenizer.json`.
    fn read(path: &Path, append_eod: bool) -> Result<Tokenizer, DataError> {
        let bytes = std::fs::read(path).at("read", path)?;
        let wrong = |reason: String| DataError::NoTokenizer {
            path: path.to_path_buf(),
            reason,
        };
        let read = tokenizers::Tokenizer::from_bytes(&bytes);
        let mut inner = read.map_err(|error| wrong(error.to_string()))?;
        // What a model takes at once is no matter of the text.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| wrong(error.to_string()))?;
        let end = ENDS.iter().find_map(|token| inner.token_to_id(token));
        if append_eod && end.is_none() {
            let tried = ENDS.join("`, `");
            return Err(wrong(format!(
                "it has no token that ends a document (`{tried}`)"
            )));
        }
        let largest = inner.get_vocab(true).into_values().max();
        Ok(Tokenizer {
            ids: largest.map_or(0, |largest| u64::from(largest) + 1),
            means: Means::File(Box::new(Library::new(inner))),
            end: end.filter(|_| append_eod),
            fingerprint: blake3::hash(&bytes).to_hex().to_string(),
        })
    }

    /// What it is: the name of a built-in one, else BLAKE3 of the file.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Ids run from 0 to below this.
    pub fn ids(&self) -> u64 {
        self.ids
    }

    /// How its ids are stored.
    pub fn kind(&self) -> Kind {
        match self.means {
            Means::Bytes => Kind::U8,
            _ => Kind::of_vocabulary(self.ids()),
        }
    }

    /// The id behind each document.
    pub fn end(&self) -> Option<u32> {
        self.end
    }

    /// Appends the ids of a document, with what ends it, to `out`; nothing for an empty text. Gives how many NULs were left out.
    ///
    /// # Errors
    /// What the tokenizer cannot do with the text.
    pub fn document(&self, text: &str, out: &mut Vec<u32>) -> Result<u64, String> {
        let before = out.len();
        let nuls = self.part(text, out)?;
        if out.len() > before {
            out.extend(self.end);
        }
        Ok(nuls)
    }

    /// The same of a part of a document, which nothing ends.
    ///
    /// # Errors
    /// What the tokenizer cannot do with the text.
    pub fn part(&self, text: &str, out: &mut Vec<u32>) -> Result<u64, String> {
        let before = out.len();
        let nuls = match &self.means {
            Means::Bytes => {
                out.extend(text.bytes().filter(|&byte| byte != 0).map(u32::from));
                text.len() - (out.len() - before)
            }
            Means::Characters => {
                let all = text.chars().map(u32::from);
                out.extend(all.filter(|&character| character != 0));
                memchr::memchr_iter(0, text.as_bytes()).count()
            }
            Means::File(library) => {
                let encoded = library.encode(text, out);
                encoded.map_err(|error| error.to_string())?;
                0
            }
        };
        Ok(nuls as u64)
    }

    /// The text of ids, special tokens included; what is no text is shown as `\u{fffd}`.
    pub fn text(&self, ids: &[u32]) -> String {
        match &self.means {
            Means::Bytes => {
                let bytes: Vec<u8> = ids
                    .iter()
                    .map(|&id| u8::try_from(id).unwrap_or(0))
                    .collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Means::Characters => {
                let character = |&id: &u32| char::from_u32(id).unwrap_or('\u{fffd}');
                ids.iter().map(character).collect()
            }
            Means::File(library) => library
                .inner
                .decode(ids, false)
                .unwrap_or_else(|error| format!("({error})")),
        }
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Tokenizer({})", self.fingerprint)
    }
}

/// The file behind a tokenizer's name; none for one that needs no file, or whose file is not on this machine.
pub fn file(name: &str, folder: &Path) -> Option<PathBuf> {
    if name.starts_with(hub::PREFIX) {
        return hub::kept_file(name, FILE);
    }
    Some(folder.join(name.strip_prefix("file:")?))
}

#[cfg(test)]
mod tests;
