//! Compares predictions with published runs and writes `hardware/bands.toml`.
//!
//! `cargo run --release -p pleach-planner --example bands -- ../shared/data/published > hardware/bands.toml`
//! reads `throughput.csv` and `vtrain_multi.csv` there, predicts every row that the planner can express (GPT-like, without
//! interleaving, context parallelism or a gated MLP, recompute full or none, ZeRO 0 or 1, on A100 or V100, with a known network), and prints the quantiles of
//! measured over predicted. What each row gave goes to stderr. Rows of GPT-NeoX-20B are shown and not counted: it is the run that the
//! predictions are shown against.
// A command-line tool: it reads files, which the library never does.
#![allow(clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};

use pleach_dsl::experiment::{
    Checkpoints, Cluster, Dataset, Evaluate, Experiment, Init, Log, LossScale, Model, Positions,
    Precision, Residual, Train, Wishes,
};
use pleach_plan::Recompute;
use pleach_planner::graph::shape::Shape;
use pleach_planner::hardware::{self, bands::Band, bands::Shipped};
use pleach_planner::placement::Placement;
use pleach_planner::search::evaluate;

/// One published run.
type Row = BTreeMap<String, String>;

/// What a row gave: measured over predicted.
struct Compared {
    id: String,
    group: String,
    step: f64,
    /// The same with a table from the device's data sheet.
    sheet: f64,
    memory: Option<f64>,
}

fn main() {
    let folder = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "../shared/data/published".to_owned());
    let mut compared = Vec::new();
    for (file, alias) in [("throughput.csv", false), ("vtrain_multi.csv", true)] {
        let path = format!("{folder}/{file}");
        let Ok(text) = std::fs::read_to_string(&path) else {
            eprintln!("{path} is not there; bands need it");
            std::process::exit(1);
        };
        for row in rows(&text) {
            compared.extend(compare(&if alias { vtrain(&row) } else { row }));
        }
    }
    report(&compared);
    let counted: Vec<&Compared> = compared
        .iter()
        .filter(|one| one.group != "gpt-neox")
        .collect();
    let steps = |megatron: bool| {
        let own = counted
            .iter()
            .filter(|one| on_megatron(&one.group) == megatron);
        let groups: BTreeSet<&str> = own.clone().map(|one| one.group.as_str()).collect();
        band(own.map(|one| one.step).collect(), &source(groups))
    };
    let remembered = counted.iter().filter(|one| one.memory.is_some());
    let groups = remembered.clone().map(|one| one.group.as_str()).collect();
    let bands = Shipped {
        neox: steps(false),
        megatron: steps(true),
        sheet: band(
            counted.iter().map(|one| one.sheet).collect(),
            &source(counted.iter().map(|one| one.group.as_str()).collect()),
        ),
        memory: band(
            remembered.filter_map(|one| one.memory).collect(),
            &source(groups),
        ),
    };
    println!(
        "# Written by the example `bands` of pleach-planner; see its first lines for the command."
    );
    print!(
        "{}",
        toml::to_string(&bands).expect("bands are plain tables")
    );
}

fn source(groups: BTreeSet<&str>) -> String {
    let groups: Vec<&str> = groups.into_iter().collect();
    format!(
        "measured over predicted for published runs: {}",
        groups.join(", ")
    )
}

/// Runs on Megatron-LM itself are priced with its profile, those on DeepSpeed's pipeline with NeoX's.
fn on_megatron(group: &str) -> bool {
    matches!(
        group,
        "narayanan-2021" | "korthikanti-2022" | "vtrain-multi"
    )
}

fn band(mut ratios: Vec<f64>, source: &str) -> Band {
    ratios.sort_by(f64::total_cmp);
    let quantile = |part: f64| {
        let place = part * (ratios.len().max(1) - 1) as f64;
        let low = place as usize;
        let high = (low + 1).min(ratios.len() - 1);
        let value = ratios[low] + (ratios[high] - ratios[low]) * (place - low as f64);
        (value * 1e4).round() / 1e4
    };
    let runs = u32::try_from(ratios.len()).unwrap_or(u32::MAX);
    Band {
        low: quantile(0.05),
        median: quantile(0.5),
        high: quantile(0.95),
        runs,
        source: source.to_owned(),
    }
}

fn report(compared: &[Compared]) {
    let mut groups: BTreeMap<&str, Vec<&Compared>> = BTreeMap::new();
    for one in compared {
        let memory = one
            .memory
            .map_or(String::new(), |ratio| format!("  memory {ratio:.3}"));
        eprintln!(
            "{:<22} {:<18} step {:.3}{memory}",
            one.id, one.group, one.step
        );
        groups.entry(&one.group).or_default().push(one);
    }
    for (group, rows) in groups {
        let band = band(rows.iter().map(|one| one.step).collect(), "");
        let error: f64 = rows
            .iter()
            .map(|one| (1.0 / one.step - 1.0).abs())
            .sum::<f64>()
            / rows.len() as f64;
        eprintln!(
            "{group}: {} rows, median {:.3}, mean error of the prediction {:.1} %",
            rows.len(),
            band.median,
            error * 100.0
        );
    }
}

