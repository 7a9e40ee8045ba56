//! Published runs as they stand in the files: one row, its columns by name, under one set of names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// One published run: columns by name.
#[derive(Clone, Debug, Default)]
pub struct Row(BTreeMap<String, String>);

/// Columns of the files on vTrain under the names of the others.
const NAMES: [(&str, &str); 9] = [
    ("layers", "n_layers"),
    ("heads", "n_heads"),
    ("kv_heads", "n_kv_heads"),
    ("ffn", "ffn_hidden"),
    ("seq", "seq_len"),
    ("gbs", "global_batch"),
    ("mbs", "micro_batch"),
    ("step_s", "step_time_s"),
    ("node_size", "gpus_per_node"),
];

/// Columns of a configuration.
const CHOICE: [&str; 8] = [
    "group",
    "model",
    "hidden",
    "n_layers",
    "seq_len",
    "global_batch",
    "n_gpus",
    "gpu",
];

/// The file of all of nanotron's runs, of which the first file holds a sample.
const EXTRA: &str = "nanotron_all.csv";

/// The files with the group that their rows are of, where they do not say it themselves.
const FILES: [(&str, Option<&str>); 5] = [
    ("throughput.csv", None),
    ("oom.csv", None),
    (EXTRA, None),
    ("vtrain_multi.csv", Some("vtrain-multi")),
    ("vtrain_single.csv", Some("vtrain-single")),
];

impl Row {
    /// A column's text; empty where there is none.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A column as a whole number.
    pub fn count(&self, name: &str) -> Option<u64> {
        self.text(name).parse().ok()
    }

    /// A column as a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.text(name).parse().ok()
    }

    /// The row's own name.
    pub fn id(&self) -> &str {
        self.text("id")
    }

    /// Whose row it is.
    pub fn group(&self) -> &str {
        self.text("group")
    }

    /// What makes a configuration: the same model, machines and batch; rows that are alike in it are alternatives of one another.
    pub fn configuration(&self) -> String {
        CHOICE.map(|column| self.text(column)).join(" ")
    }

    /// Whether it is only in the file of all of nanotron's runs.
    pub fn is_extra(&self) -> bool {
        self.text("extra") == "y"
    }

    /// Whether the run ended for want of memory.
    pub fn is_out_of_memory(&self) -> bool {
        self.text("status") == "oom"
    }

    /// Whether the run trained; of some it is only known that they did not.
    pub fn is_measured(&self) -> bool {
        self.text("status") == "ok"
    }

    /// Seconds of a step as measured: published, or following from published hardware TFLOP/s, counted as
    /// `96 B s l h² (1 + s / 6h + V / 16lh)` (arXiv 2104.04473).
    pub fn step(&self) -> Option<f64> {
        self.number("step_time_s").or_else(|| {
            let [h, l, s] = ["hidden", "n_layers", "seq_len"].map(|name| self.number(name));
            let (h, l, s) = (h?, l?, s?);
            let (batch, vocab) = (self.number("global_batch")?, self.number("vocab")?);
            let flops =
                96.0 * batch * s * l * h * h * (1.0 + s / (6.0 * h) + vocab / (16.0 * l * h));
            Some(flops / (self.number("hw_tflops_per_gpu")? * 1e12 * self.number("n_gpus")?))
        })
    }

    /// GiB at the peak, as published.
    pub fn peak(&self) -> Option<f64> {
        self.number("peak_mem_gib_per_gpu")
    }

    /// Whether its peak is what PyTorch's allocator counted; else what the device showed.
    pub fn counts_by_allocator(&self) -> bool {
        ["nanotron", "torchtitan", "mbridge-skills"].contains(&self.group())
    }

    /// The same columns under the names of the larger file.
    fn renamed(mut self, group: &str) -> Row {
        for (from, to) in NAMES {
            let text = self.text(from).to_owned();
            self.0.insert(to.to_owned(), text);
        }
        let sequence = if self.text("sp") == "1" { "y" } else { "n" };
        let zero = if self.text("zero") == "1" {
            "1"
        } else {
            "none"
        };
        // The network is given for each GPU, and a node has eight.
        let network = self
            .number("inter_GBps_per_gpu")
            .map_or(String::new(), |gigabytes| {
                (gigabytes * 8.0 * 8.0).to_string()
            });
        let gpu = if self.text("gpu").ends_with("40") {
            "A100-40GB"
        } else {
            "A100-80GB"
        };
        let fixed = [
            ("group", group),
            ("zero_or_fsdp", zero),
            ("gpu", gpu),
            ("gated_mlp", "n"),
            ("cp", "1"),
            ("sp", sequence),
            ("internode_gbps_per_node", &network),
            ("status", "ok"),
        ];
        for (name, value) in fixed {
            self.0.insert(name.to_owned(), value.to_owned());
        }
        self
    }
}

/// All rows of a folder.
///
/// # Errors
/// A file is not there or does not parse.
pub fn read(folder: &Path) -> Result<Vec<Row>, csv::Error> {
    let mut rows = Vec::new();
    let mut known = BTreeSet::new();
    for (file, group) in FILES {
        let mut reader = csv::Reader::from_path(folder.join(file))?;
        for row in reader.deserialize() {
            let row = Row(row?);
            // The file of all of nanotron's runs repeats those of the large one.
            if !known.insert(row.id().to_owned()) {
                continue;
            }
            let mut row = match group {
                Some(group) => row.renamed(group),
                None => row,
            };
            if file == EXTRA {
                row.0.insert("extra".to_owned(), "y".to_owned());
            }
            rows.push(row);
        }
    }
    Ok(rows)
}
