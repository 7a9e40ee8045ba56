//! The bodies around the micro-batches: zeroing, reducing gradients, clipping, updating.
//!
//! With ZeRO 1 a replica keeps only its slice of a bucket's moments (and master weights): gradients are reduce-scattered into the
//! slice, which waits in the block's frame while the norm is taken over all ranks; the updated slices are gathered again. With
//! ZeRO 2 the slice is summed over the micro-batches ([`super::gathering`]), with ZeRO 3 the updated slices stay where they are.
//! Where ZeRO divides among blocks of replicas (hybrid sharding), slices are summed once more over the blocks.

use pleach_dsl::experiment::{AdamW, Optimizer};
use pleach_plan::op::Op;
use pleach_plan::{
    Axis, Body, BodyId, BodyKind, Bucket, GroupId, Instr, Layout, Layouts, Reduce, TensorId,
};

use super::Emitter;
use crate::graph::transformer::is_scaled;

/// Whose parameters a body is about.
#[derive(Clone, Copy)]
pub(super) struct Named<'n> {
    /// The block, with the number of its kind behind the first.
    label: &'n str,
    block: &'n str,
}

impl<'n> Named<'n> {
    /// A block of one kind.
    pub fn plain(block: &'n str) -> Self {
        Named {
            label: block,
            block,
        }
    }

    /// A block under its label.
    pub fn new(label: &'n str, block: &'n str) -> Self {
        Named { label, block }
    }
}

