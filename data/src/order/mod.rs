//! The order of samples: which tokens sample `i` of a run consists of, by computation alone.
//!
//! In come seed, sequence length, the components with their exact weights and token files, and the run's number of
//! samples; out comes sample `i`, whoever asks, in whatever order. [`Deal`] says which component it is from; within a
//! component each epoch visits every window of `sequence` tokens exactly once, in an order that [`Permutation`] computes. A sample is a window
//! and the token after it, so that every token but the first is a target once an epoch.

mod deal;
mod permutation;

use pleach_plan::Plan;

pub use deal::Deal;
pub use permutation::Permutation;

use crate::DataError;
use crate::prepare::Prepared;
use crate::tokens::TokenFile;

/// Why samples cannot be dealt or read.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// A token file or its folder.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Weights that are no shares of a whole.
    #[error("the weights of the mix must sum to exactly 1: {sum}")]
    Shares {
        /// What they sum to.
        sum: String,
    },
    /// Weights too fine to be dealt exactly.
    #[error(
        "the weights of the mix have a common denominator above {largest}; round them to fewer digits"
    )]
    Denominator {
        /// The largest that is dealt.
        largest: u64,
    },
    /// No component, or more than are numbered.
    #[error("a mix of {count} components cannot be dealt; it needs 1 to 65535")]
    Components {
        /// How many there are.
        count: usize,
    },
    /// A component shorter than one sample.
    #[error("the component `{component}` has {tokens} tokens, a sample of this run needs {needed}")]
    TooShort {
        /// The component.
        component: String,
        /// What it has.
        tokens: u64,
        /// Sequence and one.
        needed: u64,
    },
    /// A sample that the run does not have.
    #[error("sample {sample} was asked for, the run has {total}")]
    Beyond {
        /// The number asked for.
        sample: u64,
        /// Samples of the run.
        total: u64,
    },
    /// Room for another number of tokens than a sample has.
    #[error("a sample has {wanted} tokens, the room for it {found}")]
    Room {
        /// Sequence and one.
        wanted: u64,
        /// The room's size.
        found: usize,
    },
}

/// A component to deal from.
#[derive(Debug)]
pub struct Part {
    /// Its name in the mix.
    pub name: String,
    /// Its share: numerator, denominator.
    pub weight: [u64; 2],
    /// The identity of its tokens.
    pub fingerprint: String,
    /// Its tokens.
    pub tokens: TokenFile,
}

/// Where a sample's tokens are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The component, by its place in the mix.
    pub component: usize,
    /// How often the component had been read through before.
    pub epoch: u64,
    /// The window: its tokens begin at `window * sequence`.
    pub window: u64,
}

/// The order of a run's samples.
#[derive(Debug)]
pub struct Order {
    seed: u64,
    sequence: u64,
    total: u64,
    parts: Vec<Part>,
    deal: Deal,
}

impl Order {
    /// The order of `total` samples of `sequence` tokens (and one more, the last target).
    ///
    /// # Errors
    /// Weights that cannot be dealt, or a component with a weight that is shorter than a sample.
    pub fn new(
        seed: u64,
        sequence: u64,
        parts: Vec<Part>,
        total: u64,
    ) -> Result<Order, OrderError> {
        let weights: Vec<[u64; 2]> = parts.iter().map(|part| part.weight).collect();
        let deal = Deal::new(&weights, total)?;
        let short = |part: &&Part| part.weight[0] > 0 && part.tokens.len() <= sequence;
        if let Some(part) = parts.iter().find(short) {
            return Err(OrderError::TooShort {
                component: part.name.clone(),
                tokens: part.tokens.len(),
                needed: sequence + 1,
            });
        }
        Ok(Order {
            seed,
            sequence,
            total,
            parts,
            deal,
        })
    }

