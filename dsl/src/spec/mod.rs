//! A file that was read once: what it offers, and every experiment and run of a sweep in it, each loaded when it is asked for.
//!
//! Parsing, settings, defaults and the search for unknown names are done once for all of them, so that a sweep of a thousand runs is checked
//! in the time of a thousand evaluations. An experiment that another declaration of the file extends is only a base: it may be incomplete,
//! and is checked only through what extends it; the names in it are always checked.

mod checked;
mod choose;
mod missing;
mod rests;

use std::collections::BTreeMap;

use crate::experiment::Experiment;
use crate::explain::{self, Cell};
use crate::loader::{Loader, SHIPPED};
use crate::problem::{MOST_PROBLEMS, Problem, Severity};
use crate::render::Problems;
use crate::resolve::{
    Defaults, Files, LONGEST_AXIS, MOST_CHECKED, Resolver, Setting, Share, Sweep, check_twice,
    read_files, read_settings,
};
use crate::sources::Sources;
use crate::syntax::{Declaration, Kind, Place};
use crate::write::{self, Line};
use crate::{check, hash, typed};

pub use checked::Checked;
use checked::too_much;
use choose::Chosen;
pub use rests::{Rest, RestKind};

/// A file with all it imports, read once.
#[derive(Debug)]
pub struct Spec {
    files: Files,
    settings: Vec<Setting>,
    sweeps: Vec<Sweep>,
    defaults: Defaults,
    /// Problems of reading.
    problems: Vec<Problem>,
    /// Problems of names, found once when they are first asked for.
    names: Option<Vec<Problem>>,
}

/// The most cells of all declarations together, which are read before any of them is used.
const MOST_NAMED: usize = 1_000_000;

/// What came of loading an experiment.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its name; none where none was chosen.
    pub name: Option<String>,
    /// The experiment; none where there is an error, or no machines.
    pub experiment: Option<Experiment>,
    /// Its identity, which needs no machines; none where there is an error.
    pub hash: Option<String>,
    /// The identity of its machines and of what is said, left open and wished of the placement; none where there is an error.
    pub placement_hash: Option<String>,
    /// What planning needs and nobody set, by path: `cluster`, `cluster.nodes`. That is no problem of the spec.
    pub lacking: Vec<String>,
    /// Errors and warnings.
    pub problems: Problems,
    /// Every cell by dotted path, for `explain` and `show`; also where there are errors.
    pub cells: BTreeMap<String, Cell>,
    /// The experiment as it stands, written again as a spec; empty where there is an error.
    pub lines: Vec<Line>,
    /// What to say to whoever wants to plan it.
    missing: Option<Problem>,
}

impl Loaded {
    /// The experiment with its warnings, or why it cannot be planned: its problems, or that it lacks machines.
    pub fn into_result(self) -> Result<(Experiment, Problems), Problems> {
        match self.experiment {
            Some(experiment) => Ok((experiment, self.problems)),
            None => Err(self.problems.with(self.missing)),
        }
    }
}

/// One of what a file offers.
#[derive(Clone, Copy, Debug)]
enum Target<'pick> {
    /// An experiment, by its number among the declarations.
    Experiment(usize),
    /// A run of a sweep, by the sweep's number and its choices.
    Run(usize, &'pick [usize]),
}

/// What came of building one target.
struct Built {
    experiment: Option<Experiment>,
    hash: Option<String>,
    placement_hash: Option<String>,
    lacking: Vec<String>,
    missing: Option<Problem>,
    problems: Vec<Problem>,
    cells: BTreeMap<String, Cell>,
    lines: Vec<Line>,
    /// How much was computed: its cells, and the values of its lists.
    work: usize,
}

impl Spec {
    /// Reads a file. `root` is its name as the loader knows it, with forward slashes; `settings` are the `path=value` of `--set`, in order,
    /// laid over whatever is loaded.
    pub fn read(root: &str, loader: &dyn Loader, settings: &[(String, String)]) -> Spec {
        let mut problems = Vec::new();
        let mut files = read_files(root, &beside(settings), loader, &mut problems);
        check_twice(&files.scopes, &mut problems);
        let settings = read_settings(settings, &mut files.sources, &mut problems);
        let mut room = LONGEST_AXIS;
        let declarations = files.scopes[0].tree.declarations.iter().enumerate();
        let sweeps = declarations
            .filter(|(_, declaration)| declaration.kind == Kind::Sweep)
            .map(|(number, declaration)| Sweep::read(number, declaration, &mut room, &mut problems))
            .collect();
        Spec {
            files,
            settings,
            sweeps,
            defaults: Defaults::new(),
            problems,
            names: None,
        }
    }

