//! The steps of cross-entropy that go over all logits.

use pleach_plan::Charge;
use tch::{Kind, Tensor};

use super::{CROSS_ENTROPY, Launch, Words, dense, many, row_threads, solid};
use crate::native::Result;
use crate::ops::{wide, width};

/// Dense logits with their sizes: type, rows, columns.
struct Logits {
    dense: Tensor,
    rows: i64,
    columns: i64,
}

impl Logits {
    fn new(logits: &Tensor) -> Result<Self> {
        let columns = width(logits);
        Ok(Logits {
            rows: logits.numel() as i64 / columns.max(1),
            dense: solid(logits)?,
            columns,
        })
    }

    fn launch(&self, kernels: &dyn Launch, name: &str, words: &Words) -> Result<()> {
        let kind = self.dense.kind();
        let (grid, threads) = ([many(self.rows), 1], row_threads(self.columns, kind));
        words.launch(kernels, CROSS_ENTROPY, (name, kind), grid, threads)
    }
}

/// The largest logit of each row.
///
/// # Errors
/// A type that no kernel computes in.
pub fn max(kernels: &dyn Launch, logits: &Tensor) -> Result<Tensor> {
    let own = Logits::new(logits)?;
    let mut dims = logits.size();
    dims.pop();
    let max = Tensor::f_empty(&dims, (wide(logits.kind()), logits.device()))?;
    let words = Words::new()
        .tensor(&own.dense)
        .tensor(&max)
        .number(own.columns);
    own.launch(kernels, "largest", &words)?;
    Ok(max)
}

/// `[2, B, S]`, smoothed `[3, B, S]`: as [`crate::ops::cross_entropy::terms`] gives them.
///
/// # Errors
/// Operands that do not fit.
pub fn terms(
    kernels: &dyn Launch,
    [logits, targets, max]: [&Tensor; 3],
    first: i64,
    smoothed: bool,
) -> Result<Tensor> {
    let own = Logits::new(logits)?;
    dense("the targets", targets, Kind::Int64, own.rows)?;
    dense("the largest", max, wide(logits.kind()), own.rows)?;
    let mut dims = vec![2 + i64::from(smoothed)];
    dims.extend(max.size());
    let terms = Tensor::f_empty(&dims, (max.kind(), max.device()))?;
    let words = [&own.dense, targets, max, &terms];
    let words = words.into_iter().fold(Words::new(), Words::tensor);
    let words = words.number(own.columns).number(own.rows).number(first);
    own.launch(kernels, "terms", &words.number(i64::from(smoothed)))?;
    Ok(terms)
}

/// What the gradient of a charge is made of, beside the logits.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'t> {
    /// Ids.
    pub targets: &'t Tensor,
    /// The largest logit of each row.
    pub max: &'t Tensor,
    /// What [`terms`] gave, over all ranks.
    pub terms: &'t Tensor,
    /// How much each target counts.
    pub weights: Option<&'t Tensor>,
    /// This rank's first row of the vocabulary.
    pub first: i64,
}

/// The gradient of the charge, in the storage of `logits` where that ends here.
///
/// # Errors
/// Operands that do not fit.
pub fn backward(
    kernels: &dyn Launch,
    logits: &Tensor,
    parts: &Parts<'_>,
    charge: &Charge,
    ends: bool,
) -> Result<Tensor> {
    let own = Logits::new(logits)?;
    let wide = wide(logits.kind());
    let sums = parts.terms.f_select(0, 0)?;
    dense("the targets", parts.targets, Kind::Int64, own.rows)?;
    for one in [Some(parts.max), Some(&sums), parts.weights]
        .into_iter()
        .flatten()
    {
        dense("a statistic or weight", one, wide, own.rows)?;
    }
    let gradient = match ends {
        true => own.dense.shallow_clone(),
        false => Tensor::f_empty(logits.size(), (logits.kind(), logits.device()))?,
    };
    let [share, even] = charge.shares();
    let words = [&own.dense, parts.targets, parts.max, &sums];
    let words = words.into_iter().fold(Words::new(), Words::tensor);
    let words = words.perhaps(parts.weights).tensor(&gradient);
    let words = words.number(own.columns).number(parts.first);
    let words = words.float(charge.scale).float(charge.z_loss).float(share);
    own.launch(kernels, "gradient", &words.float(even))?;
    Ok(gradient)
}
