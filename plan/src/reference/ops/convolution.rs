//! The short convolution: each channel by itself, over its own position and those just before.

use crate::reference::value::{Unfit, Value, one_type};

/// `y[b, s, c] = sum of weight[c, w] x[b, s - (W - 1) + w, c]`.
///
/// # Errors
/// Shapes or types.
pub fn forward(x: &Value, weight: &Value) -> Result<Value, Unfit> {
    let [_, positions, channels] = x.shape()?;
    let taps = taps(x, weight)?;
    let mut data = vec![0.0; x.data.len()];
    for (at, y) in data.iter_mut().enumerate() {
        for (from, tap) in reach(at, positions, channels, taps) {
            *y += weight.data[at % channels * taps + tap] * x.data[from];
        }
    }
    Ok(Value::like(x, &x.dims, data))
}

/// The gradient of the input; that of the weights is added to `dweight`.
///
/// # Errors
/// Shapes or types.
pub fn backward(
    dy: &Value,
    x: &Value,
    weight: &Value,
    dweight: &mut Value,
) -> Result<Value, Unfit> {
    let [_, positions, channels] = x.shape()?;
    let taps = taps(x, weight)?;
    dy.expect(&x.dims)?;
    dweight.expect(&weight.dims)?;
    one_type(&[dy, x])?;
    let mut data = vec![0.0; x.data.len()];
    for (at, dy) in dy.data.iter().enumerate() {
        for (from, tap) in reach(at, positions, channels, taps) {
            let weight_at = at % channels * taps + tap;
            data[from] += weight.data[weight_at] * dy;
            dweight.data[weight_at] += dy * x.data[from];
        }
    }
    Ok(Value::like(x, &x.dims, data))
}

/// What an entry sees, as indices of entries with the weight's tap.
fn reach(
    at: usize,
    positions: usize,
    channels: usize,
    taps: usize,
) -> impl Iterator<Item = (usize, usize)> {
    let position = at / channels % positions;
    let back = (0..taps.min(position + 1)).rev();
    back.map(move |back| (at - back * channels, taps - 1 - back))
}

fn taps(x: &Value, weight: &Value) -> Result<usize, Unfit> {
    let [_, _, channels] = x.shape()?;
    let [_, taps] = weight.shape()?;
    weight.expect(&[channels, taps])?;
    one_type(&[x, weight])?;
    Ok(taps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ops::differences::{assert_gradient, numbers};

    #[test]
    fn a_position_sees_itself_by_the_last_weight_and_nothing_behind() {
        let x = Value::free(&[1, 3, 1], vec![1.0, 10.0, 100.0]);
        let weight = Value::free(&[1, 2], vec![3.0, 2.0]);
        assert_eq!(forward(&x, &weight).unwrap().data, [2.0, 23.0, 230.0]);
    }

    #[test]
    fn backward_is_the_derivative() {
        for taps in [1, 3, 6] {
            let (x, dy) = (numbers(&[2, 4, 3], 1), numbers(&[2, 4, 3], 2));
            let weight = numbers(&[3, taps], 3);
            let mut dweight = Value::free(&[3, taps], vec![0.0; 3 * taps]);
            let dx = backward(&dy, &x, &weight, &mut dweight).unwrap();
            assert_gradient(&x, &dx, &dy, |x| forward(x, &weight).unwrap());
            assert_gradient(&weight, &dweight, &dy, |weight| {
                forward(&x, weight).unwrap()
            });
        }
    }
}
