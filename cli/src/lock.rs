//! What a spec rests on, held against `pleach.lock` beside it.
//!
//! In come the imports, data, tokenizers and weights that the language names, with their places; their contents are found here. Where no lockfile is, nothing is looked at.

use std::path::Path;

use pleach_data::{prepare, tokenizer};
use pleach_dsl::problem::Problem;
use pleach_dsl::{Rest, RestKind, Spec};
use pleach_storage::lockfile::{Content, Lockfile, LockfileError, NAME};

use crate::data::data_failure;
use crate::failure::{Failure, Outcome};
use crate::weights;

/// One thing that a spec rests on, with what stands behind it now.
#[derive(Clone, Debug)]
pub struct Standing {
    /// As the language names it.
    pub rest: Rest,
    /// Its name in the lockfile.
    pub key: String,
    /// Its content; none where this version cannot look into it.
    pub content: Option<Content>,
}

impl Standing {
    /// What it is, for a reader.
    pub fn what(&self) -> String {
        match self.rest.kind {
            RestKind::Import { .. } => format!("import `{}`", self.key),
            RestKind::Data(_) => format!("data `{}`", self.rest.name),
            RestKind::Tokenizer(_) => format!("tokenizer `{}`", self.key),
            RestKind::Weights(_) => format!("weights `{}`", self.key),
        }
    }

    /// Whether a name on the command line means it.
    pub fn is_called(&self, name: &str) -> bool {
        self.key == name || self.rest.name == name
    }

    /// Where the lockfile keeps it.
    pub fn locked<'l>(&self, lock: &'l Lockfile) -> Option<&'l Content> {
        match self.rest.kind {
            RestKind::Import { .. } => lock.imports.get(&self.key),
            RestKind::Data(_) => lock.data.get(&self.key),
            RestKind::Tokenizer(_) => lock.tokenizers.get(&self.key),
            RestKind::Weights(_) => lock.weights.get(&self.key),
        }
    }

    /// Puts its content into the lockfile.
    pub fn lock(&self, lock: &mut Lockfile) {
        let Some(content) = &self.content else { return };
        let kept = match self.rest.kind {
            RestKind::Import { .. } => &mut lock.imports,
            RestKind::Data(_) => &mut lock.data,
            RestKind::Tokenizer(_) => &mut lock.tokenizers,
            RestKind::Weights(_) => &mut lock.weights,
        };
        kept.insert(self.key.clone(), content.clone());
    }
}

/// Everything that the experiments of a spec rest on, as it stands now.
pub fn standing(spec: &mut Spec, file: &Path) -> Outcome<Vec<Standing>> {
    let folder = folder(file);
    let rests = spec.rests().into_iter();
    let standing = rests.map(|rest| {
        let (key, content) = match &rest.kind {
            RestKind::Import { hash, shipped } => {
                let name = Path::new(&rest.name);
                let inside = name.strip_prefix(folder).unwrap_or(name);
                let key = if *shipped { name } else { inside };
                let content = Content::of_hash(hash.clone());
                (key.to_string_lossy().into_owned(), Some(content))
            }
            RestKind::Data(source) => {
                let content =
                    prepare::content(source, folder).map_err(|error| data_failure(&error))?;
                (source.clone(), content)
            }
            RestKind::Tokenizer(tokenizer) => (tokenizer.clone(), of_tokenizer(tokenizer, folder)?),
            RestKind::Weights(source) => (source.clone(), weights::kept_content(source, folder)?),
        };
        Ok(Standing { rest, key, content })
    });
    // Ids that are the bytes themselves have nothing that could move.
    let moving = |standing: &Outcome<Standing>| {
        !standing
            .as_ref()
            .is_ok_and(|standing| standing.rest.kind == RestKind::Tokenizer("bytes".to_owned()))
    };
    standing.filter(moving).collect()
}

/// The content of a tokenizer's file; none where this version cannot look into it.
fn of_tokenizer(name: &str, folder: &Path) -> Outcome<Option<Content>> {
    let Some(path) = tokenizer::file(name, folder) else {
        return Ok(None);
    };
    let bytes = std::fs::read(&path).map_err(|error| Failure::reading(&path, &error))?;
    let hash = blake3::hash(&bytes).to_hex().to_string();
    Ok(Some(Content::of_hash(hash)))
}

/// The folder of a spec, where its lockfile lies.
pub fn folder(file: &Path) -> &Path {
    let folder = file.parent();
    folder
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Reads the lockfile of a spec's folder.
pub fn read(file: &Path) -> Outcome<Option<Lockfile>> {
    Lockfile::read(folder(file)).map_err(|error| lockfile_failure(&error))
}

/// Adds to a spec's problems what is not what its lockfile knows.
pub fn hold(spec: &mut Spec, file: &Path) -> Outcome<()> {
    let Some(lock) = read(file)? else {
        return Ok(());
    };
    for standing in standing(spec, file)? {
        let Some(found) = &standing.content else {
            continue;
        };
        match standing.locked(&lock) {
            Some(locked) if locked == found => {}
            Some(locked) => spec.report(moved(file, &standing, &locked.difference(found))),
            None => spec.report(unknown(file, &standing)),
        }
    }
    Ok(())
}

/// Something that is not what was locked.
fn moved(file: &Path, standing: &Standing, difference: &str) -> Problem {
    let place = standing.rest.place;
    let (code, name, title) = match &standing.rest.kind {
        RestKind::Import { .. } => {
            let title = format!("`{}` is not the file this lockfile knows", standing.key);
            ("pleach::lock::import", &standing.key, title)
        }
        RestKind::Data(_) => {
            let name = &standing.rest.name;
            let title = format!("`{name}` is not the data this lockfile knows");
            ("pleach::lock::data", name, title)
        }
        RestKind::Tokenizer(_) => {
            let title = format!(
                "`{}` is not the tokenizer this lockfile knows",
                standing.key
            );
            ("pleach::lock::tokenizer", &standing.key, title)
        }
        RestKind::Weights(_) => {
            let title = format!("`{}` are not the weights this lockfile knows", standing.key);
            ("pleach::lock::weights", &standing.key, title)
        }
    };
    let command = format!("pleach lock {} {name}", file.display());
    Problem::error(code, title, place, difference)
        .help(format!("restore it, or accept it: `{command}`"))
}

/// Something that the lockfile does not name.
fn unknown(file: &Path, standing: &Standing) -> Problem {
    let title = format!("the {} is not in {NAME}", standing.what());
    let command = format!("pleach lock {}", file.display());
    Problem::warning(
        "pleach::lock::unknown",
        title,
        standing.rest.place,
        "not locked yet",
    )
    .help(format!("`{command}` adds it"))
}

/// A lockfile that cannot be read or written.
pub fn lockfile_failure(error: &LockfileError) -> Failure {
    match error {
        LockfileError::File(_) => Failure::machine("pleach::lock::file", error.to_string()),
        LockfileError::Form { .. } => Failure::wish("pleach::lock::form", error.to_string()).help(
            "restore it from version control, or delete it and lock again: `pleach lock FILE`",
        ),
    }
}
