//! The state space against autograd: libtorch's own grouped convolution, and the recurrence as it reads.

use pleach_executor::ops::{convolution, scan};
use tch::{Kind, Tensor};

use super::{B, H, S, assert_close, judge, random, seeded};

#[test]
fn short_convolutions() {
    seeded();
    for taps in [1, 4, S + 2] {
        let (x, weight, dy) = (random(&[B, S, H]), random(&[H, taps]), random(&[B, S, H]));
        let reference = |leaf: &[Tensor]| {
            let rows = leaf[0].transpose(1, 2).constant_pad_nd([taps - 1, 0]);
            let weight = leaf[1].unsqueeze(1);
            let bias = None::<&Tensor>;
            rows.conv1d(&weight, bias, [1], [0], [1], H).transpose(1, 2)
        };
        let wanted = judge(&[&x, &weight], reference, &dy);
        let y = convolution::forward(&x, &weight).unwrap();
        assert_close(&y, &reference(&[x.copy(), weight.copy()]));
        let sum = weight.zeros_like();
        for round in 1..=2 {
            let dx = convolution::backward(&dy, &x, &weight, &sum).unwrap();
            assert_close(&dx, &wanted[0]);
            assert_close(&sum, &(&wanted[1] * round));
        }
    }
}

/// The recurrence of arXiv:2312.00752, in whole tensors.
fn recurrence(leaf: &[Tensor]) -> Tensor {
    let [x, step, decay, write, read, skip] = [0, 1, 2, 3, 4, 5].map(|index| &leaf[index]);
    let step = step.softplus();
    let kept = (step.unsqueeze(-1) * decay.exp() * -1.0).exp();
    let taken = (&step * x).unsqueeze(-1) * write.unsqueeze(2);
    let mut state = taken.select(1, 0).zeros_like();
    let mut rows = Vec::new();
    for position in 0..S {
        state = kept.select(1, position) * state + taken.select(1, position);
        let given = &state * read.select(1, position).unsqueeze(1);
        rows.push(given.sum_dim_intlist([-1i64].as_slice(), false, Kind::Double));
    }
    Tensor::stack(&rows, 1) + x * skip
}

#[test]
fn selective_scans() {
    seeded();
    let states = 4;
    let (wide, row) = ([B, S, H], [B, S, states]);
    let all = [
        random(&wide),
        random(&wide),
        random(&[H, states]),
        random(&row),
        random(&row),
        random(&[H]),
    ];
    let dy = random(&wide);
    let wanted = judge(&all.each_ref(), recurrence, &dy);
    assert_close(&scan::forward(all.each_ref()).unwrap(), &recurrence(&all));
    let sums = [&all[2], &all[5]].map(Tensor::zeros_like);
    for round in 1..=2 {
        let [dx, dstep, dwrite, dread] =
            scan::backward(&dy, all.each_ref(), sums.each_ref()).unwrap();
        for (found, index) in [(dx, 0), (dstep, 1), (dwrite, 3), (dread, 4)] {
            assert_close(&found, &wanted[index]);
        }
        assert_close(&sums[0], &(&wanted[2] * round));
        assert_close(&sums[1], &(&wanted[5] * round));
    }
}
