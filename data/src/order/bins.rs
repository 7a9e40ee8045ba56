//! Samples of whole documents: which documents lie together in one.
//!
//! In come the documents of a token file that are trained on and the room of a sample; out come the bounds of its samples, each a stretch of the
//! file. Documents stay in the order of the file and go together as long as another fits (or never); one that is longer than a sample is cut, so that
//! nothing is lost. Bounds are kept in memory, eight bytes a sample.

use pleach_plan::Packing;

use super::{Parts, Section};
use crate::DataError;
use crate::tokens::TokenFile;

/// The bounds of all samples in tokens, from the first token to behind the last; none where documents run on from sample to sample.
pub(super) fn bounds(
    file: &TokenFile,
    parts: &Parts,
    section: Section,
    packing: Packing,
    room: u64,
) -> Result<Option<Vec<u64>>, DataError> {
    if packing == Packing::Stream {
        return Ok(None);
    }
    let first = parts.tokens(section).start;
    let mut bounds = vec![first];
    let mut last = first;
    for document in parts.documents(section) {
        let sequences = document * parts.each..(document + 1) * parts.each;
        let end = sequences
            .map(|sequence| file.sequence(sequence).map(|place| place.end))
            .next_back()
            .flatten()
            .filter(|&end| end >= last);
        let end = end.ok_or_else(|| {
            let problem = format!("document {document} lies where the file has no tokens");
            DataError::damaged(&file.path().with_extension("idx"), problem)
        })?;
        let begin = bounds[bounds.len() - 1];
        let fits = packing == Packing::Documents && end - begin <= room;
        if !fits && last > begin {
            bounds.push(last);
        }
        while end - bounds[bounds.len() - 1] > room {
            bounds.push(bounds[bounds.len() - 1] + room);
        }
        last = end;
    }
    if last > bounds[bounds.len() - 1] {
        bounds.push(last);
    }
    Ok(Some(bounds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tokens::{Kind, TokenWriter};

    fn packed(lengths: &[u32], packing: Packing, room: u64) -> Vec<u64> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.bin");
        let mut writer = TokenWriter::create(&path, Kind::U8).unwrap();
        for &length in lengths {
            writer.ids(&vec![1; length as usize], &path).unwrap();
        }
        writer.finish(1).unwrap();
        let file = TokenFile::open(&path).unwrap();
        let parts = Parts::of(&file, &[], 1).unwrap();
        bounds(&file, &parts, Section::Training, packing, room)
            .unwrap()
            .unwrap()
    }

    #[test]
    fn documents_lie_together_as_long_as_another_fits() {
        let lengths = [3, 4, 2, 9, 0, 1, 25, 2];
        assert_eq!(
            packed(&lengths, Packing::Documents, 10),
            [0, 9, 19, 29, 39, 46]
        );
        assert_eq!(
            packed(&lengths, Packing::Single, 10),
            [0, 3, 7, 9, 18, 19, 29, 39, 44, 46]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_token_is_in_one_sample_and_documents_are_cut_only_where_they_must(
            lengths in proptest::collection::vec(0u32..30, 1..40), room in 2u64..20, single: bool
        ) {
            let packing = if single { Packing::Single } else { Packing::Documents };
            let found = packed(&lengths, packing, room);
            let whole: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
            prop_assert_eq!((found[0], found[found.len() - 1]), (0, whole));
            prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1] && pair[1] - pair[0] <= room));
            let mut begin = 0;
            for length in lengths {
                let end = begin + u64::from(length);
                let cut = found.iter().any(|&bound| begin < bound && bound < end);
                prop_assert_eq!(cut, u64::from(length) > room);
                begin = end;
            }
        }
    }
}
