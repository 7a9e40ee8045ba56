//! `pleach fit CONFIG --on MACHINES`: does it fit, how large may a micro-batch be, how fast is it, and what would help.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pleach_data::hub;
use pleach_dsl::experiment::{Experiment, Wishes};
use pleach_dsl::{Loader as _, load};
use pleach_planner::report::Report;
use pleach_planner::report::screen::{self as screens, seconds};
use pleach_planner::search::Evaluated;
use pleach_planner::search::evaluate::evaluate;
use serde_json::{Value, json};

use super::plan::report;
use crate::arguments::{FitArguments, Global};
use crate::compile::{self, Planned};
use crate::data::data_failure;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::fit::{Machines, Question, Sizes, of_config, of_preset};
use crate::loader::Files;
use crate::lock;
use crate::misfit;
use crate::preset;
use crate::screen::Screen;
use crate::screen::figures::bytes;

/// Answers the question.
pub fn fit(screen: &Screen, global: &Global, arguments: &FitArguments) -> Outcome<Exit> {
    let sizes = Sizes {
        context: arguments.context,
        batch: arguments.batch,
    };
    let machines = arguments.on.as_deref().map(Machines::parse).transpose();
    let machines = machines.map_err(|told| Failure::wish("pleach::fit::machines", told))?;
    let path = &on_disk(&arguments.config)?;
    if path.extension().is_some_and(|ending| ending == "pleach") {
        let experiment = of_spec(screen, global, path, machines.as_ref(), sizes)?;
        let opened =
            vec!["the spec's own training; its placement is left to the planner".to_owned()];
        return answer(screen, path, experiment, &opened);
    }
    let Some(machines) = machines else {
        return Err(
            Failure::wish("pleach::fit::machines", "no machines are named")
                .help("name them: --on \"2 x 8 h100_80g\""),
        );
    };
    let question = if path.exists() {
        let text = Files::of(path)?.load(&path.to_string_lossy());
        let text =
            text.map_err(|_| Failure::reading(path, &std::io::ErrorKind::InvalidData.into()))?;
        of_config(path, &text, &machines, sizes)?
    } else {
        of_preset(&path.to_string_lossy(), &machines, sizes)?
    };
    if !question.unread.is_empty() {
        let keys = question.unread.join("`, `");
        screen.warn(
            "pleach::fit::unread",
            &format!("not known here and left out: `{keys}`"),
        );
    }
    if arguments.emit.is_some() {
        screen.data(question.text.trim_end());
        return Ok(Exit::Fine);
    }
    let experiment = loaded(&question, global)?;
    answer(
        screen,
        Path::new(&file(&question)),
        experiment,
        &question.assumptions,
    )
}

/// The file that is asked about: that of a name on the Hub is its config.
fn on_disk(config: &Path) -> Outcome<PathBuf> {
    match config.to_str() {
        Some(name) if name.starts_with(hub::PREFIX) => {
            hub::file(name, "config.json").map_err(|error| data_failure(&error))
        }
        _ => Ok(config.to_path_buf()),
    }
}

/// The spec's name, for messages.
fn file(question: &Question) -> String {
    format!("{}.pleach", question.name)
}

fn loaded(question: &Question, global: &Global) -> Outcome<Experiment> {
    let name = file(question);
    let files = BTreeMap::from([(name.clone(), question.text.clone())]);
    let settings = global.settings.iter();
    let settings: Vec<(String, String)> = settings
        .map(|setting| (setting.path.clone(), setting.value.clone()))
        .collect();
    let loaded = load(&name, &files, &settings, None).into_result();
    let (experiment, _) = loaded.map_err(|problems| {
        let titles: Vec<String> = problems
            .iter()
            .map(|problem| problem.title.clone())
            .collect();
        Failure::wish("pleach::fit::spec", titles.join("; ")).help(
            "`pleach fit CONFIG --on MACHINES --emit spec` shows the spec that is asked about",
        )
    })?;
    Ok(experiment)
}

