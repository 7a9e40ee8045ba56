//! `pleach export RUN_DIR --to hf --out DIR`: the model of a run's newest good checkpoint, or that of a step, for another program.

use pleach_storage::hf::{self, ExportError};
use pleach_storage::run::RunFolder;
use serde_json::json;

use crate::arguments::{ExportArguments, ExportTarget};
use crate::attempt;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::planfile;
use crate::screen::Screen;
use crate::weights;

/// Writes the model.
pub fn export(screen: &Screen, arguments: &ExportArguments) -> Outcome<Exit> {
    let folder =
        RunFolder::open(&arguments.directory).map_err(|error| attempt::run_failure(&error))?;
    let plan = planfile::read(&folder.plan())?;
    let shown = folder.path().display();
    let found = match arguments.step {
        Some(step) => Some(attempt::of_step(&folder, &plan, step)?),
        None => attempt::newest(screen, &folder, &plan, false)?,
    };
    let checkpoint = found.ok_or_else(|| {
        Failure::wish(
            "pleach::export::no_checkpoint",
            format!("`{shown}` has no complete checkpoint yet"),
        )
        .help(format!(
            "`pleach resume {shown}` brings it to its end and saves there"
        ))
    })?;
    let family = match arguments.to {
        ExportTarget::Hf => {
            let how = (plan.training.accumulate, weights::family(folder.path()));
            hf::export(&checkpoint, &plan, how, &arguments.out)
        }
    }
    .map_err(|error| failure(&error))?;
    let step = checkpoint.manifest.step;
    if screen.json {
        screen.data_json(
            &json!({"out": arguments.out.to_string_lossy(), "step": step,
            "family": family.model_type(), "from": checkpoint.folder.to_string_lossy()}),
        );
    } else {
        screen.data(&format!(
            "{}: the model after step {step}, as {} of transformers",
            arguments.out.display(),
            family.name()
        ));
    }
    Ok(Exit::Fine)
}

fn failure(error: &ExportError) -> Failure {
    let message = error.to_string();
    match error {
        ExportError::Exists { .. } => Failure::wish("pleach::export::exists", message),
        ExportError::Inexpressible { .. } => Failure::wish("pleach::export::inexpressible", message)
            .help("GPT-NeoX, GPT-2, OPT, BLOOM, LLaMA, Mistral, Qwen2 and Falcon can be written; `pleach explain pleach::export::inexpressible` says what each has"),
        ExportError::Shape { .. } | ExportError::Checkpoint(_) => Failure::machine("pleach::export::checkpoint", message),
        ExportError::File(_) => Failure::machine("pleach::export::file", message)
            .help("the disk must have room and the folder above be writable; nothing was left behind"),
    }
}
