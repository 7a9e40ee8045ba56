//! The gated product of a feed-forward half: a nonlinearity of one operand times the other.

use super::activation::{slope, value};
use crate::op::Activation;
use crate::reference::value::{Unfit, Value, one_type};

/// `y = f(gate) up`.
///
/// # Errors
/// Shapes or types.
pub fn forward(kind: Activation, gate: &Value, up: &Value) -> Result<Value, Unfit> {
    up.expect(&gate.dims)?;
    one_type(&[gate, up])?;
    let pairs = gate.data.iter().zip(&up.data);
    let data = pairs.map(|(&gate, up)| value(kind, gate) * up).collect();
    Ok(Value::like(gate, &gate.dims, data))
}

/// `dgate = dy up f'(gate)` and `dup = dy f(gate)`.
///
/// # Errors
/// Shapes or types.
pub fn backward(
    kind: Activation,
    dy: &Value,
    gate: &Value,
    up: &Value,
) -> Result<[Value; 2], Unfit> {
    up.expect(&gate.dims)?;
    dy.expect(&gate.dims)?;
    one_type(&[dy, gate, up])?;
    let (mut dgate, mut dup) = (Vec::new(), Vec::new());
    for ((dy, &gate), up) in dy.data.iter().zip(&gate.data).zip(&up.data) {
        dgate.push(dy * up * slope(kind, gate));
        dup.push(dy * value(kind, gate));
    }
    Ok([dgate, dup].map(|data| Value::like(gate, &gate.dims, data)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ops::differences::{assert_gradient, numbers};

    #[test]
    fn backward_is_the_derivative() {
        let dims = [2, 3, 4];
        let (gate, up, dy) = (numbers(&dims, 1), numbers(&dims, 2), numbers(&dims, 3));
        for kind in [Activation::Silu, Activation::Gelu] {
            let y = |gate: &Value, up: &Value| forward(kind, gate, up).unwrap();
            let [dgate, dup] = backward(kind, &dy, &gate, &up).unwrap();
            assert_gradient(&gate, &dgate, &dy, |gate| y(gate, &up));
            assert_gradient(&up, &dup, &dy, |up| y(&gate, up));
        }
    }
}
