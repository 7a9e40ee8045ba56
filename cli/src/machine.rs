//! This machine: what it has, and the table of what it can do.
//!
//! In come `/proc` and the control group's limits, out come [`Machine`] and the [`Hardware`] of the cluster device
//! `this_machine`: measured by `pleach calibrate` and kept in the user's cache for each kind of machine, or a cautious table
//! that is compiled in and says of itself that it was not measured here.

use std::io::Error;
use std::path::{Path, PathBuf};

use pleach_dsl::experiment::Cluster;
use pleach_plan::hardware::Hardware;
use pleach_planner::hardware;

use crate::failure::{Failure, Outcome};
use crate::shell;

/// The device whose table is this machine's own.
pub const THIS_MACHINE: &str = "this_machine";

/// What stands before a table of the spec's own, in a cluster's `device`.
pub const OWN_TABLE: &str = "file:";

/// What a machine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Bytes of memory that this process may use: the machine's, or less by its control group.
    pub memory: u64,
    /// GPUs that the driver lists; none where it does not say.
    pub gpus: Option<u32>,
}

/// Where the driver of GPUs tells of itself.
const DRIVER: &str = "/proc/driver/nvidia";

/// Where a table came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The figures.
    pub hardware: Hardware,
    /// The measured table's file; none where the figures are assumed.
    pub file: Option<PathBuf>,
}

impl Machine {
    /// Looks at this machine.
    pub fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let total = field(&read("/proc/meminfo"), "MemTotal")
            .and_then(kibibytes)
            .unwrap_or(0);
        let limit = read("/sys/fs/cgroup/memory.max")
            .trim()
            .parse::<u64>()
            .unwrap_or(u64::MAX);
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name")
                .unwrap_or(std::env::consts::ARCH)
                .to_owned(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory: total.min(limit),
            gpus: std::fs::read_dir(Path::new(DRIVER).join("gpus"))
                .ok()
                .map(|listed| u32::try_from(listed.count()).unwrap_or(u32::MAX)),
        }
    }

    /// Whether there is a driver for GPUs.
    pub fn has_driver() -> bool {
        Path::new(DRIVER).join("version").exists()
    }

    /// Whether somebody says what to compute on, whatever a plan was made for.
    pub fn is_told_its_device() -> bool {
        std::env::var_os("PLEACH_DEVICE").is_some_and(|value| !value.is_empty())
    }

    /// A name for machines that are alike in what a measurement depends on.
    ///
    /// Memory counts in whole GiB, because the kernel's own share of it changes between boots.
    pub fn key(&self) -> String {
        let text = format!("{}\n{}\n{}", self.processor, self.cores, self.memory >> 30);
        blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
    }

    /// Where the measured table of this machine is kept.
    pub fn table_path(&self) -> Outcome<PathBuf> {
        Ok(cache_folder()?
            .join("machines")
            .join(format!("{}.toml", self.key())))
    }

    /// The table to plan with: measured, or else assumed with this machine's own cores and memory.
    pub fn table(&self) -> Outcome<Table> {
        if let Ok(path) = self.table_path()
            && path.is_file()
        {
            return Ok(Table {
                hardware: read_table(&path)?,
                file: Some(path),
            });
        }
        let mut hardware =
            hardware::find(THIS_MACHINE, None).expect("the compiled-in table is a table");
        if let Some(cores) = &mut hardware.cores {
            cores.count = u32::try_from(self.cores).unwrap_or(u32::MAX);
        }
        if self.memory > 0 {
            hardware.memory.capacity.value = self.memory as f64;
            hardware.memory.capacity.source = "asked of this machine".to_owned();
        }
        Ok(Table {
            hardware,
            file: None,
        })
    }
}

/// The user's folder for what can be made again.
pub fn cache_folder() -> Outcome<PathBuf> {
    dirs::cache_dir()
        .map(|cache| cache.join("pleach"))
        .ok_or_else(|| {
            Failure::machine("pleach::machine::cache", "this user has no cache folder")
                .help("set HOME or XDG_CACHE_HOME")
        })
}

