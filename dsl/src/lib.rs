//! The experiment language: text comes in through a loader the caller gives, a typed [`experiment::Experiment`] and all problems go out.
//!
//! ```text
//! text ──parse──▶ syntax ──resolve──▶ cells ──check──▶ typed Experiment, hash, origins
//! ```
//!
//! Five laws: an unknown name is an error, always; there is one override rule and no order to remember; the machine does the arithmetic; any
//! value can be asked where it came from; a mistake is reported once, at its place, together with all others.
//!
//! Nothing here touches the file system, the clock, the environment or threads; `clippy.toml` of this crate forbids it. Numbers stay exact
//! rationals until they leave in the experiment. The only entry is [`load`].

mod check;
pub mod evaluate;
pub mod experiment;
pub mod explain;
mod format;
mod hash;
mod loader;
mod names;
pub mod origin;
mod pages;
pub mod parse;
pub mod problem;
pub mod quantity;
mod render;
mod resolve;
pub mod schema;
mod sources;
pub mod syntax;
mod typed;
pub mod wish;

use std::collections::BTreeMap;

use experiment::Experiment;
use explain::Cell;
use problem::{Problem, Severity};
use resolve::{Resolver, Share, choose_experiment, read_files};
use syntax::Kind;

pub use format::format;
pub use loader::{Failure, Loader, SHIPPED};
pub use pages::{codes, page};
pub use render::{Problems, SHOWN};
pub use sources::{Source, Sources};

/// What came of loading a spec.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The experiment; none where there is an error.
    pub experiment: Option<Experiment>,
    /// Errors and warnings.
    pub problems: Problems,
    /// Every cell by dotted path, for `explain` and `show`; also where there are errors.
    pub cells: BTreeMap<String, Cell>,
}

impl Loaded {
    /// The experiment with its warnings, or the problems.
    pub fn into_result(self) -> Result<(Experiment, Problems), Problems> {
        match self.experiment {
            Some(experiment) => Ok((experiment, self.problems)),
            None => Err(self.problems),
        }
    }
}

/// Loads an experiment.
///
/// `root` is the name of the file as the loader knows it, with forward slashes; `settings` are the `path=value` of `--set`, in order; `name`
/// chooses among several experiments of the root file and may be left out where there is one.
pub fn load(
    root: &str,
    loader: &dyn Loader,
    settings: &[(String, String)],
    name: Option<&str>,
) -> Loaded {
    let mut problems = Vec::new();
    let (mut sources, files) = read_files(root, loader, &mut problems);
    let Some(chosen) = choose_experiment(&files, &sources, name, &mut problems) else {
        return Loaded {
            experiment: None,
            problems: Problems::new(problems, sources),
            cells: BTreeMap::new(),
        };
    };
    for declaration in &files[0].tree.declarations {
        let mut alone = Resolver::new(&files, &mut sources);
        alone.elaborate_alone(declaration);
        problems.append(&mut alone.problems);
    }
    let mut resolver = Resolver::new(&files, &mut sources);
    resolver.problems = problems;
    resolver.elaborate(chosen);
    resolver.apply_settings(settings);
    resolver.fill_defaults(0);
    resolver.evaluate_all();
    let mix = resolver.mix();
    let experiment = finish(&mut resolver, mix.as_deref());
    let cells = explain::cells(&mut resolver, mix.as_deref().unwrap_or_default());
    let problems = std::mem::take(&mut resolver.problems);
    Loaded {
        experiment,
        problems: Problems::new(problems, sources),
        cells,
    }
}

/// Checks and builds what the tree holds.
fn finish(resolver: &mut Resolver, mix: Option<&[Share]>) -> Option<Experiment> {
    let requirements = resolver.requirements();
    let objectives = resolver.objectives();
    check::check(resolver);
    let built = mix.and_then(|mix| {
        let hash = hash::experiment_hash(resolver, mix);
        typed::build(resolver, mix, requirements, objectives, hash)
    });
    if resolver
        .problems
        .iter()
        .any(|problem| problem.severity == Severity::Error)
    {
        return None;
    }
    if built.is_none() {
        let place = syntax::Place {
            file: 0,
            start: 0,
            end: 0,
        };
        let title = "this spec was understood, but its experiment could not be built; this is a fault of pleach";
        resolver.report(
            Problem::error("pleach::fault", title, place, "").help("report it with this file"),
        );
    }
    built
}

/// The names of the experiments a file declares, in order; problems are left to [`load`].
pub fn experiments(root: &str, loader: &dyn Loader) -> Vec<String> {
    let (_, files) = read_files(root, loader, &mut Vec::new());
    let declarations = files[0].tree.declarations.iter();
    declarations
        .filter(|declaration| declaration.kind == Kind::Experiment)
        .map(|declaration| declaration.name.text.clone())
        .collect()
}
