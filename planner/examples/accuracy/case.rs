//! A published run as an experiment and a placement, and what the planner predicts for it.
//!
//! Every row is priced with the engine it ran on. What cannot be said of a row for want of an operation, a placement or a figure is the reason why it is not
//! predicted; no row is left out without one.

use std::collections::BTreeMap;

use pleach_dsl::experiment::{
    Activation, Attention, Checkpoints, Cluster, Dataset, Dense, Embedding, Evaluate, Experiment,
    Log, LossScale, Model, Norm, Positions, Precision, Residual, Train, Wishes,
};
use pleach_plan::Recompute;
use pleach_planner::cost::Costs;
use pleach_planner::graph::shape::Shape;
use pleach_planner::hardware::{self, Hardware, fitted::Fitted};
use pleach_planner::placement::Placement;
use pleach_planner::search::evaluate;
use pleach_planner::simulate::{self, Detail, RoleTime};
use pleach_planner::{memory, program};

use super::rows::Row;

/// A row that can be planned.
pub struct Case {
    /// What was trained.
    pub experiment: Experiment,
    /// How it was placed.
    pub placement: Placement,
}

/// What was predicted for a row with one table.
#[derive(Clone, Copy, Debug)]
pub struct Predicted {
    /// Seconds of a step.
    pub step: f64,
    /// What fills it, as the mean of the stages.
    pub shares: Shares,
    /// Bytes of the fullest rank, as the device shows them.
    pub peak: u64,
    /// Bytes of the fullest rank, as PyTorch's allocator counts them: without the context and the communication library.
    pub held: u64,
    /// Bytes of activations at that peak.
    pub activations: u64,
    /// Bytes of a device.
    pub capacity: u64,
}

/// What fills a step.
#[derive(Clone, Copy, Debug)]
pub struct Shares(RoleTime);

impl std::fmt::Display for Shares {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            ("compute", self.0.compute),
            ("communication", self.0.communication),
            ("bubble", self.0.bubble),
            ("optimizer", self.0.optimizer),
        ];
        for (name, picoseconds) in parts {
            write!(out, " {name} {:.3}", picoseconds as f64 / 1e12)?;
        }
        Ok(())
    }
}

impl Predicted {
    /// GiB at the peak by the definition that a row's publisher uses.
    pub fn gibibytes(&self, row: &Row) -> f64 {
        let bytes = if row.counts_by_allocator() {
            self.held
        } else {
            self.peak
        };
        bytes as f64 / f64::from(1 << 30)
    }
}

impl Case {
    /// Reads a row.
    ///
    /// # Errors
    /// Why it cannot be predicted.
    pub fn of(row: &Row) -> Result<Self, String> {
        if let Some(doubt) = DOUBTS
            .iter()
            .find(|doubt| row.text("notes").contains(**doubt))
        {
            return Err(format!(
                "its notes doubt it: {}",
                doubt.trim_end_matches(':')
            ));
        }
        let engine = engine(row)?;
        let placement = placement(row, engine)?;
        let experiment = experiment(row, &placement)?;
        Ok(Case {
            experiment,
            placement,
        })
    }

    /// The device's name.
    pub fn device(&self) -> &str {
        &self.experiment.cluster.device
    }

    /// The table of its device, with the limits under which it ran.
    ///
    /// # Errors
    /// There is none.
    pub fn plain(&self) -> Result<Hardware, String> {
        let plain = hardware::plain(self.device()).map_err(|error| error.to_string())?;
        Ok(match self.experiment.cluster.bandwidth {
            Some(_) => limited().applied(plain),
            None => plain,
        })
    }

    /// The table of the device's data sheet.
    ///
    /// # Errors
    /// Figures are missing.
    pub fn sheet(&self) -> Result<Hardware, String> {
        let cluster = by_sheet(&self.experiment.cluster);
        hardware::sheet::of(&cluster, self.experiment.train.precision)
            .map_err(|error| error.to_string())
    }

    /// Predicts the row with each of some tables; its plan is made once.
    ///
    /// # Errors
    /// It has no plan.
    pub fn price(&self, tables: &[Hardware]) -> Result<Vec<Predicted>, String> {
        let text = |error: program::EmitError| error.to_string();
        let cut = program::cut(&self.experiment, &self.placement).map_err(text)?;
        let plan = program::emit_cut(&self.experiment, &self.placement, &cut).map_err(text)?;
        let one = |table: &Hardware| {
            let costs = Costs::new(&plan, table, &self.experiment.cluster);
            let memory = memory::stages(&costs);
            let simulated =
                simulate::run(&costs, Detail::Calls).map_err(|stuck| stuck.to_string())?;
            let fullest = memory.iter().max_by_key(|stage| stage.peak);
            let (peak, activations) =
                fullest.map_or((0, 0), |stage| (stage.peak, stage.activations));
            let beside = table.overhead.context.value + table.overhead.communication.value;
            Ok(Predicted {
                step: simulated.step as f64 / 1e12,
                shares: Shares(simulated.mean()),
                peak,
                activations,
                held: peak.saturating_sub(beside as u64),
                capacity: evaluate::capacity(&self.experiment, table),
            })
        };
        tables.iter().map(one).collect()
    }
}

