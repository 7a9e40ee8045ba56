//! Where ranks meet: on the declared interface alone, with a secret that stands nowhere, and with a refusal by name for whoever does not fit.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use pleach_tests::have;
use pleach_tests::job::{self, Answer, Workspace, answer, spawn, succeed};
use walkdir::WalkDir;
use xtask::processes;

use super::{LONG, TWO, run, saved};

/// The addresses, in the kernel's hexadecimal, at which a process listens.
fn listens_at(pid: i32) -> BTreeSet<String> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("our own descendant");
    let links = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    let inodes: BTreeSet<String> = links
        .filter_map(|link| {
            Some(
                link.to_str()?
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')?
                    .to_owned(),
            )
        })
        .collect();
    let tables = ["tcp", "tcp6"]
        .map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default());
    let listening = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_own = words.get(3) == Some(&"0A") && inodes.contains(*words.get(9)?);
        let (address, _) = words[1].rsplit_once(':')?;
        is_own.then(|| address.to_owned())
    };
    tables
        .iter()
        .flat_map(|table| table.lines())
        .filter_map(listening)
        .collect()
}

/// The secret that a process was given.
fn secret(pid: i32) -> String {
    let text = fs::read(format!("/proc/{pid}/environ")).expect("our own descendant");
    let text = String::from_utf8_lossy(&text).into_owned();
    let found = text
        .split('\0')
        .find_map(|entry| entry.strip_prefix("PLEACH_SECRET="));
    found.expect("a rank has the job's secret").to_owned()
}

#[test]
fn ranks_listen_on_loopback_alone_and_the_secret_stands_nowhere() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    let settings = [&TWO[..], &[LONG]].concat();
    let child = spawn(&mut run(&home, &settings));
    let workers = processes::wait_for_workers(child.id(), 2);
    processes::wait_until("it trains", || {
        (!saved(&home.only_run()).is_empty()).then_some(())
    });
    let secrets: BTreeSet<String> = workers.iter().map(|worker| secret(worker.pid)).collect();
    assert_eq!(secrets.len(), 1, "one secret for the job");
    let secret = secrets.first().expect("one").clone();
    assert_eq!(secret.len(), 64);
    for worker in &workers {
        let places = listens_at(worker.pid);
        assert!(!places.is_empty(), "who listens nowhere proves nothing");
        // 127.0.0.1, alone and inside of an address of IPv6.
        let loopback =
            |place: &String| place == "0100007F" || place == "0000000000000000FFFF00000100007F";
        assert!(
            places.iter().all(loopback),
            "rank {}: {places:?}",
            worker.rank
        );
        let line = fs::read(format!("/proc/{}/cmdline", worker.pid)).expect("our own descendant");
        assert!(!String::from_utf8_lossy(&line).contains(&secret));
    }
    processes::ask_to_stop(child.id());
    let output = child.wait_with_output().expect("pleach ends");
    let mut left = vec![output.stdout, output.stderr];
    let files = WalkDir::new(home.only_run())
        .into_iter()
        .filter_map(Result::ok);
    let files = files.filter(|entry| entry.file_type().is_file());
    left.extend(files.map(|entry| fs::read(entry.path()).expect("a file of the run")));
    assert!(left.len() > 8);
    let holds = |text: &Vec<u8>| {
        text.windows(secret.len())
            .any(|part| part == secret.as_bytes())
    };
    assert!(!left.iter().any(holds), "the secret was written down");
}

/// One rank of a run's plan by hand, in a folder of its own.
fn rank(run: &Path, world: u32, port: u16) -> Answer {
    let plan = job::plan(run);
    let mut worker = Command::new(have::worker().expect("asked before"));
    worker.arg("--plan").arg(run.join("plan.json"));
    worker.arg("--run").arg(run.with_file_name("by-hand"));
    worker.arg("--data").arg(job::data_from(
        &plan,
        run.parent().and_then(Path::parent).expect("a folder"),
    ));
    let numbers = [
        ("WORLD_SIZE", world),
        ("LOCAL_WORLD_SIZE", world),
        ("RANK", 0),
        ("LOCAL_RANK", 0),
    ];
    worker.envs(numbers.map(|(name, value)| (name, value.to_string())));
    worker.envs([
        ("MASTER_ADDR", "127.0.0.1"),
        ("PLEACH_SECRET", "ours"),
        ("PLEACH_DEADLINE", "5"),
    ]);
    answer(worker.env("MASTER_PORT", port.to_string()))
}

#[test]
fn another_number_of_ranks_and_a_port_in_use_are_refused_before_anything_is_made() {
    if have::worker().is_none() {
        return;
    }
    let home = Workspace::new();
    succeed(run(&home, &TWO).args(["--steps", "4"]));
    let folder = home.only_run();
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = other.local_addr().expect("it is bound").port();

    let wrong = rank(&folder, 3, port);
    assert_eq!(wrong.code, Some(1), "{}", wrong.stderr);
    assert!(
        wrong.stderr.contains("it is for 2 ranks, 3 were started"),
        "{}",
        wrong.stderr
    );
    assert!(
        !folder.with_file_name("by-hand").exists(),
        "nothing was written"
    );

    let taken = rank(&folder, 2, port);
    assert_eq!(taken.code, Some(2), "{}", taken.stderr);
    for part in [
        "pleach::worker::port_taken",
        &format!("127.0.0.1:{port}"),
        "choose another MASTER_PORT",
    ] {
        assert!(taken.stderr.contains(part), "{part}: {}", taken.stderr);
    }
}
