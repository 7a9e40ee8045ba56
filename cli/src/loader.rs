//! Reads specs and what they import: the only way by which text comes into the language.
//!
//! The language makes the paths and keeps them beside or below the file that imports; here they are held against the disk.
//! Links are followed first and judged by where they end, so none leads out of the spec's folder; devices, pipes and huge
//! files are refused before they are read.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use pleach_dsl::{Failure as Refusal, Loader};

use crate::failure::{Failure, Outcome};

/// The longest file that is read.
pub const SIZE_LIMIT: u64 = 4 << 20;

/// Files under a spec's folder.
#[derive(Debug)]
pub struct Files {
    spec: PathBuf,
    root: PathBuf,
}

impl Files {
    /// For a spec and what it imports; the spec itself must be there.
    pub fn of(spec: &Path) -> Outcome<Self> {
        let metadata = spec
            .metadata()
            .map_err(|error| Failure::reading(spec, &error))?;
        if metadata.is_dir() {
            return Err(Failure::reading(
                spec,
                &std::io::ErrorKind::IsADirectory.into(),
            ));
        }
        let folder = spec
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let root = folder
            .canonicalize()
            .map_err(|error| Failure::reading(folder, &error))?;
        Ok(Self {
            spec: spec.to_owned(),
            root,
        })
    }

    fn resolve(&self, path: &str) -> Result<PathBuf, Refusal> {
        let named = Path::new(path);
        let real = named.canonicalize().map_err(|error| refusal(&error))?;
        // The spec itself may be a link to anywhere: whoever runs the command names it. What it imports may not.
        if named == self.spec || real.starts_with(&self.root) {
            return Ok(real);
        }
        let root = self.root.display();
        Err(Refusal::Unreadable(format!(
            "it leads out of the spec's folder `{root}`, to `{}`",
            real.display()
        )))
    }
}

impl Loader for Files {
    fn load(&self, path: &str) -> Result<String, Refusal> {
        let real = self.resolve(path)?;
        let metadata = real.metadata().map_err(|error| refusal(&error))?;
        if !metadata.is_file() {
            return Err(Refusal::Unreadable("it is not a file".to_owned()));
        }
        let mut bytes = Vec::new();
        let file = std::fs::File::open(&real).map_err(|error| refusal(&error))?;
        file.take(SIZE_LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| refusal(&error))?;
        if bytes.len() as u64 > SIZE_LIMIT {
            let mebibytes = SIZE_LIMIT >> 20;
            return Err(Refusal::Unreadable(format!(
                "it has more than {mebibytes} MiB, the most that a spec may have"
            )));
        }
        String::from_utf8(bytes)
            .map_err(|_| Refusal::Unreadable("it is not text in UTF-8".to_owned()))
    }
}

fn refusal(error: &std::io::Error) -> Refusal {
    match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Refusal::Missing,
        _ => Refusal::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("specs/parts")).unwrap();
        std::fs::write(folder.path().join("specs/main.pleach"), "main").unwrap();
        std::fs::write(folder.path().join("specs/parts/a.pleach"), "a").unwrap();
        std::fs::write(folder.path().join("secret.pleach"), "secret").unwrap();
        let files = Files::of(&folder.path().join("specs/main.pleach")).unwrap();
        (folder, files)
    }

    fn load(folder: &tempfile::TempDir, files: &Files, path: &str) -> Result<String, Refusal> {
        files.load(&folder.path().join(path).display().to_string())
    }

    #[test]
    fn files_below_the_spec_are_read() {
        let (folder, files) = folder();
        assert_eq!(load(&folder, &files, "specs/main.pleach").unwrap(), "main");
        assert_eq!(load(&folder, &files, "specs/parts/a.pleach").unwrap(), "a");
        assert_eq!(
            load(&folder, &files, "specs/none.pleach").unwrap_err(),
            Refusal::Missing
        );
    }

    #[test]
    fn no_link_leads_out() {
        let (folder, files) = folder();
        let specs = folder.path().join("specs");
        std::os::unix::fs::symlink(
            folder.path().join("secret.pleach"),
            specs.join("link.pleach"),
        )
        .unwrap();
        std::os::unix::fs::symlink(folder.path(), specs.join("up")).unwrap();
        std::os::unix::fs::symlink(specs.join("parts/a.pleach"), specs.join("inside.pleach"))
            .unwrap();
        for path in [
            "specs/link.pleach",
            "specs/up/secret.pleach",
            "specs/../secret.pleach",
        ] {
            let Err(Refusal::Unreadable(why)) = load(&folder, &files, path) else {
                panic!("{path} was read")
            };
            assert!(why.contains("leads out"), "{why}");
        }
        assert_eq!(load(&folder, &files, "specs/inside.pleach").unwrap(), "a");
    }

    #[test]
    fn only_text_files_of_a_fair_size() {
        let (folder, files) = folder();
        std::fs::write(
            folder.path().join("specs/large.pleach"),
            vec![b'#'; SIZE_LIMIT as usize + 1],
        )
        .unwrap();
        std::fs::write(folder.path().join("specs/binary.pleach"), [0xff, 0xfe]).unwrap();
        for (path, part) in [
            ("large.pleach", "4 MiB"),
            ("binary.pleach", "UTF-8"),
            ("parts", "not a file"),
        ] {
            let Err(Refusal::Unreadable(why)) = load(&folder, &files, &format!("specs/{path}"))
            else {
                panic!("{path}")
            };
            assert!(why.contains(part), "{why}");
        }
    }
}
