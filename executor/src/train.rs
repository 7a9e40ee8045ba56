//! A training run on one rank: start or resume, step by step, save, stop.
//!
//! In come options and the process's environment; out come metrics, events, checkpoints and, where asked for, traces, ledgers
//! and gradients. All ranks leave the loop after the same step, because they agree on every reason to.

mod beginning;
mod judging;

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pleach_plan::{HeldOut, Plan};
use pleach_storage::run::{MetricsWriter, StepMetrics};
use tch::Device;

use crate::background::Pending;
use crate::collectives::Collectives;
use crate::collectives::gloo::Gloo;
use crate::collectives::solo::Solo;
use crate::data::Samples;
use crate::deadlines::{Deadlines, Patience};
use crate::device;
use crate::environment::Environment;
use crate::error::{Cause, Exit, Failure};
use crate::events::{Usage, Voice};
use crate::finite::Finite;
use crate::interpreter::{Interpreter, Observer, World};
use crate::killed::KillAt;
use crate::load;
use crate::native::{cuda, memory};
use crate::pace::{Pace, Stragglers};
use crate::process::{resident, trim};
use crate::records::Records;
use crate::rendezvous::{self, Meeting};
use crate::saving::{Gradients, Saver, capture};
use crate::spoilt::{SpoilAt, spoil};
use crate::watchdog::Watch;

/// What a run is asked to do.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The run's folder.
    pub run: PathBuf,
    /// Go on from the newest checkpoint.
    pub resume: bool,
    /// End after so many steps of the run.
    pub steps: Option<u64>,
    /// The phase of the run that is trained, by its place from 0.
    pub phase: usize,
    /// The folders of prepared data, one for each phase.
    pub data: Vec<PathBuf>,
    /// The folder of weights that the run begins with.
    pub weights: Option<PathBuf>,
    /// Prefix of trace files.
    pub trace: Option<PathBuf>,
    /// Whether to write the bytes at every boundary.
    pub ledger: bool,
    /// The step (from 1) whose gradients are written.
    pub dump_gradients: Option<u64>,
    /// The folder of checkpoints that the state which is begun with is written to.
    pub dump_state: Option<PathBuf>,
    /// The longest that anything may take.
    pub deadline: Duration,
    /// Where a rank is killed.
    pub kill_at: Option<KillAt>,
    /// Where weights are spoilt.
    pub spoil_at: Option<SpoilAt>,
}

/// Trains a phase of a run until its last step or a request to stop.
///
/// # Errors
/// The failure that ended the run on this rank.
pub fn train(
    run: &Plan,
    options: &Options,
    environment: &Environment,
    voice: &Arc<Voice>,
) -> Result<Option<Exit>, Failure> {
    let meeting = Arc::new(AtomicBool::new(true));
    let stop = stop_flag(&meeting)?;
    let rss_begin = resident().now;
    let plan = load::phase(run, options.phase)?;
    refuse_strangers(options, plan)?;
    let goes_on = options.phase + 1 < run.phases().count();
    let stage = plan.mesh.place(environment.rank).pp;
    let (samples, order) = load::samples(run, options.phase, stage, &options.data)?;
    let held_out = load::held_out(run, options.phase, stage, &options.data)?;
    let measured = held_out.as_ref().map_or(0, |own| own.batches);
    note_measured(plan, measured, environment, voice);
    if let Some(order) = order {
        voice.note(&format!("data order {order}"));
    }
    tch::set_num_threads(threads(plan, environment));
    let device = device::choose(plan, environment)?;
    memory::count();
    let patience = Patience::new(options.deadline);
    let mut met = None;
    let waits = (options.deadline, &patience);
    let collectives = meet(plan, (environment, device), voice, waits, &mut met)?;
    meeting.store(false, Ordering::Relaxed);
    let interpreter = Interpreter::new(plan, environment.rank, device)
        .map_err(|cause| Failure::outside(&cause, "allocating"))?;
    let watch = watch(voice, Deadlines::new(plan, options.deadline), patience);
    let saver = Saver {
        plan,
        rank: environment.rank,
        folder: voice.folder().checkpoints(),
    };
    let pace = Pace::new(plan, interpreter.role());
    let mut run = Run {
        options,
        plan,
        saver,
        voice,
        stop,
        watch,
        samples,
        held_out: held_out.map(|own| own.samples),
        measured,
        collectives,
        interpreter,
        spoils: options.spoil_at,
        finite: Finite::new(&plan.training),
        saved: Cell::new(None),
        pending: None,
        pace,
        stragglers: Stragglers::default(),
        goes_on,
        rss_begin,
    };
    let ended = run.train();
    if ended.is_err() {
        voice.flight(&run.watch.record());
    }
    ended
}

