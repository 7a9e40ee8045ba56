//! One attempt at a run: a folder and a checked plan in, workers launched and watched, their end recorded and told.
//!
//! The folder's lock is held by whoever asks for it; the record is written when the attempt
//! begins and again when it ends, so that a launcher that was killed leaves an attempt without an end.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use pleach_plan::{Plan, hardware};
use pleach_storage::checkpoint::{self, Checkpoint};
use pleach_storage::run::{Attempt, RunError, RunFolder, RunRecord, WorkerExit};
use serde_json::{Value, json};

use crate::consumed::{self, Given, Stretch};
use crate::data::Ready;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::launch::ending::{Ending, Rank};
use crate::launch::event::Event;
use crate::launch::supervise::supervise;
use crate::launch::{Job, find};
use crate::progress::{Measured, Progress};
use crate::screen::{Screen, comparison, figures};
use crate::shell;

/// What to run.
#[derive(Debug)]
pub struct Run<'p> {
    /// Its folder, which the caller has locked.
    pub folder: RunFolder,
    /// Where its spec or plan was read, where it was outside of the folder.
    pub source: Option<PathBuf>,
    /// The plan that stands in it.
    pub plan: &'p Plan,
    /// The prepared data, and the order that it is read in.
    pub data: &'p Ready,
    /// The folder of weights that it begins with.
    pub weights: Option<PathBuf>,
    /// Steps done that the attempt goes on from; none to begin.
    pub resume: Option<u64>,
    /// End after so many steps of the run.
    pub steps: Option<u64>,
    /// Whether the folder was made for this attempt.
    pub is_new: bool,
    /// What a run that goes on was found to be, for programs.
    pub resumed: Option<Value>,
}

/// Runs it to its end.
pub fn attempt(screen: &Screen, run: &Run<'_>) -> Outcome<Exit> {
    let worker = find::worker()?;
    let mut record = run
        .folder
        .read_record()
        .map_err(|error| run_failure(&error))?;
    let record = record.get_or_insert_with(|| RunRecord::new(run.plan, ""));
    mode(run.plan).clone_into(&mut record.mode);
    if let Some(source) = &run.source {
        record.source = Some(source.to_string_lossy().into_owned());
    }
    record.begin(run.plan, begin(run.resume.unwrap_or(0), &worker));
    run.folder
        .write_record(record)
        .map_err(|error| run_failure(&error))?;
    let mut phases = Vec::new();
    let (ending, exit) = loop {
        let number = run.plan.phase_after(done(run, &phases));
        let ended = phase(screen, run, &worker, number, phases.is_empty());
        let (measured, ending) = ended.inspect_err(|_| {
            if phases.is_empty() {
                never_began(run, record);
            }
        })?;
        let exit = ending.exit(measured.first_step.is_some());
        phases.push((number, measured));
        let done = done(run, &phases);
        // Workers that end well before their phase does are not started again: they would do the same.
        let goes_on = done < run.last() && run.plan.phase_after(done) > number;
        if exit != Exit::Fine || !goes_on {
            break (ending, exit);
        }
    };
    let all: Vec<&Measured> = phases.iter().map(|(_, measured)| measured).collect();
    let measured = Measured::joined(&all);
    let stretches = Stretch::of(run.plan);
    let given = consumed::given(&stretches, &run.data.orders, &(0..measured.last_step));
    record.consumed = given.iter().flat_map(|given| given.rows.clone()).collect();
    if let Some(attempt) = record.attempts.last_mut() {
        end(attempt, &measured, &ending, exit);
    }
    if let Err(error) = run.folder.write_record(record) {
        // How the run ended matters more than that it could not be written down.
        screen.warn("pleach::run::file", &error.to_string());
    }
    let is_gone = run.is_new && phases.len() == 1 && refused(exit);
    let told = tell(
        screen,
        run,
        &ending,
        &Told {
            phases: &phases,
            measured: &measured,
            given: &given,
            is_gone,
        },
        exit,
    );
    if is_gone {
        // It never began: what it was refused for is told, and its name is free again.
        let _ = std::fs::remove_dir_all(run.folder.path());
    }
    told
}

