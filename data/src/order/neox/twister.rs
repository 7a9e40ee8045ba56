//! The random numbers of GPT-NeoX's shuffles: numpy's `RandomState`, a Mersenne Twister of 32 bits.
//!
//! In comes a seed; out come the shuffles that `numpy.random.RandomState(seed).shuffle` makes of arrays, one after another from one stream.

/// Words of the state.
const WORDS: usize = 624;
/// Distance of the words that are mixed.
const MIDDLE: usize = 397;

/// The generator.
pub struct Twister {
    state: [u32; WORDS],
    next: usize,
}

impl Twister {
    /// Begins as `RandomState(seed)` does.
    pub fn new(seed: u32) -> Twister {
        let mut state = [seed; WORDS];
        for at in 1..WORDS {
            let before = state[at - 1];
            state[at] = (before ^ before >> 30)
                .wrapping_mul(1_812_433_253)
                .wrapping_add(at as u32);
        }
        Twister { state, next: WORDS }
    }

    fn turn(&mut self) {
        for at in 0..WORDS {
            let joined = self.state[at] & 0x8000_0000 | self.state[(at + 1) % WORDS] & 0x7fff_ffff;
            let odd = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[at] = self.state[(at + MIDDLE) % WORDS] ^ joined >> 1 ^ odd;
        }
        self.next = 0;
    }

    fn word(&mut self) -> u32 {
        if self.next == WORDS {
            self.turn();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= word << 7 & 0x9d2c_5680;
        word ^= word << 15 & 0xefc6_0000;
        word ^ word >> 18
    }

    /// A number from 0 to `most`: words under the smallest mask that holds it, until one fits.
    fn up_to(&mut self, most: u64) -> u64 {
        let mask = u64::MAX.checked_shr(most.leading_zeros()).unwrap_or(0);
        loop {
            let low = |twister: &mut Twister| u64::from(twister.word());
            let drawn = match u32::try_from(most) {
                Ok(_) => low(self),
                Err(_) => low(self) << 32 | low(self),
            };
            if drawn & mask <= most {
                return drawn & mask;
            }
        }
    }

    /// Shuffles in place.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.up_to(last as u64) as usize;
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_that_of_the_published_generator() {
        let mut twister = Twister::new(5489);
        assert_eq!(twister.word(), 3_499_211_612);
        let tenthousandth = (2..=10_000).map(|_| twister.word()).last();
        assert_eq!(tenthousandth, Some(4_123_659_995));
    }
}
