//! Sums over a step's samples in one fixed order, however replicas and micro-batches are cut.
//!
//! A step's samples fall into lanes of equal length, one behind the other. Inside a lane gradients are added sample by sample; lanes are
//! added pairwise, neighbours first, as a tree. A replica has whole neighbouring lanes, so that its part of the tree is
//! complete before replicas are summed, pairwise too. What waits in a replica for its neighbour is one sum for each level of its part.

use crate::{Op, Training};

/// Elements that a bucket's slices are multiples of where sums keep one order: whole vectors of every processor, for kernels round what is
/// left over behind those otherwise.
const VECTORS: u64 = 64;

/// What is done with the sums of a lane once its last micro-batch has been added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fold {
    /// So many waiting sums are added, from the lowest level up.
    pub joins: u32,
    /// Whether the sum then waits at the next level; else it is the replica's whole.
    pub waits: bool,
}

impl Training {
    /// Samples of the step before those of a replica's micro-batch.
    pub fn samples_before(&self, replicas: u32, replica: u32, micro_batch: u32) -> u64 {
        let (replicas, replica) = (u64::from(replicas), u64::from(replica));
        let (micro_batch, steps) = (u64::from(micro_batch), u64::from(self.micro_steps));
        let before = match self.lanes {
            None => micro_batch * replicas + replica,
            Some(_) => replica * steps + micro_batch,
        };
        before * self.micro_batch
    }

    /// Lanes of each of so many replicas; one where sums follow the placement.
    pub fn own_lanes(&self, replicas: u32) -> u32 {
        let all = self.lanes.unwrap_or(1);
        (all / replicas.max(1)).max(1)
    }

    /// What the length of a bucket is a multiple of, where so many replicas divide it.
    pub fn bucket_unit(&self, replicas: u32) -> u64 {
        match self.lanes {
            None => u64::from(replicas.max(1)),
            Some(lanes) => VECTORS * u64::from(lanes),
        }
    }

    /// What follows a micro-batch; nothing inside of a lane, and where a replica has one lane only.
    pub fn fold_behind(&self, replicas: u32, micro_batch: u32) -> Option<Fold> {
        let lanes = self.own_lanes(replicas);
        let length = self.micro_steps / lanes;
        let done = micro_batch + 1;
        if lanes == 1 || length == 0 || !done.is_multiple_of(length) {
            return None;
        }
        let lane = done / length - 1;
        Some(Fold {
            joins: lane.trailing_ones(),
            waits: done < self.micro_steps,
        })
    }

    /// Why lanes cannot be cut so, if they cannot.
    pub fn uncut_lanes(&self, replicas: u32) -> Option<String> {
        let lanes = self.lanes?;
        if !lanes.is_power_of_two() {
            return Some(format!("{lanes} lanes are no power of two"));
        }
        if replicas == 0 || !lanes.is_multiple_of(replicas) {
            return Some(format!(
                "{lanes} lanes cannot be dealt to {replicas} replicas"
            ));
        }
        let (own, steps) = (lanes / replicas, self.micro_steps);
        (!steps.is_multiple_of(own)).then(|| {
            format!("{steps} micro-batches of a replica do not fill its {own} lanes evenly")
        })
    }
}

/// Operations that are done sequence by sequence where sums keep one order, with which of their inputs all sequences share: products, whose
/// kernels choose their order by the number of rows, and sums over rows. What computes each element or row from its own alone is
/// done at once.
pub fn by_sequence(op: &Op) -> Option<&'static [usize]> {
    Some(match op {
        Op::Linear {} => &[1, 2],
        Op::LinearBackwardInput {} | Op::ExpertLinear {} | Op::ExpertLinearBackwardInput {} => &[1],
        Op::LayerNormBackward {} | Op::RmsNormBackward {} | Op::ConvolutionBackward {} => &[2],
        Op::HeadNormBackward(_) => &[2, 3],
        Op::ScanBackward {} => &[3, 6],
        Op::LinearBackwardWeight {}
        | Op::ExpertLinearBackwardWeight {}
        | Op::BiasBackward {}
        | Op::EmbeddingBackward { .. }
        | Op::PositionsBackward { .. }
        | Op::CrossEntropyLoss { .. }
        | Op::RouterLoss { .. } => &[],
        _ => return None,
    })
}

