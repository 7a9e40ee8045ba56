//! Which tokens of prompts and answers count as targets.
//!
//! In a token file of instructions each document is two sequences: a prompt, and the answer behind it. So the index that every token file has says
//! which tokens are learnt, and other programs read the file as they read any. In come tokens and their place; those of prompts come out as
//! their complements.

use super::OrderError;
use crate::DataError;
use crate::tokens::TokenFile;

/// Marks the tokens that stand at `start` and behind it, as far as they belong to prompts.
pub(super) fn mark(file: &TokenFile, start: u64, tokens: &mut [i64]) -> Result<(), OrderError> {
    let stray = || {
        let path = file.path().with_extension("idx");
        DataError::damaged(&path, format!("no sequence holds token {start}"))
    };
    let end = start + tokens.len() as u64;
    let mut at = start;
    let mut sequence = file.sequence_of(start).ok_or_else(stray)?;
    while at < end {
        let place = file.sequence(sequence).ok_or_else(stray)?;
        let until = place.end.min(end);
        if sequence.is_multiple_of(2) {
            let own = (at - start) as usize..(until.max(at) - start) as usize;
            tokens[own].iter_mut().for_each(|token| *token = !*token);
        }
        at = until.max(at);
        sequence += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pleach_plan::op::{counts, plain};
    use proptest::prelude::*;

    use super::*;
    use crate::tokens::{Kind, TokenWriter};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn tokens_of_answers_count_wherever_a_sample_begins(lengths in proptest::collection::vec((0u32..6, 0u32..6), 1..20)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("pairs.bin");
            let mut writer = TokenWriter::create(&path, Kind::U8).unwrap();
            let mut whole = Vec::new();
            for &(prompt, answer) in &lengths {
                writer.ids(&vec![1; prompt as usize], &path).unwrap();
                writer.ids(&vec![2; answer as usize], &path).unwrap();
                whole.extend((0..prompt).map(|_| false).chain((0..answer).map(|_| true)));
            }
            writer.finish(2).unwrap();
            let file = TokenFile::open(&path).unwrap();
            prop_assert_eq!((file.sequences(), file.documents()), (2 * lengths.len(), lengths.len()));
            for start in 0..whole.len() {
                for end in start + 1..=whole.len() {
                    let mut tokens = vec![0; end - start];
                    prop_assert!(file.read(start as u64, &mut tokens));
                    mark(&file, start as u64, &mut tokens).unwrap();
                    let found: Vec<bool> = tokens.iter().map(|&token| counts(token)).collect();
                    prop_assert_eq!(&found[..], &whole[start..end]);
                    let ids = tokens.iter().map(|&token| plain(token));
                    let known = ids.zip(&found).all(|(id, counts)| id == 1 + i64::from(*counts));
                    prop_assert!(known);
                }
            }
        }
    }
}
