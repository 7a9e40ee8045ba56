//! What it means to go on with a run, told before any worker starts: under which placement, from where, what is kept and what is done again.
//!
//! In come the run's folder, the plan that it ran last and the one that it goes on under; out come some lines for people and one object for programs.
//! Whatever of the folder cannot be read is found here.

use pleach_plan::{Guard, Plan};
use pleach_planner::report::parts::Placed;
use pleach_planner::report::screen as screens;
use pleach_storage::checkpoint::{Checkpoint, folder_name};
use pleach_storage::run::{Cut, RunFolder};
use serde_json::{Value, json};

use crate::attempt;
use crate::failure::Outcome;
use crate::screen::{Screen, figures};

/// How a run goes on.
#[derive(Debug)]
pub struct Resuming<'p> {
    /// Steps that are done; none where the run begins again.
    pub done: Option<u64>,
    old: &'p Plan,
    plan: &'p Plan,
    good: Option<Checkpoint>,
    cut: Cut,
    /// The last step that was done before, as far as anybody wrote it down.
    reached: u64,
}

impl<'p> Resuming<'p> {
    /// Looks at a run's folder.
    pub fn of(
        screen: &Screen,
        folder: &RunFolder,
        [old, plan]: [&'p Plan; 2],
    ) -> Outcome<Resuming<'p>> {
        let record = folder.read_record();
        let record = record.map_err(|error| attempt::run_failure(&error))?;
        let good = attempt::newest(screen, folder, plan, true)?;
        let done = good.as_ref().map(|good| good.manifest.step);
        let cut = Cut::after(&folder.metrics(), done.unwrap_or(0));
        let cut = cut.map_err(|error| attempt::run_failure(&error))?;
        let ended = record.and_then(|record| record.attempts.last()?.last_step);
        Ok(Resuming {
            done,
            old,
            plan,
            good,
            cut,
            reached: ended.max(cut.last).unwrap_or(0),
        })
    }

    /// The phase that goes on.
    fn phase<'a>(&self, run: &'a Plan) -> &'a Plan {
        let place = run.phase_after(self.done.unwrap_or(0));
        run.phases().nth(place).unwrap_or(run)
    }

    /// The placement that the run leaves, where it leaves one.
    fn before(&self) -> Option<&'p Plan> {
        let [one, other] = [self.old, self.plan].map(|run| Placed::of_plan(self.phase(run)));
        let bare = |placed: Placed| Placed {
            hash: String::new(),
            ..placed
        };
        (bare(one) != bare(other)).then(|| self.phase(self.old))
    }

    /// The steps, from 1, that are done once more.
    fn again(&self) -> Option<[u64; 2]> {
        let done = self.done.unwrap_or(0);
        (self.reached > done).then_some([done + 1, self.reached])
    }

    /// The lines for people.
    pub fn screen(&self) -> String {
        let now = self.phase(self.plan);
        let mut rows = vec![("placement", placement(now))];
        if let Some(before) = self.before() {
            rows.push(("was", placement(before)));
            rows.extend(figures_of(before, now));
        }
        rows.push(("going on", self.from(now)));
        rows.extend(self.rounding().map(|text| ("bits", text)));
        rows.extend(self.kept().map(|text| ("kept", text)));
        rows.extend(self.redone().map(|text| ("done again", text)));
        screens::rows(&rows).trim_end().to_owned()
    }

    /// That a run whose sums keep one order goes on with other roundings all the same.
    fn rounding(&self) -> Option<String> {
        let [was, now] = [self.phase(self.old), self.phase(self.plan)];
        let kept = now.training.lanes.is_none() || was.mesh.tp == now.mesh.tp;
        (!kept).then(|| "tensor-parallel ranks sum in an order of their own: from here on roundings are others".to_owned())
    }

    fn from(&self, now: &Plan) -> String {
        let Some(done) = self.done else {
            return "there is no complete checkpoint yet; the run begins again".to_owned();
        };
        let sample = figures::count(now.training.phase_samples(done));
        let name = now.training.phase.as_deref();
        let of_phase = name.map_or_else(String::new, |name| format!(" of phase `{name}`"));
        format!(
            "after step {done} of {}, from checkpoints/{}; the next sample is number {sample}{of_phase}",
            self.plan.run_steps(),
            folder_name(done)
        )
    }

    /// What the checkpoint brings back.
    fn kept(&self) -> Option<String> {
        let manifest = &self.good.as_ref()?.manifest;
        let mut kept = vec!["weights".to_owned(), "moments".to_owned()];
        let scaling = self.phase(self.plan).training.scaling.as_ref();
        let guard = manifest.guard.unwrap_or_else(|| Guard::new(scaling));
        if scaling.is_some() {
            kept.push(format!("the loss scale {}", guard.scale));
        }
        let times = manifest.counts.times();
        for (count, text) in [
            (guard.skipped, "left out so far"),
            (manifest.counts.in_a_row, "of them one behind the other"),
        ] {
            if count > 0 {
                kept.push(format!("{count} {text}"));
            }
        }
        if times > 0 {
            kept.push(format!("{times} times that it went back"));
        }
        Some(kept.join(", "))
    }

    /// What is done and written once more.
    fn redone(&self) -> Option<String> {
        let steps = self.again().map(|[first, last]| match first == last {
            true => format!("step {first}"),
            false => format!("steps {first} to {last}"),
        });
        let lines = match (self.cut.lines, self.cut.torn) {
            (0, false) => None,
            (0, true) => Some("a torn line of metrics.jsonl is cut off".to_owned()),
            (1, _) => Some("1 line of metrics.jsonl is cut off".to_owned()),
            (lines, _) => Some(format!("{lines} lines of metrics.jsonl are cut off")),
        };
        let told = [steps, lines];
        let told: Vec<String> = told.into_iter().flatten().collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let now = self.phase(self.plan);
        let manifest = self.good.as_ref().map(|good| &good.manifest);
        let checkpoint = self
            .done
            .map(|done| format!("checkpoints/{}", folder_name(done)));
        json!({"step": self.done, "sample": self.done.map(|done| now.training.phase_samples(done)),
            "phase": now.training.phase, "checkpoint": checkpoint, "ranks": now.mesh.ranks(),
            "placement": Placed::of_plan(now), "before": self.before().map(Placed::of_plan),
            "guard": manifest.and_then(|own| own.guard), "again": self.again(), "cut_lines": self.cut.lines})
    }
}

/// A placement and its ranks in one line.
fn placement(plan: &Plan) -> String {
    let ranks = match plan.mesh.ranks() {
        1 => "1 rank".to_owned(),
        ranks => format!("{ranks} ranks"),
    };
    format!("{ranks}: {}", screens::placement(&Placed::of_plan(plan)))
}

/// What the change does to a step and to the fullest rank, as far as both plans say.
fn figures_of(before: &Plan, now: &Plan) -> Vec<(&'static str, String)> {
    let (Some(one), Some(other)) = (&before.prediction, &now.prediction) else {
        return Vec::new();
    };
    let [was, is] = [one, other].map(|own| figures::seconds(own.step_ps as f64 * 1e-12));
    let peak = |own: &pleach_plan::Prediction| {
        let peaks = own.roles.iter();
        let peaks = peaks.map(|role| role.allocated_peak.saturating_add(role.overhead));
        figures::bytes(peaks.max().unwrap_or(0))
    };
    vec![
        ("step", format!("{is}, was {was}")),
        ("memory", format!("{} each, was {}", peak(other), peak(one))),
    ]
}
