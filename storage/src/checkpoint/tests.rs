//! Checkpoints survive a change of placement, and nothing that was damaged is ever believed.

mod sample;

use std::fs;
use std::path::Path;

use pleach_plan::{Dtype, Saving, Standing};
use proptest::prelude::*;

use super::*;
use sample::{LAYERS, Placement, logical, plan, round, state, write, write_rank};

fn placements() -> impl Strategy<Value = Placement> {
    let types = prop_oneof![
        Just((Dtype::F64, Dtype::F64)),
        Just((Dtype::F32, Dtype::F32)),
        Just((Dtype::Bf16, Dtype::F32))
    ];
    (
        (1u32..4, 1u32..3),
        prop::sample::select(vec![1u32, 2, 4]),
        1u32..3,
        0u32..2,
        types,
    )
        .prop_map(
            |((shards, blocks), pp, tp, zero, (compute, accumulate))| Placement {
                dp: shards * blocks,
                shards,
                pp,
                tp,
                zero,
                compute,
                accumulate,
            },
        )
}

fn simple() -> Placement {
    Placement {
        dp: 2,
        shards: 2,
        pp: 2,
        tp: 2,
        zero: 1,
        compute: Dtype::F32,
        accumulate: Dtype::F32,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn logical_parameters_come_back_from_any_placement(placement in placements()) {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(placement);
        let checkpoint = Checkpoint::open(&write(folder.path(), &plan, 40)).unwrap();
        let parameters: Vec<_> = checkpoint.parameters().collect();
        prop_assert_eq!(parameters.len(), 2 + 4 * LAYERS as usize);
        for (name, dims) in parameters {
            for kind in Kind::ALL {
                let found = checkpoint.logical(name, kind).unwrap();
                prop_assert_eq!(found, logical(name, dims, None, kind, 40, placement.accumulate));
            }
        }
        let manifest = &checkpoint.manifest;
        prop_assert_eq!((manifest.step, manifest.samples), (40, 320));
        // Every element once, whatever is replicated.
        let elements: u64 = manifest.files.iter().flat_map(|file| &file.tensors).map(|it| it.length).sum();
        prop_assert_eq!(elements, 3 * (24 + 24 + u64::from(LAYERS) * (32 + 32 + 5 + 5)));
    }

    #[test]
    fn any_placement_resumes_from_any_other(before in placements(), after in placements()) {
        let folder = tempfile::tempdir().unwrap();
        let old = plan(before);
        let new = plan(Placement { compute: before.compute, accumulate: before.accumulate, ..after });
        let checkpoint = Checkpoint::open(&write(folder.path(), &old, 7)).unwrap();
        checkpoint.check(&new).unwrap();
        for rank in 0..new.mesh.ranks() {
            for needed in needed(&new, rank) {
                let whole = state(&new, rank, needed.bucket, needed.layer, needed.kind, 7);
                let wanted = &whole[needed.begin as usize..(needed.begin + needed.length) as usize];
                prop_assert_eq!(checkpoint.fill(&new, rank, &needed).unwrap(), wanted);
            }
        }
    }

    #[test]
    fn one_flipped_bit_anywhere_is_found_and_the_file_is_named(
        file in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), bit in 0u32..8,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = write(folder.path(), &plan(simple()), 5);
        let mut files: Vec<_> = fs::read_dir(&checkpoint).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let file = &files[file.index(files.len())];
        let before = Checkpoint::open(&checkpoint).unwrap().manifest;
        let mut bytes = fs::read(file).unwrap();
        let byte = byte.index(bytes.len());
        bytes[byte] ^= 1 << bit;
        fs::write(file, bytes).unwrap();
        match Checkpoint::open(&checkpoint) {
            Err(error) => prop_assert!(error.to_string().contains(file.to_str().unwrap()), "{error}"),
            // White space of the manifest may become other white space.
            Ok(checkpoint) => {
                prop_assert!(file.ends_with("manifest.json"));
                prop_assert_eq!(checkpoint.manifest, before);
            }
        }
    }
}

