//! `pleach-worker`: one rank of a plan. In comes a command line and torchrun's environment, out come events on stdout, a log on
//! stderr, files in the run's folder and an exit code.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use pleach_executor::calibrate;
use pleach_executor::device;
use pleach_executor::environment::Environment;
use pleach_executor::error::{Exit, Failure};
use pleach_executor::events::{Voice, say_failed, say_token, tell};
use pleach_executor::forward::{Request, forward};
use pleach_executor::generate;
use pleach_executor::killed::KillAt;
use pleach_executor::load;
use pleach_executor::native::{group, version};
use pleach_executor::process::end;
use pleach_executor::spoilt::SpoilAt;
use pleach_executor::train::{Options, train};
use pleach_plan::hardware::Kind;

/// Runs one rank of a plan with libtorch.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Line {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    train: Option<Train>,
}

#[derive(Debug, Args)]
struct Train {
    /// The plan file
    #[arg(long)]
    plan: PathBuf,
    /// The run's folder (`--folder` under torchrun, which takes `--run` for an option of its own)
    #[arg(long, visible_alias = "folder")]
    run: PathBuf,
    /// Go on from the newest whole checkpoint
    #[arg(long)]
    resume: bool,
    /// End after so many steps of the run
    #[arg(long)]
    steps: Option<u64>,
    /// The phase of the run, from 1, that is trained
    #[arg(long, value_name = "N", default_value_t = 1)]
    phase: usize,
    /// The folder of prepared data; with phases once for each
    #[arg(long)]
    data: Vec<PathBuf>,
    /// The folder of weights that the run begins with, where its plan names some
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// Trace the first steps into PREFIX-rank-N.json
    #[arg(long, value_name = "PREFIX")]
    trace: Option<PathBuf>,
    /// Write the bytes at every boundary into ledger/rank-N.json
    #[arg(long)]
    ledger: bool,
    /// Write the gradients of this step (from 1) into gradients/, in the place of first moments
    #[arg(long, value_name = "STEP")]
    dump_gradients: Option<u64>,
    /// Write the state that is begun with into this folder, as a checkpoint
    #[arg(long, value_name = "DIR", env = "PLEACH_DUMP_STATE")]
    dump_state: Option<PathBuf>,
    /// Seconds that anything may take; instructions that the plan predicts are allowed less once the run has shown its pace
    #[arg(long, default_value_t = 300.0, env = "PLEACH_DEADLINE")]
    deadline: f64,
    /// Kill a rank before an instruction or transfer of a step (from 1), to try what happens then
    #[arg(long, value_name = "RANK:STEP:NUMBER", env = "PLEACH_KILL_AT")]
    kill_at: Option<KillAt>,
    /// Make weights of a rank no numbers before a step's update (from 1), to try what happens then
    #[arg(long, value_name = "RANK:STEP", env = "PLEACH_SPOIL_AT")]
    spoil_at: Option<SpoilAt>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compute logits of given token ids from a run's newest checkpoint
    Forward {
        /// A plan of one rank
        #[arg(long)]
        plan: PathBuf,
        /// The run's folder
        #[arg(long)]
        run: PathBuf,
        /// JSON: a list of lists of token ids
        #[arg(long)]
        tokens: PathBuf,
        /// Where the logits go, as safetensors
        #[arg(long)]
        out: PathBuf,
    },
    /// Write on from a prompt's ids, one event for each id
    Generate(generate::Request),
    /// Say which GPUs this machine has for workers, or what is missing
    Devices,
    /// Measure this machine and write its table
    Calibrate {
        /// Processes to measure with, where no launcher has started them
        #[arg(long, default_value_t = 4)]
        ranks: u32,
        /// Measure the GPU of this rank in place of the processor
        #[arg(long)]
        gpu: bool,
        /// Where the table goes, as TOML
        #[arg(long)]
        out: PathBuf,
    },
}

fn main() {
    quiet_libraries();
    let line = Line::try_parse().unwrap_or_else(|error| complain(&error));
    let checked =
        version::check().and_then(|()| group::check_layout().map_err(|error| error.to_string()));
    let environment = checked
        .map_err(|message| Failure::new(Exit::Machine, "pleach::worker::libtorch", message))
        .and_then(|()| Environment::of_process());
    let rank = environment
        .as_ref()
        .map_or(0, |environment| environment.rank);
    match environment.and_then(|environment| run(line, &environment)) {
        Ok(exit) => end(exit),
        Err(failure) => {
            tell(&failure.to_string());
            say_failed(rank, &failure);
            end(Some(failure.exit))
        }
    }
}

