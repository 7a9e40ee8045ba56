//! Kernels on so many threads of one rank, through the same operations that instructions run.

use std::time::Duration;

use pleach_plan::hardware::{Attention, Direction, Elementwise, Form, Gemm, GemmPoint};
use pleach_plan::{Dtype, Scores};
use tch::{Device, Kind, Tensor};

use super::cases::{Case, HEADS, TOKENS, all, random};
use super::measured;
use super::probe::{Deviations, Turns, median, times};
use crate::error::Cause;
use crate::native::memory;
use crate::ops::{attention, linear};
use crate::process::resident;
use crate::statics::kind;

/// Time for each measurement.
const BUDGET: Duration = Duration::from_millis(40);
const TYPES: [Dtype; 3] = [Dtype::F32, Dtype::F64, Dtype::Bf16];

/// What the threads of one rank reach while the others are idle.
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

/// Loads what libraries load when they first compute in a type; gives the resident bytes of the process beside its tensors.
pub fn warm_up(dtype: Dtype) -> Result<u64, Cause> {
    let options = (kind(dtype), Device::Cpu);
    let zeros = |dims: [i64; 3]| Tensor::f_zeros(dims, options);
    let weight = Tensor::f_zeros([512, 512], options)?;
    let sum = Tensor::f_zeros([512, 512], (Kind::Float, Device::Cpu))?;
    let (x, dy) = (zeros([1, 1024, 512])?, zeros([1, 1024, 512])?);
    drop(linear::forward(&x, &weight, None)?);
    drop(linear::backward_input(&dy, &weight)?);
    linear::backward_weight(&dy, &x, &sum)?;
    for case in all(dtype, TOKENS)? {
        case.run()?;
    }
    attentions(dtype)?;
    Ok(resident().now.saturating_sub(memory::extent()))
}

/// All measurements.
pub fn measure(deviations: &mut Deviations) -> Result<Alone, Cause> {
    let launch = launch()?;
    let gemm = TYPES
        .iter()
        .map(|&dtype| products(dtype, deviations))
        .collect::<Result<_, _>>()?;
    let mut attention = Vec::new();
    let mut elementwise = Vec::new();
    for dtype in TYPES {
        attention.extend(attentions(dtype)?);
        for case in all(dtype, TOKENS)? {
            let mut turns = case.turns()?;
            let seconds = deviations.take(&times(BUDGET, || case.take_turn(&mut turns))?);
            let rate = measured(case.bytes() / (seconds - launch).max(seconds / 10.0));
            elementwise.push(Elementwise {
                op: case.op.name().to_owned(),
                dtype,
                rate,
            });
        }
    }
    Ok(Alone {
        bandwidth: bandwidth()?,
        launch,
        gemm,
        attention,
        elementwise,
    })
}

/// An addition of a few elements, through the interpreter's dispatch.
fn launch() -> Result<f64, Cause> {
    let x = random(&[8], Kind::Float)?;
    let case = Case::sum(x.copy(), x);
    let batch = || (0..100).try_for_each(|_| case.run());
    Ok(median(&times(BUDGET, batch)?) / 100.0)
}

/// A sum of tensors that no cache holds.
fn bandwidth() -> Result<f64, Cause> {
    let [x, y] = [
        random(&[8 << 20], Kind::Float)?,
        random(&[8 << 20], Kind::Float)?,
    ];
    let case = Case::sum(x, y);
    Ok(case.bytes() / median(&times(4 * BUDGET, || case.run())?))
}

fn products(dtype: Dtype, deviations: &mut Deviations) -> Result<Gemm, Cause> {
    let all: &[[u64; 3]] = if dtype == Dtype::F32 {
        &[
            [256, 256, 256],
            [512, 128, 256],
            [512, 256, 128],
            [512, 320, 320],
            [512, 1024, 256],
            [512, 256, 1024],
            [1024, 512, 512],
            [2048, 1024, 1024],
        ]
    } else {
        &[[256, 256, 256], [512, 512, 512]]
    };
    let mut points = Vec::new();
    for &[rows, outputs, inputs] in all {
        for form in [Form::Forward, Form::Input, Form::Weight] {
            points.push(product(form, [rows, outputs, inputs], dtype, deviations)?);
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
    form: Form,
    [rows, outputs, inputs]: [u64; 3],
    dtype: Dtype,
    deviations: &mut Deviations,
) -> Result<GemmPoint, Cause> {
    let [r, o, i] = [rows as i64, outputs as i64, inputs as i64];
    let (x, dy) = (
        random(&[1, r, i], kind(dtype))?,
        random(&[1, r, o], kind(dtype))?,
    );
    let weight = random(&[o, i], kind(dtype))?;
    let sum = random(
        &[o, i],
        if dtype == Dtype::F64 {
            Kind::Double
        } else {
            Kind::Float
        },
    )?;
    let operands = match form {
        Form::Forward => vec![&x, &weight],
        Form::Input => vec![&dy, &weight],
        Form::Weight => vec![&dy, &x, &sum],
    };
    let mut turns = Turns::of(&operands)?;
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
    let taken = times(BUDGET, || turns.turn(work))?;
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

fn attentions(dtype: Dtype) -> Result<[Attention; 2], Cause> {
    let (batch, positions, width) = (2, 256, 64);
    let dims = [batch, positions, HEADS, width];
    let heads = || {
        random(&dims, kind(dtype))?
            .f_transpose(1, 2)
            .map_err(Cause::from)
    };
    let [q, k, v] = [heads()?, heads()?, heads()?];
    let how = attention::How::new(&Scores::PLAIN, &q, 0)?;
    let [out, lse] = attention::forward([&q, &k, &v], &how)?;
    let product = 2.0 * (batch * HEADS * positions * positions * width) as f64;
    let mut heads = Turns::of(&[&q, &k, &v])?;
    let work = |own: &[Tensor]| Ok(attention::forward([&own[0], &own[1], &own[2]], &how)?.into());
    let forward = median(&times(BUDGET, || heads.turn(work))?);
    let mut all = Turns::of(&[&q, &k, &v, &out, &lse])?;
    let work = |own: &[Tensor]| {
        let [q, k, v, out, lse] = [0, 1, 2, 3, 4].map(|at| &own[at]);
        Ok(attention::backward(out, [q, k, v], out, lse, &how)?.into())
    };
    let backward = median(&times(BUDGET, || all.turn(work))?);
    let rate = |direction, flops: f64, seconds: f64| Attention {
        dtype,
        direction,
        rate: measured(flops / seconds),
    };
    Ok([
        rate(Direction::Forward, 2.0 * product, forward),
        rate(Direction::Backward, 5.0 * product, backward),
    ])
}
