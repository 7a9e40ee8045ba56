//! Gloo with four ranks on loopback, one thread each: every operation, every type, sub-groups beside each other, and what a
//! missing member looks like.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use pleach_executor::collectives::Communicator;
use pleach_executor::collectives::beside::{Beside, Member};
use pleach_executor::collectives::direct::GlooGroup;
use pleach_executor::error::Cause;
use pleach_executor::native::{Group, Store, group};
use pleach_plan::{GroupId, Reduce};
use tch::{Device, Kind, Tensor};

const DEADLINE: Duration = Duration::from_secs(20);

/// Runs `body` as each of `ranks` ranks with a connection to one store.
fn with_ranks<T: Send + 'static>(ranks: u32, body: fn(u32, &Store) -> T) -> Vec<T> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut listener = Some(listener);
    let threads: Vec<_> = (0..ranks)
        .map(|rank| {
            let listener = listener.take();
            thread::spawn(move || {
                let store = match listener {
                    Some(listener) => Store::serve(listener, "127.0.0.1", port, DEADLINE).unwrap(),
                    None => Store::connect("127.0.0.1", port, DEADLINE).unwrap(),
                };
                let result = body(rank, &store);
                // The server's thread must outlive its clients.
                store.set(&format!("done/{rank}"), b"1").unwrap();
                if rank == 0 {
                    (0..ranks).for_each(|other| {
                        drop(store.get(&format!("done/{other}"), DEADLINE).unwrap())
                    });
                }
                result
            })
        })
        .collect();
    threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect()
}

fn join(store: &Store, name: &str, members: Vec<u32>, rank: u32) -> GlooGroup {
    GlooGroup::join(store, "127.0.0.1", name, members, rank, DEADLINE).unwrap()
}

fn filled(value: f64, dims: &[i64], kind: Kind) -> Tensor {
    Tensor::full(dims, value, (kind, Device::Cpu))
}

#[test]
fn the_shim_was_compiled_for_this_library() {
    group::check_layout().unwrap();
}

#[test]
fn four_ranks_reduce_gather_and_scatter() {
    with_ranks(4, |rank, store| {
        let mut world = join(store, "world", vec![0, 1, 2, 3], rank);
        for kind in [Kind::Double, Kind::Float, Kind::BFloat16, Kind::Int64] {
            let x = filled(f64::from(rank + 1), &[1000], kind);
            world.all_reduce(&x, Reduce::Sum).unwrap();
            assert_eq!(x, filled(10.0, &[1000], kind));
            let x = filled(f64::from(rank), &[3], kind);
            world.all_reduce(&x, Reduce::Max).unwrap();
            assert_eq!(x, filled(3.0, &[3], kind));
        }
        // Larger than a group's own room, and not a multiple of the members.
        let large = filled(f64::from(rank), &[3_000_001], Kind::Float);
        world.all_reduce(&large, Reduce::Sum).unwrap();
        assert_eq!(large, filled(6.0, &[3_000_001], Kind::Float));
        for kind in [Kind::Double, Kind::Float, Kind::BFloat16] {
            let joined = filled(-1.0, &[4, 2, 3], kind);
            world
                .all_gather(&filled(f64::from(rank), &[2, 3], kind), &joined)
                .unwrap();
            (0..4).for_each(|at| assert_eq!(joined.get(at), filled(at as f64, &[2, 3], kind)));
            let ramp = Tensor::arange(4, (kind, Device::Cpu)).view([4, 1]) * 10.0 + f64::from(rank);
            let own = filled(0.0, &[1], kind);
            world.reduce_scatter(&ramp, &own).unwrap();
            assert_eq!(own.double_value(&[0]), f64::from(40 * rank + 6));
        }
    });
}

#[test]
fn sub_groups_do_not_hear_each_other() {
    with_ranks(4, |rank, store| {
        let pair = if rank < 2 { vec![0, 1] } else { vec![2, 3] };
        let cross = if rank % 2 == 0 {
            vec![0, 2]
        } else {
            vec![1, 3]
        };
        let mut tp = join(store, "tp", pair, rank);
        let mut dp = join(store, "dp", cross, rank);
        for round in 0..50 {
            let x = filled(f64::from(rank + round), &[17], Kind::Float);
            tp.all_reduce(&x, Reduce::Sum).unwrap();
            assert_eq!(
                x.double_value(&[16]),
                f64::from((rank / 2) * 4 + 1 + 2 * round)
            );
            dp.all_reduce(&x, Reduce::Sum).unwrap();
            assert_eq!(x.double_value(&[0]), f64::from(6 + 4 * round));
        }
    });
}

#[test]
fn a_sum_has_the_same_bits_whoever_comes_first() {
    let sums = with_ranks(4, |rank, store| {
        let mut world = join(store, "world", vec![0, 1, 2, 3], rank);
        let values = Tensor::from_slice(&[1e16f64, 1.0, -1e16, 1.0])
            .view([4, 1])
            .narrow(0, i64::from(rank), 1);
        let pieces = values.repeat([4, 1]);
        thread::sleep(Duration::from_millis(u64::from(3 - rank) * 20));
        let own = filled(0.0, &[1], Kind::Double);
        world.reduce_scatter(&pieces, &own).unwrap();
        own.double_value(&[0])
    });
    // Neighbours first, as a tree.
    assert_eq!(sums, [(1e16 + 1.0) + (-1e16 + 1.0); 4]);
}

