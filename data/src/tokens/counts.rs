//! How often each id occurs, and what that says about the text: its unigram entropy.
//!
//! In come tokens; out come counts and nats per token. A model that knows nothing but these frequencies has the entropy
//! as its loss, so a trained model must come out below.

use serde::{Deserialize, Serialize};

/// How often each id occurs: of 0 to 255, and as far as larger ones do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counts(Vec<u64>);

impl Default for Counts {
    fn default() -> Counts {
        Counts(vec![0; 256])
    }
}

impl Counts {
    /// Counts these tokens too.
    pub fn add(&mut self, tokens: &[u8]) {
        for &token in tokens {
            self.0[usize::from(token)] += 1;
        }
    }

    /// Counts these ids too. False, and only those before it counted, where one is negative or beyond 32 bits.
    #[must_use]
    pub fn add_ids(&mut self, ids: &[i64]) -> bool {
        for &id in ids {
            let Ok(id) = u32::try_from(id) else {
                return false;
            };
            let id = id as usize;
            if id >= self.0.len() {
                self.0.resize(id + 1, 0);
            }
            self.0[id] += 1;
        }
        true
    }

    /// The largest id that occurs; 0 where none does.
    pub fn largest(&self) -> u64 {
        let last = self.0.iter().rposition(|&count| count > 0);
        last.unwrap_or(0) as u64
    }

    /// All tokens.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The counts by id.
    pub fn by_id(&self) -> &[u64] {
        &self.0
    }
}

/// The entropy, in nats per token, of texts mixed with these shares (which are scaled to sum to one).
pub fn mixed_entropy(parts: &[(f64, &Counts)]) -> f64 {
    let whole: f64 = parts.iter().map(|(share, _)| share).sum();
    let ids = parts.iter().map(|(_, counts)| counts.by_id().len());
    let mut frequencies = vec![0.0; ids.max().unwrap_or(0)];
    for (share, counts) in parts {
        let unit = share / whole / (counts.total().max(1) as f64);
        for (frequency, &count) in frequencies.iter_mut().zip(counts.by_id()) {
            *frequency += unit * count as f64;
        }
    }
    frequencies
        .iter()
        .filter(|&&frequency| frequency > 0.0)
        .map(|&p| -p * libm::log(p))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_of_known_texts() {
        let mut even = Counts::default();
        even.add(b"abcdabcd");
        assert!((mixed_entropy(&[(0.3, &even)]) - 4f64.ln()).abs() < 1e-12);
        let mut single = Counts::default();
        single.add(b"zzz");
        assert_eq!(mixed_entropy(&[(1.0, &single)]), 0.0);
        let half = -0.5 * 0.5f64.ln() - 4.0 * 0.125 * 0.125f64.ln();
        assert!((mixed_entropy(&[(2.0, &even), (2.0, &single)]) - half).abs() < 1e-12);
    }
}
