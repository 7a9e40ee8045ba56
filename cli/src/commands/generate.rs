//! `pleach generate RUN_DIR --prompt TEXT`: a run's model goes on from a text.
//!
//! In come a run's folder and a prompt; out comes the text behind it, as it is drawn. The worker computes with a plan of one rank, made from the run's own
//! spec, so that a checkpoint of any placement serves.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pleach_data::tokenizer::Tokenizer;
use pleach_dsl::experiment::Experiment;
use pleach_plan::{Plan, Recompute, json};
use pleach_planner::placement::Placement;
use pleach_planner::program;
use pleach_storage::files::replace;
use pleach_storage::run::RunFolder;
use serde_json::Value;

use super::run::refuse_settings;
use crate::arguments::Global;
use crate::arguments::generate::GenerateArguments;
use crate::attempt;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::launch::find;
use crate::screen::Screen;
use crate::{meaning, planfile};

/// Writes on.
pub fn generate(screen: &Screen, global: &Global, arguments: &GenerateArguments) -> Outcome<Exit> {
    refuse_settings(global, true)?;
    refuse_contradictions(arguments)?;
    let folder =
        RunFolder::open(&arguments.directory).map_err(|error| attempt::run_failure(&error))?;
    let run = planfile::read(&folder.plan())?;
    let plan = alone(&run, &folder)?;
    let tokenizer = Tokenizer::open(&plan.data.tokenizer, folder.path(), false)
        .map_err(|error| Failure::wish("pleach::generate::tokenizer", error.to_string()))?;
    let mut ids = Vec::new();
    tokenizer
        .part(&prompt(arguments)?, &mut ids)
        .map_err(|error| Failure::wish("pleach::generate::prompt", error))?;
    if ids.is_empty() {
        let message = "the prompt has no token: there is nothing to go on from";
        return Err(Failure::wish("pleach::generate::prompt", message));
    }
    let place = folder.path().join("generate.json");
    replace(&place, json::write(&plan).as_bytes())
        .map_err(|error| Failure::machine("pleach::run::file", error.to_string()))?;
    let mut worker = command(arguments, &folder, &place)?;
    let prompt = folder.path().join("generate-ids.json");
    let text = serde_json::to_string(&ids).expect("numbers are JSON");
    replace(&prompt, text.as_bytes())
        .map_err(|error| Failure::machine("pleach::run::file", error.to_string()))?;
    worker.arg("--ids").arg(&prompt);
    if let Some(end) = tokenizer.end() {
        worker.args(["--end", &end.to_string()]);
    }
    let written = listen(screen, &mut worker, &tokenizer)?;
    if screen.json {
        screen.data_json(
            &serde_json::json!({"prompt": ids, "ids": written, "text": tokenizer.text(&written)}),
        );
    }
    Ok(Exit::Fine)
}

/// Refuses words that the temperature makes say nothing.
fn refuse_contradictions(arguments: &GenerateArguments) -> Outcome<()> {
    if arguments.heat() > 0.0 || !arguments.says_how_to_draw() {
        return Ok(());
    }
    let message = "`--temperature 0` always takes the likeliest token: `--top-k`, `--top-p` and `--seed` say nothing beside it";
    Err(Failure::wish("pleach::command_line", message)
        .help("without `--temperature` they draw at 1; without them the text is the likeliest"))
}

/// The text to go on from.
fn prompt(arguments: &GenerateArguments) -> Outcome<String> {
    match (&arguments.prompt, &arguments.prompt_file) {
        (Some(text), _) => Ok(text.clone()),
        (None, Some(file)) => {
            std::fs::read_to_string(file).map_err(|error| Failure::reading(file, &error))
        }
        (None, None) => Err(Failure::wish(
            "pleach::command_line",
            "there is no text to go on from",
        )
        .help("`--prompt TEXT` or `--prompt-file FILE`")),
    }
}

/// The plan of the run's experiment on one rank.
fn alone(run: &Plan, folder: &RunFolder) -> Outcome<Plan> {
    let spec = folder.spec();
    let experiment = meaning::beside(run, &spec).ok_or_else(|| {
        let message = format!("`{}` is not the spec of this run any more", spec.display());
        Failure::wish("pleach::generate::spec", message)
            .help("the run's folder keeps the spec that it was made from; restore it")
    })?;
    let phases = pleach_planner::phases::of(&experiment);
    let mut last: Experiment = phases.into_iter().next_back().unwrap_or(experiment);
    last.cluster.nodes = 1;
    last.cluster.gpus_per_node = 1;
    let placement = Placement {
        tp: 1,
        pp: 1,
        vpp: 1,
        dp: 1,
        zero: 0,
        shards: 1,
        sequence_parallel: false,
        micro_batch: 1,
        recompute: Recompute::None,
        engine: "pleach".into(),
    };
    let plan = program::emit(&last, &placement);
    plan.map_err(|error| Failure::wish("pleach::generate::plan", error.to_string()))
}

fn command(arguments: &GenerateArguments, folder: &RunFolder, plan: &Path) -> Outcome<Command> {
    let worker: PathBuf = find::worker()?;
    let mut command = Command::new(worker);
    command
        .arg("generate")
        .arg("--plan")
        .arg(plan)
        .arg("--run")
        .arg(folder.path());
    for (name, value) in [
        ("--count", arguments.tokens.to_string()),
        ("--temperature", arguments.heat().to_string()),
        ("--top-k", arguments.top_k.unwrap_or(0).to_string()),
        ("--top-p", arguments.top_p.unwrap_or(1.0).to_string()),
        ("--seed", arguments.seed.unwrap_or(0).to_string()),
    ] {
        command.args([name, &value]);
    }
    if let Some(step) = arguments.step {
        attempt::folder_of_step(folder, step)?;
        command.args(["--step", &step.to_string()]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(command)
}

/// Shows the text as it comes; answers the ids.
fn listen(screen: &Screen, worker: &mut Command, tokenizer: &Tokenizer) -> Outcome<Vec<u32>> {
    let failed = |error: std::io::Error| {
        Failure::machine("pleach::launch::start", format!("the worker: {error}"))
    };
    let mut child = worker.stderr(Stdio::piped()).spawn().map_err(failed)?;
    let output = child.stdout.take().map(BufReader::new);
    let (mut ids, mut shown, mut said) = (Vec::new(), 0, None);
    for line in output.into_iter().flat_map(BufReader::lines) {
        let Ok(event) = serde_json::from_str::<Value>(&line.map_err(failed)?) else {
            continue;
        };
        if let Some(id) = event["id"].as_u64() {
            ids.push(u32::try_from(id).unwrap_or(u32::MAX));
            let text = tokenizer.text(&ids);
            // The last character may not be whole yet.
            let whole = text.trim_end_matches('\u{fffd}').len();
            if !screen.json && whole > shown {
                screen.stream(&text[shown..whole]);
                shown = whole;
            }
        } else if event["event"] == "failed" {
            said = event["message"].as_str().map(str::to_owned);
        }
    }
    if !screen.json {
        screen.stream("\n");
    }
    let status = child.wait().map_err(failed)?;
    if status.success() {
        return Ok(ids);
    }
    let message = said.unwrap_or_else(|| format!("the worker ended with {status}"));
    Err(Failure::wish("pleach::generate::worker", message))
}
