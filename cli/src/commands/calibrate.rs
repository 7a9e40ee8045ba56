//! `pleach calibrate`: lets the worker measure this machine and keeps the table where plans for `this_machine` look for it; with `--gpu` one GPU,
//! whose table a spec names as `device = "file:TABLE.toml"`.
//!
//! The table is written aside, read back and judged before it takes the place of an older one. What one GPU cannot show, its links and its data sheet's
//! peak, comes from the shipped table of its chip.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use pleach_plan::hardware::{Gemm, Hardware, Overhead};
use pleach_planner::hardware;
use serde_json::json;

use crate::arguments::CalibrateArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::launch::supervise::supervise;
use crate::launch::{Job, find};
use crate::machine::{Machine, cache_folder, read_table};
use crate::screen::{Screen, figures};

const GIB: f64 = (1u64 << 30) as f64;

/// Measures and keeps the table.
pub fn calibrate(screen: &Screen, arguments: &CalibrateArguments) -> Outcome<Exit> {
    let worker = find::worker()?;
    let target = match &arguments.out {
        Some(path) => path.clone(),
        None => Machine::here().table_path()?,
    };
    if target.is_dir() {
        let error = std::io::Error::from(std::io::ErrorKind::IsADirectory);
        return Err(Failure::writing(&target, &error));
    }
    let aside = PathBuf::from(format!("{}.part", target.display()));
    let logs = cache_folder()?.join("machines").join("log");
    for folder in [target.parent(), Some(logs.as_path())]
        .into_iter()
        .flatten()
    {
        std::fs::create_dir_all(folder).map_err(|error| Failure::writing(folder, &error))?;
    }
    screen.note("measuring this machine; other work on it now would be taken for slowness");
    let job = Job {
        worker,
        arguments: worker_arguments(&aside, arguments.gpu),
        ranks: if arguments.gpu { 1 } else { arguments.ranks },
        logs,
        says_done: false,
    };
    let ending = supervise(&job, &mut |_, _| {})?;
    if ending.exit(false) != Exit::Fine {
        let _ = std::fs::remove_file(&aside);
        let help = "nothing was changed; `pleach calibrate` begins again";
        let stopped = || {
            Failure::machine(
                "pleach::calibrate::stopped",
                "stopped on request before the end",
            )
            .help(help)
        };
        let failure = ending.failure(help).unwrap_or_else(stopped);
        return Err(Failure {
            exit: Exit::Machine,
            ..failure
        });
    }
    keep(screen, &aside, &target)
}

fn worker_arguments(out: &Path, gpu: bool) -> Vec<OsString> {
    let words = vec!["calibrate".into(), "--out".into(), out.into()];
    words
        .into_iter()
        .chain(gpu.then(|| "--gpu".into()))
        .collect()
}

/// Judges what was measured and puts it in its place.
fn keep(screen: &Screen, aside: &Path, target: &Path) -> Outcome<Exit> {
    let measured = read_table(aside)?;
    let table = match chip(&measured) {
        Some(chip) => {
            screen.note(&format!("its links and peaks are those of `{}`", chip.name));
            completed(measured, chip)
        }
        None => measured,
    };
    let text = toml::to_string(&table).expect("a table is TOML");
    std::fs::write(aside, text).map_err(|error| Failure::writing(aside, &error))?;
    std::fs::rename(aside, target).map_err(|error| Failure::writing(target, &error))?;
    if screen.json {
        screen.data_json(&json!({"table": target.to_string_lossy(), "hardware": table}));
        return Ok(Exit::Fine);
    }
    for gemm in &table.gemm {
        screen.data(
            &format!(
                "products, {:?}: {:.1} GFLOP/s",
                gemm.dtype,
                gemm.rate.value / 1e9
            )
            .to_lowercase(),
        );
    }
    screen.data(&format!(
        "memory: {}/s",
        figures::bytes(table.memory.bandwidth.value as u64)
    ));
    screen.data(&format!("table: {}", target.display()));
    Ok(Exit::Fine)
}

/// The shipped table of the chip that was measured.
fn chip(measured: &Hardware) -> Option<Hardware> {
    let (model, gibibytes) = (&measured.name, measured.memory.capacity.value / GIB);
    let is = |chip: &str, most: f64| model.contains(chip) && gibibytes <= most;
    let shipped = [
        ("v100", 17.0, "v100_16g"),
        ("v100", 33.0, "v100_32g"),
        ("a100", 41.0, "a100_40g"),
        ("a100", 81.0, "a100_80g"),
        ("h100", 81.0, "h100_80g"),
    ];
    let (.., name) = shipped
        .into_iter()
        .find(|(chip, most, _)| is(chip, *most))?;
    hardware::plain(name)
        .ok()
        .filter(|_| !measured.kind.is_cpu())
}

/// What was measured, with what one GPU cannot show of itself.
fn completed(measured: Hardware, chip: Hardware) -> Hardware {
    let peak = |gemm: Gemm| {
        let own = chip.gemm.iter().find(|own| own.dtype == gemm.dtype);
        Gemm {
            peak: own.and_then(|own| own.peak.clone()),
            ..gemm
        }
    };
    let gemm = measured.gemm.into_iter().map(peak).collect();
    Hardware {
        gemm,
        overhead: Overhead {
            communication: chip.overhead.communication,
            ..measured.overhead
        },
        links: chip.links,
        collective: chip.collective,
        transfer: chip.transfer,
        ..measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a worker writes of one GPU, with the figures of another.
    fn alone(name: &str, capacity: f64) -> Hardware {
        let mut table = hardware::plain("a100_80g").unwrap();
        table.name = name.to_owned();
        table.memory.capacity.value = capacity * GIB;
        table.gemm.iter_mut().for_each(|gemm| gemm.peak = None);
        (table.links, table.collective) = (None, Vec::new());
        table
    }

    #[test]
    fn a_chip_that_is_known_gets_its_links_and_peaks_and_keeps_its_rates() {
        let measured = alone("nvidia_h100_80gb_hbm3", 79.6);
        let shipped = chip(&measured).unwrap();
        assert_eq!(shipped.name, "h100_80g");
        let table = completed(measured.clone(), shipped.clone());
        assert_eq!(
            (&table.links, &table.collective),
            (&shipped.links, &shipped.collective)
        );
        let peak = |table: &Hardware| table.gemm[0].peak.as_ref().map(|peak| peak.value);
        assert!(peak(&table).is_some() && peak(&table) == peak(&shipped));
        assert_eq!(table.gemm[0].rate, measured.gemm[0].rate);
        assert_eq!(table.memory, measured.memory);
        let again = hardware::parse(&toml::to_string(&table).unwrap()).unwrap();
        assert_eq!(again, table);
    }

    #[test]
    fn a_chip_is_told_by_its_model_and_its_memory() {
        let name = |model: &str, gibibytes| chip(&alone(model, gibibytes)).map(|chip| chip.name);
        assert_eq!(
            name("nvidia_a100_sxm4_40gb", 39.4).as_deref(),
            Some("a100_40g")
        );
        assert_eq!(
            name("nvidia_a100_sxm4_80gb", 79.2).as_deref(),
            Some("a100_80g")
        );
        assert_eq!(
            name("tesla_v100_sxm2_16gb", 15.8).as_deref(),
            Some("v100_16g")
        );
        assert_eq!(name("nvidia_h200", 139.8), None);
        assert_eq!(name("nvidia_h100_nvl", 93.6), None);
    }
}
