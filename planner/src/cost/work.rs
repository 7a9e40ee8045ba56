//! The work of an instruction, read off its operands: FLOPs, bytes, and the dimensions of its matrix product.

use pleach_plan::{Instr, Op, Plan, TensorId};

use super::Costs;
use crate::ops::scan;

/// What an instruction does and moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Floating point operations of its products, or of its scan.
    pub flops: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// `[m, n, k, batch]` of its matrix product.
    pub gemm: Option<[u64; 4]>,
}

/// The work of one instruction of the plan that is priced.
pub fn work(instr: &Instr, costs: &Costs<'_>) -> Work {
    let sum = |ids: &[TensorId]| ids.iter().map(|&id| costs.size(id)).sum::<u64>();
    let gemm = product(instr, costs.plan());
    let product = gemm.map_or(0, |[m, n, k, batch]| 2 * m * n * k * batch);
    let flops = product + scanned(instr, costs.plan());
    Work {
        flops,
        bytes_read: sum(&instr.ins) + sum(&instr.updates),
        bytes_written: sum(&instr.outs) + sum(&instr.updates),
        gemm,
    }
}

fn product(instr: &Instr, plan: &Plan) -> Option<[u64; 4]> {
    let dims = |id: &TensorId| &plan.tensors[id.0 as usize].dims;
    let rows = |id: &TensorId| dims(id).iter().rev().skip(1).product::<u64>();
    let last = |id: &TensorId| dims(id).last().copied().unwrap_or(1);
    let (first, second) = (instr.ins.first()?, instr.ins.get(1)?);
    match instr.op {
        Op::Linear {} => Some([rows(first), dims(second)[0], last(first), 1]),
        Op::LinearBackwardInput {} => Some([rows(first), last(second), last(first), 1]),
        Op::LinearBackwardWeight {} => Some([last(first), last(second), rows(first), 1]),
        Op::ExpertLinear {} | Op::ExpertLinearBackwardInput {} => {
            let &[experts, outs, ins] = &dims(second)[..] else {
                return None;
            };
            let kept = match instr.op {
                Op::ExpertLinear {} => outs,
                _ => ins,
            };
            Some([shared(rows(first), experts), kept, last(first), experts])
        }
        Op::ExpertLinearBackwardWeight {} => {
            let experts = *dims(instr.updates.first()?).first()?;
            let rows = shared(rows(first), experts);
            Some([last(first), last(second), rows, experts])
        }
        _ => None,
    }
}

/// The operations of a selective scan; backward runs the recurrence again and then twice as much.
fn scanned(instr: &Instr, plan: &Plan) -> u64 {
    let times = match instr.op {
        Op::Scan {} => 1,
        Op::ScanBackward {} => 3,
        _ => return 0,
    };
    let tensor = |index: usize| &plan.tensors[instr.ins[index].0 as usize];
    // The rows that write to the state are its numbers at each position; channels are the columns of the input.
    let numbers = tensor(if times == 1 { 3 } else { 4 }).elements();
    let channels = tensor(0).dims.last().copied().unwrap_or(1);
    times * scan::FLOPS * numbers * channels
}

/// Rows of each expert where tokens are sent evenly.
fn shared(rows: u64, experts: u64) -> u64 {
    rows.div_ceil(experts.max(1))
}
