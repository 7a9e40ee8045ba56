//! The same operations on a GPU, where this machine has one: fused and by libtorch's own operations against the CPU; attention's kernels
//! against products and a softmax; NCCL with one rank; values that travel there. Without a GPU each test says what is missing.

use std::time::Duration;

use pleach_executor::device::upload;
use pleach_executor::kernels::fused;
use pleach_executor::native::cuda::{self, Event, Stream};
use pleach_executor::native::nccl::{self, Comm};
use pleach_executor::ops::device::attention;
use pleach_executor::ops::linear;
use pleach_plan::Reduce;
use tch::{Device, Kind, Tensor};

use super::{Case, heads, losses, nonlinearities, norms, numbers, rest};

/// The first GPU; each test runs in a thread of its own and begins it anew.
fn gpu() -> Option<(u32, Device)> {
    match cuda::begin(0) {
        Ok(index) => Some((index, Device::Cuda(index as usize))),
        Err(missing) => {
            println!("skipped: {missing}");
            None
        }
    }
}

fn agrees(cases: Vec<Case>) {
    let Some((_, device)) = gpu() else { return };
    let kernels = fused().expect("NVRTC is beside a PyTorch with CUDA");
    for case in cases {
        let wanted = case.on_cpu();
        for (way, fused) in [("fused", Some(kernels)), ("composed", None)] {
            let gap = case.apart(&case.made_on(device, fused), &wanted);
            // Another order of sums, and other roundings of transcendental functions.
            let within = 4.0 * case.within;
            assert!(gap <= within, "{way} {:?} is {gap} off", case.op);
        }
    }
}

#[test]
fn norms_are_those_of_the_cpu() {
    agrees(norms());
}

#[test]
fn nonlinearities_are_those_of_the_cpu() {
    agrees(nonlinearities());
}

#[test]
fn heads_are_those_of_the_cpu() {
    agrees(heads());
}

#[test]
fn losses_are_those_of_the_cpu() {
    agrees(losses());
}

#[test]
fn embeddings_sums_factors_and_updates_are_those_of_the_cpu() {
    agrees(rest());
}

#[test]
fn attention_kernels_do_what_products_and_a_softmax_do() {
    let Some((_, device)) = gpu() else { return };
    for (kind, bound) in [
        (Kind::Float, 1e-4),
        (Kind::BFloat16, 5e-2),
        (Kind::Half, 1e-2),
    ] {
        for (heads, positions, width) in [(4, 64, 64), (2, 33, 8), (4, 130, 128)] {
            let of = |seed| {
                let rows = numbers(&[2, positions, heads, width], kind, seed);
                rows.to_device(device).transpose(1, 2)
            };
            let [q, k, v, dout] = [1, 2, 3, 4].map(of);
            assert!(attention::kernel_for(&q, false).is_some());
            let (out, sums) = attention::forward([&q, &k, &v], None).unwrap();
            let (plain, own) = attention::plain([&q, &k, &v], None).unwrap();
            let made = attention::backward([&dout, &q, &k, &v, &out, &sums], None).unwrap();
            let operands = [&dout, &q, &k, &v, &plain, &own];
            let wanted = attention::plain_backward(operands, None).unwrap();
            let near = |one: &Tensor, other: &Tensor| {
                let [one, other] = [one, other].map(|one| one.to_kind(Kind::Double));
                let most = other.abs().max().double_value(&[]);
                let gap = (one - other).abs().max().double_value(&[]) / most;
                assert!(gap < bound, "{gap} for {kind:?}, {positions} x {width}");
            };
            near(&out, &plain);
            near(&sums, &own);
            made.iter()
                .zip(&wanted)
                .for_each(|(one, other)| near(one, other));
        }
    }
}

#[test]
fn products_accumulate_in_f32() {
    let Some((_, device)) = gpu() else { return };
    for kind in [Kind::BFloat16, Kind::Half] {
        let [dy, x] = [1, 2].map(|seed| numbers(&[1, 512, 64], kind, seed));
        let sum = numbers(&[64, 64], Kind::Float, 3);
        let [left, right] = [&dy, &x].map(|one| one.view([512, 64]).to_kind(Kind::Float));
        let wanted = &sum + left.tr().matmul(&right);
        let [dy, x, sum] = [dy, x, sum].map(|one| one.to_device(device));
        linear::backward_weight(&dy, &x, &sum).unwrap();
        let gap = (sum.to_device(Device::Cpu) - &wanted).abs().max();
        // 16 bits in between would be off by 0.1.
        let gap = gap.double_value(&[]);
        assert!(gap < 5e-3, "{gap} for {kind:?}");
    }
}

#[test]
fn values_travel_and_events_tell_the_time() {
    let Some((index, device)) = gpu() else { return };
    let values = numbers(&[1000, 1000], Kind::Double, 1);
    let there = upload(&values, device).unwrap();
    assert_eq!(there.to_device(Device::Cpu), values);
    let stream = Stream::current(index).unwrap();
    let [begin, end] = [Event::timed().unwrap(), Event::timed().unwrap()];
    begin.record(&stream).unwrap();
    let product = there.matmul(&there);
    end.record(&stream).unwrap();
    assert!(end.seconds_since(&begin).unwrap() > 0.0);
    assert!(end.is_reached().unwrap());
    let held = cuda::memory(index).unwrap();
    assert!(
        held.peak >= 2 * 8_000_000 && held.free < held.total,
        "{held:?}"
    );
    drop(product);
}

#[test]
fn nccl_talks_to_itself() {
    let Some((index, device)) = gpu() else { return };
    let library = nccl::library().unwrap();
    let id = nccl::new_id(library).unwrap();
    let comm = Comm::join(library, &id, [0, 1], Duration::from_secs(30)).unwrap();
    let stream = Stream::current(index).unwrap();
    for kind in [
        Kind::Float,
        Kind::BFloat16,
        Kind::Half,
        Kind::Double,
        Kind::Int64,
    ] {
        let x = (numbers(&[100], Kind::Double, 1) * 10).to_kind(kind);
        let x = x.to_device(device);
        let before = x.copy();
        comm.all_reduce(&x, Reduce::Sum, &stream).unwrap();
        let [joined, own] = [x.zeros_like(), x.zeros_like()];
        comm.all_gather(&x, &joined, &stream).unwrap();
        comm.reduce_scatter(&x, &own, &stream).unwrap();
        cuda::synchronize().unwrap();
        comm.check().unwrap();
        for one in [x, joined, own] {
            assert_eq!(one, before, "{kind:?}");
        }
    }
}
