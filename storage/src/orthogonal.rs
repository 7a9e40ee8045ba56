//! Matrices whose shorter side is at right angles: what Saxe et al. (arXiv 1312.6120) begin with.
//!
//! In come normal values, out come the orthogonal factor of their QR decomposition, with the signs that make it evenly spread over all such
//! matrices (arXiv math-ph/0609050), times a gain. Sums run in one order on every machine, so that no placement changes a bit; every rank makes the
//! whole matrix and keeps its piece.

/// Sums that run beside each other in a product of two vectors.
const LANES: usize = 8;

/// The orthogonal matrix of so many rows and columns, row by row, of as many normal values.
pub fn orthogonal(normal: &[f64], [rows, columns]: [usize; 2], gain: f64) -> Vec<f64> {
    let (long, short) = (rows.max(columns), rows.min(columns));
    let is_tall = rows >= columns;
    let place = |vector: usize, element: usize| match is_tall {
        true => element * columns + vector,
        false => vector * columns + element,
    };
    let column = |vector| {
        (0..long)
            .map(|element| normal[place(vector, element)])
            .collect()
    };
    let mut vectors: Vec<Vec<f64>> = (0..short).map(column).collect();
    let reflections = reflect(&mut vectors);
    let factor = factor(&vectors, &reflections, long);
    let mut matrix = vec![0.0; rows * columns];
    for (vector, (values, reflection)) in factor.iter().zip(&reflections).enumerate() {
        let signed = gain * reflection.diagonal.signum();
        for (element, value) in values.iter().enumerate() {
            matrix[place(vector, element)] = signed * value;
        }
    }
    matrix
}

/// What a reflection left behind beside its vector, which stands where it worked.
struct Reflection {
    /// The entry of the triangular factor.
    diagonal: f64,
    /// Two over the vector's square.
    scale: f64,
}

/// Householder's reflections, one for each vector; each takes its vector's place from its own number on.
fn reflect(vectors: &mut [Vec<f64>]) -> Vec<Reflection> {
    let mut reflections = Vec::with_capacity(vectors.len());
    for at in 0..vectors.len() {
        let (before, behind) = vectors.split_at_mut(at + 1);
        let own = &mut before[at][at..];
        let norm = dot(own, own).sqrt();
        let diagonal = if own[0] > 0.0 { -norm } else { norm };
        own[0] -= diagonal;
        let square = dot(own, own);
        let scale = if square > 0.0 { 2.0 / square } else { 0.0 };
        for other in behind {
            mirror(own, scale, &mut other[at..]);
        }
        reflections.push(Reflection { diagonal, scale });
    }
    reflections
}

/// The first columns of the product of all reflections.
fn factor(vectors: &[Vec<f64>], reflections: &[Reflection], long: usize) -> Vec<Vec<f64>> {
    let unit = |at: usize| {
        let mut column = vec![0.0; long];
        column[at] = 1.0;
        column
    };
    let mut columns: Vec<Vec<f64>> = (0..vectors.len()).map(unit).collect();
    for (at, reflection) in reflections.iter().enumerate().rev() {
        for column in &mut columns[at..] {
            mirror(&vectors[at][at..], reflection.scale, &mut column[at..]);
        }
    }
    columns
}

/// Mirrors a vector at the plane that another one is normal to.
fn mirror(normal: &[f64], scale: f64, vector: &mut [f64]) {
    let part = scale * dot(normal, vector);
    for (own, normal) in vector.iter_mut().zip(normal) {
        *own -= part * normal;
    }
}

/// The product of two vectors, in as many sums as there are lanes, which are added in pairs.
fn dot(one: &[f64], other: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (ones, others) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    let rest = ones.remainder().iter().zip(others.remainder());
    let rest: f64 = rest.map(|(a, b)| a * b).sum();
    for (a, b) in ones.zip(others) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
    }
    sums[0] + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<f64> {
        let value = |at: usize| ((at * at + 3 * at) as f64 * 0.618).sin() * 2.0;
        (0..count).map(value).collect()
    }

    #[test]
    fn the_shorter_side_is_at_right_angles_and_as_long_as_the_gain() {
        for (rows, columns) in [(5, 5), (40, 17), (17, 40), (1, 9), (9, 1)] {
            let matrix = orthogonal(&numbers(rows * columns), [rows, columns], 1.5);
            let short = rows.min(columns);
            let vector = |at: usize| -> Vec<f64> {
                let rowwise = matrix.chunks(columns);
                match rows >= columns {
                    true => rowwise.map(|row| row[at]).collect(),
                    false => matrix[at * columns..(at + 1) * columns].to_vec(),
                }
            };
            for one in 0..short {
                for other in 0..short {
                    let wanted = if one == other { 2.25 } else { 0.0 };
                    let found = dot(&vector(one), &vector(other));
                    assert!(
                        (found - wanted).abs() < 1e-13,
                        "{rows} x {columns}: {found}"
                    );
                }
            }
        }
    }

    #[test]
    fn of_what_is_upright_the_directions_stay() {
        let upright = [3.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, -2.0];
        let matrix = orthogonal(&upright, [3, 3], 1.0);
        let wanted = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0];
        let apart = matrix
            .iter()
            .zip(wanted)
            .map(|(one, other)| (one - other).abs());
        assert!(apart.fold(0.0, f64::max) < 1e-15, "{matrix:?}");
    }
}
