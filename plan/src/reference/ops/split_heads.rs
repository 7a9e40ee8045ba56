//! The split of packed queries, keys and values into heads, with rotary positions on the way.
//!
//! A packed row holds, for each head of keys and values, the heads of queries that share it, then its key and its value. The first
//! `rotary` entries of q and k are rotated, entry `i` together with entry `i + rotary / 2`, by the position over `scale` times
//! `base^(-2 i / rotary)`.

use crate::Split;
use crate::reference::value::{Unfit, Value, one_type};

/// `(qkv) -> (q, k, v)`.
///
/// # Errors
/// Shapes, or attributes that do not fit them.
pub fn forward(qkv: &Value, split: &Split) -> Result<[Value; 3], Unfit> {
    let [batch, positions, width] = qkv.shape()?;
    one_type(&[qkv])?;
    let rows = Rows::of(split, [batch, positions, width])?;
    let mut parts = rows.dims().map(|dims| {
        let count = dims.iter().product();
        Value::like(qkv, &dims, vec![0.0; count])
    });
    rows.each(|packed, part, own, angle| {
        let row = &mut parts[part].data[own..own + rows.head];
        row.copy_from_slice(&qkv.data[packed..packed + rows.head]);
        rows.rotate(row, part, angle);
    });
    Ok(parts)
}

/// `(dq, dk, dv) -> dqkv`: rotates back and packs.
///
/// # Errors
/// Shapes, or attributes that do not fit them.
pub fn backward(parts: [&Value; 3], split: &Split) -> Result<Value, Unfit> {
    let [batch, heads, positions, width] = parts[1].shape()?;
    one_type(&parts)?;
    let columns = heads * (split.group as usize + 2) * width;
    let rows = Rows::of(split, [batch, positions, columns])?;
    for (part, dims) in parts.iter().zip(rows.dims()) {
        part.expect(&dims)?;
    }
    let mut data = vec![0.0; batch * positions * columns];
    rows.each(|packed, part, own, angle| {
        let row = &mut data[packed..packed + rows.head];
        row.copy_from_slice(&parts[part].data[own..own + rows.head]);
        rows.rotate(row, part, -angle);
    });
    Ok(Value::like(parts[0], &[batch, positions, columns], data))
}

/// The heads of packed rows.
struct Rows {
    batch: usize,
    positions: usize,
    /// Heads of keys and values.
    keys: usize,
    /// Heads of queries for each of them.
    group: usize,
    /// Width of a head.
    head: usize,
    rotary: usize,
    base: f64,
    scale: f64,
}

impl Rows {
    fn of(split: &Split, [batch, positions, width]: [usize; 3]) -> Result<Rows, Unfit> {
        let (head, group) = (split.head_dim as usize, split.group as usize);
        let (rotary, columns) = (split.rotary as usize, (group + 2) * head);
        let whole = head > 0 && group > 0 && width.is_multiple_of(columns);
        if !whole || rotary > head || !rotary.is_multiple_of(2) {
            return Err(Unfit(format!(
                "{width} columns for heads of {head} in groups of {group} with {rotary} rotated entries"
            )));
        }
        Ok(Rows {
            batch,
            positions,
            keys: width / columns,
            group,
            head,
            rotary,
            base: split.base,
            scale: split.scale,
        })
    }

    /// Dimensions of q, k and v.
    fn dims(&self) -> [[usize; 4]; 3] {
        let dims = |heads| [self.batch, heads, self.positions, self.head];
        [
            dims(self.keys * self.group),
            dims(self.keys),
            dims(self.keys),
        ]
    }

    /// Calls with each head's place in the packed row, which part it belongs to, its place there, and its position.
    fn each(&self, mut call: impl FnMut(usize, usize, usize, f64)) {
        let slots = self.group + 2;
        for sequence in 0..self.batch {
            for position in 0..self.positions {
                for slot in 0..self.keys * slots {
                    let (key, slot_of_key) = (slot / slots, slot % slots);
                    let part = (slot_of_key + 1).saturating_sub(self.group);
                    let (heads, head) = match part {
                        0 => (self.keys * self.group, key * self.group + slot_of_key),
                        _ => (self.keys, key),
                    };
                    let row = sequence * self.positions + position;
                    let packed = (row * self.keys * slots + slot) * self.head;
                    let own = ((sequence * heads + head) * self.positions + position) * self.head;
                    call(packed, part, own, position as f64 / self.scale);
                }
            }
        }
    }

    fn rotate(&self, row: &mut [f64], part: usize, angle: f64) {
        if part < 2 {
            rotate(&mut row[..self.rotary], angle, self.base);
        }
    }
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

    fn split(rotary: u64, base: f64, group: u64) -> Split {
        Split {
            head_dim: 4,
            rotary,
            base,
            scale: 1.5,
            group,
        }
    }

    #[test]
    fn backward_is_the_derivative_of_each_part() {
        for group in [1, 3] {
            let how = split(2, 100.0, group);
            let qkv = numbers(&[2, 3, 8 * (group as usize + 2)], 1);
            for part in 0..3 {
                let heads = [2 * group as usize, 2, 2];
                let grads: Vec<Value> = (0..3)
                    .map(|index| {
                        let grad = numbers(&[2, heads[index], 3, 4], 5);
                        match index == part {
                            true => grad,
                            false => Value::free(&grad.dims, vec![0.0; grad.data.len()]),
                        }
                    })
                    .collect();
                let dqkv = backward([&grads[0], &grads[1], &grads[2]], &how).unwrap();
                assert_gradient(&qkv, &dqkv, &grads[part], |qkv| {
                    forward(qkv, &how).unwrap()[part].clone()
                });
            }
        }
    }

    #[test]
    fn the_first_position_is_not_rotated() {
        let qkv = numbers(&[1, 2, 12], 1);
        let [q, k, v] = forward(&qkv, &split(4, 10_000.0, 1)).unwrap();
        let whole: Vec<f64> = [&q.data[..4], &k.data[..4], &v.data[..4]].concat();
        assert_eq!(whole, qkv.data[..12]);
        assert!(q.data[4..] != qkv.data[12..16]);
    }

    #[test]
    fn queries_of_a_group_stand_before_their_key_and_value() {
        let qkv = numbers(&[1, 1, 16], 1);
        let [q, k, v] = forward(&qkv, &split(0, 1.0, 2)).unwrap();
        assert_eq!(q.data, qkv.data[..8]);
        assert_eq!(k.data, qkv.data[8..12]);
        assert_eq!(v.data, qkv.data[12..]);
    }
}
