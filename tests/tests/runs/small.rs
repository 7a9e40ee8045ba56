//! The small model that runs are disturbed with, and moved about: its processes start for longer than they train.

use std::process::Command;

use pleach_tests::job::Workspace;

/// What tells its runs apart.
pub struct Small {
    /// Steps of the whole run.
    pub steps: u32,
    /// Of weights and gradients.
    pub precision: &'static str,
    /// Steps from one checkpoint to the next, and how many stay.
    pub checkpoints: [u64; 2],
    /// Ranks that share the machine.
    pub ranks: u32,
}

impl Small {
    /// `pleach run` of it, its text and its spec beside it.
    pub fn run<S: AsRef<str>>(&self, home: &Workspace, settings: &[S]) -> Command {
        let text: String = (0..4000u32)
            .map(|at| char::from(b'a' + ((at * at / 7 + at) % 23) as u8))
            .collect();
        std::fs::write(home.path().join("letters.txt"), text).expect("a file");
        std::fs::write(home.path().join("small.pleach"), self.spec()).expect("a spec");
        let command = home.pleach(["run", "--yes", "--no-progress", "small.pleach"]);
        with(command, settings)
    }

    fn spec(&self) -> String {
        let Small {
            steps,
            precision,
            checkpoints: [every, keep],
            ranks,
        } = self;
        format!(
            r#"
import "presets/clusters.pleach"

dataset letters {{
  source    = "file:letters.txt"
  tokenizer = "bytes"
  repeat    = 1000
}}

experiment small {{
  seed  = 7
  model = transformer {{ layers = 2, hidden = 32, heads = 4, context = 16 tokens, vocab = 256 }}
  data  = letters
  train {{
    steps        = {steps} steps
    global_batch = 4 sequences
    optimizer    = adamw {{}}
    lr           = constant {{ peak = 1e-2 }}
    precision    = {precision}
  }}
  checkpoints {{ every = {every} steps, keep = {keep} }}
  cluster = this_machine {{ gpus_per_node = {ranks} }}
}}
"#
        )
    }
}

/// `pleach resume` of the only run.
pub fn resume<S: AsRef<str>>(home: &Workspace, settings: &[S]) -> Command {
    let mut command = home.pleach(["resume", "--yes", "--no-progress"]);
    command.arg(home.only_run());
    with(command, settings)
}

fn with<S: AsRef<str>>(mut command: Command, settings: &[S]) -> Command {
    for setting in settings {
        command.args(["--set", setting.as_ref()]);
    }
    command
}
