//! The order as a whole: epochs are covered exactly, and samples do not depend on how they are asked for.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::tokens::{Kind, TokenWriter};

/// A component whose tokens count up from 1 (modulo 127), so that content tells the position.
fn part(folder: &Path, name: &str, weight: [u64; 2], tokens: u64) -> Part {
    let path = folder.join(format!("{name}.bin"));
    let ids: Vec<u32> = (1..=tokens).map(|number| (number % 127) as u32).collect();
    let mut writer = TokenWriter::create(&path, Kind::U8).unwrap();
    writer.ids(&ids, &path).unwrap();
    let written = writer.finish(1).unwrap();
    assert_eq!(written.place.tokens, tokens);
    let tokens = TokenFile::open(&path).unwrap();
    Part {
        name: name.into(),
        weight,
        fingerprint: written.fingerprint,
        begins: 0,
        parts: Parts::of(&tokens, &[], 1).unwrap(),
        section: Section::Training,
        bins: None,
        answers_only: false,
        tokens,
    }
}

fn order(folder: &Path, seed: u64, sequence: u64, total: u64) -> Order {
    let parts = vec![
        part(folder, "code", [7, 10], 701),
        part(folder, "prose", [3, 10], 203),
    ];
    Order::new(draw(seed, sequence, total), parts).unwrap()
}

fn draw(seed: u64, sequence: u64, total: u64) -> Draw {
    Draw {
        ordering: Ordering::Counter,
        seed,
        sequence,
        total,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_epoch_covers_every_window_once(seed: u64, sequence in 3u64..40) {
        let folder = tempfile::tempdir().unwrap();
        let order = order(folder.path(), seed, sequence, 2000);
        let mut visits = std::collections::BTreeMap::<(usize, u64), Vec<u64>>::new();
        for sample in 0..2000 {
            let Window { component, epoch, window } = order.window(sample).unwrap().unwrap();
            visits.entry((component, epoch)).or_default().push(window);
        }
        for (component, tokens) in [(0, 701), (1, 203)] {
            let windows = (tokens - 1) / sequence;
            let epochs = visits.keys().filter(|key| key.0 == component).count() as u64;
            for epoch in 0..epochs {
                let mut seen = visits[&(component, epoch)].clone();
                seen.sort_unstable();
                let whole: Vec<u64> = (0..windows).collect();
                let part = epoch + 1 == epochs && seen.iter().is_sorted_by(|a, b| a < b);
                prop_assert!(seen == whole || part && seen.iter().all(|&window| window < windows));
            }
        }
    }

    #[test]
    fn a_sample_does_not_depend_on_who_asks(seed: u64, samples in proptest::collection::vec(0u64..300, 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (order(folder.path(), seed, 16, 300), order(folder.path(), seed, 16, 9000));
        let (mut mine, mut theirs) = ([0; 17], [0; 17]);
        for sample in samples {
            one.sample(sample, &mut mine).unwrap();
            other.sample(sample, &mut theirs).unwrap();
            prop_assert_eq!(mine, theirs);
        }
    }
}

#[test]
fn a_sample_is_its_window_and_the_next_token() {
    let folder = tempfile::tempdir().unwrap();
    let order = order(folder.path(), 3, 16, 100);
    let mut tokens = [0; 17];
    for sample in 0..100 {
        let Window {
            component, window, ..
        } = order.window(sample).unwrap().unwrap();
        order.sample(sample, &mut tokens).unwrap();
        let file = std::fs::read(order.parts[component].tokens.path()).unwrap();
        let start = (window * 16) as usize;
        assert!(
            tokens
                .iter()
                .zip(&file[start..=start + 16])
                .all(|(a, b)| *a == i64::from(*b))
        );
    }
}

#[test]
fn the_hash_knows_seed_length_and_data() {
    let folder = tempfile::tempdir().unwrap();
    let hash = |seed, sequence, samples| {
        order(folder.path(), seed, sequence, 500)
            .hash(samples)
            .unwrap()
    };
    let base = hash(1, 16, 200);
    assert_eq!(base, hash(1, 16, 200));
    assert_eq!(base, order(folder.path(), 1, 16, 200).hash(200).unwrap());
    assert_ne!(base, hash(2, 16, 200));
    assert_ne!(base, hash(1, 17, 200));
    assert_ne!(base, hash(1, 16, 199));
    let other = vec![
        part(folder.path(), "code", [7, 10], 702),
        part(folder.path(), "prose", [3, 10], 203),
    ];
    assert_ne!(
        base,
        Order::new(draw(1, 16, 500), other)
            .unwrap()
            .hash(200)
            .unwrap()
    );
}

#[test]
fn what_is_not_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let order = order(folder.path(), 1, 16, 50);
    let error = order.sample(50, &mut [0; 17]).unwrap_err().to_string();
    assert_eq!(error, "sample 50 was asked for, the run has 50");
    let error = order.sample(1, &mut [0; 16]).unwrap_err().to_string();
    assert_eq!(error, "a sample has 17 tokens, the room for it 16");
    let short = vec![part(folder.path(), "tiny", [1, 1], 16)];
    let error = Order::new(draw(1, 16, 50), short).unwrap_err().to_string();
    assert_eq!(
        error,
        "the component `tiny` has 16 tokens, a sample of this run needs 17"
    );
}

#[test]
fn the_entropy_of_the_targets_is_that_of_their_frequencies() {
    let folder = tempfile::tempdir().unwrap();
    // Ten windows whose targets are all tokens but the first.
    let order = Order::new(
        draw(1, 127, 10),
        vec![part(folder.path(), "code", [1, 1], 1271)],
    )
    .unwrap();
    let mut counts = [0u64; 256];
    std::fs::read(order.parts[0].tokens.path()).unwrap()[1..]
        .iter()
        .for_each(|&id| counts[usize::from(id)] += 1);
    let frequencies = counts
        .iter()
        .map(|&count| count as f64 / 1270.0)
        .filter(|&p| p > 0.0);
    let wanted: f64 = frequencies.map(|p| -p * p.ln()).sum();
    let found = order.unigram_entropy(10).unwrap();
    assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
}

#[test]
fn sequential_windows_come_as_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let draw = Draw {
        ordering: Ordering::Sequential,
        ..draw(1, 16, 30)
    };
    let order = Order::new(draw, vec![part(folder.path(), "code", [1, 1], 161)]).unwrap();
    let windows = (0..30).map(|sample| order.window(sample).unwrap().unwrap());
    let windows: Vec<(u64, u64)> = windows.map(|found| (found.epoch, found.window)).collect();
    assert_eq!(windows[9..12], [(0, 9), (1, 0), (1, 1)]);
    assert_eq!(order.counts(12), [12]);
    assert!((order.epochs(0, 30) - 480.0 / 161.0).abs() < 1e-12);
}

