//! Faults, injected into real runs: nothing is lost beyond the last checkpoint, what happened is said, and what goes on ends with the same bits.
//!
//! One model, small enough that its processes start for longer than they train, in several placements. Each file is a family of
//! faults, each test a row of what can befall a run.

mod cycles;
mod damage;
mod deaths;
mod disks;
mod meeting;
mod signals;
mod stragglers;

use std::path::Path;
use std::process::Command;

use pleach_storage::checkpoint;
use pleach_tests::job::{Workspace, succeed};

use super::compare::{Trained, same_bits};
use super::small::{self, Small};

/// Steps from one checkpoint to the next.
const EVERY: u64 = 4;

const SMALL: Small = Small {
    steps: 40,
    precision: "fp32",
    checkpoints: [EVERY, 3],
    ranks: 2,
};

/// A run that does not end by itself while it is disturbed.
const LONG: &str = "train.steps=1_000_000 steps";

/// Two stages of two ranks.
const FOUR: [&str; 3] = ["cluster.gpus_per_node=4", "plan.tp=2", "plan.pp=2"];
/// Two replicas.
const TWO: [&str; 1] = ["plan.dp=2"];

/// `pleach run` of the small model.
fn run(home: &Workspace, settings: &[&str]) -> Command {
    SMALL.run(home, settings)
}

/// `pleach resume` of the only run.
fn resume(home: &Workspace) -> Command {
    small::resume::<&str>(home, &[])
}

/// The run that nothing befalls.
fn undisturbed(settings: &[&str]) -> (Workspace, Trained) {
    let home = Workspace::new();
    succeed(&mut run(&home, settings));
    let trained = Trained::read(&home.only_run());
    (home, trained)
}

/// The steps of which there are checkpoints, oldest first.
fn saved(run: &Path) -> Vec<u64> {
    let listed = checkpoint::list(&run.join("checkpoints")).expect("the folder can be listed");
    listed.into_iter().map(|(step, _)| step).collect()
}

/// What was said, without the frame around it and the ends of its lines.
fn flat(said: &str) -> String {
    let said = said.replace('│', " ");
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Holds a run that went on against one that was left alone.
fn assert_same(undisturbed: &Trained, run: &Path) {
    let other = Trained::read(run);
    assert_eq!(other.losses, undisturbed.losses, "every loss");
    let step = undisturbed.losses.len() as u64;
    let last = [undisturbed, &other].map(|own| own.checkpoint(step));
    assert!(same_bits(&last[0], &last[1]), "weights and moments");
}

/// Numbers that look like chance and are the same again for a seed.
struct Chance(u64);

impl Chance {
    /// The next number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}
