//! Kernels on so many threads of one rank, or on its GPU, through the same operations that instructions run.

use std::time::Duration;

use pleach_plan::hardware::{Attention, Direction, Elementwise, Form, Gemm, GemmPoint};
use pleach_plan::{Dtype, Scores};
use tch::{Kind, Tensor};

use super::bench::Bench;
use super::cases::{Case, HEADS, all};
use super::measured;
use super::probe::{Deviations, Turns, median};
use crate::error::Cause;
use crate::ops::{attention, linear, wide};
use crate::statics::kind;

/// Time for each measurement.
const BUDGET: Duration = Duration::from_millis(40);

/// What the threads of one rank reach while the others are idle, or a GPU.
pub struct Alone {
    /// Bytes per second.
    pub bandwidth: f64,
    /// Seconds of an instruction without work.
    pub launch: f64,
    /// Products.
    pub gemm: Vec<Gemm>,
    /// Attention.
    pub attention: Vec<Attention>,
    /// Everything else.
    pub elementwise: Vec<Elementwise>,
}

/// Loads what libraries load when they first compute in a type.
pub fn warm_up(bench: &Bench, dtype: Dtype) -> Result<(), Cause> {
    let options = (kind(dtype), bench.device);
    let zeros = |dims: [i64; 3]| Tensor::f_zeros(dims, options);
    let weight = Tensor::f_zeros([512, 512], options)?;
    let sum = Tensor::f_zeros([512, 512], (Kind::Float, bench.device))?;
    let (x, dy) = (zeros([1, 1024, 512])?, zeros([1, 1024, 512])?);
    drop(linear::forward(&x, &weight, None)?);
    drop(linear::backward_input(&dy, &weight)?);
    linear::backward_weight(&dy, &x, &sum)?;
    for case in all(bench, dtype)? {
        case.run()?;
    }
    attentions(bench, dtype).map(drop)
}

/// All measurements.
pub fn measure(bench: &Bench, deviations: &mut Deviations) -> Result<Alone, Cause> {
    let launch = launch(bench)?;
    let gemm = bench
        .types
        .iter()
        .map(|&dtype| products(bench, dtype, deviations))
        .collect::<Result<_, _>>()?;
    let mut attention = Vec::new();
    let mut elementwise = Vec::new();
    for &dtype in bench.types {
        attention.extend(attentions(bench, dtype)?);
        for case in all(bench, dtype)? {
            let mut turns = case.turns()?;
            let taken = bench.times(BUDGET, || case.take_turn(&mut turns))?;
            let seconds = deviations.take(&taken);
            let rate = measured(case.bytes() / (seconds - launch).max(seconds / 10.0));
            elementwise.push(Elementwise {
                op: case.op.name().to_owned(),
                dtype,
                rate,
            });
        }
    }
    Ok(Alone {
        bandwidth: bandwidth(bench)?,
        launch,
        gemm,
        attention,
        elementwise,
    })
}

/// An addition of a few elements, through the interpreter's dispatch.
fn launch(bench: &Bench) -> Result<f64, Cause> {
    let x = bench.random(&[8], Kind::Float)?;
    let case = Case::sum(bench, x.copy(), x);
    let batch = || (0..100).try_for_each(|_| case.run());
    Ok(median(&bench.times(BUDGET, batch)?) / 100.0)
}

/// A sum of tensors that no cache holds.
fn bandwidth(bench: &Bench) -> Result<f64, Cause> {
    let part = || bench.random(&[bench.large], Kind::Float);
    let case = Case::sum(bench, part()?, part()?);
    Ok(case.bytes() / median(&bench.times(4 * BUDGET, || case.run())?))
}

fn products(bench: &Bench, dtype: Dtype, deviations: &mut Deviations) -> Result<Gemm, Cause> {
    let mut points = Vec::new();
    for &sizes in bench.products_of(dtype) {
        for form in [Form::Forward, Form::Input, Form::Weight] {
            points.push(product(bench, form, sizes, dtype, deviations)?);
        }
    }
    let rate = |point: &GemmPoint| 2.0 * (point.m * point.n * point.k) as f64 / point.seconds;
    let best = points.iter().map(rate).fold(0.0, f64::max);
    Ok(Gemm {
        dtype,
        peak: None,
        rate: measured(best),
        tiles: None,
        points,
    })
}