/// Documents of different lengths whose ids count on, in one component or two.
fn neox(folder: &Path, weights: &[[u64; 2]], seed: u64, total: u64) -> Result<Order, OrderError> {
    let part = |(number, &weight): (usize, &[u64; 2])| {
        let path = folder.join(format!("{number}.bin"));
        let mut writer = TokenWriter::create(&path, Kind::U16).unwrap();
        for document in 0..9u32 {
            let ids: Vec<u32> = (0..document * 3 % 11)
                .map(|at| document * 100 + at)
                .collect();
            writer.ids(&ids, &path).unwrap();
        }
        let written = writer.finish(1).unwrap();
        let tokens = TokenFile::open(&path).unwrap();
        Part {
            name: format!("part {number}"),
            weight,
            fingerprint: written.fingerprint,
            begins: 0,
            parts: Parts::of(&tokens, &[], 1).unwrap(),
            section: Section::Training,
            bins: None,
            answers_only: false,
            tokens,
        }
    };
    let parts = weights.iter().enumerate().map(part).collect();
    let draw = Draw {
        ordering: Ordering::GptNeox,
        ..draw(seed, 8, total)
    };
    Order::new(draw, parts)
}

#[test]
fn samples_of_gpt_neox_run_on_over_documents_in_their_shuffled_order() {
    let folder = tempfile::tempdir().unwrap();
    let order = neox(folder.path(), &[[1, 1]], 1234, 12).unwrap();
    let lengths: Vec<u32> = (0..9).map(|document| document * 3 % 11).collect();
    let indices = neox::Indices::new(&lengths, 8, 12, 1234).unwrap();
    let documents = indices.documents.iter().flat_map(|&document| {
        (0..lengths[document as usize]).map(move |at| i64::from(document * 100 + at))
    });
    let stream: Vec<i64> = documents.collect();
    for sample in 0..12 {
        let mut tokens = [0; 9];
        order.sample(sample, &mut tokens).unwrap();
        let start = indices.shuffle[sample as usize] as usize * 8;
        assert_eq!(tokens, stream[start..start + 9], "{sample}");
    }
    assert!(order.sample(12, &mut [0; 9]).is_err());
    assert_eq!(order.counts(5), [5]);
}

#[test]
fn a_blend_of_gpt_neox_is_dealt_greedily_and_hashed() {
    let folder = tempfile::tempdir().unwrap();
    let order = |weights: &[[u64; 2]], seed| neox(folder.path(), weights, seed, 50);
    let shares = [[7, 10], [2, 10], [1, 10]];
    let mixed = order(&shares, 1234).unwrap();
    let components: Vec<usize> = (0..6)
        .map(|sample| mixed.spans(sample).unwrap().0)
        .collect();
    assert_eq!(components, [0, 1, 0, 2, 0, 0]);
    assert_eq!(mixed.counts(50), [35, 10, 5]);
    assert_eq!(
        mixed.hash(50).unwrap(),
        order(&shares, 1234).unwrap().hash(50).unwrap()
    );
    assert_ne!(
        mixed.hash(50).unwrap(),
        order(&shares, 1235).unwrap().hash(50).unwrap()
    );
    let error = order(&shares, 1 << 32).unwrap_err().to_string();
    assert!(error.contains("below 4294967296"), "{error}");
    let many = vec![[1, 256]; 256];
    let error = order(&many, 1).unwrap_err().to_string();
    assert!(error.contains("at most 255"), "{error}");
}

#[test]
fn answers_that_are_all_empty_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let of = |answers: &[usize]| {
        let path = folder.path().join("asked.bin");
        let mut writer = TokenWriter::create(&path, Kind::U8).unwrap();
        for &length in answers {
            writer.ids(&[1; 20], &path).unwrap();
            writer.ids(&vec![2; length], &path).unwrap();
        }
        writer.finish(2).unwrap();
        let tokens = TokenFile::open(&path).unwrap();
        let part = Part {
            name: "asked".into(),
            weight: [1, 1],
            fingerprint: String::new(),
            begins: 0,
            parts: Parts::of(&tokens, &[], 2).unwrap(),
            section: Section::Training,
            bins: None,
            answers_only: true,
            tokens,
        };
        let draw = Draw {
            ordering: Ordering::Counter,
            seed: 1,
            sequence: 16,
            total: 2,
        };
        Order::new(draw, vec![part])
    };
    assert!(of(&[0, 0, 1]).is_ok());
    let error = of(&[0, 0, 0]).unwrap_err().to_string();
    assert!(error.contains("`asked` are empty"), "{error}");
}
