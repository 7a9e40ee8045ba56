//! A pseudo-random order of `0..length` that needs no memory: any place of it is computed by itself.
//!
//! In come a seed, a name and an epoch, and a length; out comes, for each place, the number that stands there. A Feistel
//! network permutes the smallest even number of bits that holds the length; places that fall outside walk on until they
//! fall inside, which keeps it a permutation and takes less than four turns on average.

/// Rounds of the network: four make it pseudo-random, the rest is margin.
const ROUNDS: usize = 8;
/// Separates these keys from all other uses of BLAKE3.
const CONTEXT: &str = "pleach 2026 order of windows within an epoch";

/// An order of `0..length`.
#[derive(Clone, Debug)]
pub struct Permutation {
    length: u64,
    /// Bits of half a block.
    half: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    /// The order of an epoch of the component `name`.
    pub fn new(seed: u64, name: &str, epoch: u64, length: u64) -> Permutation {
        let mut stream = blake3::Hasher::new_derive_key(CONTEXT)
            .update(&seed.to_le_bytes())
            .update(&epoch.to_le_bytes())
            .update(name.as_bytes())
            .finalize_xof();
        let keys = std::array::from_fn(|_| {
            let mut key = [0; 8];
            stream.fill(&mut key);
            u64::from_le_bytes(key)
        });
        let bits = u64::BITS - length.saturating_sub(1).leading_zeros();
        Permutation {
            length,
            half: bits.div_ceil(2).max(1),
            keys,
        }
    }

    /// The number at `place`, which must be below the length.
    pub fn at(&self, place: u64) -> u64 {
        debug_assert!(place < self.length);
        let mut number = self.encrypt(place);
        while number >= self.length {
            number = self.encrypt(number);
        }
        number
    }

    fn encrypt(&self, block: u64) -> u64 {
        let (mut left, mut right) = (block >> self.half, block & ((1 << self.half) - 1));
        for key in self.keys {
            let mixed = mix(right ^ key) >> (u64::BITS - self.half);
            (left, right) = (right, left ^ mixed);
        }
        left << self.half | right
    }
}

/// The finalizer of SplitMix64: every bit of the result depends on every bit of the number.
fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_number_stands_in_exactly_one_place(seed: u64, epoch in 0u64..9, length in 1u64..3000) {
            let order = Permutation::new(seed, "code", epoch, length);
            let mut seen = vec![false; length as usize];
            for place in 0..length {
                let number = order.at(place) as usize;
                prop_assert!(!std::mem::replace(&mut seen[number], true));
            }
        }
    }

    #[test]
    fn the_order_looks_random_and_differs_by_seed_name_and_epoch() {
        let numbers = |seed, name, epoch| {
            let order = Permutation::new(seed, name, epoch, 1000);
            (0..1000).map(|place| order.at(place)).collect::<Vec<_>>()
        };
        let first = numbers(1, "code", 0);
        let others = [
            numbers(2, "code", 0),
            numbers(1, "prose", 0),
            numbers(1, "code", 1),
        ];
        for other in others {
            let alike = first.iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!(alike < 10, "{alike} of 1000 places hold the same number");
        }
        let rises = first.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((450..550).contains(&rises), "{rises} of 999 steps rise");
        let near = first
            .windows(2)
            .filter(|pair| pair[0].abs_diff(pair[1]) < 10)
            .count();
        assert!(near < 45, "{near} of 999 neighbours stay close");
    }

    #[test]
    fn the_largest_lengths_have_room() {
        let order = Permutation::new(1, "code", 0, u64::MAX);
        assert_ne!(order.at(0), order.at(u64::MAX - 1));
    }
}