    /// The order of a plan's run over data that was prepared for it.
    ///
    /// # Errors
    /// As [`Order::new`]; data that is not the plan's; a token file that cannot be read.
    pub fn open(plan: &Plan, data: &Prepared) -> Result<Order, OrderError> {
        data.check(&plan.data)?;
        let part = |(number, component): (usize, &pleach_plan::Component)| {
            Ok(Part {
                name: component.name.clone(),
                weight: component.weight,
                fingerprint: data.components[number].fingerprint.clone(),
                tokens: data.tokens(number)?,
            })
        };
        let parts = plan
            .data
            .mix
            .iter()
            .enumerate()
            .map(part)
            .collect::<Result<_, DataError>>()?;
        let training = &plan.training;
        Order::new(
            training.seed,
            training.sequence,
            parts,
            training.steps * training.global_batch,
        )
    }

    /// Samples of the run.
    pub fn samples(&self) -> u64 {
        self.total
    }

    /// Where a sample's tokens are.
    ///
    /// # Errors
    /// The run has no such sample.
    pub fn window(&self, sample: u64) -> Result<Window, OrderError> {
        let dealt = if sample < self.total {
            self.deal.sample(sample)
        } else {
            None
        };
        let (component, number) = dealt.ok_or(OrderError::Beyond {
            sample,
            total: self.total,
        })?;
        let windows = self.windows(component);
        let epoch = number / windows;
        let order = Permutation::new(self.seed, &self.parts[component].name, epoch, windows);
        Ok(Window {
            component,
            epoch,
            window: order.at(number % windows),
        })
    }

    /// Copies a sample's tokens into `tokens`, which has room for the sequence and one more: inputs are all but the
    /// last, targets all but the first.
    ///
    /// # Errors
    /// The run has no such sample, or the room has another size.
    pub fn sample(&self, sample: u64, tokens: &mut [i64]) -> Result<(), OrderError> {
        let Window {
            component, window, ..
        } = self.window(sample)?;
        let fits = tokens.len() as u64 == self.sequence + 1;
        if fits
            && self.parts[component]
                .tokens
                .read(window * self.sequence, tokens)
        {
            Ok(())
        } else {
            Err(OrderError::Room {
                wanted: self.sequence + 1,
                found: tokens.len(),
            })
        }
    }

    /// The identity of the first `samples` samples: which windows of which data, in which order.
    ///
    /// # Errors
    /// The run has not so many.
    pub fn hash(&self, samples: u64) -> Result<String, OrderError> {
        let mut hasher = blake3::Hasher::new_derive_key("pleach 2026 data order");
        hasher.update(&self.sequence.to_le_bytes());
        for part in &self.parts {
            hasher.update(&(part.fingerprint.len() as u64).to_le_bytes());
            hasher.update(part.fingerprint.as_bytes());
        }
        for sample in 0..samples {
            let Window {
                component, window, ..
            } = self.window(sample)?;
            hasher.update(&(component as u64).to_le_bytes());
            hasher.update(&window.to_le_bytes());
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// The entropy, in nats per token, of how often each id is a target in the first `samples` samples: the least loss
    /// over them of a model that knows only frequencies.
    ///
    /// # Errors
    /// The run has not so many.
    pub fn unigram_entropy(&self, samples: u64) -> Result<f64, OrderError> {
        let mut counts = std::collections::BTreeMap::<i64, u64>::new();
        let mut tokens = vec![0; self.sequence as usize + 1];
        for sample in 0..samples {
            self.sample(sample, &mut tokens)?;
            for &target in &tokens[1..] {
                *counts.entry(target).or_default() += 1;
            }
        }
        let total = (samples * self.sequence) as f64;
        Ok(counts
            .values()
            .map(|&count| count as f64 / total)
            .map(|p| -p * libm::log(p))
            .sum())
    }

    /// Windows of a component: whole ones that still have a token after them.
    fn windows(&self, component: usize) -> u64 {
        (self.parts[component].tokens.len() - 1) / self.sequence
    }
}

#[cfg(test)]
mod tests;
