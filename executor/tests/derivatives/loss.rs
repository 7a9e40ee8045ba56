//! The loss over a vocabulary that several ranks share, and its gradient, against libtorch.

use pleach_executor::ops::cross_entropy;
use pleach_plan::Charge;
use tch::{Device, Kind, Tensor};

use super::{B, S, assert_close, ids, judge, random, seeded};

/// Cross-entropy over `pieces` shards of the vocabulary, combined as the ranks would.
fn sharded_cross_entropy(
    logits: &Tensor,
    targets: &Tensor,
    weights: Option<&Tensor>,
    pieces: i64,
    charge: &Charge,
) -> (f64, Tensor) {
    let count = logits.size()[2] / pieces;
    let shards: Vec<Tensor> = (0..pieces)
        .map(|at| logits.narrow(2, at * count, count).contiguous())
        .collect();
    let maxima: Vec<Tensor> = shards
        .iter()
        .map(|shard| cross_entropy::max(shard).unwrap())
        .collect();
    let max = Tensor::stack(&maxima, 0).amax([0i64].as_slice(), false);
    let first = |at: usize| at as i64 * count;
    let terms: Tensor = shards
        .iter()
        .enumerate()
        .map(|(at, shard)| {
            cross_entropy::terms(shard, targets, &max, first(at), charge.is_smoothed()).unwrap()
        })
        .reduce(|sum, next| sum + next)
        .unwrap();
    let report = Tensor::zeros([2], (Kind::Double, Device::Cpu));
    for _ in 0..pieces {
        let others = [charge.is_squared().then_some(&max), weights];
        cross_entropy::loss(&terms, others, &report, charge, pieces as u64).unwrap();
    }
    let gradient: Vec<Tensor> = shards
        .iter()
        .enumerate()
        .map(|(at, shard)| {
            cross_entropy::backward(
                shard,
                targets,
                [&max, &terms],
                weights,
                charge,
                first(at),
                at % 2 == 1,
            )
            .unwrap()
        })
        .collect();
    (report.double_value(&[0]), Tensor::cat(&gradient, 2))
}

#[test]
fn cross_entropy_over_a_sharded_vocabulary() {
    seeded();
    let (logits, targets) = (random(&[B, S, 12]) * 5.0, ids(12));
    let scale = 1.0 / (B * S) as f64;
    // libtorch's own mean over the targets that count: it leaves those of -100 out.
    let counts = Tensor::from_slice(&[1.0, 0.0, 1.0]).repeat([B * S]);
    let counts = counts.narrow(0, 0, B * S).view([B, S]);
    let weights = &counts * ((B * S) as f64 / counts.sum(Kind::Double).double_value(&[]));
    let without = targets.where_self(&counts.ne(0.0), &Tensor::from(-100_i64));
    let plain = Charge::plain(scale);
    let squared = Charge {
        z_loss: 0.01,
        ..plain
    };
    let smoothed = Charge {
        smoothing: 0.1,
        rows: 12,
        ..plain
    };
    let both = Charge {
        z_loss: 0.01,
        ..smoothed
    };
    for charge in [plain, squared, smoothed, both] {
        for (weights, marked) in [(None, &targets), (Some(&weights), &without)] {
            let reference = |leaf: &[Tensor]| {
                let (flat, marked) = (leaf[0].view([B * S, 12]), marked.view([B * S]));
                let mean = tch::Reduction::Mean;
                let loss =
                    flat.cross_entropy_loss::<Tensor>(&marked, None, mean, -100, charge.smoothing);
                let log = flat.logsumexp([-1i64].as_slice(), false).square();
                let counted = match weights {
                    Some(weights) => log * weights.view([B * S]),
                    None => log,
                };
                (loss + counted.sum(Kind::Double) * (scale * charge.z_loss)).view([1])
            };
            let one = Tensor::ones([1], (Kind::Double, Device::Cpu));
            let wanted = judge(&[&logits], reference, &one);
            let loss = reference(&[logits.copy()]).double_value(&[0]);
            for pieces in [1, 2, 4] {
                let (found, gradient) =
                    sharded_cross_entropy(&logits, &targets, weights, pieces, &charge);
                assert!(
                    (found - loss).abs() <= 1e-12 * loss,
                    "{found} is not {loss}"
                );
                assert_close(&gradient, &wanted[0]);
            }
        }
    }
}
