//! `pleach sweep FILE`: every run of a sweep planned, one line each, and what all of them take together. Nothing is run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use pleach_dsl::experiment::Experiment;
use pleach_dsl::{Problems, Spec};
use pleach_plan::hardware::Hardware;
use serde_json::{Value, json};

use super::plan as planning;
use crate::arguments::{Global, SweepArguments};
use crate::compile::{self, Planned};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::lock;
use crate::misfit;
use crate::screen::Screen;
use crate::screen::figures::{bytes, count, seconds};
use crate::screen::table::table;

/// The version of the object that `--json` prints.
const SCHEMA: u32 = 1;

/// What is shown of one run.
#[derive(Clone)]
struct Row {
    name: String,
    hash: String,
    /// The figures, or why there are none.
    figures: Result<Figures, String>,
}

/// The figures of a run.
#[derive(Clone)]
struct Figures {
    report: Value,
    parameters: u64,
    step: f64,
    peak: u64,
    seconds: f64,
    gpu_hours: f64,
    cost: Option<f64>,
    /// Why it must not be run, where it must not.
    wrong: Option<String>,
}

/// What several runs take together.
#[derive(Clone, Copy, Default)]
struct Total {
    runs: u64,
    planned: u64,
    seconds: f64,
    gpu_hours: f64,
    cost: Option<f64>,
}

/// Plans the sweeps of a file.
pub fn sweep(screen: &Screen, global: &Global, arguments: &SweepArguments) -> Outcome<Exit> {
    let file = &arguments.file;
    let mut spec = compile::spec(global, file)?;
    let chosen = choose(&spec, global, file)?;
    let checked = spec.check(global.experiment.as_deref());
    if checked.problems.errors() > 0 {
        let mut problems = checked.problems;
        tell_size(screen, file, &mut spec, &mut problems);
        return Err(Failure::problems(vec![problems]));
    }
    screen.warn_of(&checked.problems);
    let mut objects = Vec::new();
    let mut fine = true;
    for number in chosen {
        let name = spec.sweeps()[number].name.text.clone();
        let rows = rows(screen, file, experiments(&mut spec, number)?);
        let total = Total::of(&rows);
        fine &= rows.iter().all(Row::is_fine);
        if screen.json {
            objects.push(object(&name, &rows, &total));
        } else {
            screen.data(&shown(&name, &rows, &total));
        }
    }
    if screen.json {
        screen.data_json(&json!({"schema": SCHEMA, "sweeps": objects}));
    }
    Ok(if fine { Exit::Fine } else { Exit::Wish })
}

/// The sweeps to plan, by number.
fn choose(spec: &Spec, global: &Global, file: &Path) -> Outcome<Vec<usize>> {
    let names: Vec<&str> = spec
        .sweeps()
        .iter()
        .map(|sweep| sweep.name.text.as_str())
        .collect();
    let listed = names.join(", ");
    match &global.experiment {
        None if names.is_empty() => {
            let text = format!("{} declares no sweep", file.display());
            Err(Failure::wish("pleach::sweep::none", text).help(
                "add `sweep NAME extends EXPERIMENT { train.lr.peak in [1e-4, 3e-4] }`, or use `pleach plan`",
            ))
        }
        None => Ok((0..names.len()).collect()),
        Some(wanted) => match names.iter().position(|name| name == wanted) {
            Some(number) => Ok(vec![number]),
            None => {
                let text = format!("{} has no sweep named `{wanted}`", file.display());
                Err(Failure::wish("pleach::sweep::unknown", text).help(format!(
                    "it has {}",
                    if names.is_empty() { "none" } else { &listed }
                )))
            }
        },
    }
}

/// The experiments of a sweep's runs; why they cannot be planned, once for all.
fn experiments(spec: &mut Spec, number: usize) -> Outcome<Vec<Experiment>> {
    (0..spec.sweeps()[number].total())
        .map(|run| {
            let loaded = spec.load_run(number, run).into_result();
            let (experiment, _) = loaded.map_err(|problems| Failure::problems(vec![problems]))?;
            Ok(experiment)
        })
        .collect()
}

