//! Measures this machine: what products, attention, memory and messages really take, as a table for the planner.
//!
//! In comes a job of N ranks on one machine, out comes a [`Hardware`] table. The first rank measures alone while the others
//! sleep, with one thread and with ever more; then ever more ranks work at once, which says what sharing the cores costs; then they talk. Everything runs through
//! the same operations and groups as training does. Of a GPU one rank measures what it computes and holds ([`gpu`]).

mod bench;
mod cases;
mod gpu;
mod kernels;
mod links;
mod machine;
mod probe;
mod spawn;

use std::path::Path;
use std::time::Duration;

use pleach_plan::hardware::{
    Contention, Cores, Figure, Hardware, Kind, Memory, Overhead, SCHEMA, Team,
};
use pleach_plan::{Dtype, Reduce};

use crate::collectives::Communicator;
use crate::collectives::direct::GlooGroup;
use crate::device;
use crate::environment::Environment;
use crate::error::{Cause, Failure};
use crate::native::memory;
use crate::process::resident;
use crate::rendezvous;
use bench::Bench;

pub use spawn::spawn;

/// Everybody waits for the first rank's measurements.
const DEADLINE: Duration = Duration::from_secs(300);

/// A figure that was measured here.
fn measured(value: f64) -> Figure {
    Figure {
        value,
        source: "measured".to_owned(),
    }
}

/// Takes part in a calibration of the processor, or of the GPU of this rank's place; rank 0 writes the table to `out`.
///
/// # Errors
/// There is no GPU, the ranks do not meet, a kernel fails, or the table cannot be written.
pub fn calibrate(environment: &Environment, kind: Kind, out: &Path) -> Result<(), Failure> {
    let table = match kind {
        Kind::Cpu => processor(environment)?,
        Kind::Gpu => Some(gpu::measure(device::gpu(environment.local_rank)?).map_err(failed)?),
    };
    let Some(table) = table else { return Ok(()) };
    let text = toml::to_string(&table).map_err(|error| Failure::file(out, &error))?;
    pleach_storage::files::replace(out, text.as_bytes()).map_err(|error| Failure::file(out, &error))
}

fn failed(cause: Cause) -> Failure {
    Failure::outside(&cause, "calibrating")
}

/// The table of the processor; only rank 0 has one at the end.
fn processor(environment: &Environment) -> Result<Option<Hardware>, Failure> {
    tch::set_num_threads(1);
    memory::count();
    let meeting = match environment.world {
        1 => None,
        _ => Some(rendezvous::meet(environment, DEADLINE)?),
    };
    let before = resident().now;
    let mut ranks = Ranks::join(environment, meeting.as_ref()).map_err(failed)?;
    let communication = resident().now.saturating_sub(before);
    measure(environment, &mut ranks, communication).map_err(failed)
}

/// The ranks of a calibration: all of them, and the first two.
struct Ranks {
    rank: u32,
    world: u32,
    all: Option<GlooGroup>,
    pair: Option<GlooGroup>,
}

impl Ranks {
    fn join(
        environment: &Environment,
        meeting: Option<&rendezvous::Meeting>,
    ) -> Result<Self, Cause> {
        let Environment { rank, world, .. } = *environment;
        let join = |name: &str, size: u32| match meeting {
            Some(met) if rank < size && size > 1 => {
                let members = (0..size).collect();
                GlooGroup::join(&met.store, &met.address, name, members, rank, DEADLINE).map(Some)
            }
            _ => Ok(None),
        };
        Ok(Self {
            rank,
            world,
            all: join("all", world)?,
            pair: join("pair", world.min(2))?,
        })
    }

    /// Waits until all ranks are here.
    fn meet(&mut self) -> Result<(), Cause> {
        let token = tch::Tensor::f_from_slice(&[0i64])?;
        self.all
            .as_mut()
            .map_or(Ok(()), |all| all.all_reduce(&token, Reduce::Max))
    }

