//! Storage of parameters: flat buckets of weights, gradients, master weights and moments.
//!
//! Parameters of a block share a bucket when they agree in weight decay, in how they and their gradients lie over
//! tensor-parallel ranks, and in type: then one reduction and one update serve them all. Norms keep the accumulation type where
//! activations are of 16 bits.

use std::collections::BTreeMap;

use pleach_plan::{Bucket, Dtype, Layout, Layouts, Lives, Parameter, TensorId, View};

use super::Emitter;
use crate::graph::decay::Group;
use crate::graph::{Block, Kind, ValueId};
use crate::shard::Sharded;
use crate::shard::strategy::{Form, P};

/// What the members of a bucket agree in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Traits {
    /// The kind of layers they belong to; 0 for everything else.
    pub kind: usize,
    /// Vectors, and what else is no matrix that rows are multiplied with, come after matrices.
    pub vector: bool,
    /// Updates shrink them.
    pub decays: bool,
    /// Every tensor-parallel rank holds them whole.
    pub whole: bool,
    /// Gradients are partial sums over tensor-parallel ranks.
    pub partial: bool,
    /// Embedding and head read it.
    pub tied: bool,
    /// Type of the weights.
    pub dtype: Dtype,
}

impl Traits {
    fn name(self, compute: Dtype, tp: u32) -> String {
        let what = match (self.vector, self.whole) {
            _ if self.tied => "tied",
            (false, true) if tp > 1 => "whole_matrices",
            (false, _) => "matrices",
            (true, false) => "split_vectors",
            (true, true) => "vectors",
        };
        let partial = if self.partial { "_partial" } else { "" };
        let kept = if self.dtype == compute { "" } else { "_wide" };
        let decay = match (self.vector, self.decays) {
            _ if self.tied => "",
            (true, true) => "_decayed",
            (false, false) => "_undecayed",
            _ => "",
        };
        format!("{what}{partial}{kept}{decay}")
    }
}

/// The matrix that embedding and head share: its tensor, its gradient's, and the bucket that holds nothing else.
pub struct Tied {
    tensor: TensorId,
    gradient: TensorId,
    /// Its bucket.
    pub bucket: usize,
}

/// The name of a block's parameter in the model.
fn logical_name(block: &Block, name: &str) -> String {
    match block.name {
        "layer" => format!("layers.{{layer}}.{name}"),
        other => format!("{other}.{name}"),
    }
}

/// A parameter on its way into a bucket.
struct Member {
    value: ValueId,
    gradient: ValueId,
    form: Form,
}

