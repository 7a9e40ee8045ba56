//! Reads specs and what they import: the only way by which text comes into the language.
//!
//! An import is looked up beside the file that names it; `presets/…` that is not there is taken from the presets that are
//! compiled in. Files must lie under the root: the working folder where the spec is inside it, else the spec's own folder.
//! Links are followed first and judged by where they end, so none leads out.

use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The longest file that is read.
pub const SIZE_LIMIT: u64 = 4 << 20;

/// The presets that travel with the program.
const PRESETS: &[(&str, &str)] = &[];

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no such file, beside the importer or compiled in.
    #[error("there is no file `{0}`")]
    Missing(String),
    /// It lies outside of the root.
    #[error("`{wanted}` leads out of `{root}`")]
    Outside {
        /// What was asked for.
        wanted: String,
        /// Where it would have to lie.
        root: String,
    },
    /// It is larger than [`SIZE_LIMIT`].
    #[error("`{0}` is larger than 4 MiB, the most that a spec may have")]
    Large(String),
    /// A folder, a device, a pipe.
    #[error("`{0}` is not a file")]
    NotAFile(String),
    /// Not UTF-8.
    #[error("`{0}` is not text in UTF-8")]
    NotText(String),
    /// The system refuses.
    #[error("`{0}` could not be read: {1}")]
    System(String, std::io::Error),
}

/// Reads files under one root.
#[derive(Debug)]
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// For a spec and what it imports.
    pub fn of(spec: &Path) -> Result<Self, LoadError> {
        let folder = spec
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let folder = canonical(folder)?;
        let working = canonical(Path::new("."))?;
        Ok(Self {
            root: if folder.starts_with(&working) {
                working
            } else {
                folder
            },
        })
    }

    /// The text of `wanted` as `importer` names it (none: as the command line names it), with the path it is known by.
    pub fn read(
        &self,
        importer: Option<&str>,
        wanted: &str,
    ) -> Result<(String, String), LoadError> {
        let known = known_as(importer, wanted);
        match self.read_file(&known) {
            Err(LoadError::Missing(_)) => {
                let preset = PRESETS
                    .iter()
                    .find(|(name, _)| *name == wanted || *name == known);
                let (name, text) = preset.ok_or(LoadError::Missing(known))?;
                Ok(((*name).to_owned(), (*text).to_owned()))
            }
            other => other.map(|text| (known, text)),
        }
    }

    fn read_file(&self, known: &str) -> Result<String, LoadError> {
        let path = canonical(Path::new(known))?;
        if !path.starts_with(&self.root) {
            return Err(LoadError::Outside {
                wanted: known.to_owned(),
                root: self.root.display().to_string(),
            });
        }
        let system = |error| LoadError::System(known.to_owned(), error);
        if !path.metadata().map_err(system)?.is_file() {
            return Err(LoadError::NotAFile(known.to_owned()));
        }
        let mut bytes = Vec::new();
        let file = std::fs::File::open(&path).map_err(system)?;
        file.take(SIZE_LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(system)?;
        if bytes.len() as u64 > SIZE_LIMIT {
            return Err(LoadError::Large(known.to_owned()));
        }
        String::from_utf8(bytes).map_err(|_| LoadError::NotText(known.to_owned()))
    }
}

/// `presets/a.pleach` named in `presets/b.pleach` is `presets/presets/a.pleach`; `..` and `.` are folded where they can be.
fn known_as(importer: Option<&str>, wanted: &str) -> String {
    let folder = importer
        .and_then(|importer| Path::new(importer).parent())
        .unwrap_or(Path::new(""));
    let mut folded = PathBuf::new();
    for part in folder.join(wanted).components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if folded.file_name().is_some() => {
                folded.pop();
            }
            other => folded.push(other),
        }
    }
    folded.to_string_lossy().into_owned()
}

fn canonical(path: &Path) -> Result<PathBuf, LoadError> {
    path.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            LoadError::Missing(path.display().to_string())
        }
        _ => LoadError::System(path.display().to_string(), error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("specs/parts")).unwrap();
        std::fs::write(folder.path().join("specs/main.pleach"), "main").unwrap();
        std::fs::write(folder.path().join("specs/parts/a.pleach"), "a").unwrap();
        std::fs::write(folder.path().join("secret.pleach"), "secret").unwrap();
        folder
    }

    fn name(folder: &tempfile::TempDir, file: &str) -> String {
        folder.path().join(file).display().to_string()
    }

    #[test]
    fn imports_are_beside_their_importer() {
        let folder = folder();
        let main = name(&folder, "specs/main.pleach");
        let files = Files::of(Path::new(&main)).unwrap();
        let (known, text) = files.read(Some(&main), "parts/a.pleach").unwrap();
        assert_eq!(text, "a");
        assert_eq!(
            files.read(Some(&known), "../main.pleach").unwrap(),
            (main, "main".to_owned())
        );
    }

    #[test]
    fn nothing_outside_is_read() {
        let folder = folder();
        let main = name(&folder, "specs/main.pleach");
        let files = Files::of(Path::new(&main)).unwrap();
        std::os::unix::fs::symlink(
            folder.path().join("secret.pleach"),
            folder.path().join("specs/link.pleach"),
        )
        .unwrap();
        for wanted in ["../secret.pleach", "link.pleach", "/etc/passwd"] {
            let error = files.read(Some(&main), wanted).unwrap_err();
            assert!(
                matches!(error, LoadError::Outside { .. }),
                "{wanted}: {error}"
            );
        }
    }

    #[test]
    fn only_text_files_of_a_fair_size() {
        let folder = folder();
        let main = name(&folder, "specs/main.pleach");
        let files = Files::of(Path::new(&main)).unwrap();
        std::fs::write(
            folder.path().join("specs/large.pleach"),
            vec![b'#'; SIZE_LIMIT as usize + 1],
        )
        .unwrap();
        std::fs::write(folder.path().join("specs/binary.pleach"), [0xff, 0xfe]).unwrap();
        assert!(matches!(
            files.read(Some(&main), "large.pleach"),
            Err(LoadError::Large(_))
        ));
        assert!(matches!(
            files.read(Some(&main), "binary.pleach"),
            Err(LoadError::NotText(_))
        ));
        assert!(matches!(
            files.read(Some(&main), "parts"),
            Err(LoadError::NotAFile(_))
        ));
        assert!(matches!(
            files.read(Some(&main), "none.pleach"),
            Err(LoadError::Missing(_))
        ));
    }
}
