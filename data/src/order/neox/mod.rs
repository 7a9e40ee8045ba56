//! The order of samples as GPT-NeoX has it, so that a run can continue where one of its runs was, or be compared with it.
//!
//! In come the lengths of documents, a sequence length, a number of samples and a seed; out come its three indices
//! ([`Indices`]): documents shuffled over all epochs at once, where each sample begins among them, and the order of samples. A mix is dealt
//! greedily ([`blend`]). All of it is kept in memory, eight bytes for a sample and more, as there; the order `counter` needs none of it.

mod dealt;
mod files;
mod npy;
mod twister;

pub use dealt::Dealt;
pub use files::Named;

use twister::Twister;

/// Components that a blend numbers in one byte.
pub const MOST_COMPONENTS: usize = 255;

/// Samples are asked for in this excess, so that no component of a blend runs out.
const EXCESS: f64 = 1.005;

/// Where a sample begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Place in the order of documents.
    pub place: u32,
    /// Token inside of the document there.
    pub offset: u32,
}

/// The order of one component's samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indices {
    /// Passes over the documents.
    pub epochs: u64,
    /// The documents in their order, all passes together.
    pub documents: Vec<u32>,
    /// Where each sample begins, and where the last ends.
    pub starts: Vec<Start>,
    /// The order of samples.
    pub shuffle: Vec<u32>,
}

impl Indices {
    /// The indices over documents of these lengths for at least `samples` samples of `sequence` tokens and one; none where there are no
    /// tokens, or more documents or samples than 31 bits number.
    pub fn new(lengths: &[u32], sequence: u64, samples: u64, seed: u32) -> Option<Indices> {
        let tokens: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
        if tokens == 0 || sequence == 0 {
            return None;
        }
        let epochs = epochs(tokens, sequence, samples);
        let count = u64::try_from(lengths.len()).ok()?.checked_mul(epochs)?;
        let whole = tokens.checked_mul(epochs)?.checked_sub(1)? / sequence;
        i32::try_from(count.max(whole)).ok()?;
        let mut twister = Twister::new(seed);
        let all = 0..lengths.len() as u32;
        let mut documents: Vec<u32> = (0..epochs).flat_map(|_| all.clone()).collect();
        twister.shuffle(&mut documents);
        let starts = starts(lengths, &documents, sequence, whole);
        let mut shuffle: Vec<u32> = (0..whole as u32).collect();
        twister.shuffle(&mut shuffle);
        Some(Indices {
            epochs,
            documents,
            starts,
            shuffle,
        })
    }

    /// Samples that GPT-NeoX counts: it leaves the last of its order out.
    pub fn len(&self) -> u64 {
        (self.shuffle.len() as u64).saturating_sub(1)
    }

    /// Whether it counts none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the sample at a place of the order begins and ends; the token at its end is its last target. Beyond the end it
    /// begins anew, as there. None where there is no sample at all.
    pub fn sample(&self, place: u64) -> Option<[Start; 2]> {
        let place = place.checked_rem(self.len())? as usize;
        let sample = self.shuffle[place] as usize;
        Some([self.starts[sample], self.starts[sample + 1]])
    }
}

/// The fewest passes that have so many samples.
fn epochs(tokens: u64, sequence: u64, samples: u64) -> u64 {
    let needed = samples.saturating_mul(sequence).saturating_add(1);
    needed.div_ceil(tokens).max(1)
}

/// Where each of `count` samples begins: a sample has a token more than `sequence`, which the next begins with.
fn starts(lengths: &[u32], documents: &[u32], sequence: u64, count: u64) -> Vec<Start> {
    let mut starts = Vec::with_capacity(count as usize + 1);
    let (mut place, mut offset) = (0usize, 0u64);
    let start = |place: usize, offset: u64| Start {
        place: place as u32,
        offset: offset as u32,
    };
    starts.push(start(place, offset));
    for _ in 0..count {
        let mut wanted = sequence + 1;
        loop {
            let there = u64::from(lengths[documents[place] as usize]) - offset;
            if there >= wanted {
                offset += wanted - 1;
                break;
            }
            wanted -= there;
            place += 1;
            offset = 0;
        }
        starts.push(start(place, offset));
    }
    starts
}

/// How many samples of a component of this share are asked for, where the whole mix has so many.
pub fn wanted(share: f64, samples: u64) -> u64 {
    (samples as f64 * share * EXCESS).ceil() as u64
}

/// Deals `size` samples greedily: the component that lags most, the first of several. Gives for each sample its component and how many
/// that one gave before.
pub fn blend(weights: &[f64], size: u64) -> Vec<(u8, u64)> {
    let whole: f64 = weights.iter().sum();
    let shares: Vec<f64> = weights.iter().map(|weight| weight / whole).collect();
    let mut taken = vec![0u64; shares.len()];
    let mut dealt = Vec::with_capacity(size as usize);
    for sample in 0..size {
        let behind = |component: usize| {
            shares[component] * (sample as f64).max(1.0) - taken[component] as f64
        };
        let chosen = (1..shares.len()).fold(0, |best, component| {
            if behind(component) > behind(best) {
                component
            } else {
                best
            }
        });
        dealt.push((chosen as u8, taken[chosen]));
        taken[chosen] += 1;
    }
    dealt
}

/// The bounds of training, validation and test among so many documents, by shares of any scale.
pub fn split(shares: &[f64], documents: u64) -> [u64; 4] {
    let whole: f64 = shares.iter().sum();
    let mut bounds = [0i64; 4];
    for part in 0..3 {
        let share = shares.get(part).copied().unwrap_or(0.0) / whole;
        let count = (share * documents as f64).round_ties_even() as i64;
        bounds[part + 1] = bounds[part] + count;
    }
    let beyond = bounds[3] - documents as i64;
    bounds.iter_mut().skip(1).for_each(|bound| *bound -= beyond);
    bounds.map(|bound| bound.max(0) as u64)
}

/// The weights of `weight_by_num_documents`: a power of each component's share of the documents, times the share of all others.
pub fn weights_by_documents(documents: &[u64], alpha: f64) -> Vec<f64> {
    let whole: u64 = documents.iter().sum();
    let share = |&count: &u64| count as f64 / whole as f64;
    let normal = |weights: Vec<f64>| -> Vec<f64> {
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / sum).collect()
    };
    let powers = normal(
        documents
            .iter()
            .map(|count| share(count).powf(alpha))
            .collect(),
    );
    let inverse = powers.iter().zip(documents);
    normal(
        inverse
            .map(|(power, count)| power * (1.0 - share(count)))
            .collect(),
    )
}

#[cfg(test)]
mod tests;
