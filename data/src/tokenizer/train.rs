//! Training a tokenizer as GPT-NeoX-20B's is: byte-level BPE in NFC, with a token for each run of spaces.
//!
//! In come files of text and a size; out comes a `tokenizer.json`. Ids begin with the special tokens and end with the runs of 24 to 2 spaces, which code is full of.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, TokenizerBuilder};

use crate::DataError;
use crate::text::{At, Fields, Records, inputs};

/// Longest run of spaces with a token of its own.
const LONGEST_RUN: usize = 24;
/// Special tokens, from id 0 on.
const SPECIAL: [&str; 2] = ["<|endoftext|>", "<|padding|>"];
/// The smallest size: special tokens, all bytes, and the runs.
pub const LEAST: u64 = (SPECIAL.len() + 256 + LONGEST_RUN - 1) as u64;

/// What to train on, and how.
#[derive(Clone, Debug)]
pub struct Training {
    /// Files, folders and globs.
    pub from: Vec<PathBuf>,
    /// Where the text stands in lines.
    pub fields: Fields,
    /// Ids in all.
    pub size: u64,
    /// Whether lines that cannot be read are skipped.
    pub skip_bad_lines: bool,
}

/// Trains a tokenizer; gives the content of its `tokenizer.json`, and how many ids it has, which are fewer than wanted where the text has no more.
///
/// # Errors
/// Files that cannot be read, a size below [`LEAST`], or what the library cannot do.
pub fn train(training: &Training) -> Result<(String, u64), DataError> {
    let failed = |reason: String| DataError::Training { reason };
    if training.size < LEAST {
        let reason = format!(
            "{} ids are too few, bytes and spaces need {LEAST}",
            training.size
        );
        return Err(failed(reason));
    }
    let special = SPECIAL.map(|token| AddedToken::from(token, true));
    let size = training.size as usize - (LONGEST_RUN - 1);
    let mut trainer = BpeTrainerBuilder::new()
        .vocab_size(size)
        .show_progress(false)
        .special_tokens(special.to_vec())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let bytes = ByteLevel::new(false, true, true);
    let built = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(Some(NFC))
        .with_pre_tokenizer(Some(bytes))
        .with_post_processor(Some(bytes))
        .with_decoder(Some(bytes))
        .build();
    let mut tokenizer = built.map_err(|error| failed(error.to_string()))?;
    let fault = Arc::new(Mutex::new(None));
    let texts = texts(training, Arc::clone(&fault))?;
    tokenizer
        .train(&mut trainer, texts)
        .map_err(|error| failed(error.to_string()))?;
    if let Some(fault) = fault.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(fault);
    }
    let runs = (2..=LONGEST_RUN)
        .rev()
        .map(|length| AddedToken::from(" ".repeat(length), false));
    tokenizer
        .add_tokens(runs)
        .map_err(|error| failed(error.to_string()))?;
    let ids = tokenizer.get_vocab_size(true) as u64;
    let text = tokenizer
        .to_string(true)
        .map_err(|error| failed(error.to_string()))?;
    Ok((text, ids))
}

/// All texts of the files; the first fault ends them and is kept.
fn texts(
    training: &Training,
    fault: Arc<Mutex<Option<DataError>>>,
) -> Result<impl Iterator<Item = String> + Send, DataError> {
    let files = Arc::new(inputs(&training.from)?);
    let mut records = Records::new(Arc::clone(&files), Default::default());
    let (fields, skip) = (training.fields.clone(), training.skip_bad_lines);
    let mut ended = false;
    let batches = std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let batch = records.next()?;
        let texts = batch.and_then(|batch| {
            let mut texts = Vec::new();
            for raw in &batch.records {
                let input = &files[raw.file];
                let bytes = raw.bytes.clone();
                let text = bytes.and_then(|range| {
                    let text = fields.text(input.form, &batch.bytes[range])?;
                    Ok(text.map(std::borrow::Cow::into_owned))
                });
                match text {
                    Ok(text) => texts.extend(text),
                    Err(_) if skip => {}
                    Err(fault) => {
                        let (path, line) = (input.path.clone(), raw.line);
                        return Err(DataError::BadRecord {
                            at: At { path, line },
                            fault,
                        });
                    }
                }
            }
            Ok(texts)
        });
        Some(texts.unwrap_or_else(|error| {
            ended = true;
            *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            Vec::new()
        }))
    });
    Ok(batches.flatten())
}
