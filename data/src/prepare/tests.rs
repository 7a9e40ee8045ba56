//! Preparation from small invented packages and from this workspace's own lock file.

use std::fs;
use std::path::Path;

use pleach_plan::{Component, DataPlan};

use super::cargo::Package;
use super::*;
use crate::order::{Draw, Order};
use crate::tokens::{Kind, TokenWriter};

fn plan(components: &[(&str, &[&str])]) -> DataPlan {
    let component = |(name, files): &(&str, &[&str])| Component {
        name: (*name).to_owned(),
        files: files.iter().map(|&file| file.to_owned()).collect(),
        source: None,
        weight: [1, components.len() as u64],
        repeat: 1.0,
        fingerprint: None,
    };
    DataPlan {
        name: "text".into(),
        source: CARGO_DEPENDENCIES.into(),
        tokenizer: "bytes".into(),
        vocab: 256,
        mix: components.iter().map(component).collect(),
        reading: pleach_plan::Reading::default(),
        ordering: pleach_plan::Ordering::default(),
        order_seed: None,
        packing: pleach_plan::Packing::default(),
        split: Vec::new(),
        order: None,
        unread: Vec::new(),
    }
}

fn package(root: &Path, name: &str, files: &[(&str, &[u8])]) -> Package {
    let root = root.join(name);
    for (path, content) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    Package { root }
}

fn prepared(folder: &Path, data: &DataPlan, packages: &[Package]) -> Result<Prepared, DataError> {
    let folder = folder.join("prepared");
    prepare(&folder, data, &Mix::new(&data.mix)?, packages)?;
    whole(&folder)
}

fn sample(folder: &Path) -> (Prepared, DataPlan) {
    let packages = [
        package(
            folder,
            "a-1.0.0",
            &[
                ("src/lib.rs", b"fn a() {}"),
                ("src/b.rs", b"x\0y"),
                ("LICENSE", b"Do as you like."),
                (".hidden.rs", b"hidden"),
                ("src/binary.rs", b"\xff\xfe"),
                ("src/empty.rs", b""),
            ],
        ),
        package(
            folder,
            "b-2.0.0",
            &[
                ("LICENSE", b"Do as you like."),
                ("src/lib.rs", b"fn b() {}"),
            ],
        ),
    ];
    let data = plan(&[("code", &[]), ("licences", &[])]);
    (prepared(folder, &data, &packages).unwrap(), data)
}

#[test]
fn documents_stand_in_order_and_what_is_no_text_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (prepared, _) = sample(folder.path());
    let code = prepared.tokens(0).unwrap();
    let bytes = fs::read(code.path()).unwrap();
    assert_eq!(bytes, b"xy\0fn a() {}\0fn b() {}\0");
    assert_eq!(code.sequence(1), Some(3..13));
    assert_eq!(code.sequence(3), None);
    let [code, licences] = &prepared.components[..] else {
        panic!("two components")
    };
    assert_eq!(
        (
            code.skipped_not_text,
            code.skipped_nul_bytes,
            code.documents
        ),
        (1, 1, 3)
    );
    assert_eq!((licences.documents, licences.skipped_repeated), (1, 1));
    assert_eq!(licences.largest_id, u64::from(b'y'));
}

#[test]
fn a_plan_is_stamped_with_its_data_and_refuses_other_data() {
    let folder = tempfile::tempdir().unwrap();
    let (prepared, mut data) = sample(folder.path());
    prepared.check(&data).unwrap();
    prepared.stamp(&mut data);
    prepared.check(&data).unwrap();
    data.mix[1].fingerprint = Some("0".into());
    let error = prepared.check(&data).unwrap_err().to_string();
    assert!(
        error.contains("`licences`")
            && error.contains("has the fingerprint")
            && error.ends_with("instead of 0"),
        "{error}"
    );
    data.mix.truncate(1);
    assert!(prepared.check(&data).is_err());
}

