//! Every operation's derivative against libtorch's autograd, in f64 on random operands: the judge computes the same function
//! from ordinary differentiable kernels.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "derivatives/experts.rs"]
mod experts;
#[path = "derivatives/loss.rs"]
mod loss;
#[path = "derivatives/state_space.rs"]
mod state_space;

use pleach_executor::ops::{
    activation, add, attention, bias, cap, dropout, embedding, gated, head_norm, layer_norm,
    linear, norm, positions, rms_norm, scale, slice, split_heads,
};
use pleach_plan::{Activation, Alibi, HeadNorm, Scores, Split};
use tch::{Device, Kind, Tensor};

const B: i64 = 3;
const S: i64 = 7;
const H: i64 = 12;

fn random(dims: &[i64]) -> Tensor {
    Tensor::randn(dims, (Kind::Double, Device::Cpu))
}

fn ids(rows: i64) -> Tensor {
    Tensor::randint(rows, [B, S], (Kind::Int64, Device::Cpu))
}

/// Gradients of `sum(f(inputs) * dy)` by autograd.
fn judge(inputs: &[&Tensor], outputs: impl Fn(&[Tensor]) -> Tensor, dy: &Tensor) -> Vec<Tensor> {
    let leaves: Vec<Tensor> = inputs
        .iter()
        .map(|x| x.copy().set_requires_grad(true))
        .collect();
    let loss = (outputs(&leaves) * dy).sum(Kind::Double);
    Tensor::run_backward(&[loss], &leaves, false, false)
}

#[track_caller]
fn assert_close(found: &Tensor, wanted: &Tensor) {
    assert_eq!(found.size(), wanted.size());
    let scale = wanted.abs().max().double_value(&[]).max(1e-30);
    let error = (found - wanted).abs().max().double_value(&[]) / scale;
    assert!(error <= 1e-10, "relative error {error:e}");
}

fn seeded() {
    tch::manual_seed(20_260_801);
}

#[test]
fn linear_with_and_without_bias() {
    seeded();
    let (x, weight, shift, dy) = (
        random(&[B, S, H]),
        random(&[5, H]),
        random(&[5]),
        random(&[B, S, 5]),
    );
    assert_close(
        &linear::forward(&x, &weight, Some(&shift)).unwrap(),
        &x.linear(&weight, Some(&shift)),
    );
    assert_close(
        &linear::forward(&x, &weight, None).unwrap(),
        &x.linear(&weight, None::<&Tensor>),
    );
    let wanted = judge(
        &[&x, &weight, &shift],
        |leaf| leaf[0].linear(&leaf[1], Some(&leaf[2])),
        &dy,
    );
    assert_close(&linear::backward_input(&dy, &weight).unwrap(), &wanted[0]);
    let before = random(&[5, H]);
    let sum = before.copy();
    linear::backward_weight(&dy, &x, &sum).unwrap();
    assert_close(&sum, &(before + &wanted[1]));
    let sum = random(&[5]);
    let before = sum.copy();
    bias::backward(&dy, &sum).unwrap();
    assert_close(&sum, &(before + &wanted[2]));
}

#[test]
fn bias_alone_also_in_place() {
    seeded();
    let (x, shift) = (random(&[B, S, H]), random(&[H]));
    let wanted = &x + &shift;
    assert_close(&bias::forward(&x, &shift, false).unwrap(), &wanted);
    let y = bias::forward(&x, &shift, true).unwrap();
    assert_close(&y, &wanted);
    assert_eq!(y.data_ptr(), x.data_ptr());
}