#[test]
fn transfers_go_on_while_the_caller_computes() {
    with_ranks(2, |rank, store| {
        let store = store.prefixed("pair/").unwrap();
        let pair = Group::open(&store, "127.0.0.1", rank, 2, DEADLINE).unwrap();
        let peer = 1 - rank;
        let sent: Vec<Tensor> = (0..3)
            .map(|tag| filled(f64::from(10 * rank + tag), &[300_000], Kind::Float))
            .collect();
        let received: Vec<Tensor> = (0..3)
            .map(|_| filled(-1.0, &[300_000], Kind::Float))
            .collect();
        // Received in another order than sent: tags tell them apart.
        let arriving: Vec<_> = (0..3)
            .rev()
            .map(|tag| pair.receive(&received[tag as usize], peer, tag).unwrap())
            .collect();
        let leaving: Vec<_> = (0..3)
            .map(|tag| pair.send(&sent[tag as usize], peer, tag).unwrap())
            .collect();
        arriving
            .iter()
            .chain(&leaving)
            .for_each(|work| work.wait().unwrap());
        for (tag, tensor) in (0..).zip(&received) {
            assert_eq!(tensor.double_value(&[299_999]), f64::from(10 * peer + tag));
        }
    });
}

#[test]
fn a_member_that_stays_away_is_named_at_the_deadline() {
    with_ranks(3, |rank, store| {
        let short = Duration::from_secs(2);
        let name = "late";
        let mut world =
            GlooGroup::join(store, "127.0.0.1", name, vec![0, 1, 2], rank, short).unwrap();
        if rank == 2 {
            thread::sleep(short * 2);
            return;
        }
        let began = Instant::now();
        let own = filled(0.0, &[8], Kind::Float);
        let failed = world
            .reduce_scatter(&filled(1.0, &[3, 8], Kind::Float), &own)
            .unwrap_err();
        let Cause::Group { group, peers, .. } = &failed else {
            panic!("{failed}")
        };
        assert_eq!((group.as_str(), peers.as_slice()), ("late", [2].as_slice()));
        assert!(
            began.elapsed() < short + Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
    });
}

/// The first rank is done with asking before the second has come; both have the sums in the end, in the order in which they asked.
#[test]
fn beside_the_computation_nobody_waits_until_the_end_is_asked_for() {
    let began = with_ranks(2, |rank, store| {
        let id = GroupId(3);
        let group = join(store, "beside", vec![0, 1], rank);
        let thread = Beside::start([(id, group)].into()).unwrap();
        let mut member = Member::new(id, [rank, 2], &thread);
        if rank == 1 {
            thread::sleep(Duration::from_millis(500));
        }
        let start = Instant::now();
        let x = filled(f64::from(rank + 1), &[1000], Kind::Float);
        let y = filled(f64::from(rank), &[10], Kind::Double);
        let mut sum = member.begin_all_reduce(&x, Reduce::Sum).unwrap();
        let mut other = member.begin_all_reduce(&y, Reduce::Sum).unwrap();
        let began = start.elapsed();
        sum.wait().unwrap();
        assert_eq!(x, filled(3.0, &[1000], Kind::Float));
        other.wait().unwrap();
        assert_eq!(y, filled(1.0, &[10], Kind::Double));
        member.all_reduce(&x, Reduce::Max).unwrap();
        began
    });
    assert!(began[0] < Duration::from_millis(250), "{began:?}");
}

#[test]
fn a_member_that_is_gone_is_told_where_the_end_is_asked_for() {
    with_ranks(2, |rank, store| {
        let id = GroupId(0);
        let group = join(store, "lost", vec![0, 1], rank);
        if rank == 1 {
            return;
        }
        let thread = Beside::start([(id, group)].into()).unwrap();
        let mut member = Member::new(id, [rank, 2], &thread);
        let x = filled(1.0, &[10], Kind::Float);
        let mut begun = [0, 1].map(|_| member.begin_all_reduce(&x, Reduce::Sum).unwrap());
        // Whoever waits for what was asked last hears what broke first.
        begun.reverse();
        let lost = begun.map(|mut one| one.wait().unwrap_err().to_string());
        assert_eq!(lost[0], lost[1]);
    });
}

/// A member's slice is summed where it lies, beside the computation and through little room: the same bits as with room of its own, and the
/// pieces of the others stay.
#[test]
fn a_slice_that_is_summed_in_its_place_has_the_same_bits() {
    with_ranks(3, |rank, store| {
        let id = GroupId(1);
        let mut plain = join(store, "plain", vec![0, 1, 2], rank);
        let group = join(store, "in place", vec![0, 1, 2], rank);
        let thread = Beside::start([(id, group)].into()).unwrap();
        let mut member = Member::new(id, [rank, 3], &thread);
        for (kind, elements) in [
            (Kind::Double, 7),
            (Kind::Float, 1_500_001),
            (Kind::BFloat16, 1000),
        ] {
            let places = Tensor::arange(3 * elements, (Kind::Double, Device::Cpu));
            let values = ((places + f64::from(rank)) * 0.37).sin() * 10f64.powi(rank as i32 * 3);
            let pieces = values.view([3, elements]).to_kind(kind);
            let before = pieces.copy();
            let own = Tensor::zeros([elements], (kind, Device::Cpu));
            plain.reduce_scatter(&before, &own).unwrap();
            let mut begun = member.begin_reduce_scatter(&pieces).unwrap().unwrap();
            begun.transfer.wait().unwrap();
            assert_eq!(begun.result, own, "{kind:?}");
            assert_eq!(
                begun.result.data_ptr(),
                pieces.get(i64::from(rank)).data_ptr()
            );
            for other in (0..3).filter(|other| *other != i64::from(rank)) {
                assert_eq!(pieces.get(other), before.get(other));
            }
        }
    });
}
