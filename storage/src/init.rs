//! Initial values of parameters: a function of seed, name and logical index alone, so that no placement changes them.
//!
//! In come the seed, the parameter's logical name and shape, and which piece of it is wanted; out come the values of that
//! piece. Element `i` of the flat logical tensor owns bytes `16 i .. 16 i + 16` of a BLAKE3 output stream that seed and
//! name open; two uniforms made of them become one normal value by Box and Muller. Transcendental functions come from
//! `libm`, so every machine gets the same bits.

use pleach_plan::Init;

use crate::orthogonal::orthogonal;
use crate::region::Region;
pub use crate::region::Shard;

/// Bytes of the stream that belong to one element.
const BYTES_PER_ELEMENT: usize = 16;
/// Elements that are drawn from the stream at once.
const BLOCK: usize = 4096;
/// Separates these streams from all other uses of BLAKE3.
const CONTEXT: &str = "pleach 2026 initial values of parameters";
/// Weight of the lowest of the 53 bits that make a uniform.
const UNIT: f64 = 1.0 / (1u64 << 53) as f64;

/// Normal values with mean 0 and deviation `std` for the whole tensor, or for the piece `shard` in the piece's own order.
///
/// # Panics
/// If `logical_dims` cannot be cut as `shard` says; a plan that passed its checks never asks that.
pub fn fill_normal(
    seed: u64,
    name: &str,
    logical_dims: &[u64],
    shard: Option<Shard>,
    std: f64,
) -> Vec<f64> {
    drawn(seed, name, logical_dims, shard, |pair| std * normal(pair))
}

/// A function of each element's own random bytes.
fn drawn(
    seed: u64,
    name: &str,
    logical_dims: &[u64],
    shard: Option<Shard>,
    value: impl Fn(&[u8]) -> f64,
) -> Vec<f64> {
    let region = region(name, logical_dims, shard);
    let mut stream = blake3::Hasher::new_derive_key(CONTEXT)
        .update(&seed.to_le_bytes())
        .update(name.as_bytes())
        .finalize_xof();
    let mut values = Vec::with_capacity(region.elements() as usize);
    let mut bytes = vec![0; BLOCK * BYTES_PER_ELEMENT];
    for run in region.runs(0..region.elements()) {
        stream.set_position(run.start * BYTES_PER_ELEMENT as u64);
        let mut left = (run.end - run.start) as usize;
        while left > 0 {
            let taken = left.min(BLOCK);
            let drawn = &mut bytes[..taken * BYTES_PER_ELEMENT];
            stream.fill(drawn);
            values.extend(drawn.chunks_exact(BYTES_PER_ELEMENT).map(&value));
            left -= taken;
        }
    }
    values
}

/// The initial values that a plan asks for, of the whole parameter or of the piece `shard`.
///
/// # Panics
/// As [`fill_normal`].
pub fn fill(
    seed: u64,
    name: &str,
    logical_dims: &[u64],
    shard: Option<Shard>,
    init: &Init,
) -> Vec<f64> {
    let constant = |value| vec![value; region(name, logical_dims, shard).elements() as usize];
    match *init {
        Init::Normal { std } => fill_normal(seed, name, logical_dims, shard, std),
        Init::Uniform { bound } => drawn(seed, name, logical_dims, shard, |pair| {
            bound * (2.0 * turn(&pair[..8]) - 1.0)
        }),
        Init::Orthogonal { gain } => matrices(seed, name, logical_dims, shard, gain),
        Init::Zeros => constant(0.0),
        Init::Ones => constant(1.0),
        Init::LogCounts => log_counts(name, logical_dims, shard),
        Init::Steps { low, high } => drawn(seed, name, logical_dims, shard, |pair| {
            let (from, to) = (libm::log(low), libm::log(high));
            let step = libm::exp(from + turn(&pair[..8]) * (to - from));
            // The softplus of this is the step.
            step + libm::log(-libm::expm1(-step))
        }),
    }
}

