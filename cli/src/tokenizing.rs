//! Progress of a tokenization: a bar on a terminal, a plain line every few seconds elsewhere; and what it left out.
//!
//! In come how far it is and of what; out come lines on stderr, and at the end the seconds it took.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pleach_data::tokenize::{Description, Progress};
use serde_json::json;

use crate::screen::{Screen, figures};

/// Between two plain lines of progress.
const INTERVAL: Duration = Duration::from_secs(5);

/// Progress on the screen.
pub struct Shown<'s> {
    screen: &'s Screen,
    /// What is tokenized, before the figures.
    label: String,
    bar: Option<ProgressBar>,
    begun: Instant,
    last: Instant,
}

impl<'s> Shown<'s> {
    /// Of what is called so; nothing where there is but one thing.
    pub fn new(screen: &'s Screen, name: &str) -> Self {
        let label = match name {
            "" => String::new(),
            name => format!("{name}: "),
        };
        let bar = screen.live.then(|| {
            let style = ProgressStyle::with_template("{bar:10} {percent}% {msg}")
                .expect("the template is well formed")
                .progress_chars("━╸ ");
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5))
                .with_style(style)
        });
        Self {
            screen,
            label,
            bar,
            begun: Instant::now(),
            last: Instant::now(),
        }
    }

    /// Takes in how far it is.
    pub fn hear(&mut self, progress: &Progress) {
        if let Some(bar) = &self.bar {
            bar.set_length(progress.total);
            bar.set_position(progress.read);
            bar.set_message(format!("{}{}", self.label, self.text(progress)));
        } else if !self.screen.no_progress && self.last.elapsed() >= INTERVAL {
            self.last = Instant::now();
            let share = 100.0 * progress.read as f64 / progress.total.max(1) as f64;
            if self.screen.json_log {
                let value = json!({"level": "progress", "read": progress.read, "total": progress.total,
                    "documents": progress.documents, "tokens": progress.tokens, "what": self.label.trim_end_matches(": "), "eta_s": self.rest(progress)});
                self.screen.line(&value.to_string());
            } else {
                self.screen.note(&format!(
                    "{}{share:.0} %  {}",
                    self.label,
                    self.text(progress)
                ));
            }
        }
    }

    fn text(&self, progress: &Progress) -> String {
        let speed = self.speed(progress);
        format!(
            "{} tokens  {}/s  ETA {}",
            figures::count(progress.tokens),
            figures::bytes(speed as u64),
            figures::seconds(self.rest(progress)),
        )
    }

    /// Bytes a second of this process alone.
    fn speed(&self, progress: &Progress) -> f64 {
        let read = progress.read.saturating_sub(progress.resumed);
        read as f64 / self.begun.elapsed().as_secs_f64().max(1e-9)
    }

    fn rest(&self, progress: &Progress) -> f64 {
        let left = progress.total.saturating_sub(progress.read);
        left as f64 / self.speed(progress).max(1.0)
    }

    /// Takes the line away; the seconds it took.
    pub fn finish(self) -> f64 {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        self.begun.elapsed().as_secs_f64()
    }
}

/// What was left out, each kind with its first places.
pub fn warn_of_skipped(screen: &Screen, description: &Description) {
    for (fault, skipped) in &description.skipped {
        let places: Vec<String> = skipped.first.iter().map(ToString::to_string).collect();
        let count = figures::count(skipped.count);
        let were = if skipped.count == 1 {
            "record was"
        } else {
            "records were"
        };
        let text = format!("{count} {were} left out, {fault}: {}", places.join(", "));
        screen.warn("pleach::data::skipped", &text);
    }
    if description.skipped_nuls > 0 {
        let count = figures::count(description.skipped_nuls);
        screen.note(&format!("{count} NULs were left out, id 0 ends documents"));
    }
}
