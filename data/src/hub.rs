//! Names on the Hugging Face Hub, as they lie in its cache on this machine: `hf:ORGANISATION/NAME`, with a revision behind `@`.
//!
//! In comes a name, out come paths: below `HF_HUB_CACHE`, `HF_HOME/hub` or `~/.cache/huggingface/hub`, where every tool of the Hub puts them. Nothing is fetched here: a file
//! that is missing is an error that says where it belongs and which command brings it there.

use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo, RepoType};
use pleach_storage::files::At as _;
use walkdir::{DirEntry, WalkDir};

use crate::DataError;
use crate::prepare::mix::set;

/// What begins such a name.
pub(crate) const PREFIX: &str = "hf:";
/// Files of text, where a component does not say which.
const TEXT: [&str; 4] = ["**/*.jsonl", "**/*.ndjson", "**/*.parquet", "**/*.txt"];
/// What may stand behind these.
const PACKED: [&str; 4] = ["", ".gz", ".zst", ".zstd"];

/// The cache of this user.
fn cache() -> Result<Cache, DataError> {
    if let Some(folder) = std::env::var_os("HF_HUB_CACHE") {
        return Ok(Cache::new(folder.into()));
    }
    let known = std::env::var_os("HF_HOME").is_some() || dirs::home_dir().is_some();
    known.then(Cache::from_env).ok_or(DataError::NoCache)
}

/// A repository of the Hub.
struct Named<'n> {
    /// As the spec says it.
    name: &'n str,
    kind: RepoType,
    /// Where its files are, or would be.
    folder: PathBuf,
}

