//! Which component each sample of a run comes from: exact shares, dealt so evenly that no prefix is off by a whole sample.
//!
//! In come exact fractions; out comes, for sample `i`, its component and how many samples that component gave before ([`Dealer`] has the rule).
//! The deal repeats with the common denominator of the shares. A short period, or a short run, is kept as a table; of a long one a block at a time is,
//! with a mark at the beginning of each block that was reached, so that reading on takes constant time and memory does not grow with the run.

mod dealer;

use std::sync::{Mutex, PoisonError};

use super::OrderError;
use dealer::Dealer;

/// The longest deal that is kept as a table.
const LONGEST_TABLE: u64 = 1 << 20;
/// Samples that are kept of a longer one, between two marks.
const BLOCK: u64 = 1 << 16;
/// Largest common denominator: the sizes of a mix in bytes, and small enough for exact products in 128 bits.
const LARGEST_PERIOD: u64 = 1 << 48;

/// The components of all samples.
#[derive(Debug)]
pub struct Deal {
    /// Shares over the common denominator, by component.
    shares: Vec<u64>,
    period: u64,
    total: u64,
    kept: Kept,
}

/// What is kept of a deal.
#[derive(Debug)]
enum Kept {
    /// A whole period, or all of the run.
    Table(Vec<Dealt>),
    /// One block at a time.
    Blocks(Mutex<Blocks>),
}

/// A dealt sample: its component, and how many samples that one gave before.
type Dealt = (u16, u64);

#[derive(Debug, Default)]
struct Blocks {
    /// How many samples each component gave before each block that was reached.
    marks: Vec<Vec<u64>>,
    /// The block that is at hand.
    number: u64,
    dealt: Vec<Dealt>,
}

impl Deal {
    /// Deals `total` samples by these shares (numerator, denominator), which must sum to exactly one.
    ///
    /// # Errors
    /// Shares that do not sum to one, a zero denominator, too many components or too fine a common denominator.
    pub fn new(weights: &[[u64; 2]], total: u64) -> Result<Deal, OrderError> {
        let (shares, period) = shares(weights)?;
        let length = period.min(total);
        let kept = if length <= LONGEST_TABLE {
            let mut dealer = Dealer::new(&shares, period, vec![0; shares.len()]);
            Kept::Table((0..length).map(|_| dealer.next()).collect())
        } else {
            let marks = vec![vec![0; shares.len()]];
            Kept::Blocks(Mutex::new(Blocks {
                marks,
                ..Blocks::default()
            }))
        };
        Ok(Deal {
            shares,
            period,
            total,
            kept,
        })
    }

    /// The component of a sample and how many samples it gave before this one; none beyond the run.
    pub fn sample(&self, sample: u64) -> Option<(usize, u64)> {
        if sample >= self.total {
            return None;
        }
        let place = sample % self.period;
        let (component, before) = match &self.kept {
            Kept::Table(dealt) => *dealt.get(usize::try_from(place).ok()?)?,
            Kept::Blocks(blocks) => {
                let mut blocks = blocks.lock().unwrap_or_else(PoisonError::into_inner);
                blocks.sample(&self.shares, self.period, place)
            }
        };
        let component = usize::from(component);
        let periods = sample / self.period;
        Some((component, periods * self.shares[component] + before))
    }

    /// How many of the first `samples` samples each component gives.
    pub fn counts(&self, samples: u64) -> Vec<u64> {
        let mut counts = vec![0; self.shares.len()];
        let (periods, rest) = (samples / self.period, samples % self.period);
        if rest > 0 {
            let first = (rest - 1) / BLOCK * BLOCK;
            let taken = match &self.kept {
                Kept::Table(_) => None,
                Kept::Blocks(blocks) => {
                    let mut blocks = blocks.lock().unwrap_or_else(PoisonError::into_inner);
                    Some(
                        blocks
                            .reach(&self.shares, self.period, first / BLOCK)
                            .taken()
                            .to_vec(),
                    )
                }
            };
            let from = if taken.is_some() { first } else { 0 };
            counts = taken.unwrap_or(counts);
            for sample in from..rest {
                if let Some((component, _)) = self.sample(sample) {
                    counts[component] += 1;
                }
            }
        }
        for (count, share) in counts.iter_mut().zip(&self.shares) {
            *count += periods * share;
        }
        counts
    }
}

