//! Phases go on where earlier ones stopped: nothing is read again before all of it was read once.

use std::collections::BTreeMap;
use std::path::Path;

use pleach_plan::{Component, Ordering, Reading};
use proptest::prelude::*;

use super::*;
use crate::order::Window;
use crate::prepare::build;
use crate::tokens::{Kind, TokenWriter};

/// Token files of these sizes below a folder, and the plan of their mix.
fn data(folder: &Path, parts: &[(&str, u64, [u64; 2])]) -> DataPlan {
    let component = |(name, tokens, weight): &(&str, u64, [u64; 2])| {
        let path = folder.join(format!("{name}.bin"));
        let ids: Vec<u32> = (0..*tokens).map(|number| (number % 251) as u32).collect();
        let mut writer = TokenWriter::create(&path, Kind::U8).unwrap();
        writer.ids(&ids, &path).unwrap();
        writer.finish(1).unwrap();
        Component {
            name: (*name).to_owned(),
            source: Some(format!("file:{name}.bin")),
            files: Vec::new(),
            weight: *weight,
            repeat: 1.0,
            fingerprint: None,
        }
    };
    DataPlan {
        name: "parts".to_owned(),
        source: "file:.".to_owned(),
        tokenizer: "bytes".to_owned(),
        vocab: 256,
        mix: parts.iter().map(component).collect(),
        reading: Reading::default(),
        ordering: Ordering::Counter,
        order_seed: None,
        packing: pleach_plan::Packing::default(),
        split: Vec::new(),
        order: None,
        unread: Vec::new(),
    }
}

fn draw(seed: u64, sequence: u64, total: u64) -> Draw {
    Draw {
        ordering: Ordering::Counter,
        seed,
        sequence,
        total,
    }
}

/// Two phases of two components with other shares, in these lengths and so many samples each.
fn two(folder: &Path, seed: u64, sequences: [u64; 2], totals: [u64; 2]) -> Phases {
    let shares = [[[3, 4], [1, 4]], [[1, 3], [2, 3]]];
    let plans =
        shares.map(|[code, prose]| data(folder, &[("code", 1301, code), ("prose", 403, prose)]));
    let prepared = plans
        .each_ref()
        .map(|plan| build(plan, folder, &folder.join("cache")).unwrap());
    let draws = [0, 1].map(|phase| draw(seed, sequences[phase], totals[phase]));
    let [first, second] = draws;
    let pairs = [(&plans[0], first), (&plans[1], second)];
    Phases::of(pairs.into_iter(), &prepared).unwrap()
}

/// Every window of every sample of all phases, in order.
fn windows(phases: &Phases) -> Vec<Window> {
    let orders = phases.orders().iter();
    let all = orders.flat_map(|order| {
        (0..order.samples()).map(|sample| order.window(sample).unwrap().unwrap())
    });
    all.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn phases_of_one_length_read_everything_before_they_repeat(seed: u64, sequence in 4u64..20, first in 0u64..200, second in 1u64..200) {
        let folder = tempfile::tempdir().unwrap();
        let phases = two(folder.path(), seed, [sequence; 2], [first, second]);
        let mut seen = BTreeMap::<(usize, u64, u64), u32>::new();
        let mut epochs = [0; 2];
        for Window { component, epoch, window } in windows(&phases) {
            *seen.entry((component, epoch, window)).or_default() += 1;
            prop_assert!(epoch >= epochs[component], "no epoch begins again");
            if epoch > epochs[component] {
                let whole = ([1301, 403][component] - 1) / sequence;
                let read = seen.keys().filter(|key| (key.0, key.1) == (component, epochs[component])).count();
                prop_assert_eq!(read as u64, whole, "the epoch before is whole");
                epochs[component] = epoch;
            }
        }
        prop_assert!(seen.values().all(|&times| times == 1));
    }

    #[test]
    fn a_phase_of_another_length_has_every_window_once_an_epoch(seed: u64, second in 1u64..300) {
        let folder = tempfile::tempdir().unwrap();
        let phases = two(folder.path(), seed, [16, 24], [40, second]);
        let order = &phases.orders()[1];
        let mut seen = BTreeMap::<(usize, u64, u64), u32>::new();
        for sample in 0..second {
            let Window { component, epoch, window } = order.window(sample).unwrap().unwrap();
            *seen.entry((component, epoch, window)).or_default() += 1;
        }
        prop_assert!(seen.values().all(|&times| times == 1));
    }
}

/// Documents of seven tokens each; of a split, the first are trained on.
fn documents(folder: &Path, ordering: Ordering) -> DataPlan {
    let mut data = data(folder, &[("short", 1, [1, 1])]);
    let path = folder.join("short.bin");
    let mut writer = TokenWriter::create(&path, Kind::U8).unwrap();
    for document in 0..30 {
        writer.ids(&[document; 7], &path).unwrap();
    }
    writer.finish(1).unwrap();
    data.split = vec![0.5, 0.3, 0.2];
    data.ordering = ordering;
    data
}

