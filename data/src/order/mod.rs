//! The order of samples: which tokens sample `i` of a run consists of, whoever asks.
//!
//! In come seed, sequence length, the components with their exact weights and token files, the run's number of samples and the name of an order; out comes
//! sample `i`. In the order `counter`, [`Deal`] says which component it is from; within a component each epoch visits every window of `sequence` tokens
//! exactly once, in an order that [`Permutation`] computes; `sequential` visits them as they stand. [`neox`] is the order of GPT-NeoX. A sample is
//! `sequence` tokens and the one after them, so that every token but the first is a target once an epoch.

mod answers;
mod bins;
mod deal;
mod error;
pub mod neox;
mod permutation;
mod phases;
mod split;

use std::ops::Range;

use pleach_plan::op::{counts, plain};
use pleach_plan::{DataPlan, Ordering};

pub use deal::Deal;
pub use error::OrderError;
pub use permutation::Permutation;
pub use phases::Phases;
pub use split::{Parts, Section};

use crate::DataError;
use crate::prepare::Prepared;
use crate::tokens::TokenFile;

/// What fills a sample up behind its documents: id 0, marked so that it does not count.
const FILLING: i64 = !0;
/// So many samples of a run are hashed one by one; what the order is computed from is hashed for longer runs.
const HASHED: u64 = 1 << 18;

/// A component to deal from.
#[derive(Debug)]
pub struct Part {
    /// Its name in the mix.
    pub name: String,
    /// Its share: numerator, denominator.
    pub weight: [u64; 2],
    /// The identity of its tokens.
    pub fingerprint: String,
    /// Tokens of it that earlier phases of the run read: it goes on behind them.
    pub begins: u64,
    /// How it is split.
    pub parts: Parts,
    /// The part that samples come from.
    pub section: Section,
    /// The bounds of its samples in tokens, where these are whole documents.
    pub bins: Option<Vec<u64>>,
    /// Whether every second sequence is an answer, and only these count in the loss.
    pub answers_only: bool,
    /// Its tokens.
    pub tokens: TokenFile,
}

impl Part {
    /// Tokens that samples come from: those that are trained on, or a part that is held out.
    pub fn trained(&self) -> u64 {
        let tokens = self.parts.tokens(self.section);
        tokens.end - tokens.start
    }

    /// Whether an answer that is trained on has a token.
    fn answers(&self) -> Result<bool, DataError> {
        let lengths = self.tokens.lengths()?;
        let documents = self.parts.documents(self.section);
        let sequences = &lengths[2 * documents.start..2 * documents.end];
        Ok(sequences
            .iter()
            .skip(1)
            .step_by(2)
            .any(|&length| length > 0))
    }

    /// Samples of one pass: windows that still have a token after them, or stretches of whole documents.
    fn windows(&self, sequence: u64) -> u64 {
        match &self.bins {
            Some(bounds) => bounds.len() as u64 - 1,
            None => self.trained().saturating_sub(1) / sequence,
        }
    }

    /// Where a sample lies.
    fn span(&self, window: u64, sequence: u64) -> Range<u64> {
        match &self.bins {
            Some(bounds) => bounds[window as usize]..bounds[window as usize + 1],
            None => {
                let begin = self.parts.tokens(self.section).start + window * sequence;
                begin..begin + sequence + 1
            }
        }
    }

    /// Tokens that so many of its samples read: those of a pass alike, where they are whole documents.
    fn tokens_of(&self, samples: u64, sequence: u64) -> u64 {
        let Some(bounds) = &self.bins else {
            return samples * sequence;
        };
        let passes = u128::from(samples) * u128::from(self.trained());
        let tokens = passes.checked_div(bounds.len() as u128 - 1).unwrap_or(0);
        u64::try_from(tokens).unwrap_or(u64::MAX)
    }

    /// Samples that so many tokens read before have taken.
    fn samples_of(&self, tokens: u64, sequence: u64) -> u64 {
        let Some(bounds) = &self.bins else {
            return tokens.div_ceil(sequence);
        };
        let samples = u128::from(tokens) * (bounds.len() as u128 - 1);
        u64::try_from(samples.div_ceil(u128::from(self.trained().max(1)))).unwrap_or(u64::MAX)
    }
}

