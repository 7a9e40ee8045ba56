//! The command line as types: what can be written there, and what it means in one sentence each.
//!
//! In comes `argv`, out come [`Arguments`]. Global flags stand before or after the subcommand. A wrong command line is the
//! reader's slip, so it ends with exit code 1, as a wrong spec does.

pub mod data;
pub mod generate;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Compiles a written experiment into a plan, shows what it costs, and runs it.
#[derive(Debug, Parser)]
#[command(
    name = "pleach",
    version,
    propagate_version = true,
    max_term_width = 80
)]
#[command(
    after_help = "Exit codes: 0 fine, 1 the spec or the wish is at fault, 2 the program or\n\
    the machine is, 3 something changed (where asked for), 10 the run ended on a fault and can be resumed, 75 stopped\n\
    after saving."
)]
pub struct Arguments {
    /// Flags that every command understands.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command understands, before or after its name.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Print one JSON value instead of a screen; errors become one array of diagnostics
    #[arg(long, global = true)]
    pub json: bool,
    /// How notes and progress are written to stderr
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t
    )]
    pub log_format: LogFormat,
    /// Say nothing but the answer and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to use colour (NO_COLOR wins over FORCE_COLOR, this flag over both)
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    pub color: Color,
    /// Write no progress line
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// Work in this folder
    #[arg(short = 'C', global = true, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Answer every question with yes
    #[arg(long, global = true)]
    pub yes: bool,
    /// Replace a value of the spec: --set train.steps=10 (may be repeated)
    #[arg(long = "set", global = true, value_name = "PATH=VALUE", value_parser = parse_setting)]
    pub settings: Vec<Setting>,
    /// Which experiment or run of a sweep, where a spec offers several
    #[arg(long, global = true, value_name = "NAME")]
    pub experiment: Option<String>,
}

/// One `--set PATH=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The dotted path inside the experiment.
    pub path: String,
    /// Its new value, as text of the language.
    pub value: String,
}

/// How notes are written to stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless the environment says otherwise.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Report all problems of a spec at once
    Check(CheckArguments),
    /// Lay specs out in one canonical form, keeping their comments
    Fmt(FmtArguments),
    /// Show what a spec would do and cost: no GPU, no network, no side effects
    Plan(Box<PlanArguments>),
    /// Say whether a model fits on some machines, and how fast it trains there: no spec to write first
    Fit(FitArguments),
    /// Plan every run of a sweep: one line each, and the total
    Sweep(SweepArguments),
    /// Say what differs in meaning between two experiments, and what it does to memory, time and cost
    Diff(DiffArguments),
    /// Print the two identities: of the experiment, and of machines and placement
    Hash(FileArguments),
    /// Write down what a spec rests on, by content: imports and data; accepts what moved
    Lock(LockArguments),
    /// Show a value with its formula and the origin of each part, or the page of a diagnostic's code
    Explain(ExplainArguments),
    /// Show the experiment as it stands, every value with its origin
    Show(ShowArguments),
    /// Execute a plan; from a spec: plan, show, ask, run
    Run(RunArguments),
    /// Go on with a run from its last complete checkpoint, also under another placement: --set
    Resume(ResumeArguments),
    /// Write a run's model for another program
    Export(ExportArguments),
    /// Go on from a text with a run's model
    Generate(generate::GenerateArguments),
    /// Write a spec from another program's model, to go on from
    Import(ImportArguments),
    /// Work with data: tokenize text, train a tokenizer, look into token files and mixes
    #[command(subcommand)]
    Data(data::DataCommand),
    /// Measure this machine, so that plans for it rest on its own figures
    Calibrate(CalibrateArguments),
    /// Say what is here and what is missing, with the command that brings it
    Doctor,
    /// List past runs
    Runs,
    /// Lay what a run's instructions took beside what its plan says, collectives apart
    Profile(ProfileArguments),
    /// Print every field, word and unit of the language as JSON, for editors and programs
    Schema,
    /// Print the script that completes this program's commands in a shell
    Completions(CompletionsArguments),
}