#[test]
fn a_component_without_files_is_an_error_that_leaves_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let packages = [package(
        folder.path(),
        "a-1.0.0",
        &[("src/lib.rs", b"fn a() {}")],
    )];
    let data = plan(&[("code", &[]), ("poems", &["**/*.verse"])]);
    let error = prepared(folder.path(), &data, &packages)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`poems`") && error.contains("**/*.verse"),
        "{error}"
    );
    assert!(!folder.path().join("prepared").exists());
}

#[test]
fn one_flipped_bit_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let (prepared, _) = sample(folder.path());
    let path = prepared.tokens(1).unwrap().path().to_path_buf();
    let mut bytes = fs::read(&path).unwrap();
    bytes[3] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = prepared.verify().unwrap_err().to_string();
    assert!(
        error.contains("1-licences.bin") && error.contains("BLAKE3"),
        "{error}"
    );
}

#[test]
fn this_workspace_has_text_and_a_second_build_does_not_ask_cargo() {
    let cache = tempfile::tempdir().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = plan(&[("licences", &["LICENSE*"]), ("prose", &["README.md"])]);
    let first = build(&data, here, cache.path()).unwrap();
    assert!(
        first
            .components
            .iter()
            .all(|component| component.documents > 50),
        "{first:?}"
    );
    let description = first.folder.join("data.json");
    let written = fs::metadata(&description).unwrap().modified().unwrap();
    let second = build(&data, here, cache.path()).unwrap();
    assert_eq!(first.components, second.components);
    assert_eq!(
        fs::metadata(&description).unwrap().modified().unwrap(),
        written
    );
    fs::write(second.tokens(0).unwrap().path(), b"damaged").unwrap();
    assert_eq!(
        build(&data, here, cache.path()).unwrap().components,
        first.components
    );
}

#[test]
fn what_cannot_be_prepared_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let build = |data: &DataPlan| {
        build(data, folder.path(), folder.path())
            .unwrap_err()
            .to_string()
    };
    let mut data = plan(&[("code", &[])]);
    assert!(build(&data).contains("no Cargo.lock"), "{}", build(&data));
    data.tokenizer = "hf:gpt2".into();
    assert!(build(&data).contains("`hf:gpt2`"), "{}", build(&data));
    data.tokenizer = "bytes".into();
    data.source = "hf:nobody/has_this".into();
    let told = build(&data);
    assert!(
        told.contains("`hf:nobody/has_this` is not on this machine"),
        "{told}"
    );
}

/// A plan over files of one's own: text, lines, and a token file.
fn own(folder: &Path) -> DataPlan {
    let mut data = plan(&[
        ("web", &["*.jsonl"]),
        ("code", &["**/*.rs"]),
        ("ready", &[]),
    ]);
    data.source = "file:texts".into();
    data.tokenizer = "characters".into();
    data.vocab = 1000;
    data.mix[2].source = Some("file:ready.bin".into());
    fs::create_dir_all(folder.join("texts/deep")).unwrap();
    fs::write(
        folder.join("texts/a.jsonl"),
        "{\"text\": \"one\"}\n{\"text\": \"two\"}\n",
    )
    .unwrap();
    fs::write(folder.join("texts/deep/b.rs"), "fn é() {}").unwrap();
    let path = folder.join("ready.bin");
    let mut writer = TokenWriter::create(&path, Kind::U16).unwrap();
    writer.ids(&[7, 8, 999], &path).unwrap();
    writer.finish(1).unwrap();
    data
}

#[test]
fn files_of_ones_own_are_tokenized_once_and_token_files_read_where_they_lie() {
    let folder = tempfile::tempdir().unwrap();
    let (from, cache) = (folder.path().join("spec"), folder.path().join("cache"));
    fs::create_dir(&from).unwrap();
    let data = own(&from);
    let first = build(&data, &from, &cache).unwrap();
    let [web, code, ready] = &first.components[..] else {
        panic!("three components")
    };
    assert_eq!((web.documents, web.tokens), (2, 8));
    assert_eq!((code.documents, code.tokens, code.largest_id), (1, 10, 233));
    assert_eq!((ready.tokens, ready.largest_id), (3, 999));
    assert_eq!(first.tokens(2).unwrap().path(), from.join("ready.bin"));
    first.check(&data).unwrap();
    assert_eq!(build(&data, &from, &cache).unwrap().folder, first.folder);
    fs::write(from.join("texts/a.jsonl"), "{\"text\": \"another\"}\n").unwrap();
    let second = build(&data, &from, &cache).unwrap();
    assert_ne!(second.folder, first.folder);
    assert_eq!(second.components[0].tokens, 8);
    assert_eq!(
        second.components[1].fingerprint,
        first.components[1].fingerprint
    );
    let small = DataPlan { vocab: 999, ..data };
    let error = second.check(&small).unwrap_err().to_string();
    assert!(
        error.contains("`ready` has the id 999") && error.contains("ids 0 to 998"),
        "{error}"
    );
}

