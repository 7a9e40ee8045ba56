//! Pieces of a logical tensor: how an equal cut along one dimension lies in the flat, row-major order of the whole.
//!
//! In comes the logical shape and which piece is meant; out come the contiguous runs of the piece, in the piece's own
//! order, and the way back from a logical index to a piece and a place in it. Initial values and checkpoints both speak
//! in logical indices, so both rest on these few lines.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// One of `count` equal, contiguous pieces along dimension `dim`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shard {
    /// The dimension that is cut.
    pub dim: usize,
    /// Which piece, from 0.
    pub index: u64,
    /// How many pieces.
    pub count: u64,
}

/// A piece of a logical tensor as runs of the logical flat order: `outer` runs of `length` elements, `stride` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    outer: u64,
    length: u64,
    stride: u64,
    first: u64,
}

impl Region {
    /// The whole tensor, or the piece that `shard` names. None where the shape cannot be cut so: no such dimension, no
    /// such piece, pieces that would not be equal, or more elements than 64 bits count.
    pub fn new(dims: &[u64], shard: Option<Shard>) -> Option<Region> {
        let total = product(dims)?;
        let Some(Shard { dim, index, count }) = shard else {
            return Some(Region {
                outer: 1,
                length: total,
                stride: total,
                first: 0,
            });
        };
        let size = *dims.get(dim)?;
        if count == 0 || index >= count || size % count != 0 {
            return None;
        }
        let inner = product(&dims[dim + 1..])?;
        let length = size / count * inner;
        Some(Region {
            outer: product(&dims[..dim])?,
            length,
            stride: size * inner,
            first: index * length,
        })
    }

    /// Number of elements of the piece.
    pub fn elements(&self) -> u64 {
        self.outer * self.length
    }

    /// The logical runs of the piece's elements `part`, in order, joined where they touch.
    pub fn runs(&self, part: Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
        let region = if self.length == self.stride {
            self.joined()
        } else {
            *self
        };
        let mut next = part.start;
        std::iter::from_fn(move || {
            if next >= part.end || region.length == 0 {
                return None;
            }
            let within = next % region.length;
            let start = region.first + next / region.length * region.stride + within;
            let taken = (region.length - within).min(part.end - next);
            next += taken;
            Some(start..start + taken)
        })
    }

    fn joined(&self) -> Region {
        let total = self.elements();
        Region {
            outer: 1,
            length: total,
            stride: total,
            first: 0,
        }
    }
}

/// Where logical flat indices lie once a tensor is cut into `count` pieces along `dim` (or not at all).
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    length: u64,
    count: u64,
}

/// A stretch of logical indices that lies in one piece without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The piece.
    pub index: u64,
    /// The place of the first element in the piece's own flat order.
    pub offset: u64,
    /// Number of elements that follow each other from there.
    pub length: u64,
}

impl Cut {
    /// A tensor of these dimensions, cut along `dim` into `count` equal pieces. None as for [`Region::new`].
    pub fn new(dims: &[u64], dim: Option<usize>, count: u64) -> Option<Cut> {
        let shard = dim.map(|dim| Shard {
            dim,
            index: 0,
            count,
        });
        let region = Region::new(dims, shard)?;
        Some(Cut {
            length: region.length,
            count: if dim.is_some() { count } else { 1 },
        })
    }

    /// Where the stretch from logical index `start` lies, and how much of it up to `end` lies together.
    pub fn place(&self, start: u64, end: u64) -> Place {
        let run = start / self.length;
        let within = start % self.length;
        Place {
            index: run % self.count,
            offset: run / self.count * self.length + within,
            length: (self.length - within).min(end - start),
        }
    }
}

/// The product of dimensions, or none if it does not fit.
pub fn product(dims: &[u64]) -> Option<u64> {
    dims.iter()
        .try_fold(1u64, |product, &size| product.checked_mul(size))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The elements of a shard, found the slow way: by coordinates.
    fn by_coordinates(dims: &[u64], shard: Shard) -> Vec<u64> {
        let piece = dims[shard.dim] / shard.count;
        (0..dims.iter().product())
            .filter(|flat| {
                let inner: u64 = dims[shard.dim + 1..].iter().product();
                flat / inner % dims[shard.dim] / piece == shard.index
            })
            .collect()
    }

    fn shapes() -> impl Strategy<Value = (Vec<u64>, Shard)> {
        (
            proptest::collection::vec(1u64..5, 1..4),
            any::<prop::sample::Index>(),
            1u64..5,
            any::<prop::sample::Index>(),
        )
            .prop_map(|(mut dims, dim, count, index)| {
                let dim = dim.index(dims.len());
                dims[dim] *= count;
                (
                    dims,
                    Shard {
                        dim,
                        index: index.index(count as usize) as u64,
                        count,
                    },
                )
            })
    }

    proptest! {
        #[test]
        fn runs_are_the_elements_with_the_right_coordinate((dims, shard) in shapes(), cut in 0.0f64..1.0) {
            let region = Region::new(&dims, Some(shard)).unwrap();
            let wanted = by_coordinates(&dims, shard);
            prop_assert_eq!(region.elements(), wanted.len() as u64);
            let found: Vec<u64> = region.runs(0..region.elements()).flatten().collect();
            prop_assert_eq!(&found, &wanted);
            let begin = (cut * wanted.len() as f64) as usize;
            let tail: Vec<u64> = region.runs(begin as u64..region.elements()).flatten().collect();
            prop_assert_eq!(&tail, &wanted[begin..]);
        }

        #[test]
        fn a_cut_is_the_inverse_of_its_regions((dims, shard) in shapes()) {
            let cut = Cut::new(&dims, Some(shard.dim), shard.count).unwrap();
            for (offset, logical) in by_coordinates(&dims, shard).into_iter().enumerate() {
                let place = cut.place(logical, logical + 1);
                prop_assert_eq!(place, Place { index: shard.index, offset: offset as u64, length: 1 });
            }
        }
    }

    #[test]
    fn impossible_cuts_are_refused() {
        let shard = |dim, index, count| Some(Shard { dim, index, count });
        assert_eq!(Region::new(&[4, 6], shard(1, 0, 4)), None);
        assert_eq!(Region::new(&[4, 6], shard(2, 0, 1)), None);
        assert_eq!(Region::new(&[4, 6], shard(0, 2, 2)), None);
        assert_eq!(Region::new(&[4, 6], shard(0, 0, 0)), None);
        assert_eq!(Region::new(&[u64::MAX, 6], None), None);
    }
}
