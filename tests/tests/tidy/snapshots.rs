//! Snapshots that nothing compares with any more are lies waiting to be believed.

use pleach_tests::source::{Source, files};
use xtask::places;

use crate::none;

#[test]
fn every_snapshot_belongs_to_a_test() {
    let offenders = files("", &[".snap"]).iter().filter_map(orphan).collect();
    none(
        "a snapshot is compared with by a test of its source",
        offenders,
    );
}

/// Why nothing compares with this snapshot, if so. Its header names the test file; its own name ends in that of the test or
/// in the name that the test gives.
fn orphan(snapshot: &Source) -> Option<String> {
    let path = snapshot.path.display();
    let source = snapshot
        .text
        .lines()
        .find_map(|line| line.strip_prefix("source: "));
    let Some(source) = source.map(|text| text.trim_matches('"')) else {
        return Some(format!("{path}: it does not say which test it belongs to"));
    };
    let Ok(test) = std::fs::read_to_string(places::root().join(source)) else {
        return Some(format!("{path}: its test {source} is gone"));
    };
    let stem = snapshot
        .path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let name = stem
        .rsplit("__")
        .next()
        .unwrap_or(&stem)
        .split('@')
        .next()
        .unwrap_or_default();
    let numbered = name
        .rsplit_once('-')
        .filter(|(_, end)| end.parse::<u32>().is_ok())
        .map_or(name, |(front, _)| front);
    let known = test.contains(&format!("fn {numbered}(")) || test.contains(&format!("\"{name}\""));
    (!known).then(|| format!("{path}: {source} has no test `{name}`"))
}

#[test]
fn no_snapshot_waits_for_a_decision() {
    let pending = files("", &[".snap.new", ".pending-snap"])
        .iter()
        .map(|source| source.path.display().to_string())
        .collect();
    none(
        "a changed snapshot is accepted or the code is mended",
        pending,
    );
}
