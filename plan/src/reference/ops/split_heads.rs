//! The split of packed queries, keys and values into heads, with rotary positions on the way.
//!
//! A packed row holds `[q, k, v]` for each head. The first `rotary` entries of q and k are rotated, entry `i` together with
//! entry `i + rotary / 2`, by the position times `base^(-2 i / rotary)`.

use crate::reference::value::{Unfit, Value, one_type};

/// `(qkv) -> (q, k, v)`.
///
/// # Errors
/// Shapes, or attributes that do not fit them.
pub fn forward(
    qkv: &Value,
    head_dim: usize,
    rotary: usize,
    base: f64,
) -> Result<[Value; 3], Unfit> {
    let [batch, positions, width] = qkv.shape()?;
    attributes(width, head_dim, rotary)?;
    one_type(&[qkv])?;
    let heads = width / (3 * head_dim);
    let dims = [batch, heads, positions, head_dim];
    Ok([0, 1, 2].map(|part| {
        let mut data = Vec::with_capacity(qkv.data.len() / 3);
        for (sequence, head) in pairs(batch, heads) {
            for position in 0..positions {
                let start =
                    (sequence * positions + position) * width + (head * 3 + part) * head_dim;
                let mut row = qkv.data[start..start + head_dim].to_vec();
                if part < 2 {
                    rotate(&mut row[..rotary], position as f64, base);
                }
                data.append(&mut row);
            }
        }
        Value::like(qkv, &dims, data)
    }))
}

/// `(dq, dk, dv) -> dqkv`: rotates back and packs.
///
/// # Errors
/// Shapes, or attributes that do not fit them.
pub fn backward(
    parts: [&Value; 3],
    head_dim: usize,
    rotary: usize,
    base: f64,
) -> Result<Value, Unfit> {
    let [batch, heads, positions, width] = parts[0].shape()?;
    parts
        .iter()
        .try_for_each(|part| part.expect(&[batch, heads, positions, head_dim]))?;
    attributes(heads * 3 * width, head_dim, rotary)?;
    one_type(&parts)?;
    let packed = heads * 3 * head_dim;
    let mut data = vec![0.0; batch * positions * packed];
    for (index, part) in parts.iter().enumerate() {
        for (sequence, head) in pairs(batch, heads) {
            for position in 0..positions {
                let from = ((sequence * heads + head) * positions + position) * head_dim;
                let to = (sequence * positions + position) * packed + (head * 3 + index) * head_dim;
                let row = &mut data[to..to + head_dim];
                row.copy_from_slice(&part.data[from..from + head_dim]);
                if index < 2 {
                    rotate(&mut row[..rotary], -(position as f64), base);
                }
            }
        }
    }
    Ok(Value::like(parts[0], &[batch, positions, packed], data))
}

fn attributes(width: usize, head_dim: usize, rotary: usize) -> Result<(), Unfit> {
    let whole = head_dim > 0 && width.is_multiple_of(3 * head_dim);
    match whole && rotary <= head_dim && rotary.is_multiple_of(2) {
        true => Ok(()),
        false => Err(Unfit(format!(
            "{width} columns for heads of {head_dim} with {rotary} rotated entries"
        ))),
    }
}

fn pairs(sequences: usize, heads: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..sequences).flat_map(move |sequence| (0..heads).map(move |head| (sequence, head)))
}

/// Rotates half against half; a negative position rotates back.
fn rotate(row: &mut [f64], position: f64, base: f64) {
    let half = row.len() / 2;
    for index in 0..half {
        let angle = position * libm::pow(base, -2.0 * index as f64 / row.len() as f64);
        let (sin, cos) = (libm::sin(angle), libm::cos(angle));
        let (first, second) = (row[index], row[index + half]);
        row[index] = first * cos - second * sin;
        row[index + half] = second * cos + first * sin;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ops::differences::{assert_gradient, numbers};

    #[test]
    fn backward_is_the_derivative_of_each_part() {
        let qkv = numbers(&[2, 3, 24], 1);
        for part in 0..3 {
            let grads: Vec<Value> = (0..3)
                .map(|index| {
                    let grad = numbers(&[2, 2, 3, 4], 5);
                    if index == part {
                        grad
                    } else {
                        Value::free(&grad.dims, vec![0.0; grad.data.len()])
                    }
                })
                .collect();
            let dqkv = backward([&grads[0], &grads[1], &grads[2]], 4, 2, 100.0).unwrap();
            assert_gradient(&qkv, &dqkv, &grads[part], |qkv| {
                forward(qkv, 4, 2, 100.0).unwrap()[part].clone()
            });
        }
    }

    #[test]
    fn the_first_position_is_not_rotated() {
        let qkv = numbers(&[1, 2, 12], 1);
        let [q, k, v] = forward(&qkv, 4, 4, 10_000.0).unwrap();
        let whole: Vec<f64> = [&q.data[..4], &k.data[..4], &v.data[..4]].concat();
        assert_eq!(whole, qkv.data[..12]);
        assert!(q.data[4..] != qkv.data[12..16]);
    }
}
