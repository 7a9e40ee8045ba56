//! The crates as cargo sees them: who depends on whom, under which licence, and what the `pleach` binary is linked with.

use std::collections::BTreeMap;
use std::process::Command;

use pleach_tests::have;
use serde_json::Value;
use xtask::{places, process};

use crate::none;

/// Whom each crate of the house may know.
const MAY_KNOW: [(&str, &[&str]); 7] = [
    ("pleach-dsl", &[]),
    ("pleach-plan", &[]),
    ("pleach-planner", &["pleach-dsl", "pleach-plan"]),
    ("pleach-storage", &["pleach-plan"]),
    ("pleach-data", &["pleach-plan", "pleach-storage"]),
    (
        "pleach-executor",
        &["pleach-plan", "pleach-storage", "pleach-data"],
    ),
    (
        "pleach",
        &[
            "pleach-dsl",
            "pleach-plan",
            "pleach-planner",
            "pleach-storage",
            "pleach-data",
        ],
    ),
];

/// Licences that Apache-2.0 code may be built with (MPL-2.0 binds its own files only).
const PERMISSIVE: [&str; 14] = [
    "Apache-2.0",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "CC0-1.0",
    "Unlicense",
    "Unicode-3.0",
    "BSL-1.0",
    "MPL-2.0",
    "CDLA-Permissive-2.0",
];

/// The packages that are built on a machine like this one; those for other systems may not be here.
fn metadata() -> Value {
    let version = process::capture(Command::new("rustc").arg("-vV")).expect("rustc is there");
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let text = process::capture(&mut process::cargo([
        "metadata",
        "--format-version",
        "1",
        "--offline",
        "--locked",
        "--filter-platform",
        host.expect("rustc names its host"),
    ]));
    serde_json::from_str(&text.expect("cargo knows the workspace")).expect("cargo writes JSON")
}

fn packages(metadata: &Value) -> BTreeMap<&str, &Value> {
    let all = metadata["packages"].as_array().expect("there are packages");
    all.iter()
        .map(|package| {
            (
                package["name"].as_str().expect("a package has a name"),
                package,
            )
        })
        .collect()
}

fn dependencies<'m>(package: &'m Value, kind: Option<&str>) -> Vec<&'m str> {
    let all = package["dependencies"]
        .as_array()
        .expect("a package has a list of dependencies");
    all.iter()
        .filter(|one| one["kind"].as_str() == kind)
        .filter_map(|one| one["name"].as_str())
        .collect()
}

#[test]
fn dependencies_run_one_way() {
    let metadata = metadata();
    let packages = packages(&metadata);
    let mut offenders = Vec::new();
    for (name, known) in MAY_KNOW {
        let package = packages
            .get(name)
            .unwrap_or_else(|| panic!("the workspace has {name}"));
        for kind in [None, Some("build"), Some("dev")] {
            let house = dependencies(package, kind)
                .into_iter()
                .filter(|other| MAY_KNOW.iter().any(|(crate_name, _)| crate_name == other));
            let wrong = house.filter(|other| !known.contains(other));
            offenders.extend(wrong.map(|other| format!("{name} must not know {other}")));
        }
    }
    none(
        "dsl <- planner -> plan <- storage <- data <- executor, cli above all but the executor",
        offenders,
    );
}

#[test]
fn only_the_executor_knows_libtorch() {
    let metadata = metadata();
    let of_house = packages(&metadata)
        .into_iter()
        .filter(|(_, package)| package["source"].is_null());
    let mut offenders = Vec::new();
    for (name, package) in of_house.filter(|(name, _)| *name != "pleach-executor") {
        let torch = [None, Some("build"), Some("dev")]
            .into_iter()
            .flat_map(|kind| dependencies(package, kind));
        offenders.extend(
            torch
                .filter(|other| matches!(*other, "tch" | "torch-sys"))
                .map(|other| format!("{name} knows {other}")),
        );
    }
    none("libtorch stays in the executor", offenders);
}

#[test]
fn the_pleach_binary_links_no_torch() {
    let output = Command::new("ldd").arg(have::pleach()).output();
    let Ok(output) = output else {
        return have::skip("no ldd on this machine");
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("libc"), "ldd lists libraries: {text}");
    assert!(
        !text.contains("torch") && !text.contains("libc10"),
        "{text}"
    );
}

#[test]
fn every_licence_fits() {
    let text = std::fs::read_to_string(places::root().join("LICENSE")).expect("there is a LICENSE");
    assert!(
        text.contains("Apache License") && text.contains("Version 2.0, January 2004"),
        "LICENSE is Apache-2.0"
    );
    let metadata = metadata();
    let mut offenders = Vec::new();
    for (name, package) in packages(&metadata) {
        let licence = package["license"].as_str().unwrap_or("none");
        let fits = if package["source"].is_null() {
            licence == "Apache-2.0"
        } else {
            permissive(licence)
        };
        if !fits {
            offenders.push(format!("{name}: {licence}"));
        }
    }
    none(
        "our crates are Apache-2.0, all others permissive",
        offenders,
    );
}

/// Whether an SPDX expression can be met by permissive licences alone.
fn permissive(expression: &str) -> bool {
    let expression = expression.replace(['(', ')'], " ").replace('/', " OR ");
    expression.split(" OR ").any(|choice| {
        choice.split(" AND ").all(|term| {
            PERMISSIVE.contains(&term.split(" WITH ").next().unwrap_or_default().trim())
        })
    })
}
