//! Initial values against libtorch: the orthogonal factor of the same normal values, with the signs of its triangle taken out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pleach_plan::Init;
use pleach_storage::init::{fill, fill_normal};
use tch::Tensor;

#[test]
fn orthogonal_values_are_the_factor_that_libtorch_finds() {
    for [rows, columns] in [[96, 32], [32, 96], [64, 64], [1, 7]] {
        let dims = [rows as u64, columns as u64];
        let normal = fill_normal(5, "layers.0.mlp.up.weight", &dims, None, 1.0);
        let normal = Tensor::from_slice(&normal).view([rows, columns]);
        let is_tall = rows >= columns;
        let tall = if is_tall { normal } else { normal.tr() };
        let (q, r) = Tensor::linalg_qr(&tall, "reduced");
        let theirs = q * r.diagonal(0, 0, 1).sign();
        let theirs = if is_tall { theirs } else { theirs.tr() } * 1.5;
        let init = Init::Orthogonal { gain: 1.5 };
        let ours = fill(5, "layers.0.mlp.up.weight", &dims, None, &init);
        let ours = Tensor::from_slice(&ours).view([rows, columns]);
        let apart = (ours - theirs).abs().max().double_value(&[]);
        assert!(apart < 1e-12, "{rows} x {columns}: {apart}");
    }
}
