//! What an instruction costs: a device's table, an engine's choices and the mesh in, integer picoseconds out.
//!
//! Matrix products come from [`gemm`], attention from [`attention`], everything that memory limits from its bytes, and
//! collectives and transfers from [`links`]. A [`Costs`] is made for one plan; the same functions price candidates, drive the
//! simulation and label the trace, so the three cannot disagree.

pub mod attention;
pub mod gemm;
pub mod links;
pub mod topology;
pub mod work;

use pleach_dsl::experiment::Cluster;
use pleach_plan::hardware::{Hardware, Pace};
use pleach_plan::{Axis, BodyKind, Dtype, GroupId, Instr, Op, Plan, TensorId, Transfer};

use crate::engine::{self, Engine, Narrow};
use gemm::Products;
use links::Links;
use topology::Geometry;
use work::Work;

/// Picoseconds in a second.
pub const PICO: f64 = 1e12;

/// What an instruction occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The device's arithmetic or memory.
    Compute,
    /// Links to other devices, while the device waits.
    Communication,
}

/// Which stages an instruction joins, so that it ends for them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joins {
    /// None: each goes its own way.
    Nobody,
    /// The first and the last.
    Ends,
    /// All of them.
    All,
}

/// The cost of one instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Time with nobody else on the machine, in picoseconds.
    pub ps: u64,
    /// What it occupies.
    pub class: Class,
    /// Millionths of a core that it keeps busy, on machines whose ranks share cores.
    pub busy: u32,
    /// Which stages it joins.
    pub joins: Joins,
}

/// Prices the instructions of one plan.
pub struct Costs<'a> {
    plan: &'a Plan,
    hardware: &'a Hardware,
    engine: &'static Engine,
    products: Products<'a>,
    links: Links<'a>,
    groups: Vec<Geometry>,
    sizes: Vec<u64>,
}

/// Seconds as picoseconds, rounded.
pub fn picoseconds(seconds: f64) -> u64 {
    libm::round(seconds * PICO) as u64
}

impl<'a> Costs<'a> {
    /// Makes ready to price a plan on a cluster of such devices. An engine that is not known is priced as `pleach`.
    pub fn new(plan: &'a Plan, hardware: &'a Hardware, cluster: &Cluster) -> Self {
        let ranks_per_node = u32::try_from(cluster.gpus_per_node)
            .unwrap_or(u32::MAX)
            .max(1);
        let engine = engine::find(&plan.engine).unwrap_or(&engine::PLEACH);
        Costs {
            plan,
            hardware,
            engine,
            sizes: sizes(plan, engine),
            products: Products::new(hardware),
            links: Links::new(hardware, cluster),
            groups: plan
                .groups
                .iter()
                .map(|group| Geometry::of(&plan.mesh, group, ranks_per_node))
                .collect(),
        }
    }

    /// Ranks of a node.
    pub fn ranks_per_node(&self) -> u32 {
        self.links.ranks_per_node()
    }

