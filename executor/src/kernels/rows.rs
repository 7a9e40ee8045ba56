//! Dropout, and sums of squares.

use tch::{Kind, Tensor};

use super::{DROPOUT, Launch, SQUARES, THREADS, Words, blocks, dense, many};
use crate::native::Result;
use crate::ops::width;

/// Elements whose squares one block adds up.
const STRETCH: i64 = 1 << 16;

/// Rows of the dense `x` into `y`, which may be `x` itself, dropped as [`crate::native::kernels::dropout`] does.
///
/// # Errors
/// Operands that do not fit.
pub fn dropout(
    kernels: &dyn Launch,
    [x, y, keys]: [&Tensor; 3],
    threshold: u32,
    grown: f64,
) -> Result<()> {
    let (elements, columns) = (x.numel() as i64, width(x));
    dense("x", x, x.kind(), elements)?;
    dense("y", y, x.kind(), elements)?;
    dense("the keys", keys, Kind::Int64, elements / columns.max(1))?;
    let words = Words::new().tensor(x).tensor(keys).tensor(y);
    let words = words.number(elements).number(columns);
    let words = words.number(i64::from(threshold)).float(grown);
    let grid = [blocks(elements, 4), 1];
    words.launch(kernels, DROPOUT, ("dropout", x.kind()), grid, THREADS)
}

/// The sum of all squares, one double on the device.
///
/// # Errors
/// Operands that do not fit.
pub fn sum_squares(kernels: &dyn Launch, x: &Tensor) -> Result<Tensor> {
    let elements = x.numel() as i64;
    dense("x", x, x.kind(), elements)?;
    let parts = (elements + STRETCH - 1) / STRETCH;
    let sums = Tensor::f_empty([parts], (Kind::Double, x.device()))?;
    let words = Words::new().tensor(x).tensor(&sums);
    let words = words.number(elements).number(STRETCH);
    words.launch(
        kernels,
        SQUARES,
        ("squares", x.kind()),
        [many(parts), 1],
        THREADS,
    )?;
    sums.f_sum(Kind::Double)
}