/// Plans runs side by side; those that differ in nothing a plan depends on are planned once.
fn rows(screen: &Screen, file: &Path, experiments: Vec<Experiment>) -> Vec<Row> {
    let mut alike: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, experiment) in experiments.iter().enumerate() {
        alike
            .entry(planned_part(experiment))
            .or_default()
            .push(index);
    }
    let groups: Vec<Vec<usize>> = alike.into_values().collect();
    let tables = tables(screen, file, &experiments);
    let next = AtomicUsize::new(0);
    let found = Mutex::new(BTreeMap::new());
    let work = || {
        while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
            let figures = figures(file, &experiments[group[0]], &tables);
            let mut found = found.lock().expect("no thread panics while it holds this");
            found.extend(group.iter().map(|index| (*index, figures.clone())));
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        (0..threads.min(groups.len())).for_each(|_| {
            scope.spawn(work);
        });
    });
    let found = found.into_inner().expect("all threads have ended");
    experiments
        .into_iter()
        .zip(found.into_values())
        .map(|(experiment, figures)| Row {
            name: experiment.name,
            hash: experiment.hash,
            figures,
        })
        .collect()
}

/// What a plan depends on: everything but the data, the seed and the rates.
fn planned_part(experiment: &Experiment) -> String {
    let train = &experiment.train;
    format!(
        "{:?} {:?} {} {} {:?} {:?} {:?} {:?}",
        experiment.model,
        train.phases,
        train.steps,
        train.global_batch,
        train.optimizer,
        train.precision,
        experiment.cluster,
        experiment.plan
    )
}

/// Tables of devices by the machines and the precision they are for, or why there is none.
type Tables = BTreeMap<String, Result<Hardware, String>>;

fn tables(screen: &Screen, file: &Path, experiments: &[Experiment]) -> Tables {
    let mut tables = Tables::new();
    for experiment in experiments {
        let table = || {
            let found = compile::table(screen, experiment, lock::folder(file));
            found.map_err(|failure| reason(&failure))
        };
        tables.entry(machines(experiment)).or_insert_with(table);
    }
    tables
}

/// What a table depends on.
fn machines(experiment: &Experiment) -> String {
    format!("{:?} {:?}", experiment.cluster, experiment.train.precision)
}

/// The figures of one run.
fn figures(file: &Path, experiment: &Experiment, tables: &Tables) -> Result<Figures, String> {
    let hardware = tables[&machines(experiment)].clone()?;
    let planned = compile::plan_on(file, experiment.clone(), hardware, 0)
        .map_err(|failure| reason(&failure))?;
    Ok(Figures::of(&planned))
}

/// The first thing that a failure says.
fn reason(failure: &Failure) -> String {
    let problems = failure.problems.iter().flat_map(Problems::iter);
    let titles = problems.map(|problem| problem.title.clone());
    let diagnostics = failure
        .diagnostics
        .iter()
        .map(|other| other.message.clone());
    titles.chain(diagnostics).next().unwrap_or_default()
}

impl Figures {
    fn of(planned: &Planned) -> Self {
        let report = planning::report(planned);
        let wrong = misfit::verdict(planned);
        let peaks = report.phases.iter().map(|phase| phase.memory.peak_bytes);
        let value = json!({
            "engine": report.engine, "supported": report.supported, "placement": report.placement,
            "model": report.model, "cluster": report.cluster, "time": report.time,
            "throughput": report.throughput, "memory": report.memory, "run": report.run,
        });
        Self {
            report: value,
            parameters: report.model.parameters,
            step: report.time.step_s,
            peak: peaks.max().unwrap_or(report.memory.peak_bytes),
            seconds: report.run.seconds,
            gpu_hours: report.run.gpu_hours,
            cost: report.run.cost_usd,
            wrong,
        }
    }
}

impl Row {
    /// Whether it can be run as planned.
    fn is_fine(&self) -> bool {
        matches!(&self.figures, Ok(figures) if figures.wrong.is_none())
    }

    /// Its name without that of the sweep.
    fn short(&self) -> &str {
        self.name.split_once('/').map_or(&self.name, |(_, run)| run)
    }
}

impl Total {
    fn of(rows: &[Row]) -> Self {
        let mut total = Self {
            runs: rows.len() as u64,
            cost: Some(0.0),
            ..Self::default()
        };
        for figures in rows.iter().filter_map(|row| row.figures.as_ref().ok()) {
            total.planned += 1;
            total.seconds += figures.seconds;
            total.gpu_hours += figures.gpu_hours;
            total.cost = total.cost.zip(figures.cost).map(|(sum, cost)| sum + cost);
        }
        if total.planned < total.runs {
            total.cost = None;
        }
        total
    }
}

