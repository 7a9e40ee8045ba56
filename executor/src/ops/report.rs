//! The report of a step: loss and squares of gradients, as two numbers or, where sums keep one order, as the digits of both.

use pleach_plan::tally;
use tch::{Kind, Tensor};

use crate::native::Result;

/// Elements whose squares are added at once.
const PIECE: i64 = 1 << 16;

/// Adds a number to the loss (0) or the squares (1).
pub fn gain(report: &Tensor, which: usize, value: f64) -> Result<()> {
    if report.numel() == 2 {
        return report
            .f_select(0, which as i64)?
            .f_add_scalar_(value)
            .map(drop);
    }
    gain_all(report, which, |add| {
        add(value);
        Ok(())
    })
}

/// Adds each element's square, over `replicas`, to the squares of a report that has digits.
pub fn gain_squares(report: &Tensor, x: &Tensor, replicas: u64) -> Result<()> {
    let (flat, replicas) = (x.f_view([-1])?, replicas as f64);
    gain_all(report, 1, |add| {
        for piece in flat.f_split(PIECE, 0)? {
            let mut values = vec![0.0; piece.numel()];
            let piece = piece.f_to_kind(Kind::Double)?;
            piece.f_copy_data(&mut values, piece.numel())?;
            values
                .into_iter()
                .for_each(|value| add(value * value / replicas));
        }
        Ok(())
    })
}

fn gain_all(
    report: &Tensor,
    which: usize,
    values: impl FnOnce(&mut dyn FnMut(f64)) -> Result<()>,
) -> Result<()> {
    let mut figures = figures(report)?;
    let mut sum = tally::Tally::default();
    values(&mut |value| sum.add(value))?;
    sum.pour(&mut figures[which * tally::DIGITS..][..tally::DIGITS]);
    report
        .shallow_clone()
        .f_copy_(&Tensor::f_from_slice(&figures)?)
        .map(drop)
}

/// Loss and squares; not numbers where the tensor is no report.
pub fn read(report: &Tensor) -> Result<[f64; 2]> {
    Ok(tally::report(&figures(report)?).unwrap_or([f64::NAN; 2]))
}

fn figures(report: &Tensor) -> Result<Vec<f64>> {
    let mut figures = vec![0.0; report.numel()];
    let wide = report.f_to_kind(Kind::Double)?;
    wide.f_copy_data(&mut figures, report.numel())?;
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn digits_do_not_depend_on_how_a_tensor_is_cut() {
        let x = Tensor::randn([3000], (Kind::Float, Device::Cpu)) * 1e-7;
        let squares = |cuts: &[i64]| {
            let report = Tensor::zeros([2 * tally::DIGITS as i64], (Kind::Double, Device::Cpu));
            for part in x.split_with_sizes(cuts, 0) {
                gain_squares(&report, &part, 1).expect("squares");
            }
            gain(&report, 0, 0.1).expect("a loss");
            read(&report).expect("a report")
        };
        let [loss, whole] = squares(&[3000]);
        assert_eq!(loss, 0.1);
        let plain = f64::try_from(x.to_kind(Kind::Double).square().sum(Kind::Double)).expect("sum");
        assert!((whole / plain - 1.0).abs() < 1e-12, "{whole} {plain}");
        for cuts in [&[1500, 1500][..], &[1, 2999], &[2000, 700, 300]] {
            assert_eq!(squares(cuts)[1].to_bits(), whole.to_bits());
        }
    }
}
