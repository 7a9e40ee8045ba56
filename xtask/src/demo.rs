//! `cargo xtask demo`: what pleach is, shown on this machine in some minutes. Every figure is live.
//!
//! First, without any libtorch: the plan of a published model, and a mistake with its message. Then the worker is brought in,
//! the machine measured, a small model trained, killed and resumed. A second demo builds and downloads nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::process::{Doing, Failure, capture, cargo, line, run as finish};
use crate::{places, processes, setup};

const NEOX: &str = "examples/neox_20b.pleach";
const MISTAKE: &str = "examples/mistake.pleach";
const QUICKSTART: &str = "examples/quickstart.pleach";

/// Exit code of a run that ended on a fault and can be resumed.
const FAULT: i32 = 10;

/// Runs the demonstration.
///
/// # Errors
/// Something could not be built, or a command did not answer as it should.
pub fn run() -> Result<(), Failure> {
    let begin = Instant::now();
    title("pleach is built (the part that plans; it needs no libtorch)");
    finish(&mut cargo(["build", "--release", "--package", "pleach"]))?;
    show_plan()?;
    show_mistake()?;
    bring_worker()?;
    let whole = train()?;
    kill_and_resume(&whole)?;
    println!("\nAll of it took {} s.", begin.elapsed().as_secs());
    println!(
        "Next: read {QUICKSTART}, change something, `pleach plan` it; README.md says how to go on."
    );
    println!("`pleach` is {}", places::shown(&binary()));
    Ok(())
}

fn title(text: &str) {
    println!("\n━━ {text}\n");
}

fn binary() -> PathBuf {
    places::binaries("release").join("pleach")
}

/// `pleach` in a folder, announced as a person would type it.
fn pleach(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(folder).args(arguments);
    let typed = line(&command).replace(&binary().display().to_string(), "pleach");
    println!(
        "$ {}\n",
        typed
            .replace(&format!("{}/", places::root().display()), "")
            .trim_matches('`')
    );
    command
}

fn show_plan() -> Result<(), Failure> {
    title("1  A published model, planned: GPT-NeoX-20B on 96 A100 of 40 GB");
    finish(&mut pleach(
        places::root(),
        &["plan", NEOX, "--why-not", "tp = 8"],
    ))?;
    println!(
        "\nPublished for this run (Black et al., 2022): 43.9 s a step (1830 hours for 150,000 steps)"
    );
    println!("to 47.7 s (117 TFLOP/s a GPU, recompute counted).");
    Ok(())
}

fn show_mistake() -> Result<(), Failure> {
    title("2  A spec with mistakes, checked");
    let mut check = pleach(places::root(), &["check", MISTAKE]);
    let status = check
        .status()
        .doing(|| "could not start pleach".to_owned())?;
    match status.code() {
        Some(1) => Ok(()),
        _ => Err(Failure::new(format!(
            "the spec has mistakes, but `pleach check` ended with {status}"
        ))),
    }
}

fn bring_worker() -> Result<(), Failure> {
    title(
        "3  The worker: libtorch is found or fetched, the part that trains is built (some minutes, once)",
    );
    setup::run(false)?;
    finish(&mut cargo([
        "build",
        "--release",
        "--package",
        "pleach-executor",
    ]))
}

/// Measures the machine and trains the quickstart; gives the run's folder.
fn train() -> Result<PathBuf, Failure> {
    let home = fresh("whole")?;
    let spec = places::root().join(QUICKSTART).display().to_string();
    title("4  This machine, measured");
    finish(&mut pleach(&home, &["calibrate"]))?;
    title("5  The quickstart, planned and trained: tp 2 × pp 2 is pinned to show the machinery");
    show_choices(&home, &spec)?;
    finish(&mut pleach(&home, &["run", &spec, "--yes"]))?;
    only_run(&home)
}

/// The pinned placement and the planner's own, side by side.
fn show_choices(home: &Path, spec: &str) -> Result<(), Failure> {
    let free = [
        "plan.tp=auto",
        "plan.pp=auto",
        "plan.dp=auto",
        "plan.micro_batch=auto",
    ];
    for (name, settings) in [
        ("pinned", &free[..0]),
        ("the planner's own choice", &free[..]),
    ] {
        let mut command = Command::new(binary());
        command.current_dir(home).args(["plan", spec, "--json"]);
        command.args(settings.iter().flat_map(|setting| ["--set", setting]));
        let text = capture(&mut command)?;
        let plan: Value = serde_json::from_str(&text).map_err(|error| {
            Failure::new(format!("`pleach plan --json` did not print JSON: {error}"))
        })?;
        let placement = &plan["placement"];
        let of = |name: &str| placement[name].as_u64().unwrap_or(0);
        let seconds = plan["time"]["step_s"].as_f64().unwrap_or(f64::NAN);
        let shape = format!(
            "tp {} × pp {} × dp {}, micro-batch {}",
            of("tp"),
            of("pp"),
            of("dp"),
            of("micro_batch")
        );
        println!("  {name:<25} {shape}: predicted {seconds:.3} s a step");
    }
    println!();
    Ok(())
}

