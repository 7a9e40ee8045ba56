//! What kernels take beside operands and results: upper bounds in bytes, from local sizes.
//!
//! The bounds are for libtorch's CPU kernels as the worker calls them and are checked against its counting allocator.

use pleach_plan::lanes::by_sequence;
use pleach_plan::{Dtype, Op, Scores};

/// An operand as a kernel sees it.
#[derive(Clone, Debug)]
pub struct Operand {
    /// Local dimensions.
    pub dims: Vec<u64>,
    /// Element type.
    pub dtype: Dtype,
}

impl Operand {
    /// Bytes of its elements.
    pub fn bytes(&self) -> u64 {
        self.elements() * self.dtype.bytes()
    }

    fn elements(&self) -> u64 {
        self.dims.iter().product()
    }
}

/// Scalars, strides tables and partial sums of a few threads.
const SLACK: u64 = 64 << 10;

/// The bound for one instruction with these inputs, updates and results.
pub fn bound(op: &Op, ins: &[Operand], updates: &[Operand], outs: &[Operand]) -> u64 {
    let all = |operands: &[Operand]| operands.iter().map(Operand::bytes).sum::<u64>();
    let own = match op {
        Op::Tokens { .. } => 2 * all(outs),
        Op::EmbeddingBackward { .. } => all(updates) + 2 * all(ins),
        Op::Embedding { .. }
        | Op::GeluBackward {}
        | Op::Gelu {}
        | Op::ActivationBackward { .. }
        | Op::Activation { .. } => 2 * all(outs) + all(ins),
        Op::Gated { .. } | Op::GatedBackward { .. } => all(outs),
        Op::Dropout { .. } => 2 * wide(outs),
        Op::PositionsBackward { .. } => 2 * all(updates) + 2 * narrow(ins),
        Op::CapBackward { .. } => all(outs),
        Op::HeadNorm(_) => 5 * wide(&ins[..1]),
        Op::HeadNormBackward(_) => 9 * wide(&ins[..1]),
        Op::Linear {} | Op::LinearBackwardInput {} => narrow(ins) + narrow(outs),
        Op::LinearBackwardWeight {} => narrow(ins) + widened(ins, updates),
        Op::LayerNorm { .. } => 2 * all(&ins[1..]) + all(&outs[1..]),
        Op::LayerNormBackward {} => all(&ins[3..]) + 16 * all(updates),
        Op::BiasBackward {} => 2 * all(updates) + narrow(ins) * 2,
        Op::SplitHeads(_) => 3 * all(ins),
        Op::SplitHeadsBackward(_) => 3 * all(outs),
        Op::Attention(scores) => {
            attention(ins, outs) + all(&outs[..1]) + masks(scores, &ins[0], &outs[1])
        }
        Op::AttentionBackward(scores) => {
            let sums = if scores.group > 1 {
                wide(&outs[1..])
            } else {
                0
            };
            let masks = masks(scores, &ins[1], &ins[5]);
            attention(ins, outs) + all(outs) + 2 * all(&ins[..1]) + sums + masks
        }
        Op::CrossEntropyTerms { .. } | Op::CrossEntropyMax {} => 3 * wide(ins),
        Op::CrossEntropyLoss { .. } => 2 * all(ins),
        Op::CrossEntropyBackward { .. } => 3 * wide(ins),
        Op::SumSquares { .. } => wide(ins),
        Op::AllReduce { .. } => all(ins),
        Op::AllGather { .. } | Op::ReduceScatter { .. } => {
            2 * (all(ins) + all(outs) + all(updates))
        }
        op => beside_attention(op, ins, updates, outs),
    };
    own + SLACK
}

/// What is taken in addition where sums keep one order: results of single sequences before they are joined, digits of a report, and a piece of
/// what is squared in the type of the digits.
pub fn apart(op: &Op, outs: &[Operand]) -> u64 {
    const PIECE: u64 = 8 << 16;
    match op {
        Op::SumSquares { .. } => PIECE,
        _ if by_sequence(op).is_some() => outs.iter().map(Operand::bytes).sum::<u64>() + SLACK,
        _ => 0,
    }
}