/// Renames the columns of the other file.
fn vtrain(row: &Row) -> Row {
    let mut out = row.clone();
    let names = [
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
    for (from, to) in names {
        out.insert(to.to_owned(), row[from].clone());
    }
    let fixed = [
        ("group", "vtrain-multi"),
        ("zero_or_fsdp", "none"),
        ("gpu", "A100-80GB"),
        ("gated_mlp", "n"),
        ("cp", "1"),
        ("sp", "n"),
    ];
    for (name, value) in fixed {
        out.insert(name.to_owned(), value.to_owned());
    }
    let gigabytes: f64 = row["inter_GBps_per_gpu"].parse().unwrap_or(25.0);
    out.insert(
        "internode_gbps_per_node".to_owned(),
        (gigabytes * 8.0 * 8.0).to_string(),
    );
    out
}

fn text<'r>(row: &'r Row, name: &str) -> &'r str {
    row.get(name).map_or("", String::as_str)
}

fn number(row: &Row, name: &str) -> Option<u64> {
    text(row, name).parse().ok()
}

/// The placement of a row, where the planner can express it.
fn placement(row: &Row) -> Option<Placement> {
    let text = |name: &str| text(row, name);
    let plain =
        text("gated_mlp") == "n" && matches!(text("vpp"), "1") && matches!(text("cp"), "1" | "");
    let dense = text("n_heads") == text("n_kv_heads") && matches!(text("experts"), "" | "0");
    let known = on_megatron(text("group"))
        || matches!(text("group"), "gpt-neox" | "bloom-grid" | "bigscience-v100");
    if !(plain && dense && known) {
        return None;
    }
    let ranks = |name: &str| u32::try_from(number(row, name)?).ok();
    Some(Placement {
        tp: ranks("tp")?,
        pp: ranks("pp")?,
        dp: ranks("dp")?,
        zero: match text("zero_or_fsdp") {
            "none" | "0" => 0,
            "1" => 1,
            _ => return None,
        },
        sequence_parallel: text("sp") == "y",
        micro_batch: number(row, "micro_batch")?,
        recompute: match text("recompute") {
            "full" => Recompute::Full,
            "none" => Recompute::None,
            _ => return None,
        },
        engine: if on_megatron(text("group")) {
            "megatron"
        } else {
            "neox"
        }
        .to_owned(),
    })
}

/// Predicts one row, where the planner can express it.
fn compare(row: &Row) -> Option<Compared> {
    let placement = placement(row)?;
    let measured = text(row, "step_time_s")
        .parse()
        .ok()
        .or_else(|| inverted(row))?;
    let experiment = experiment(row, &placement)?;
    let hardware = hardware::find(&experiment.cluster.device, None).ok()?;
    let found = match evaluate::evaluate(&experiment, &hardware, &placement) {
        Ok(found) => found,
        Err(why) => {
            eprintln!("{}: {why}", text(row, "id"));
            return None;
        }
    };
    let step = found.simulation.step as f64 / 1e12;
    let sheet =
        hardware::sheet::of(&by_sheet(&experiment.cluster), experiment.train.precision).ok()?;
    let coarse = evaluate::evaluate(&experiment, &sheet, &placement).ok()?;
    let coarse = coarse.simulation.step as f64 / 1e12;
    let mean = found.simulation.mean();
    let [compute, bubble, communication] =
        [mean.compute, mean.bubble, mean.communication].map(|ps| ps as f64 / 1e10 / step);
    let peak = found.peak() as f64 / f64::from(1 << 30);
    eprintln!(
        "{} predicted {step:.2} s, measured {measured:.2} s, {compute:.0} % compute, {bubble:.0} % bubble, {communication:.0} % communication, peak {peak:.1} GiB",
        text(row, "id"),
    );
    let memory = text(row, "peak_mem_gib_per_gpu")
        .parse::<f64>()
        .ok()
        .map(|gib| gib / peak);
    let [id, group] = ["id", "group"].map(|name| text(row, name).to_owned());
    Some(Compared {
        id,
        group,
        step: measured / step,
        sheet: measured / coarse,
        memory,
    })
}

