//! A folder of prepared data: `data.json` and one token file for each component.
//!
//! In comes the folder; out come open token files that have the sizes and fingerprints that `data.json` says. Opening
//! checks sizes, which is enough for files that are never changed in place; [`Prepared::verify`] reads every byte.

use std::fs;
use std::path::{Path, PathBuf};

use pleach_plan::DataPlan;
use pleach_storage::files::{At, replace};
use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::tokens::TokenFile;

/// The version of `data.json`.
const SCHEMA: u32 = 2;
/// The description's file name.
const DESCRIPTION: &str = "data.json";

/// One component as it was prepared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedComponent {
    /// Its name in the mix.
    pub name: String,
    /// The patterns that chose its files.
    pub files: Vec<String>,
    /// Documents.
    pub documents: u64,
    /// Tokens, separators included; also the bytes of its `.bin`.
    pub tokens: u64,
    /// Files that were left out because they are not UTF-8.
    pub skipped_not_text: u64,
    /// Files that were left out because the component has the same text already.
    pub skipped_repeated: u64,
    /// NUL bytes that were left out, id 0 being the separator.
    pub skipped_nul_bytes: u64,
    /// BLAKE3 of its `.bin`.
    pub fingerprint: String,
    /// The largest id that occurs; 0 where none does.
    pub largest_id: u64,
    /// Its `.bin`, where that lies elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

/// The content of `data.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    schema: u32,
    source: String,
    components: Vec<PreparedComponent>,
}

/// Prepared data.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Where it is.
    pub folder: PathBuf,
    /// Where it came from, as the spec says it.
    pub source: String,
    /// The components, in the order of the mix.
    pub components: Vec<PreparedComponent>,
}

impl Prepared {
    /// Opens a folder and checks that every token file is there with the right size.
    ///
    /// # Errors
    /// No description, another version, or a token file that does not fit.
    pub fn open(folder: &Path) -> Result<Prepared, DataError> {
        let path = folder.join(DESCRIPTION);
        let text = fs::read_to_string(&path).at("read", &path)?;
        let description: Description =
            serde_json::from_str(&text).map_err(|error| DataError::damaged(&path, error))?;
        if description.schema != SCHEMA {
            let problem = format!("schema {}, expected {SCHEMA}", description.schema);
            return Err(DataError::damaged(&path, problem));
        }
        let Description {
            source, components, ..
        } = description;
        let prepared = Prepared {
            folder: folder.to_path_buf(),
            source,
            components,
        };
        for number in 0..prepared.components.len() {
            prepared.tokens(number)?;
        }
        Ok(prepared)
    }

    /// The token file of a component, by its place in the mix.
    ///
    /// # Errors
    /// As [`TokenFile::open`], or another size than was written.
    ///
    /// # Panics
    /// If there are not so many components.
    pub fn tokens(&self, number: usize) -> Result<TokenFile, DataError> {
        let component = &self.components[number];
        let file = TokenFile::open(&self.place(number, component))?;
        if file.len() == component.tokens {
            Ok(file)
        } else {
            let problem = format!("{} tokens, expected {}", file.len(), component.tokens);
            Err(DataError::damaged(file.path(), problem))
        }
    }

    /// Where the tokens of a component are.
    fn place(&self, number: usize, component: &PreparedComponent) -> PathBuf {
        let own = || {
            self.folder
                .join(Prepared::file_name(number, &component.name))
        };
        component.path.clone().unwrap_or_else(own)
    }

    /// Reads every byte and compares the fingerprints.
    ///
    /// # Errors
    /// The first token file that was changed, by name.
    pub fn verify(&self) -> Result<(), DataError> {
        for (number, component) in self.components.iter().enumerate() {
            let file = self.tokens(number)?;
            file.check()?;
            let found = file.fingerprint();
            if found != component.fingerprint {
                let problem = format!("BLAKE3 {found}, expected {}", component.fingerprint);
                return Err(DataError::damaged(file.path(), problem));
            }
        }
        Ok(())
    }

    /// Writes the components' fingerprints into a plan.
    pub fn stamp(&self, plan: &mut DataPlan) {
        for (component, prepared) in plan.mix.iter_mut().zip(&self.components) {
            component.fingerprint = Some(prepared.fingerprint.clone());
        }
    }

    /// Checks that this is the data that a plan names: the same components with the same fingerprints (where it has them).
    ///
    /// # Errors
    /// The first component that differs, or has ids beyond the model's vocabulary.
    pub fn check(&self, plan: &DataPlan) -> Result<(), DataError> {
        for number in 0..plan.mix.len().max(self.components.len()) {
            let (wanted, found) = (plan.mix.get(number), self.components.get(number));
            let fits = wanted.zip(found).is_some_and(|(wanted, found)| {
                let print = wanted.fingerprint.as_ref();
                wanted.name == found.name && print.is_none_or(|print| *print == found.fingerprint)
            });
            if !fits {
                let name = wanted.map(|component| component.name.clone());
                let print = |print: Option<&String>| {
                    print.map_or("nothing".into(), |print| print.as_str().into())
                };
                return Err(DataError::Mismatch {
                    component: name.or(found.map(|it| it.name.clone())).unwrap_or_default(),
                    origin: self.source.clone(),
                    file: found.map_or(self.folder.clone(), |it| self.place(number, it)),
                    found: print(found.map(|component| &component.fingerprint)),
                    wanted: print(wanted.and_then(|component| component.fingerprint.as_ref())),
                });
            }
            if let Some(found) = found
                && found.largest_id >= plan.vocab
            {
                return Err(DataError::Vocabulary {
                    component: found.name.clone(),
                    largest: found.largest_id,
                    vocab: plan.vocab,
                });
            }
        }
        Ok(())
    }

    /// The name of a component's `.bin`, safe whatever the component is called.
    pub(super) fn file_name(number: usize, component: &str) -> String {
        let safe = |letter: char| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '_'
            }
        };
        format!(
            "{number}-{}.bin",
            component.chars().map(safe).collect::<String>()
        )
    }
}

/// Writes the description of a folder whose token files are there.
pub(super) fn write(
    folder: &Path,
    source: &str,
    components: Vec<PreparedComponent>,
) -> Result<(), DataError> {
    let description = Description {
        schema: SCHEMA,
        source: source.to_owned(),
        components,
    };
    let text = serde_json::to_string_pretty(&description).expect("counts and names are plain JSON");
    Ok(replace(&folder.join(DESCRIPTION), text.as_bytes())?)
}
