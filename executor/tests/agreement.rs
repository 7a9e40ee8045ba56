//! The executor against the reference interpreter: the same hand-made plans, placed in many ways, train alike in f64; and the
//! bytes that are really held are those of the plan's ledger, at every boundary.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "agreement/operations.rs"]
mod operations;
#[path = "../../plan/tests/sample/mod.rs"]
mod sample;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use pleach_executor::collectives::Collectives;
use pleach_executor::collectives::gloo::Gloo;
use pleach_executor::collectives::solo::Solo;
use pleach_executor::data::Samples;
use pleach_executor::error::Cause;
use pleach_executor::interpreter::{Interpreter, Observer, World};
use pleach_executor::ledger::Ledger;
use pleach_executor::native::Store;
use pleach_executor::saving::{Gradients, Saver, capture};
use pleach_plan::ledger::{Boundary, boundaries};
use pleach_plan::{Guard, Plan, Standing, reference};
use pleach_storage::checkpoint::{Checkpoint, Kind, folder_name};
use pleach_storage::init;
use sample::{ONE, Shape, plan};

const STEPS: u64 = 3;
const DEADLINE: Duration = Duration::from_secs(30);

/// The allocator's peak is the whole process's, so only one plan runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Tokens that any rank can make up from a sample's number, some of which do not count as targets.
fn tokens(plan: &Plan, index: u64) -> Vec<i64> {
    let length = plan.training.sequence + 1;
    let token = |at| ((index * 7 + at * at * 3 + index * at) % plan.data.vocab) as i64;
    let marked = |at| match (index * 5 + at * 3) % 7 {
        0..3 => !token(at),
        _ => token(at),
    };
    (0..length).map(marked).collect()
}

struct MadeUp<'p>(&'p Plan);

impl Samples for MadeUp<'_> {
    fn sample(&mut self, index: u64) -> Result<Vec<i64>, Cause> {
        Ok(tokens(self.0, index))
    }
}

/// What a rank saw: a report for each step, and the last step's boundaries.
type Seen = (Vec<[f64; 2]>, Vec<Boundary>);

fn run_rank(plan: &Plan, rank: u32, folder: &Path, collectives: &mut dyn Collectives) -> Seen {
    let mut interpreter = Interpreter::new(plan, rank, tch::Device::Cpu).unwrap();
    interpreter
        .statics()
        .initialise(plan, interpreter.role(), rank)
        .unwrap();
    let (mut reports, mut ledger) = (Vec::new(), Ledger::new());
    let mut gradients = Gradients::new();
    for step in 0..STEPS {
        let mut samples = MadeUp(plan);
        let mut world = World {
            guard: Guard::new(plan.training.scaling.as_ref()),
            samples: &mut samples,
            collectives: &mut *collectives,
            trains: true,
        };
        let watched: &mut dyn Observer = &mut ledger;
        interpreter
            .run(
                step,
                &mut world,
                &mut [watched],
                |visit, instr, [_, updates]| {
                    if step == 0 {
                        capture(&mut gradients, visit, instr, updates, 1.0)?;
                    }
                    Ok(true)
                },
            )
            .unwrap();
        reports.push(interpreter.report().unwrap());
    }
    let saver = Saver {
        plan,
        rank,
        folder: folder.join("final"),
    };
    saver
        .save(
            interpreter.statics(),
            (STEPS, &Standing::new(None)),
            true,
            collectives,
        )
        .unwrap();
    let saver = Saver {
        folder: folder.join("gradients"),
        ..saver
    };
    saver
        .save_gradients(interpreter.statics(), &gradients, 1, collectives)
        .unwrap();
    (reports, ledger.boundaries)
}

