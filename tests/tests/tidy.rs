//! The house rules that a machine can check: sizes, headers, purity, direction of dependencies, licences, snapshots, documents.
//!
//! Every test collects all offenders and names them with file and line, so that one run shows all there is to mend.

mod tidy {
    pub mod codes;
    pub mod crates;
    pub mod documents;
    pub mod purity;
    pub mod shape;
    pub mod snapshots;
}

/// Fails with the list of offenders, if there are any.
fn none(rule: &str, offenders: Vec<String>) {
    assert!(offenders.is_empty(), "{rule}\n  {}", offenders.join("\n  "));
}