/// A piece of orthogonal matrices, each of the last two dimensions.
fn matrices(seed: u64, name: &str, dims: &[u64], shard: Option<Shard>, gain: f64) -> Vec<f64> {
    let [.., rows, columns] = *dims else {
        panic!("`{name}` of shape {dims:?} is no matrix");
    };
    let normal = fill_normal(seed, name, dims, None, 1.0);
    let (rows, columns) = (rows as usize, columns as usize);
    let whole: Vec<f64> = normal
        .chunks(rows * columns)
        .flat_map(|matrix| orthogonal(matrix, [rows, columns], gain))
        .collect();
    let region = region(name, dims, shard);
    let runs = region.runs(0..region.elements());
    runs.flat_map(|run| &whole[run.start as usize..run.end as usize])
        .copied()
        .collect()
}

/// The logarithm of one more than the index in the last dimension.
fn log_counts(name: &str, dims: &[u64], shard: Option<Shard>) -> Vec<f64> {
    let last = dims.last().copied().unwrap_or(1).max(1);
    let region = region(name, dims, shard);
    let runs = region.runs(0..region.elements());
    let value = |index: u64| libm::log((index % last + 1) as f64);
    runs.flat_map(|run| run.map(value)).collect()
}

fn region(name: &str, dims: &[u64], shard: Option<Shard>) -> Region {
    Region::new(dims, shard)
        .unwrap_or_else(|| panic!("`{name}` of shape {dims:?} cannot be cut as {shard:?}"))
}

/// One standard normal value from 16 random bytes.
fn normal(pair: &[u8]) -> f64 {
    // The first uniform excludes 0, whose logarithm is infinite; the second excludes 1, which is the same angle as 0.
    let (radius, turn) = (turn(&pair[..8]) + UNIT, turn(&pair[8..]));
    libm::sqrt(-2.0 * libm::log(radius)) * libm::cos(2.0 * core::f64::consts::PI * turn)
}

