//! Progress of a run: one line that is drawn over itself on a terminal, a plain line every few seconds elsewhere.
//!
//! In come the events of the workers, out come the line on stderr while it runs and, at the end, [`Measured`]: what is laid
//! beside the prediction.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pleach_storage::run::{StepMetrics, Straggler};
use serde_json::json;

use crate::launch::event::Event;
use crate::screen::{Screen, figures};

/// Between two plain lines.
const INTERVAL: Duration = Duration::from_secs(5);

/// Steps at the beginning that are not counted: libraries load, memory is touched for the first time.
const WARMUP: usize = 2;

/// What a run showed.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Steps done when it began.
    pub first_step: Option<u64>,
    /// Steps done at its end.
    pub last_step: u64,
    /// Loss of the first and the last step.
    pub loss: Option<[f64; 2]>,
    /// Steps of the run so far whose update was left out.
    pub skipped: u64,
    /// Seconds of each step.
    pub seconds: Vec<f64>,
    /// Largest resident size of each rank, in bytes.
    pub peak_bytes: Vec<Option<u64>>,
    /// Ranks that fell behind the others and recovered.
    pub stragglers: Vec<Straggler>,
}

impl Measured {
    /// What several phases showed, one behind the other.
    pub fn joined(phases: &[&Measured]) -> Measured {
        let losses = || phases.iter().filter_map(|phase| phase.loss);
        let first = losses().next().map(|[first, _]| first);
        let last = losses().next_back().map(|[_, last]| last);
        Measured {
            first_step: phases.first().and_then(|phase| phase.first_step),
            last_step: phases.last().map_or(0, |phase| phase.last_step),
            loss: first.zip(last).map(|(first, last)| [first, last]),
            skipped: phases.iter().map(|phase| phase.skipped).max().unwrap_or(0),
            stragglers: phases
                .iter()
                .flat_map(|phase| phase.stragglers.clone())
                .collect(),
            ..Measured::default()
        }
    }

    /// Median seconds of a step, the first ones left out.
    pub fn step_seconds(&self) -> Option<f64> {
        let counted = self
            .seconds
            .get(WARMUP..)
            .filter(|rest| !rest.is_empty())
            .unwrap_or(&self.seconds);
        let mut sorted = counted.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }
}

/// Hears events and shows them.
#[derive(Debug)]
pub struct Progress<'s> {
    screen: &'s Screen,
    steps: u64,
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
    /// What has been seen so far.
    pub measured: Measured,
}

impl<'s> Progress<'s> {
    /// For a run that ends after `steps` steps on so many ranks.
    pub fn new(screen: &'s Screen, steps: u64, ranks: u32) -> Self {
        let bar = screen.live.then(|| live_bar(steps, screen.color_err));
        let measured = Measured {
            peak_bytes: vec![None; ranks as usize],
            ..Measured::default()
        };
        Self {
            screen,
            steps,
            bar,
            last_line: None,
            measured,
        }
    }

    /// Takes one event in.
    pub fn hear(&mut self, rank: u32, event: &Event) {
        match event {
            Event::Ready { step } if rank == 0 => self.ready(*step),
            Event::Step(step) if rank == 0 => self.step(step),
            Event::Checkpoint { step } if rank == 0 => {
                self.say(&format!("checkpoint at step {step}"))
            }
            Event::Straggler(straggler) if rank == 0 => {
                self.said(&straggler.to_string());
                self.measured.stragglers.push(straggler.clone());
            }
            Event::Done { step, peak_bytes } => {
                self.measured.last_step = self.measured.last_step.max(*step);
                self.peak(rank, *peak_bytes);
            }
            _ => {}
        }
    }