/// The sum of parts in the order of the tree: neighbours first. A part that has no neighbour waits for one.
pub fn pairwise<T>(parts: Vec<T>, mut add: impl FnMut(T, T) -> T) -> Option<T> {
    let mut level = parts;
    while level.len() > 1 {
        let mut next = Vec::with_capacity(level.len().div_ceil(2));
        let mut rest = level.into_iter();
        while let Some(one) = rest.next() {
            next.push(match rest.next() {
                Some(other) => add(one, other),
                None => one,
            });
        }
        level = next;
    }
    level.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Begins, Dtype, Logging, NotFinite, Saving, Schedule};

    fn training(lanes: Option<u32>, micro_steps: u32) -> Training {
        Training {
            seed: 1,
            phase: None,
            begins: Begins::default(),
            steps: 10,
            global_batch: 16,
            micro_batch: 2,
            micro_steps,
            sequence: 16,
            schedule: Schedule::Constant {
                peak: 1e-3,
                warmup: 0,
            },
            compute: Dtype::F64,
            accumulate: Dtype::F64,
            saving: Saving::at_the_end(1),
            logging: Logging::default(),
            evaluation: None,
            scaling: None,
            not_finite: NotFinite::Halt,
            lanes,
            weights: None,
        }
    }

    /// The sum of a replica's part as text, by the same steps as a program's.
    fn text(lanes: u32, micro_steps: u32) -> String {
        let training = training(Some(lanes), micro_steps);
        let mut waiting: Vec<String> = Vec::new();
        let mut sum = String::new();
        for micro_batch in 0..micro_steps {
            sum = match sum.is_empty() {
                true => micro_batch.to_string(),
                false => format!("{sum}+{micro_batch}"),
            };
            let Some(fold) = training.fold_behind(1, micro_batch) else {
                continue;
            };
            for _ in 0..fold.joins {
                let earlier = waiting.pop().expect("a lower level waits");
                sum = format!("({earlier})+({sum})");
            }
            if fold.waits {
                waiting.push(std::mem::take(&mut sum));
            }
        }
        assert!(waiting.is_empty());
        sum
    }

    #[test]
    fn lanes_are_joined_as_a_tree() {
        assert_eq!(text(4, 4), "((0)+(1))+((2)+(3))");
        assert_eq!(text(2, 6), "(0+1+2)+(3+4+5)");
        assert_eq!(text(1, 3), "0+1+2");
        let parts = ["0", "1", "2", "3"].map(str::to_owned).to_vec();
        let joined = pairwise(parts, |one, other| format!("({one})+({other})"));
        assert_eq!(joined.as_deref(), Some("((0)+(1))+((2)+(3))"));
    }

    #[test]
    fn replicas_have_neighbouring_samples_where_sums_have_lanes() {
        let [plain, laned] = [None, Some(4)].map(|lanes| training(lanes, 4));
        assert_eq!(plain.samples_before(2, 1, 3), 14);
        assert_eq!(laned.samples_before(2, 1, 3), 14);
        assert_eq!(plain.samples_before(2, 1, 0), 2);
        assert_eq!(laned.samples_before(2, 1, 0), 8);
    }

    #[test]
    fn lanes_that_cannot_be_cut_are_told() {
        let why = |lanes, steps, replicas| training(Some(lanes), steps).uncut_lanes(replicas);
        assert_eq!(why(8, 4, 2), None);
        for (lanes, steps, replicas) in [(6, 4, 2), (4, 4, 8), (4, 3, 2)] {
            assert!(why(lanes, steps, replicas).is_some());
        }
    }
}
