//! Tokenization that is killed, crowded and fed with bad lines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::text::{Fault, inputs};
use crate::tokens::TokenFile;

mod full_disk;

/// Names the folder for a process that is there to be killed.
const CHILD: &str = "PLEACH_TEST_TOKENIZE";

/// Text of several files and forms; enough for many states.
fn texts(folder: &Path) {
    fs::create_dir_all(folder.join("in")).unwrap();
    let line = |number: usize| {
        let words = "lorem ipsum — dolor ".repeat(number * 7 % 23);
        format!("{{\"meta\": {number}, \"text\": \"{number} {words}\"}}\n")
    };
    let lines: String = (0..9000).map(line).collect();
    fs::write(folder.join("in/a.jsonl"), &lines).unwrap();
    fs::write(folder.join("in/b.txt"), "fn main() {}\n".repeat(900)).unwrap();
    let packed = zstd::encode_all(lines.as_bytes(), 1).unwrap();
    fs::write(folder.join("in/c.jsonl.zst"), packed).unwrap();
    for number in 0..50 {
        let text = format!("document {number}\n").repeat(number);
        fs::write(folder.join(format!("in/d{number}.txt")), text).unwrap();
    }
}

fn job(folder: &Path, out: &str, threads: usize) -> Job {
    Job {
        inputs: inputs(&[folder.join("in")]).unwrap(),
        out: folder.join(out),
        tokenizer: Tokenizer::open("characters", folder, false).unwrap(),
        tokenizer_name: "characters".into(),
        fields: Fields {
            text: "text".into(),
            answer: None,
        },
        skip_bad_lines: false,
        threads,
        sync_every: 1 << 16,
        replace: false,
    }
}

fn quiet(job: &Job) -> Result<Done, DataError> {
    run(job, &mut |_| {})
}

/// The bytes of an output, and that nothing else is left of it.
fn output(folder: &Path, out: &str) -> Vec<Vec<u8>> {
    let path = folder.join(out);
    assert!(!ending(&path, "partial").exists());
    let bytes = ["bin", "idx", "json"].map(|end| fs::read(ending(&path, end)).unwrap());
    bytes.to_vec()
}

#[test]
fn the_bytes_do_not_depend_on_threads() {
    let folder = tempfile::tempdir().unwrap();
    texts(folder.path());
    let mut last = Progress::default();
    let done = run(&job(folder.path(), "one", 1), &mut |progress| {
        last = *progress
    })
    .unwrap();
    assert_eq!(last.read, last.total);
    assert_eq!(done.description.documents, last.documents);
    for (out, threads) in [("two", 2), ("seven", 7)] {
        quiet(&job(folder.path(), out, threads)).unwrap();
        assert_eq!(output(folder.path(), out), output(folder.path(), "one"));
    }
    let file = TokenFile::open(&folder.path().join("one.bin")).unwrap();
    file.check().unwrap();
    let description = done.description;
    assert_eq!(description.fingerprint, file.fingerprint());
    assert_eq!(
        (file.len(), file.sequences() as u64),
        (description.tokens, description.documents)
    );
    assert_eq!(description.skipped_empty, 1, "d0.txt is empty");
    let source = &description.sources[0];
    let bytes = fs::read(&source.path).unwrap();
    assert_eq!(source.blake3, blake3::hash(&bytes).to_hex().to_string());
    assert_eq!(source.documents, 9000);
    assert_eq!(description.largest_id, Some(u32::from('—')));
    let mut ids = [0; 4];
    assert!(file.read(0, &mut ids));
    assert_eq!(
        ids,
        [
            i64::from('0' as u32),
            i64::from(' ' as u32),
            0,
            i64::from('1' as u32)
        ]
    );
}

#[test]
fn what_is_there_is_not_made_again_and_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    texts(folder.path());
    let first = job(folder.path(), "out", 2);
    assert!(!quiet(&first).unwrap().was_there);
    assert!(quiet(&first).unwrap().was_there);
    fs::write(folder.path().join("in/e.txt"), "new").unwrap();
    let mut second = job(folder.path(), "out", 2);
    let error = quiet(&second).unwrap_err().to_string();
    assert!(error.contains("out.bin is there already"), "{error}");
    second.replace = true;
    let documents = quiet(&first).unwrap().description.documents;
    assert_eq!(quiet(&second).unwrap().description.documents, documents + 1);
    fs::write(folder.path().join("foreign.bin"), "tokens of somebody").unwrap();
    assert!(quiet(&job(folder.path(), "foreign", 1)).is_err());
    assert_eq!(
        fs::read(folder.path().join("foreign.bin")).unwrap(),
        b"tokens of somebody"
    );
}

#[test]
fn two_at_one_output_are_one_too_many() {
    let folder = tempfile::tempdir().unwrap();
    texts(folder.path());
    let (first, second) = (job(folder.path(), "out", 1), job(folder.path(), "out", 1));
    let mut refused = None;
    run(&first, &mut |_| {
        refused.get_or_insert_with(|| quiet(&second).unwrap_err().to_string());
    })
    .unwrap();
    let refused = refused.unwrap();
    assert!(
        refused.starts_with("another process is writing"),
        "{refused}"
    );
    assert!(quiet(&second).unwrap().was_there);
}

