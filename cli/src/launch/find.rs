//! Finds the worker binary: named by `PLEACH_WORKER`, beside this program, or in the other build profile's folder.
//!
//! A release `pleach` beside a debug worker (or the reverse) is normal while developing, so the sibling profile counts too.

use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

/// The variable that names another worker.
pub const VARIABLE: &str = "PLEACH_WORKER";

const NAME: &str = "pleach-worker";

/// The worker to start.
pub fn worker() -> Outcome<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        let path = PathBuf::from(named);
        if path.is_file() {
            return Ok(path);
        }
        return Err(Failure::machine(
            "pleach::launch::worker_missing",
            format!("{VARIABLE} names `{}`, which is not a file", path.display()),
        )
        .help(format!(
            "unset {VARIABLE} to use the worker beside pleach, or name one that exists"
        )));
    }
    let program = std::env::current_exe().unwrap_or_default();
    let places = places(&program);
    places
        .iter()
        .find(|place| place.is_file())
        .cloned()
        .ok_or_else(|| missing(&places))
}

/// Where a worker is looked for, in order.
fn places(program: &Path) -> Vec<PathBuf> {
    let Some(folder) = program.parent() else {
        return Vec::new();
    };
    let mut places = vec![folder.join(NAME)];
    if let (Some(target), Some(profile)) = (
        folder.parent(),
        folder.file_name().and_then(|name| name.to_str()),
    ) {
        let others = ["release", "debug"]
            .into_iter()
            .filter(|&other| other != profile && is_profile(profile));
        places.extend(others.map(|other| target.join(other).join(NAME)));
    }
    places
}

fn is_profile(name: &str) -> bool {
    matches!(name, "debug" | "release")
}

fn missing(places: &[PathBuf]) -> Failure {
    let looked = places
        .iter()
        .map(|place| format!("no {}", place.display()))
        .collect::<Vec<_>>()
        .join("\n");
    Failure::machine(
        "pleach::launch::worker_missing",
        "the worker program `pleach-worker` is not there",
    )
    .detail(looked)
    .help("build it: `cargo xtask setup && cargo build --release -p pleach-executor`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_profile_is_looked_at_second() {
        let found = places(Path::new("/p/target/debug/pleach"));
        assert_eq!(
            found,
            [
                PathBuf::from("/p/target/debug/pleach-worker"),
                "/p/target/release/pleach-worker".into()
            ]
        );
        assert_eq!(
            places(Path::new("/usr/bin/pleach")),
            [PathBuf::from("/usr/bin/pleach-worker")]
        );
    }
}