impl Blocks {
    fn sample(&mut self, shares: &[u64], period: u64, place: u64) -> Dealt {
        let number = place / BLOCK;
        if number != self.number || self.dealt.is_empty() {
            let mut dealer = self.reach(shares, period, number);
            let length = BLOCK.min(period - number * BLOCK);
            self.dealt = (0..length).map(|_| dealer.next()).collect();
            self.number = number;
        }
        self.dealt[(place % BLOCK) as usize]
    }

    /// A dealer at the beginning of a block; marks all blocks on the way to it.
    fn reach(&mut self, shares: &[u64], period: u64, number: u64) -> Dealer {
        let nearest = (number as usize).min(self.marks.len() - 1);
        let mut dealer = Dealer::new(shares, period, self.marks[nearest].clone());
        while self.marks.len() as u64 <= number {
            for _ in 0..BLOCK {
                dealer.next();
            }
            self.marks.push(dealer.taken().to_vec());
        }
        dealer
    }
}

/// The shares over their common denominator, and that denominator.
fn shares(weights: &[[u64; 2]]) -> Result<(Vec<u64>, u64), OrderError> {
    if weights.is_empty() || weights.len() > usize::from(u16::MAX) {
        return Err(OrderError::Components {
            count: weights.len(),
        });
    }
    let mut period = 1u64;
    for &[numerator, denominator] in weights {
        if denominator == 0 {
            return Err(OrderError::Shares {
                sum: format!("{numerator}/0 is no share"),
            });
        }
        let reduced = denominator / gcd(numerator, denominator);
        period = (reduced / gcd(period, reduced))
            .checked_mul(period)
            .filter(|&period| period <= LARGEST_PERIOD)
            .ok_or(OrderError::Denominator {
                largest: LARGEST_PERIOD,
            })?;
    }
    let share = |&[numerator, denominator]: &[u64; 2]| {
        u128::from(numerator) * u128::from(period) / u128::from(denominator)
    };
    let sum: u128 = weights.iter().map(share).sum();
    if sum != u128::from(period) {
        return Err(OrderError::Shares {
            sum: format!("they sum to {sum}/{period}"),
        });
    }
    Ok((
        weights.iter().map(|weight| share(weight) as u64).collect(),
        period,
    ))
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_prefix_is_off_by_a_sample(
            parts in proptest::collection::vec(0u64..40, 1..7),
            total in 1u64..700,
        ) {
            prop_assume!(parts.iter().any(|&part| part > 0));
            let sum: u64 = parts.iter().sum();
            let weights: Vec<[u64; 2]> = parts.iter().map(|&part| [part, sum]).collect();
            let deal = Deal::new(&weights, total).unwrap();
            let mut taken = vec![0u64; parts.len()];
            for sample in 0..total {
                let (component, before) = deal.sample(sample).unwrap();
                prop_assert_eq!(before, taken[component]);
                taken[component] += 1;
                for (&taken, &part) in taken.iter().zip(&parts) {
                    let error = (taken * sum).abs_diff((sample + 1) * part);
                    prop_assert!(error <= sum, "{taken} of {} by {part}/{sum}", sample + 1);
                }
            }
        }
    }

    /// The first `length` samples by the rule as it is written, looking at every component for every sample.
    fn scan(shares: &[u64], period: u64, length: u64) -> Vec<u16> {
        let period = i128::from(period);
        let sharing = shares.iter().filter(|&&share| share > 0).count() as i128;
        // 2n − 2; a single component is always due.
        let slack = (2 * sharing - 2).max(1);
        // What each component is owed, in units of one over the common denominator.
        let mut owed = vec![0i128; shares.len()];
        let mut dealt = Vec::new();
        for _ in 0..length {
            for (owed, &share) in owed.iter_mut().zip(shares) {
                *owed += i128::from(share);
            }
            let mut chosen: Option<(usize, i128)> = None;
            for (component, (&owed, &share)) in owed.iter().zip(shares).enumerate() {
                if share == 0 || owed * slack < period {
                    continue;
                }
                // Time left until the component is owed `1 − 1/slack` too much: `left / share`.
                let left = period * (slack - 1) - slack * owed;
                let sooner = chosen.is_none_or(|(best, least)| {
                    left * i128::from(shares[best]) < least * i128::from(share)
                });
                if sooner {
                    chosen = Some((component, left));
                }
            }
            let (component, _) = chosen.expect("some component is owed at least the mean of all");
            owed[component] -= period;
            dealt.push(component as u16);
        }
        dealt
    }

    proptest! {
        #[test]
        fn the_next_turn_is_found_as_if_all_were_looked_at(
            parts in proptest::collection::vec(0u64..1 << 40, 1..9),
        ) {
            let sum: u64 = parts.iter().sum();
            prop_assume!(sum > 0);
            let weights: Vec<[u64; 2]> = parts.iter().map(|&part| [part, sum]).collect();
            let (shares, period) = shares(&weights).unwrap();
            let deal = Deal::new(&weights, 600).unwrap();
            let found = (0..600).map(|sample| deal.sample(sample).unwrap().0 as u16);
            prop_assert_eq!(found.collect::<Vec<_>>(), scan(&shares, period, 600));
        }
    }

    /// A thousand components of very different sizes, and a run far longer than any table.
    #[test]
    fn a_thousand_components_are_dealt_evenly_to_the_last_sample() {
        let parts: Vec<u64> = (0..1000u64)
            .map(|part| 1 + part * part * 7919 % 1_000_003)
            .collect();
        let sum: u64 = parts.iter().sum();
        let weights: Vec<[u64; 2]> = parts.iter().map(|&part| [part, sum]).collect();
        let total = LONGEST_TABLE + 2 * BLOCK;
        let deal = Deal::new(&weights, total).unwrap();
        let mut taken = vec![0u64; parts.len()];
        for sample in 0..total {
            let (component, before) = deal.sample(sample).unwrap();
            assert_eq!(before, taken[component]);
            taken[component] += 1;
            // The one that was dealt is the furthest ahead of the others; all are looked at now and then.
            let all = if sample % 65_521 == 0 {
                0..1000
            } else {
                component..component + 1
            };
            for component in all {
                let ideal = u128::from(sample + 1) * u128::from(parts[component]);
                let error = (u128::from(taken[component]) * u128::from(sum)).abs_diff(ideal);
                assert!(error <= u128::from(sum), "{component} at {sample}");
            }
        }
        assert_eq!(deal.counts(total), taken);
        let again = Deal::new(&weights, total).unwrap();
        for sample in [total - 1, 5, BLOCK * 7 + 1, BLOCK, BLOCK - 1] {
            assert_eq!(again.sample(sample), deal.sample(sample));
        }
        assert_eq!(
            again.counts(BLOCK * 9),
            (0..BLOCK * 9).fold(vec![0; 1000], |mut counts, sample| {
                counts[deal.sample(sample).unwrap().0] += 1;
                counts
            })
        );
    }

    #[test]
    fn two_runs_of_other_length_begin_alike() {
        let weights = [[33, 100], [33, 100], [34, 100]];
        let (short, long) = (
            Deal::new(&weights, 60).unwrap(),
            Deal::new(&weights, 1000).unwrap(),
        );
        assert!((0..60).all(|sample| short.sample(sample) == long.sample(sample)));
        assert_eq!(short.sample(60), None);
        assert_eq!(
            long.sample(100),
            Some((long.sample(0).unwrap().0, long.shares[2]))
        );
    }

    #[test]
    fn impossible_shares_say_what_they_sum_to() {
        let error = |weights: &[[u64; 2]]| Deal::new(weights, 10).unwrap_err().to_string();
        assert!(error(&[[1, 2], [1, 3]]).contains("5/6"));
        assert!(error(&[[1, 0]]).contains("1/0"));
        assert!(error(&[]).contains("0 components"));
        assert!(error(&[[1, 1 << 49], [(1 << 49) - 1, 1 << 49]]).contains("denominator"));
    }
}
