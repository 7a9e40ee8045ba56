//! `pleach data index`: GPT-NeoX's index files of a token file, written, or held against those that are there.

use std::path::PathBuf;

use pleach_data::order::neox::{Indices, Named};
use pleach_data::tokens::TokenFile;
use serde_json::json;

use super::named;
use crate::arguments::data::IndexArguments;
use crate::data::data_failure;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::screen::{Screen, figures};

/// Writes the files, or checks them.
pub fn index(screen: &Screen, arguments: &IndexArguments) -> Outcome<Exit> {
    let (path, _) = named(&arguments.file)?;
    let file = TokenFile::open(&path).map_err(|error| data_failure(&error))?;
    let lengths = file.lengths().map_err(|error| data_failure(&error))?;
    let documents = lengths.len();
    let asked = arguments.documents.clone().unwrap_or(0..u64::MAX);
    let first = usize::try_from(asked.start)
        .unwrap_or(documents)
        .min(documents);
    let end = usize::try_from(asked.end)
        .unwrap_or(documents)
        .min(documents);
    let naming = Named {
        prefix: arguments
            .out
            .clone()
            .unwrap_or_else(|| path.with_extension("")),
        name: arguments.name.clone(),
        samples: arguments.samples,
        sequence: arguments.sequence,
        seed: arguments.seed,
    };
    let (sequence, samples) = (arguments.sequence, arguments.samples);
    let indices = Indices::new(&lengths[first..end], sequence, samples, arguments.seed);
    let indices = indices.ok_or_else(|| unnumbered(&path, end - first))?;
    let first = first as u32;
    if arguments.check {
        let difference = indices.difference(&naming, first);
        if let Some(told) = difference.map_err(|error| data_failure(&error))? {
            return Err(Failure::wish("pleach::data::index", told)
                .help("the files were made from other data, or from another split; delete them, and write them without `--check`"));
        }
    } else {
        indices
            .write(&naming, first)
            .map_err(|error| data_failure(&error))?;
    }
    tell(screen, arguments.check, &indices, &naming.paths());
    Ok(Exit::Fine)
}

fn unnumbered(path: &std::path::Path, documents: usize) -> Failure {
    let message = format!(
        "{}: {documents} documents have no tokens, or more of them or of samples than these files number (2147483647 over all epochs)",
        path.display()
    );
    Failure::wish("pleach::data::index", message)
}

fn tell(screen: &Screen, checked: bool, indices: &Indices, paths: &[PathBuf; 3]) {
    if screen.json {
        screen.data_json(
            &json!({"files": paths, "checked": checked, "epochs": indices.epochs,
            "documents": indices.documents.len(), "samples": indices.shuffle.len()}),
        );
        return;
    }
    let [epochs, samples] = [indices.epochs, indices.shuffle.len() as u64].map(figures::count);
    let what = if checked {
        "as they should be"
    } else {
        "written"
    };
    let mut lines = vec![format!(
        "{samples} samples of {epochs} epochs; the files are {what}"
    )];
    lines.extend(paths.iter().map(|path| path.display().to_string()));
    screen.data(&lines.join("\n"));
}
