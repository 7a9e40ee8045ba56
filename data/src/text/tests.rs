//! Files of all forms and packings, and what hostile ones can do.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::DataError;

/// All records from a place on: file, line, bytes or fault; and the places between batches.
fn records(names: &[PathBuf], from: Place) -> Result<(Vec<String>, Vec<Place>), DataError> {
    let inputs = Arc::new(inputs(names)?);
    let mut reader = Records::new(Arc::clone(&inputs), from);
    let (mut found, mut places) = (Vec::new(), Vec::new());
    for batch in &mut reader {
        let batch = batch?;
        for raw in &batch.records {
            let text = match raw.bytes.clone() {
                Ok(range) => String::from_utf8_lossy(&batch.bytes[range]).into_owned(),
                Err(fault) => fault.to_string(),
            };
            found.push(format!("{}:{:?}:{text}", raw.file, raw.line));
        }
        places.push(batch.end);
    }
    Ok((found, places))
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[test]
fn every_form_gives_the_same_lines() {
    let folder = tempfile::tempdir().unwrap();
    let text = b"{\"text\": \"a\"}\r\n\n{\"text\": \"b\"}";
    let half = |from: usize, to: usize| zstd::encode_all(&text[from..to], 1).unwrap();
    let files = [
        ("a.jsonl", text.to_vec()),
        ("b.jsonl.gz", gzip(text)),
        ("c.jsonl.gz", [gzip(&text[..5]), gzip(&text[5..])].concat()),
        ("d.jsonl.zst", [half(0, 9), half(9, text.len())].concat()),
    ];
    for (name, bytes) in files {
        let path = folder.path().join(name);
        write(&path, &bytes);
        let (found, _) = records(&[path], Place::default()).unwrap();
        let wanted = [
            "0:Some(1):{\"text\": \"a\"}",
            "0:Some(2):",
            "0:Some(3):{\"text\": \"b\"}",
        ];
        assert_eq!(found, wanted, "{name}");
    }
}

#[test]
fn folders_and_globs_mean_visible_text_in_one_order() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "b/x.txt",
        "a/y.jsonl",
        "a/.hidden.txt",
        "a/tokens.bin",
        "a/z.md",
    ] {
        write(&folder.path().join(name), b"text");
    }
    let named = |names: &[&str]| {
        let names: Vec<PathBuf> = names.iter().map(|name| folder.path().join(name)).collect();
        inputs(&names).map(|found| {
            let path = |input: &Input| {
                let path = input.path.strip_prefix(folder.path()).unwrap();
                path.to_string_lossy().into_owned()
            };
            found.iter().map(path).collect::<Vec<_>>()
        })
    };
    assert_eq!(named(&[""]).unwrap(), ["a/y.jsonl", "a/z.md", "b/x.txt"]);
    assert_eq!(named(&["*/*.txt", "b/x.txt"]).unwrap(), ["b/x.txt"]);
    assert_eq!(
        named(&["**/*.{md,jsonl}"]).unwrap(),
        ["a/y.jsonl", "a/z.md"]
    );
    assert!(
        named(&["*.txt"])
            .unwrap_err()
            .to_string()
            .contains("means no file")
    );
    assert!(
        named(&["[a"])
            .unwrap_err()
            .to_string()
            .contains("does not parse")
    );
    assert!(
        named(&["none.txt"])
            .unwrap_err()
            .to_string()
            .contains("none.txt` means no file")
    );
}

#[test]
fn what_is_packed_and_damaged_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl.gz");
    let lines = "{\"text\": \"some words, some more\"}\n".repeat(20_000);
    let packed = gzip(lines.as_bytes());
    write(&path, &packed[..packed.len() / 2]);
    let error = records(std::slice::from_ref(&path), Place::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("a.jsonl.gz") && error.contains("unpacked"),
        "{error}"
    );
    let path = folder.path().join("b.jsonl.zst");
    write(&path, b"no zstandard at all");
    let error = records(&[path], Place::default()).unwrap_err().to_string();
    assert!(
        error.contains("b.jsonl.zst") && error.contains("unpacked"),
        "{error}"
    );
}

#[test]
fn reading_goes_on_at_any_place() {
    let folder = tempfile::tempdir().unwrap();
    let line = |number: usize| format!("{{\"text\": \"{}\"}}\n", "word ".repeat(number % 300));
    let lines: String = (0..2000).map(line).collect();
    write(&folder.path().join("a.jsonl"), lines.as_bytes());
    write(&folder.path().join("b.txt"), b"one document\nof two lines");
    write(&folder.path().join("c.jsonl.gz"), &gzip(lines.as_bytes()));
    let names = [folder.path().to_path_buf()];
    let (all, places) = records(&names, Place::default()).unwrap();
    assert_eq!(all.len(), 4001);
    assert!(places.len() > 4, "{}", places.len());
    for place in places {
        let (rest, _) = records(&names, place).unwrap();
        assert_eq!(rest, all[all.len() - rest.len()..]);
    }
    let beyond = Place {
        file: 1,
        offset: 999,
        line: 0,
    };
    assert!(records(&names, beyond).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_bytes_make_the_readers_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        lines in proptest::collection::vec("[\\[\\]{}\",:a-z0-9\\\\ ]{0,40}", 0..20),
        ending in prop::sample::select(vec!["jsonl", "jsonl.gz", "jsonl.zst", "txt"]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("hostile.{ending}"));
        let text = [bytes, lines.join("\n").into_bytes()].concat();
        let count = memchr::memchr_iter(b'\n', &text).count();
        write(&path, &text);
        let found = records(&[path], Place::default());
        if let (Ok((found, _)), "jsonl") = (found, ending) {
            prop_assert!(found.len() == count || found.len() == count + 1);
        }
        let fields = Fields { text: "text".into(), answer: None };
        for line in text.split(|&byte| byte == b'\n') {
            let _ = fields.text(Form::Lines, line);
        }
    }
}