#[test]
fn samples_of_whole_documents_cover_an_epoch_and_are_filled_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = documents(folder.path(), Ordering::Counter);
    for (packing, each) in [
        (pleach_plan::Packing::Documents, 2),
        (pleach_plan::Packing::Single, 1),
    ] {
        data.packing = packing;
        let prepared = build(&data, folder.path(), &folder.path().join("cache")).unwrap();
        let order = Order::of(&data, draw(3, 15, 60), &prepared).unwrap();
        // Fifteen documents are trained on, two of seven tokens fit into sixteen places.
        let samples = 15_u64.div_ceil(each);
        let mut seen = Vec::new();
        for sample in 0..samples {
            let mut tokens = [0; 16];
            order.sample(sample, &mut tokens).unwrap();
            let real: Vec<i64> = tokens.into_iter().filter(|&token| token >= 0).collect();
            assert!(
                tokens[real.len()..].iter().all(|&token| token == !0),
                "{tokens:?}"
            );
            seen.extend(real);
        }
        seen.sort_unstable();
        let whole: Vec<i64> = (0..15).flat_map(|document| [document; 7]).collect();
        assert_eq!(seen, whole);
        assert_eq!(order.counted(0..samples).unwrap(), 105 - samples);
        assert!((order.epochs(0, samples) - 1.0).abs() < 1e-12);
    }
}

#[test]
fn documents_that_are_held_out_are_never_read() {
    for ordering in [Ordering::Counter, Ordering::Sequential, Ordering::GptNeox] {
        let folder = tempfile::tempdir().unwrap();
        let data = documents(folder.path(), ordering);
        let prepared = build(&data, folder.path(), &folder.path().join("cache")).unwrap();
        let draw = Draw {
            ordering,
            ..draw(3, 8, 100)
        };
        let order = Order::of(&data, draw, &prepared).unwrap();
        let part = &order.parts()[0];
        assert_eq!(part.parts.documents, [0..15, 15..24, 24..30]);
        assert_eq!((part.trained(), part.parts.held_out()), (105, 105));
        let mut seen = std::collections::BTreeSet::new();
        for sample in 0..100 {
            let mut tokens = [0; 9];
            order.sample(sample, &mut tokens).unwrap();
            seen.extend(tokens);
        }
        assert_eq!(
            seen.into_iter().collect::<Vec<i64>>(),
            (0..15).collect::<Vec<i64>>(),
            "{ordering:?}"
        );
    }
}

#[test]
fn a_component_without_a_share_may_have_nothing_to_train_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = data(
        folder.path(),
        &[("long", 1000, [1, 1]), ("bare", 9, [0, 1])],
    );
    data.split = vec![0.2, 0.8];
    for packing in [
        pleach_plan::Packing::Documents,
        pleach_plan::Packing::Stream,
    ] {
        data.packing = packing;
        let path = folder.path().join("long.bin");
        let mut writer = TokenWriter::create(&path, Kind::U8).unwrap();
        (0..50).for_each(|_| writer.ids(&[1; 20], &path).unwrap());
        writer.finish(1).unwrap();
        let prepared = build(&data, folder.path(), &folder.path().join("cache")).unwrap();
        let order = Order::of(&data, draw(3, 15, 6), &prepared).unwrap();
        assert_eq!((order.tokens(1, 0), order.epochs(1, 0)), (0, 0.0));
    }
}

#[test]
fn the_order_of_documents_holds_their_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let hash = |lengths: &[usize], packing| {
        let mut data = data(folder.path(), &[("one", 60, [1, 1])]);
        data.packing = packing;
        let path = folder.path().join("one.bin");
        let mut writer = TokenWriter::create(&path, Kind::U8).unwrap();
        lengths
            .iter()
            .for_each(|&length| writer.ids(&vec![1; length], &path).unwrap());
        writer.finish(1).unwrap();
        let prepared = build(&data, folder.path(), &folder.path().join("cache")).unwrap();
        let order = Order::of(&data, draw(3, 9, 5), &prepared).unwrap();
        order.hash(5).unwrap()
    };
    let [stream, whole] = [
        pleach_plan::Packing::Stream,
        pleach_plan::Packing::Documents,
    ];
    assert_eq!(hash(&[30, 30], stream), hash(&[20, 40], stream));
    assert_ne!(hash(&[30, 30], whole), hash(&[20, 40], whole));
}

#[test]
fn epochs_count_on_and_one_hash_covers_all_phases() {
    let folder = tempfile::tempdir().unwrap();
    let phases = two(folder.path(), 7, [16, 32], [40, 30]);
    let [first, second] = phases.orders() else {
        panic!("two phases")
    };
    assert_eq!(first.counts(40), [30, 10]);
    assert_eq!(second.counts(30), [10, 20]);
    let tokens = 30.0 * 16.0 + 10.0 * 32.0;
    assert!((second.epochs(0, 10) - tokens / 1301.0).abs() < 1e-12);
    let hash =
        |seed, sequences, totals| two(folder.path(), seed, sequences, totals).hash().unwrap();
    let base = hash(7, [16, 32], [40, 30]);
    assert_eq!(base, phases.hash().unwrap());
    for other in [
        hash(8, [16, 32], [40, 30]),
        hash(7, [32, 16], [40, 30]),
        hash(7, [16, 32], [41, 30]),
        hash(7, [16, 32], [40, 29]),
    ] {
        assert_ne!(base, other);
    }
}