#[test]
fn a_folder_is_tokenized_into_itself() {
    let folder = tempfile::tempdir().unwrap();
    texts(folder.path());
    let whole = quiet(&job(folder.path(), "out", 1)).unwrap().description;
    let ended = std::panic::catch_unwind(|| {
        run(&job(folder.path(), "in/out", 1), &mut |progress| {
            assert!(progress.documents < 5000, "ended here");
        })
    });
    assert!(ended.is_err() && folder.path().join("in/out.partial/state.json").exists());
    let done = quiet(&job(folder.path(), "in/out", 1)).unwrap();
    assert!(done.resumed > 0);
    assert_eq!(done.description, whole);
    assert!(quiet(&job(folder.path(), "in/out", 1)).unwrap().was_there);
    assert_eq!(
        quiet(&job(folder.path(), "in/two", 1)).unwrap().description,
        whole
    );
}

#[test]
fn bad_lines_are_counted_with_their_places_or_end_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    let path = folder.path().join("in/a.jsonl");
    let lines: [&[u8]; 7] = [
        b"{\"text\": \"good\"}",
        b"{\"body\": \"no key\"}",
        b"",
        b"{\"text\": \"\xff\"}",
        b"not json",
        b"{\"text\": 3}",
        b"{\"text\": \"\"}",
    ];
    fs::write(&path, lines.join(&b'\n')).unwrap();
    let mut job = job(folder.path(), "out", 3);
    let error = quiet(&job).unwrap_err().to_string();
    assert!(error.ends_with("a.jsonl:2: the key is missing"), "{error}");
    assert!(!folder.path().join("out.bin").exists());
    job.skip_bad_lines = true;
    let found = quiet(&job).unwrap().description;
    assert_eq!(
        (
            found.documents,
            found.skipped_records(),
            found.skipped_empty
        ),
        (1, 4, 1)
    );
    let lines = |fault| {
        found.skipped[&fault]
            .first
            .iter()
            .map(|at| at.line)
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(Fault::NoKey), [Some(2)]);
    assert_eq!(lines(Fault::NotUtf8), [Some(4)]);
    assert_eq!(lines(Fault::NotJson), [Some(5)]);
    assert_eq!(lines(Fault::NoString), [Some(6)]);
}

#[test]
fn what_a_kill_behind_the_last_name_leaves_is_cleared() {
    let folder = tempfile::tempdir().unwrap();
    texts(folder.path());
    let job = job(folder.path(), "one", 1);
    quiet(&job).unwrap();
    let partial = folder.path().join("one.partial");
    for left in ["lock", "state.json"] {
        fs::create_dir_all(&partial).unwrap();
        fs::write(partial.join(left), "").unwrap();
    }
    let writer = lock(&partial, &job.out).unwrap();
    assert!(quiet(&job).unwrap().was_there);
    assert!(partial.exists(), "another process holds the lock");
    drop(writer);
    // A process that another test starts at this moment holds a copy of the lock until it runs its own program.
    let patience = Instant::now() + Duration::from_secs(10);
    while partial.exists() && Instant::now() < patience {
        assert!(quiet(&job).unwrap().was_there);
    }
    output(folder.path(), "one");
}

/// Tokenizes where it is told to; there for [`killed_fifty_times_it_writes_the_same`], which kills it.
#[test]
fn a_process_to_kill() {
    if let Some(folder) = std::env::var_os(CHILD) {
        let folder = PathBuf::from(folder);
        quiet(&job(&folder, "killed", 2)).unwrap();
    }
}

fn child(folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "tokenize::tests::a_process_to_kill"]);
    command
        .env(CHILD, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

#[test]
fn killed_fifty_times_it_writes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    texts(folder.path());
    quiet(&job(folder.path(), "whole", 1)).unwrap();
    let begin = Instant::now();
    assert!(child(folder.path()).status().unwrap().success());
    let whole = begin.elapsed();
    let (mut kills, mut resumed, mut chance) = (0, 0, 0x2545_f491_4f6c_dd1du64);
    while kills < 50 {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let share = (chance >> 40) as f64 / (1 << 24) as f64;
        let mut process = child(folder.path()).spawn().unwrap();
        std::thread::sleep(whole.mul_f64(share) + Duration::from_micros(chance % 500));
        let ended = process.try_wait().unwrap().is_some();
        if !ended {
            process.kill().unwrap();
            process.wait().unwrap();
            kills += 1;
            resumed += u32::from(folder.path().join("killed.partial/state.json").exists());
        }
        let json = folder.path().join("killed.json");
        if json.exists() {
            assert!(quiet(&job(folder.path(), "killed", 1)).unwrap().was_there);
            assert_eq!(
                output(folder.path(), "killed"),
                output(folder.path(), "whole")
            );
            for end in ["bin", "idx", "json"] {
                fs::remove_file(folder.path().join(format!("killed.{end}"))).unwrap();
            }
        }
    }
    assert!(resumed > 10, "{resumed} of 50 were killed in the middle");
    quiet(&job(folder.path(), "killed", 2)).unwrap();
    assert_eq!(
        output(folder.path(), "killed"),
        output(folder.path(), "whole")
    );
}