/// Seconds of a step from published hardware TFLOP/s, counted as `96 B s l h² (1 + s / 6h + V / 16lh)`.
fn inverted(row: &Row) -> Option<f64> {
    let number = |name: &str| row.get(name)?.parse::<f64>().ok();
    let (h, l, s) = (number("hidden")?, number("n_layers")?, number("seq_len")?);
    let (batch, vocab) = (number("global_batch")?, number("vocab")?);
    let flops = 96.0 * batch * s * l * h * h * (1.0 + s / (6.0 * h) + vocab / (16.0 * l * h));
    Some(flops / (number("hw_tflops_per_gpu")? * 1e12 * number("n_gpus")?))
}

fn model(row: &Row, placement: &Placement) -> Option<Model> {
    let number = |name: &str| number(row, name);
    let (heads, hidden) = (number("n_heads")?, number("hidden")?);
    let rows = 128 * u64::from(placement.tp);
    let neox = text(row, "group") == "gpt-neox";
    Some(
        Shape {
            layers: number("n_layers")?,
            hidden,
            heads,
            head_dim: hidden / heads,
            context: number("seq_len")?,
            vocab: number("vocab")?.div_ceil(rows) * rows,
            positions: if neox {
                Positions::Rotary {
                    fraction: 0.25,
                    base: 1e4,
                    scale: 1.0,
                }
            } else {
                Positions::None
            },
            residual: if neox {
                Residual::ParallelSeparate
            } else {
                Residual::Sequential
            },
            eps: 1e-5,
            width: number("ffn_hidden")?,
            init: Init {
                weights: 0.02,
                output: 0.02,
            },
        }
        .model(),
    )
}

/// The machines of a row, where their network is known.
fn cluster(row: &Row) -> Option<Cluster> {
    let device = match text(row, "gpu") {
        name if name.starts_with("A100-40") => "a100_40g",
        name if name.starts_with("A100-80") => "a100_80g",
        "V100-32GB" => "v100_32g",
        _ => return None,
    };
    let (gpus, per_node) = (number(row, "n_gpus")?, number(row, "gpus_per_node")?);
    let network =
        text(row, "internode_gbps_per_node")
            .parse::<f64>()
            .ok()
            .or(match text(row, "group") {
                // Four Omni-Path links of 100 Gbit/s on each node, says the runs' log.
                "bloom-grid" => Some(400.0),
                // Four HDR ports on each server (arXiv 2204.06745, section 2.3).
                "gpt-neox" => Some(800.0),
                _ => None,
            });
    if network.is_none() && gpus > per_node {
        return None;
    }
    Some(Cluster {
        name: device.to_owned(),
        nodes: gpus.div_ceil(per_node),
        gpus_per_node: per_node.min(gpus),
        device: device.to_owned(),
        memory: None,
        peak_flops: None,
        intra_node: None,
        inter_node: network.map(|gigabits| gigabits * 1e9 / 8.0),
        bandwidth: None,
        peak_fp32: None,
        price: None,
    })
}

/// The same machines with the figures of their data sheets.
fn by_sheet(cluster: &Cluster) -> Cluster {
    let (memory, peak, bandwidth, links) = match cluster.device.as_str() {
        "a100_40g" => (40, 312e12, 1.555e12, 300e9),
        "a100_80g" => (80, 312e12, 2.039e12, 300e9),
        _ => (32, 125e12, 0.9e12, 150e9),
    };
    Cluster {
        memory: Some(memory << 30),
        peak_flops: Some(peak),
        bandwidth: Some(bandwidth),
        intra_node: Some(links),
        ..cluster.clone()
    }
}

fn experiment(row: &Row, placement: &Placement) -> Option<Experiment> {
    let sixteen = if text(row, "precision").starts_with("bf16") {
        Precision::Bf16
    } else {
        Precision::Fp16(LossScale::default())
    };
    Some(Experiment {
        name: text(row, "id").to_owned(),
        seed: 0,
        model: model(row, placement)?,
        data: Dataset::plain("none", "", "bytes"),
        train: Train::plain(1000, number(row, "global_batch")?, 1e-4, sixteen),
        checkpoints: Checkpoints::at_the_end(),
        log: Log::default(),
        evaluate: Evaluate::default(),
        cluster: cluster(row)?,
        plan: Wishes {
            engine: "neox".to_owned(),
            ..Wishes::open()
        },
        hash: String::new(),
        origins: BTreeMap::new(),
    })
}

/// Rows of a CSV text by column; fields may be quoted.
fn rows(text: &str) -> Vec<Row> {
    let mut lines = text.lines().map(fields);
    let header = lines.next().unwrap_or_default();
    lines
        .map(|values| header.iter().cloned().zip(values).collect())
        .collect()
}

fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for character in line.chars() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields
                .last_mut()
                .expect("there is always a field")
                .push(other),
        }
    }
    fields
}
