//! Central differences: what a backward operation must agree with.

use crate::Dtype;
use crate::reference::value::Value;

/// Numbers between -1 and 1 that depend only on their index and the seed.
pub fn numbers(dims: &[usize], seed: u64) -> Value {
    let count: usize = dims.iter().product();
    let number = |index: usize| {
        libm::sin((index as f64 + 1.0) * 12.9898 + seed as f64 * 78.233) * 0.9 + 0.05
    };
    Value::free(dims, (0..count).map(number).collect())
}

/// Token ids below `rows`.
pub fn tokens(dims: &[usize], rows: usize) -> Value {
    let count: usize = dims.iter().product();
    let data = (0..count)
        .map(|index| ((index * 7 + 3) % rows) as f64)
        .collect();
    Value {
        dims: dims.to_vec(),
        dtype: Some(Dtype::I64),
        data,
    }
}

/// Asserts that `found` is the gradient of `sum(dy * forward(x))` at `x`.
pub fn assert_gradient(x: &Value, found: &Value, dy: &Value, forward: impl Fn(&Value) -> Value) {
    assert_eq!(x.dims, found.dims);
    let objective = |x: &Value| {
        forward(x)
            .data
            .iter()
            .zip(&dy.data)
            .map(|(y, dy)| y * dy)
            .sum::<f64>()
    };
    let step = 1e-5;
    for index in 0..x.data.len() {
        let at = |delta: f64| {
            let mut moved = x.clone();
            moved.data[index] += delta;
            objective(&moved)
        };
        let slope = (at(step) - at(-step)) / (2.0 * step);
        let gap = (slope - found.data[index]).abs();
        assert!(
            gap <= 1e-8 * (1.0 + slope.abs()),
            "entry {index}: differences say {slope}, backward {}",
            found.data[index]
        );
    }
}