#[test]
fn layer_norm_and_its_statistics() {
    seeded();
    let (x, weight, shift, dy) = (
        random(&[B, S, H]),
        random(&[H]),
        random(&[H]),
        random(&[B, S, H]),
    );
    let eps = 1e-5;
    let reference =
        |leaf: &[Tensor]| leaf[0].layer_norm([H], Some(&leaf[1]), Some(&leaf[2]), eps, false);
    let [y, mean, rstd] = layer_norm::forward(&x, &weight, Some(&shift), eps).unwrap();
    assert_close(&y, &reference(&[x.copy(), weight.copy(), shift.copy()]));
    let own_mean = x.mean_dim([-1i64].as_slice(), false, Kind::Double);
    let variance = x.var_dim([-1i64].as_slice(), false, false);
    assert_close(&mean, &own_mean);
    assert_close(&rstd, &(variance + eps).rsqrt());
    let (dweight, dbias) = (weight.zeros_like(), weight.zeros_like());
    let wanted = judge(&[&x, &weight, &shift], reference, &dy);
    for round in 1..=2 {
        let sums = (&dweight, Some(&dbias));
        let dx = layer_norm::backward(&dy, &x, &weight, [&mean, &rstd], sums).unwrap();
        assert_close(&dx, &wanted[0]);
        assert_close(&dweight, &(&wanted[1] * round));
        assert_close(&dbias, &(&wanted[2] * round));
    }
}

#[test]
fn layer_norm_without_a_bias() {
    seeded();
    let (x, weight, dy) = (random(&[B, S, H]), random(&[H]), random(&[B, S, H]));
    let reference =
        |leaf: &[Tensor]| leaf[0].layer_norm([H], Some(&leaf[1]), None::<&Tensor>, 1e-5, false);
    let [y, mean, rstd] = layer_norm::forward(&x, &weight, None, 1e-5).unwrap();
    assert_close(&y, &reference(&[x.copy(), weight.copy()]));
    let dweight = weight.zeros_like();
    let wanted = judge(&[&x, &weight], reference, &dy);
    let sums = (&dweight, None);
    let dx = layer_norm::backward(&dy, &x, &weight, [&mean, &rstd], sums).unwrap();
    assert_close(&dx, &wanted[0]);
    assert_close(&dweight, &wanted[1]);
}

#[test]
fn a_norm_of_queries_and_keys() {
    seeded();
    for group in [1, 3] {
        let norm = HeadNorm {
            head_dim: 6,
            group,
            eps: 1e-2,
        };
        let (group, packed) = (group as i64, 2 * (group as i64 + 2) * 6);
        let (x, dy) = (random(&[B, S, packed]), random(&[B, S, packed]));
        let (queries, keys) = (random(&[6]), random(&[6]));
        let reference = |leaf: &[Tensor]| {
            let rows = leaf[0].view([B, S, 2, group + 2, 6]);
            let part = |from, count, weight: &Tensor| {
                let own = rows.narrow(3, from, count);
                let square = own
                    .square()
                    .mean_dim([-1i64].as_slice(), true, Kind::Double);
                own * (square + norm.eps).rsqrt() * weight
            };
            let values = rows.narrow(3, group + 1, 1);
            let parts = [part(0, group, &leaf[1]), part(group, 1, &leaf[2]), values];
            Tensor::cat(&parts, 3).view([B, S, packed])
        };
        let [y, rstd] = head_norm::forward(&x, [&queries, &keys], &norm).unwrap();
        assert_close(&y, &reference(&[x.copy(), queries.copy(), keys.copy()]));
        let sums = [queries.zeros_like(), keys.zeros_like()];
        let wanted = judge(&[&x, &queries, &keys], reference, &dy);
        for round in 1..=2 {
            let weights = [&queries, &keys];
            let dx = head_norm::backward(&dy, &x, weights, &rstd, sums.each_ref(), &norm).unwrap();
            assert_close(&dx, &wanted[0]);
            assert_close(&sums[0], &(&wanted[1] * round));
            assert_close(&sums[1], &(&wanted[2] * round));
        }
    }
}