    /// Waits until all ranks are here, and gives the largest value that one of them brings.
    fn largest(&mut self, value: f64) -> Result<f64, Cause> {
        let shared = tch::Tensor::f_from_slice(&[value])?;
        if let Some(all) = &mut self.all {
            all.all_reduce(&shared, Reduce::Max)?;
        }
        Ok(shared.f_double_value(&[0])?)
    }
}

/// All measurements in turn; only rank 0 has a table at the end.
fn measure(
    environment: &Environment,
    ranks: &mut Ranks,
    communication: u64,
) -> Result<Option<Hardware>, Cause> {
    let mut spread = probe::Deviations::default();
    let context = warmed_up(Dtype::F32)?;
    let narrow = warmed_up(Dtype::Bf16)?.saturating_sub(context);
    let alone = match ranks.rank {
        0 => Some((
            kernels::measure(&Bench::CPU, &mut spread)?,
            teams(&mut spread)?,
        )),
        _ => None,
    };
    ranks.meet()?;
    let contention = contention(ranks)?;
    let (collective, transfer) = links::measure(ranks)?;
    let Some((alone, teams)) = alone else {
        return Ok(None);
    };
    Ok(Some(Hardware {
        sheet_only: false,
        observed: None,
        schema: SCHEMA,
        name: "this_machine".to_owned(),
        about: format!(
            "measured with {} ranks: {}",
            environment.world,
            machine::processor()
        ),
        kind: Kind::Cpu,
        spread: Some(spread.spread()),
        memory: Memory {
            capacity: Figure {
                value: machine::memory() as f64,
                source: "asked of the system".to_owned(),
            },
            bandwidth: measured(alone.bandwidth),
        },
        launch: measured(alone.launch),
        host: None,
        paces: Vec::new(),
        cores: Some(Cores {
            count: machine::cores(),
            contention,
            teams,
        }),
        overhead: Overhead {
            context: measured(context as f64),
            communication: measured(communication.max(1) as f64),
            narrow: Some(measured(narrow as f64)),
            pieces: None,
        },
        links: None,
        gemm: alone.gemm,
        attention: alone.attention,
        elementwise: alone.elementwise,
        collective,
        transfer,
    }))
}

/// The resident bytes of this process beside its tensors, once libraries have computed in a type.
fn warmed_up(dtype: Dtype) -> Result<u64, Cause> {
    kernels::warm_up(&Bench::CPU, dtype)?;
    Ok(resident().now.saturating_sub(memory::extent()))
}

/// What ever more threads of this rank reach together, up to one for each core.
fn teams(spread: &mut probe::Deviations) -> Result<Vec<Team>, Cause> {
    let cores = machine::cores();
    let powers = (1..).map(|power| 1 << power);
    let smaller = powers.take_while(|&threads| threads < cores);
    let mut teams = Vec::new();
    for threads in smaller.chain((cores > 1).then_some(cores)) {
        tch::set_num_threads(i32::try_from(threads).unwrap_or(1));
        let together = kernels::measure(&Bench::CPU, spread)?;
        teams.push(Team {
            threads,
            launch: measured(together.launch),
            bandwidth: measured(together.bandwidth),
            gemm: together.gemm,
            attention: together.attention,
            elementwise: together.elementwise,
        });
    }
    tch::set_num_threads(1);
    Ok(teams)
}

/// How much slower the same work becomes when ever more ranks do it at once.
fn contention(ranks: &mut Ranks) -> Result<Vec<Contention>, Cause> {
    let mut work = cases::Mixture::new()?;
    let mut points: Vec<Contention> = Vec::new();
    let mut alone = 0.0;
    let world = ranks.world;
    for active in (0..)
        .map(|power| 1 << power)
        .take_while(|&active| active < world)
        .chain([world])
    {
        ranks.meet()?;
        let seconds = if ranks.rank < active {
            work.seconds()?
        } else {
            0.0
        };
        let slowest = ranks.largest(seconds)?;
        if active == 1 {
            alone = slowest;
        }
        let before = points.last().map_or(1.0, |point| point.slowdown);
        points.push(Contention {
            active,
            slowdown: (slowest / alone).max(before),
        });
    }
    Ok(points)
}
