//! Which entries dropout keeps: one function that the reference interpreter and the executor share.
//!
//! In comes where a row stands in the run, out comes for each of its columns whether it is kept. Everything counts from logical indices, so no
//! placement, no cut into micro-batches and no recomputation changes what is dropped.

/// Spreads neighbouring counters over all words (the increment of splitmix64).
const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

/// A row of activations, by its logical place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Seed of the run.
    pub seed: u64,
    /// Step of the run.
    pub step: u64,
    /// The sample's number in the phase.
    pub sample: u64,
    /// The layer.
    pub layer: u64,
    /// Which of the layer's branches.
    pub site: u64,
    /// The position in the sequence.
    pub position: u64,
}

impl Row {
    /// The word from which the draws of all columns are counted.
    pub fn key(&self) -> u64 {
        let places = [self.step, self.sample, self.layer, self.site, self.position];
        let seed = mixed(self.seed.wrapping_add(STRIDE));
        places
            .into_iter()
            .fold(seed, |key, place| mixed((key ^ place).wrapping_add(STRIDE)))
    }
}

/// What a draw must reach to be kept, where this share is dropped.
pub fn threshold(share: f64) -> u32 {
    (share * 4_294_967_296.0) as u32
}

/// Whether a column of the row with this key is kept.
pub fn keeps(key: u64, column: u64, threshold: u32) -> bool {
    let word = mixed(key.wrapping_add((column / 2 + 1).wrapping_mul(STRIDE)));
    let draw = if column.is_multiple_of(2) {
        word as u32
    } else {
        (word >> 32) as u32
    };
    draw >= threshold
}

/// The finalizer of splitmix64: every bit of the result depends on every bit of the word.
fn mixed(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Row = Row {
        seed: 1,
        step: 2,
        sample: 3,
        layer: 4,
        site: 0,
        position: 5,
    };

    fn kept(row: Row, share: f64) -> Vec<bool> {
        let (key, threshold) = (row.key(), threshold(share));
        (0..4096)
            .map(|column| keeps(key, column, threshold))
            .collect()
    }

    #[test]
    fn the_share_is_dropped() {
        for share in [0.0, 0.1, 0.5, 0.9] {
            let dropped = kept(ROW, share).iter().filter(|kept| !**kept).count() as f64;
            assert!(
                (dropped / 4096.0 - share).abs() < 0.03,
                "{share}: {dropped}"
            );
        }
    }

    #[test]
    fn every_index_draws_anew() {
        let moved = [
            Row { seed: 2, ..ROW },
            Row { step: 3, ..ROW },
            Row { sample: 4, ..ROW },
            Row { layer: 5, ..ROW },
            Row { site: 1, ..ROW },
            Row { position: 6, ..ROW },
        ];
        let first = kept(ROW, 0.5);
        for row in moved {
            let other = kept(row, 0.5);
            let alike = first.iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!(alike.abs_diff(2048) < 150, "{row:?}: {alike} of 4096 alike");
        }
        let shifted = first
            .iter()
            .zip(&first[1..])
            .filter(|(a, b)| a == b)
            .count();
        assert!(shifted.abs_diff(2048) < 150, "neighbours: {shifted}");
    }
}
