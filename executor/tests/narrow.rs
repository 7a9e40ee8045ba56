//! 16-bit operands against the same computation in f64: each result is as near as its own rounding allows, and statistics and
//! accumulators are in f32.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pleach_executor::ops::{
    activation, attention, bias, cross_entropy, embedding, layer_norm, linear, rms_norm,
};
use pleach_plan::{Activation, Alibi, Charge, Scores};
use tch::{Device, Kind, Tensor};

/// Half the distance of two neighbours in bf16, relative, and a little for sums.
const ROUNDING: f64 = 1.0 / 256.0 * 1.5;

/// Random values that bf16 holds exactly.
fn random(dims: &[i64]) -> Tensor {
    Tensor::randn(dims, (Kind::Float, Device::Cpu)).to_kind(Kind::BFloat16)
}

fn exact(x: &Tensor) -> Tensor {
    x.to_kind(Kind::Double)
}

#[track_caller]
fn assert_near(found: &Tensor, wanted: &Tensor, kind: Kind, limit: f64) {
    assert_eq!(found.kind(), kind);
    let scale = wanted.abs().max().double_value(&[]);
    let error = (exact(found) - exact(wanted)).abs().max().double_value(&[]) / scale;
    assert!(error <= limit, "relative error {error:e}");
}

#[test]
fn products_round_once_and_gradients_accumulate_in_f32() {
    tch::manual_seed(1);
    let (x, weight, dy) = (
        random(&[2, 33, 64]),
        random(&[48, 64]),
        random(&[2, 33, 48]),
    );
    let shift = random(&[48]);
    let wanted = exact(&x).linear(&exact(&weight), Some(&exact(&shift)));
    assert_near(
        &linear::forward(&x, &weight, Some(&shift)).unwrap(),
        &wanted,
        Kind::BFloat16,
        ROUNDING,
    );
    let dx = linear::backward_input(&dy, &weight).unwrap();
    assert_near(
        &dx,
        &exact(&dy).matmul(&exact(&weight)),
        Kind::BFloat16,
        ROUNDING,
    );
    let sum = Tensor::zeros([48, 64], (Kind::Float, Device::Cpu));
    for _ in 0..3 {
        linear::backward_weight(&dy, &x, &sum).unwrap();
    }
    let wanted = exact(&dy)
        .view([66, 48])
        .tr()
        .matmul(&exact(&x).view([66, 64]))
        * 3;
    assert_near(&sum, &wanted, Kind::Float, ROUNDING);
    let sum = Tensor::zeros([48], (Kind::Float, Device::Cpu));
    bias::backward(&dy, &sum).unwrap();
    assert_near(
        &sum,
        &exact(&dy).sum_dim_intlist([0i64, 1].as_slice(), false, Kind::Double),
        Kind::Float,
        1e-5,
    );
}

#[test]
fn rms_norm_rounds_once_and_its_weight_gradient_accumulates_in_f32() {
    tch::manual_seed(3);
    let (x, dy) = (random(&[2, 2000, 40]), random(&[2, 2000, 40]) + 1);
    let weight = Tensor::randn([40], (Kind::Float, Device::Cpu));
    let [y, rstd] = rms_norm::forward(&x, &weight, 1e-5).unwrap();
    let wide = exact(&x);
    let inverse = (wide
        .square()
        .mean_dim([-1i64].as_slice(), true, Kind::Double)
        + 1e-5)
        .rsqrt();
    assert_near(
        &y,
        &(&wide * &inverse * exact(&weight)),
        Kind::BFloat16,
        ROUNDING,
    );
    assert_near(&rstd, &inverse.squeeze_dim(-1), Kind::Float, 1e-6);
    let sum = Tensor::zeros([40], (Kind::Float, Device::Cpu));
    let dx = rms_norm::backward(&dy, &x, &weight, &rstd, &sum).unwrap();
    assert_eq!(dx.kind(), Kind::BFloat16);
    let wanted =
        (exact(&dy) * wide * inverse).sum_dim_intlist([0i64, 1].as_slice(), false, Kind::Double);
    assert_near(&sum, &wanted, Kind::Float, 1e-4);
}

