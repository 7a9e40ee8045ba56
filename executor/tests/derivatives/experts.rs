//! The mixture of experts against autograd: every expert on every token, weighted by what the router chose.

use pleach_executor::ops::{combine, dispatch, expert_linear, route, router_loss};
use pleach_plan::{Route, RouterLoss};
use tch::{Device, Kind, Tensor};

use super::{B, H, S, assert_close, judge, random, seeded};

/// A mixture of experts as it reads: every expert on every token, weighted by the softmax of what the router chose.
fn mixed(leaf: &[Tensor], choice: &Tensor, route: &Route) -> Tensor {
    let [x, logits, weight] = [0, 1, 2].map(|index| &leaf[index]);
    let chosen = logits.zeros_like().scatter_value(-1, choice, 1.0);
    let powers = logits.exp()
        * if route.normalised {
            chosen.copy()
        } else {
            logits.ones_like()
        };
    let shares = &powers / powers.sum_dim_intlist([-1i64].as_slice(), true, Kind::Double) * chosen;
    let all = Tensor::einsum("bsk,enk->bsen", &[x, weight], None::<i64>);
    (all * shares.unsqueeze(-1)).sum_dim_intlist([2i64].as_slice(), false, Kind::Double)
}

#[test]
fn mixtures_of_experts() {
    seeded();
    for (active, normalised) in [(1, false), (2, true), (2, false), (4, true)] {
        let route = Route { active, normalised };
        let (x, logits, weight) = (random(&[B, S, H]), random(&[B, S, 4]), random(&[4, 5, H]));
        let dy = random(&[B, S, 5]);
        let [weights, choice] = route::forward(&logits, &route).unwrap();
        let rows = dispatch::forward(&x, &choice).unwrap();
        let products = expert_linear::forward(&rows, &weight, &choice).unwrap();
        let y = combine::forward(&products, &weights, &choice).unwrap();
        let reference = |leaf: &[Tensor]| mixed(leaf, &choice, &route);
        assert_close(&y, &reference(&[x.copy(), logits.copy(), weight.copy()]));
        let wanted = judge(&[&x, &logits, &weight], reference, &dy);
        let [dproducts, dweights] = combine::backward(&dy, &products, &weights, &choice).unwrap();
        let drows = expert_linear::backward_input(&dproducts, &weight, &choice).unwrap();
        assert_close(&dispatch::backward(&drows, &choice).unwrap(), &wanted[0]);
        let dlogits = route::backward(&dweights, &logits, &choice, &route).unwrap();
        if active > 1 || !normalised {
            assert_close(&dlogits, &wanted[1]);
        }
        let dweight = weight.zeros_like();
        for round in 1..=2 {
            expert_linear::backward_weight(&dproducts, &rows, &choice, &dweight).unwrap();
            assert_close(&dweight, &(&wanted[2] * round));
        }
    }
}

#[test]
fn the_loss_of_a_router() {
    seeded();
    let logits = random(&[B, S, 4]);
    let route = Route {
        active: 2,
        normalised: true,
    };
    let [_, choice] = route::forward(&logits, &route).unwrap();
    let loss = RouterLoss {
        scaled: false,
        balance: 0.3,
        z: 0.2,
        scale: 0.5,
    };
    let chosen = logits.zeros_like().scatter_value(-1, &choice, 1.0);
    let reference = |leaf: &[Tensor]| {
        let shares = leaf[0].softmax(-1, Kind::Double);
        let mean = |x: &Tensor| x.mean_dim([1i64].as_slice(), false, Kind::Double);
        let even = (mean(&shares) * mean(&chosen) / 2.0).sum(Kind::Double) * (4 * S) as f64;
        let large = leaf[0].logsumexp([-1i64].as_slice(), false).square();
        (even * loss.balance + large.sum(Kind::Double) * loss.z) * loss.scale
    };
    let one = Tensor::ones([] as [i64; 0], (Kind::Double, Device::Cpu));
    let wanted = judge(&[&logits], reference, &one);
    let report = Tensor::zeros([2], (Kind::Double, Device::Cpu));
    router_loss::forward(&logits, &choice, &report, &loss, 2).unwrap();
    assert_close(&(report.get(0) * 2.0), &reference(&[logits.copy()]));
    assert_close(
        &router_loss::backward(&logits, &choice, &loss).unwrap(),
        &wanted[0],
    );
}