/// What gives the same bits again: on a CPU a repetition, or every cut of replicas where that was asked for; on a GPU a repetition where that was.
fn mode(plan: &Plan) -> &'static str {
    let on_gpu = |plan: &Plan| {
        let predicted = plan.prediction.as_ref();
        predicted.is_some_and(|own| own.device == hardware::Kind::Gpu)
    };
    let fixed = std::env::var_os("PLEACH_DETERMINISTIC").is_some_and(|value| value == "1");
    let ordered = plan.phases().all(|plan| plan.training.lanes.is_some());
    match plan.phases().any(on_gpu) {
        true if !fixed => "fast",
        false if ordered => "reproducible",
        _ => "bitwise",
    }
}

/// Steps of the run that are done behind these phases.
fn done(run: &Run<'_>, phases: &[(usize, Measured)]) -> u64 {
    let before = run.resume.unwrap_or(0);
    phases
        .last()
        .map_or(before, |(_, measured)| measured.last_step)
}

/// Starts the workers of a phase and watches them to their end.
fn phase(
    screen: &Screen,
    run: &Run<'_>,
    worker: &Path,
    number: usize,
    is_first: bool,
) -> Outcome<(Measured, Ending)> {
    let plan = run.plan.phases().nth(number).unwrap_or(run.plan);
    let ranks = plan.mesh.ranks();
    if let Some(name) = &plan.training.phase {
        let (first, last) = (plan.training.begins.steps + 1, plan.training.steps);
        screen.note(&format!("phase `{name}`: steps {first} to {last}"));
    }
    let cleared = run.folder.clear_failures();
    cleared.map_err(|error| run_failure(&error))?;
    let job = Job {
        worker: worker.to_owned(),
        arguments: arguments(run, number, !is_first || run.resume.is_some()),
        ranks,
        logs: run.folder.logs(),
        says_done: true,
    };
    let mut progress = Progress::new(screen, run.last(), ranks);
    let ending = supervise(&job, &mut |rank, event: Event| progress.hear(rank, &event));
    progress.finish();
    let ending = ending?.with_records(run.folder.read_failures(ranks).unwrap_or_default());
    Ok((std::mem::take(&mut progress.measured), ending))
}

impl Run<'_> {
    /// The step behind which it ends.
    fn last(&self) -> u64 {
        self.steps.unwrap_or(u64::MAX).min(self.plan.run_steps())
    }
}

/// Takes back what was written before the workers could not be started.
fn never_began(run: &Run<'_>, record: &mut RunRecord) {
    if run.is_new {
        let _ = std::fs::remove_dir_all(run.folder.path());
    } else {
        record.attempts.pop();
        let _ = run.folder.write_record(record);
    }
}

/// Whether a run ended before it began.
fn refused(exit: Exit) -> bool {
    matches!(exit, Exit::Wish | Exit::Machine)
}

fn arguments(run: &Run<'_>, phase: usize, resume: bool) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--plan".into(), run.folder.plan().into()];
    arguments.extend(["--run".into(), run.folder.path().into()]);
    for prepared in &run.data.prepared {
        arguments.extend(["--data".into(), prepared.folder.clone().into()]);
    }
    if let Some(weights) = &run.weights {
        arguments.extend(["--weights".into(), weights.into()]);
    }
    if phase > 0 {
        arguments.extend(["--phase".into(), (phase + 1).to_string().into()]);
    }
    if resume {
        arguments.push("--resume".into());
    }
    if let Some(steps) = run.steps {
        arguments.extend(["--steps".into(), steps.to_string().into()]);
    }
    arguments
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn begin(first_step: u64, worker: &Path) -> Attempt {
    let mut hasher = blake3::Hasher::new();
    let read = std::fs::File::open(worker).and_then(|file| hasher.update_reader(file).map(drop));
    let worker = read.is_ok().then(|| hasher.finalize().to_hex().to_string());
    Attempt {
        worker,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        began: now(),
        first_step,
        ..Attempt::default()
    }
}

fn end(attempt: &mut Attempt, measured: &Measured, ending: &Ending, exit: Exit) {
    let worker = |rank: &Rank| WorkerExit {
        rank: rank.rank,
        code: rank.status.code(),
        signal: std::os::unix::process::ExitStatusExt::signal(&rank.status),
    };
    attempt.ended = Some(now());
    attempt.last_step = Some(measured.last_step.max(attempt.first_step));
    attempt.exit = Some(exit as i32);
    attempt.workers = ending.ranks.iter().map(worker).collect();
    attempt.workers.sort_by_key(|worker| worker.rank);
    attempt.stragglers.clone_from(&measured.stragglers);
}

/// What there is to tell of an attempt.
struct Told<'t> {
    /// What each phase showed, by its place.
    phases: &'t [(usize, Measured)],
    /// All of them together.
    measured: &'t Measured,
    /// What was consumed since the beginning of the run.
    given: &'t [Given],
    /// Whether nothing of the run stays.
    is_gone: bool,
}

