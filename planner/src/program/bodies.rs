//! Forward and backward bodies: sharded steps become instructions with names, workspaces and the ends of lifetimes.

use std::collections::{BTreeMap, BTreeSet};

use pleach_plan::op::Op;
use pleach_plan::{
    Alibi, Axis, Body, BodyId, BodyKind, Instr, Layout, Lives, Port, Reduce, Scores, TensorId, Wire,
};

use super::recompute::{Again, Passes, Version, read};
use super::tensors::dtype_of;
use super::{Emitter, Piece};
use crate::graph::{Block, Node, ValueId};
use crate::ops::workspace;
use crate::shard::Step;
use crate::shard::strategy::{Form, MAX, P, R, Strategy};

impl Emitter<'_> {
    /// The forward and backward bodies of a block.
    pub(super) fn forward_backward(&mut self, piece: &Piece<'_>, again: &Again) -> [BodyId; 2] {
        let (block, wire) = (piece.block, piece.sharded.wire);
        let version = |value: Option<ValueId>| value.map(|value| (value, wire));
        let passes = Passes::new(block, &piece.sharded, again);
        [
            self.block_body(
                block,
                BodyKind::Forward,
                &passes.forward,
                [version(block.input), version(block.output)],
                &passes.saved,
            ),
            self.block_body(
                block,
                BodyKind::Backward,
                &passes.backward,
                [version(block.gradient_in), version(block.gradient_out)],
                &passes.saved,
            ),
        ]
    }

    fn block_body(
        &mut self,
        block: &Block,
        kind: BodyKind,
        steps: &[&Step],
        wires: [Option<Version>; 2],
        frame: &[Version],
    ) -> BodyId {
        let code = self.code(block, steps);
        let code = self.gathering(code);
        let (name, wire) = match kind {
            BodyKind::Forward => ("forward", Wire::Hidden),
            _ => ("backward", Wire::Gradient),
        };
        let [ins, outs] = wires.map(|version| {
            let port = version.map(|version| Port {
                wire,
                tensor: self.tensor(block, version),
            });
            port.into_iter().collect::<Vec<_>>()
        });
        let frame: Vec<TensorId> = frame
            .iter()
            .map(|&version| self.tensor(block, version))
            .collect();
        let (saves, takes) = if kind == BodyKind::Forward {
            (frame, Vec::new())
        } else {
            (Vec::new(), frame)
        };
        let (name, block) = (format!("{}.{name}", block.label()), block.name.to_owned());
        self.finish_body(
            |id, code| Body {
                id,
                name,
                kind,
                block,
                ins,
                outs,
                saves,
                takes,
                code,
            },
            code,
        )
    }

    /// Ends lifetimes and adds the body.
    pub(super) fn finish_body(
        &mut self,
        make: impl FnOnce(BodyId, Vec<Instr>) -> Body,
        code: Vec<Instr>,
    ) -> BodyId {
        let local = |id: TensorId, tensors: &[pleach_plan::Tensor]| {
            tensors[id.0 as usize].lives == Lives::Local
        };
        let mut body = make(BodyId(0), code);
        let mut kept: BTreeSet<TensorId> = body.saves.iter().copied().collect();
        kept.extend(body.outs.iter().map(|port| port.tensor));
        let mut last = BTreeMap::new();
        for (index, instr) in body.code.iter().enumerate() {
            for &id in instr.ins.iter().chain(&instr.updates).chain(&instr.outs) {
                let id = self.table.storage(id);
                if local(id, &self.table.tensors) && !kept.contains(&id) {
                    last.insert(id, index);
                }
            }
        }
        for (id, index) in last {
            body.code[index].frees.push(id);
        }
        self.body(|id| Body { id, ..body })
    }

    fn code(&mut self, block: &Block, steps: &[&Step]) -> Vec<Instr> {
        let mut code = Vec::new();
        let mut index = 0;
        while let Some(step) = steps.get(index) {
            let fused = steps
                .get(index + 1)
                .and_then(|next| fuse(block, step, next, steps));
            index += if fused.is_some() { 2 } else { 1 };
            code.push(match (fused, step) {
                (Some((node, strategy)), _) => self.run(block, &node, &strategy),
                (None, Step::Run { node, strategy }) => self.run(block, node, strategy),
                (
                    None,
                    &&Step::Convert {
                        value, from, to, ..
                    },
                ) => self.convert(block, value, from, to),
            });
        }
        code
    }

    fn run(&mut self, block: &Block, node: &Node, strategy: &Strategy) -> Instr {
        let mut list = |values: &[ValueId], forms: &[Form]| -> Vec<TensorId> {
            values
                .iter()
                .zip(forms)
                .map(|(&value, &form)| self.tensor(block, (value, form)))
                .collect()
        };
        let ins = list(&node.ins, &strategy.ins);
        let updates = list(&node.updates, &strategy.updates);
        let outs = list(&node.outs, &strategy.outs);
        self.instr(self.placed(&node.op, strategy), ins, updates, outs)
    }

    /// An operation with the attributes that depend on its strategy.
    fn placed(&self, op: &Op, strategy: &Strategy) -> Op {
        let over = |form: Option<&Form>| form.and_then(|form| form.cut()).map(|_| Axis::Tp);
        match op.clone() {
            Op::Embedding { .. } => Op::Embedding {
                vocab: over(strategy.ins.get(1)),
            },
            Op::EmbeddingBackward { .. } => Op::EmbeddingBackward {
                vocab: over(strategy.updates.first()),
            },
            Op::Positions { .. } => Op::Positions {
                over: over(strategy.ins.first()),
            },
            Op::Dropout { share, site, .. } => Op::Dropout {
                share,
                site,
                over: over(strategy.ins.first()),
            },
            Op::PositionsBackward { .. } => Op::PositionsBackward {
                over: over(strategy.ins.first()),
            },
            Op::Attention(scores) => Op::Attention(spread(scores, strategy.ins[0])),
            Op::AttentionBackward(scores) => Op::AttentionBackward(spread(scores, strategy.ins[1])),
            Op::CrossEntropyTerms { smoothed, .. } => Op::CrossEntropyTerms {
                smoothed,
                vocab: over(strategy.ins.first()),
            },
            Op::CrossEntropyBackward { charge, .. } => Op::CrossEntropyBackward {
                charge,
                vocab: over(strategy.ins.first()),
            },
            Op::CrossEntropyLoss { charge, .. } => Op::CrossEntropyLoss {
                charge,
                replicas: u64::from(self.mesh.tp),
            },
            Op::RouterLoss { loss, .. } => Op::RouterLoss {
                loss,
                replicas: u64::from(self.mesh.tp),
            },
            other => other,
        }
    }

    fn convert(&mut self, block: &Block, value: ValueId, from: Form, to: Form) -> Instr {
        let group = self.group("tp");
        let op = match (from, to) {
            (MAX, _) => Op::AllReduce {
                group,
                reduce: Reduce::Max,
            },
            (P, R) => Op::AllReduce {
                group,
                reduce: Reduce::Sum,
            },
            (P, Form::Of(Layout::Shard(dim))) => Op::ReduceScatter { group, dim },
            (Form::Of(Layout::Shard(dim)), _) => Op::AllGather { group, dim },
            (_, to) => Op::Slice {
                axis: Axis::Tp,
                dim: to.cut().expect("only cuts are made from whole values"),
            },
        };
        let (ins, outs) = (
            self.tensor(block, (value, from)),
            self.tensor(block, (value, to)),
        );
        self.instr(op, vec![ins], Vec::new(), vec![outs])
    }

    /// An instruction with its workspace; lifetimes come later.
    pub(super) fn instr(
        &self,
        op: Op,
        ins: Vec<TensorId>,
        updates: Vec<TensorId>,
        outs: Vec<TensorId>,
    ) -> Instr {
        let operands = |ids: &[TensorId]| -> Vec<workspace::Operand> {
            let tensor = |id: &TensorId| &self.table.tensors[id.0 as usize];
            ids.iter()
                .map(tensor)
                .map(|tensor| workspace::Operand {
                    dims: tensor.dims.clone(),
                    dtype: tensor.dtype,
                })
                .collect()
        };
        let made = operands(&outs);
        let mut workspace = workspace::bound(&op, &operands(&ins), &operands(&updates), &made);
        if super::lanes(self.experiment.train.sums).is_some() {
            workspace += workspace::apart(&op, &made);
        }
        Instr {
            op,
            ins,
            updates,
            outs,
            frees: Vec::new(),
            workspace,
        }
    }

    fn tensor(&mut self, block: &Block, (value, form): Version) -> TensorId {
        let dtype = dtype_of(&block.value(value).kind, self.compute, self.accumulate);
        self.table.of(block, value, form, dtype)
    }
}

