//! Products of rows with their experts' matrices: one product for each expert of each sequence, on rows that lie together.

use tch::{TchError, Tensor};

use super::linear;
use crate::native::Result;

/// The rows of one expert in one sequence.
struct Span {
    sequence: i64,
    expert: i64,
    first: i64,
    count: i64,
}

impl Span {
    fn of(&self, rows: &Tensor) -> Result<Tensor> {
        rows.f_select(0, self.sequence)?
            .f_narrow(0, self.first, self.count)
    }
}

/// Where each expert's rows lie.
fn spans(choice: &Tensor, experts: i64) -> Result<Vec<Span>> {
    let batch = choice.size3()?.0;
    let mut spans = Vec::new();
    for sequence in 0..batch {
        let own = choice.f_select(0, sequence)?.f_flatten(0, -1)?;
        let counts: Vec<i64> = own.f_bincount(None::<&Tensor>, experts)?.try_into()?;
        if counts.len() as i64 != experts {
            let text = format!("a choice beyond {experts} experts");
            return Err(TchError::Shape(text));
        }
        let mut first = 0;
        for (expert, count) in (0..).zip(counts) {
            spans.push(Span {
                sequence,
                expert,
                first,
                count,
            });
            first += count;
        }
    }
    spans.retain(|span| span.count > 0);
    Ok(spans)
}

/// Rows that a product of each span fills.
fn fill(
    rows: &Tensor,
    width: i64,
    spans: &[Span],
    product: impl Fn(&Tensor, &Span) -> Result<Tensor>,
) -> Result<Tensor> {
    let (batch, count, _) = rows.size3()?;
    let made = Tensor::f_empty([batch, count, width], (rows.kind(), rows.device()))?;
    for span in spans {
        let own = product(&span.of(rows)?, span)?;
        span.of(&made)?.f_copy_(&own)?;
    }
    Ok(made)
}

/// `y[b, r] = weight[expert of r] rows[b, r]`.
pub fn forward(rows: &Tensor, weight: &Tensor, choice: &Tensor) -> Result<Tensor> {
    let (experts, outs, _) = weight.size3()?;
    let spans = spans(choice, experts)?;
    fill(rows, outs, &spans, |own, span| {
        linear::forward(own, &weight.f_select(0, span.expert)?, None)
    })
}

/// `drows[b, r] = weight[expert of r]ᵀ dy[b, r]`.
pub fn backward_input(dy: &Tensor, weight: &Tensor, choice: &Tensor) -> Result<Tensor> {
    let (experts, _, ins) = weight.size3()?;
    let spans = spans(choice, experts)?;
    fill(dy, ins, &spans, |own, span| {
        linear::backward_input(own, &weight.f_select(0, span.expert)?)
    })
}

/// `dweight[e] += dyᵀ rows` over the rows of each expert.
pub fn backward_weight(
    dy: &Tensor,
    rows: &Tensor,
    choice: &Tensor,
    dweight: &Tensor,
) -> Result<()> {
    let experts = dweight.size3()?.0;
    for span in spans(choice, experts)? {
        let sum = dweight.f_select(0, span.expert)?;
        linear::backward_weight(&span.of(dy)?, &span.of(rows)?, &sum)?;
    }
    Ok(())
}