    /// Takes the line away.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn ready(&mut self, step: u64) {
        self.measured.first_step = Some(step);
        self.measured.last_step = step;
        self.say(&format!(
            "ranks have met; next is step {} of {}",
            step + 1,
            self.steps
        ));
        if let Some(bar) = &self.bar {
            bar.set_position(step);
        }
    }

    fn step(&mut self, step: &StepMetrics) {
        let measured = &mut self.measured;
        measured.seconds.push(step.seconds);
        measured.last_step = step.step;
        measured.skipped = step.skipped;
        measured.loss = Some([
            measured.loss.map_or(step.loss, |[first, _]| first),
            step.loss,
        ]);
        self.peak(0, step.memory_bytes);
        if let Some(bar) = &self.bar {
            bar.set_position(step.step);
            bar.set_message(self.text(step));
            return;
        }
        let held_out = [
            ("validation", step.validation_loss),
            ("test", step.test_loss),
        ];
        for (part, loss) in held_out {
            if let Some(loss) = loss {
                let text = format!("step {}: {part} loss {}", step.step, figures::number(loss));
                self.said(&text);
            }
        }
        let due =
            self.last_line.is_none_or(|last| last.elapsed() >= INTERVAL) || step.step == self.steps;
        if due && !self.screen.no_progress {
            self.last_line = Some(Instant::now());
            self.line(step);
        }
    }

    fn peak(&mut self, rank: u32, bytes: Option<u64>) {
        if let Some(seen) = self.measured.peak_bytes.get_mut(rank as usize) {
            *seen = (*seen).max(bytes);
        }
    }

    fn line(&self, step: &StepMetrics) {
        if self.screen.json_log {
            let value = json!({"level": "progress", "step": step.step, "steps": self.steps, "loss": step.loss,
                "grad_norm": step.grad_norm, "tokens_per_s": step.tokens_per_s, "memory_bytes": step.memory_bytes,
                "eta_s": self.eta(step)});
            self.screen.line(&value.to_string());
        } else {
            self.screen.note(&format!(
                "step {}/{}  {}",
                step.step,
                self.steps,
                self.text(step)
            ));
        }
    }

    /// The line without the step: fits in 80 columns behind a bar of 12.
    fn text(&self, step: &StepMetrics) -> String {
        let memory = step
            .memory_bytes
            .map_or_else(String::new, |bytes| format!("  {}", figures::bytes(bytes)));
        format!(
            "loss {}  grad {}  {} tok/s{memory}  ETA {}",
            figures::number(step.loss),
            figures::number(step.grad_norm),
            figures::count(step.tokens_per_s.round() as u64),
            figures::seconds(self.eta(step)),
        )
    }

    /// Seconds to the end, from the last steps, which know best how fast the machine is now.
    fn eta(&self, step: &StepMetrics) -> f64 {
        let recent = &self.measured.seconds[self.measured.seconds.len().saturating_sub(20)..];
        let mean = recent.iter().sum::<f64>() / recent.len().max(1) as f64;
        self.steps.saturating_sub(step.step) as f64 * mean
    }

    /// A line that stays, whatever the bar does.
    fn said(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.screen.note(text)),
            None => self.screen.note(text),
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.screen.detail(text)),
            None => self.screen.detail(text),
        }
    }
}

fn live_bar(steps: u64, color: bool) -> ProgressBar {
    let bar = if color { "{bar:10.green}" } else { "{bar:10}" };
    let style = ProgressStyle::with_template(&format!("{bar} {{pos}}/{{len}} {{msg}}"))
        .expect("the template is well formed")
        .progress_chars("━╸ ");
    ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr_with_hz(5))
        .with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_steps_do_not_count() {
        let measured = Measured {
            seconds: vec![9.0, 8.0, 1.0, 1.1, 1.2],
            ..Measured::default()
        };
        assert_eq!(measured.step_seconds(), Some(1.1));
        assert_eq!(Measured::default().step_seconds(), None);
        assert_eq!(
            Measured {
                seconds: vec![2.0],
                ..Measured::default()
            }
            .step_seconds(),
            Some(2.0)
        );
    }
}