/// The state of a scan at one position, in the wide type, from `(x, step, decay, …)`.
fn state(ins: &[Operand]) -> u64 {
    let sequences = ins[0].dims.first().copied().unwrap_or(1);
    sequences * wide(&ins[2..3])
}

/// The mixture of experts: softmax of logits, sorted choices, rows in another order, the product of one expert. The state space: shifted products, the states of
/// all positions.
fn beside_attention(op: &Op, ins: &[Operand], updates: &[Operand], outs: &[Operand]) -> u64 {
    let all = |operands: &[Operand]| operands.iter().map(Operand::bytes).sum::<u64>();
    match op {
        Op::Route(_) => 4 * wide(ins) + all(outs),
        Op::RouteBackward(_) => 6 * wide(ins),
        Op::RouterLoss { .. } | Op::RouterLossBackward(_) => 6 * wide(ins),
        Op::Dispatch {} => 3 * all(outs) + 6 * all(&ins[1..]),
        Op::DispatchBackward {} => 3 * all(&ins[..1]) + 6 * all(&ins[1..]),
        Op::ExpertLinear {} | Op::ExpertLinearBackwardInput {} => {
            all(outs) + narrow(&ins[..2]) + narrow(outs)
        }
        Op::ExpertLinearBackwardWeight {} => {
            narrow(&ins[..2]) + widened(ins, updates) / updates[0].dims[0].max(1)
        }
        Op::Combine {} => 3 * all(&ins[..1]) + 2 * wide(&ins[..1]) + 6 * all(&ins[2..]),
        Op::CombineBackward {} => 3 * wide(&ins[1..2]) + 3 * all(outs) + 8 * all(&ins[2..]),
        Op::Convolution {} => 2 * all(outs),
        Op::ConvolutionBackward {} => 3 * all(outs) + 2 * all(updates),
        Op::Scan {} => 4 * wide(outs) + 8 * state(ins) + 2 * wide(&ins[2..3]),
        Op::ScanBackward {} => {
            let positions = ins[1].dims.get(1).copied().unwrap_or(1);
            10 * wide(&ins[1..2]) + (positions + 12) * state(&ins[1..]) + 4 * wide(&ins[4..6])
        }
        _ => 0,
    }
}

/// Copies in wider types that 16-bit kernels make.
fn narrow(operands: &[Operand]) -> u64 {
    operands
        .iter()
        .filter(|operand| operand.dtype.bytes() == 2)
        .map(|operand| 4 * operand.elements())
        .sum()
}

/// A product in operand type that is added to an accumulator of a wider one.
fn widened(ins: &[Operand], updates: &[Operand]) -> u64 {
    if ins[0].dtype == updates[0].dtype {
        0
    } else {
        2 * updates[0].bytes()
    }
}

fn wide(operands: &[Operand]) -> u64 {
    operands
        .iter()
        .map(|operand| operand.elements() * operand.dtype.bytes().max(4))
        .sum()
}

/// What is added to scores: a row for each head under ALiBi, a square for a window, a square for each head under both; twice while it is made.
fn masks(scores: &Scores, queries: &Operand, statistic: &Operand) -> u64 {
    let [heads, positions] = [1, 2].map(|dim| queries.dims.get(dim).copied().unwrap_or(1));
    let size = statistic.dtype.bytes();
    let rows = scores.alibi.map_or(0, |_| heads * positions * size);
    let square = scores.window.map_or(0, |_| positions * positions * size);
    let both = if rows > 0 { heads * square } else { 0 };
    3 * (rows + square + both)
}

/// Blocks of scores, and partial sums, of flash attention: at most 512 queries by 1024 keys for each of a few threads.
fn attention(ins: &[Operand], outs: &[Operand]) -> u64 {
    let head = ins[1].dims.last().copied().unwrap_or(1);
    let queries = ins[1].dims.get(2).copied().unwrap_or(1).min(512);
    let keys = ins[1].dims.get(2).copied().unwrap_or(1).min(1024);
    let block = (queries * keys * 2 + queries * (head + 8) * 2) * 8;
    4 * block + outs.last().map_or(0, Operand::bytes)
}