    /// The experiments that are not only bases of others, in order.
    pub fn experiments(&self) -> Vec<&str> {
        let numbers = self.complete().into_iter();
        numbers
            .map(|number| self.declarations()[number].name.text.as_str())
            .collect()
    }

    /// The sweeps, in order.
    pub fn sweeps(&self) -> &[Sweep] {
        &self.sweeps
    }

    /// Loads an experiment or a run of a sweep by its name, which may be left out where the file offers one experiment and nothing else.
    pub fn load(&mut self, name: Option<&str>) -> Loaded {
        match self.choose(name) {
            Chosen::Experiment(number) => self.loaded(Target::Experiment(number)),
            Chosen::Run(sweep, picks) => self.loaded(Target::Run(sweep, &picks)),
            Chosen::Nothing(problem) => self.unloaded(problem.map(|problem| *problem)),
        }
    }

    /// Loads a run of a sweep by its number among that sweep's runs.
    pub fn load_run(&mut self, sweep: usize, run: u64) -> Loaded {
        let picks = self.sweeps[sweep].picks(run);
        self.loaded(Target::Run(sweep, &picks))
    }

    fn loaded(&mut self, target: Target) -> Loaded {
        let mut problems = self.problems.clone();
        problems.extend_from_slice(self.names());
        let sound = !has_errors(&problems);
        let built = self.build(target, true);
        problems.extend(built.problems);
        Loaded {
            name: Some(self.name_of(target)),
            experiment: built.experiment.filter(|_| sound),
            hash: built.hash.filter(|_| sound),
            placement_hash: built.placement_hash.filter(|_| sound),
            lacking: built.lacking,
            problems: Problems::new(problems, self.files.sources.clone()),
            cells: built.cells,
            lines: built.lines,
            missing: built.missing.filter(|_| sound),
        }
    }

    fn unloaded(&mut self, problem: Option<Problem>) -> Loaded {
        let mut problems = self.problems.clone();
        problems.extend_from_slice(self.names());
        problems.extend(problem);
        Loaded {
            name: None,
            experiment: None,
            hash: None,
            placement_hash: None,
            lacking: Vec::new(),
            problems: Problems::new(problems, self.files.sources.clone()),
            cells: BTreeMap::new(),
            lines: Vec::new(),
            missing: None,
        }
    }

    fn declarations(&self) -> &[Declaration] {
        &self.files.scopes[0].tree.declarations
    }

    fn name_of(&self, target: Target) -> String {
        match target {
            Target::Experiment(number) => self.declarations()[number].name.text.clone(),
            Target::Run(sweep, picks) => self.sweeps[sweep].run_name(picks),
        }
    }

    /// Problems of names in any declaration of the root file and its imports, used or not.
    fn names(&mut self) -> &[Problem] {
        if self.names.is_none() {
            let mut problems = Vec::new();
            let Files {
                sources, scopes, ..
            } = &mut self.files;
            let own: Vec<usize> = (0..scopes.len())
                .filter(|file| !sources.get(*file).shipped)
                .collect();
            let declared = own.iter().flat_map(|file| &scopes[*file].tree.declarations);
            let mut work = 0;
            for declaration in declared {
                if work > MOST_NAMED {
                    problems.push(too_much(MOST_NAMED));
                    break;
                }
                if problems.len() >= MOST_PROBLEMS {
                    break;
                }
                let mut alone = Resolver::new(scopes, sources, &mut self.defaults);
                alone.elaborate_alone(declaration);
                alone.check_alone(declaration.kind);
                work += alone.tree.count();
                problems.append(&mut alone.problems);
            }
            let samples = self.sweeps.iter().flat_map(|sweep| {
                let samples = sweep.sample().into_iter();
                samples.map(move |picks| (sweep, picks))
            });
            for (sweep, picks) in samples.take(MOST_CHECKED) {
                if problems.len() >= MOST_PROBLEMS {
                    break;
                }
                let declaration = &scopes[0].tree.declarations[sweep.declaration];
                let mut alone = Resolver::new(scopes, sources, &mut self.defaults);
                alone.elaborate_run(sweep, declaration, &picks);
                problems.append(&mut alone.problems);
            }
            self.names = Some(distinct(problems));
        }
        self.names.as_deref().unwrap_or_default()
    }