    /// The plan that is priced.
    pub fn plan(&self) -> &'a Plan {
        self.plan
    }

    /// The device's table.
    pub fn hardware(&self) -> &'a Hardware {
        self.hardware
    }

    /// The engine whose choices hold.
    pub fn engine(&self) -> &'static Engine {
        self.engine
    }

    /// Seconds that the host takes to issue some code; none where nobody waits for it.
    pub fn issuing(&self, code: &[Instr]) -> Option<f64> {
        let usual = self.hardware.host.as_ref()?.value * self.engine.dispatch;
        let own = |pace: &&Pace| pace.engine == self.engine.name;
        let Some(pace) = self.hardware.paces.iter().find(own) else {
            return Some(code.len() as f64 * usual);
        };
        let skewed = code.iter().map(|instr| self.further(instr)).sum::<u32>();
        Some(code.len() as f64 * pace.host.value + f64::from(skewed) * pace.skew.value)
    }

    /// The further ranks of a tensor-parallel collective in a job whose stages hand on across nodes.
    fn further(&self, instr: &Instr) -> u32 {
        let mesh = &self.plan.mesh;
        let across = mesh.pp > 1 && mesh.ranks() > self.ranks_per_node();
        let group = instr.op.group().filter(|_| across);
        let group = group.and_then(|id| self.plan.groups.iter().find(|own| own.id == id));
        let is_own = group.is_some_and(|group| group.axes[..] == [Axis::Tp]);
        if is_own { mesh.tp - 1 } else { 0 }
    }

    /// The cost of one instruction.
    pub fn instr(&self, instr: &Instr) -> Cost {
        if let Some(group) = instr.op.group() {
            return self.collective(instr, group);
        }
        let ps = self.computing(self.seconds(instr));
        Cost {
            ps,
            class: Class::Compute,
            busy: 1_000_000,
            joins: Joins::Nobody,
        }
    }

    /// Seconds of computing as the picoseconds that they take since a run was measured.
    pub fn computing(&self, seconds: f64) -> u64 {
        let [factor, _] = self.hardware.part_factors();
        picoseconds(seconds * factor)
    }

    /// The time of a transfer between stages, in picoseconds.
    pub fn transfer(&self, stage: u32, transfer: &Transfer) -> u64 {
        let mesh = &self.plan.mesh;
        let crossing = topology::crossing(mesh, stage, transfer.peer, self.links.ranks_per_node());
        let (sent, gathering) = self.carried(transfer.tensor);
        picoseconds(self.links.transfer(sent, crossing) + gathering)
    }

    /// What a rank sends of a tensor that goes to another stage, in bytes, and what gathering it there takes, in seconds.
    pub fn carried(&self, id: TensorId) -> (u64, f64) {
        let (bytes, tp) = (self.size(id), self.plan.mesh.tp);
        let scattered = self.engine.scattered_transfers && !self.plan.sequence_parallel;
        if !scattered || tp == 1 {
            return (bytes, 0.0);
        }
        let inside = Geometry {
            size: tp,
            nodes: 1,
            per_node: tp,
            sharing: 0,
        };
        let (gathering, _) = self.links.collective("all_gather", bytes, &inside);
        (bytes / u64::from(tp), gathering)
    }

    fn collective(&self, instr: &Instr, group: GroupId) -> Cost {
        let geometry = self.geometry(group);
        let tensor = instr.ins.iter().chain(&instr.updates).chain(&instr.outs);
        let bytes = tensor.map(|&id| self.size(id)).max().unwrap_or(0);
        let found = self
            .plan
            .groups
            .iter()
            .find(|candidate| candidate.id == group);
        let replicas = found.is_some_and(|group| group.axes[..] == [Axis::Dp]);
        let (name, bytes) = self.reduction(&instr.op, bytes, replicas);
        let (seconds, busy) = self.links.collective(name, bytes, geometry);
        let joins = match found {
            Some(group) if self.plan.mesh.pp > 1 && group.spans_stages() => match group.ends {
                true => Joins::Ends,
                false => Joins::All,
            },
            _ => Joins::Nobody,
        };
        Cost {
            ps: picoseconds(seconds),
            class: Class::Communication,
            busy: libm::round(busy.clamp(0.0, 1.0) * 1e6) as u32,
            joins,
        }
    }

    /// Whether gradients are kept in 16 bits.
    pub fn narrow_gradients(&self) -> bool {
        narrow_gradients(self.plan, self.engine)
    }

    /// The collective that the engine makes of one over replicas, with its bytes.
    fn reduction(&self, op: &Op, bytes: u64, replicas: bool) -> (&'static str, u64) {
        let reduces = replicas && matches!(op, Op::ReduceScatter { .. } | Op::AllReduce { .. });
        if !reduces {
            return (op.name(), bytes);
        }
        let name = if self.engine.whole_reduction {
            "all_reduce"
        } else {
            op.name()
        };
        (name, if self.widens() { 2 * bytes } else { bytes })
    }

    /// Whether gradients in 16 bits are summed over replicas in 32.
    pub fn widens(&self) -> bool {
        self.engine.wide_reduction && self.narrow_gradients()
    }

    /// Bytes of a tensor's values as the engine keeps them, whoever owns their storage.
    pub fn size(&self, id: TensorId) -> u64 {
        self.sizes[id.0 as usize]
    }

    fn geometry(&self, group: GroupId) -> &Geometry {
        let index = self
            .plan
            .groups
            .iter()
            .position(|candidate| candidate.id == group);
        &self.groups[index.expect("the plan lists every group its instructions name")]
    }

    fn seconds(&self, instr: &Instr) -> f64 {
        let work = work::work(instr, self);
        match &instr.op {
            Op::Linear {}
            | Op::LinearBackwardInput {}
            | Op::ExpertLinear {}
            | Op::ExpertLinearBackwardInput {} => {
                self.products.seconds(instr, &work, self.dtype(instr))
            }
            Op::LinearBackwardWeight {} | Op::ExpertLinearBackwardWeight {} => {
                self.weight_gradient(instr, &work)
            }
            Op::Attention(_) | Op::AttentionBackward(_) => self.attention(instr, &work),
            Op::CrossEntropyMax {}
            | Op::CrossEntropyTerms { .. }
            | Op::CrossEntropyBackward { .. } => self.loss(instr, &work),
            // A scan computes on no matrix unit: at best at the rate of 32-bit arithmetic.
            Op::Scan {} | Op::ScanBackward {} => {
                let computed = work.flops as f64 / self.products.rate(Dtype::F32);
                self.streaming(instr, &work).max(computed)
            }
            _ => self.streaming(instr, &work),
        }
    }

    fn weight_gradient(&self, instr: &Instr, work: &Work) -> f64 {
        let product = self.products.seconds(instr, work, self.dtype(instr));
        if self.engine.fused_weight_gradient {
            return product;
        }
        let gradient: u64 = instr.updates.iter().map(|&id| self.size(id)).sum();
        product
            + self.hardware.launch.value
            + 3.0 * gradient as f64 / self.hardware.memory.bandwidth.value
    }

    /// What memory limits: its bytes over the rate, and the engine's extra passes.
    fn streaming(&self, instr: &Instr, work: &Work) -> f64 {
        let bytes = (work.bytes_read + work.bytes_written) as f64;
        let dtype = self.dtype(instr);
        let measured = |name: &str| {
            let own = self.hardware.elementwise.iter();
            own.clone().find(|own| own.op == name && own.dtype == dtype)
        };
        let name = instr.op.name();
        let own = measured(name).or_else(|| relative(name).and_then(measured));
        let rate = own.map_or(self.hardware.memory.bandwidth.value, |own| own.rate.value);
        let (passes, launches) = self.passes(instr);
        self.hardware.launch.value * launches + bytes * passes / rate
    }

    /// Tensor-parallel ranks of which each makes the loss of all logits; one where it makes its part.
    pub fn gathered_logits(&self) -> u64 {
        match self.engine.gathers_logits {
            true => u64::from(self.plan.mesh.tp),
            false => 1,
        }
    }

    /// One of the loss's operations, with what its engine does beside it: gathering logits, and metrics of them.
    fn loss(&self, instr: &Instr, work: &Work) -> f64 {
        let logits = self.plan.tensors[instr.ins[0].0 as usize].elements() * self.gathered_logits();
        let stream = |bytes: f64| bytes * logits as f64 / self.hardware.memory.bandwidth.value;
        let passes = self.engine.loss.passes();
        let made = |which: usize| match passes {
            Some(passes) => self.hardware.launch.value + stream(passes[which]),
            None => self.streaming(instr, work),
        };
        match instr.op {
            Op::CrossEntropyMax {} if passes.is_some() => self.gathering(instr),
            Op::CrossEntropyTerms { .. } => made(0) + stream(self.engine.metric_bytes),
            Op::CrossEntropyBackward { .. } => made(1),
            _ => self.streaming(instr, work),
        }
    }

    /// Gathering logits over tensor-parallel ranks, where the engine does.
    fn gathering(&self, instr: &Instr) -> f64 {
        let ranks = self.gathered_logits();
        let group = self.plan.groups.iter();
        let group = group.clone().find(|group| group.axes[..] == [Axis::Tp]);
        match group {
            Some(group) if ranks > 1 => {
                let bytes = self.size(instr.ins[0]) * ranks;
                let geometry = self.geometry(group.id);
                self.links.collective("all_gather", bytes, geometry).0
            }
            _ => 0.0,
        }
    }

    fn passes(&self, instr: &Instr) -> (f64, f64) {
        match &instr.op {
            Op::SplitHeads(split) | Op::SplitHeadsBackward(split) if split.rotary > 0 => {
                (self.engine.rotary_passes, self.engine.rotary_passes)
            }
            Op::LayerNorm { .. }
            | Op::LayerNormBackward {}
            | Op::RmsNorm { .. }
            | Op::RmsNormBackward {} => (self.engine.norm_passes, self.engine.norm_passes),
            Op::Bias {} if self.engine.fused_bias => (0.0, 0.0),
            Op::Gated { .. } | Op::GatedBackward { .. } => {
                (self.engine.gate_passes, self.engine.gate_passes)
            }
            Op::AdamW { .. } | Op::Adam { .. } => (self.engine.optimizer_passes, 1.0),
            Op::Dropout { .. } if self.engine.dropout => (0.0, 0.0),
            // Residual branches pass through dropout: a mask forward, a pass backward.
            Op::Add {} if self.engine.dropout => (2.0, 2.0),
            Op::Add {} if self.engine.pairwise_sums && instr.ins.len() > 2 => {
                let terms = instr.ins.len() as f64;
                (3.0 * (terms - 1.0) / (terms + 1.0), terms - 1.0)
            }
            _ => (1.0, 1.0),
        }
    }

    /// The type in which an instruction computes: that of its first operand.
    fn dtype(&self, instr: &Instr) -> Dtype {
        let operands = instr.ins.iter().chain(&instr.updates).chain(&instr.outs);
        let floating = |dtype: &Dtype| *dtype != Dtype::I64;
        operands
            .map_while(|id| self.plan.tensors.get(id.0 as usize))
            .map(|tensor| tensor.dtype)
            .find(floating)
            .unwrap_or(Dtype::F32)
    }
}

