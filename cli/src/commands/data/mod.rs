//! `pleach data …`: text to tokens, and what is in them.

mod index;
mod inspect;
mod mix;
mod tokenize;
mod verify;

use std::path::{Path, PathBuf};

use pleach_data::text::Fields;
use pleach_data::tokenize::{Description, ending};

use crate::arguments::Global;
use crate::arguments::data::{BadLines, DataCommand, TextArguments, TokenizerCommand};
use crate::data::data_failure;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::screen::Screen;

/// Does what was asked.
pub fn data(screen: &Screen, global: &Global, command: &DataCommand) -> Outcome<Exit> {
    match command {
        DataCommand::Tokenize(arguments) => tokenize::tokenize(screen, arguments),
        DataCommand::Tokenizer(TokenizerCommand::Train(arguments)) => {
            tokenize::train(screen, arguments)
        }
        DataCommand::Inspect(arguments) => inspect::inspect(screen, arguments),
        DataCommand::Verify(arguments) => verify::verify(screen, arguments),
        DataCommand::Index(arguments) => index::index(screen, arguments),
        DataCommand::Mix(arguments) => mix::mix(screen, global, arguments),
    }
}

impl TextArguments {
    fn fields(&self) -> Fields {
        Fields {
            text: self.key.clone(),
            answer: self.answer.clone(),
        }
    }

    fn skips(&self) -> bool {
        self.bad_lines == BadLines::Skip
    }
}

/// The `.bin` that is meant, and what it was made from where that is known.
fn named(file: &Path) -> Outcome<(PathBuf, Option<Description>)> {
    let known = file.extension().and_then(|ending| ending.to_str());
    let name = match known {
        Some("bin" | "idx" | "json") => file.with_extension(""),
        _ => file.to_path_buf(),
    };
    let json = ending(&name, "json");
    let description = json.exists().then(|| Description::read(&json)).transpose();
    let description = description.map_err(|error| data_failure(&error))?;
    Ok((ending(&name, "bin"), description))
}

/// A token file's tokens a second, tokens and the like with their unit.
fn rate(amount: f64, seconds: f64) -> f64 {
    amount / seconds.max(1e-9)
}
