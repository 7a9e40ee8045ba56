//! LayerNorm and RMSNorm, alone or behind an addition, and their gradients.

use tch::Tensor;

use super::{Launch, NORM, Words, dense, many, row_threads, solid};
use crate::native::Result;
use crate::ops::{wide, width};

/// Rows of one partial sum of the parameters' gradients.
const STRETCH: i64 = 128;
/// Partial sums at most.
const PARTS: i64 = 256;

/// What a norm is made of.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'t> {
    /// Factor of each column, in the wide type.
    pub weight: &'t Tensor,
    /// Shift of each column.
    pub bias: Option<&'t Tensor>,
    /// Added to the mean square.
    pub eps: f64,
    /// Whether the mean is taken off: LayerNorm.
    pub centred: bool,
}

/// The norm of `x`, or of `x + more`: `y`, then the mean where it is centred, then one over the deviation. `sum` takes `x + more`.
///
/// # Errors
/// Operands that do not fit.
pub fn forward(
    kernels: &dyn Launch,
    x: &Tensor,
    added: Option<[&Tensor; 2]>,
    norm: &Norm<'_>,
) -> Result<Vec<Tensor>> {
    let (kind, wide, columns) = (x.kind(), wide(x.kind()), width(x));
    let x = solid(x)?;
    let rows = x.numel() as i64 / columns.max(1);
    dense("the weight", norm.weight, wide, columns)?;
    norm.bias
        .map_or(Ok(()), |bias| dense("the bias", bias, wide, columns))?;
    let more = added.map(|[more, _]| solid(more)).transpose()?;
    let sum = added.map(|[_, sum]| sum);
    for one in more.iter().chain(sum) {
        dense("what is added", one, kind, rows * columns)?;
    }
    let mut leading = x.size();
    leading.pop();
    let y = Tensor::f_empty(x.size(), (kind, x.device()))?;
    let statistic = || Tensor::f_empty(&leading, (wide, x.device()));
    let mean = norm.centred.then(statistic).transpose()?;
    let rstd = statistic()?;
    Words::new()
        .tensor(&x)
        .perhaps(more.as_ref())
        .perhaps(sum)
        .tensor(norm.weight)
        .perhaps(norm.bias)
        .tensor(&y)
        .perhaps(mean.as_ref())
        .tensor(&rstd)
        .number(columns)
        .float(norm.eps)
        .launch(
            kernels,
            NORM,
            ("norm", kind),
            [many(rows), 1],
            row_threads(columns, kind),
        )?;
    Ok([Some(y), mean, Some(rstd)].into_iter().flatten().collect())
}

/// `dx`; the gradients of weight and bias are added to their accumulators.
///
/// # Errors
/// Operands that do not fit.
pub fn backward(
    kernels: &dyn Launch,
    [dy, x, weight]: [&Tensor; 3],
    (mean, rstd): (Option<&Tensor>, &Tensor),
    (dweight, dbias): (&Tensor, Option<&Tensor>),
) -> Result<Tensor> {
    let (kind, wide, columns) = (x.kind(), wide(x.kind()), width(x));
    let (dy, x) = (solid(dy)?, solid(x)?);
    let rows = x.numel() as i64 / columns.max(1);
    dense("dy", &dy, kind, rows * columns)?;
    for one in [Some(weight), Some(dweight), dbias].into_iter().flatten() {
        dense("weight or gradient", one, wide, columns)?;
    }
    for one in [mean, Some(rstd)].into_iter().flatten() {
        dense("a statistic", one, wide, rows)?;
    }
    let dx = Tensor::f_empty(x.size(), (kind, x.device()))?;
    let statistics = |words: Words| words.perhaps(mean).tensor(rstd);
    statistics(Words::new().tensor(&dy).tensor(&x).tensor(weight))
        .tensor(&dx)
        .number(columns)
        .launch(
            kernels,
            NORM,
            ("norm_backward", kind),
            [many(rows), 1],
            row_threads(columns, kind),
        )?;
    let parts = (rows / STRETCH).clamp(1, PARTS);
    let partial = Tensor::f_empty([parts, 2, columns], (wide, x.device()))?;
    let grid = [many((columns + 31) / 32), many(parts)];
    statistics(Words::new().tensor(&dy).tensor(&x))
        .tensor(&partial)
        .number(rows)
        .number(columns)
        .number(parts)
        .launch(kernels, NORM, ("norm_columns", kind), grid, 256)?;
    Words::new()
        .tensor(&partial)
        .tensor(dweight)
        .perhaps(dbias)
        .number(columns)
        .number(parts)
        .launch(
            kernels,
            NORM,
            ("norm_total", kind),
            [many((columns + 127) / 128), 1],
            128,
        )?;
    Ok(dx)
}
