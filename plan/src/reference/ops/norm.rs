//! The gradient norm: sums of squares, and the factor that clips by them.

use crate::reference::value::{Unfit, Value, one_type};
use crate::tally;

/// Adds numbers to the loss (0) or the squares (1) of a report.
///
/// # Errors
/// It is none.
pub fn gain(
    report: &mut Value,
    which: usize,
    values: impl Iterator<Item = f64>,
) -> Result<(), Unfit> {
    match tally::gain(&mut report.data, which, values) {
        true => Ok(()),
        false => Err(no_report(report)),
    }
}

fn no_report(value: &Value) -> Unfit {
    Unfit(format!("{:?} is no report of a step", value.dims))
}

/// `report[1] += sum(x²) / replicas`.
///
/// # Errors
/// The report has another shape.
pub fn sum_squares(x: &Value, report: &mut Value, replicas: f64) -> Result<(), Unfit> {
    one_type(&[x])?;
    one_type(&[report])?;
    gain(report, 1, x.data.iter().map(|x| x * x / replicas))
}

/// `factor = min(1, max_norm / (norm + 1e-6))`, or 1 without a limit, over the scale of the loss, of which `norm` is free; -1 where
/// the report is not finite.
///
/// # Errors
/// Shapes.
pub fn clip_factor(
    report: &Value,
    factor: &mut Value,
    max_norm: Option<f64>,
    loss_scale: f64,
) -> Result<(), Unfit> {
    let figures = tally::report(&report.data).ok_or_else(|| no_report(report))?;
    factor.expect(&[1])?;
    one_type(&[report])?;
    one_type(&[factor])?;
    let norm = figures[1].sqrt() / loss_scale;
    let clipped = max_norm.map_or(1.0, |limit| (limit / (norm + 1e-6)).min(1.0));
    let is_finite = figures.iter().all(|figure| figure.is_finite());
    factor.data[0] = if is_finite {
        clipped / loss_scale
    } else {
        -1.0
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_to_the_limit_and_no_further() {
        let mut report = Value::free(&[2], vec![7.0, 1.0]);
        sum_squares(
            &Value::free(&[2, 2], vec![2.0, 4.0, 2.0, 0.0]),
            &mut report,
            3.0,
        )
        .unwrap();
        assert_eq!(report.data, [7.0, 9.0]);
        let mut factor = Value::free(&[1], vec![0.0]);
        for (limit, wanted) in [(Some(1.5), 0.5), (Some(100.0), 1.0), (None, 1.0)] {
            clip_factor(&report, &mut factor, limit, 1.0).unwrap();
            assert!((factor.data[0] - wanted).abs() < 1e-6);
        }
    }

    #[test]
    fn scaled_gradients_are_clipped_as_if_they_were_not_and_freed_of_the_scale() {
        let mut factor = Value::free(&[1], vec![0.0]);
        let report = Value::free(&[2], vec![7.0, 9.0 * 64.0]);
        clip_factor(&report, &mut factor, Some(1.5), 8.0).unwrap();
        assert!((factor.data[0] - 0.5 / 8.0).abs() < 1e-6);
        for [loss, squares] in [[f64::NAN, 1.0], [1.0, f64::INFINITY]] {
            let report = Value::free(&[2], vec![loss, squares]);
            clip_factor(&report, &mut factor, None, 8.0).unwrap();
            assert_eq!(factor.data, [-1.0]);
        }
    }
}