/// Starts the same run in another folder, kills one of its workers at a random step, resumes, and compares the last losses.
fn kill_and_resume(whole: &Path) -> Result<(), Failure> {
    let wanted = losses(whole);
    let step = random_step(wanted.len());
    title(&format!(
        "6  The same run again, in another folder; a worker is killed (SIGKILL) after step {step}"
    ));
    let home = fresh("killed")?;
    let spec = places::root().join(QUICKSTART).display().to_string();
    let mut child = pleach(&home, &["run", &spec, "--yes"])
        .spawn()
        .doing(|| "could not start pleach".to_owned())?;
    kill_after(&mut child, &home, step)?;
    let status = child
        .wait()
        .doing(|| "could not wait for pleach".to_owned())?;
    if status.code() != Some(FAULT) {
        return Err(Failure::new(format!(
            "a killed run ends with exit code {FAULT}, this one ended with {status}"
        )));
    }
    title("7  Resumed from its last checkpoint");
    let run = only_run(&home)?;
    finish(&mut pleach(&home, &["resume", &run.display().to_string()]))?;
    compare(&wanted, &losses(&run))
}

/// Waits for the step and kills a worker: any one, all are equal.
fn kill_after(child: &mut Child, home: &Path, step: usize) -> Result<(), Failure> {
    loop {
        if let Some(status) = child
            .try_wait()
            .doing(|| "could not wait for pleach".to_owned())?
        {
            return Err(Failure::new(format!(
                "the run ended with {status} before it could be killed"
            )));
        }
        let done = only_run(home).map_or(0, |run| losses(&run).len());
        if done >= step {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let workers = processes::workers(child.id());
    match workers.get(step % workers.len().max(1)) {
        Some(worker) => processes::kill(worker.pid),
        None => child.kill().doing(|| "could not kill the run".to_owned())?,
    }
    Ok(())
}

fn compare(wanted: &[f64], found: &[f64]) -> Result<(), Failure> {
    let (Some(wanted), Some(found)) = (wanted.last(), found.last()) else {
        return Err(Failure::new("a run left no losses"));
    };
    println!(
        "\nfinal loss, left alone:         {wanted:?}  (bits {:016x})",
        wanted.to_bits()
    );
    println!(
        "final loss, killed and resumed: {found:?}  (bits {:016x})",
        found.to_bits()
    );
    if wanted.to_bits() == found.to_bits() {
        println!("the same to the last bit");
        return Ok(());
    }
    Err(Failure::new("the resumed run ended with another loss"))
}

/// A step in the middle half of the run, another one each time.
fn random_step(steps: usize) -> usize {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.subsec_micros());
    steps / 4 + now as usize % (steps / 2).max(1)
}

/// An empty folder among the build's results.
pub(crate) fn fresh(name: &str) -> Result<PathBuf, Failure> {
    let folder = places::binaries("demo").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).doing(|| format!("could not empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).doing(|| format!("could not make {}", folder.display()))?;
    Ok(folder)
}

/// The run that was made in a folder.
pub(crate) fn only_run(home: &Path) -> Result<PathBuf, Failure> {
    let runs = home.join("runs");
    let entries = fs::read_dir(&runs).doing(|| format!("could not list {}", runs.display()))?;
    let mut folders = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("plan.json").is_file());
    folders
        .next()
        .ok_or_else(|| Failure::new(format!("there is no run in {}", runs.display())))
}

/// One figure of each of a run's whole steps.
pub(crate) fn steps(run: &Path, figure: &str) -> Vec<f64> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    let lines = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    lines
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()?[figure].as_f64())
        .collect()
}

fn losses(run: &Path) -> Vec<f64> {
    steps(run, "loss")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kill_falls_into_the_run() {
        for steps in [4, 20, 300] {
            let step = random_step(steps);
            assert!((1..steps).contains(&step), "{step} of {steps}");
        }
    }
}