#[test]
fn norms_keep_their_statistics_wide() {
    tch::manual_seed(2);
    // Many rows: libtorch's own kernel sums these gradients in bf16 and loses most of them.
    let (x, dy) = (random(&[2, 2000, 32]), random(&[2, 2000, 32]) + 1);
    let ones = Tensor::ones([32], (Kind::Float, Device::Cpu));
    let zeros = ones.zeros_like();
    let [y, mean, rstd] = layer_norm::forward(&x, &ones, Some(&zeros), 1e-5).unwrap();
    assert_near(
        &y,
        &exact(&x).layer_norm([32], None::<&Tensor>, None, 1e-5, false),
        Kind::BFloat16,
        ROUNDING,
    );
    assert_eq!((mean.kind(), rstd.kind()), (Kind::Float, Kind::Float));
    let sums = [zeros.copy(), zeros.copy()];
    let [dweight, dbias] = sums.each_ref();
    let own = (dweight, Some(dbias));
    let dx = layer_norm::backward(&dy, &x, &ones, [&mean, &rstd], own).unwrap();
    assert_eq!(dx.kind(), Kind::BFloat16);
    assert_near(
        &sums[1],
        &exact(&dy).sum_dim_intlist([0i64, 1].as_slice(), false, Kind::Double),
        Kind::Float,
        1e-5,
    );
    assert_near(
        &activation::forward(Activation::Gelu, &x, false).unwrap(),
        &exact(&x).gelu("none"),
        Kind::BFloat16,
        ROUNDING,
    );
}

/// In bf16, with statistics in f32; masks are wide too.
#[test]
fn attention_of_every_kind_rounds_once() {
    let plain = Scores::PLAIN;
    let (heads, over) = (2, None);
    for scores in [
        plain,
        Scores { group: 2, ..plain },
        Scores {
            window: Some(3),
            ..plain
        },
        Scores {
            alibi: Some(Alibi { heads, over }),
            ..plain
        },
        Scores {
            window: Some(3),
            alibi: Some(Alibi { heads, over }),
            ..plain
        },
    ] {
        attends(&scores);
    }
}

fn attends(scores: &Scores) {
    tch::manual_seed(4);
    let keys = 2 / scores.group as i64;
    let [q, k, v] = [2, keys, keys].map(|heads| random(&[1, heads, 9, 16]));
    let how = attention::How::new(scores, &q, 0).unwrap();
    let wide = attention::How::new(scores, &exact(&q), 0).unwrap();
    let exactly = [&exact(&q), &exact(&k), &exact(&v)];
    let [out, lse] = attention::forward([&q, &k, &v], &how).unwrap();
    let [wanted, wanted_lse] = attention::forward(exactly, &wide).unwrap();
    assert_near(&out, &wanted, Kind::BFloat16, 2.0 * ROUNDING);
    assert_near(&lse, &wanted_lse, Kind::Float, 1e-5);
    let dout = random(&[1, 9, 32]);
    let found = attention::backward(&dout, [&q, &k, &v], &out, &lse, &how).unwrap();
    let wanted = attention::backward(&exact(&dout), exactly, &wanted, &wanted_lse, &wide).unwrap();
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_near(found, wanted, Kind::BFloat16, 4.0 * ROUNDING);
    }
}

#[test]
fn embeddings_add_up_in_f32() {
    tch::manual_seed(3);
    let ids = Tensor::from_slice(&[1i64; 600]).view([2, 300]);
    let table = random(&[4, 8]);
    assert_eq!(
        embedding::forward(&ids, &table, 0).unwrap().get(1).get(7),
        table.get(1)
    );
    let dy = random(&[2, 300, 8]);
    let sum = Tensor::zeros([4, 8], (Kind::Float, Device::Cpu));
    embedding::backward(&dy, &ids, &sum, 0).unwrap();
    assert_near(
        &sum.get(1),
        &exact(&dy).sum_dim_intlist([0i64, 1].as_slice(), false, Kind::Double),
        Kind::Float,
        1e-5,
    );
}

#[test]
fn the_loss_keeps_its_parts_wide() {
    tch::manual_seed(5);
    let targets = Tensor::from_slice(&[3i64, 0, 31, 7, 7, 2, 1, 30, 5]).view([1, 9]);
    let logits = random(&[1, 9, 32]);
    let max = cross_entropy::max(&logits).unwrap();
    let terms = cross_entropy::terms(&logits, &targets, &max, 0, false).unwrap();
    assert_eq!((max.kind(), terms.kind()), (Kind::Float, Kind::Float));
    let wide = exact(&logits);
    let wanted = (&wide - wide.amax([-1i64].as_slice(), true))
        .exp()
        .sum_dim_intlist([-1i64].as_slice(), false, Kind::Double);
    assert_near(&terms.get(0), &wanted, Kind::Float, 1e-5);
    let gradient = cross_entropy::backward(
        &logits,
        &targets,
        [&max, &terms],
        None,
        &Charge::plain(0.5),
        0,
        true,
    )
    .unwrap();
    let onehot = targets.one_hot(32).to_kind(Kind::Double);
    assert_near(
        &gradient,
        &((wide.softmax(-1, Kind::Double) - onehot) * 0.5),
        Kind::BFloat16,
        ROUNDING,
    );
}