/// Arguments of `check`.
#[derive(Args, Debug)]
pub struct CheckArguments {
    /// Specs
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Arguments of `fmt`.
#[derive(Args, Debug)]
pub struct FmtArguments {
    /// Change nothing: list the files that would change, exit code 1 if there are any
    #[arg(long)]
    pub check: bool,
    /// Change nothing: print what would change as a unified diff
    #[arg(long)]
    pub diff: bool,
    /// Specs; `-` lays stdin out to stdout
    #[arg(required = true, value_name = "FILE|-")]
    pub files: Vec<PathBuf>,
}

/// Arguments of `sweep`.
#[derive(Args, Debug)]
pub struct SweepArguments {
    /// The spec; `--experiment` chooses among several sweeps
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// One spec.
#[derive(Args, Debug)]
pub struct FileArguments {
    /// The spec
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Arguments of `plan`.
#[derive(Args, Debug)]
pub struct PlanArguments {
    /// The spec
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Show so many runners-up
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub top: usize,
    /// Say why a field has its value, and what each other one gives: --why tp
    #[arg(long, value_name = "FIELD")]
    pub why: Option<String>,
    /// Say why a choice was not taken, or several together: --why-not "tp = 8", --why-not "tp = 2, pp = 4"
    #[arg(long, value_name = "CHOICE")]
    pub why_not: Option<String>,
    /// Show memory stage by stage and kind by kind
    #[arg(long)]
    pub memory: bool,
    /// Write the chosen plan to a file that `pleach run` takes
    #[arg(long, value_name = "PLAN.json")]
    pub out: Option<PathBuf>,
    /// Write the simulated step as a Chrome/Perfetto trace
    #[arg(long, value_name = "TRACE.json")]
    pub trace: Option<PathBuf>,
    /// Take a measurement of the chosen placement into all predictions: --observed step=5.1s (may be repeated; also tokens_per_second, memory)
    #[arg(long, value_name = "FIGURE=VALUE")]
    pub observed: Vec<String>,
    /// Simulate every placement instead of leaving out what bounds exclude
    #[arg(long)]
    pub exhaustive: bool,
    /// Write the plan as one page of HTML: charts, figures, reasons, spec
    #[arg(long, value_name = "REPORT.html")]
    pub report: Option<PathBuf>,
    /// Of a run of phases, the one that --why, --why-not, --observed, --trace, --report and --emit placement are about; the first one where nothing is said
    #[arg(long, value_name = "NAME")]
    pub phase: Option<String>,
    /// Print an intermediate value of the compiler instead of the screen
    #[arg(long, value_enum, value_name = "WHAT")]
    pub emit: Option<Emit>,
}

impl PlanArguments {
    /// Whether something is asked that one phase alone answers.
    pub fn asks_of_a_phase(&self) -> bool {
        let written = self.trace.is_some() || self.report.is_some();
        let asked = self.why.is_some() || self.why_not.is_some() || !self.observed.is_empty();
        written || asked || matches!(self.emit, Some(Emit::Placement))
    }
}

/// Arguments of `fit`.
#[derive(Args, Debug)]
pub struct FitArguments {
    /// A spec, a model of the presets, or a config.json of Hugging Face (also hf:ORGANISATION/NAME)
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
    /// The machines: --on "2 x 8 h100_80g"; a spec's own where nothing is said
    #[arg(long, value_name = "MACHINES")]
    pub on: Option<String>,
    /// Tokens of a sequence
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    pub context: Option<u64>,
    /// Sequences of a step, over all GPUs
    #[arg(long, value_name = "SEQUENCES", value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    pub batch: Option<u64>,
    /// Print the spec that is asked about instead of an answer
    #[arg(long, value_enum, value_name = "WHAT")]
    pub emit: Option<FitEmit>,
}

/// What `fit` can print instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FitEmit {
    /// The spec, to go on from.
    Spec,
}

/// Intermediate values with a text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Emit {
    /// The model graph after differentiation.
    Graph,
    /// The chosen placement.
    Placement,
    /// The program of every rank.
    Program,
}

/// Arguments of `explain`.
#[derive(Args, Debug)]
pub struct ExplainArguments {
    /// A spec, or the code of a diagnostic: pleach::heads::indivisible
    #[arg(value_name = "FILE|CODE")]
    pub subject: PathBuf,
    /// The value's dotted path: train.lr.peak; without it, all values are listed
    #[arg(value_name = "PATH")]
    pub path: Option<String>,
}

/// Arguments of `show`.
#[derive(Args, Debug)]
pub struct ShowArguments {
    /// The spec
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Values only: a spec of one file, without imports, that loads again as the same experiment
    #[arg(long)]
    pub resolved: bool,
}

/// Arguments of `diff`.
#[derive(Args, Debug)]
pub struct DiffArguments {
    /// A spec; `FILE#NAME` for one experiment or run of a sweep
    #[arg(value_name = "A")]
    pub before: String,
    /// The other one
    #[arg(value_name = "B")]
    pub after: String,
    /// End with exit code 3 where something differs
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// Arguments of `lock`.
#[derive(Args, Debug)]
pub struct LockArguments {
    /// The spec; pleach.lock lies beside it
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Only these: an import, a dataset or a tokenizer
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

/// Arguments of `run`.
#[derive(Args, Debug)]
pub struct RunArguments {
    /// A spec, or a plan written by `pleach plan --out`
    #[arg(value_name = "FILE|PLAN.json")]
    pub file: PathBuf,
    /// The spec that a plan file was made from, to verify the plan against
    #[arg(long, value_name = "FILE")]
    pub spec: Option<PathBuf>,
    /// Go on with the run of this very plan, or else the latest one of this experiment, under this plan
    #[arg(long)]
    pub resume: bool,
    /// End after so many steps of the run (the schedule stays that of the whole run)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: Option<u64>,
    /// After a fault, go on from the last complete checkpoint by itself, at most so many times
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub restarts: u32,
}

/// Arguments of `resume`.
#[derive(Args, Debug)]
pub struct ResumeArguments {
    /// The run's folder
    #[arg(id = "run_directory", value_name = "RUN_DIR")]
    pub directory: PathBuf,
    /// End after so many steps of the run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: Option<u64>,
    /// After a fault, go on from the last complete checkpoint by itself, at most so many times
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub restarts: u32,
}

/// Arguments of `profile`.
#[derive(Args, Debug)]
pub struct ProfileArguments {
    /// The run's folder
    #[arg(id = "run_directory", value_name = "RUN_DIR")]
    pub directory: PathBuf,
}

/// Arguments of `export`.
#[derive(Args, Debug)]
pub struct ExportArguments {
    /// The run's folder
    #[arg(id = "run_directory", value_name = "RUN_DIR")]
    pub directory: PathBuf,
    /// For which program
    #[arg(long, value_enum, value_name = "PROGRAM")]
    pub to: ExportTarget,
    /// The folder to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The checkpoint of a step, in place of the newest
    #[arg(long, value_name = "STEP")]
    pub step: Option<u64>,
}

/// Programs that a model can be written for and read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportTarget {
    /// Hugging Face transformers.
    Hf,
}

/// Arguments of `import`.
#[derive(Args, Debug)]
pub struct ImportArguments {
    /// From which program
    #[arg(value_enum, value_name = "PROGRAM")]
    pub from: ExportTarget,
    /// A folder with config.json, a config.json, or hf:ORGANISATION/NAME
    #[arg(value_name = "DIR|CONFIG")]
    pub model: String,
    /// The machines to train on: --cluster "2 x 8 h100_80g"
    #[arg(long, value_name = "MACHINES", default_value = "1 this_machine")]
    pub cluster: String,
}

/// Arguments of `completions`.
#[derive(Args, Debug)]
pub struct CompletionsArguments {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// Arguments of `calibrate`.
#[derive(Args, Debug)]
pub struct CalibrateArguments {
    /// Write the table here instead of the user's cache folder; a spec names it as `device = "file:TABLE.toml"`
    #[arg(long, value_name = "TABLE.toml")]
    pub out: Option<PathBuf>,
    /// Ranks that share the machine while it is measured
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub ranks: u32,
    /// Measure one GPU of this machine in place of its processor
    #[arg(long, requires = "out", conflicts_with = "ranks")]
    pub gpu: bool,
}

impl std::fmt::Display for Setting {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}={}", self.path, self.value)
    }
}

fn parse_setting(text: &str) -> Result<Setting, String> {
    match text.split_once('=') {
        Some((path, value)) if !path.trim().is_empty() && !value.trim().is_empty() => Ok(Setting {
            path: path.trim().to_owned(),
            value: value.trim().to_owned(),
        }),
        _ => Err("write PATH=VALUE, as in train.steps=10".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_on_both_sides() {
        let before = Arguments::try_parse_from([
            "pleach",
            "--json",
            "--set",
            "train.steps=10",
            "check",
            "a",
        ])
        .unwrap();
        let after = Arguments::try_parse_from([
            "pleach",
            "check",
            "a",
            "--json",
            "--set",
            "train.steps = 10",
        ])
        .unwrap();
        assert!(before.global.json && after.global.json);
        assert_eq!(before.global.settings, after.global.settings);
    }

    #[test]
    fn a_runs_folder_is_not_the_working_folder() {
        let line = ["pleach", "export", "runs/a", "--to", "hf", "--out", "b"];
        let parsed = Arguments::try_parse_from(line).unwrap();
        assert_eq!(parsed.global.directory, None);
        assert!(
            matches!(parsed.command, Command::Export(export) if export.directory == Path::new("runs/a"))
        );
    }

    #[test]
    fn a_setting_needs_both_sides() {
        assert!(parse_setting("train.steps").is_err());
        assert!(parse_setting("=3").is_err());
        assert_eq!(parse_setting("a=b=c").unwrap().value, "b=c");
    }
}
