//! Token files that are broken on purpose.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

/// A valid pair of files with one sequence of three tokens and one of two.
fn valid(folder: &Path) -> PathBuf {
    let path = folder.join("tokens.bin");
    write(&path, Kind::U8, &[&[97, 98, 0], &[], &[99, 0]]);
    path
}

fn write(path: &Path, kind: Kind, sequences: &[&[u32]]) -> Written {
    let mut writer = TokenWriter::create(path, kind).unwrap();
    for ids in sequences {
        writer.ids(ids, path).unwrap();
    }
    writer.finish(1).unwrap()
}

#[test]
fn broken_indexes_are_errors_with_the_file_and_the_reason() {
    let broken = |change: fn(&mut Vec<u8>), reason: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = valid(folder.path());
        let index = path.with_extension("idx");
        let mut bytes = fs::read(&index).unwrap();
        change(&mut bytes);
        fs::write(&index, bytes).unwrap();
        let checked = TokenFile::open(&path).and_then(|file| file.check());
        let error = checked.unwrap_err().to_string();
        assert!(
            error.contains("tokens.idx") && error.contains(reason),
            "{reason}: {error}"
        );
    };
    broken(|bytes| bytes.truncate(20), "too few for a header");
    broken(
        |bytes| bytes.truncate(60),
        "60 bytes, but its header says 3 sequences",
    );
    broken(|bytes| bytes[0] = b'X', "no token index");
    broken(
        |bytes| bytes[..8].copy_from_slice(b"TNTIDX\0\0"),
        "old cached format",
    );
    broken(|bytes| bytes[9] = 2, "version 2, expected 1");
    broken(|bytes| bytes[17] = 6, "values take 1");
    broken(|bytes| bytes[18..26].fill(0xff), "sequences");
    broken(|bytes| bytes[26..34].fill(0xff), "document entries");
    broken(
        |bytes| bytes[34..38].copy_from_slice(&(-1i32).to_le_bytes()),
        "sequence 0 has -1",
    );
    broken(
        |bytes| bytes[54] = 9,
        "sequence 1 has 0 tokens at byte 9 of 5, expected byte 3",
    );
    broken(|bytes| bytes[62] = 9, "describes 11 bytes");
    broken(|bytes| bytes[69] = 0x80, "sequence 2 has 2");
    broken(|bytes| bytes[17] = 8, "describes 7 bytes");
    broken(|bytes| bytes[17] = 9, "none of 1 to 8");
}

#[test]
fn a_truncated_token_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = valid(folder.path());
    fs::write(&path, b"ab\0").unwrap();
    let error = TokenFile::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("describes 5 bytes") && error.contains("has 3"),
        "{error}"
    );
    fs::remove_file(&path).unwrap();
    assert!(
        TokenFile::open(&path)
            .unwrap_err()
            .to_string()
            .contains("tokens.bin")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_index_makes_the_reader_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in 0usize..110,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = valid(folder.path());
        let index = path.with_extension("idx");
        let mut bytes = fs::read(&index).unwrap();
        bytes.resize(length.max(1), 0);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        fs::write(&index, bytes).unwrap();
        if let Ok(file) = TokenFile::open(&path) {
            prop_assert_eq!(file.len(), 5 / file.kind().bytes());
            let whole = file.check().is_ok();
            let mut sequences = (0..file.sequences()).map(|number| file.sequence(number));
            let all = sequences.all(|range| range.is_some_and(|range| range.end <= file.len()));
            prop_assert!(all || !whole);
            let _ = (file.oddity(), file.documents(), file.lengths());
            let mut values = vec![0.0; file.len() as usize];
            prop_assert!(file.values(0, &mut values));
        }
    }
}

#[test]
fn reads_and_writes_what_gpt_neox_wrote() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/vectors");
    let path = vectors.join("tiny_text_document.bin");
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return;
    }
    let file = TokenFile::open(&path).unwrap();
    assert_eq!(
        (file.kind(), file.sequences(), file.len()),
        (Kind::U16, 3, 13)
    );
    assert_eq!(file.sequence(1), Some(4..7));
    let mut tokens = [0; 3];
    assert!(file.read(4, &mut tokens));
    let bytes: Vec<u8> = tokens
        .iter()
        .flat_map(|&token| (token as u16).to_le_bytes())
        .collect();
    assert_eq!(bytes, &fs::read(&path).unwrap()[8..14]);
    assert!(!file.read(11, &mut tokens));
    let folder = tempfile::tempdir().unwrap();
    let ours = folder.path().join("ours.bin");
    let sequences: [&[u32]; 3] = [&[1, 2, 3, 0], &[4, 5, 0], &[6, 7, 8, 9, 10, 0]];
    write(&ours, Kind::U16, &sequences);
    for ending in ["bin", "idx"] {
        let [theirs, ours] = [&path, &ours].map(|path| fs::read(path.with_extension(ending)));
        assert_eq!(theirs.unwrap(), ours.unwrap(), "{ending}");
    }
}