impl Told<'_> {
    /// Predicted against measured, phase by phase.
    fn compared(&self, plan: &Plan) -> Vec<comparison::Row> {
        let rows = |(number, measured): &(usize, Measured)| {
            let phase = plan.phases().nth(*number);
            phase.map_or_else(Vec::new, |phase| comparison::rows(phase, measured))
        };
        self.phases.iter().flat_map(rows).collect()
    }
}

/// The answer of the attempt: what was reached, predicted against measured, and asked against consumed.
fn tell(
    screen: &Screen,
    run: &Run<'_>,
    ending: &Ending,
    told: &Told<'_>,
    exit: Exit,
) -> Outcome<Exit> {
    let folder = run.folder.path().display();
    let resume = format!("`pleach resume {folder}` goes on from the last complete checkpoint");
    let help = if told.is_gone {
        "nothing was left behind"
    } else {
        &resume
    };
    if let Some(failure) = ending.failure(help) {
        return Err(Failure { exit, ..failure });
    }
    let measured = told.measured;
    let rows = told.compared(run.plan);
    consumed::warn(screen, told.given);
    if screen.json {
        let [first, last] = measured
            .loss
            .map_or([None, None], |[first, last]| [Some(first), Some(last)]);
        let consumed: Vec<_> = told.given.iter().flat_map(Given::json).collect();
        screen.data_json(
            &json!({"run": run.folder.path().to_string_lossy(), "exit": exit as i32, "step": measured.last_step,
            "steps": run.plan.run_steps(), "resumed": run.resumed, "first_loss": first, "last_loss": last,
            "compared": comparison::json(&rows), "consumed": consumed}),
        );
        return Ok(exit);
    }
    if measured.skipped > 0 {
        let text = format!(
            "{} of {} updates were left out, since their steps were not finite",
            measured.skipped, measured.last_step
        );
        screen.warn("pleach::worker::not_finite", &text);
    }
    if let Some([first, last]) = measured.loss {
        let [first, last] = [first, last].map(figures::number);
        let steps = (measured.first_step.unwrap_or(0) + 1, measured.last_step);
        screen.data(&format!(
            "loss {first} -> {last} over steps {} to {}",
            steps.0, steps.1
        ));
    }
    if !rows.is_empty() {
        screen.data(&comparison::table(&rows));
    }
    for given in told.given {
        screen.data(&format!("\n{}", given.screen()));
    }
    screen.data(&format!("run: {folder}"));
    if exit == Exit::Preempted {
        screen.note(&format!(
            "saved after step {} and stopped; `pleach resume {folder}` goes on",
            measured.last_step
        ));
    }
    Ok(exit)
}

/// The newest good checkpoint of a run; damaged newer ones are told, and all damaged is a failure.
pub fn newest(
    screen: &Screen,
    folder: &RunFolder,
    plan: &Plan,
    wants_all: bool,
) -> Outcome<Option<Checkpoint>> {
    let found = checkpoint::newest(&folder.checkpoints())
        .map_err(|error| Failure::machine("pleach::checkpoint::file", error.to_string()))?;
    let reasons: Vec<String> = found.rejected.iter().map(ToString::to_string).collect();
    let Some(good) = found.checkpoint else {
        if reasons.is_empty() {
            return Ok(None);
        }
        let message = format!(
            "no checkpoint of `{}` can be believed",
            folder.path().display()
        );
        return Err(Failure::machine("pleach::checkpoint::damaged", message)
            .detail(reasons.join("\n"))
            .help("restore the files from a copy, or move the run away and begin again; nothing was changed"));
    };
    of_this_model(&good, plan)?;
    if !good.has_moments() && wants_all {
        return Err(weights_alone(&good));
    }
    for reason in &reasons {
        screen.warn(
            "pleach::checkpoint::damaged",
            &format!("a newer checkpoint is damaged and left out: {reason}"),
        );
    }
    Ok(Some(good))
}