#[test]
fn what_stands_around_the_layers() {
    seeded();
    let (x, table, dy) = (
        random(&[B, S, H]),
        random(&[2 * S + 1, H]),
        random(&[B, S, H]),
    );
    let placed = |leaf: &[Tensor]| &leaf[0] + leaf[1].narrow(0, S, S);
    let wanted = judge(&[&x, &table], placed, &dy);
    let y = placed(&[x.copy(), table.copy()]);
    assert_close(&positions::forward(&x, &table, S, false).unwrap(), &y);
    let sum = table.zeros_like();
    positions::backward(&dy, &sum, S).unwrap();
    assert_close(&sum, &wanted[1]);
    let capped = |leaf: &[Tensor]| (&leaf[0] / 0.7).tanh() * 0.7;
    let y = capped(&[x.copy()]);
    assert_close(&cap::forward(&x, 0.7, false).unwrap(), &y);
    let wanted = judge(&[&x], capped, &dy);
    assert_close(&cap::backward(&dy, &y, 0.7).unwrap(), &wanted[0]);
    assert_close(&scale::run(&x, 2.5, false).unwrap(), &(&x * 2.5));
    let places = [x.data_ptr(), dy.data_ptr()];
    let (twice, below) = (&x * 2.0, capped(&[dy.copy()]));
    let own = scale::run(&x, 2.0, true).unwrap();
    let bent = cap::forward(&dy, 0.7, true).unwrap();
    assert_close(&own, &twice);
    assert_close(&bent, &below);
    assert_eq!([own.data_ptr(), bent.data_ptr()], places);
}

#[test]
fn rms_norm_and_its_statistic() {
    seeded();
    let (x, weight, dy) = (random(&[B, S, H]), random(&[H]), random(&[B, S, H]));
    let eps = 1e-2;
    let inverse =
        |x: &Tensor| (x.square().mean_dim([-1i64].as_slice(), true, Kind::Double) + eps).rsqrt();
    let reference = |leaf: &[Tensor]| &leaf[0] * inverse(&leaf[0]) * &leaf[1];
    let [y, rstd] = rms_norm::forward(&x, &weight, eps).unwrap();
    assert_close(&y, &reference(&[x.copy(), weight.copy()]));
    assert_close(&rstd, &inverse(&x).squeeze_dim(-1));
    let dweight = weight.zeros_like();
    let wanted = judge(&[&x, &weight], reference, &dy);
    for round in 1..=2 {
        let dx = rms_norm::backward(&dy, &x, &weight, &rstd, &dweight).unwrap();
        assert_close(&dx, &wanted[0]);
        assert_close(&dweight, &(&wanted[1] * round));
    }
}

/// Nonlinearities as libtorch's own differentiable functions.
fn bent(kind: Activation, x: &Tensor) -> Tensor {
    match kind {
        Activation::Gelu => x.gelu("none"),
        Activation::GeluTanh => x.gelu("tanh"),
        Activation::Relu => x.relu(),
        Activation::Silu => x.silu(),
    }
}

const KINDS: [Activation; 4] = [
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Relu,
    Activation::Silu,
];

#[test]
fn nonlinearities_also_in_place() {
    seeded();
    for kind in KINDS {
        let (x, dy) = (random(&[B, S, H]), random(&[B, S, H]));
        let wanted = judge(&[&x], |leaf| bent(kind, &leaf[0]), &dy);
        let y = bent(kind, &x);
        assert_close(&activation::forward(kind, &x, false).unwrap(), &y);
        assert_close(
            &activation::backward(kind, &dy, &x, false).unwrap(),
            &wanted[0],
        );
        assert_close(
            &activation::backward(kind, &dy, &x, true).unwrap(),
            &wanted[0],
        );
        let own = activation::forward(kind, &x, true).unwrap();
        assert_close(&own, &y);
        assert_eq!(own.data_ptr(), x.data_ptr());
    }
}