/// Threads to compute with: one where sums keep an order, for kernels cut theirs by it.
fn threads(plan: &Plan, environment: &Environment) -> i32 {
    let threads = match plan.training.lanes {
        None => environment.threads(),
        Some(_) => 1,
    };
    i32::try_from(threads).unwrap_or(1)
}

/// Refuses a fault of a rank that the plan does not have: it would never happen, and look as if the run had stood it.
fn refuse_strangers(options: &Options, plan: &Plan) -> Result<(), Failure> {
    let ranks = plan.mesh.ranks();
    let asked = [
        ("killed", options.kill_at.map(|at| at.rank)),
        ("spoilt", options.spoil_at.map(|at| at.rank)),
    ];
    for (what, rank) in asked {
        if let Some(rank) = rank.filter(|rank| *rank >= ranks) {
            let message = format!(
                "rank {rank} is to be {what}, and the plan has the ranks 0 to {}",
                ranks - 1
            );
            let refused = Failure::new(Exit::Wish, "pleach::worker::arguments", message);
            return Err(
                refused.help("PLEACH_KILL_AT is RANK:STEP:NUMBER, PLEACH_SPOIL_AT RANK:STEP")
            );
        }
    }
    Ok(())
}

/// What this rank says to others, once it has met them.
fn meet(
    plan: &Plan,
    (environment, device): (&Environment, Device),
    voice: &Voice,
    waits: (Duration, &Patience),
    met: &mut Option<Meeting>,
) -> Result<Box<dyn Collectives>, Failure> {
    if environment.world == 1 {
        return Ok(Box::new(Solo));
    }
    note_trust(environment, voice);
    let met = met.insert(rendezvous::meet(environment, waits.0)?);
    join(plan, environment, (met, device), waits)
}

fn join(
    plan: &Plan,
    environment: &Environment,
    (met, device): (&Meeting, Device),
    (deadline, patience): (Duration, &Patience),
) -> Result<Box<dyn Collectives>, Failure> {
    let Meeting { store, address } = met;
    let rank = environment.rank;
    let joined: Result<Box<dyn Collectives>, Cause> = match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(index) => {
            let place = (rank, index as u32);
            crate::collectives::nccl::Nccl::join(plan, place, store, address, deadline)
                .map(|all| Box::new(all.with_patience(patience)) as _)
        }
        #[cfg(not(feature = "cuda"))]
        Device::Cuda(_) => Err(Cause::State(
            "this worker was built without NCCL".to_owned(),
        )),
        _ => Gloo::join(plan, rank, store, address, deadline)
            .and_then(|all| all.with_patience(patience).with_thread(plan, rank))
            .map(|all| Box::new(all) as _),
    };
    joined.map_err(|cause| Failure::outside(&cause, "joining the groups"))
}

fn note_measured(plan: &Plan, measured: u64, environment: &Environment, voice: &Voice) {
    let wanted = plan.training.evaluation.map_or(0, |own| own.batches);
    if measured < wanted && environment.rank == 0 {
        voice.note(&format!(
            "what is held out is {measured} global batches: these are measured, not {wanted}"
        ));
    }
}

fn note_trust(environment: &Environment, voice: &Voice) {
    if environment.secret.is_none() {
        voice.note("note: neither PLEACH_SECRET nor torchrun's run id is set; ranks cannot tell this job from another on this port");
    }
}

