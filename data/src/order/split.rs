//! Which documents are trained on, and which are held out.
//!
//! In come the shares of training, validation and test and a number of documents; out come the bounds of the three parts, as GPT-NeoX cuts them:
//! training first, in the order of the file, before anything is shuffled.

use std::ops::Range;

use crate::DataError;
use crate::tokens::TokenFile;

/// A part of a token file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Section {
    /// What is trained on.
    #[default]
    Training,
    /// What the loss is measured on during the run.
    Validation,
    /// What is kept for the end.
    Test,
}

/// The parts of a token file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The documents that are trained on; then those of validation, then those of the test.
    pub documents: [Range<usize>; 3],
    /// The tokens of each.
    pub tokens: [Range<u64>; 3],
    /// Sequences of each document.
    pub each: usize,
}

impl Parts {
    /// The parts of a token file by these shares; none of them for all of it. Each document consists of so many sequences.
    ///
    /// # Errors
    /// A document whose place cannot be, or one with other sequences.
    pub fn of(file: &TokenFile, shares: &[f64], each: usize) -> Result<Parts, DataError> {
        let (sequences, each) = (file.sequences(), each.max(1));
        if !sequences.is_multiple_of(each) {
            let problem = format!(
                "a prompt and its answer are two sequences, and {sequences} sequences are no pairs"
            );
            return Err(DataError::damaged(
                &file.path().with_extension("idx"),
                problem,
            ));
        }
        let bounds = bounds(shares, sequences / each);
        let first_token = |document: usize| {
            if document * each == sequences {
                return Ok(file.len());
            }
            let place = file.sequence(document * each).map(|place| place.start);
            place.ok_or_else(|| {
                let problem = format!("document {document} lies where the file has no tokens");
                DataError::damaged(&file.path().with_extension("idx"), problem)
            })
        };
        let tokens: Vec<u64> = bounds
            .iter()
            .map(|&bound| first_token(bound))
            .collect::<Result<_, _>>()?;
        Ok(Parts {
            documents: [0, 1, 2].map(|part| bounds[part]..bounds[part + 1]),
            tokens: [0, 1, 2].map(|part| tokens[part]..tokens[part + 1]),
            each,
        })
    }

    /// The documents of a part.
    pub fn documents(&self, section: Section) -> Range<usize> {
        self.documents[section as usize].clone()
    }

    /// The tokens of a part.
    pub fn tokens(&self, section: Section) -> Range<u64> {
        self.tokens[section as usize].clone()
    }

    /// Tokens that are not trained on.
    pub fn held_out(&self) -> u64 {
        let length = |part: &Range<u64>| part.end - part.start;
        length(&self.tokens[1]) + length(&self.tokens[2])
    }
}

/// The bounds of the three parts: each share rounded to even halves, and what that is too much or too little in all taken off every bound.
pub fn bounds(shares: &[f64], documents: usize) -> [usize; 4] {
    let share = |part: usize| shares.get(part).copied().unwrap_or(0.0);
    let whole = share(0) + share(1) + share(2);
    if whole <= 0.0 {
        return [0, documents, documents, documents];
    }
    let mut bounds = [0i64; 4];
    for part in 0..3 {
        let size = (share(part) / whole * documents as f64).round_ties_even();
        bounds[part + 1] = bounds[part] + size as i64;
    }
    let excess = bounds[3] - documents as i64;
    [0, 1, 2, 3].map(|bound| match bound {
        0 => 0,
        _ => (bounds[bound] - excess).clamp(0, documents as i64) as usize,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_bounds_are_those_of_gpt_neox() {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/vectors/splits.json");
        let Ok(text) = std::fs::read_to_string(&path) else {
            eprintln!("skipped: {} is not there", path.display());
            return;
        };
        let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert!(cases.len() > 20);
        for case in cases {
            let split = case["split"].as_str().unwrap();
            let shares = split
                .split([',', '/'])
                .map(|share| share.trim().parse().unwrap());
            let shares: Vec<f64> = shares.collect();
            let found = bounds(&shares, case["docs"].as_u64().unwrap() as usize);
            assert_eq!(serde_json::json!(found), case["index"], "{case}");
        }
    }

    #[test]
    fn without_shares_all_is_trained_on() {
        assert_eq!(bounds(&[], 7), [0, 7, 7, 7]);
        assert_eq!(bounds(&[1.0], 7), [0, 7, 7, 7]);
        assert_eq!(bounds(&[0.5, 0.5], 7), [0, 3, 7, 7]);
    }
}