#[test]
fn what_a_rank_needs_is_all_of_its_state() {
    for zero in [0, 1] {
        let plan = plan(Placement {
            zero,
            compute: Dtype::Bf16,
            ..simple()
        });
        for rank in 0..plan.mesh.ranks() {
            let role = &plan.roles[plan.mesh.place(rank).pp as usize];
            let needed = needed(&plan, rank);
            assert!(
                role.statics
                    .iter()
                    .all(|id| needed.iter().any(|needed| needed.tensor == *id))
            );
            let held = |id| plan.tensors[usize::try_from(id).unwrap()].elements();
            assert!(
                needed
                    .iter()
                    .all(|needed| needed.length == held(needed.tensor.0))
            );
        }
    }
}

#[test]
fn rounding_of_the_samples_is_real() {
    assert_ne!(round(0.1, Dtype::F32), 0.1);
    assert_ne!(round(0.1, Dtype::Bf16), round(0.1, Dtype::F32));
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(simple());
    for step in [10, 20, 30] {
        write(folder.path(), &plan, step);
    }
    let newest_step = || {
        newest(folder.path())
            .unwrap()
            .checkpoint
            .unwrap()
            .manifest
            .step
    };
    assert_eq!(newest_step(), 30);
    let shard = folder.path().join("step-000030/rank-3.safetensors");
    let bytes = fs::read(&shard).unwrap();
    fs::write(&shard, &bytes[..bytes.len() - 1]).unwrap();
    fs::remove_file(folder.path().join("step-000020/rank-0.safetensors")).unwrap();
    let found = newest(folder.path()).unwrap();
    assert_eq!(found.checkpoint.unwrap().manifest.step, 10);
    let [first, second] = &found.rejected[..] else {
        panic!("{:?}", found.rejected)
    };
    let wanted = format!(
        "rank-3.safetensors: {} bytes, expected {}",
        bytes.len() - 1,
        bytes.len()
    );
    assert!(first.to_string().ends_with(&wanted), "{first}");
    assert!(
        second
            .to_string()
            .contains("step-000020/rank-0.safetensors"),
        "{second}"
    );
}

#[test]
fn a_file_that_is_cut_short_while_it_is_read_is_an_error_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::open(&write(folder.path(), &plan(simple()), 10)).unwrap();
    let (name, _) = checkpoint.parameters().next().unwrap();
    checkpoint.logical(name, Kind::Weight).unwrap();
    for file in &checkpoint.manifest.files {
        let path = checkpoint.folder.join(&file.file);
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(9)
            .unwrap();
    }
    let error = checkpoint.logical(name, Kind::Weight).unwrap_err();
    assert!(error.to_string().contains("rank-"), "{error}");
}

#[test]
fn a_crash_before_the_end_leaves_the_checkpoint_before() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(simple());
    write(folder.path(), &plan, 10);
    for rank in 0..7 {
        write_rank(folder.path(), &plan, 20, rank);
        assert_eq!(
            newest(folder.path())
                .unwrap()
                .checkpoint
                .unwrap()
                .manifest
                .step,
            10
        );
        let error = commit(folder.path(), &plan, 20, &Standing::new(None))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("rank-{}.json", rank + 1)),
            "{error}"
        );
    }
    // What another placement's attempt has left behind does not get into the checkpoint.
    fs::write(
        folder.path().join("step-000020.partial/rank-9.safetensors"),
        b"left over",
    )
    .unwrap();
    write_rank(folder.path(), &plan, 20, 7);
    let place = commit(folder.path(), &plan, 20, &Standing::new(None)).unwrap();
    assert_eq!(fs::read_dir(&place).unwrap().count(), 9);
    assert_eq!(
        newest(folder.path())
            .unwrap()
            .checkpoint
            .unwrap()
            .manifest
            .step,
        20
    );
    write(folder.path(), &plan, 20);
    assert_eq!(list(folder.path()).unwrap().len(), 2);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn the_newest_are_kept_and_leftovers_go() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(simple());
    for step in [10, 20, 30, 40] {
        write(folder.path(), &plan, step);
    }
    write_rank(folder.path(), &plan, 20, 0);
    fs::create_dir(folder.path().join("step-final")).unwrap();
    let two = Saving::at_the_end(2);
    keep(folder.path(), &two).unwrap();
    let steps: Vec<u64> = list(folder.path())
        .unwrap()
        .into_iter()
        .map(|(step, _)| step)
        .collect();
    assert_eq!(steps, [30, 40]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    keep(folder.path(), &Saving { keep: 0, ..two }).unwrap();
    assert_eq!(list(folder.path()).unwrap().len(), 1);
}

