//! Files that are not on this machine yet, from the Hub itself.
//!
//! In come a name, the cache and which files are wanted; out come these files in the cache, where the tools of the Hub would put them, all of one commit. What the Hub has of
//! it is written down first, so that a part never passes for the whole; the next fetch goes on where one stopped.

use std::fs;
use std::io::IsTerminal as _;
use std::path::{Component, Path};

use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Repo, RepoType};
use pleach_storage::files::replace;
use serde::Deserialize;

use super::{Hub, LISTING, Named};

/// So often a broken connection is tried again.
const RETRIES: usize = 3;

/// What the Hub says of a repository.
#[derive(Debug, Deserialize)]
struct Listing {
    /// The commit that the revision is.
    sha: String,
    /// Its files.
    siblings: Vec<Listed>,
}

/// A file of it.
#[derive(Debug, Deserialize)]
struct Listed {
    rfilename: String,
    /// Bytes of it.
    size: Option<u64>,
}

/// Fetches the files that are wanted and not there; what went wrong, in words, where that fails.
pub(super) fn fetch(
    named: &Named<'_>,
    hub: &Hub,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<(), String> {
    let api = api(hub).map_err(|error| error.to_string())?;
    let repo = |revision: &str| {
        let revision = revision.to_owned();
        Repo::with_revision(named.repository.to_owned(), named.kind, revision)
    };
    let asked = api.repo(repo(named.revision)).info_request();
    let answer = asked.query("blobs", "true").call();
    let answer = answer.map_err(|error| error.to_string())?;
    let listing: Listing = answer.into_json().map_err(|error| error.to_string())?;
    let files = listing
        .siblings
        .iter()
        .filter(|file| wanted(&file.rfilename));
    let files: Vec<&Listed> = files.collect();
    if let Some(stray) = files.iter().find(|file| !is_inside(&file.rfilename)) {
        return Err(format!("the Hub names a file `{}`", stray.rfilename));
    }
    if !is_inside(&listing.sha) {
        return Err(format!("the Hub names a commit `{}`", listing.sha));
    }
    let pinned = repo(&listing.sha);
    let place = hub
        .cache
        .path()
        .join(pinned.folder_name())
        .join("snapshots");
    let folder = place.join(&listing.sha);
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    if matches!(named.kind, RepoType::Dataset) {
        let all = listing.siblings.iter();
        let all: Vec<(&str, Option<u64>)> = all.map(|file| (&*file.rfilename, file.size)).collect();
        let text = serde_json::to_string(&all).map_err(|error| error.to_string())?;
        fs::create_dir_all(&folder).map_err(failed)?;
        replace(&folder.join(LISTING), text.as_bytes()).map_err(|error| error.to_string())?;
    }
    let from = api.repo(pinned);
    for file in files {
        let name = &file.rfilename;
        let path = from.get(name).map_err(|error| format!("{name}: {error}"))?;
        let found = fs::metadata(&path).map_err(failed)?.len();
        if let Some(size) = file.size.filter(|&size| size != found) {
            discard(&path);
            return Err(format!("{name} has {found} of {size} bytes"));
        }
    }
    let branch = hub.cache.repo(repo(named.revision));
    branch.create_ref(&listing.sha).map_err(failed)
}

/// What asks the Hub, with `HF_TOKEN` or the token that `hf auth login` left.
fn api(hub: &Hub) -> Result<Api, ApiError> {
    let shows = std::io::stderr().is_terminal()
        && std::env::var_os("HF_HUB_DISABLE_PROGRESS_BARS").is_none();
    let mut builder = ApiBuilder::from_cache(hub.cache.clone())
        .with_progress(shows)
        .with_retries(RETRIES)
        .with_user_agent("pleach", env!("CARGO_PKG_VERSION"));
    if let Some(endpoint) = &hub.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    if let Ok(token) = std::env::var("HF_TOKEN") {
        builder = builder.with_token(Some(token));
    }
    builder.build()
}

/// Whether a path stays in its folder.
fn is_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    !path.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Forgets a file and the bytes behind it.
fn discard(path: &Path) {
    let bytes = fs::canonicalize(path);
    let all = [Some(path.to_path_buf()), bytes.ok()];
    for path in all.into_iter().flatten() {
        // What is left of it is found out again by its size.
        let _ = fs::remove_file(path);
    }
}