#[test]
fn gated_products() {
    seeded();
    for kind in KINDS {
        let [gate, up, dy] = [(); 3].map(|()| random(&[B, S, H]));
        let reference = |leaf: &[Tensor]| bent(kind, &leaf[0]) * &leaf[1];
        let wanted = judge(&[&gate, &up], reference, &dy);
        let y = gated::forward(kind, &gate, &up).unwrap();
        assert_close(&y, &reference(&[gate.copy(), up.copy()]));
        let [dgate, dup] = gated::backward(kind, &dy, &gate, &up).unwrap();
        assert_close(&dgate, &wanted[0]);
        assert_close(&dup, &wanted[1]);
    }
}

#[test]
fn add_of_three() {
    seeded();
    let [a, b, c] = [random(&[B, H]), random(&[B, H]), random(&[B, H])];
    let wanted = &a + &b + &c;
    assert_close(&add::run(&a, &[&b, &c], false).unwrap(), &wanted);
    assert_close(&add::run(&a, &[&b, &c], true).unwrap(), &wanted);
}

#[test]
fn embedding_of_a_piece_of_the_rows() {
    seeded();
    let (table, dy, ids) = (random(&[10, H]), random(&[B, S, H]), ids(10));
    let wanted = judge(
        &[&table],
        |leaf| Tensor::embedding(&leaf[0], &ids, -1, false, false),
        &dy,
    );
    let mut sum = Tensor::zeros([B, S, H], (Kind::Double, Device::Cpu));
    for first in [0, 5] {
        let piece = table.narrow(0, first, 5);
        sum += embedding::forward(&ids, &piece, first).unwrap();
        let gradient = Tensor::zeros([5, H], (Kind::Double, Device::Cpu));
        embedding::backward(&dy, &ids, &gradient, first).unwrap();
        assert_close(&gradient, &wanted[0].narrow(0, first, 5));
    }
    assert_close(&sum, &Tensor::embedding(&table, &ids, -1, false, false));
}

/// Rotary positions as their definition reads: halves rotated against each other.
fn rotated(x: &Tensor, split: &Split) -> Tensor {
    let (rotary, width) = (split.rotary as i64, x.size()[3]);
    let half = rotary / 2;
    let exponents = Tensor::arange(half, (Kind::Double, Device::Cpu)) * (-2.0 / rotary as f64);
    let positions = Tensor::arange(S, (Kind::Double, Device::Cpu)) / split.scale;
    let angles = positions.outer(&(exponents * split.base.ln()).exp());
    let (low, high) = (x.narrow(3, 0, half), x.narrow(3, half, half));
    let (cosine, sine) = (angles.cos(), angles.sin());
    let turned = [
        &low * &cosine - &high * &sine,
        high * cosine + low * sine,
        x.narrow(3, rotary, width - rotary),
    ];
    Tensor::cat(&turned, 3)
}

/// q, k and v of the joint projection, by definition.
fn heads(qkv: &Tensor, count: i64, split: &Split) -> [Tensor; 3] {
    let (group, width) = (split.group as i64, split.head_dim as i64);
    let rows = qkv.view([B, S, count, group + 2, width]);
    let part = |from, length| {
        let own = rows.narrow(3, from, length);
        own.reshape([B, S, count * length, width]).transpose(1, 2)
    };
    let (q, k, v) = (part(0, group), part(group, 1), part(group + 1, 1));
    [rotated(&q, split), rotated(&k, split), v]
}

const PLAIN: Split = Split {
    head_dim: 6,
    rotary: 0,
    base: 10_000.0,
    scale: 1.0,
    group: 1,
};

