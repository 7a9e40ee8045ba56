//! `pleach doctor`: what this machine has and what is missing, each with the command that brings it.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::launch::find;
use crate::machine::{Machine, cache_folder};
use crate::screen::{Screen, figures};

/// One thing that was looked at.
struct Finding {
    what: &'static str,
    fine: bool,
    found: String,
    help: Option<String>,
}

/// Looks at everything and tells. What is missing only matters to `run`, so the exit code is 2 where something is.
pub fn doctor(screen: &Screen) -> Outcome<Exit> {
    let machine = Machine::here();
    let findings = [
        processor(&machine),
        memory(&machine),
        worker(),
        devices(),
        calibration(&machine),
        cache(),
    ];
    let exit = if findings.iter().all(|finding| finding.fine) {
        Exit::Fine
    } else {
        Exit::Machine
    };
    if screen.json {
        let rows = findings.iter().map(|finding| {
            json!({"what": finding.what, "fine": finding.fine, "found": finding.found, "help": finding.help})
        });
        screen.data_json(&rows.collect());
        return Ok(exit);
    }
    for Finding {
        what,
        fine,
        found,
        help,
    } in &findings
    {
        screen.data(&format!(
            "{} {what:<12} {found}",
            if *fine { "ok     " } else { "missing" }
        ));
        if let Some(help) = help {
            screen.data(&format!("                     {help}"));
        }
    }
    Ok(exit)
}

fn processor(machine: &Machine) -> Finding {
    let found = format!(
        "{}, {} cores for this process",
        machine.processor, machine.cores
    );
    Finding {
        what: "processor",
        fine: true,
        found,
        help: None,
    }
}

fn memory(machine: &Machine) -> Finding {
    Finding {
        what: "memory",
        fine: machine.memory > 0,
        found: figures::bytes(machine.memory),
        help: None,
    }
}

/// The worker starts only if its libtorch is found, so asking its version tells about both.
fn worker() -> Finding {
    let finding = |fine, found, help| Finding {
        what: "worker",
        fine,
        found,
        help,
    };
    match find::worker() {
        Err(failure) => {
            let diagnostic = &failure.diagnostics[0];
            finding(false, diagnostic.message.clone(), diagnostic.help.clone())
        }
        Ok(path) => match version(&path) {
            Ok(version) => finding(true, format!("{version} at {}", path.display()), None),
            Err(why) => finding(
                false,
                format!("{} does not start: {why}", path.display()),
                Some("`cargo xtask setup` brings libtorch, `cargo build --release -p pleach-executor` the worker".into()),
            ),
        },
    }
}

/// Runs on CPUs miss nothing where there are no GPUs.
fn devices() -> Finding {
    let asked = find::worker().ok().map(|path| said(&path, "devices"));
    let found = match asked {
        Some(Ok(text) | Err(text)) => text,
        None => "nobody to ask: there is no worker".to_owned(),
    };
    Finding {
        what: "GPUs",
        fine: true,
        found,
        help: None,
    }
}

fn version(worker: &Path) -> Result<String, String> {
    said(worker, "--version")
}

/// What a worker answers to one word.
fn said(worker: &Path, asked: &str) -> Result<String, String> {
    let output = Command::new(worker)
        .arg(asked)
        .output()
        .map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout).lines().collect::<Vec<_>>().join(", "))
    } else {
        Err(text(&output.stderr)
            .lines()
            .next()
            .unwrap_or("it ended with an error")
            .to_owned())
    }
}

fn calibration(machine: &Machine) -> Finding {
    let finding = |fine, found, help| Finding {
        what: "calibration",
        fine,
        found,
        help,
    };
    match machine.table() {
        Ok(table) => match table.file {
            Some(path) => finding(
                true,
                format!("{}: {}", path.display(), table.hardware.about),
                None,
            ),
            None => finding(
                true,
                "none; plans for this machine rest on an assumed table".into(),
                Some("`pleach calibrate` measures it".into()),
            ),
        },
        Err(failure) => finding(
            false,
            failure.diagnostics[0].message.clone(),
            failure.diagnostics[0].help.clone(),
        ),
    }
}

fn cache() -> Finding {
    match cache_folder() {
        Ok(path) => Finding {
            what: "cache",
            fine: true,
            found: path.display().to_string(),
            help: None,
        },
        Err(failure) => Finding {
            what: "cache",
            fine: false,
            found: failure.diagnostics[0].message.clone(),
            help: failure.diagnostics[0].help.clone(),
        },
    }
}