impl Emitter<'_> {
    /// Zeroes a block's gradients.
    pub(super) fn begin(&mut self, of: Named<'_>, buckets: &[usize]) -> BodyId {
        let gradients: Vec<TensorId> = buckets
            .iter()
            .flat_map(|&index| {
                let bucket = &self.buckets[index];
                let own = bucket.sums.unwrap_or(bucket.gradients);
                [own].into_iter().chain(bucket.apart.first().copied())
            })
            .collect();
        let code = gradients
            .into_iter()
            .map(|id| self.instr(Op::Zero {}, vec![], vec![id], vec![]))
            .collect();
        self.plain(of, "begin", BodyKind::Begin, code)
    }

    /// Lanes of samples whose sums each replica joins.
    pub(super) fn own_lanes(&self) -> u32 {
        let lanes = super::header::lanes(self.experiment.train.sums).unwrap_or(1);
        (lanes / self.mesh.dp.max(1)).max(1)
    }

    /// What joins the sums of a lane with those before it: one body for each number of sums that are joined, the last of which leaves
    /// the whole where gradients are. None where each replica has one lane.
    pub(super) fn folds(&mut self, of: Named<'_>, buckets: &[usize]) -> Vec<BodyId> {
        let levels = self.own_lanes().ilog2() as usize;
        match levels {
            0 => Vec::new(),
            _ => (0..=levels)
                .map(|joins| self.fold(of, buckets, joins))
                .collect(),
        }
    }

    fn fold(&mut self, of: Named<'_>, buckets: &[usize], joins: usize) -> BodyId {
        let mut code = Vec::new();
        for &index in buckets {
            let bucket = &self.buckets[index];
            let own = (bucket.gradients, &bucket.levels[..]);
            let head = bucket.apart.split_first();
            for (sum, levels) in [own]
                .into_iter()
                .chain(head.map(|(&sum, rest)| (sum, rest)))
            {
                for &waiting in &levels[..joins] {
                    code.push(self.instr(Op::Accumulate {}, vec![waiting], vec![sum], vec![]));
                }
                if let Some(&waiting) = levels.get(joins) {
                    code.push(self.instr(Op::Cast {}, vec![sum], vec![waiting], vec![]));
                    code.push(self.instr(Op::Zero {}, vec![], vec![sum], vec![]));
                }
            }
        }
        self.plain(of, &format!("fold_{joins}"), BodyKind::Fold, code)
    }

    /// Zeroes the report.
    pub(super) fn step_begin(&mut self) -> BodyId {
        let code = vec![self.instr(Op::Zero {}, vec![], vec![self.report], vec![])];
        self.plain(Named::plain("step"), "begin", BodyKind::Begin, code)
    }

    /// Sums the report over all ranks and says how far gradients are scaled.
    pub(super) fn step_reduce(&mut self) -> BodyId {
        let mut code = Vec::new();
        if self.mesh.ranks() > 1 {
            let sum = Op::AllReduce {
                group: self.group("world"),
                reduce: Reduce::Sum,
            };
            code.push(self.instr(sum, vec![], vec![self.report], vec![]));
        }
        let clip = Op::ClipFactor {
            max_norm: self.experiment.train.clip,
            scaled: is_scaled(self.experiment.train.precision),
        };
        code.push(self.instr(clip, vec![self.report], vec![self.factor], vec![]));
        self.plain(Named::plain("step"), "reduce", BodyKind::Reduce, code)
    }

    /// Sums a block's gradients over the ranks that share them, and adds to the squared norm.
    pub(super) fn reduce(&mut self, of: Named<'_>, buckets: &[usize]) -> BodyId {
        let (mut code, mut saves) = (Vec::new(), Vec::new());
        for &index in buckets {
            let sums = self.buckets[index].sums;
            let gradients = sums.unwrap_or(self.buckets[index].gradients);
            let traits = self.traits[index];
            let whole = if traits.whole {
                u64::from(self.mesh.tp)
            } else {
                1
            };
            let measured = match self.slices() {
                1 => gradients,
                _ if sums.is_some() => gradients,
                _ => self.slice(index),
            };
            let given = (traits.partial, measured != gradients);
            self.sum_replicas(given, [gradients, measured], &mut code);
            saves.extend(given.1.then_some(measured));
            if let Some(&head) = self.buckets[index].apart.first() {
                let slice = given.1.then(|| self.head_slice(index));
                let summed = slice.unwrap_or(head);
                self.sum_replicas(given, [head, summed], &mut code);
                code.push(self.instr(Op::Accumulate {}, vec![summed], vec![measured], vec![]));
            }
            let alike = u64::from(self.mesh.dp) / self.slices();
            let replicas = whole * alike * self.join_ends(traits.tied, measured, &mut code);
            code.push(self.instr(
                Op::SumSquares { replicas },
                vec![measured],
                vec![self.report],
                vec![],
            ));
        }
        let (name, block) = (format!("{}.reduce", of.label), of.block.to_owned());
        let make = |id, code| Body {
            saves,
            ..empty(id, name, BodyKind::Reduce, block, code)
        };
        self.finish_body(make, code)
    }

    /// Sums gradients over the ranks that share them: where they are partial, over tensor-parallel ranks; where they are cut, into this
    /// replica's slice. (Whole gradients of ZeRO 2 and 3 were scattered after every backward.)
    fn sum_replicas(
        &self,
        (is_partial, is_cut): (bool, bool),
        [gradients, measured]: [TensorId; 2],
        code: &mut Vec<Instr>,
    ) {
        if is_partial {
            let sum = Op::AllReduce {
                group: self.group("tp"),
                reduce: Reduce::Sum,
            };
            code.push(self.instr(sum, vec![], vec![gradients], vec![]));
        }
        if is_cut {
            let scatter = Op::ReduceScatter {
                group: self.sharing(),
                dim: 0,
            };
            code.push(self.instr(scatter, vec![gradients], vec![], vec![measured]));
        }
        self.sum_alike(measured, code);
    }

    /// Sums over the replicas that hold the same piece.
    fn sum_alike(&self, gradients: TensorId, code: &mut Vec<Instr>) {
        let group = match self.placement.divides(1) {
            1 if self.mesh.dp > 1 => "dp",
            _ if self.mesh.shards.is_some() => "blocks",
            _ => return,
        };
        let sum = Op::AllReduce {
            group: self.group(group),
            reduce: Reduce::Sum,
        };
        code.push(self.instr(sum, vec![], vec![gradients], vec![]));
    }

    /// The replicas among which ZeRO divides.
    pub(super) fn sharing(&self) -> GroupId {
        let blocks = self.mesh.shards.is_some();
        self.group(if blocks { "shards" } else { "dp" })
    }

    /// Sums what the first and the last stage gathered for the matrix that both hold; how many stages then hold the sum.
    fn join_ends(&self, tied: bool, gradients: TensorId, code: &mut Vec<Instr>) -> u64 {
        if !tied || self.mesh.pp == 1 {
            return 1;
        }
        let sum = Op::AllReduce {
            group: self.group("embedding"),
            reduce: Reduce::Sum,
        };
        code.push(self.instr(sum, vec![], vec![gradients], vec![]));
        2
    }

    /// Updates a block's parameters.
    pub(super) fn update(&mut self, of: Named<'_>, buckets: &[usize]) -> BodyId {
        let (mut code, mut takes) = (Vec::new(), Vec::new());
        for &index in buckets {
            let bucket = self.buckets[index].clone();
            if self.slices() == 1 {
                let weights = bucket.master.unwrap_or(bucket.weights);
                code.push(self.update_instr(index, weights, bucket.gradients));
                if let Some(master) = bucket.master {
                    code.push(self.instr(Op::Cast {}, vec![master], vec![bucket.weights], vec![]));
                }
            } else {
                let gradients = bucket.sums.unwrap_or_else(|| self.slice(index));
                takes.extend(bucket.sums.is_none().then_some(gradients));
                match bucket.master.filter(|_| self.passes(bucket.weights)) {
                    Some(master) => code.push(self.update_instr(index, master, gradients)),
                    None => self.update_slice(index, &bucket, gradients, &mut code),
                }
            }
        }
        let (name, block) = (format!("{}.update", of.label), of.block.to_owned());
        let make = |id, code| Body {
            takes,
            ..empty(id, name, BodyKind::Update, block, code)
        };
        self.finish_body(make, code)
    }

    fn update_slice(
        &mut self,
        index: usize,
        bucket: &Bucket,
        gradients: TensorId,
        code: &mut Vec<Instr>,
    ) {
        let part = self.weights_slice(bucket);
        code.push(self.instr(
            Op::Slice {
                axis: Axis::Dp,
                dim: 0,
            },
            vec![bucket.weights],
            vec![],
            vec![part],
        ));
        code.push(self.update_instr(index, bucket.master.unwrap_or(part), gradients));
        if let Some(master) = bucket.master {
            code.push(self.instr(Op::Cast {}, vec![master], vec![part], vec![]));
        }
        let gather = Op::AllGather {
            group: self.sharing(),
            dim: 0,
        };
        code.push(self.instr(gather, vec![part], vec![bucket.weights], vec![]));
    }

    fn update_instr(&self, index: usize, weights: TensorId, gradients: TensorId) -> Instr {
        let bucket = &self.buckets[index];
        let op = update_op(&self.experiment.train.optimizer, self.traits[index].decays);
        let state = [weights, bucket.m].into_iter().chain(bucket.v);
        let state = state.chain([gradients]).collect();
        self.instr(op, vec![self.factor], state, vec![])
    }

    /// The local tensor of this replica's slice of a bucket's weights in compute type.
    pub(super) fn weights_slice(&mut self, bucket: &Bucket) -> TensorId {
        let name = format!("{}.weights_slice", bucket.name);
        if let Some(known) = self.table.named(&name) {
            return known;
        }
        let weights = &self.table.tensors[bucket.weights.0 as usize];
        let (dtype, elements) = (weights.dtype, weights.elements() / self.slices());
        let layout = Layouts {
            dp: Layout::Shard(0),
            tp: weights.layout.tp,
        };
        self.table.local(name, dtype, elements, layout)
    }

    /// The local tensor that carries a bucket's summed gradient slice from reduce to update.
    pub(super) fn slice(&mut self, index: usize) -> TensorId {
        self.slice_of(index, "gradients_slice")
    }

    /// The slice of the gradients of the head's use of a matrix, before they are added to the embedding's.
    fn head_slice(&mut self, index: usize) -> TensorId {
        self.slice_of(index, "head_gradients_slice")
    }

    fn slice_of(&mut self, index: usize, what: &str) -> TensorId {
        let bucket = &self.buckets[index];
        let name = format!("{}.{what}", bucket.name);
        if let Some(known) = self.table.named(&name) {
            return known;
        }
        let gradients = &self.table.tensors[bucket.gradients.0 as usize];
        let over = if self.traits[index].whole {
            Layout::Replicate
        } else {
            Layout::Shard(0)
        };
        let (dtype, elements) = (gradients.dtype, gradients.elements() / self.slices());
        self.table.local(
            name,
            dtype,
            elements,
            Layouts {
                dp: Layout::Shard(0),
                tp: over,
            },
        )
    }

    fn plain(&mut self, of: Named<'_>, name: &str, kind: BodyKind, code: Vec<Instr>) -> BodyId {
        let (name, block) = (format!("{}.{name}", of.label), of.block.to_owned());
        self.finish_body(|id, code| empty(id, name, kind, block, code), code)
    }
}