/// What the notes of a row say where those who collected it doubt it.
const DOUBTS: [&str; 3] = ["SUSPECT:", "WARNING", "same layout listed more than once"];

/// The engine that a row ran on, where there is a profile of it.
fn engine(row: &Row) -> Result<&'static str, String> {
    let system = row.text("system");
    let fully_sharded = system.starts_with("DeepSpeed ZeRO-3");
    match row.group() {
        _ if fully_sharded => Err("no profile of DeepSpeed ZeRO-3".to_owned()),
        "korthikanti-2022" => Ok("megatron_2022"),
        // Without ZeRO, Megatron-DeepSpeed leaves the pipeline to Megatron's own code.
        "narayanan-2021" | "vtrain-multi" | "vtrain-single" => Ok("megatron"),
        "gpt-neox" => Ok("neox"),
        // From the trials of this name on embeddings counted as layers, says the runs' log.
        "bloom-grid" if row.id() == "bloom-main" || row.text("notes").contains("Rebalancing") => {
            Ok("megatron_deepspeed_embedding")
        }
        "bloom-grid" => Ok("megatron_deepspeed"),
        "bigscience-v100" | "oneflow-v100" if system.starts_with("Megatron-LM") => Ok("megatron"),
        "bigscience-v100" => Ok("megatron_deepspeed"),
        "aleph-alpha" => aleph(row.text("notes")),
        "nanotron" => Ok("nanotron"),
        "llm-foundry" if row.text("precision").contains("fp8") => {
            Err("products in 8 bits are not planned yet".to_owned())
        }
        "llm-foundry" => Ok(foundry(row)),
        "torchtitan" => titan(row),
        "zero-bubble" if system.contains("(1F1B") => Ok("megatron_2023"),
        "zero-bubble" => Err("zero-bubble schedules are not planned yet".to_owned()),
        "nemo-24.07" | "megatron-bridge" | "mbridge-skills" => core(row),
        _ => Err(format!("no profile of {}", short(system))),
    }
}

/// The kernels that a run of Aleph Alpha's had.
fn aleph(notes: &str) -> Result<&'static str, String> {
    let kernel = notes.strip_prefix("attention kernel: ").unwrap_or(notes);
    match kernel.split(';').next().unwrap_or(kernel) {
        "flash_attention2 + RMS kernel" => Ok("scaling"),
        "flash_attention2" => Ok("scaling_flash2"),
        "flash_attentionv1.0.8" => Ok("scaling_flash1"),
        "fused" => Ok("scaling_fused"),
        "torch" => Ok("scaling_torch"),
        other => Err(format!("no profile of the kernel {other}")),
    }
}

/// What a run of llm-foundry had: on 40 GB sums in 16 bits (their table's `MP Mode`); attention in Triton unless the sweep says otherwise, which it does for the
/// models of up to 7 billion weights on 128 GPUs and more (scripts/train/benchmarking/sweep.py and submit_benchmarks.py).
fn foundry(row: &Row) -> &'static str {
    let large_scale = row.text("notes").contains("Large Scale");
    let small = row
        .number("params_b")
        .is_some_and(|billions| billions < 10.0);
    match row.text("precision") {
        "bf16/PURE" => "fsdp_composer_pure",
        _ if large_scale && small => "fsdp_composer",
        _ => "fsdp_composer_triton",
    }
}

/// Runs of Megatron-Core in 16 bits.
fn core(row: &Row) -> Result<&'static str, String> {
    let precision = row.text("precision").to_lowercase();
    match precision.as_str() {
        "bf16" => Ok("megatron_core"),
        narrow if narrow.contains('4') => Err("products in 4 bits are not planned yet".to_owned()),
        _ => Err("products in 8 bits are not planned yet".to_owned()),
    }
}

/// What a run of torchtitan had.
fn titan(row: &Row) -> Result<&'static str, String> {
    let notes = row.text("notes");
    if row.text("precision") != "bf16" {
        return Err("products in 8 bits are not planned yet".to_owned());
    }
    if notes.contains("async TP") || notes.contains("AsyncTP") {
        return Err("products that overlap their own collectives are not planned yet".to_owned());
    }
    if notes.contains("AC: selective layer") {
        return Err("recomputing every second layer is not planned yet".to_owned());
    }
    Ok(if notes.contains("compile") {
        "fsdp_compiled"
    } else {
        "fsdp"
    })
}

