//! The selective scan, position by position in the wide type, all channels and sequences at once.

use tch::{Kind, Tensor};

use super::{wide, width};
use crate::native::Result;

/// What the scan reads, in the plan's order: x, step, decay, write, read, skip.
pub type Operands<'t> = [&'t Tensor; 6];

/// Operands in the wide type, and what all positions need of them.
struct Scan {
    x: Tensor,
    step: Tensor,
    /// Minus how fast each number of state decays.
    rates: Tensor,
    write: Tensor,
    read: Tensor,
    skip: Tensor,
    kind: Kind,
}

impl Scan {
    fn new([x, step, decay, write, read, skip]: Operands<'_>) -> Result<Scan> {
        let kind = wide(x.kind());
        Ok(Scan {
            x: x.f_to_kind(kind)?,
            step: step.f_to_kind(kind)?.f_softplus()?,
            rates: decay.f_to_kind(kind)?.f_exp()?.f_neg_()?,
            write: write.f_to_kind(kind)?,
            read: read.f_to_kind(kind)?,
            skip: skip.f_to_kind(kind)?,
            kind,
        })
    }

    fn positions(&self) -> Result<i64> {
        Ok(self.x.size3()?.1)
    }

    /// The state before the first position: `[B, C, N]`.
    fn zeros(&self) -> Result<Tensor> {
        let (batch, _, channels) = self.x.size3()?;
        let dims = [batch, channels, width(&self.rates)];
        Tensor::f_zeros(dims, (self.kind, self.x.device()))
    }

    /// A position's entry for each channel: `[B, C, 1]`.
    fn column(&self, of: &Tensor, position: i64) -> Result<Tensor> {
        of.f_select(1, position)?.f_unsqueeze(-1)
    }

    /// A position's entry for each number of state: `[B, 1, N]`.
    fn row(&self, of: &Tensor, position: i64) -> Result<Tensor> {
        of.f_select(1, position)?.f_unsqueeze(1)
    }

    /// What is kept of the state at a position.
    fn kept(&self, position: i64) -> Result<Tensor> {
        self.column(&self.step, position)?
            .f_mul(&self.rates)?
            .f_exp_()
    }

    /// The state behind a position.
    fn advance(&self, state: &Tensor, position: i64) -> Result<Tensor> {
        let taken = self
            .column(&self.step, position)?
            .f_mul(&self.column(&self.x, position)?)?;
        let mut taken = taken.f_mul(&self.row(&self.write, position)?)?;
        taken.f_add_(&self.kept(position)?.f_mul_(state)?)
    }
}

fn sum(x: &Tensor, dim: i64) -> Result<Tensor> {
    x.f_sum_dim_intlist([dim].as_slice(), false, x.kind())
}

/// `y`.
pub fn forward(operands: Operands<'_>) -> Result<Tensor> {
    let scan = Scan::new(operands)?;
    let y = scan.x.f_mul(&scan.skip)?;
    let mut state = scan.zeros()?;
    for position in 0..scan.positions()? {
        state = scan.advance(&state, position)?;
        let given = state.f_mul(&scan.row(&scan.read, position)?)?;
        let _ = y.f_select(1, position)?.f_add_(&sum(&given, -1)?)?;
    }
    y.f_to_kind(operands[0].kind())
}

/// `(dx, dstep, dwrite, dread)`; the gradients of decay and skip are added to `sums`.
pub fn backward(
    dy: &Tensor,
    operands: Operands<'_>,
    [ddecay, dskip]: [&Tensor; 2],
) -> Result<[Tensor; 4]> {
    let scan = Scan::new(operands)?;
    let dy = dy.f_to_kind(scan.kind)?;
    let positions = scan.positions()?;
    let mut states = vec![scan.zeros()?];
    for position in 0..positions {
        let state = scan.advance(&states[position as usize], position)?;
        states.push(state);
    }
    let dx = dy.f_mul(&scan.skip)?;
    let [dstep, dwrite, dread] = [&scan.step, &scan.write, &scan.read].map(Tensor::f_zeros_like);
    let [dstep, dwrite, dread] = [dstep?, dwrite?, dread?];
    let mut carried = scan.zeros()?;
    let mut faster = Tensor::f_zeros_like(&scan.rates)?;
    for position in (0..positions).rev() {
        let put =
            |into: &Tensor, value: Tensor| into.f_select(1, position)?.f_add_(&value).map(drop);
        let (x, step) = (
            scan.column(&scan.x, position)?,
            scan.column(&scan.step, position)?,
        );
        let (read, write) = (
            scan.row(&scan.read, position)?,
            scan.row(&scan.write, position)?,
        );
        let dy = scan.column(&dy, position)?;
        let after = states.pop().unwrap_or_else(Tensor::new);
        put(&dread, sum(&after.f_mul(&dy)?, 1)?)?;
        drop(after);
        let gradient = carried.f_add_(&dy.f_mul(&read)?)?;
        put(&dwrite, sum(&gradient.f_mul(&step.f_mul(&x)?)?, 1)?)?;
        let into = sum(&gradient.f_mul(&write)?, -1)?.f_unsqueeze(-1)?;
        put(&dx, into.f_mul(&step)?.f_squeeze_dim(-1)?)?;
        carried = scan.kept(position)?.f_mul_(&gradient)?;
        let mut faded = carried.f_mul(&states[position as usize])?;
        let slower = sum(&faded.f_mul(&scan.rates)?, -1)?;
        put(&dstep, into.f_mul(&x)?.f_squeeze_dim(-1)?.f_add_(&slower)?)?;
        let _ = faster.f_add_(&sum(&faded.f_mul_(&step)?, 0)?)?;
    }
    let mut decays = ddecay.shallow_clone();
    let _ = decays.f_add_(&faster.f_mul_(&scan.rates)?)?;
    let passed = dy.f_mul(&scan.x)?;
    let mut skips = dskip.shallow_clone();
    let passed = passed.f_sum_dim_intlist([0i64, 1].as_slice(), false, skips.kind())?;
    let _ = skips.f_add_(&passed)?;
    // The slope of the softplus.
    let slope = operands[1].f_to_kind(scan.kind)?.f_sigmoid()?;
    let dstep = dstep.shallow_clone().f_mul_(&slope)?;
    let kind = operands[0].kind();
    let [dx, dstep, dwrite, dread] = [dx, dstep, dwrite, dread].map(|all| all.f_to_kind(kind));
    Ok([dx?, dstep?, dwrite?, dread?])
}
