//! A whole file checked: every experiment that is not only a base, and every run of every sweep. One mistake is one message, however many
//! runs it is found in.

use std::collections::BTreeMap;

use super::{BEGINNING, Spec, Target};
use crate::problem::{MOST_PROBLEMS, Problem};
use crate::quantity::{show, whole};
use crate::render::Problems;
use crate::resolve::{MOST_CHECKED, Sweep};
use crate::syntax::Place;

/// What came of checking a file.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Errors and warnings of all that was checked.
    pub problems: Problems,
    /// Experiments that were checked.
    pub experiments: u64,
    /// Sweeps that were checked, with their runs.
    pub sweeps: Vec<(String, u64)>,
}

/// Where a problem was found: its code, its place, and the how-manieth such problem of a run it is.
type Key = (&'static str, Place, usize);

/// One mistake, as the runs tell it.
struct Group {
    /// As the first run tells it.
    problem: Problem,
    /// The sweep; none for an experiment.
    sweep: Option<usize>,
    /// The first run.
    name: String,
    /// How many runs.
    runs: u64,
    /// Whether all tell the same.
    alike: bool,
}

/// The mistakes of a file.
#[derive(Default)]
struct Found {
    groups: BTreeMap<Key, Group>,
    /// The work of all that was checked.
    work: usize,
}

/// The most cells and values of lists of all that is checked at once, some seconds of work.
const MOST_WORK: usize = 3_000_000;

/// Experiments that are too large to be checked all at once.
pub(super) fn too_much(most: usize) -> Problem {
    let title = "the experiments and runs of this file are too many for their size";
    let label = format!(
        "at most {} cells are checked at once",
        show(&whole(most as u64))
    );
    Problem::error("pleach::check::size", title, BEGINNING, label)
        .help("check one by its name, or spread them over several files")
}

impl Found {
    fn add(&mut self, problems: Vec<Problem>, sweep: Option<usize>, name: &str) {
        let mut seen: BTreeMap<(&'static str, Place), usize> = BTreeMap::new();
        for problem in problems {
            let nth = seen.entry((problem.code, problem.at.place)).or_default();
            let key = (problem.code, problem.at.place, *nth);
            *nth += 1;
            match self.groups.get_mut(&key) {
                Some(group) => {
                    group.runs += 1;
                    group.alike &= group.problem == problem;
                    if group.sweep != sweep {
                        group.sweep = None;
                    }
                }
                None => {
                    let group = Group {
                        problem,
                        sweep,
                        name: name.to_string(),
                        runs: 1,
                        alike: true,
                    };
                    self.groups.insert(key, group);
                }
            }
        }
    }

    fn problems(self, sweeps: &[Sweep]) -> Vec<Problem> {
        let groups = self.groups.into_values();
        groups.map(|group| group.told(sweeps)).collect()
    }
}

impl Group {
    /// The problem, with the runs it is found in where nothing else tells them.
    fn told(self, sweeps: &[Sweep]) -> Problem {
        let mut problem = self.problem;
        let Some(sweep) = self.sweep.map(|number| &sweeps[number]) else {
            return problem;
        };
        let everywhere = self.alike && self.runs == sweep.total();
        if everywhere || sweep.chose(problem.at.place) {
            return problem;
        }
        let more = match self.runs {
            1 => String::new(),
            2 => " and 1 more run".to_string(),
            runs => format!(" and {} more runs", runs - 1),
        };
        problem.title = format!("{}, in `{}`{more}", problem.title, self.name);
        problem
    }
}

impl Spec {
    /// Checks all that the file offers, or what a name says: an experiment, a run, or a whole sweep.
    pub fn check(&mut self, name: Option<&str>) -> Checked {
        let sweep = name.and_then(|name| {
            let known = |sweep: &Sweep| sweep.name.text == name;
            self.sweeps.iter().position(known)
        });
        match (name, sweep) {
            (None, _) => {
                let (experiments, sweeps) = (self.complete(), (0..self.sweeps.len()).collect());
                self.check_those(experiments, sweeps)
            }
            (Some(_), Some(sweep)) => self.check_those(Vec::new(), vec![sweep]),
            (Some(name), None) => Checked {
                problems: self.load(Some(name)).problems,
                experiments: 1,
                sweeps: Vec::new(),
            },
        }
    }

    fn check_those(&mut self, experiments: Vec<usize>, sweeps: Vec<usize>) -> Checked {
        if experiments.is_empty() && sweeps.is_empty() {
            let problems = match self.declarations().is_empty() {
                true => self.load(None).problems,
                false => self.unloaded(None).problems,
            };
            return Checked {
                problems,
                experiments: 0,
                sweeps: Vec::new(),
            };
        }
        let mut problems = self.problems.clone();
        problems.extend_from_slice(self.names());
        let known = problems.clone();
        let mut found = Found::default();
        let many = self.too_many(&experiments, &sweeps);
        let (experiments_read, sweeps_read) = match &many {
            Some(_) => (&[][..], &[][..]),
            None => (&experiments[..], &sweeps[..]),
        };
        problems.extend(many);
        for number in experiments_read {
            let target = Target::Experiment(*number);
            self.check_target(target, &known, &mut found);
        }
        for number in sweeps_read {
            match self.sweeps[*number].exploded() {
                Some(problem) => problems.push(problem),
                None => self.check_runs(*number, &known, &mut found),
            }
        }
        problems.extend((found.work > MOST_WORK).then(|| too_much(MOST_WORK)));
        problems.extend(found.problems(&self.sweeps));
        let counted = |number: &usize| {
            let sweep = &self.sweeps[*number];
            (sweep.name.text.clone(), sweep.total())
        };
        Checked {
            experiments: experiments.len() as u64,
            sweeps: sweeps.iter().map(counted).collect(),
            problems: Problems::new(problems, self.files.sources.clone()),
        }
    }

    /// A file that offers more than anybody counted, where the author did not say how many runs are meant.
    fn too_many(&self, experiments: &[usize], sweeps: &[usize]) -> Option<Problem> {
        let of_sweeps = sweeps.iter().map(|number| &self.sweeps[*number]);
        let counted = of_sweeps.filter(|sweep| !sweep.allowed && sweep.exploded().is_none());
        let runs = counted.map(Sweep::total).fold(0, u64::saturating_add);
        let total = runs.saturating_add(experiments.len() as u64);
        let most = MOST_CHECKED as u64;
        if total <= most {
            return None;
        }
        let title = format!(
            "this file offers {} experiments and runs",
            show(&whole(total))
        );
        let label = format!("at most {} are checked at once", show(&whole(most)));
        let problem = Problem::error("pleach::check::size", title, BEGINNING, label);
        Some(problem.help("check one by its name, or spread them over several files"))
    }

    fn check_runs(&mut self, sweep: usize, known: &[Problem], found: &mut Found) {
        for run in 0..self.sweeps[sweep].total() {
            let picks = self.sweeps[sweep].picks(run);
            self.check_target(Target::Run(sweep, &picks), known, found);
        }
    }

    fn check_target(&mut self, target: Target, known: &[Problem], found: &mut Found) {
        if known.len() + found.groups.len() >= MOST_PROBLEMS || found.work > MOST_WORK {
            return;
        }
        let built = self.build(target, false);
        found.work += built.work;
        let mut problems = built.problems;
        if problems.is_empty() {
            return;
        }
        problems.retain(|problem| !known.contains(problem));
        let sweep = match target {
            Target::Experiment(_) => None,
            Target::Run(sweep, _) => Some(sweep),
        };
        let name = self.name_of(target);
        found.add(problems, sweep, &name);
    }
}
