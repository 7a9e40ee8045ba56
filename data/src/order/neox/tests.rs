//! GPT-NeoX's own values, where the reference data is, and what must hold of any of its orders.

use std::path::Path;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::*;

/// The cases of a file of values; none, with a reason given, where it is not there.
fn vectors(name: &str) -> Option<Vec<Value>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/vectors");
    let path = folder.join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn list<T: for<'de> Deserialize<'de>>(case: &Value, key: &str) -> Vec<T> {
    Vec::deserialize(&case[key]).unwrap()
}

#[test]
fn the_three_indices_are_those_of_gpt_neox() {
    let Some(cases) = vectors("gpt2_index_maps.json") else {
        return;
    };
    assert_eq!(cases.len(), 4);
    for case in cases {
        let word = |key: &str| case[key].as_u64().unwrap();
        let (sequence, samples) = (word("seq_length"), word("num_samples"));
        let lengths: Vec<u32> = list(&case, "sizes");
        let found = Indices::new(&lengths, sequence, samples, word("seed") as u32).unwrap();
        let starts = found.starts.iter().map(|start| [start.place, start.offset]);
        assert_eq!(found.epochs, word("num_epochs"));
        assert_eq!(found.documents, list::<u32>(&case, "doc_idx"));
        assert_eq!(
            starts.collect::<Vec<_>>(),
            list::<[u32; 2]>(&case, "sample_idx")
        );
        assert_eq!(found.shuffle, list::<u32>(&case, "shuffle_idx"));
    }
}

#[test]
fn the_blend_is_that_of_gpt_neox() {
    let Some(cases) = vectors("blend.json") else {
        return;
    };
    for case in cases {
        let dealt = blend(
            &list::<f64>(&case, "weights"),
            case["size"].as_u64().unwrap(),
        );
        let components: Vec<u8> = dealt.iter().map(|&(component, _)| component).collect();
        let samples: Vec<u64> = dealt.iter().map(|&(_, sample)| sample).collect();
        assert_eq!(components, list::<u8>(&case, "dataset_index"));
        assert_eq!(samples, list::<u64>(&case, "dataset_sample_index"));
    }
}

#[test]
fn splits_and_weights_are_those_of_gpt_neox() {
    for case in vectors("splits.json").into_iter().flatten() {
        let text = case["split"].as_str().unwrap();
        let shares = text
            .split([',', '/'])
            .map(|share| share.trim().parse().unwrap());
        let found = split(
            &shares.collect::<Vec<f64>>(),
            case["docs"].as_u64().unwrap(),
        );
        assert_eq!(found.to_vec(), list::<u64>(&case, "index"), "{case}");
    }
    for case in vectors("weights_by_num_docs.json").into_iter().flatten() {
        let found =
            weights_by_documents(&list::<u64>(&case, "docs"), case["alpha"].as_f64().unwrap());
        for (found, wanted) in found.iter().zip(list::<f64>(&case, "weights")) {
            assert!((found - wanted).abs() < 1e-15, "{case}: {found}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn every_token_of_every_epoch_is_in_one_sample(
        lengths in proptest::collection::vec(0u32..40, 1..20),
        sequence in 1u64..30,
        samples in 0u64..200,
        seed: u32,
    ) {
        let tokens: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
        prop_assume!(tokens > sequence);
        let indices = Indices::new(&lengths, sequence, samples, seed).unwrap();
        prop_assert!(indices.shuffle.len() as u64 >= samples);
        let mut documents = indices.documents.clone();
        documents.sort_unstable();
        let each = documents.chunks(indices.epochs as usize);
        prop_assert!(each.zip(0..).all(|(run, number)| run.iter().all(|&other| other == number)));
        let mut shuffle = indices.shuffle.clone();
        shuffle.sort_unstable();
        prop_assert!(shuffle.iter().zip(0..).all(|(&sample, place)| sample == place));
        // Positions in the stream of shuffled documents rise by a sequence from sample to sample.
        let before: Vec<u64> = indices.documents.iter().scan(0, |sum, &document| {
            let start = *sum;
            *sum += u64::from(lengths[document as usize]);
            Some(start)
        }).collect();
        for (number, start) in indices.starts.iter().enumerate() {
            let position = before[start.place as usize] + u64::from(start.offset);
            prop_assert_eq!(position, number as u64 * sequence);
        }
    }
}
