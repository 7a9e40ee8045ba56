//! The fused updates against libtorch's own optimizers and against their formulas, in every type they run in.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pleach_executor::ops::adam_w::Step;
use pleach_executor::ops::{adam, adam_w, lion, sgd};
use pleach_plan::Op;
use tch::nn::{self, OptimizerConfig};
use tch::{Device, Kind, Tensor};

const ADAM_W: Op = Op::AdamW {
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weight_decay: 0.1,
};

const ADAM: Op = Op::Adam {
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weight_decay: 0.1,
};

const LION: Op = Op::Lion {
    beta1: 0.9,
    beta2: 0.99,
    weight_decay: 0.1,
};

const fn descent(momentum: f64, nesterov: bool) -> Op {
    Op::Sgd {
        momentum,
        nesterov,
        weight_decay: 0.1,
    }
}

/// Elements of a weight: no multiple of any vector's width.
const ELEMENTS: i64 = 1001;

/// Updates that are compared.
const UPDATES: u64 = 5;

/// What gradients are scaled by.
const FACTOR: f64 = 0.25;

fn rate(number: u64) -> f64 {
    1e-2 / (number + 1) as f64
}

/// The weight at the beginning, and the gradient of each update: numbers from -1 to 1 without a pattern, which other tests cannot change.
fn given(kind: Kind) -> (Tensor, Vec<Tensor>) {
    let numbers = |salt: u64| {
        let places = Tensor::arange(ELEMENTS, (Kind::Double, Device::Cpu));
        let mixed: Tensor = ((places * 12.9898 + salt as f64 * 78.233).sin() * 43_758.545_3).frac();
        mixed.to_kind(kind)
    };
    let gradients = (1..=UPDATES).map(numbers).collect();
    (numbers(0), gradients)
}

fn step(number: u64, rate: f64) -> Step {
    Step {
        number,
        rate,
        loss_scale: 1.0,
    }
}

/// One update of the worker's.
fn run(op: &Op, state: &[Tensor], gradient: &Tensor, step: Step) {
    let done = match (op, state) {
        (Op::AdamW { .. }, [weight, m, v]) => {
            adam_w::run(op, FACTOR, [weight, m, v, gradient], step)
        }
        (Op::Adam { .. }, [weight, m, v]) => adam::run(op, FACTOR, [weight, m, v, gradient], step),
        (Op::Lion { .. }, [weight, m, _]) => lion::run(op, FACTOR, [weight, m, gradient], step),
        (Op::Sgd { .. }, [weight, m, _]) => sgd::run(op, FACTOR, [weight, m, gradient], step),
        (op, _) => panic!("{op:?}"),
    };
    done.unwrap();
}

/// The weight after all updates of the worker's.
fn updated(op: &Op, kind: Kind) -> Tensor {
    let (start, gradients) = given(kind);
    let state = [start.copy(), start.zeros_like(), start.zeros_like()];
    for (number, gradient) in (0..).zip(gradients) {
        let rate = rate(number);
        run(op, &state, &gradient, step(number, rate));
    }
    let [weight, ..] = state;
    weight.to_kind(Kind::Double)
}

/// The largest difference to a weight in f64, relative to the largest entry.
fn error(op: &Op, kind: Kind, wanted: &Tensor) -> f64 {
    let largest = |tensor: Tensor| tensor.abs().max().double_value(&[]);
    largest(updated(op, kind) - wanted) / largest(wanted.copy())
}

/// The weight after all updates of an optimizer of libtorch's.
fn torch(config: impl OptimizerConfig, kind: Kind) -> Tensor {
    let (start, gradients) = given(kind);
    let mut store = nn::VarStore::new(Device::Cpu);
    let mut weight = store.root().zeros("weight", &[ELEMENTS]);
    store.double();
    tch::no_grad(|| weight.copy_(&start));
    let mut optimizer = config.build(&store, 1.0).unwrap();
    for (number, gradient) in (0..).zip(gradients) {
        optimizer.set_lr(rate(number));
        optimizer.zero_grad();
        (&weight * gradient.to_kind(Kind::Double) * FACTOR)
            .sum(Kind::Double)
            .backward();
        optimizer.step();
    }
    weight.detach()
}

/// The weight after all updates by Lion as its paper writes it: sign of the mix, decoupled decay, then the momentum.
fn literal_lion(kind: Kind) -> Tensor {
    let (start, gradients) = given(kind);
    let (mut weight, mut m) = (
        start.to_kind(Kind::Double),
        start.to_kind(Kind::Double) * 0.0,
    );
    for (number, gradient) in (0..).zip(gradients) {
        let gradient = gradient.to_kind(Kind::Double) * FACTOR;
        let mix: Tensor = &m * 0.9 + &gradient * 0.1;
        weight = &weight - (mix.sign() + &weight * 0.1) * rate(number);
        m = &m * 0.99 + gradient * 0.01;
    }
    weight
}

#[track_caller]
fn assert_equal(op: &Op, wanted: impl Fn(Kind) -> Tensor) {
    let [double, single] = [Kind::Double, Kind::Float].map(|kind| error(op, kind, &wanted(kind)));
    assert!(double <= 1e-14, "{op:?} in f64: {double:e}");
    assert!(single <= 1e-6, "{op:?} in f32: {single:e}");
}

#[test]
fn fused_adam_is_libtorchs_own_with_either_decay() {
    let decoupled = nn::AdamW {
        beta1: 0.9,
        beta2: 0.95,
        wd: 0.1,
        eps: 1e-8,
        amsgrad: false,
    };
    assert_equal(&ADAM_W, |kind| torch(decoupled, kind));
    let joint = nn::Adam {
        beta1: 0.9,
        beta2: 0.95,
        wd: 0.1,
        eps: 1e-8,
        amsgrad: false,
    };
    assert_equal(&ADAM, |kind| torch(joint, kind));
}

#[test]
fn gradient_descent_is_libtorchs_own() {
    for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
        let config = nn::Sgd {
            momentum,
            dampening: 0.0,
            wd: 0.1,
            nesterov,
        };
        assert_equal(&descent(momentum, nesterov), |kind| torch(config, kind));
    }
}

#[test]
fn lion_is_its_formula() {
    assert_equal(&LION, literal_lion);
}

#[test]
fn the_gradient_is_left_scaled() {
    let ones = || Tensor::ones([4], (Kind::Double, Device::Cpu));
    for op in [ADAM_W, ADAM, LION, descent(0.9, true)] {
        let (state, gradient) = ([ones(), ones(), ones()], ones());
        run(&op, &state, &gradient, step(0, 0.0));
        assert_eq!(gradient.double_value(&[3]), FACTOR, "{op:?}");
        assert_eq!(state[0].double_value(&[3]), 1.0, "{op:?}");
    }
}
