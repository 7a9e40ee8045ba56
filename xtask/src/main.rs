//! The checkout's own commands: `cargo xtask demo`, `test`, `bench`, `accuracy`, `gpu`, `verify`, `generate` and `setup`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::process::Failure;
use xtask::{accuracy, bench, demo, generate, gpu, setup, suite, verify};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "What can be done with this checkout",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Shows in some minutes what pleach is: a plan, an error, a training run that is killed and goes on
    Demo,
    /// Checks format and lints, builds everything and runs all tests
    Test,
    /// Measures cold commands, the data pipeline against Hugging Face and Megatron-Core, and one rank's training speed against PyTorch
    Bench {
        /// Only the data pipeline
        #[arg(long)]
        data: bool,
        /// Only searches of the planner
        #[arg(long, conflicts_with = "data")]
        planning: bool,
        /// Only one rank's training beside PyTorch, eager and compiled
        #[arg(long, conflicts_with_all = ["data", "planning"])]
        training: bool,
        /// Only plans against runs of them, after `pleach calibrate`
        #[arg(long, conflicts_with_all = ["data", "planning", "training"])]
        prediction: bool,
    },
    /// Holds the planner's predictions against published runs, set by set
    Accuracy {
        /// List every row
        #[arg(long)]
        rows: bool,
        /// Write hardware/bands.toml anew instead
        #[arg(long)]
        bands: bool,
        /// Fit the constants of each chip anew instead: hardware/fitted (minutes)
        #[arg(long)]
        fit: bool,
    },
    /// Builds and packs what a machine with a GPU is to be asked: tests, calibration, training beside torch.compile
    Gpu {
        /// Also run it here, small and on the CPU
        #[arg(long)]
        cpu: bool,
    },
    /// Verifies the programs of 10,000 random specs, tries 2,000 mutants that change a result, searches 500 spaces by brute force (minutes)
    Verify {
        /// Kill runs 200 times and go on with them instead
        #[arg(long)]
        faults: bool,
    },
    /// Writes the files that are made from the language's schema: its reference page and the grammar for editors
    Generate,
    /// Brings in libtorch 2.11: finds it or fetches it into the user's cache
    Setup {
        /// Also make the Python environment that tests compare with (4.9 GB)
        #[arg(long)]
        python: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Task::Demo => demo::run().map(|()| true),
        Task::Test => suite::run(),
        Task::Bench { data: true, .. } => bench::data::run().map(|()| true),
        Task::Bench { planning: true, .. } => bench::planning::run().map(|()| true),
        Task::Bench { training: true, .. } => bench::training::run().map(|()| true),
        Task::Bench {
            prediction: true, ..
        } => bench::prediction::run().map(|()| true),
        Task::Bench { .. } => bench::run().map(|()| true),
        Task::Accuracy { rows, bands, fit } => {
            let flags = [(rows, "--rows"), (bands, "--bands"), (fit, "--fit")];
            let asked = flags.into_iter().filter(|(asked, _)| *asked);
            let asked: Vec<&str> = asked.map(|(_, flag)| flag).collect();
            accuracy::run(&asked).map(|()| true)
        }
        Task::Verify { faults: true } => verify::faults().map(|()| true),
        Task::Verify { .. } => verify::run().map(|()| true),
        Task::Gpu { cpu } => gpu::run(cpu).map(|()| true),
        Task::Generate => generate::run().map(|()| true),
        Task::Setup { python } => setup::run(python).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => complain(&failure),
    }
}

fn complain(failure: &Failure) -> ExitCode {
    eprintln!("error: {failure}");
    ExitCode::FAILURE
}