    /// The tree of one target with its settings and defaults, nothing evaluated yet.
    fn elaborated(&mut self, target: Target) -> Resolver<'_> {
        let Files {
            sources,
            scopes,
            beside,
        } = &mut self.files;
        let mut resolver = Resolver::new(scopes, sources, &mut self.defaults);
        resolver.beside = beside;
        let declarations = &scopes[0].tree.declarations;
        match target {
            Target::Experiment(number) => resolver.elaborate(&declarations[number]),
            Target::Run(number, picks) => {
                let sweep = &self.sweeps[number];
                resolver.elaborate_run(sweep, &declarations[sweep.declaration], picks);
            }
        }
        resolver.apply_settings(&self.settings);
        resolver.fill_defaults(0);
        resolver
    }

    /// Builds one target: elaborates, evaluates, checks.
    fn build(&mut self, target: Target, with_cells: bool) -> Built {
        let sound = !has_errors(&self.problems) && !has_errors(self.names());
        let name = self.name_of(target);
        let mut resolver = self.elaborated(target);
        resolver.evaluate_all();
        let mix = resolver.mix();
        let (mut experiment, hash) = finish(&mut resolver, mix.as_deref(), sound, with_cells);
        if let Some(experiment) = experiment.as_mut().filter(|_| with_cells) {
            experiment.origins = typed::origins(&resolver);
        }
        let (lines, placement_hash) = match &hash {
            Some(_) if with_cells => (
                write::lines(&mut resolver, &name),
                Some(hash::placement_hash(&mut resolver)),
            ),
            _ => (Vec::new(), None),
        };
        let cells = if with_cells {
            explain::cells(&mut resolver, mix.as_deref().unwrap_or_default())
        } else {
            BTreeMap::new()
        };
        Built {
            experiment,
            missing: hash.as_ref().and_then(|_| missing::machines(&mut resolver)),
            hash,
            placement_hash,
            lacking: std::mem::take(&mut resolver.lacking),
            work: resolver.tree.count() + resolver.listed,
            problems: std::mem::take(&mut resolver.problems),
            cells,
            lines,
        }
    }
}

/// Loads an experiment of a file that is read for it alone.
///
/// `root` is the name of the file as the loader knows it, with forward slashes; `settings` are the `path=value` of `--set`, in order; `name`
/// chooses among several experiments and runs of the root file and may be left out where there is one.
pub fn load(
    root: &str,
    loader: &dyn Loader,
    settings: &[(String, String)],
    name: Option<&str>,
) -> Loaded {
    Spec::read(root, loader, settings).load(name)
}

/// The beginning of the root file, for what is wrong with the whole of it.
const BEGINNING: Place = Place {
    file: 0,
    start: 0,
    end: 0,
};

/// Checks and builds what the tree holds: the experiment, and its hash. `sound` says whether the file has no errors so far; only
/// what is `hashed` is more than checked.
fn finish(
    resolver: &mut Resolver,
    mix: Option<&[Share]>,
    sound: bool,
    hashed: bool,
) -> (Option<Experiment>, Option<String>) {
    resolver.disagreeing = check::phases::tokens_disagree(resolver);
    let requirements = resolver.requirements();
    let objectives = resolver.objectives();
    check::check(resolver);
    if !sound || has_errors(&resolver.problems) {
        return (None, None);
    }
    let hash = mix.map(|mix| match hashed {
        true => hash::experiment_hash(resolver, mix),
        false => String::new(),
    });
    let built = mix
        .zip(hash.clone())
        .and_then(|(mix, hash)| typed::build(resolver, mix, requirements, objectives, hash));
    if has_errors(&resolver.problems) {
        return (None, None);
    }
    if hash.is_none() || built.is_none() && resolver.lacking.is_empty() {
        let title = "this spec was understood, but its experiment could not be built; this is a fault of pleach";
        let problem = Problem::error("pleach::fault", title, BEGINNING, "");
        resolver.report(problem.help("report it with this file"));
        return (None, None);
    }
    (built, hash.filter(|_| hashed))
}

fn has_errors(problems: &[Problem]) -> bool {
    let error = |problem: &Problem| problem.severity == Severity::Error;
    problems.iter().any(error)
}

/// The same problems, each once.
fn distinct(problems: Vec<Problem>) -> Vec<Problem> {
    let problems = Problems::new(problems, Sources::default());
    problems.iter().cloned().collect()
}

/// Shipped files that settings may name things of, whether the spec imports them or not.
fn beside(settings: &[(String, String)]) -> Vec<&'static str> {
    let kinds = settings.iter().filter_map(|(path, _)| match path.trim() {
        "cluster" => Some("cluster "),
        "data" => Some("dataset "),
        "model" => Some("model "),
        _ => None,
    });
    let kinds: Vec<&str> = kinds.collect();
    let declares = |text: &str| {
        text.lines()
            .any(|line| kinds.iter().any(|kind| line.starts_with(kind)))
    };
    let shipped = SHIPPED.iter().filter(|(_, text)| declares(text));
    shipped.map(|(path, _)| *path).collect()
}