/// The beginning of a system's name.
fn short(system: &str) -> &str {
    system.split([' ', '(']).next().unwrap_or(system)
}

/// The placement of a row, where the planner can express it.
fn placement(row: &Row, engine: &str) -> Result<Placement, String> {
    let lacks = |what: &str| Err(format!("not said: {what}"));
    let whole = row.count("pp") == Some(1) || row.text("system").ends_with("(1F1B)");
    if row.text("vpp").is_empty() && !whole {
        return lacks("chunks of a stage");
    }
    if row.text("vpp").starts_with("max") {
        return Err("chunks without a layer are not planned yet".to_owned());
    }
    if !matches!(row.text("cp"), "1" | "") {
        return Err("context parallelism is not planned yet".to_owned());
    }
    let ranks = |name: &str| {
        let count = row.count(name).and_then(|count| u32::try_from(count).ok());
        count.ok_or_else(|| format!("not said: {name}"))
    };
    let recompute = match row.text("recompute") {
        "full" => Recompute::Full,
        "selective" => Recompute::Selective,
        "none" => Recompute::None,
        "" => return lacks("recompute"),
        other => return Err(format!("recompute {other} is not planned yet")),
    };
    Ok(Placement {
        vpp: match row.text("vpp") {
            "" => 1,
            _ => ranks("vpp")?,
        },
        tp: ranks("tp")?,
        pp: ranks("pp")?,
        dp: ranks("dp")?,
        shards: ranks("dp")?,
        zero: match row.text("zero_or_fsdp") {
            "none" | "0" => 0,
            "1" => 1,
            "2" if engine.starts_with("fsdp") => 2,
            "3" if engine.starts_with("fsdp") => 3,
            // Alone there is nothing to shard.
            "" if row.count("dp") == Some(1) => 0,
            "" => return lacks("ZeRO"),
            other => return Err(format!("ZeRO {other} is not planned yet")),
        },
        // nanotron's benchmarks set REDUCE_SCATTER, its sequence parallelism (scripts/scaling_benchmarks.py).
        sequence_parallel: row.text("sp") == "y" || engine == "nanotron",
        micro_batch: u64::from(ranks("micro_batch")?),
        recompute,
        engine: engine.into(),
    })
}

fn experiment(row: &Row, placement: &Placement) -> Result<Experiment, String> {
    let sixteen = if row.text("precision").starts_with("bf16") {
        Precision::Bf16
    } else {
        Precision::Fp16(LossScale::default())
    };
    let batch = row.count("global_batch").ok_or("not said: the batch")?;
    Ok(Experiment {
        name: row.id().to_owned(),
        seed: 0,
        model: model(row, placement)?,
        data: Dataset::plain("none", "", "bytes"),
        train: Train::plain(1000, batch, 1e-4, sixteen),
        checkpoints: Checkpoints::at_the_end(),
        log: Log::default(),
        evaluate: Evaluate::default(),
        cluster: cluster(row)?,
        plan: Wishes {
            engine: placement.engine.to_string(),
            ..Wishes::open()
        },
        hash: String::new(),
        origins: BTreeMap::new(),
    })
}

fn model(row: &Row, placement: &Placement) -> Result<Model, String> {
    let count = |name: &str| row.count(name).ok_or_else(|| format!("not said: {name}"));
    if !matches!(row.text("experts"), "" | "0") {
        return Err("experts have no operations yet".to_owned());
    }
    let (heads, hidden) = (count("n_heads")?, count("hidden")?);
    // Megatron's vocabulary is padded, that of models in FSDP is not.
    let rows = match placement.engine.starts_with("fsdp") {
        true => 1,
        false => 128 * u64::from(placement.tp),
    };
    let neox = row.group() == "gpt-neox";
    let vocab = match row.group() {
        // Of common sizes the one with which all three printed counts of weights come out.
        "zero-bubble" => 32_000,
        _ => count("vocab")?,
    };
    let vocab = vocab.div_ceil(rows) * rows;
    let plain = Shape::neox([count("n_layers")?, hidden, heads, count("seq_len")?, vocab]);
    if row.text("gated_mlp") == "y" {
        return Ok(llama(
            row,
            plain,
            [count("n_kv_heads")?, count("ffn_hidden")?],
        ));
    }
    Ok(Shape {
        attention: Attention {
            positions: if neox {
                plain.attention.positions
            } else {
                Positions::None
            },
            ..plain.attention
        },
        dense: Dense {
            width: count("ffn_hidden")?,
            ..plain.dense
        },
        // Megatron's models share the embedding's matrix with the head, GPT-NeoX-20B does not.
        tied: !neox,
        residual: if neox {
            Residual::ParallelSeparate
        } else {
            Residual::Sequential
        },
        embedding: Embedding {
            // The counts of weights that llm-foundry publishes hold a learned position for each token of a sequence.
            positions: (row.group() == "llm-foundry").then_some(plain.context),
            ..plain.embedding
        },
        ..plain
    }
    .model())
}

