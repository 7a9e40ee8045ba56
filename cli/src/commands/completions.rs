//! `pleach completions SHELL`: a script for the shell, made from the definition of the command line.

use clap::CommandFactory;

use crate::arguments::{Arguments, CompletionsArguments};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::screen::Screen;

/// Prints it.
pub fn completions(screen: &Screen, arguments: &CompletionsArguments) -> Outcome<Exit> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "pleach", &mut script);
    screen.data(&String::from_utf8_lossy(&script));
    Ok(Exit::Fine)
}
