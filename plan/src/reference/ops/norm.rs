//! The gradient norm: sums of squares, and the factor that clips by them.

use crate::reference::value::{Unfit, Value, one_type};

/// `report[1] += sum(x²) / replicas`.
///
/// # Errors
/// The report has another shape.
pub fn sum_squares(x: &Value, report: &mut Value, replicas: f64) -> Result<(), Unfit> {
    report.expect(&[2])?;
    one_type(&[x])?;
    one_type(&[report])?;
    report.data[1] += x.data.iter().map(|x| x * x).sum::<f64>() / replicas;
    Ok(())
}

/// `factor = min(1, max_norm / (sqrt(report[1]) + 1e-6))`, or 1 without a limit.
///
/// # Errors
/// Shapes.
pub fn clip_factor(report: &Value, factor: &mut Value, max_norm: Option<f64>) -> Result<(), Unfit> {
    report.expect(&[2])?;
    factor.expect(&[1])?;
    one_type(&[report])?;
    one_type(&[factor])?;
    factor.data[0] = max_norm.map_or(1.0, |limit| {
        (limit / (report.data[1].sqrt() + 1e-6)).min(1.0)
    });
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
            clip_factor(&report, &mut factor, limit).unwrap();
            assert!((factor.data[0] - wanted).abs() < 1e-6);
        }
    }
}