/// Where a sample's tokens are, in an order of windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The component, by its place in the mix.
    pub component: usize,
    /// How often the component had been read through before.
    pub epoch: u64,
    /// The window: its tokens begin at `window * sequence`.
    pub window: u64,
}

/// The component of a sample, and the positions of its tokens there, piece by piece.
pub type Spans = (usize, Vec<Range<u64>>);

/// What a run's samples are drawn from, whatever the order.
#[derive(Debug)]
pub struct Draw {
    /// The name of the order.
    pub ordering: Ordering,
    /// Its seed.
    pub seed: u64,
    /// Tokens of a sample, without the last target.
    pub sequence: u64,
    /// Samples of the run, or of the phase.
    pub total: u64,
}

/// The order of a run's samples.
#[derive(Debug)]
pub struct Order {
    draw: Draw,
    parts: Vec<Part>,
    places: Places,
}

/// What says where a sample is.
#[derive(Debug)]
enum Places {
    Windows(Deal),
    Neox(neox::Dealt),
}

impl Order {
    /// The order of `draw.total` samples of `draw.sequence` tokens (and one more, the last target).
    ///
    /// # Errors
    /// Weights that cannot be dealt, a component with a weight that is shorter than a sample or holds no ids, or what the
    /// order of GPT-NeoX cannot number.
    pub fn new(draw: Draw, parts: Vec<Part>) -> Result<Order, OrderError> {
        let used = || parts.iter().filter(|part| part.weight[0] > 0);
        if let Some(part) = used().find(|part| part.windows(draw.sequence) == 0) {
            return Err(OrderError::TooShort {
                component: part.name.clone(),
                tokens: part.trained(),
                needed: draw.sequence + 1,
            });
        }
        if let Some(part) = used().find(|part| !part.tokens.kind().is_whole()) {
            return Err(OrderError::Floats {
                component: part.name.clone(),
                kind: part.tokens.kind(),
            });
        }
        for part in used().filter(|part| part.answers_only) {
            if !part.answers()? {
                let component = part.name.clone();
                return Err(OrderError::NoAnswers { component });
            }
        }
        let weights: Vec<[u64; 2]> = parts.iter().map(|part| part.weight).collect();
        let places = match draw.ordering {
            Ordering::GptNeox => Places::Neox(neox::Dealt::new(&draw, &parts)?),
            Ordering::Counter | Ordering::Sequential => {
                Places::Windows(Deal::new(&weights, draw.total)?)
            }
        };
        Ok(Order {
            draw,
            parts,
            places,
        })
    }

    /// The order of samples of data that was prepared for a plan, all components read from their beginnings.
    ///
    /// # Errors
    /// As [`Order::new`]; data that is not the plan's; a token file that cannot be read.
    pub fn of(plan: &DataPlan, draw: Draw, data: &Prepared) -> Result<Order, OrderError> {
        Order::behind(plan, draw, data, Section::Training, |_| 0)
    }

    /// The order of samples of a part that is held out: as it stands, each component by its share, from its beginning again where more samples are
    /// wanted than it has.
    ///
    /// # Errors
    /// As [`Order::of`].
    pub fn held_out(
        plan: &DataPlan,
        section: Section,
        [sequence, total]: [u64; 2],
        data: &Prepared,
    ) -> Result<Order, OrderError> {
        let draw = Draw {
            ordering: Ordering::Sequential,
            seed: 0,
            sequence,
            total,
        };
        Order::behind(plan, draw, data, section, |_| 0)
    }

