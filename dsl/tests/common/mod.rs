//! A loader over the repository's own files, for tests.

use pleach_dsl::{Failure, Loader};

/// Reads files below the repository's root.
pub struct Repository;

impl Loader for Repository {
    fn load(&self, path: &str) -> Result<String, Failure> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        std::fs::read_to_string(format!("{root}/{path}")).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::Missing,
            _ => Failure::Unreadable(error.to_string()),
        })
    }
}
