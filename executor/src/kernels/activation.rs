//! Nonlinearities, alone and as a gate, and their gradients.

use pleach_plan::Activation;
use tch::{Kind, Tensor};

use super::{ACTIVATION, Launch, THREADS, Words, blocks, dense, pack, solid};
use crate::native::Result;

/// The number that kernels know a nonlinearity by.
fn number(kind: Activation) -> i64 {
    match kind {
        Activation::Gelu => 0,
        Activation::GeluTanh => 1,
        Activation::Relu => 2,
        Activation::Silu => 3,
    }
}

/// Runs a kernel over all elements of dense tensors of one type and size.
fn sweep(
    kernels: &dyn Launch,
    name: &str,
    tensors: &[&Tensor],
    (curve, kind, elements): (Activation, Kind, i64),
) -> Result<()> {
    let mut words = Words::new();
    for one in tensors {
        dense("an operand", one, kind, elements)?;
        words = words.tensor(one);
    }
    words.number(elements).number(number(curve)).launch(
        kernels,
        ACTIVATION,
        (name, kind),
        [blocks(elements, pack(kind)), 1],
        THREADS,
    )
}

fn like(x: &Tensor) -> Result<Tensor> {
    Tensor::f_empty(x.size(), (x.kind(), x.device()))
}

/// `y = f(x)`, in the storage of `x` where that ends here.
///
/// # Errors
/// A type that no kernel computes in.
pub fn forward(kernels: &dyn Launch, curve: Activation, x: &Tensor, ends: bool) -> Result<Tensor> {
    let x = solid(x)?;
    let y = if ends { x.shallow_clone() } else { like(&x)? };
    sweep(
        kernels,
        "activation",
        &[&x, &y],
        (curve, x.kind(), x.numel() as i64),
    )?;
    Ok(y)
}

/// `dx`, in the storage of `dy` where that ends here.
///
/// # Errors
/// Operands that do not fit.
pub fn backward(
    kernels: &dyn Launch,
    curve: Activation,
    [dy, x]: [&Tensor; 2],
    ends: bool,
) -> Result<Tensor> {
    let (dy, x) = (solid(dy)?, solid(x)?);
    let dx = if ends { dy.shallow_clone() } else { like(&x)? };
    let sizes = (curve, x.kind(), x.numel() as i64);
    sweep(kernels, "activation_backward", &[&dy, &x, &dx], sizes)?;
    Ok(dx)
}

/// `y = f(gate) up`.
///
/// # Errors
/// Operands that do not fit.
pub fn gated(
    kernels: &dyn Launch,
    curve: Activation,
    gate: &Tensor,
    up: &Tensor,
) -> Result<Tensor> {
    let (gate, up) = (solid(gate)?, solid(up)?);
    let y = like(&gate)?;
    let sizes = (curve, gate.kind(), gate.numel() as i64);
    sweep(kernels, "gated", &[&gate, &up, &y], sizes)?;
    Ok(y)
}

/// `(dgate, dup)`.
///
/// # Errors
/// Operands that do not fit.
pub fn gated_backward(
    kernels: &dyn Launch,
    curve: Activation,
    operands: [&Tensor; 3],
) -> Result<[Tensor; 2]> {
    let [dy, gate, up] = [
        solid(operands[0])?,
        solid(operands[1])?,
        solid(operands[2])?,
    ];
    let made = [like(&gate)?, like(&gate)?];
    let sizes = (curve, gate.kind(), gate.numel() as i64);
    let all = [&dy, &gate, &up, &made[0], &made[1]];
    sweep(kernels, "gated_backward", &all, sizes)?;
    Ok(made)
}