/// The screen of one sweep.
fn shown(name: &str, rows: &[Row], total: &Total) -> String {
    let header = [
        "run",
        "params",
        "step",
        "memory",
        "time",
        "GPU-hours",
        "cost",
    ];
    let mut cells: Vec<Vec<String>> = rows.iter().map(line).collect();
    cells.push(vec![
        "total".to_owned(),
        String::new(),
        String::new(),
        String::new(),
        seconds(total.seconds),
        amount(total.gpu_hours),
        dollars(total.cost),
    ]);
    let mut text = format!(
        "{name}: {} runs\n\n{}\n",
        count(total.runs),
        table(&header, cells, 1)
    );
    let wrong = rows.iter().filter_map(|row| {
        let why = match &row.figures {
            Ok(figures) => figures.wrong.as_ref()?,
            Err(why) => why,
        };
        Some(format!("\n{}: {why}", row.short()))
    });
    text.extend(wrong);
    if total.cost.is_none() {
        text.push_str("\nno cost: `price` in `cluster` is not set for every run");
    }
    text
}

fn line(row: &Row) -> Vec<String> {
    let name = row.short().to_owned();
    let Ok(figures) = &row.figures else {
        let none = std::iter::repeat_n("-".to_owned(), 6);
        return std::iter::once(name).chain(none).collect();
    };
    vec![
        name,
        parameters(figures.parameters),
        seconds(figures.step),
        bytes(figures.peak),
        seconds(figures.seconds),
        amount(figures.gpu_hours),
        dollars(figures.cost),
    ]
}

/// `70.4 M`, `20.6 B`.
fn parameters(value: u64) -> String {
    match value {
        0..1_000_000 => count(value),
        1_000_000..1_000_000_000 => format!("{:.1} M", value as f64 / 1e6),
        _ => format!("{:.2} B", value as f64 / 1e9),
    }
}

/// Whole where it is large: `140,799`, `0.03`.
fn amount(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.2}")
    } else {
        count(value.round() as u64)
    }
}

fn dollars(cost: Option<f64>) -> String {
    cost.map_or("-".to_owned(), |cost| format!("${}", amount(cost)))
}

fn object(name: &str, rows: &[Row], total: &Total) -> Value {
    let runs: Vec<Value> = rows
        .iter()
        .map(|row| {
            let mut run = json!({"experiment": {"name": row.name, "hash": row.hash}});
            match &row.figures {
                Ok(figures) => {
                    run["why_not"] = json!(figures.wrong);
                    for (key, value) in figures.report.as_object().into_iter().flatten() {
                        run[key] = value.clone();
                    }
                }
                Err(why) => run["why_not"] = json!(why),
            }
            run
        })
        .collect();
    json!({"name": name, "runs": runs, "total": {
        "runs": total.runs, "planned": total.planned, "seconds": total.seconds, "gpu_hours": total.gpu_hours,
        "cost_usd": total.cost}})
}

/// Runs that are planned to estimate a sweep that is too large to be planned.
const SAMPLE: u64 = 3;

/// Says of a sweep that is too large how much it would take, from a few of its runs.
fn tell_size(screen: &Screen, file: &Path, spec: &mut Spec, problems: &mut Problems) {
    if problems.errors() > 1 || spec.sweeps().len() != 1 {
        return;
    }
    let total = spec.sweeps()[0].total();
    let runs = (0..SAMPLE).map(|part| (total - 1) / (SAMPLE - 1) * part);
    let experiments: Result<Vec<Experiment>, Problems> = runs
        .map(|run| Ok(spec.load_run(0, run).into_result()?.0))
        .collect();
    let Ok(experiments) = experiments else { return };
    let tables = tables(screen, file, &experiments);
    let hours: Result<Vec<f64>, String> = experiments
        .iter()
        .map(|experiment| Ok(figures(file, experiment, &tables)?.gpu_hours))
        .collect();
    let Ok(hours) = hours else { return };
    let all = hours.iter().sum::<f64>() / hours.len() as f64 * total as f64;
    problems.add_to_title(
        "pleach::sweep::limit",
        &format!(", about {} GPU-hours", rough(all)),
    );
}

/// Two digits of a large number: `1.4M`.
fn rough(value: f64) -> String {
    match value {
        v if v >= 9.95e8 => format!("{:.1}B", v / 1e9),
        v if v >= 9.95e5 => format!("{:.1}M", v / 1e6),
        v if v >= 9_950.0 => format!("{:.0},000", v / 1e3),
        v => format!("{v:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_for_readers() {
        assert_eq!(rough(1_412_000.0), "1.4M");
        assert_eq!(rough(12_288.0), "12,000");
        assert_eq!(rough(981.2), "981");
        assert_eq!(amount(140_799.4), "140,799");
        assert_eq!(amount(0.031), "0.03");
        assert_eq!(parameters(20_554_567_680), "20.55 B");
        assert_eq!(parameters(70_426_624), "70.4 M");
    }
}
