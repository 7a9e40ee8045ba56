//! Messages between processes of this machine: collectives by operation, group and size, and transfers.
//!
//! Collectives in a row are faster than those of a step: there the members compute between them, come at different moments, and the
//! threads that move bytes have slept. So what a collective costs is what work takes longer with it than without ([`Stint`]).

use std::time::{Duration, Instant};

use pleach_plan::Reduce;
use pleach_plan::hardware::{Collective, SizePoint};
use tch::{Device, Kind, Tensor};

use super::Ranks;
use super::cases::Stint;
use super::probe::median;
use crate::collectives::Communicator;
use crate::collectives::direct::GlooGroup;
use crate::error::Cause;

/// Sizes of the whole tensor.
const BYTES: [u64; 5] = [4 << 10, 64 << 10, 512 << 10, 2 << 20, 8 << 20];
/// Repetitions for each size.
const REPETITIONS: usize = 12;
/// Repetitions with work between them: rounds, and collectives of a round.
const ROUNDS: usize = 7;
const OF_A_ROUND: usize = 6;

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
    let mut stint = Stint::new()?;
    ["all_reduce", "all_gather", "reduce_scatter"]
        .into_iter()
        .map(|op| curve(group, &mut stint, op))
        .collect()
}

fn curve(group: &mut GlooGroup, stint: &mut Stint, op: &str) -> Result<Collective, Cause> {
    let (mut wall, mut processor) = (Duration::ZERO, Duration::ZERO);
    let mut points: Vec<SizePoint> = Vec::new();
    for bytes in BYTES {
        let message = Message::new(op, bytes, group.size())?;
        let (began, worked) = (Instant::now(), processor_time());
        let in_a_row = in_a_row(group, &message)?;
        wall += began.elapsed();
        processor += processor_time() - worked;
        let smaller = points.last().map_or(0.0, |point| point.seconds);
        let seconds = between_work(group, stint, &message)?.max(in_a_row);
        let seconds = seconds.max(smaller);
        points.push(SizePoint { bytes, seconds });
    }
    let busy = processor.as_secs_f64() / wall.as_secs_f64();
    Ok(Collective {
        op: op.to_owned(),
        ranks: group.size(),
        busy: busy.clamp(0.0, 1.0),
        source: "measured".to_owned(),
        points,
    })
}

/// A collective with its operands.
struct Message<'o> {
    op: &'o str,
    whole: Tensor,
    piece: Tensor,
}

impl<'o> Message<'o> {
    /// Over a whole tensor of about so many bytes.
    fn new(op: &'o str, bytes: u64, members: u32) -> Result<Self, Cause> {
        let members = i64::from(members);
        let elements = (bytes as i64 / 4 / members).max(1);
        let options = (Kind::Float, Device::Cpu);
        Ok(Self {
            op,
            whole: Tensor::f_zeros([members, elements], options)?,
            piece: Tensor::f_zeros(elements, options)?,
        })
    }

    fn send(&self, group: &mut GlooGroup) -> Result<(), Cause> {
        match self.op {
            "all_reduce" => group.all_reduce(&self.whole, Reduce::Sum),
            "all_gather" => group.all_gather(&self.piece, &self.whole),
            _ => group.reduce_scatter(&self.whole, &self.piece),
        }
    }
}

/// What all members do together, in the slowest member's time.
fn together(
    group: &mut GlooGroup,
    work: impl FnOnce(&mut GlooGroup) -> Result<(), Cause>,
) -> Result<f64, Cause> {
    group.all_reduce(&Tensor::f_from_slice(&[0i64])?, Reduce::Max)?;
    let began = Instant::now();
    work(group)?;
    let own = Tensor::f_from_slice(&[began.elapsed().as_secs_f64()])?;
    group.all_reduce(&own, Reduce::Max)?;
    Ok(own.f_double_value(&[0])?)
}

/// The median of collectives without anything between them.
fn in_a_row(group: &mut GlooGroup, message: &Message) -> Result<f64, Cause> {
    together(group, |group| message.send(group))?;
    let times: Vec<f64> = (0..REPETITIONS)
        .map(|_| together(group, |group| message.send(group)))
        .collect::<Result<_, _>>()?;
    Ok(median(&times))
}

/// What work takes longer for each collective that stands in it, in the median of rounds.
fn between_work(group: &mut GlooGroup, stint: &mut Stint, message: &Message) -> Result<f64, Cause> {
    let mut longer = Vec::new();
    for _ in 0..ROUNDS {
        let with = together(group, |group| {
            (0..OF_A_ROUND).try_for_each(|_| stint.work().and_then(|()| message.send(group)))
        })?;
        let without = together(group, |_| (0..OF_A_ROUND).try_for_each(|_| stint.work()))?;
        longer.push((with - without) / OF_A_ROUND as f64);
    }
    Ok(median(&longer))
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
