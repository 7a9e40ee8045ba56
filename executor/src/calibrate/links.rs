//! Messages between processes of this machine: collectives by operation, group and size, and transfers.

use std::time::{Duration, Instant};

use pleach_plan::Reduce;
use pleach_plan::hardware::{Collective, SizePoint};
use tch::{Device, Kind, Tensor};

use super::Ranks;
use super::probe::median;
use crate::collectives::Communicator;
use crate::collectives::direct::GlooGroup;
use crate::error::Cause;

/// Sizes of the whole tensor.
const BYTES: [u64; 5] = [4 << 10, 64 << 10, 512 << 10, 2 << 20, 8 << 20];
/// Repetitions for each size.
const REPETITIONS: usize = 12;

/// Collectives of the pair and of all, and transfers of the pair. All ranks call this together.
pub fn measure(ranks: &mut Ranks) -> Result<(Vec<Collective>, Vec<SizePoint>), Cause> {
    let mut collectives = Vec::new();
    let mut transfers = Vec::new();
    if let Some(pair) = &mut ranks.pair {
        collectives.extend(group(pair)?);
        transfers = BYTES
            .iter()
            .map(|&bytes| transfer(pair, bytes))
            .collect::<Result<_, _>>()?;
    }
    ranks.meet()?;
    if ranks.world > 2
        && let Some(all) = &mut ranks.all
    {
        collectives.extend(group(all)?);
    }
    ranks.meet()?;
    Ok((collectives, transfers))
}

fn group(group: &mut GlooGroup) -> Result<Vec<Collective>, Cause> {
    ["all_reduce", "all_gather", "reduce_scatter"]
        .into_iter()
        .map(|op| curve(group, op))
        .collect()
}

fn curve(group: &mut GlooGroup, op: &str) -> Result<Collective, Cause> {
    let (mut wall, processor) = (Duration::ZERO, processor_time());
    let began = Instant::now();
    let mut points = Vec::new();
    for bytes in BYTES {
        let seconds = collective(group, op, bytes)?;
        points.push(SizePoint { bytes, seconds });
    }
    wall += began.elapsed();
    let busy = (processor_time() - processor).as_secs_f64() / wall.as_secs_f64();
    let source = "measured".to_owned();
    Ok(Collective {
        op: op.to_owned(),
        ranks: group.size(),
        busy: busy.clamp(0.0, 1.0),
        source,
        points,
    })
}

/// The median over repetitions of the slowest member.
fn collective(group: &mut GlooGroup, op: &str, bytes: u64) -> Result<f64, Cause> {
    let members = i64::from(group.size());
    let elements = (bytes as i64 / 4 / members).max(1);
    let options = (Kind::Float, Device::Cpu);
    let (whole, piece) = (
        Tensor::f_zeros([members, elements], options)?,
        Tensor::f_zeros(elements, options)?,
    );
    let mut slowest = Vec::new();
    for repetition in 0..=REPETITIONS {
        group.all_reduce(&Tensor::f_from_slice(&[0i64])?, Reduce::Max)?;
        let began = Instant::now();
        match op {
            "all_reduce" => group.all_reduce(&whole, Reduce::Sum)?,
            "all_gather" => group.all_gather(&piece, &whole)?,
            _ => group.reduce_scatter(&whole, &piece)?,
        }
        let own = Tensor::f_from_slice(&[began.elapsed().as_secs_f64()])?;
        group.all_reduce(&own, Reduce::Max)?;
        if repetition > 0 {
            slowest.push(own.f_double_value(&[0])?);
        }
    }
    Ok(median(&slowest))
}

/// Half of the way there and back.
fn transfer(pair: &mut GlooGroup, bytes: u64) -> Result<SizePoint, Cause> {
    let x = Tensor::f_zeros(bytes as i64 / 4, (Kind::Float, Device::Cpu))?;
    let mut ways = Vec::new();
    for repetition in 0..=REPETITIONS {
        pair.all_reduce(&Tensor::f_from_slice(&[0i64])?, Reduce::Max)?;
        let began = Instant::now();
        pair.there_and_back(&x)?;
        if repetition > 0 {
            ways.push(began.elapsed().as_secs_f64() / 2.0);
        }
    }
    Ok(SizePoint {
        bytes,
        seconds: median(&ways),
    })
}

/// Processor time of this process, all threads.
fn processor_time() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call only writes to `now`.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut now) };
    Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}
