//! Matrix products of a linear layer, forward and both halves of backward.
//!
//! Where the processor has no 16-bit products, libtorch imitates them at a fifth of the speed of f32; there operands are
//! widened first, which also sums more exactly.

use std::sync::LazyLock;

use tch::{Device, Kind, Tensor};

use super::{device, rows, width};
use crate::native::Result;

/// Whether 16-bit products are better made of widened operands here.
static WIDENS: LazyLock<bool> = LazyLock::new(|| {
    #[cfg(target_arch = "x86_64")]
    return !std::is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
});

/// `y = x weightᵀ`, plus the bias where there is one.
pub fn forward(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (matrix, transposed) = (operand(&rows(x)?)?, operand(weight)?.f_tr()?);
    let y = match bias {
        Some(bias) => bias
            .f_to_kind(matrix.kind())?
            .f_addmm(&matrix, &transposed)?,
        None => matrix.f_mm(&transposed)?,
    };
    shaped_like(x, &y)
}

/// `dx = dy weight`.
pub fn backward_input(dy: &Tensor, weight: &Tensor) -> Result<Tensor> {
    shaped_like(dy, &operand(&rows(dy)?)?.f_mm(&operand(weight)?)?)
}

/// `dweight += dyᵀ x`, inside the matrix product where the accumulator has the operands' type.
pub fn backward_weight(dy: &Tensor, x: &Tensor, dweight: &Tensor) -> Result<()> {
    let (dy, x) = (operand(&rows(dy)?)?.f_tr()?, operand(&rows(x)?)?);
    let mut sum = dweight.shallow_clone();
    if x.device() != Device::Cpu && dweight.kind() == Kind::Float && x.kind() != Kind::Float {
        device::accumulate_product(&sum, &dy, &x)?;
    } else if dweight.kind() == x.kind() {
        let _ = sum.f_addmm_(&dy, &x)?;
    } else {
        let _ = sum.f_add_(&dy.f_mm(&x)?)?;
    }
    Ok(())
}

/// An operand in the type its products are made in.
fn operand(x: &Tensor) -> Result<Tensor> {
    if x.device() == Device::Cpu && x.kind() == Kind::BFloat16 && *WIDENS {
        x.f_to_kind(Kind::Float)
    } else {
        Ok(x.shallow_clone())
    }
}

/// The rows of `y` in the type and under the leading dimensions of `x`.
fn shaped_like(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let mut dims = x.size();
    if let Some(last) = dims.last_mut() {
        *last = width(y);
    }
    y.f_to_kind(x.kind())?.f_view(dims.as_slice())
}