/// The checkpoint of a step; a step without one is refused with those that have one.
pub fn of_step(folder: &RunFolder, plan: &Plan, step: u64) -> Outcome<Checkpoint> {
    let good = Checkpoint::open(&folder_of_step(folder, step)?).map_err(|error| {
        let message = format!("the checkpoint of step {step} cannot be believed");
        Failure::machine("pleach::checkpoint::damaged", message)
            .detail(error.to_string())
            .help("restore its files from a copy, or take another step; nothing was changed")
    })?;
    of_this_model(&good, plan)?;
    Ok(good)
}

fn of_this_model(checkpoint: &Checkpoint, plan: &Plan) -> Outcome<()> {
    let checked = checkpoint.check(plan);
    checked.map_err(|error| Failure::wish("pleach::checkpoint::other", error.to_string()))
}

/// Where the checkpoint of a step lies.
pub fn folder_of_step(folder: &RunFolder, step: u64) -> Outcome<PathBuf> {
    let found = checkpoint::list(&folder.checkpoints())
        .map_err(|error| Failure::machine("pleach::checkpoint::file", error.to_string()))?;
    let steps: Vec<String> = found.iter().map(|(own, _)| own.to_string()).collect();
    let own = found.into_iter().find(|(own, _)| *own == step);
    own.map(|(_, path)| path).ok_or_else(|| {
        let message = format!("there is no checkpoint of step {step}");
        Failure::wish("pleach::checkpoint::step", message).help(match &steps[..] {
            [] => "the run has no checkpoint yet".to_owned(),
            some => format!("there are those of the steps {}", some.join(", ")),
        })
    })
}

/// A run cannot go on without what its optimizer keeps.
fn weights_alone(found: &Checkpoint) -> Failure {
    let message = format!(
        "`{}` holds weights and no optimizer's state: the run cannot go on from it",
        found.folder.display()
    );
    Failure::wish("pleach::checkpoint::weights", message).help(
        "`pleach export` makes a folder of it, and `model.weights` begins a new run with that; `checkpoints { optimizer = true }` saves what a run goes on from",
    )
}

/// A run's folder that could not be used.
pub fn run_failure(error: &RunError) -> Failure {
    let (code, wish, help) = match error {
        RunError::Exists { .. } => ("pleach::run::exists", true, None),
        RunError::NotARun { .. } => (
            "pleach::run::not_a_run",
            true,
            Some("`pleach runs` lists the runs of this folder"),
        ),
        RunError::Locked { .. } => ("pleach::run::locked", true, None),
        RunError::Damaged { path, line, .. } => return damaged(error, path, *line),
        RunError::File(_) => (
            "pleach::run::file",
            false,
            Some("the disk must have room and the folder be writable"),
        ),
    };
    let failure = if wish {
        Failure::wish(code, error.to_string())
    } else {
        Failure::machine(code, error.to_string())
    };
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}

/// A file of a run's folder that is not what was written. Neither is needed to go on.
fn damaged(error: &RunError, path: &Path, line: Option<usize>) -> Failure {
    let shown = path.display().to_string();
    let help = match line {
        Some(line) => format!(
            "`{}` takes the line out: the figures of one step are lost, and nothing else reads them",
            shell::line(&["sed", "-i", &format!("{line}d"), &shown], &[])
        ),
        None => format!(
            "restore it from a copy, or `{}`: the run goes on from its checkpoints, and what is known of earlier attempts is lost",
            shell::line(&["mv", &shown, &format!("{shown}.damaged")], &[])
        ),
    };
    Failure::machine("pleach::run::damaged", error.to_string()).help(help)
}