#[test]
fn split_heads_with_rotary_positions() {
    seeded();
    let count = 2;
    for (rotary, scale, group) in [
        (0, 1.0, 1),
        (2, 1.0, 1),
        (6, 1.0, 1),
        (4, 2.5, 1),
        (6, 1.0, 3),
    ] {
        let split = Split {
            rotary,
            scale,
            group,
            ..PLAIN
        };
        let mut tables = split_heads::Tables::default();
        let options = (Kind::Double, Device::Cpu);
        tables.add(&split, S as u64, options).unwrap();
        let (group, width) = (group as i64, 6);
        let (qkv, dy) = (
            random(&[B, S, count * (group + 2) * width]),
            random(&[B, count * (group + 2), S, width]),
        );
        let table = tables.get(&split, &qkv).unwrap();
        let reference = |leaf: &[Tensor]| Tensor::cat(&heads(&leaf[0], count, &split), 1);
        let parts = split_heads::forward(&qkv, &split, table).unwrap();
        assert_close(&Tensor::cat(&parts, 1), &reference(&[qkv.copy()]));
        let wanted = judge(&[&qkv], reference, &dy);
        let parts = dy.split_with_sizes([count * group, count, count], 1);
        assert_close(
            &split_heads::backward([&parts[0], &parts[1], &parts[2]], table).unwrap(),
            &wanted[0],
        );
    }
}

/// Attention by definition, over so many positions.
struct Judge {
    scores: Scores,
    first: u64,
    positions: i64,
}

impl Judge {
    fn logits(&self, q: &Tensor, k: &Tensor) -> Tensor {
        let (group, width) = (self.scores.group as i64, q.size()[3] as f64);
        let keys = k.repeat_interleave_self_int(group, 1, None);
        let mut logits = q.matmul(&keys.transpose(2, 3)) / width.sqrt();
        let options = (Kind::Double, Device::Cpu);
        let places = Tensor::arange(self.positions, options);
        if let Some(alibi) = self.scores.alibi {
            let heads = self.first..self.first + q.size()[1] as u64;
            let slopes: Vec<f64> = heads.map(|head| alibi.slope(head)).collect();
            let rows = Tensor::from_slice(&slopes).outer(&places);
            logits += rows.view([1, slopes.len() as i64, 1, self.positions]);
        }
        let square = [self.positions, self.positions];
        let ones = Tensor::ones(square, (Kind::Bool, Device::Cpu));
        let mut unseen = ones.triu(1);
        if let Some(window) = self.scores.window {
            unseen = unseen.logical_or(&ones.tril(-(window as i64)));
        }
        logits.masked_fill(&unseen, f64::NEG_INFINITY)
    }

    fn out(&self, leaf: &[Tensor]) -> Tensor {
        let group = self.scores.group as i64;
        let values = leaf[2].repeat_interleave_self_int(group, 1, None);
        let weights = self.logits(&leaf[0], &leaf[1]).softmax(-1, Kind::Double);
        weights.matmul(&values).transpose(1, 2).flatten(2, 3)
    }
}

/// Operands that lie in memory as the split leaves them.
fn part(heads: i64, positions: i64) -> Tensor {
    random(&[2, positions, heads, 6]).transpose(1, 2)
}

fn attends(scores: Scores, first: u64, positions: i64) {
    seeded();
    let by = Judge {
        scores,
        first,
        positions,
    };
    let group = scores.group as i64;
    let (q, k, v) = (
        part(2 * group, positions),
        part(2, positions),
        part(2, positions),
    );
    let dy = random(&[2, positions, 12 * group]);
    let how = attention::How::new(&scores, &q, first).unwrap();
    let [out, lse] = attention::forward([&q, &k, &v], &how).unwrap();
    assert_close(&out, &by.out(&[q.copy(), k.copy(), v.copy()]));
    let sums = by.logits(&q, &k).logsumexp([-1i64].as_slice(), false);
    assert_close(&lse, &sums);
    let wanted = judge(&[&q, &k, &v], |leaf| by.out(leaf), &dy);
    let found = attention::backward(&dy, [&q, &k, &v], &out, &lse, &how).unwrap();
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_close(found, wanted);
    }
}

#[test]
fn causal_attention() {
    attends(Scores::PLAIN, 0, S);
}

