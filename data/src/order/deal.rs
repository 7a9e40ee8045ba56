//! Which component each sample of a run comes from: exact shares, dealt so evenly that no prefix is off by a whole sample.
//!
//! In come exact fractions; out comes, for sample `i`, its component and how many samples that component gave before. Samples are
//! dealt by Tijdeman's rule (the "chairman assignment"): among the components that are due, the one whose turn
//! runs out first. For `n` components every prefix of `t` samples then holds `t × share` of each to within `1 − 1/(2n − 2)`.
//! The deal repeats with the common denominator of the shares, so only one period (or the run, if shorter) is kept.

use super::OrderError;

/// Samples between two stored tallies.
const BLOCK: usize = 256;
/// Largest common denominator: far beyond any mix that people write, and small enough for exact products in 128 bits.
const LARGEST_PERIOD: u64 = 1 << 40;

/// The components of all samples.
#[derive(Debug)]
pub struct Deal {
    /// Shares over the common denominator, by component.
    shares: Vec<u64>,
    /// The components of one period, or of the run's samples.
    dealt: Vec<u16>,
    /// Whether `dealt` is a whole period.
    whole: bool,
    /// How often each component occurs before each block of `dealt`.
    tallies: Vec<Vec<u64>>,
}

impl Deal {
    /// Deals `total` samples by these shares (numerator, denominator), which must sum to exactly one.
    ///
    /// # Errors
    /// Shares that do not sum to one, a zero denominator, too many components or too fine a common denominator.
    pub fn new(weights: &[[u64; 2]], total: u64) -> Result<Deal, OrderError> {
        let (shares, period) = shares(weights)?;
        let length = period.min(total);
        let dealt = deal(&shares, period, length);
        let mut tally = vec![0; shares.len()];
        let mut tallies = Vec::with_capacity(dealt.len() / BLOCK + 1);
        for block in dealt.chunks(BLOCK) {
            tallies.push(tally.clone());
            block
                .iter()
                .for_each(|&component| tally[usize::from(component)] += 1);
        }
        Ok(Deal {
            shares,
            dealt,
            whole: length == period,
            tallies,
        })
    }

    /// The component of a sample and how many samples it gave before this one; none beyond the run.
    pub fn sample(&self, sample: u64) -> Option<(usize, u64)> {
        let length = self.dealt.len() as u64;
        let period = if self.whole { sample / length } else { 0 };
        let place = usize::try_from(sample - period * length).ok()?;
        let component = *self.dealt.get(place)?;
        let block = place / BLOCK;
        let since = self.dealt[block * BLOCK..place]
            .iter()
            .filter(|&&other| other == component);
        let component = usize::from(component);
        let before = self.tallies[block][component] + since.count() as u64;
        Some((component, period * self.shares[component] + before))
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

/// The first `length` samples by Tijdeman's rule.
fn deal(shares: &[u64], period: u64, length: u64) -> Vec<u16> {
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
        assert!(error(&[[1, 1 << 41], [(1 << 41) - 1, 1 << 41]]).contains("denominator"));
    }
}