/// A number from 0 to below 1, from 8 random bytes.
fn turn(bytes: &[u8]) -> f64 {
    let word = u64::from_le_bytes(bytes.try_into().expect("half of 16 bytes is 8 bytes"));
    (word >> 11) as f64 * UNIT
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_shard_is_a_slice_of_the_whole(
            seed: u64,
            mut dims in proptest::collection::vec(1u64..7, 1..4),
            dim in any::<prop::sample::Index>(),
            count in 1u64..5,
        ) {
            let dim = dim.index(dims.len());
            dims[dim] *= count;
            let whole = fill_normal(seed, "layers.3.mlp.up.weight", &dims, None, 0.5);
            let inner: u64 = dims[dim + 1..].iter().product();
            let piece = dims[dim] / count;
            for index in 0..count {
                let shard = fill_normal(seed, "layers.3.mlp.up.weight", &dims, Some(Shard { dim, index, count }), 0.5);
                let slice: Vec<f64> = (0u64..)
                    .zip(&whole)
                    .filter(|(flat, _)| flat / inner % dims[dim] / piece == index)
                    .map(|(_, &value)| value)
                    .collect();
                prop_assert_eq!(shard, slice);
            }
        }
    }

    #[test]
    fn uniform_values_fill_their_bounds_whatever_the_shard() {
        let init = Init::Uniform { bound: 0.5 };
        let dims = [64, 100];
        let whole = fill(3, "head.weight", &dims, None, &init);
        let count = whole.len() as f64;
        let mean = whole.iter().sum::<f64>() / count;
        let square = whole.iter().map(|value| value * value).sum::<f64>() / count;
        assert!(whole.iter().all(|value| (-0.5..0.5).contains(value)));
        assert!(
            whole.iter().any(|value| *value < -0.49) && whole.iter().any(|value| *value > 0.49)
        );
        assert!(mean.abs() < 0.02 && (square - 1.0 / 12.0).abs() < 0.005);
        let half = |index| Shard {
            dim: 0,
            index,
            count: 2,
        };
        let halves = [0, 1].map(|index| fill(3, "head.weight", &dims, Some(half(index)), &init));
        assert_eq!(halves.concat(), whole);
    }

    #[test]
    fn pieces_of_orthogonal_matrices_are_those_of_the_whole() {
        let (init, dims) = (Init::Orthogonal { gain: 1.5 }, [2, 12, 8]);
        let whole = fill(3, "experts.weight", &dims, None, &init);
        for matrix in whole.chunks(96) {
            let square: f64 = matrix.iter().map(|value| value * value).sum();
            assert!((square - 8.0 * 2.25).abs() < 1e-12, "{square}");
        }
        let piece = |dim, index| {
            let shard = Shard {
                dim,
                index,
                count: 2,
            };
            fill(3, "experts.weight", &dims, Some(shard), &init)
        };
        assert_eq!([0, 1].map(|index| piece(0, index)).concat(), whole);
        let rows: Vec<f64> = whole.chunks(96).flat_map(|it| &it[48..]).copied().collect();
        assert_eq!(piece(1, 1), rows);
        let columns = whole.chunks(8).flat_map(|row| &row[..4]);
        assert_eq!(piece(2, 0), columns.copied().collect::<Vec<_>>());
    }

    #[test]
    fn values_are_normal() {
        let values = fill_normal(7, "head.weight", &[200_000], None, 0.02);
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let moment = |power: i32| {
            values
                .iter()
                .map(|value| ((value - mean) / 0.02).powi(power))
                .sum::<f64>()
                / count
        };
        assert!(mean.abs() < 5.0 * 0.02 / count.sqrt(), "mean {mean}");
        assert!((moment(2) - 1.0).abs() < 0.02, "variance {}", moment(2));
        assert!(moment(3).abs() < 0.03, "skewness {}", moment(3));
        assert!((moment(4) - 3.0).abs() < 0.1, "kurtosis {}", moment(4));
        assert!(
            values
                .windows(2)
                .map(|two| two[0] * two[1])
                .sum::<f64>()
                .abs()
                / count
                < 1e-2 * 0.02 * 0.02
        );
    }

    #[test]
    fn seed_and_name_open_different_streams() {
        let base = fill_normal(1, "a", &[64], None, 1.0);
        assert_eq!(base, fill_normal(1, "a", &[8, 8], None, 1.0));
        assert_ne!(base, fill_normal(2, "a", &[64], None, 1.0));
        assert_ne!(base, fill_normal(1, "b", &[64], None, 1.0));
    }

    #[test]
    fn the_stream_is_the_one_that_older_checkpoints_began_with() {
        let values = fill_normal(42, "embedding.weight", &[256, 4], None, 1.0);
        let bits: Vec<u64> = [0, 1, 1023]
            .iter()
            .map(|&index| f64::to_bits(values[index]))
            .collect();
        assert_eq!(
            bits,
            [
                4607894784689617654,
                4608599200593011992,
                4596221496151447567
            ]
        );
    }

    #[test]
    fn a_state_space_starts_with_counted_decays_and_steps_within_bounds() {
        let half = |index| {
            let count = 2;
            let dim = 0;
            Some(Shard { dim, index, count })
        };
        let counts = [1.0, 2.0, 3.0].map(libm::log);
        let decays = fill(1, "decay", &[4, 3], half(1), &Init::LogCounts);
        assert_eq!(decays, [counts, counts].concat());
        let init = Init::Steps {
            low: 1e-3,
            high: 0.1,
        };
        let steps = |shard| {
            let raw = fill(1, "step", &[1000], shard, &init);
            raw.iter()
                .map(|raw| libm::log1p(libm::exp(*raw)))
                .collect::<Vec<f64>>()
        };
        let (all, pieces) = (steps(None), [steps(half(0)), steps(half(1))].concat());
        assert_eq!(all, pieces);
        assert!(all.iter().all(|step| (0.999e-3..0.1001).contains(step)));
        let short = all.iter().filter(|step| **step < 1e-2).count();
        assert!((450..550).contains(&short), "{short} of 1000");
    }

    #[test]
    fn constants_have_the_size_of_the_piece() {
        let shard = Some(Shard {
            dim: 0,
            index: 1,
            count: 2,
        });
        assert_eq!(
            fill(1, "head.norm.bias", &[6], shard, &Init::Zeros),
            [0.0; 3]
        );
        assert_eq!(
            fill(1, "head.norm.weight", &[6], None, &Init::Ones),
            [1.0; 6]
        );
    }
}
