//! Attention: one kernel at its measured rate, or an engine's batched products around a softmax over stored scores.

use pleach_plan::hardware::{Direction, Form, Kind};
use pleach_plan::{Instr, Op, Recompute};

use super::Costs;
use super::work::Work;
use crate::engine::{AttentionKernel, Selective};

/// Dimensions of an attention: sequences, heads of this rank, positions, width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Sequences times heads.
    pub matrices: u64,
    /// Positions.
    pub sequence: u64,
    /// Width of a head.
    pub width: u64,
    /// Positions that a query looks at.
    pub window: u64,
}

impl Shape {
    /// FLOPs of the whole square, or of as much of it as there is on both sides of the diagonal in a window: two products forward; backward five, of which one computes the scores again.
    pub fn flops(self, direction: Direction) -> f64 {
        let product = 2.0 * self.pairs() * self.width as f64;
        match direction {
            Direction::Forward => 2.0 * product,
            Direction::Backward => 5.0 * product,
        }
    }

    /// Scores of all heads and sequences, without those that a window hides.
    fn pairs(self) -> f64 {
        let hidden = self.sequence - self.window;
        let pairs = self.sequence * self.sequence - hidden * hidden;
        self.matrices as f64 * pairs as f64
    }

    /// Bytes of one matrix of scores for each head and sequence, in 16 bits.
    pub fn scores(self) -> u64 {
        2 * self.matrices * self.sequence * self.sequence
    }
}

impl Costs<'_> {
    /// The dimensions of an attention instruction, from its queries `[B, A, S, D]`.
    pub fn attention_shape(&self, instr: &Instr) -> Option<Shape> {
        let (queries, scores) = match instr.op {
            Op::Attention(scores) => (instr.ins.first()?, scores),
            Op::AttentionBackward(scores) => (instr.ins.get(1)?, scores),
            _ => return None,
        };
        // Kernels of a GPU leave out what a window hides; the one of a CPU computes and masks it.
        let window = match self.hardware.kind {
            Kind::Gpu => scores.window,
            Kind::Cpu => None,
        };
        match self.plan.tensors[queries.0 as usize].dims[..] {
            [batch, heads, sequence, width] => Some(Shape {
                matrices: batch * heads,
                sequence,
                width,
                window: window.unwrap_or(sequence).min(sequence),
            }),
            _ => None,
        }
    }

    /// Whether the engine computes scores again in backward, instead of keeping them.
    pub fn recomputes_scores(&self) -> bool {
        self.plan.recompute == Recompute::Selective
            && self.engine.selective == Selective::AttentionCore
    }

    pub(super) fn attention(&self, instr: &Instr, work: &Work) -> f64 {
        let direction = if matches!(instr.op, Op::Attention(_)) {
            Direction::Forward
        } else {
            Direction::Backward
        };
        let Some(shape) = self.attention_shape(instr) else {
            return self.streaming(instr, work);
        };
        match self.engine.attention {
            AttentionKernel::Flash => self.flash(instr, work, shape, direction, 1.0),
            AttentionKernel::TritonFlash => self.flash(instr, work, shape, direction, 1.0 / 1.8),
            AttentionKernel::FirstFlash => self.flash(instr, work, shape, direction, 0.5),
            AttentionKernel::StoredScores => self.stored(instr, shape, direction),
            AttentionKernel::Unfused => {
                // Scaling and masking, and the softmax in 32 bits with its copies, each pass of those counting twice.
                let passes = match direction {
                    Direction::Forward => 10.0,
                    Direction::Backward => 6.0,
                };
                let streamed =
                    passes * shape.scores() as f64 / self.hardware.memory.bandwidth.value;
                self.stored(instr, shape, direction) + streamed + 3.0 * self.hardware.launch.value
            }
        }
    }

    fn flash(
        &self,
        instr: &Instr,
        work: &Work,
        shape: Shape,
        direction: Direction,
        part: f64,
    ) -> f64 {
        let dtype = self.dtype(instr);
        let table = self
            .hardware
            .attention
            .iter()
            .find(|own| own.dtype == dtype && own.direction == direction);
        // Without a table of its own: causal, so half the square, at half the rate of large products.
        let rate = table.map_or_else(|| self.products.rate(dtype), |own| own.rate.value);
        let score = table.and_then(|own| own.score.as_ref());
        let scores = score.map_or(0.0, |score| score.value) * shape.pairs();
        let computed = (shape.flops(direction) / rate + scores) / part;
        let streamed =
            (work.bytes_read + work.bytes_written) as f64 / self.hardware.memory.bandwidth.value;
        self.hardware.launch.value + computed.max(streamed)
    }

    /// Forward: scores, softmax, values. Backward: two products each for scores and values, and softmax's derivative.
    fn stored(&self, instr: &Instr, shape: Shape, direction: Direction) -> f64 {
        let Shape {
            matrices,
            sequence,
            width,
            ..
        } = shape;
        let dtype = self.dtype(instr);
        let rows = 2.0 * (matrices * sequence * width) as f64;
        let bytes = shape.scores() as f64 + 2.0 * rows;
        let wide = self.products.product(
            Form::Forward,
            [sequence, sequence, width],
            matrices,
            bytes,
            dtype,
        );
        let deep = self.products.product(
            Form::Forward,
            [sequence, width, sequence],
            matrices,
            bytes,
            dtype,
        );
        let pass = shape.scores() as f64 / self.hardware.memory.bandwidth.value;
        let launch = self.hardware.launch.value;
        // The fused causal softmax reads no scores above the diagonal, and writes all: forward one and a half, backward two.
        // Dropout reads and writes the probabilities, with a mask of one byte each.
        let (dropout, kernels) = if self.engine.dropout {
            (2.5 * pass, 2.0)
        } else {
            (0.0, 1.0)
        };
        match direction {
            Direction::Forward => wide + deep + kernels * launch + 1.5 * pass + dropout,
            Direction::Backward => {
                let again = if self.recomputes_scores() {
                    self.stored(instr, shape, Direction::Forward)
                } else {
                    0.0
                };
                again + wide + 3.0 * deep + kernels * launch + 2.0 * pass + dropout
            }
        }
    }
}