#[test]
fn single_steps_stay_beside_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(simple());
    for step in [1, 2, 10, 20, 30] {
        write(folder.path(), &plan, step);
    }
    let saving = Saving {
        also: vec![1, 2],
        ..Saving::at_the_end(2)
    };
    keep(folder.path(), &saving).unwrap();
    let list = list(folder.path()).unwrap();
    let steps: Vec<u64> = list.into_iter().map(|(step, _)| step).collect();
    assert_eq!(steps, [1, 2, 20, 30]);
}

#[test]
fn weights_alone_are_a_checkpoint_and_moments_in_part_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(simple());
    let ranks = plan.mesh.ranks();
    let write_some = |step: u64, left_out: &dyn Fn(&Saved) -> bool| {
        for rank in 0..ranks {
            let mut tensors = saved(&plan, rank);
            tensors.retain(|saved| !left_out(saved));
            let content = |saved: &Saved| {
                let bytes = saved.stored.length * saved.stored.dtype.bytes();
                vec![0; bytes as usize]
            };
            write_shard(folder.path(), step, rank, &tensors, content).unwrap();
        }
        Checkpoint::open(&commit(folder.path(), &plan, step, &Standing::new(None)).unwrap())
    };
    let alone = write_some(10, &|saved| saved.stored.kind != Kind::Weight).unwrap();
    assert!(!alone.has_moments());
    let error = write_some(20, &|saved| saved.stored.kind == Kind::V).unwrap_err();
    assert!(error.to_string().contains("no file holds"), "{error}");
}

#[test]
fn another_experiment_or_data_order_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = plan(simple());
    let checkpoint = Checkpoint::open(&write(folder.path(), &plan, 10)).unwrap();
    plan.data.order = Some("other".into());
    let error = checkpoint.check(&plan).unwrap_err().to_string();
    assert!(
        error.contains("data order is order, this plan has other"),
        "{error}"
    );
    plan.hashes.experiment = "f".repeat(64);
    let error = checkpoint.check(&plan).unwrap_err().to_string();
    assert!(error.contains("experiment's hash is eeee"), "{error}");
    plan.parameters[0].dims = vec![8, 4];
    let error = checkpoint
        .fill(&plan, 0, &needed(&plan, 0)[0])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("shape of `embedding.weight` is [6, 4], this plan has [8, 4]"),
        "{error}"
    );
    assert!(
        checkpoint
            .logical("poem", Kind::Weight)
            .unwrap_err()
            .to_string()
            .contains("`poem`")
    );
}

#[test]
fn a_manifest_that_was_edited_or_lies_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let place = write(folder.path(), &plan(simple()), 10);
    let path = place.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"step\": 10", "\"step\": 11")).unwrap();
    let refused = |reason: &str| {
        let error = Checkpoint::open(&place).unwrap_err().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
    };
    refused("it was changed or damaged");
    fs::write(&path, &text).unwrap();
    let sealed = Checkpoint::open(&place).unwrap().manifest;
    let lie = |change: fn(&mut Manifest)| {
        let mut manifest = sealed.clone();
        change(&mut manifest);
        manifest::write(&place, manifest).unwrap();
    };
    lie(|manifest| manifest.schema = 2);
    refused("schema 2, this program reads 1");
    lie(|manifest| manifest.files[1].file = "../rank-1.safetensors".into());
    refused("lie in its own folder");
    lie(|manifest| manifest.files[1].tensors[0].length -= 1);
    refused("rank-1.safetensors: ");
    lie(|manifest| drop(manifest.files.remove(2)));
    refused("no file holds element");
    lie(|manifest| manifest.buckets[1].entries[0].offset = 3);
    refused("cannot be 16 elements from 16 on of `layer.matrices`, where 19 to 32 are free");
    lie(|manifest| manifest.buckets[1].shards = u64::MAX);
    refused("expected 1 to");
    lie(|manifest| manifest.layers = 5);
    refused("of layer 4");
}

#[test]
fn bytes_that_do_not_fit_a_tensor_are_refused() {
    let plan = plan(simple());
    let folder = tempfile::tempdir().unwrap();
    let saved = saved(&plan, 0);
    let error = write_shard(folder.path(), 1, 0, &saved, |_| vec![0; 3])
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("has 24 bytes, 3 were given for the checkpoint"),
        "{error}"
    );
    assert!(
        newest(Path::new("/no/such/folder"))
            .unwrap()
            .checkpoint
            .is_none()
    );
}