/// Answers `--help` and `--version`; tells what is wrong with a line, also to the launcher.
fn complain(error: &clap::Error) -> ! {
    // A log without room is no other mistake.
    let _ = error.print();
    if !error.use_stderr() {
        end(None);
    }
    let text = error.to_string();
    let message = text.lines().next().unwrap_or_default();
    say_failed(0, &nothing_to_do(message.trim_start_matches("error: ")));
    end(Some(Exit::Wish))
}

fn nothing_to_do(message: &str) -> Failure {
    Failure::new(Exit::Wish, "pleach::worker::arguments", message)
        .help("`pleach-worker --help` lists the arguments")
}

fn run(line: Line, environment: &Environment) -> Result<Option<Exit>, Failure> {
    match (line.command, line.train) {
        (
            Some(Command::Forward {
                plan,
                run,
                tokens,
                out,
            }),
            _,
        ) => forward(&Request {
            plan,
            run,
            tokens,
            out,
        })
        .map(|()| None),
        (Some(Command::Generate(request)), _) => {
            generate::generate(&request, &mut say_token).map(|()| None)
        }
        (Some(Command::Devices), _) => {
            println!("{}", device::found());
            Ok(None)
        }
        (Some(Command::Calibrate { ranks, gpu, out }), _) => {
            let unlaunched = environment.world == 1 && std::env::var_os("RANK").is_none();
            let measured = match gpu {
                true => calibrate::calibrate(environment, Kind::Gpu, &out),
                false if unlaunched && ranks > 1 => calibrate::spawn(ranks, &out),
                false => calibrate::calibrate(environment, Kind::Cpu, &out),
            };
            measured.map(|()| None)
        }
        (None, Some(arguments)) => run_training(arguments, environment),
        (None, None) => Err(nothing_to_do("--plan and --run are missing")),
    }
}

/// Trains, once the plan is believed; what fails then is said with its record, and the process ends there.
fn run_training(arguments: Train, environment: &Environment) -> Result<Option<Exit>, Failure> {
    let plan = load::plan(&arguments.plan, environment)?;
    let voice = Arc::new(Voice::new(
        environment.rank,
        &arguments.run,
        &plan,
        !environment.launched,
    )?);
    let fallen = Arc::clone(&voice);
    std::panic::set_hook(Box::new(move |panic| {
        let message = format!(
            "this is a fault of pleach-worker {}: {panic}",
            env!("CARGO_PKG_VERSION")
        );
        fallen.failed(&Failure::new(
            Exit::Machine,
            "pleach::worker::fault",
            message,
        ));
        end(Some(Exit::Machine));
    }));
    train(&plan, &options(arguments, environment), environment, &voice).or_else(|failure| {
        voice.failed(&failure);
        end(Some(failure.exit))
    })
}

/// What torchrun has started again goes on where it was.
fn options(arguments: Train, environment: &Environment) -> Options {
    let Train {
        run,
        resume,
        steps,
        phase,
        data,
        weights,
        trace,
        ledger,
        dump_gradients,
        dump_state,
        deadline,
        kill_at,
        spoil_at,
        ..
    } = arguments;
    let deadline = Duration::try_from_secs_f64(deadline).unwrap_or(Duration::from_secs(300));
    Options {
        run,
        resume: resume || environment.restart > 0,
        steps,
        phase: phase.saturating_sub(1),
        data,
        weights,
        trace,
        ledger,
        dump_gradients,
        dump_state,
        deadline,
        kill_at,
        spoil_at,
    }
}

/// Keeps c10d's warnings with their C++ stacks out of the log; errors come back as values and are said by us.
fn quiet_libraries() {
    if std::env::var_os("TORCH_CPP_LOG_LEVEL").is_none() {
        // SAFETY: no other thread has been started yet.
        unsafe { std::env::set_var("TORCH_CPP_LOG_LEVEL", "ERROR") };
    }
}