/// One product of a layer with so many rows, outputs and inputs.
fn product(
    bench: &Bench,
    form: Form,
    [rows, outputs, inputs]: [u64; 3],
    dtype: Dtype,
    deviations: &mut Deviations,
) -> Result<GemmPoint, Cause> {
    let [r, o, i] = [rows as i64, outputs as i64, inputs as i64];
    let random = |dims: &[i64]| bench.random(dims, kind(dtype));
    let (x, dy) = (random(&[1, r, i])?, random(&[1, r, o])?);
    let weight = random(&[o, i])?;
    let sum = bench.random(&[o, i], wide(kind(dtype)))?;
    let operands = match form {
        Form::Forward => vec![&x, &weight],
        Form::Input => vec![&dy, &weight],
        Form::Weight => vec![&dy, &x, &sum],
    };
    let mut turns = Turns::of(&operands, bench.passed)?;
    let work = |own: &[Tensor]| {
        Ok(match form {
            Form::Forward => vec![linear::forward(&own[0], &own[1], None)?],
            Form::Input => vec![linear::backward_input(&own[0], &own[1])?],
            Form::Weight => {
                linear::backward_weight(&own[0], &own[1], &own[2])?;
                Vec::new()
            }
        })
    };
    let taken = bench.times(BUDGET, || turns.turn(work))?;
    let [m, n, k] = match form {
        Form::Forward => [rows, outputs, inputs],
        Form::Input => [rows, inputs, outputs],
        Form::Weight => [outputs, inputs, rows],
    };
    Ok(GemmPoint {
        form,
        m,
        n,
        k,
        seconds: deviations.take(&taken),
    })
}

/// Both directions, each by what it takes with a narrow head and with a wide one.
fn attentions(bench: &Bench, dtype: Dtype) -> Result<[Attention; 2], Cause> {
    let [batch, positions] = bench.attention;
    let scores = (batch * HEADS * positions * positions) as f64;
    let [narrow, wide] = bench.widths.map(|width| attention(bench, dtype, width));
    let ([narrow, wide], widths) = ([narrow?, wide?], bench.widths.map(|width| width as f64));
    let directions = [(Direction::Forward, 2.0), (Direction::Backward, 5.0)];
    Ok([0, 1].map(|index| {
        let (direction, products) = directions[index];
        let [each, score] = line(widths, [narrow[index], wide[index]]);
        Attention {
            dtype,
            direction,
            rate: measured(2.0 * products * scores / each),
            score: Some(measured(score / scores)),
        }
    }))
}

/// Seconds for each unit of width, and those that are there whatever the width.
fn line(widths: [f64; 2], seconds: [f64; 2]) -> [f64; 2] {
    let rise = (seconds[1] - seconds[0]) / (widths[1] - widths[0]);
    // More than in proportion is noise, and so is no rise at all.
    let proportion = (seconds[0] + seconds[1]) / (widths[0] + widths[1]);
    let each = rise.clamp(proportion / 100.0, proportion);
    [each, (proportion - each) * (widths[0] + widths[1]) / 2.0]
}

/// Seconds of attention, forward and backward.
fn attention(bench: &Bench, dtype: Dtype, width: i64) -> Result<[f64; 2], Cause> {
    let [batch, positions] = bench.attention;
    let dims = [batch, positions, HEADS, width];
    let heads = || {
        bench
            .random(&dims, kind(dtype))?
            .f_transpose(1, 2)
            .map_err(Cause::from)
    };
    let [q, k, v] = [heads()?, heads()?, heads()?];
    let how = attention::How::new(&Scores::PLAIN, &q, 0)?;
    let [out, lse] = attention::forward([&q, &k, &v], &how)?;
    let mut heads = Turns::of(&[&q, &k, &v], bench.passed)?;
    let work = |own: &[Tensor]| Ok(attention::forward([&own[0], &own[1], &own[2]], &how)?.into());
    let forward = median(&bench.times(BUDGET, || heads.turn(work))?);
    let mut all = Turns::of(&[&q, &k, &v, &out, &lse], bench.passed)?;
    let work = |own: &[Tensor]| {
        let [q, k, v, out, lse] = [0, 1, 2, 3, 4].map(|at| &own[at]);
        Ok(attention::backward(out, [q, k, v], out, lse, &how)?.into())
    };
    let backward = median(&bench.times(BUDGET, || all.turn(work))?);
    Ok([forward, backward])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_whatever_the_width_is_told_from_what_grows_with_it() {
        let near = |x: f64, y: f64| (x - y).abs() < 1e-12;
        let [each, score] = line([32.0, 128.0], [3.0 + 32.0, 3.0 + 128.0]);
        assert!(near(each, 1.0) && near(score, 3.0), "{each} {score}");
        assert_eq!(line([32.0, 128.0], [32.0, 128.0]), [1.0, 0.0]);
        let [each, score] = line([32.0, 128.0], [20.0, 200.0]);
        assert!(
            score == 0.0 && near(each, 220.0 / 160.0),
            "more than in proportion"
        );
        let [each, score] = line([32.0, 128.0], [5.0, 4.0]);
        assert!(each > 0.0 && score > 4.0, "no rise");
    }
}
