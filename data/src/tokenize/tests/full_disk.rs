//! A disk that fills up: nothing that looks whole is left, the error names the file, and what was written is gone on with.

use super::*;

/// Names the folder for a process that runs out of room.
const FULL: &str = "PLEACH_TEST_FULL";
/// What the small file system may hold at first; less than the tokens, more than one state of them.
const SMALL: &str = "size=6m";

/// Tokenizes where there is too little room, checks what is left, and goes on where it can make room; there for the tests below.
#[test]
fn a_process_without_room() {
    let Some(folder) = std::env::var_os(FULL) else {
        return;
    };
    let folder = PathBuf::from(folder);
    let small = folder.join("small");
    let job = job(&folder, "small/out", 2);
    let error = quiet(&job).unwrap_err();
    let DataError::File(error) = error else {
        panic!("{error}")
    };
    assert!(error.is_full(), "{error}");
    assert!(error.path.starts_with(&small), "{error}");
    for end in ["bin", "idx", "json"] {
        assert!(!ending(&job.out, end).exists());
    }
    assert!(ending(&job.out, "partial").join("state.json").exists());
    if mount(&small, "remount,size=64m") {
        assert!(quiet(&job).unwrap().resumed > 0);
        assert_eq!(output(&folder, "small/out"), output(&folder, "whole"));
    }
}

fn mount(folder: &Path, options: &str) -> bool {
    let mut command = Command::new("mount");
    command
        .args(["-t", "tmpfs", "-o", options, "pleach"])
        .arg(folder);
    let output = command.output();
    output.is_ok_and(|output| output.status.success())
}

/// Runs [`a_process_without_room`] behind a line of shell; whether that line could be run at all.
fn without_room(folder: &Path, shell: &[&str], before: &str) -> bool {
    let line = format!(
        "{before} || exit 77; exec \"$0\" --exact tokenize::tests::full_disk::a_process_without_room --nocapture"
    );
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["sh", "-c", &line]);
    command
        .arg(std::env::current_exe().unwrap())
        .env(FULL, folder);
    let Ok(output) = command.output() else {
        return false;
    };
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || told.contains("unshare:") {
        return false;
    }
    assert!(output.status.success(), "{told}");
    true
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    texts(folder.path());
    fs::create_dir(folder.path().join("small")).unwrap();
    quiet(&job(folder.path(), "whole", 1)).unwrap();
    folder
}

#[test]
fn a_full_disk_leaves_nothing_that_looks_whole_and_is_gone_on_with() {
    let folder = folder();
    let small = folder.path().join("small");
    let before = format!("mount -t tmpfs -o {SMALL} pleach '{}'", small.display());
    let ran = without_room(
        folder.path(),
        &["unshare", "--user", "--map-root-user", "--mount"],
        &before,
    ) || without_room(folder.path(), &["unshare", "--mount"], &before);
    if !ran {
        eprintln!("skipped: a small file system cannot be mounted here");
    }
}

#[test]
fn a_file_that_may_not_grow_is_gone_on_with_when_it_may() {
    let folder = folder();
    let ran = without_room(folder.path(), &["env"], "trap '' XFSZ && ulimit -f 8000");
    assert!(ran, "a shell can limit the size of files");
    let job = job(folder.path(), "small/out", 2);
    assert!(quiet(&job).unwrap().resumed > 0);
    assert_eq!(
        output(folder.path(), "small/out"),
        output(folder.path(), "whole")
    );
}
