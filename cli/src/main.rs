//! The `pleach` binary: reads files, calls the language and the planner, prints, launches workers.
//!
//! In comes the command line, out come data on stdout, everything else on stderr, and an exit code that scripts may rely on.
//! Nothing here computes a plan or touches a tensor, and no libtorch is linked: checking and planning start in milliseconds.

mod anew;
mod arguments;
mod attempt;
mod commands;
mod compile;
mod consumed;
mod data;
mod exit;
mod failure;
mod fault;
mod fit;
mod hugging_face;
mod launch;
mod loader;
mod lock;
mod machine;
mod meaning;
mod misfit;
mod pages;
mod places;
mod planfile;
mod preset;
mod progress;
mod restart;
mod resuming;
mod screen;
mod shell;
mod tokenizing;
mod weights;

use std::process::ExitCode;

use arguments::{Arguments, Command, Global};
use clap::{ColorChoice, CommandFactory, FromArgMatches};
use exit::Exit;
use failure::{Failure, Outcome};
use screen::Screen;

fn main() -> ExitCode {
    let asked_json = std::env::args_os().any(|argument| argument == "--json");
    fault::install_hook(asked_json);
    let result = std::panic::catch_unwind(|| match parse(asked_json) {
        Ok(arguments) => answer(&arguments),
        Err(exit) => exit,
    });
    // The hook has told what happened.
    result.unwrap_or(Exit::Machine).into()
}

/// Reads the command line; help and version are answered here, a wrong line is told here.
fn parse(asked_json: bool) -> Result<Arguments, Exit> {
    let choice = if screen::wants_color(arguments::Color::Auto, true) {
        ColorChoice::Auto
    } else {
        ColorChoice::Never
    };
    let parsed = Arguments::command().color(choice).try_get_matches();
    let error = match parsed.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => return Ok(arguments),
        Err(error) => error,
    };
    if !error.use_stderr() {
        let _ = error.print();
        return Err(Exit::Fine);
    }
    if asked_json {
        let screen = Screen::new(&Global {
            json: true,
            ..Global::default()
        });
        let text = error.to_string();
        let message = text
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned();
        screen.failure(
            &Failure::wish("pleach::command_line", message)
                .help("`pleach --help` lists what can be said"),
        );
        screen.finish();
    } else {
        let _ = error.print();
    }
    Err(Exit::Wish)
}

fn answer(arguments: &Arguments) -> Exit {
    let screen = Screen::new(&arguments.global);
    let outcome = enter(&arguments.global).and_then(|()| dispatch(&screen, arguments));
    let exit = outcome.unwrap_or_else(|failure| {
        screen.failure(&failure);
        failure.exit
    });
    screen.finish();
    exit
}

fn enter(global: &Global) -> Outcome<()> {
    match &global.directory {
        Some(folder) => {
            std::env::set_current_dir(folder).map_err(|error| Failure::reading(folder, &error))
        }
        None => Ok(()),
    }
}

/// Refuses words that change or choose what a spec says, where no spec is read.
fn refuse_unread(global: &Global, command: &Command) -> Outcome<()> {
    let reads_none = matches!(
        command,
        Command::Fmt(_)
            | Command::Import(_)
            | Command::Export(_)
            | Command::Calibrate(_)
            | Command::Doctor
            | Command::Runs
            | Command::Schema
            | Command::Completions(_)
    );
    let setting = global.settings.first().map(|it| format!("--set {it}"));
    let choice = global.experiment.as_ref();
    let said = setting.or(choice.map(|name| format!("--experiment {name}")));
    match said.filter(|_| reads_none) {
        Some(words) => {
            let message = format!("`{words}` is about a spec, and this command reads none");
            Err(Failure::wish("pleach::command_line", message).help("leave it out"))
        }
        None => Ok(()),
    }
}

fn dispatch(screen: &Screen, arguments: &Arguments) -> Outcome<Exit> {
    let global = &arguments.global;
    refuse_unread(global, &arguments.command)?;
    match &arguments.command {
        Command::Check(arguments) => commands::check::check(screen, global, arguments),
        Command::Fmt(arguments) => commands::fmt::fmt(screen, arguments),
        Command::Plan(arguments) => commands::plan::plan(screen, global, arguments),
        Command::Fit(arguments) => commands::fit::fit(screen, global, arguments),
        Command::Sweep(arguments) => commands::sweep::sweep(screen, global, arguments),
        Command::Diff(arguments) => commands::diff::diff(screen, global, arguments),
        Command::Hash(arguments) => commands::hash::hash(screen, global, arguments),
        Command::Lock(arguments) => commands::lock::lock(screen, global, arguments),
        Command::Explain(arguments) => commands::explain::explain(screen, global, arguments),
        Command::Run(arguments) => commands::run::run(screen, global, arguments),
        Command::Resume(arguments) => commands::resume::resume(screen, global, arguments),
        Command::Import(arguments) => commands::import::import(screen, arguments),
        Command::Export(arguments) => commands::export::export(screen, arguments),
        Command::Generate(arguments) => commands::generate::generate(screen, global, arguments),
        Command::Data(command) => commands::data::data(screen, global, command),
        Command::Calibrate(arguments) => commands::calibrate::calibrate(screen, arguments),
        Command::Doctor => commands::doctor::doctor(screen),
        Command::Runs => commands::runs::runs(screen),
        Command::Profile(arguments) => commands::profile::profile(screen, global, arguments),
        Command::Show(arguments) => commands::show::show(screen, global, arguments),
        Command::Schema => commands::schema::schema(screen),
        Command::Completions(arguments) => commands::completions::completions(screen, arguments),
    }
}