/// What others put beside their files is theirs; a description that was cut is not passed over.
#[test]
fn a_description_beside_a_token_file_is_read_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let (from, cache) = (folder.path().join("spec"), folder.path().join("cache"));
    fs::create_dir(&from).unwrap();
    let data = own(&from);
    fs::write(from.join("ready.json"), "{\"made\": \"elsewhere\"}").unwrap();
    build(&data, &from, &cache).unwrap();
    fs::write(from.join("ready.json"), "{\"schema\": 1, \"tok").unwrap();
    let other = folder.path().join("other cache");
    let error = build(&data, &from, &other).unwrap_err().to_string();
    assert!(error.contains("ready.json"), "{error}");
}

#[test]
fn prompts_and_answers_are_two_sequences_each_and_only_answers_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = plan(&[("asked", &[])]);
    data.source = "file:asked.jsonl".into();
    data.reading.text = "question".into();
    data.reading.answer = Some("reply".into());
    data.reading.answers_only = true;
    let lines = "{\"question\": \"one?\", \"reply\": \"1\"}\n{\"reply\": \"22\", \"question\": \"\"}\n\
                 {\"question\": \"three?\", \"reply\": \"\"}\n";
    let path = folder.path().join("asked.jsonl");
    fs::write(&path, lines).unwrap();
    let build = |data: &DataPlan| build(data, folder.path(), &folder.path().join("cache"));
    let prepared = build(&data).unwrap();
    let asked = &prepared.components[0];
    assert_eq!((asked.documents, asked.tokens), (3, 16));
    let file = prepared.tokens(0).unwrap();
    let lengths = [4, 2, 0, 3, 6, 1];
    assert_eq!(file.lengths().unwrap(), lengths);
    let draw = Draw {
        ordering: pleach_plan::Ordering::Sequential,
        seed: 1,
        sequence: 15,
        total: 1,
    };
    let order = Order::of(&data, draw, &prepared).unwrap();
    let mut tokens = [0; 16];
    order.sample(0, &mut tokens).unwrap();
    let marked: String = tokens
        .iter()
        .map(|&it| if it < 0 { '-' } else { 'a' })
        .collect();
    assert_eq!(marked, "----aaaaa------a");
    assert_eq!(order.counted(0..1).unwrap(), 6);

    fs::write(&path, format!("{lines}{{\"question\": \"four?\"}}\n")).unwrap();
    let error = build(&data).unwrap_err().to_string();
    assert!(
        error.contains("asked.jsonl:4") && error.contains("key"),
        "{error}"
    );
    data.source = "file:asked.txt".into();
    fs::write(folder.path().join("asked.txt"), "no lines").unwrap();
    assert!(
        build(&data)
            .unwrap_err()
            .to_string()
            .contains("no JSON object")
    );
}

#[test]
fn what_files_cannot_be_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = own(folder.path());
    let error = |data: &DataPlan| {
        let built = build(data, folder.path(), &folder.path().join("cache"));
        built.unwrap_err().to_string()
    };
    data.mix[1].files = vec!["*.verse".into()];
    assert!(
        error(&data).contains("*.verse` means no file"),
        "{}",
        error(&data)
    );
    data.mix[1].files = vec!["a.bin".into(), "b.bin".into()];
    assert!(error(&data).contains("`code` has several token files"));
    data.mix[1].source = Some(CARGO_DEPENDENCIES.into());
    assert!(
        error(&data).contains("cannot be prepared here"),
        "{}",
        error(&data)
    );
    let contents = content("file:texts", folder.path()).unwrap().unwrap();
    assert_eq!(contents.parts.len(), 2);
    fs::write(folder.path().join("texts/deep/b.rs"), "changed").unwrap();
    let changed = content("file:texts", folder.path()).unwrap().unwrap();
    assert!(
        contents
            .difference(&changed)
            .ends_with("1 of 2 files differ")
    );
}
