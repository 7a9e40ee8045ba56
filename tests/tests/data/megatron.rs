//! Token files go both ways between us and Megatron-Core's own `IndexedDataset`, token for token.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use pleach_data::tokens::{Convention, Kind, TokenFile, TokenWriter};
use pleach_tests::have;
use serde_json::{Value, json};
use xtask::places;

const JUDGE: &str = "tests/python/indexed_dataset.py";

/// Asks Megatron-Core; what it prints.
fn judge(python: &Path, arguments: &[&str], input: &Value) -> String {
    let mut command = Command::new(python);
    command.arg(places::root().join(JUDGE)).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut pipe = child.stdin.take().expect("it has an input");
    pipe.write_all(input.to_string().as_bytes())
        .expect("it reads its input");
    drop(pipe);
    let output = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn megatron_core_reads_what_is_written_here() {
    let Some(python) = have::python() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    for (kind, name) in [(Kind::U16, "uint16"), (Kind::I32, "int32")] {
        let path = folder.path().join(format!("{kind}.bin"));
        let sequences: Vec<Vec<u32>> = (0..40u32)
            .map(|number| (0..number % 7).map(|at| number * 1601 + at).collect())
            .collect();
        let mut writer = TokenWriter::create(&path, kind).expect("it can be created");
        for ids in &sequences {
            writer.ids(ids, &path).expect("it can be written");
        }
        writer.finish(1).expect("it can be finished");
        let prefix = path.with_extension("");
        let answer = judge(&python, &["read", &prefix.to_string_lossy()], &json!(null));
        let answer: Value = serde_json::from_str(answer.trim()).expect("JSON");
        assert_eq!(answer["dtype"], json!(name));
        assert_eq!(answer["sequences"], json!(sequences));
        assert_eq!(answer["documents"], json!((0..=40).collect::<Vec<_>>()));
    }
}

#[test]
fn what_megatron_core_writes_is_read_here() {
    let Some(python) = have::python() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let kinds = [
        ("uint8", Kind::U8, Convention::Common),
        ("int32", Kind::I32, Convention::Common),
        ("uint16", Kind::U16, Convention::Common),
        ("int64", Kind::I64, Convention::Common),
        ("float32", Kind::F32, Convention::Megatron),
        ("float64", Kind::F64, Convention::Megatron),
    ];
    let documents = json!([[[1, 2, 3], [4]], [[5, 6]], [[7, 8, 9, 100, 0]]]);
    for (name, kind, convention) in kinds {
        let prefix = folder.path().join(name);
        judge(
            &python,
            &["write", &prefix.to_string_lossy(), name],
            &documents,
        );
        let file = TokenFile::open(&prefix.with_extension("bin")).expect("it opens");
        file.check().expect("it is whole");
        assert_eq!((file.kind(), file.convention()), (kind, convention));
        assert_eq!(
            (file.sequences(), file.documents(), file.oddity()),
            (4, 3, None)
        );
        let mut values = [0.0; 11];
        assert!(file.values(0, &mut values));
        assert_eq!(values, [1., 2., 3., 4., 5., 6., 7., 8., 9., 100., 0.]);
        assert_eq!(file.sequence(3), Some(6..11));
    }
}