#[test]
fn attention_of_heads_that_share_keys_and_values() {
    for group in [2, 3] {
        let scores = Scores {
            group,
            ..Scores::PLAIN
        };
        attends(scores, 0, S);
    }
}

#[test]
fn dropout_draws_the_same_for_the_gradient_and_for_each_part_of_the_sequence() {
    seeded();
    let (x, dy) = (random(&[B, S + 1, H]), random(&[B, S + 1, H]));
    let draws = dropout::Draws {
        seed: 7,
        step: 3,
        layer: 1,
        sample: 40,
    };
    let run = |x: &Tensor, first, ends| {
        let site = dropout::Site {
            share: 0.3,
            site: 1,
            first,
        };
        dropout::run(x, &site, &draws, ends).unwrap()
    };
    let mask = run(&x.ones_like(), 0, false);
    let dropped = mask.eq(0.0).sum(Kind::Double).double_value(&[]) / mask.numel() as f64;
    assert!((dropped - 0.3).abs() < 0.15, "{dropped}");
    let wanted = judge(&[&x], |leaf| &leaf[0] * &mask, &dy);
    assert_close(&run(&dy, 0, false), &wanted[0]);
    let half = (S + 1) / 2;
    let parts = [0, half].map(|first| run(&x.narrow(1, first, half).contiguous(), first, true));
    assert_close(&Tensor::cat(&parts, 1), &(&x * &mask));
}

/// Also where whole blocks of the kernel are out of sight.
#[test]
fn attention_in_a_window() {
    for (window, group, positions) in [(2, 1, S), (3, 1, S), (3, 2, S), (40, 1, 1100)] {
        let scores = Scores {
            group,
            window: Some(window),
            alibi: None,
        };
        attends(scores, 0, positions);
    }
}

#[test]
fn attention_with_slopes_also_in_a_window() {
    for (group, heads, first) in [(1, 2, 0), (1, 6, 4), (2, 8, 4)] {
        for window in [None, Some(2)] {
            let scores = Scores {
                group,
                window,
                alibi: Some(Alibi { heads, over: None }),
            };
            attends(scores, first, S);
        }
    }
}

#[test]
fn slices_are_pieces_with_storages_of_their_own() {
    seeded();
    let x = random(&[B, S + 1, H]);
    let pieces: Vec<Tensor> = (0..4).map(|at| slice::run(&x, 1, 4, at).unwrap()).collect();
    assert_close(&Tensor::cat(&pieces, 1), &x);
    let whole = slice::run(&x, 1, 1, 0).unwrap();
    assert_ne!(whole.data_ptr(), x.data_ptr());
}

#[test]
fn norm_and_clip_factor() {
    seeded();
    let x = random(&[100_000]);
    let report = Tensor::zeros([2], (Kind::Double, Device::Cpu));
    norm::sum_squares(&x, &report, 2).unwrap();
    norm::sum_squares(&x, &report, 2).unwrap();
    let wanted = (&x * &x).sum(Kind::Double).double_value(&[]);
    let found = report.double_value(&[1]);
    assert!((found - wanted).abs() <= 1e-12 * wanted);
    let factor = Tensor::zeros([1], (Kind::Double, Device::Cpu));
    norm::clip_factor(&report, &factor, Some(1.0), 1.0).unwrap();
    assert!((factor.double_value(&[0]) - 1.0 / (wanted.sqrt() + 1e-6)).abs() <= 1e-15);
    for limit in [None, Some(1e9)] {
        norm::clip_factor(&report, &factor, limit, 1.0).unwrap();
        assert_eq!(factor.double_value(&[0]), 1.0);
    }
    let broken = Tensor::from_slice(&[0.0, f64::NAN]);
    norm::clip_factor(&broken, &factor, Some(1.0), 1.0).unwrap();
    assert_eq!(factor.double_value(&[0]), -1.0);
}