/// A spec's experiment on other machines, its placement left to the planner.
fn of_spec(
    screen: &Screen,
    global: &Global,
    path: &Path,
    machines: Option<&Machines>,
    sizes: Sizes,
) -> Outcome<Experiment> {
    let mut global = global.clone();
    let mut set = |path: &str, value: String| {
        global.settings.push(crate::arguments::Setting {
            path: path.to_owned(),
            value,
        });
    };
    if let Some(context) = sizes.context {
        set("model.context", format!("{context} tokens"));
    }
    if let Some(batch) = sizes.batch {
        set("train.global_batch", format!("{batch} sequences"));
    }
    let mut experiment = compile::experiment(screen, &global, path)?;
    if let Some(machines) = machines {
        let cluster = preset::cluster(&machines.name, machines.nodes, machines.gpus_per_node);
        experiment.cluster = cluster.map_err(|told| Failure::wish("pleach::fit::spec", told))?;
    }
    experiment.plan = Wishes {
        engine: experiment.plan.engine,
        ..Wishes::open()
    };
    Ok(experiment)
}

fn answer(
    screen: &Screen,
    path: &Path,
    experiment: Experiment,
    assumptions: &[String],
) -> Outcome<Exit> {
    let hardware = compile::table(screen, &experiment, lock::folder(path))?;
    let planned = compile::plan_on(path, experiment, hardware, 0)?;
    let report = report(&planned);
    let largest = largest(&planned);
    if screen.json {
        screen.data_json(&object(&report, &largest, assumptions));
    } else {
        screen.data(&text(&report, &largest, assumptions));
    }
    misfit::judge(&planned).map_or(Ok(Exit::Fine), Err)
}

/// The same placement with the largest micro-batch that fits.
fn largest(planned: &Planned) -> Option<Evaluated> {
    let chosen = &planned.answer.chosen;
    let settled = planned.settled();
    let share = settled.train.global_batch / u64::from(chosen.placement.dp);
    let sizes = (chosen.placement.micro_batch..=share.min(LARGEST))
        .filter(|size| share.is_multiple_of(*size));
    let mut found = None;
    for micro_batch in sizes {
        let mut larger = chosen.placement.clone();
        larger.micro_batch = micro_batch;
        let tried = evaluate(&settled, &planned.hardware, &larger).ok();
        match tried.filter(Evaluated::fits) {
            Some(tried) => found = Some(tried),
            None => break,
        }
    }
    found
}

/// Micro-batches beyond this bring nothing.
const LARGEST: u64 = 128;

fn text(report: &Report, largest: &Option<Evaluated>, assumptions: &[String]) -> String {
    let [low, high] = [report.time.high_s, report.time.low_s].map(|step| {
        let tokens = report.throughput.tokens_per_s * report.time.step_s;
        screens::count(tokens / step)
    });
    let word = if report.memory.fits {
        "it fits"
    } else {
        "it does not fit"
    };
    let micro = largest.as_ref().map_or_else(
        || "not even the smallest micro-batch fits".to_owned(),
        |largest| {
            let size = largest.placement.micro_batch;
            let step = seconds(largest.simulation.step as f64 * 1e-12);
            let peak = bytes(largest.peak());
            format!(
                "micro-batches of up to {} fit ({step} a step, {peak})",
                screens::plural(size, "sequence")
            )
        },
    );
    let tokens = format!("tokens/s between {low} and {high} (90 %)");
    let mut rows = vec![
        ("answer", word.to_owned()),
        ("", tokens),
        ("largest", micro),
    ];
    let mut label = "assumed";
    for assumption in assumptions {
        rows.push((label, assumption.clone()));
        label = "";
    }
    format!("{}\n{}", screens::fitting(report), screens::rows(&rows))
        .trim_end()
        .to_owned()
}

fn object(report: &Report, largest: &Option<Evaluated>, assumptions: &[String]) -> Value {
    let mut object = json!(report);
    object["fits"] = json!(report.memory.fits);
    object["largest_micro_batch"] = json!(
        largest
            .as_ref()
            .map(|largest| largest.placement.micro_batch)
    );
    object["assumed"] = json!(assumptions);
    object
}