impl<'n> Named<'n> {
    fn new(cache: &Cache, name: &'n str, kind: RepoType) -> Named<'n> {
        let bare = name.strip_prefix(PREFIX).unwrap_or(name);
        let (repository, revision) = bare.split_once('@').unwrap_or((bare, "main"));
        let repo = Repo::with_revision(repository.to_owned(), kind, revision.to_owned());
        let folder = cache.path().join(repo.folder_name());
        // A branch or tag names a commit in a file of its own; a commit needs none, and neither does a folder that was made by hand.
        let commit = std::fs::read_to_string(folder.join("refs").join(revision));
        let commit = commit.unwrap_or_else(|_| revision.to_owned());
        Named {
            name,
            kind,
            folder: folder.join("snapshots").join(commit.trim()),
        }
    }

    fn missing(&self, file: &str) -> DataError {
        let bare = self.name.strip_prefix(PREFIX).unwrap_or(self.name);
        let (repository, revision) = bare.split_once('@').unwrap_or((bare, "main"));
        let kind = match self.kind {
            RepoType::Dataset => " --repo-type dataset",
            _ => "",
        };
        let revision = match revision {
            "main" => String::new(),
            other => format!(" --revision {other}"),
        };
        DataError::NotInCache {
            name: self.name.to_owned(),
            file: file.to_owned(),
            path: self.folder.join(file),
            command: format!("hf download {repository}{kind}{revision}"),
        }
    }
}

/// A file of a model.
pub(crate) fn file(name: &str, file: &str) -> Result<PathBuf, DataError> {
    file_in(&cache()?, name, file)
}

fn file_in(cache: &Cache, name: &str, file: &str) -> Result<PathBuf, DataError> {
    let named = Named::new(cache, name, RepoType::Model);
    let path = named.folder.join(file);
    match path.is_file() {
        true => Ok(path),
        false => Err(named.missing(file)),
    }
}

/// The files of a dataset that these patterns mean, by path; all of text where there is no pattern.
pub(crate) fn files(
    name: &str,
    component: &str,
    globs: &[String],
) -> Result<Vec<PathBuf>, DataError> {
    files_in(&cache()?, name, component, globs)
}

fn files_in(
    cache: &Cache,
    name: &str,
    component: &str,
    globs: &[String],
) -> Result<Vec<PathBuf>, DataError> {
    let named = Named::new(cache, name, RepoType::Dataset);
    let all = TEXT
        .iter()
        .flat_map(|glob| PACKED.map(|packed| format!("{glob}{packed}")));
    let wanted = match globs {
        [] => set(component, &all.collect::<Vec<_>>())?,
        globs => set(component, globs)?,
    };
    let mut found = Vec::new();
    if named.folder.is_dir() {
        let visible = |entry: &DirEntry| {
            entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
        };
        // The cache holds links to where the bytes are.
        let walk = WalkDir::new(&named.folder).follow_links(true);
        for entry in walk.into_iter().filter_entry(visible) {
            let entry = entry
                .map_err(std::io::Error::from)
                .at("list", &named.folder)?;
            let inside = entry
                .path()
                .strip_prefix(&named.folder)
                .unwrap_or(entry.path());
            if entry.file_type().is_file() && wanted.is_match(inside) {
                found.push(entry.into_path());
            }
        }
    }
    found.sort();
    match (found.is_empty(), globs) {
        (false, _) => Ok(found),
        (true, [glob, ..]) => Err(named.missing(glob)),
        (true, []) => Err(named.missing("*.jsonl")),
    }
}

/// A path below the folder of a dataset, as people know it.
pub(crate) fn inside(path: &Path) -> String {
    let text = path.to_string_lossy();
    let behind = text
        .split_once("/snapshots/")
        .and_then(|(_, rest)| rest.split_once('/'));
    behind.map_or_else(|| text.clone().into_owned(), |(_, file)| file.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn files_are_found_where_the_tools_of_the_hub_put_them() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_path_buf());
        let model = folder.path().join("models--someone--words");
        write(&model.join("blobs/12ab"), "{}");
        write(&model.join("refs/main"), "77cc");
        fs::create_dir_all(model.join("snapshots/77cc")).unwrap();
        std::os::unix::fs::symlink(
            "../../blobs/12ab",
            model.join("snapshots/77cc/tokenizer.json"),
        )
        .unwrap();
        let path = file_in(&cache, "hf:someone/words", "tokenizer.json").unwrap();
        assert_eq!(path, model.join("snapshots/77cc/tokenizer.json"));
        assert!(file_in(&cache, "hf:someone/words@77cc", "tokenizer.json").is_ok());
        let error = file_in(&cache, "hf:someone/words@v2", "tokenizer.json")
            .unwrap_err()
            .to_string();
        let place = model
            .join("snapshots/v2/tokenizer.json")
            .display()
            .to_string();
        assert!(error.contains(&place), "{error}");
        assert!(
            error.contains("`hf download someone/words --revision v2`"),
            "{error}"
        );
    }

    #[test]
    fn a_dataset_is_its_files_of_text_or_those_that_are_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_path_buf());
        let error = files_in(&cache, "hf:someone/text", "web", &[])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("datasets--someone--text/snapshots/main/*.jsonl"),
            "{error}"
        );
        assert!(error.contains("--repo-type dataset"), "{error}");
        let data = folder.path().join("datasets--someone--text");
        // Made by hand, without a name for the commit.
        let at = data.join("snapshots/main");
        for file in [
            "README.md",
            "data/a.jsonl.zst",
            "data/b.jsonl",
            ".hidden/c.jsonl",
            "data/info.json",
        ] {
            write(&at.join(file), "{}");
        }
        let found = files_in(&cache, "hf:someone/text", "web", &[]).unwrap();
        let found: Vec<String> = found.iter().map(|path| inside(path)).collect();
        assert_eq!(found, ["data/a.jsonl.zst", "data/b.jsonl"]);
        let some = files_in(
            &cache,
            "hf:someone/text",
            "web",
            &["data/*.json".to_owned()],
        )
        .unwrap();
        assert_eq!(some, [at.join("data/info.json")]);
        assert!(files_in(&cache, "hf:someone/text", "web", &["*.csv".to_owned()]).is_err());
    }
}
