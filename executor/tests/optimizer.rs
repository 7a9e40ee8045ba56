//! The fused AdamW against its formula, in every type it runs in.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pleach_executor::ops::adam_w::{self, Step};
use pleach_plan::Op;
use tch::{Device, Kind, Tensor};

const OP: Op = Op::AdamW {
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weight_decay: 0.1,
};

/// One update as the paper writes it, in f64.
fn formula(state: &mut [Tensor; 3], gradient: &Tensor, count: i32, rate: f64) {
    let [weight, m, v] = state;
    *m = &*m * 0.9 + gradient * 0.1;
    *v = &*v * 0.95 + gradient * gradient * 0.05;
    let first = &*m / (1.0 - 0.9f64.powi(count));
    let second = &*v / (1.0 - 0.95f64.powi(count));
    *weight = &*weight * (1.0 - rate * 0.1) - first * rate / (second.sqrt() + 1e-8);
}

fn largest_error(kind: Kind) -> f64 {
    tch::manual_seed(7);
    let start = Tensor::randn([1001], (Kind::Double, Device::Cpu)).to_kind(kind);
    let mut wanted = [
        start.to_kind(Kind::Double),
        start.to_kind(Kind::Double) * 0.0,
        start.to_kind(Kind::Double) * 0.0,
    ];
    let state = [start.copy(), start.zeros_like(), start.zeros_like()];
    let factor = Tensor::from_slice(&[0.25]);
    for number in 0..5 {
        let gradient = Tensor::randn([1001], (Kind::Double, Device::Cpu)).to_kind(kind);
        let rate = 1e-2 / (number + 1) as f64;
        formula(
            &mut wanted,
            &(gradient.to_kind(Kind::Double) * 0.25),
            number as i32 + 1,
            rate,
        );
        let [weight, m, v] = state.each_ref();
        adam_w::run(
            &OP,
            &factor,
            [weight, m, v, &gradient],
            Step { number, rate },
        )
        .unwrap();
    }
    let errors = state.iter().zip(&wanted).map(|(found, wanted)| {
        let scale = wanted.abs().max().double_value(&[]);
        (found.to_kind(Kind::Double) - wanted)
            .abs()
            .max()
            .double_value(&[])
            / scale
    });
    errors.fold(0.0, f64::max)
}

#[test]
fn fused_adam_w_is_the_formula() {
    let (double, single) = (largest_error(Kind::Double), largest_error(Kind::Float));
    assert!(double <= 1e-14, "f64: {double:e}");
    assert!(single <= 1e-6, "f32: {single:e}");
}

#[test]
fn the_gradient_is_left_scaled() {
    let ones = || Tensor::ones([4], (Kind::Double, Device::Cpu));
    let gradient = ones();
    let factor = Tensor::from_slice(&[0.5]);
    adam_w::run(
        &OP,
        &factor,
        [&ones(), &ones(), &ones(), &gradient],
        Step {
            number: 0,
            rate: 0.0,
        },
    )
    .unwrap();
    assert_eq!(gradient.double_value(&[3]), 0.5);
}