/// The operation whose rate holds where a table has none of its own: the same work on as many operands or fewer.
fn relative(name: &str) -> Option<&'static str> {
    match name {
        "rms_norm" | "head_norm" => Some("layer_norm"),
        "rms_norm_backward" | "head_norm_backward" => Some("layer_norm_backward"),
        "scale" | "cap" | "dropout" => Some("gelu"),
        "cap_backward" => Some("gelu_backward"),
        "convolution" => Some("gelu"),
        "convolution_backward" => Some("gelu_backward"),
        "adam" | "lion" | "sgd" => Some("adam_w"),
        "positions" => Some("bias"),
        "positions_backward" => Some("bias_backward"),
        "activation" | "gated" => Some("gelu"),
        "activation_backward" | "gated_backward" => Some("gelu_backward"),
        _ => None,
    }
}

/// Whether an engine keeps the gradients of a plan in 16 bits.
fn narrow_gradients(plan: &Plan, engine: &Engine) -> bool {
    match engine.narrow_gradients {
        Narrow::Never => false,
        Narrow::F16 => plan.training.compute == Dtype::F16,
        Narrow::Always => plan.training.compute.bytes() == 2,
    }
}

/// Bytes of all tensors: elements times size, but for gradients that the engine keeps in 16 bits.
fn sizes(plan: &Plan, engine: &Engine) -> Vec<u64> {
    let mut sizes: Vec<u64> = plan
        .tensors
        .iter()
        .map(|tensor| tensor.elements() * tensor.dtype.bytes())
        .collect();
    if !narrow_gradients(plan, engine) {
        return sizes;
    }
    let mut gradients: Vec<TensorId> = plan.buckets.iter().map(|bucket| bucket.gradients).collect();
    gradients.extend(plan.parameters.iter().map(|parameter| parameter.gradient));
    // What of ZeRO 2 lasts is summed in 32 bits.
    let once = plan
        .bodies
        .iter()
        .filter(|body| body.kind == BodyKind::Reduce);
    let code = once.flat_map(|body| &body.code);
    let scattered = code.filter(|instr| {
        matches!(instr.op, Op::ReduceScatter { .. }) && gradients.contains(&instr.ins[0])
    });
    let slices: Vec<TensorId> = scattered.flat_map(|instr| instr.outs.clone()).collect();
    for id in gradients.into_iter().chain(slices) {
        sizes[id.0 as usize] = plan.tensors[id.0 as usize].elements() * 2;
    }
    sizes
}
