//! The supervisor against stand-in workers: deaths, logs, secrets, and that nobody is left behind.
//!
//! The stand-ins are shell scripts named by `PLEACH_WORKER`; `pleach calibrate` launches them as it would real workers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{pleach, stderr, until};

/// Writes a stand-in worker.
fn worker(folder: &Path, body: &str) -> std::path::PathBuf {
    let path = folder.join("worker.sh");
    fs::write(
        &path,
        format!(
            "#!/bin/sh\necho $$ > {}/pid-$RANK\n{body}\n",
            folder.display()
        ),
    )
    .expect("the test's own files and processes work");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        .expect("the test's own files and processes work");
    path
}

fn calibrate(folder: &Path, body: &str) -> Command {
    let mut command = pleach(folder);
    command
        .args(["calibrate", "--ranks", "3", "--out", "table.toml"])
        .env("PLEACH_WORKER", worker(folder, body));
    command
}

/// Process ids that the stand-ins wrote down.
fn pids(folder: &Path) -> Vec<u32> {
    let read = |rank: u32| {
        fs::read_to_string(folder.join(format!("pid-{rank}")))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    (0..3).filter_map(read).collect()
}

fn alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn start(mut command: Command, folder: &Path) -> Child {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the test's own files and processes work");
    until("three workers start", || pids(folder).len() == 3);
    child
}

#[test]
fn a_death_ends_the_others_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let record = r#"{"event":"failed","message":"the connection closed","instruction":"layer.forward[3] all_reduce","peer":1}"#;
    let body = format!(
        "echo '{{\"event\":\"ready\",\"step\":0}}'\n\
         if [ $RANK = 1 ]; then echo out of luck >&2; sleep 0.3; kill -9 $$; fi\n\
         if [ $RANK = 0 ]; then sleep 0.6; echo '{record}'; exit 10; fi\n\
         sleep 60 & trap '' TERM; wait; sleep 60"
    );
    let begun = Instant::now();
    let output = calibrate(folder.path(), &body).output().unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(
        output.status.code(),
        Some(2),
        "a calibration cannot be resumed"
    );
    let said = stderr(&output).replace('\n', " ").replace("  │ ", "");
    assert!(said.contains("rank 1 of 3 stopped"), "{said}");
    assert!(
        said.contains("layer.forward[3] all_reduce") && said.contains("SIGKILL"),
        "{said}"
    );
    assert!(
        said.contains("out of luck"),
        "the log's last lines are shown: {said}"
    );
    assert!(pids(folder.path()).into_iter().all(|pid| !alive(pid)));
    assert!(!folder.path().join("table.toml").exists());
}

#[test]
fn no_worker_outlives_a_killed_supervisor() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = start(
        calibrate(
            folder.path(),
            "trap '' TERM INT; while :; do sleep 0.1; done",
        ),
        folder.path(),
    );
    child.kill().unwrap();
    child.wait().unwrap();
    let left = pids(folder.path());
    until("workers die with their supervisor", || {
        left.iter().all(|&pid| !alive(pid))
    });
}

#[test]
fn a_request_to_stop_is_passed_on() {
    let folder = tempfile::tempdir().unwrap();
    let body = "trap 'exit 75' TERM\nwhile :; do sleep 0.05; done";
    let child = start(calibrate(folder.path(), body), folder.path());
    std::thread::sleep(Duration::from_millis(200));
    Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_ne!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(pids(folder.path()).into_iter().all(|pid| !alive(pid)));
}

#[test]
fn workers_get_their_environment_and_no_secret_in_argv() {
    let folder = tempfile::tempdir().unwrap();
    let body = format!(
        "env > {0}/env-$RANK; tr '\\0' ' ' < /proc/$$/cmdline > {0}/argv-$RANK; exit 1",
        folder.path().display()
    );
    let output = calibrate(folder.path(), &body).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let environment = fs::read_to_string(folder.path().join("env-2")).unwrap();
    for wanted in [
        "RANK=2",
        "LOCAL_RANK=2",
        "WORLD_SIZE=3",
        "MASTER_ADDR=127.0.0.1",
        "MASTER_PORT=",
        "OMP_NUM_THREADS=",
    ] {
        assert!(
            environment.lines().any(|line| line.starts_with(wanted)),
            "{wanted}"
        );
    }
    let secret = environment
        .lines()
        .find_map(|line| line.strip_prefix("PLEACH_SECRET="))
        .unwrap();
    assert_eq!(secret.len(), 64);
    let argv = fs::read_to_string(folder.path().join("argv-2")).unwrap();
    assert!(!argv.contains(secret));
}

#[test]
fn the_port_where_ranks_meet_belongs_to_rank_0_from_the_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let body = format!(
        "readlink /proc/$$/fd/$PLEACH_LISTENER > {0}/file-$RANK; echo $MASTER_PORT > {0}/port\n\
         trap '' TERM; while :; do sleep 0.1; done",
        folder.path().display()
    );
    let mut child = start(calibrate(folder.path(), &body), folder.path());
    let said = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    until("three workers look", || {
        (0..3).all(|rank| folder.path().join(format!("file-{rank}")).exists())
            && said("port").ends_with('\n')
    });
    let port: u16 = said("port").trim().parse().unwrap();
    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    until("rank 0 has a socket", || {
        said("file-0").starts_with("socket:")
    });
    assert!(!said("file-1").starts_with("socket:"), "{}", said("file-1"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_missing_worker_names_the_command_that_builds_it() {
    let folder = tempfile::tempdir().unwrap();
    let output = pleach(folder.path())
        .args(["calibrate"])
        .env("PLEACH_WORKER", "nowhere")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("PLEACH_WORKER names `nowhere`"));
}