    /// The same where earlier phases read so many tokens of a component.
    fn behind(
        plan: &DataPlan,
        draw: Draw,
        data: &Prepared,
        section: Section,
        read: impl Fn(&Part) -> u64,
    ) -> Result<Order, OrderError> {
        data.check(plan)?;
        let room = draw.sequence + 1;
        let part = |(number, component): (usize, &pleach_plan::Component)| {
            let tokens = data.tokens(number)?;
            let parts = Parts::of(&tokens, &plan.split, plan.reading.sequences())?;
            let mut part = Part {
                name: component.name.clone(),
                weight: component.weight,
                fingerprint: data.components[number].fingerprint.clone(),
                begins: 0,
                bins: bins::bounds(&tokens, &parts, section, plan.packing, room)?,
                parts,
                section,
                answers_only: plan.reading.answers_only,
                tokens,
            };
            part.begins = read(&part);
            Ok(part)
        };
        let parts = plan.mix.iter().enumerate().map(part);
        Order::new(draw, parts.collect::<Result<_, DataError>>()?)
    }

    /// Samples of the run.
    pub fn samples(&self) -> u64 {
        self.draw.total
    }

    /// Samples of one pass over all components that are read.
    pub fn windows(&self) -> u64 {
        let read = self.parts.iter().filter(|part| part.weight[0] > 0);
        read.map(|part| part.windows(self.draw.sequence)).sum()
    }

    /// The components, in the order of the mix.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// How many of the first `samples` samples each component gives.
    pub fn counts(&self, samples: u64) -> Vec<u64> {
        let samples = samples.min(self.draw.total);
        match &self.places {
            Places::Windows(deal) => deal.counts(samples),
            Places::Neox(dealt) => dealt.counts(samples),
        }
    }

    /// The window of a sample, where the order is one of windows.
    ///
    /// # Errors
    /// The run has no such sample.
    pub fn window(&self, sample: u64) -> Result<Option<Window>, OrderError> {
        let Places::Windows(deal) = &self.places else {
            return Ok(None);
        };
        let (component, number) = deal.sample(sample).ok_or_else(|| self.beyond(sample))?;
        let (part, sequence) = (&self.parts[component], self.draw.sequence);
        let windows = part.windows(sequence);
        let number = number + part.samples_of(part.begins, sequence);
        let (epoch, place) = (number / windows, number % windows);
        let window = match self.draw.ordering {
            Ordering::Sequential => place,
            _ => {
                let name = &self.parts[component].name;
                Permutation::new(self.draw.seed, name, epoch, windows).at(place)
            }
        };
        Ok(Some(Window {
            component,
            epoch,
            window,
        }))
    }

    /// The component of a sample, and the positions of its tokens there, piece by piece.
    ///
    /// # Errors
    /// The run has no such sample, or an index that cannot be believed.
    pub fn spans(&self, sample: u64) -> Result<Spans, OrderError> {
        if let Some(found) = self.window(sample)? {
            let part = &self.parts[found.component];
            let span = part.span(found.window, self.draw.sequence);
            return Ok((found.component, vec![span]));
        }
        let Places::Neox(dealt) = &self.places else {
            return Err(self.beyond(sample));
        };
        if sample >= self.draw.total {
            return Err(self.beyond(sample));
        }
        let found = dealt.spans(&self.parts, sample);
        found.unwrap_or_else(|| Err(self.beyond(sample)))
    }

    /// Copies a sample's tokens into `tokens`, which has room for the sequence and one more: inputs are all but the
    /// last, targets all but the first. What does not count as a target stands there as its complement ([`counts`]).
    ///
    /// # Errors
    /// The run has no such sample, or the room has another size.
    pub fn sample(&self, sample: u64, tokens: &mut [i64]) -> Result<(), OrderError> {
        let room = |found: usize| OrderError::Room {
            wanted: self.draw.sequence + 1,
            found,
        };
        let size = tokens.len();
        if size as u64 != self.draw.sequence + 1 {
            self.spans(sample)?;
            return Err(room(size));
        }
        let (component, spans) = self.spans(sample)?;
        let mut rest = tokens;
        for span in spans {
            let length = (span.end - span.start) as usize;
            let (out, behind) = rest
                .split_at_mut_checked(length)
                .ok_or_else(|| room(size))?;
            let part = &self.parts[component];
            if !part.tokens.read(span.start, out) {
                return Err(room(size));
            }
            if part.answers_only {
                answers::mark(&part.tokens, span.start, out)?;
            }
            rest = behind;
        }
        if !rest.is_empty() && self.parts[component].bins.is_none() {
            return Err(room(size));
        }
        rest.fill(FILLING);
        Ok(())
    }

