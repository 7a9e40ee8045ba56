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
fn what_tokenization_leaves_is_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let description = b"{\n  \"schema\": 1\n}";
    let files: [(&str, &[u8]); 8] = [
        ("a.json", b"{\"text\": \"a\"}\n"),
        ("a.bin", b"of somebody"),
        ("b/out.partial/state.json", b"{}"),
        ("b/out.json", description),
        ("b/out.idx", b""),
        ("b/v1.2.json", description),
        ("b/v1.2.bin", b""),
        ("c.partial", b"a file"),
    ];
    for (name, bytes) in files {
        write(&folder.path().join(name), bytes);
    }
    for name in ["", "**/*"] {
        let found = inputs(&[folder.path().join(name)]).unwrap();
        let found: Vec<_> = found.into_iter().map(|input| input.path).collect();
        assert_eq!(
            found,
            ["a.json", "c.partial"].map(|name| folder.path().join(name)),
            "{name}"
        );
    }
    let named = folder.path().join("b/out.json");
    assert_eq!(inputs(std::slice::from_ref(&named)).unwrap()[0].path, named);
}

#[cfg(unix)]
#[test]
fn links_are_followed() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(&at("far/x/a.jsonl"), b"");
    write(&at("far/b.jsonl"), b"");
    fs::create_dir(at("in")).unwrap();
    symlink(at("far/x"), at("in/x")).unwrap();
    symlink(at("far/b.jsonl"), at("in/b.jsonl")).unwrap();
    symlink(at("in"), at("in/again")).unwrap();
    symlink(at("nothing"), at("in/.#lock")).unwrap();
    let paths = |name: &str| {
        inputs(&[at(name)]).map(|found| {
            found
                .into_iter()
                .map(|input| input.path)
                .collect::<Vec<_>>()
        })
    };
    let both = [at("in/b.jsonl"), at("in/x/a.jsonl")];
    assert_eq!(paths("in").unwrap(), both);
    assert_eq!(paths("in/**/*.jsonl").unwrap(), both);
    symlink(at("nothing"), at("in/gone.txt")).unwrap();
    assert_eq!(paths("in/*.jsonl").unwrap(), both[..1]);
    let error = paths("in").unwrap_err().to_string();
    assert!(error.contains("gone.txt"), "{error}");
    symlink(at("far/b.jsonl"), at("far/c.jsonl")).unwrap();
    assert_eq!(paths("far/*.jsonl").unwrap(), [at("far/b.jsonl")]);
    assert_eq!(
        snapshot(&[at("far/c.jsonl"), at("far/b.jsonl")])
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_file_is_one_whatever_its_spellings() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["c/a.jsonl", "c/b.jsonl"] {
        write(&at(name), b"");
    }
    let names = [
        "c/b.jsonl",
        "c/../c/a.jsonl",
        "c",
        "./c/a.jsonl",
        "././c/./*.jsonl",
    ];
    let found = inputs(&names.map(at)).unwrap();
    let names = found.iter().map(|input| input.path.file_name().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), ["a.jsonl", "b.jsonl"]);
}

#[test]
fn points_in_a_glob_and_brackets_in_names_mean_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["d[1]/a.jsonl", "d[1]/e/{b}.jsonl", "d1/c.jsonl"] {
        write(&at(name), b"");
    }
    let paths = |name: &str| {
        let found = inputs(&[at(name)]).unwrap();
        found
            .into_iter()
            .map(|input| input.path)
            .collect::<Vec<_>>()
    };
    assert_eq!(paths("d[1]/*.jsonl"), [at("d[1]/a.jsonl")]);
    assert_eq!(paths("././d[1]/./e/./*.jsonl"), [at("d[1]/e/{b}.jsonl")]);
    assert_eq!(paths("d[1]/e/{b}.jsonl"), [at("d[1]/e/{b}.jsonl")]);
    assert_eq!(paths("d[0-9]/*.jsonl"), [at("d1/c.jsonl")]);
    let here = inputs(&["././src/./text/mod.*".into(), "./[s]rc/lib.rs".into()]).unwrap();
    let here: Vec<_> = here.into_iter().map(|input| input.path).collect();
    assert_eq!(here, ["src/lib.rs", "src/text/mod.rs"].map(PathBuf::from));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("a.jsonl", b"{}\n{}\n".to_vec()),
        ("a.txt.gz", gzip(b"text")),
    ] {
        let path = folder.path().join(name);
        for changed in [
            [&bytes[..], &bytes[..]].concat(),
            bytes[..3.min(bytes.len())].to_vec(),
        ] {
            write(&path, &bytes);
            let inputs = Arc::new(inputs(std::slice::from_ref(&path)).unwrap());
            write(&path, &changed);
            let mut reader = Records::new(inputs, Place::default());
            let error = reader.find_map(Result::err).unwrap().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
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
