//! Weights and gradients that pass: what ZeRO 2 and 3 do around a body's code.
//!
//! With ZeRO 3 a body gathers each bucket of weights before it first reads one of them, and lets go of it after the last. With ZeRO 2
//! it makes a bucket of gradients of zeros before it first adds to one of them, and when all have been added the sum over replicas
//! is scattered and each replica's slice added to what earlier micro-batches left.

use std::collections::BTreeSet;

use pleach_plan::op::Op;
use pleach_plan::{Instr, Lives, TensorId};

use super::Emitter;

impl Emitter<'_> {
    /// Whether a storage is there only while a body uses it.
    pub(super) fn passes(&self, id: TensorId) -> bool {
        self.table.tensors[id.0 as usize].lives == Lives::Local
    }

    /// The code with what must happen before the first use and after the last of every bucket's storage that passes.
    pub(super) fn gathering(&mut self, code: Vec<Instr>) -> Vec<Instr> {
        let (mut done, mut begun) = (Vec::with_capacity(code.len()), BTreeSet::new());
        let mut left = self.uses(&code);
        for (index, instr) in code.into_iter().enumerate() {
            let storages: BTreeSet<TensorId> = instr
                .ins
                .iter()
                .chain(&instr.updates)
                .map(|&id| self.table.storage(id))
                .collect();
            for &storage in storages.iter().filter(|&&storage| begun.insert(storage)) {
                self.begin_use(storage, &mut done);
            }
            done.push(instr);
            left.retain(|&(storage, last)| {
                let ends = last == index;
                if ends {
                    self.end_use(storage, &mut done);
                }
                !ends
            });
        }
        done
    }

    /// Storages of gradients that pass, each with the last instruction that adds to it.
    fn uses(&self, code: &[Instr]) -> Vec<(TensorId, usize)> {
        let gradients = self.buckets.iter().map(|bucket| bucket.gradients);
        let passing = gradients.filter(|&id| self.passes(id));
        let last = |storage: TensorId| {
            let adds = |instr: &Instr| {
                let mut updates = instr.updates.iter();
                updates.any(|&id| self.table.storage(id) == storage)
            };
            Some((storage, code.iter().rposition(adds)?))
        };
        passing.filter_map(last).collect()
    }

    fn begin_use(&mut self, storage: TensorId, code: &mut Vec<Instr>) {
        let found = self.buckets.iter().find(|bucket| bucket.weights == storage);
        if let Some(bucket) = found.filter(|_| self.passes(storage)).cloned() {
            let master = bucket.master.expect("gathered weights have masters");
            let dtype = |id: TensorId| self.table.tensors[id.0 as usize].dtype;
            let part = if dtype(master) == dtype(storage) {
                master
            } else {
                let part = self.weights_slice(&bucket);
                code.push(self.instr(Op::Cast {}, vec![master], vec![], vec![part]));
                part
            };
            let gather = Op::AllGather {
                group: self.sharing(),
                dim: 0,
            };
            code.push(self.instr(gather, vec![part], vec![], vec![storage]));
        }
        let mut gradients = self.buckets.iter().map(|bucket| bucket.gradients);
        if gradients.any(|id| id == storage) && self.passes(storage) {
            code.push(self.instr(Op::Zero {}, vec![], vec![], vec![storage]));
        }
    }

    fn end_use(&mut self, storage: TensorId, code: &mut Vec<Instr>) {
        let mut buckets = self.buckets.iter();
        let Some(index) = buckets.position(|bucket| bucket.gradients == storage) else {
            return;
        };
        let Some(sums) = self.buckets[index].sums else {
            return;
        };
        let slice = self.slice(index);
        let scatter = Op::ReduceScatter {
            group: self.sharing(),
            dim: 0,
        };
        code.push(self.instr(scatter, vec![storage], vec![], vec![slice]));
        code.push(self.instr(Op::Accumulate {}, vec![slice], vec![sums], vec![]));
    }
}