/// Runs all ranks as threads of this process.
fn run(plan: &Plan, folder: &Path) -> Vec<Seen> {
    let ranks = plan.mesh.ranks();
    if ranks == 1 {
        return vec![run_rank(plan, 0, folder, &mut Solo)];
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Store::serve(listener, "127.0.0.1", port, DEADLINE).unwrap();
    let seen = thread::scope(|scope| {
        let rank = |rank| {
            scope.spawn(move || {
                let store = Store::connect("127.0.0.1", port, DEADLINE).unwrap();
                let mut gloo = Gloo::join(plan, rank, &store, "127.0.0.1", DEADLINE).unwrap();
                run_rank(plan, rank, folder, &mut gloo)
            })
        };
        let threads: Vec<_> = (0..ranks).map(rank).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    drop(server);
    seen
}

fn judge(plan: &Plan) -> reference::Outcome {
    let mut values = BTreeMap::new();
    for parameter in &plan.parameters {
        for layer in 0..plan.layer_count() {
            let name = parameter.name.replace("{layer}", &layer.to_string());
            values.insert(
                name.clone(),
                init::fill(
                    plan.training.seed,
                    &name,
                    &parameter.dims,
                    None,
                    &parameter.init,
                ),
            );
        }
    }
    let inputs = reference::Inputs {
        initial: &|name, index| values[name][index as usize],
        tokens: &|index| tokens(plan, index),
        gradients: true,
    };
    reference::run(plan, &inputs, STEPS).unwrap()
}

#[track_caller]
fn assert_close(what: &str, found: &[f64], wanted: &[f64], limit: f64) {
    let scale = wanted
        .iter()
        .fold(0.0f64, |most, value| most.max(value.abs()))
        .max(1e-300);
    let error = found
        .iter()
        .zip(wanted)
        .fold(0.0f64, |most, (found, wanted)| {
            most.max((found - wanted).abs())
        })
        / scale;
    assert!(
        found.len() == wanted.len() && error <= limit,
        "{what}: relative error {error:e}"
    );
}

fn compare(shape: Shape) {
    let _alone = ALONE.lock().unwrap();
    let plan = plan(shape);
    let folder = tempfile::tempdir().unwrap();
    let seen = run(&plan, folder.path());
    let wanted = judge(&plan);
    for (reports, _) in &seen {
        for (report, wanted) in reports.iter().zip(&wanted.reports) {
            assert_close("loss", &[report[0]], &[wanted.loss], 1e-12);
            assert_close("norm", &[report[1].sqrt()], &[wanted.norm], 1e-12);
        }
    }
    let last = Checkpoint::open(&folder.path().join("final").join(folder_name(STEPS))).unwrap();
    for (kind, state) in [
        (Kind::Weight, &wanted.parameters),
        (Kind::M, &wanted.first),
        (Kind::V, &wanted.second),
    ] {
        for (name, values) in state {
            assert_close(name, &last.logical(name, kind).unwrap(), values, 1e-9);
        }
    }
    let first = Checkpoint::open(&folder.path().join("gradients").join(folder_name(1))).unwrap();
    for (name, values) in &wanted.gradients[0] {
        assert_close(name, &first.logical(name, Kind::M).unwrap(), values, 1e-10);
    }
    for (rank, (_, found)) in (0..).zip(&seen) {
        compare_ledger(&plan, rank, found);
    }
}

fn compare_ledger(plan: &Plan, rank: u32, found: &[Boundary]) {
    let role = &plan.roles[plan.mesh.place(rank).pp as usize];
    let planned: Vec<Boundary> = boundaries(plan, role).collect();
    assert_eq!(found.len(), planned.len());
    for (found, planned) in found.iter().zip(&planned) {
        let place = |one: &Boundary| (one.slot, one.layer, one.instruction, one.live);
        assert_eq!(place(found), place(planned), "rank {rank}");
    }
}

#[test]
fn one_rank() {
    compare(ONE);
}

#[test]
fn tensor_parallel() {
    compare(Shape { tp: 2, ..ONE });
}

#[test]
fn data_parallel() {
    compare(Shape { dp: 2, ..ONE });
}

#[test]
fn data_parallel_with_sharded_optimizer() {
    compare(Shape {
        dp: 2,
        zero: 1,
        ..ONE
    });
}

#[test]
fn weights_of_targets_over_the_global_batch() {
    for shape in [
        ONE,
        Shape { tp: 2, ..ONE },
        Shape { dp: 2, ..ONE },
        Shape {
            dp: 2,
            pp: 2,
            tp: 2,
            micro_steps: 3,
            ..ONE
        },
    ] {
        compare(Shape {
            weighted: true,
            ..shape
        });
    }
}

#[test]
fn pipeline_parallel() {
    compare(Shape {
        pp: 2,
        micro_steps: 4,
        ..ONE
    });
}

#[test]
fn everything_at_once() {
    compare(Shape {
        dp: 2,
        pp: 2,
        tp: 2,
        zero: 1,
        micro_steps: 3,
        ..ONE
    });
}
