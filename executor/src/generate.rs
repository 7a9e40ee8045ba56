//! Writing on: from a checkpoint of any placement and the ids of a prompt come more ids, one after the other.
//!
//! Each id is drawn from the logits of the last position, computed anew from the whole text, as long as it fits the plan's positions;
//! what is longer is read from its end. The draw of a position depends on the seed and the position alone.

use std::path::PathBuf;

use clap::Args;
use tch::{Kind, Tensor};

use crate::device;
use crate::environment::Environment;
use crate::error::{Cause, Exit, Failure};
use crate::forward::{batch, checkpoint, fill};
use crate::interpreter::Interpreter;
use crate::load;

/// What is asked for.
#[derive(Args, Clone, Debug)]
pub struct Request {
    /// A plan of one rank
    #[arg(long)]
    pub plan: PathBuf,
    /// The run's folder
    #[arg(long)]
    pub run: PathBuf,
    /// The step whose checkpoint is taken, not the newest
    #[arg(long)]
    pub step: Option<u64>,
    /// A file with the ids of the prompt, a JSON list
    #[arg(long)]
    pub ids: PathBuf,
    /// How many ids follow, at most
    #[arg(long)]
    pub count: u64,
    /// The id behind which nothing follows
    #[arg(long)]
    pub end: Option<i64>,
    /// How an id is drawn.
    #[command(flatten)]
    pub draw: Draw,
}

/// How an id is drawn from logits.
#[derive(Args, Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// Divides the logits; 0 takes the likeliest id
    #[arg(long)]
    pub temperature: f64,
    /// Only so many of the likeliest ids; 0 for all
    #[arg(long)]
    pub top_k: usize,
    /// Only the likeliest ids that together have this share
    #[arg(long)]
    pub top_p: f64,
    /// Of the draws
    #[arg(long)]
    pub seed: u64,
}

impl Draw {
    /// The id that is drawn for a position.
    pub fn choose(&self, logits: &[f64], position: u64) -> i64 {
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&one, &other| logits[other].total_cmp(&logits[one]));
        if self.temperature <= 0.0 {
            return order.first().map_or(0, |&id| id as i64);
        }
        if self.top_k > 0 {
            order.truncate(self.top_k);
        }
        let most = order.first().map_or(0.0, |&id| logits[id]);
        let weight = |id: &usize| ((logits[*id] - most) / self.temperature).exp();
        let mut weights: Vec<f64> = order.iter().map(weight).collect();
        let whole: f64 = weights.iter().sum();
        let mut share = 0.0;
        let within = weights.iter().take_while(|weight| {
            let before = share;
            share += **weight / whole;
            before < self.top_p
        });
        let kept = within.count().max(1);
        weights.truncate(kept);
        let mut left = self.uniform(position) * weights.iter().sum::<f64>();
        let drawn = weights.iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        order
            .get(drawn.unwrap_or(kept - 1))
            .map_or(0, |&id| id as i64)
    }

    /// A number from 0 to below 1 for a position.
    fn uniform(&self, position: u64) -> f64 {
        let mut hasher = blake3::Hasher::new_derive_key("pleach 2026 generation");
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&position.to_le_bytes());
        let mut word = [0; 8];
        word.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        (u64::from_le_bytes(word) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Writes on; `each` hears every id as soon as it is drawn.
///
/// # Errors
/// A plan of several ranks, no such checkpoint, or ids that do not fit.
pub fn generate(request: &Request, each: &mut dyn FnMut(i64)) -> Result<(), Failure> {
    let alone = Environment::read(|_| None)?;
    let plan = load::plan(&request.plan, &alone)?;
    let rows = plan.data.vocab as i64;
    let text = std::fs::read_to_string(&request.ids);
    let text = text.map_err(|error| Failure::file(&request.ids, &error))?;
    let mut ids: Vec<i64> =
        serde_json::from_str(&text).map_err(|error| Failure::file(&request.ids, &error))?;
    let strange = ids.iter().find(|id| !(0..rows).contains(*id));
    if strange.is_some() || ids.is_empty() {
        let message = match strange {
            Some(id) => format!("the prompt has the id {id}, the vocabulary has {rows} rows"),
            None => "the prompt is empty: there is nothing to go on from".to_owned(),
        };
        return Err(Failure::new(Exit::Wish, "pleach::worker::tokens", message));
    }
    let wrap = |cause: Cause| Failure::outside(&cause, "writing on");
    let mut interpreter = Interpreter::new(&plan, 0, device::asked()?).map_err(wrap)?;
    fill(
        &plan,
        &checkpoint(&request.run, request.step)?,
        &interpreter,
    )?;
    let room = plan.training.sequence as usize;
    for position in 0..request.count {
        let text = ids[ids.len().saturating_sub(room)..].to_vec();
        let last = text.len() as i64 - 1;
        let logits = batch(&plan, &mut interpreter, &[text])?;
        let logits = row(&logits, last).map_err(|error| wrap(error.into()))?;
        let id = request.draw.choose(&logits, position);
        each(id);
        if request.end == Some(id) {
            break;
        }
        ids.push(id);
    }
    Ok(())
}

fn row(logits: &Tensor, place: i64) -> Result<Vec<f64>, tch::TchError> {
    let row = logits.f_get(0)?.f_get(place)?.f_to_kind(Kind::Double)?;
    let mut values = vec![0.0; row.numel()];
    row.f_copy_data(&mut values, row.numel())?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAW: Draw = Draw {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        seed: 7,
    };

    fn shares(draw: Draw, logits: &[f64]) -> Vec<f64> {
        const DRAWS: u64 = 20_000;
        let mut counts = vec![0.0; logits.len()];
        (0..DRAWS).for_each(|place| counts[draw.choose(logits, place) as usize] += 1.0);
        counts.iter().map(|count| count / DRAWS as f64).collect()
    }

    #[test]
    fn ids_come_as_often_as_their_probabilities_say() {
        let probabilities = [0.1_f64, 0.5, 0.15, 0.25];
        let logits = probabilities.map(f64::ln);
        let near = |found: Vec<f64>, wanted: [f64; 4]| {
            let close = |(one, other): (&f64, f64)| (one - other).abs() < 0.015;
            assert!(found.iter().zip(wanted).all(close), "{found:?} {wanted:?}");
        };
        near(shares(DRAW, &logits), probabilities);
        let cold = Draw {
            temperature: 0.5,
            ..DRAW
        };
        let squares = probabilities.map(|share| share * share);
        let whole: f64 = squares.iter().sum();
        near(shares(cold, &logits), squares.map(|square| square / whole));
        let two = Draw { top_k: 2, ..DRAW };
        near(shares(two, &logits), [0.0, 2.0 / 3.0, 0.0, 1.0 / 3.0]);
        let most = Draw { top_p: 0.8, ..DRAW };
        near(
            shares(most, &logits),
            [0.0, 0.5 / 0.9, 0.15 / 0.9, 0.25 / 0.9],
        );
        let greedy = Draw {
            temperature: 0.0,
            ..DRAW
        };
        near(shares(greedy, &logits), [0.0, 1.0, 0.0, 0.0]);
    }
}