/// Set by SIGTERM and SIGINT: save and stop. While the ranks meet there is nothing to save, and the process just ends.
fn stop_flag(meeting: &Arc<AtomicBool>) -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        let code = Exit::Preempted as i32;
        let ends =
            signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(meeting));
        let stops = ends.and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)));
        stops.map_err(|error| {
            Failure::new(
                Exit::Machine,
                "pleach::worker::signal",
                format!("signal {signal} cannot be handled: {error}"),
            )
        })?;
    }
    Ok(stop)
}

fn watch(voice: &Arc<Voice>, deadlines: Deadlines, patience: Patience) -> Watch {
    let voice = Arc::clone(voice);
    Watch::start(deadlines, patience, move |failure, record| {
        voice.flight(record);
        voice.failed(&failure);
        crate::process::end(Some(failure.exit));
    })
}

/// Everything of one run on one rank.
struct Run<'r> {
    options: &'r Options,
    plan: &'r Plan,
    saver: Saver<'r>,
    voice: &'r Voice,
    stop: Arc<AtomicBool>,
    watch: Watch,
    samples: Box<dyn Samples>,
    /// What the loss is measured on, where it is.
    held_out: Option<Box<dyn Samples>>,
    /// Global batches of it that are measured each time.
    measured: u64,
    collectives: Box<dyn Collectives>,
    interpreter: Interpreter<'r>,
    /// Where weights are still to be spoilt.
    spoils: Option<SpoilAt>,
    /// What it does about steps that are not finite.
    finite: Finite,
    /// The step of the last checkpoint that is complete.
    saved: Cell<Option<u64>>,
    /// A checkpoint that is being written.
    pending: Option<Pending>,
    /// How fast this rank computes, and which ranks are behind.
    pace: Pace,
    stragglers: Stragglers,
    /// Whether another phase follows.
    goes_on: bool,
    rss_begin: u64,
}