impl Emitter<'_> {
    /// Gives storage to a block's parameters; the indices of its buckets.
    pub(super) fn store(&mut self, block: &Block, sharded: &Sharded) -> Vec<usize> {
        if let Some(index) = block
            .values
            .iter()
            .position(|value| value.kind == Kind::Report)
        {
            self.table.stand(block, ValueId(index), self.report);
        }
        let store = self.stores[block.kind];
        if store != block.kind {
            self.stand_kind(block, store);
            return Vec::new();
        }
        let decays = self.experiment.train.optimizer.decays();
        let mut members: BTreeMap<Traits, Vec<Member>> = BTreeMap::new();
        for (index, value) in block.values.iter().enumerate() {
            if let Kind::Accumulator { of } = value.kind {
                let gradient = ValueId(index);
                if block.value(of).kind == Kind::Tied {
                    self.stand_tied(block, of, gradient);
                    continue;
                }
                let (form, partial) = (sharded.statics[&of], sharded.statics[&gradient] == P);
                let parameter = block.value(of);
                let traits = Traits {
                    kind: block.kind,
                    vector: !parameter.shrinks(),
                    decays: Group::of(block, parameter).decays(decays),
                    whole: form.cut().is_none(),
                    partial,
                    tied: block.tied == Some(of),
                    dtype: if parameter.wide() {
                        self.accumulate
                    } else {
                        self.compute
                    },
                };
                members.entry(traits).or_default().push(Member {
                    value: of,
                    gradient,
                    form,
                });
            }
        }
        let mut own = Vec::new();
        for (traits, mut members) in members {
            members.sort_by_key(|member| member.value);
            let index = self.bucket(block, traits, &members);
            own.extend((!traits.tied).then_some(index));
        }
        own
    }

    /// The names that a kind of layers has for the parameters of an earlier one.
    fn stand_kind(&mut self, block: &Block, store: usize) {
        for (index, value) in block.values.iter().enumerate() {
            let Kind::Accumulator { of } = value.kind else {
                continue;
            };
            let name = logical_name(block, &block.value(of).name);
            let mut parameters = self.parameters.iter();
            let own = |known: &&Parameter| self.traits[known.bucket].kind == store;
            let known = parameters.find(|known| known.name == name && own(known));
            let known = known.expect("the kind has the same parameters");
            self.table.stand(block, of, known.tensor);
            self.table.stand(block, ValueId(index), known.gradient);
        }
    }

    /// The head's names for what the embedding's bucket holds.
    fn stand_tied(&mut self, block: &Block, value: ValueId, gradient: ValueId) {
        let tied = self.tied.as_ref().map(|tied| [tied.tensor, tied.gradient]);
        let [weights, sum] = tied.expect("the embedding is stored before the head");
        self.table.stand(block, value, weights);
        let bucket = self.tied.as_ref().map(|tied| &self.buckets[tied.bucket]);
        match bucket.and_then(|bucket| bucket.apart.first()) {
            Some(&apart) => self.table.view_like(block, gradient, (sum, apart)),
            None => self.table.stand(block, gradient, sum),
        }
    }

    /// Ranks among which optimizer states are divided.
    pub(super) fn slices(&self) -> u64 {
        u64::from(self.placement.divides(1))
    }

    /// What lengths of buckets are multiples of.
    fn unit(&self) -> u64 {
        let training = super::header::training(self.experiment, self.placement);
        training.bucket_unit(self.placement.divides(1))
    }

    /// Whether replicas divide what a ZeRO stage divides.
    fn divides(&self, stage: u32) -> bool {
        self.placement.divides(stage) > 1
    }

    /// Layouts of a bucket's weights, gradients and optimizer states.
    fn layouts(&self, traits: Traits) -> [Layouts; 3] {
        let over = if traits.whole {
            Layout::Replicate
        } else {
            Layout::Shard(0)
        };
        let state = if self.slices() > 1 {
            Layout::Shard(0)
        } else {
            Layout::Replicate
        };
        let sum = if traits.partial {
            Layout::Partial
        } else {
            over
        };
        [
            (Layout::Replicate, over),
            (Layout::Partial, sum),
            (state, over),
        ]
        .map(|(dp, tp)| Layouts { dp, tp })
    }

    fn bucket(&mut self, block: &Block, traits: Traits, members: &[Member]) -> usize {
        let index = self.buckets.len();
        let mixed = self.stores.iter().any(|&store| store > 0);
        let lives = match block.name {
            "layer" if mixed => Lives::Kind(block.kind as u32),
            "layer" => Lives::Layered,
            _ => Lives::Static,
        };
        let name = format!(
            "{}.{}",
            block.label(),
            traits.name(self.compute, self.mesh.tp)
        );
        let elements = |member: &Member| {
            self.table
                .local_dims(block, member.value, member.form)
                .iter()
                .product::<u64>()
        };
        let length: u64 = members.iter().map(elements).sum();
        let padded = length.next_multiple_of(self.unit());
        let [whole, summed, sliced] = self.layouts(traits);
        let (accumulate, part) = (self.accumulate, padded / self.slices());
        let (scattered, gathered) = (self.divides(2), self.divides(3));
        let mut flat = |what: &str, dtype, size, layout, passing: bool| {
            let lives = if passing { Lives::Local } else { lives };
            self.table
                .flat(format!("{name}.{what}"), dtype, size, layout, lives)
        };
        let weights = flat("weights", traits.dtype, padded, whole, gathered);
        let gradients = flat("gradients", accumulate, padded, summed, scattered);
        let added = Layouts {
            dp: sliced.dp,
            tp: summed.tp,
        };
        let sums = scattered.then(|| flat("gradient_sums", accumulate, part, added, false));
        let wider = gathered || traits.dtype != accumulate;
        let master = wider.then(|| flat("master", accumulate, part, sliced, false));
        let m = flat("m", accumulate, part, sliced, false);
        let second = self.experiment.train.optimizer.moments() > 1;
        let v = second.then(|| flat("v", accumulate, part, sliced, false));
        let [levels, apart] = self.lane_sums(&name, traits.tied, (lives, padded, summed));
        self.buckets.push(Bucket {
            name,
            weights,
            gradients,
            levels,
            apart,
            sums,
            master,
            m,
            v,
            length,
        });
        self.traits.push(traits);
        self.place(block, members, index);
        index
    }

    /// What waits where sums keep one order: sums of lanes, and where embedding and head share a matrix on one stage, gradients of the
    /// head's use of it with theirs.
    fn lane_sums(
        &mut self,
        name: &str,
        is_tied: bool,
        (lives, size, layout): (Lives, u64, Layouts),
    ) -> [Vec<TensorId>; 2] {
        let (depth, accumulate) = (self.own_lanes().ilog2(), self.accumulate);
        let ordered = super::lanes(self.experiment.train.sums).is_some();
        let apart = is_tied && ordered && self.mesh.pp == 1;
        let table = &mut self.table;
        let mut flat =
            |what: &str| table.flat(format!("{name}.{what}"), accumulate, size, layout, lives);
        let level = |of: &str, level: u32| format!("{of}gradients_of_{}_lanes", 1 << level);
        let levels = (0..depth).map(|own| flat(&level("", own))).collect();
        let head: Vec<TensorId> = match apart {
            false => Vec::new(),
            true => [flat("head_gradients")]
                .into_iter()
                .chain((0..depth).map(|own| flat(&level("head_", own))))
                .collect(),
        };
        [levels, head]
    }

    fn place(&mut self, block: &Block, members: &[Member], index: usize) {
        let (weights, gradients) = (self.buckets[index].weights, self.buckets[index].gradients);
        let mut offset = 0;
        for member in members {
            let value = block.value(member.value);
            let name = logical_name(block, &value.name);
            let gradient_form = if self.traits[index].partial {
                P
            } else {
                member.form
            };
            let own = match block.kind {
                0 => name.clone(),
                kind => format!("{name} of kind {kind}"),
            };
            let tensor = self.table.view(
                block,
                member.value,
                own.clone(),
                member.form,
                View {
                    base: weights,
                    offset,
                },
            );
            let gradient_name = format!("{own}.gradient");
            let gradient = self.table.view(
                block,
                member.gradient,
                gradient_name,
                gradient_form,
                View {
                    base: gradients,
                    offset,
                },
            );
            let Kind::Parameter { init } = value.kind else {
                continue;
            };
            let dims = value.dims.iter().map(|dim| dim.size).collect();
            self.parameters.push(Parameter {
                name,
                tensor,
                gradient,
                dims,
                shard: member.form.cut(),
                init,
                bucket: index,
            });
            offset += self.table.tensors[tensor.0 as usize].elements();
            if self.traits[index].tied {
                self.tied = Some(Tied {
                    tensor,
                    gradient,
                    bucket: index,
                });
            }
        }
    }
}