/// Attention with the axis over which its queries' heads are spread, where they are told apart.
fn spread(scores: Scores, queries: Form) -> Scores {
    let over = queries.cut().map(|_| Axis::Tp);
    Scores {
        alibi: scores.alibi.map(|alibi| Alibi { over, ..alibi }),
        ..scores
    }
}

/// A product and the bias behind it as one instruction, where nothing stands between them and nothing else reads the product.
fn fuse(block: &Block, first: &Step, second: &Step, steps: &[&Step]) -> Option<(Node, Strategy)> {
    let (
        Step::Run {
            node: linear,
            strategy: how,
        },
        Step::Run {
            node: bias,
            strategy: then,
        },
    ) = (first, second)
    else {
        return None;
    };
    let product = *linear.outs.first()?;
    let fits = linear.op == Op::Linear {}
        && bias.op == Op::Bias {}
        && bias.ins[0] == product
        && how.outs == then.ins[..1];
    let readers = steps
        .iter()
        .flat_map(|step| read(step))
        .filter(|version| version.0 == product)
        .count();
    if !fits || readers != 1 || block.output == Some(product) {
        return None;
    }
    let node = Node {
        ins: vec![linear.ins[0], linear.ins[1], bias.ins[1]],
        outs: bias.outs.clone(),
        ..linear.clone()
    };
    let strategy = Strategy::new(&[how.ins[0], how.ins[1], then.ins[1]], &[], &then.outs);
    Some((node, strategy))
}