/// The optimizer as an operation.
fn update_op(optimizer: &Optimizer, decays: bool) -> Op {
    let decay = |weight_decay| if decays { weight_decay } else { 0.0 };
    match *optimizer {
        Optimizer::AdamW(AdamW {
            betas: [beta1, beta2],
            eps,
            weight_decay,
            ..
        }) => Op::AdamW {
            beta1,
            beta2,
            eps,
            weight_decay: decay(weight_decay),
        },
        Optimizer::Adam(AdamW {
            betas: [beta1, beta2],
            eps,
            weight_decay,
            ..
        }) => Op::Adam {
            beta1,
            beta2,
            eps,
            weight_decay: decay(weight_decay),
        },
        Optimizer::Lion {
            betas: [beta1, beta2],
            weight_decay,
            ..
        } => Op::Lion {
            beta1,
            beta2,
            weight_decay: decay(weight_decay),
        },
        Optimizer::Sgd {
            momentum,
            nesterov,
            weight_decay,
            ..
        } => Op::Sgd {
            momentum,
            nesterov,
            weight_decay: decay(weight_decay),
        },
    }
}

fn empty(id: BodyId, name: String, kind: BodyKind, block: String, code: Vec<Instr>) -> Body {
    Body {
        id,
        name,
        kind,
        block,
        ins: vec![],
        outs: vec![],
        saves: vec![],
        takes: vec![],
        code,
    }
}
