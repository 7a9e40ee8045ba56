//! `pleach calibrate`: lets the worker measure this machine and keeps the table where plans for `this_machine` look for it; with `--gpu` one GPU,
//! whose table a spec names as `device = "file:TABLE.toml"`.
//!
//! The table is written aside, read back and judged before it takes the place of an older one. What one GPU cannot show, its links and its data sheet's
//! peak, comes from the shipped table of its chip.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use pleach_planner::hardware::chip;
use serde_json::json;

use crate::arguments::CalibrateArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::launch::supervise::supervise;
use crate::launch::{Job, find};
use crate::machine::{Machine, cache_folder, read_table};
use crate::screen::{Screen, figures};

/// Measures and keeps the table.
pub fn calibrate(screen: &Screen, arguments: &CalibrateArguments) -> Outcome<Exit> {
    let worker = find::worker()?;
    let target = match &arguments.out {
        Some(path) => path.clone(),
        None => Machine::here().table_path()?,
    };
    if target.is_dir() {
        let error = std::io::Error::from(std::io::ErrorKind::IsADirectory);
        return Err(Failure::writing(&target, &error));
    }
    let aside = PathBuf::from(format!("{}.part", target.display()));
    let logs = cache_folder()?.join("machines").join("log");
    for folder in [target.parent(), Some(logs.as_path())]
        .into_iter()
        .flatten()
    {
        std::fs::create_dir_all(folder).map_err(|error| Failure::writing(folder, &error))?;
    }
    screen.note("measuring this machine; other work on it now would be taken for slowness");
    let job = Job {
        worker,
        arguments: worker_arguments(&aside, arguments.gpu),
        ranks: if arguments.gpu { 1 } else { arguments.ranks },
        logs,
        says_done: false,
    };
    let ending = supervise(&job, &mut |_, _| {})?;
    if ending.exit(false) != Exit::Fine {
        let _ = std::fs::remove_file(&aside);
        let help = "nothing was changed; `pleach calibrate` begins again";
        let stopped = || {
            Failure::machine(
                "pleach::calibrate::stopped",
                "stopped on request before the end",
            )
            .help(help)
        };
        let failure = ending.failure(help).unwrap_or_else(stopped);
        return Err(Failure {
            exit: Exit::Machine,
            ..failure
        });
    }
    keep(screen, &aside, &target)
}

fn worker_arguments(out: &Path, gpu: bool) -> Vec<OsString> {
    let words = vec!["calibrate".into(), "--out".into(), out.into()];
    words
        .into_iter()
        .chain(gpu.then(|| "--gpu".into()))
        .collect()
}

/// Judges what was measured and puts it in its place.
fn keep(screen: &Screen, aside: &Path, target: &Path) -> Outcome<Exit> {
    let measured = read_table(aside)?;
    let table = match chip::of(&measured) {
        Some(chip) => {
            screen.note(&format!("its links and peaks are those of `{}`", chip.name));
            chip::completed(measured, chip)
        }
        None => measured,
    };
    let text = toml::to_string(&table).expect("a table is TOML");
    std::fs::write(aside, text).map_err(|error| Failure::writing(aside, &error))?;
    std::fs::rename(aside, target).map_err(|error| Failure::writing(target, &error))?;
    if screen.json {
        screen.data_json(&json!({"table": target.to_string_lossy(), "hardware": table}));
        return Ok(Exit::Fine);
    }
    for gemm in &table.gemm {
        screen.data(
            &format!(
                "products, {:?}: {:.1} GFLOP/s",
                gemm.dtype,
                gemm.rate.value / 1e9
            )
            .to_lowercase(),
        );
    }
    screen.data(&format!(
        "memory: {}/s",
        figures::bytes(table.memory.bandwidth.value as u64)
    ));
    screen.data(&format!("table: {}", target.display()));
    Ok(Exit::Fine)
}