    /// How many targets of these samples count in the loss.
    ///
    /// # Errors
    /// The run has not so many.
    pub fn counted(&self, samples: Range<u64>) -> Result<u64, OrderError> {
        let mut tokens = vec![0; self.draw.sequence as usize + 1];
        let mut counted = 0;
        for sample in samples {
            self.sample(sample, &mut tokens)?;
            counted += tokens[1..].iter().filter(|&&id| counts(id)).count() as u64;
        }
        Ok(counted)
    }

    /// The identity of the first `samples` samples: which tokens of which data, in which order. Of a run of more than 262,144 samples
    /// the first so many are hashed, and what the others are computed from.
    ///
    /// # Errors
    /// The run has not so many.
    pub fn hash(&self, samples: u64) -> Result<String, OrderError> {
        let mut hasher = blake3::Hasher::new_derive_key("pleach 2026 data order");
        hasher.update(&self.draw.sequence.to_le_bytes());
        for part in &self.parts {
            if part.bins.is_some() {
                hasher.update(b"whole documents");
            }
            if part.answers_only {
                hasher.update(b"answers only");
            }
            if part.parts.held_out() > 0 {
                hasher.update(&part.trained().to_le_bytes());
            }
            // Where sequences begin decides what a sample is, or what of it counts.
            if part.answers_only || part.bins.is_some() || matches!(self.places, Places::Neox(_)) {
                let lengths = part.tokens.lengths()?;
                hasher.update(&(lengths.len() as u64).to_le_bytes());
                for length in lengths {
                    hasher.update(&length.to_le_bytes());
                }
            }
            hasher.update(&(part.fingerprint.len() as u64).to_le_bytes());
            hasher.update(part.fingerprint.as_bytes());
        }
        let mut word = |word: u64| {
            hasher.update(&word.to_le_bytes());
        };
        if samples > HASHED {
            word(self.draw.seed);
            word(samples);
            word(self.draw.ordering as u64);
            for part in &self.parts {
                word(part.windows(self.draw.sequence));
                part.weight.into_iter().for_each(&mut word);
                word(part.begins);
                word(part.trained());
            }
        }
        for sample in 0..samples.min(HASHED) {
            if let Some(found) = self.window(sample)? {
                word(found.component as u64);
                word(found.window);
                continue;
            }
            let (component, spans) = self.spans(sample)?;
            word(component as u64);
            for span in spans {
                word(span.start);
                word(span.end);
            }
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// The entropy, in nats per token, of how often each id is a target in the first `samples` samples: the least loss
    /// over them of a model that knows only frequencies.
    ///
    /// # Errors
    /// The run has not so many.
    pub fn unigram_entropy(&self, samples: u64) -> Result<f64, OrderError> {
        let mut found = std::collections::BTreeMap::<i64, u64>::new();
        let mut tokens = vec![0; self.draw.sequence as usize + 1];
        for sample in 0..samples {
            self.sample(sample, &mut tokens)?;
            for &target in &tokens[1..] {
                *found.entry(plain(target)).or_default() += 1;
            }
        }
        let total = (samples * self.draw.sequence) as f64;
        Ok(found
            .values()
            .map(|&count| count as f64 / total)
            .map(|p| -p * libm::log(p))
            .sum())
    }

    /// How often a component has been read through behind so many of its samples, earlier phases included.
    pub fn epochs(&self, component: usize, samples: u64) -> f64 {
        let part = &self.parts[component];
        (part.begins + self.tokens(component, samples)) as f64 / part.trained().max(1) as f64
    }

    /// Tokens that so many samples of a component read, what fills them up left out.
    pub fn tokens(&self, component: usize, samples: u64) -> u64 {
        self.parts[component].tokens_of(samples, self.draw.sequence)
    }

    fn beyond(&self, sample: u64) -> OrderError {
        OrderError::Beyond {
            sample,
            total: self.draw.total,
        }
    }
}

#[cfg(test)]
mod tests;