impl Run<'_> {
    fn train(&mut self) -> Result<Option<Exit>, Failure> {
        let first = self.begin()?;
        self.dump(first)?;
        trim();
        let last = self
            .options
            .steps
            .unwrap_or(u64::MAX)
            .min(self.plan.training.steps);
        let mut metrics = self.metrics(first)?;
        let mut records =
            Records::new(self.options, self.saver.rank, self.interpreter.role().stage);
        self.voice.ready(first);
        let mut step = first;
        while step < last {
            let Some(mut figures) = self.step(step, &mut records)? else {
                step = self.begin_again()?;
                metrics = self.metrics(step)?;
                continue;
            };
            self.measure(&mut figures)?;
            if let Some(file) = &mut metrics {
                file.append(&figures, last)
                    .map_err(|error| self.unwritten(&error))?;
                self.voice.step(&figures);
            }
            step += 1;
            let stopping = self.agree_after_step(step)?;
            if stopping || self.plan.training.saving.is_due(step, last) {
                if self.is_spoilt(step)? {
                    step = self.begin_again()?;
                    metrics = self.metrics(step)?;
                    continue;
                }
                self.save(step, stopping || step == last)?;
            }
            if stopping && step < last {
                records.write(self.options, self.plan)?;
                self.voice.note(&format!(
                    "stopped as asked after step {step}; the checkpoint is complete"
                ));
                return Ok(Some(Exit::Preempted));
            }
        }
        records.write(self.options, self.plan)?;
        self.voice.done(first.max(last), &self.usage());
        Ok(None)
    }

    /// Writes the state that is begun with, for whoever wants to look at it.
    fn dump(&mut self, done: u64) -> Result<(), Failure> {
        let Some(folder) = &self.options.dump_state else {
            return Ok(());
        };
        let saver = Saver {
            folder: folder.clone(),
            ..self.saver.clone()
        };
        let at = (done, &self.finite.0);
        saver.write(at, self.interpreter.statics(), true, &mut *self.collectives)
    }

    /// Where rank 0 writes the figures of the steps behind the first ones.
    fn metrics(&self, done: u64) -> Result<Option<MetricsWriter>, Failure> {
        if self.saver.rank > 0 {
            return Ok(None);
        }
        MetricsWriter::resume(self.voice.folder(), &self.plan.training.logging, done)
            .map(Some)
            .map_err(|error| self.unwritten(&error))
    }

    fn unwritten(&self, error: &impl std::fmt::Display) -> Failure {
        Failure::file(&self.options.run, error)
    }

    /// Makes a step; none where the run goes back instead.
    fn step(&mut self, step: u64, records: &mut Records) -> Result<Option<StepMetrics>, Failure> {
        self.watch.set_step(step);
        let began = Instant::now();
        let guard = self.finite.0.guard;
        let mut world = World {
            samples: &mut *self.samples,
            collectives: &mut *self.collectives,
            trains: true,
            guard,
        };
        let mut observers: Vec<&mut dyn Observer> = vec![&mut self.watch, &mut self.pace];
        observers.extend(records.observers(step));
        let here = |at: &mut SpoilAt| at.rank == self.saver.rank && at.step == step + 1;
        let mut spoils = self.spoils.take_if(here);
        let wanted = self.options.dump_gradients == Some(step + 1);
        let mut gradients = Gradients::new();
        self.interpreter.run(
            step,
            &mut world,
            &mut observers,
            |visit, instr, [_, updates]| {
                if let Some(weight) = updates
                    .first()
                    .filter(|_| instr.op.is_update() && visit.layer.is_some())
                    && spoils.take().is_some()
                {
                    spoil(weight)?;
                }
                if wanted {
                    capture(&mut gradients, visit, instr, updates, guard.scale)?;
                }
                Ok(true)
            },
        )?;
        self.wait()?;
        let seconds = began.elapsed().as_secs_f64();
        self.watch.step_took(seconds);
        if wanted {
            let saver = Saver {
                folder: self.options.run.join("gradients"),
                ..self.saver.clone()
            };
            saver.save_gradients(
                self.interpreter.statics(),
                &gradients,
                step + 1,
                &mut *self.collectives,
            )?;
        }
        self.judge(step, seconds)
    }

    /// Waits for what the step has queued on the device: the only time that the host does.
    fn wait(&mut self) -> Result<(), Failure> {
        let _doing = self.watch.doing("waiting for the device");
        let done = self.collectives.finish();
        done.and_then(|()| Ok(cuda::synchronize()?))
            .map_err(|cause| Failure::outside(&cause, "waiting for the device"))
    }

    /// Measures the loss on what is held out, where that is due after a step.
    fn measure(&mut self, figures: &mut StepMetrics) -> Result<(), Failure> {
        let training = &self.plan.training;
        let Some(evaluation) = training.evaluation else {
            return Ok(());
        };
        let is_end = figures.step == training.steps && !self.goes_on;
        let end = if is_end { figures.step } else { u64::MAX };
        if !evaluation.is_due(figures.step, end) {
            return Ok(());
        }
        let Some(mut samples) = self.held_out.take() else {
            return Ok(());
        };
        let mean = self.mean_loss(&mut *samples);
        self.held_out = Some(samples);
        let mean = mean?;
        match evaluation.part {
            HeldOut::Validation => figures.validation_loss = mean,
            HeldOut::Test => figures.test_loss = mean,
        }
        Ok(())
    }

    /// The mean over the batches of what is held out; none where the run is asked to stop meanwhile.
    fn mean_loss(&mut self, samples: &mut dyn Samples) -> Result<Option<f64>, Failure> {
        let mut sum = 0.0;
        for batch in 0..self.measured {
            if self.agree_to_stop()? {
                return Ok(None);
            }
            let mut world = World {
                samples: &mut *samples,
                collectives: &mut *self.collectives,
                trains: false,
                guard: self.finite.0.guard,
            };
            let step = self.plan.training.begins.steps + batch;
            sum += self
                .interpreter
                .measure(step, &mut world, &mut [&mut self.watch])?;
        }
        Ok((self.measured > 0).then(|| sum / self.measured as f64))
    }

    /// Whether some rank was asked to stop.
    fn agree_to_stop(&mut self) -> Result<bool, Failure> {
        let _doing = self.watch.doing("agreeing between batches");
        let mut asked = [i64::from(self.stop.load(Ordering::Relaxed))];
        let agreed = self.collectives.agree(&mut asked);
        agreed.map_err(|cause| Failure::outside(&cause, "agreeing between batches"))?;
        Ok(asked[0] != 0)
    }

    /// Whether some rank was asked to stop; a checkpoint that is being written goes on where all ranks are done with their part.
    fn agree_after_step(&mut self, done: u64) -> Result<bool, Failure> {
        let doing = self.watch.agreeing("agreeing at the end of the step");
        let working = self.pending.as_ref().is_some_and(Pending::is_at_work);
        let due = self.pace.step_ended() && self.saver.rank == 0;
        let mut asked = [self.stop.load(Ordering::Relaxed), working, due].map(i64::from);
        let agreed = self.collectives.agree(&mut asked);
        agreed.map_err(|cause| Failure::outside(&cause, "agreeing at the end of the step"))?;
        let [stopping, working, due] = asked.map(|one| one != 0);
        if let Some(pending) = self.pending.take_if(|_| !working) {
            let step = pending.step();
            self.pending = pending.advance(&self.saver, &mut *self.collectives)?;
            if self.pending.is_none() {
                self.told(step);
            }
        }
        drop(doing);
        if due {
            self.compare_paces(done)?;
        }
        Ok(stopping)
    }

    /// Tells who computes slower than the others, and who no longer does.
    fn compare_paces(&mut self, done: u64) -> Result<(), Failure> {
        let _doing = self.watch.agreeing("comparing paces");
        let mut paces = vec![0; self.plan.mesh.ranks() as usize];
        paces[self.saver.rank as usize] = self.pace.take();
        let shared = self.collectives.agree(&mut paces);
        shared.map_err(|cause| Failure::outside(&cause, "comparing paces"))?;
        let changes = self.stragglers.judge(&paces);
        if self.saver.rank == 0 {
            changes
                .iter()
                .for_each(|change| self.voice.straggler(done, change));
        }
        Ok(())
    }

    /// Saves, or begins to; the last one before the worker ends is waited for. A run that ends here for now needs all of its state.
    fn save(&mut self, done: u64, ends: bool) -> Result<(), Failure> {
        self.settle()?;
        let _doing = self.watch.doing("saving a checkpoint");
        let statics = self.interpreter.statics();
        let state = (done, &self.finite.0);
        let whole = ends && (self.goes_on || done < self.plan.training.steps);
        if self.plan.training.saving.background && !ends {
            let copy = self.saver.copy(statics, whole);
            self.pending = Some(Pending::begin(&self.saver, (done, state.1.clone()), copy));
            return Ok(());
        }
        self.saver
            .save(statics, state, whole, &mut *self.collectives)?;
        self.told(done);
        Ok(())
    }

    /// Waits for a checkpoint that is being written.
    fn settle(&mut self) -> Result<(), Failure> {
        let Some(pending) = self.pending.take() else {
            return Ok(());
        };
        let _doing = self.watch.doing("waiting for a checkpoint to be written");
        let step = pending.step();
        pending.finish(&self.saver, &mut *self.collectives)?;
        self.told(step);
        Ok(())
    }

    fn told(&self, step: u64) {
        self.saved.set(Some(step));
        if self.saver.rank == 0 {
            self.voice.checkpoint(step);
        }
    }

    fn usage(&self) -> Usage {
        let [allocated_peak, arena] = device::peaks();
        Usage {
            rss_peak: resident().peak,
            rss_begin: self.rss_begin,
            named_peak: self.interpreter.named_peak(),
            allocated_peak,
            arena,
        }
    }
}
