//! From the joint projection to heads, with rotary positions, and back.
//!
//! q, k and v are `[B, A, S, D]` by shape and lie as `[B, S, A, D]` in memory: the layout that the flash kernels read without
//! a copy and that the projection's rows have already.

use pleach_plan::{Dtype, Op, Plan, Split};
use tch::{Device, Kind, Tensor};

use super::wide;
use crate::native::{Result, kernels};

/// Cosines and sines by position, one table for each rotation in a plan.
#[derive(Debug, Default)]
pub struct Tables(Vec<(Key, Tensor)>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Key {
    rotary: u64,
    base: f64,
    scale: f64,
    kind: Kind,
}

impl Key {
    fn new(split: &Split, kind: Kind) -> Self {
        Key {
            rotary: split.rotary,
            base: split.base,
            scale: split.scale,
            kind,
        }
    }
}

impl Tables {
    /// The tables that a plan's instructions name, for sequences of its length, on a device.
    ///
    /// # Errors
    /// libtorch's text.
    pub fn of(plan: &Plan, device: Device) -> Result<Tables> {
        let kind = if plan.training.compute == Dtype::F64 {
            Kind::Double
        } else {
            Kind::Float
        };
        let mut tables = Tables::default();
        for instr in plan.bodies.iter().flat_map(|body| &body.code) {
            if let Op::SplitHeads(split) | Op::SplitHeadsBackward(split) = &instr.op {
                tables.add(split, plan.training.sequence, (kind, device))?;
            }
        }
        Ok(tables)
    }

    /// Makes one table, unless it is there.
    ///
    /// # Errors
    /// libtorch's text.
    pub fn add(
        &mut self,
        split: &Split,
        positions: u64,
        (kind, device): (Kind, Device),
    ) -> Result<()> {
        let key = Key::new(split, kind);
        if self.0.iter().all(|(known, _)| *known != key) {
            self.0
                .push((key, table(&key, positions)?.f_to_device(device)?));
        }
        Ok(())
    }

    /// The table for operands of a type.
    ///
    /// # Errors
    /// It was not made before.
    pub fn get(&self, split: &Split, operand: &Tensor) -> Result<&Tensor> {
        let key = Key::new(split, wide(operand.kind()));
        self.0
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, table)| table)
            .ok_or_else(|| tch::TchError::Shape(format!("no rotation table for {key:?}")))
    }
}

/// `[2, positions, rotary / 2]`: cosines, then sines, of `position / scale * base^(-2 i / rotary)`.
fn table(key: &Key, positions: u64) -> Result<Tensor> {
    let &Key {
        rotary,
        base,
        scale,
        kind,
    } = key;
    let (half, positions) = ((rotary / 2) as i64, positions as i64);
    let exact = (Kind::Double, Device::Cpu);
    let exponents = Tensor::f_arange(half, exact)?.f_mul_scalar(-2.0 / rotary.max(1) as f64)?;
    let frequencies = Tensor::f_full(half, base, exact)?.f_pow(&exponents)?;
    let angles = Tensor::f_arange(positions, exact)?
        .f_div_scalar(scale)?
        .f_outer(&frequencies)?;
    Tensor::f_stack(&[angles.f_cos()?, angles.f_sin()?], 0)?.f_to_kind(kind)
}

/// `(q, k, v)` of `qkv[B, S, G * (group + 2) * D]`.
pub fn forward(qkv: &Tensor, split: &Split, table: &Tensor) -> Result<[Tensor; 3]> {
    forward_with(qkv, split, table, |joint, parts, shape| {
        kernels::split_heads(joint, parts, table, shape, true)
    })
}

/// The same by another kernel: it is handed the joint projection, dense parts to fill, and their shape.
pub fn forward_with(
    qkv: &Tensor,
    split: &Split,
    table: &Tensor,
    work: impl Fn(&Tensor, [&Tensor; 3], kernels::Heads) -> Result<()>,
) -> Result<[Tensor; 3]> {
    let (batch, positions, joint) = qkv.size3()?;
    let (width, group) = (split.head_dim as i64, split.group as i64);
    let shape = kernels::Heads {
        positions,
        heads: joint / ((group + 2) * width),
        group,
        width,
    };
    check_table(table, shape)?;
    let empty =
        |heads| Tensor::f_empty([batch, positions, heads, width], (qkv.kind(), qkv.device()));
    let parts = [
        empty(shape.heads * group)?,
        empty(shape.heads)?,
        empty(shape.heads)?,
    ];
    work(qkv, parts.each_ref(), shape)?;
    let [q, k, v] = parts;
    Ok([
        q.f_transpose(1, 2)?,
        k.f_transpose(1, 2)?,
        v.f_transpose(1, 2)?,
    ])
}

/// `dqkv` of `(dq, dk, dv)`.
pub fn backward(parts: [&Tensor; 3], table: &Tensor) -> Result<Tensor> {
    backward_with(parts, table, |joint, parts, shape| {
        kernels::split_heads(joint, parts, table, shape, false)
    })
}

/// The same by another kernel: it is handed the joint projection to fill, dense parts, and their shape.
pub fn backward_with(
    parts: [&Tensor; 3],
    table: &Tensor,
    work: impl Fn(&Tensor, [&Tensor; 3], kernels::Heads) -> Result<()>,
) -> Result<Tensor> {
    let (batch, heads, positions, width) = parts[1].size4()?;
    let group = parts[0].size4()?.1 / heads.max(1);
    let shape = kernels::Heads {
        positions,
        heads,
        group,
        width,
    };
    check_table(table, shape)?;
    let dense = |part: &Tensor| part.f_transpose(1, 2)?.f_contiguous();
    let [q, k, v] = [dense(parts[0])?, dense(parts[1])?, dense(parts[2])?];
    let joint = Tensor::f_empty(
        [batch, positions, heads * (group + 2) * width],
        (q.kind(), q.device()),
    )?;
    work(&joint, [&q, &k, &v], shape)?;
    Ok(joint)
}

fn check_table(table: &Tensor, shape: kernels::Heads) -> Result<()> {
    let (_, positions, half) = table.size3()?;
    if positions >= shape.positions && 2 * half <= shape.width {
        return Ok(());
    }
    Err(tch::TchError::Shape(format!(
        "a rotation table of {positions} positions and {half} pairs does not fit {shape:?}"
    )))
}