/// The same in LLaMA's arrangement: gates, norms without a mean, whole rotary positions, no biases.
fn llama(row: &Row, plain: Shape, [kv_heads, width]: [u64; 2]) -> Model {
    let third = row.text("model").starts_with("Llama-3") || row.group() == "nanotron";
    let theta = if third { 5e5 } else { 1e4 };
    Shape {
        attention: Attention {
            kv_heads,
            positions: Positions::Rotary {
                fraction: 1.0,
                base: theta,
                scale: 1.0,
            },
            bias: false,
            output_bias: false,
            ..plain.attention
        },
        dense: Dense {
            activation: Activation::Swiglu,
            width,
            bias: false,
            ..plain.dense
        },
        residual: Residual::Sequential,
        norm: Norm::RmsNorm { eps: 1e-5 },
        tied: row.text("notes").contains("1B/3B tie embeddings") && plain.hidden < 4096,
        ..plain
    }
    .model()
}

/// The machines of a row, where their network is known.
fn cluster(row: &Row) -> Result<Cluster, String> {
    let device = match row.text("gpu") {
        name if name.starts_with("A100-40") => "a100_40g",
        name if name.starts_with("A100-80") => "a100_80g",
        "V100-32GB" => "v100_32g",
        name if name.starts_with("V100-16GB") => "v100_16g",
        name if name.starts_with("H100-80GB") => "h100_80g",
        name if name.starts_with("H100-96GB-HBM2e-500W") => "h100_80g",
        other => return Err(format!("no table of {other}")),
    };
    let count = |name: &str| row.count(name).ok_or_else(|| format!("not said: {name}"));
    let (gpus, per_node) = (count("n_gpus")?, count("gpus_per_node")?);
    let network = row.number("internode_gbps_per_node").or(match row.group() {
        // Four Omni-Path links of 100 Gbit/s on each node, says the runs' log.
        "bloom-grid" | "bigscience-v100" => Some(400.0),
        // A DGX A100 has eight HDR ports (its data sheet), a p5.48xlarge 3,200 Gbit/s of EFA (its page).
        "aleph-alpha" => Some(1600.0),
        "nanotron" => Some(3200.0),
        // Nodes of a public cloud's H100 have eight ports of 400 Gbit/s (CoreWeave, on which MosaicML timed them).
        "llm-foundry" => Some(3200.0),
        // Four HDR ports on each server (arXiv 2204.06745, section 2.3).
        "gpt-neox" => Some(800.0),
        _ => None,
    });
    if network.is_none() && gpus > per_node {
        return Err("not said: the network".to_owned());
    }
    let limited = row.text("gpu").contains("500W");
    Ok(Cluster {
        name: device.to_owned(),
        nodes: gpus.div_ceil(per_node),
        gpus_per_node: per_node.min(gpus),
        device: device.to_owned(),
        memory: limited.then_some(96 << 30),
        peak_flops: None,
        intra_node: None,
        inter_node: network.map(|gigabits| gigabits * 1e9 / 8.0),
        bandwidth: limited.then_some(2.4e12),
        peak_fp32: None,
        price: None,
    })
}

/// What is left of an H100 at torchtitan's 500 W with HBM2e: its peak lies between those of SXM and NVL, 989 and 835 TFLOP/s, of which the
/// middle is taken, and 2.4 of 3.35 TB/s (their docs/performance.md and benchmarks/llama3_h100_202412_torchtitan.md).
fn limited() -> Fitted {
    let middle = (989.0 + 835.0) / 2.0 / 989.0;
    Fitted {
        products: middle,
        attention: middle,
        memory: 2.4 / 3.35,
        ..Fitted::none()
    }
}

/// The same machines with the figures of their data sheets.
fn by_sheet(cluster: &Cluster) -> Cluster {
    let (memory, peak, bandwidth, links) = match cluster.device.as_str() {
        "a100_40g" => (40, 312e12, 1.555e12, 300e9),
        "a100_80g" => (80, 312e12, 2.039e12, 300e9),
        "h100_80g" => (80, 989e12, 3.35e12, 450e9),
        "v100_16g" => (16, 125e12, 0.9e12, 150e9),
        _ => (32, 125e12, 0.9e12, 150e9),
    };
    Cluster {
        memory: cluster.memory.or(Some(memory << 30)),
        peak_flops: Some(peak),
        bandwidth: cluster.bandwidth.or(Some(bandwidth)),
        intra_node: Some(links),
        ..cluster.clone()
    }
}
