//! The order in which a stage passes micro-batches through its chunks, and which stages stand before and behind each pass.
//!
//! With one chunk a stage it is 1F1B; with several it is the interleaved schedule of Megatron-LM (arXiv 2104.04473): micro-batches go
//! through the chunks in groups of as many as there are stages.

/// One pass of a micro-batch through a chunk of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Forward or backward.
    pub forward: bool,
    /// The chunk.
    pub chunk: u32,
    /// The micro-batch.
    pub micro_batch: u32,
}

/// A stage's place in the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// The stage.
    pub stage: u32,
    /// All stages.
    pub stages: u32,
    /// Chunks of each stage.
    pub chunks: u32,
    /// Micro-batches of a step.
    pub micro_steps: u32,
}

impl Pipeline {
    /// Passes of the stage before its first backward.
    pub fn warm(self) -> u32 {
        let behind = self.stages - self.stage - 1;
        let wanted = match self.chunks {
            1 => behind,
            chunks => 2 * behind + (chunks - 1) * self.stages,
        };
        wanted.min(self.micro_steps * self.chunks)
    }

    /// Micro-batches that have gone forward through each chunk when the first backward of the stage begins.
    pub fn in_flight(self) -> impl Iterator<Item = u64> {
        let (stages, chunks) = (u64::from(self.stages), u64::from(self.chunks));
        let passes = (u64::from(self.warm()) + 1).min(u64::from(self.micro_steps) * chunks);
        // One chunk takes them without an end, several in rounds.
        let turn = if chunks == 1 { passes } else { stages };
        let round = (turn * chunks).max(1);
        let (before, within) = (passes / round * turn, passes % round);
        (0..chunks).map(move |chunk| before + within.saturating_sub(chunk * turn).min(turn))
    }

    /// The same, each micro-batch counted with the layers of its chunk.
    pub fn layers_in_flight(self, layers: &[u64]) -> u64 {
        let counts = self.in_flight();
        counts
            .zip(layers)
            .map(|(count, layers)| count * layers)
            .sum()
    }

    /// The order of passes: warm-up, one forward and one backward in turn, cool-down.
    pub fn order(self) -> Vec<Pass> {
        let (warm, all) = (self.warm(), self.micro_steps * self.chunks);
        let mut order: Vec<Pass> = (0..warm).map(|index| self.pass(true, index)).collect();
        for next in warm..all {
            order.extend([self.pass(true, next), self.pass(false, next - warm)]);
        }
        order.extend((all - warm..all).map(|index| self.pass(false, index)));
        order
    }

    /// The forward or backward pass of that number.
    fn pass(self, forward: bool, index: u32) -> Pass {
        let round = self.stages * self.chunks;
        let (before, within) = (index / round * self.stages, index % round);
        let turn = within / self.stages;
        Pass {
            forward,
            chunk: if forward {
                turn
            } else {
                self.chunks - 1 - turn
            },
            micro_batch: before + within % self.stages,
        }
    }

    /// The stage and chunk that a pass receives from.
    pub fn from(self, pass: Pass) -> Option<[u32; 2]> {
        if pass.forward {
            self.before(pass.chunk)
        } else {
            self.behind(pass.chunk)
        }
    }

    /// The stage and chunk that a pass goes on to.
    pub fn onward(self, pass: Pass) -> Option<[u32; 2]> {
        self.from(Pass {
            forward: !pass.forward,
            ..pass
        })
    }

    /// Transfers that the stage issues for each micro-batch: both ways, before and behind each of its chunks.
    pub fn transfers(self) -> u64 {
        let of = |chunk: u32| {
            let ends = [self.before(chunk), self.behind(chunk)];
            2 * ends.iter().flatten().count() as u64
        };
        (0..self.chunks).map(of).sum()
    }

    /// The stage and chunk of the layers before those of a chunk here.
    fn before(self, chunk: u32) -> Option<[u32; 2]> {
        match self.stage.checked_sub(1) {
            Some(stage) => Some([stage, chunk]),
            None => chunk.checked_sub(1).map(|chunk| [self.stages - 1, chunk]),
        }
    }

    /// The stage and chunk of the layers behind those of a chunk here.
    fn behind(self, chunk: u32) -> Option<[u32; 2]> {
        if self.stage + 1 < self.stages {
            Some([self.stage + 1, chunk])
        } else {
            (chunk + 1 < self.chunks).then_some([0, chunk + 1])
        }
    }

    /// Indices of the blocks (embedding, layers, head) that a chunk of the stage passes through.
    pub fn blocks(self, chunk: u32) -> Vec<usize> {
        let ends = [
            self.before(chunk).is_none().then_some(0),
            Some(1),
            self.behind(chunk).is_none().then_some(2),
        ];
        ends.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(stage: u32, forward: bool) -> Vec<[u32; 2]> {
        let pipeline = Pipeline {
            stage,
            stages: 2,
            chunks: 2,
            micro_steps: 4,
        };
        let order = pipeline.order().into_iter();
        order
            .filter(|pass| pass.forward == forward)
            .map(|pass| [pass.chunk, pass.micro_batch])
            .collect()
    }

    /// The order of Megatron-LM's figure 4 for two devices, two chunks and four micro-batches.
    #[test]
    fn micro_batches_go_through_chunks_in_groups() {
        let forward = [
            [0, 0],
            [0, 1],
            [1, 0],
            [1, 1],
            [0, 2],
            [0, 3],
            [1, 2],
            [1, 3],
        ];
        assert_eq!(chunks(0, true), forward);
        assert_eq!(chunks(1, true), forward);
        let backward = forward.map(|[chunk, micro_batch]| [1 - chunk, micro_batch]);
        assert_eq!(chunks(0, false), backward);
    }

    #[test]
    fn one_chunk_is_one_forward_one_backward() {
        let pipeline = Pipeline {
            stage: 0,
            stages: 3,
            chunks: 1,
            micro_steps: 4,
        };
        let order: Vec<(bool, u32)> = pipeline
            .order()
            .into_iter()
            .map(|pass| (pass.forward, pass.micro_batch))
            .collect();
        let [f, b] = [true, false];
        assert_eq!(
            order,
            [
                (f, 0),
                (f, 1),
                (f, 2),
                (b, 0),
                (f, 3),
                (b, 1),
                (b, 2),
                (b, 3)
            ]
        );
    }

    #[test]
    fn every_chunk_passes_every_micro_batch_both_ways() {
        for stages in 1..=4 {
            for chunks in 1..=3 {
                for stage in 0..stages {
                    let pipeline = Pipeline {
                        stage,
                        stages,
                        chunks,
                        micro_steps: 2 * stages,
                    };
                    let mut all: Vec<_> = pipeline
                        .order()
                        .into_iter()
                        .map(|pass| (pass.forward, pass.chunk, pass.micro_batch))
                        .collect();
                    let first = all.iter().position(|pass| !pass.0).unwrap_or(0);
                    let ahead = |chunk| all[..first].iter().filter(|pass| pass.1 == chunk).count();
                    let counted: Vec<u64> = (0..chunks).map(|chunk| ahead(chunk) as u64).collect();
                    assert!(pipeline.in_flight().eq(counted));
                    all.sort_unstable();
                    all.dedup();
                    assert_eq!(all.len() as u32, 4 * stages * chunks);
                }
            }
        }
    }
}