/// Reads a measured table.
pub fn read_table(path: &Path) -> Outcome<Hardware> {
    let unread = |error: Error| Failure::reading(path, &error);
    let there = std::fs::metadata(path).map_err(unread)?;
    if !there.is_file() && !there.is_dir() {
        return Err(unread(Error::other("a pipe or a device is no table")));
    }
    let text = std::fs::read_to_string(path).map_err(unread)?;
    let is_own = Machine::here().table_path().is_ok_and(|own| own == path);
    let help = match is_own {
        true => "`pleach calibrate` measures again and writes a new one".to_owned(),
        false => format!(
            "`{}` measures this machine and writes a new one, with `--gpu` one of its GPUs",
            shell::line(
                &["pleach", "calibrate", "--out", &path.display().to_string()],
                &[]
            )
        ),
    };
    hardware::parse(&text).map_err(|error| {
        Failure::machine(
            "pleach::machine::table",
            format!(
                "`{}` cannot be used as the table of a device",
                path.display()
            ),
        )
        .detail(error.to_string())
        .help(help)
    })
}

/// Refuses several ranks or nodes where nobody says what messages between them take: neither the table nor, for GPUs, the spec.
pub fn joined(table: &Hardware, cluster: &Cluster) -> Outcome<()> {
    if table.kind.is_cpu() && cluster.gpus_per_node > 1 && table.collective.is_empty() {
        let message = format!(
            "`{}` was measured with one rank: it says nothing of messages between {} ranks",
            cluster.device, cluster.gpus_per_node
        );
        let help = "`pleach calibrate --ranks 2 --out …` measures them too";
        return Err(Failure::wish("pleach::cluster::links", message).help(help));
    }
    if table.kind.is_cpu() || table.links.is_some() {
        return Ok(());
    }
    let inside = cluster.gpus_per_node > 1 && table.collective.is_empty();
    let unsaid = [
        ("intra_node", inside && cluster.intra_node.is_none()),
        (
            "inter_node",
            cluster.nodes > 1 && cluster.inter_node.is_none(),
        ),
    ];
    let missing: Vec<String> = unsaid
        .into_iter()
        .filter(|(_, lacks)| *lacks)
        .map(|(field, _)| format!("`{field}`"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!(
        "`{}` was measured on one GPU, and nothing says what joins {} of them",
        cluster.device,
        cluster.gpus()
    );
    Err(
        Failure::wish("pleach::cluster::links", message).help(format!(
            "give the data sheet's {} in `cluster`, as presets/clusters.pleach does",
            missing.join(" and ")
        )),
    )
}

/// The value of `name : value` or `name: value` in a `/proc` file.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let line = text
        .lines()
        .find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

fn kibibytes(text: &str) -> Option<u64> {
    text.split_whitespace()
        .next()?
        .parse::<u64>()
        .ok()
        .map(|count| count * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2.5 GHz\nMemTotal:       1024 kB\n";
        assert_eq!(field(text, "model name"), Some("Some CPU @ 2.5 GHz"));
        assert_eq!(field(text, "MemTotal").and_then(kibibytes), Some(1 << 20));
        assert_eq!(field(text, "Mem"), None);
    }

    #[test]
    fn unlike_machines_have_unlike_keys() {
        let one = Machine {
            processor: "a".into(),
            cores: 2,
            gpus: None,
            memory: 8 << 30,
        };
        let slightly_less = Machine {
            memory: (8 << 30) + 4096,
            ..one.clone()
        };
        let other = Machine {
            cores: 4,
            ..one.clone()
        };
        assert_eq!(one.key(), slightly_less.key());
        assert_ne!(one.key(), other.key());
    }

    #[test]
    fn the_assumed_table_says_that_it_was_not_measured() {
        let hardware = hardware::find(THIS_MACHINE, None).unwrap();
        assert!(hardware.about.contains("not measured"));
    }

    #[test]
    fn several_gpus_need_links_that_somebody_knows() {
        let mut table = hardware::find("a100_40g", None).unwrap();
        let mut cluster = Cluster::plain("file:ours.toml", 2, 8);
        assert!(joined(&table, &cluster).is_ok());
        (table.links, table.collective) = (None, Vec::new());
        let refused = joined(&table, &cluster).unwrap_err().diagnostics.remove(0);
        let help = format!("{refused:?}");
        assert!(help.contains("`intra_node` and `inter_node`"), "{help}");
        cluster.nodes = 1;
        cluster.intra_node = Some(300e9);
        assert!(joined(&table, &cluster).is_ok());
    }
}