/// An index of one sequence of two floats, with this code, over a `.bin` of these bytes.
fn floats(folder: &Path, code: u8, bin: &[u8]) -> Result<TokenFile, DataError> {
    let path = folder.join("floats.bin");
    fs::write(&path, bin).unwrap();
    let mut index = b"MMIDIDX\0\0".to_vec();
    index.extend(1u64.to_le_bytes());
    index.push(code);
    index.extend([1u64, 2].iter().flat_map(|word| word.to_le_bytes()));
    index.extend(2i32.to_le_bytes());
    index.extend([0i64, 0, 1].iter().flat_map(|word| word.to_le_bytes()));
    fs::write(path.with_extension("idx"), index).unwrap();
    TokenFile::open(&path)
}

#[test]
fn the_two_numberings_of_floats_are_told_apart_by_their_size() {
    let folder = tempfile::tempdir().unwrap();
    let short: Vec<u8> = [0.5f32, -2.0]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let long: Vec<u8> = [0.5f64, -2.0]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let cases = [
        (6, &short, Kind::F32, Convention::GptNeox),
        (7, &long, Kind::F64, Convention::GptNeox),
        (6, &long, Kind::F64, Convention::Megatron),
        (7, &short, Kind::F32, Convention::Megatron),
    ];
    for (code, bin, kind, convention) in cases {
        let file = floats(folder.path(), code, bin).unwrap();
        assert_eq!((file.kind(), file.convention()), (kind, convention));
        let (mut values, mut ids) = ([0.0; 2], [0; 2]);
        assert!(file.values(0, &mut values) && !file.read(0, &mut ids));
        assert_eq!(values, [0.5, -2.0]);
    }
    let error = floats(folder.path(), 6, &short[..6])
        .unwrap_err()
        .to_string();
    assert!(error.contains("values take 3"), "{error}");
}

#[test]
fn every_type_of_ids_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ids.bin");
    for kind in [
        Kind::U8,
        Kind::I8,
        Kind::I16,
        Kind::U16,
        Kind::I32,
        Kind::I64,
    ] {
        write(&path, kind, &[&[5, 0, 127], &[], &[9]]);
        let file = TokenFile::open(&path).unwrap();
        file.check().unwrap();
        assert_eq!((file.kind(), file.oddity()), (kind, None));
        let mut ids = [0; 4];
        assert!(file.read(0, &mut ids));
        assert_eq!(ids, [5, 0, 127, 9]);
        assert_eq!(file.lengths().unwrap(), [3, 0, 1]);
        assert_eq!(file.sequence(2), Some(3..4));
    }
    let mut writer = TokenWriter::create(&path, Kind::U16).unwrap();
    let error = writer.ids(&[70_000], Path::new("a.txt")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a.txt: the id 70000 does not fit into u16"
    );
}

#[test]
fn writing_goes_on_where_it_was_synced() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, cut) = (
        folder.path().join("whole.bin"),
        folder.path().join("cut.bin"),
    );
    let written = write(&whole, Kind::U16, &[&[1, 2], &[3], &[4, 5, 6]]);
    let mut writer = TokenWriter::create(&cut, Kind::U16).unwrap();
    writer.ids(&[1, 2], &cut).unwrap();
    let place = writer.sync().unwrap();
    writer.ids(&[9; 4000], &cut).unwrap();
    drop(writer);
    let mut writer = TokenWriter::resume(&cut, Kind::U16, place).unwrap();
    writer.ids(&[3], &cut).unwrap();
    writer.ids(&[4, 5, 6], &cut).unwrap();
    assert_eq!(writer.finish(1).unwrap(), written);
    for ending in ["bin", "idx"] {
        let [one, other] = [&whole, &cut].map(|path| fs::read(path.with_extension(ending)));
        assert_eq!(one.unwrap(), other.unwrap());
    }
    let beyond = Place {
        sequences: 9,
        tokens: 6,
    };
    assert!(TokenWriter::resume(&whole, Kind::U16, beyond).is_err());
}

/// Resident bytes of this process's map of a file, where the system tells.
fn resident(path: &Path) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/smaps").ok()?;
    let (_, map) = text.split_once(&*path.to_string_lossy())?;
    let line = map.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kibibytes << 10)
}

#[test]
fn what_was_read_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.bin");
    let mut writer = TokenWriter::create(&path, Kind::U8).unwrap();
    for _ in 0..64 {
        writer.sequence(&vec![7; 1 << 20], &path).unwrap();
    }
    writer.finish(1).unwrap();
    let file = TokenFile::open(&path).unwrap();
    let mut ids = [0; 300];
    for sample in 0..4000u64 {
        assert!(file.read(sample * 7_919 * 13 % (60 << 20), &mut ids));
    }
    let Some(held) = resident(&path) else {
        return eprintln!("skipped: this system does not say what is resident");
    };
    assert!(held < 1 << 20, "{held} bytes of 64 MiB stay resident");
}
