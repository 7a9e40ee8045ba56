//! A run's samples in GPT-NeoX's order, over the components of a mix.
//!
//! In come the components and what is drawn; out come a sample's component and the positions of its tokens. A mix of one component is read as its
//! `data_path` is, without a blend; of several as `train_data_paths` with weights.

use super::super::{Draw, OrderError, Part, Spans};
use super::{Indices, MOST_COMPONENTS, blend, wanted};
use crate::DataError;

/// The indices of all components, and the blend.
#[derive(Debug)]
pub struct Dealt {
    indices: Vec<Option<Indices>>,
    /// Component and number of each sample; empty where there is one component.
    blend: Vec<(u8, u64)>,
}

impl Dealt {
    /// Builds the indices; memory and time grow with documents and samples, as there.
    pub(in crate::order) fn new(draw: &Draw, parts: &[Part]) -> Result<Dealt, OrderError> {
        let seed = u32::try_from(draw.seed).map_err(|_| OrderError::Seed { seed: draw.seed })?;
        if parts.is_empty() || parts.len() > MOST_COMPONENTS {
            return Err(OrderError::Blend { count: parts.len() });
        }
        let share = |part: &Part| part.weight[0] as f64 / part.weight[1] as f64;
        let weights: Vec<f64> = parts.iter().map(share).collect();
        let whole: f64 = weights.iter().sum();
        let indices = |(part, weight): (&Part, &f64)| -> Result<Option<Indices>, OrderError> {
            if *weight == 0.0 {
                return Ok(None);
            }
            let samples = match parts.len() {
                1 => draw.total,
                _ => wanted(weight / whole, draw.total),
            };
            let mut lengths = part.tokens.lengths()?;
            lengths.truncate(part.parts.documents[0].end);
            let found = Indices::new(&lengths, draw.sequence, samples, seed);
            let found = found.filter(|found| !found.is_empty());
            found.map(Some).ok_or_else(|| OrderError::Indices {
                component: part.name.clone(),
            })
        };
        let indices = parts.iter().zip(&weights).map(indices);
        Ok(Dealt {
            indices: indices.collect::<Result<_, _>>()?,
            blend: match parts.len() {
                1 => Vec::new(),
                _ => blend(&weights, draw.total),
            },
        })
    }

    /// How many of the first `samples` samples each component gives.
    pub fn counts(&self, samples: u64) -> Vec<u64> {
        let mut counts = vec![0; self.indices.len()];
        if self.blend.is_empty() {
            counts[0] = samples;
        }
        for (component, _) in self.blend.iter().take(samples as usize) {
            counts[usize::from(*component)] += 1;
        }
        counts
    }

    /// Component and tokens of a sample; none beyond the run.
    pub(in crate::order) fn spans(
        &self,
        parts: &[Part],
        sample: u64,
    ) -> Option<Result<Spans, OrderError>> {
        let (component, number) = match self.blend.is_empty() {
            true => (0, sample),
            false => {
                let (component, number) = *self.blend.get(usize::try_from(sample).ok()?)?;
                (usize::from(component), number)
            }
        };
        let indices = self.indices[component].as_ref()?;
        let [from, to] = indices.sample(number)?;
        let tokens = &parts[component].tokens;
        let piece = |place: u32| {
            let document = tokens.sequence(indices.documents[place as usize] as usize)?;
            let first = if place == from.place { from.offset } else { 0 };
            let end = match place == to.place {
                true => document.start + u64::from(to.offset) + 1,
                false => document.end,
            };
            let start = document.start + u64::from(first);
            (start <= end && end <= document.end).then_some(start..end)
        };
        let pieces: Option<Vec<_>> = (from.place..=to.place).map(piece).collect();
        Some(match pieces {
            Some(pieces) => Ok((component, pieces)),
            None => {
                let path = tokens.path().with_extension("idx");
                let problem = "a document lies where the file has no tokens";
                Err(DataError::damaged(&path, problem).into())
            }
        })
    }
}
