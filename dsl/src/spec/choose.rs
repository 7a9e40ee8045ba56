//! Which experiment or run of a file is meant, by a name or without one; and what to say where none is.

use std::collections::BTreeSet;

use super::{BEGINNING, Spec};
use crate::names::nearest;
use crate::problem::Problem;
use crate::resolve::Sweep;
use crate::syntax::Kind;

/// What is meant.
pub enum Chosen {
    /// An experiment, by its number among the declarations.
    Experiment(usize),
    /// A run of a sweep, by the sweep's number and its choices.
    Run(usize, Vec<usize>),
    /// Nothing, and why; the reason is none where it was reported.
    Nothing(Option<Box<Problem>>),
}

/// More names than these are not listed.
const MOST_NAMES: usize = 100;

/// Names for a sentence, as many as somebody reads.
fn listed<Name: AsRef<str>>(names: &[Name]) -> String {
    let shown = names.iter().take(MOST_NAMES).map(AsRef::as_ref);
    let shown = shown.collect::<Vec<&str>>().join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Nothing, for a reason.
fn nothing(problem: Problem) -> Chosen {
    Chosen::Nothing(Some(Box::new(problem)))
}

impl Spec {
    /// What a name means, or the only thing that the file offers.
    pub(super) fn choose(&self, name: Option<&str>) -> Chosen {
        match name {
            Some(name) => self.find(name),
            None => self.only(),
        }
    }

    /// Numbers of the experiments, the first of each name, that nothing in this file extends; of all where they extend one another in a circle.
    pub(super) fn complete(&self) -> Vec<usize> {
        let declarations = self.declarations();
        let names = &self.files.scopes[0].names;
        let first = |number: &usize| names.get(&declarations[*number].name.text) == Some(number);
        let all: Vec<usize> = (0..declarations.len())
            .filter(|number| declarations[*number].kind == Kind::Experiment)
            .filter(first)
            .collect();
        let bases: BTreeSet<&str> = declarations
            .iter()
            .filter_map(|declaration| declaration.base.as_ref())
            .map(|base| base.text.as_str())
            .collect();
        let extended = |number: &usize| bases.contains(declarations[*number].name.text.as_str());
        let last: Vec<usize> = all
            .iter()
            .copied()
            .filter(|number| !extended(number))
            .collect();
        if last.is_empty() && self.sweeps.is_empty() {
            all
        } else {
            last
        }
    }

    /// The only experiment of the file.
    fn only(&self) -> Chosen {
        match (self.complete().as_slice(), self.sweeps.as_slice()) {
            ([only], []) => Chosen::Experiment(*only),
            ([], []) if self.files.scopes[0].tree.incomplete => Chosen::Nothing(None),
            ([], []) => {
                let title = format!("{} declares no experiment", self.root());
                let problem = Problem::error("pleach::experiment::none", title, BEGINNING, "");
                nothing(problem.help("add `experiment name { … }`"))
            }
            (several, sweeps) => nothing(self.several(several, sweeps)),
        }
    }

    /// An experiment or run by its name.
    fn find(&self, name: &str) -> Chosen {
        let experiment = self.declarations().iter().position(|declaration| {
            declaration.kind == Kind::Experiment && declaration.name.text == name
        });
        if let Some(number) = experiment {
            return Chosen::Experiment(number);
        }
        for (number, sweep) in self.sweeps.iter().enumerate() {
            if let Some(picks) = sweep.find(name) {
                return Chosen::Run(number, picks);
            }
        }
        let family = name.split_once('/').map_or(name, |(family, _)| family);
        let named = |sweep: &&Sweep| sweep.name.text == family;
        if self
            .sweeps
            .iter()
            .find(named)
            .is_some_and(|sweep| sweep.broken)
        {
            return Chosen::Nothing(None);
        }
        nothing(self.unknown(name))
    }

    fn root(&self) -> &str {
        &self.files.sources.get(0).name
    }

    /// An experiment that was asked for and is not there, or is a sweep.
    fn unknown(&self, wanted: &str) -> Problem {
        let code = "pleach::experiment::unknown";
        if let Some(sweep) = self.sweeps.iter().find(|sweep| sweep.name.text == wanted) {
            let title = format!(
                "`{wanted}` is a sweep of {} runs, and one is wanted",
                sweep.total()
            );
            let problem = Problem::error(code, title, sweep.name.place, "a sweep");
            return problem.help(format!("name a run of it: {}", some_runs(sweep)));
        }
        let family = wanted.split_once('/').map(|(family, _)| family);
        if let Some(sweep) = self
            .sweeps
            .iter()
            .find(|sweep| Some(sweep.name.text.as_str()) == family)
        {
            let title = format!("the sweep `{}` has no run `{wanted}`", sweep.name.text);
            let runs: Vec<String> = (0..sweep.total().min(1000))
                .map(|run| sweep.run_name(&sweep.picks(run)))
                .collect();
            let near = nearest(wanted, runs.iter().map(String::as_str));
            return Problem::error(code, title, sweep.name.place, "this sweep").help(match near {
                Some(found) => format!("did you mean `{found}`?"),
                None => format!("its runs are {}", some_runs(sweep)),
            });
        }
        let names: Vec<&str> = self
            .declarations()
            .iter()
            .filter(|declaration| matches!(declaration.kind, Kind::Experiment | Kind::Sweep))
            .map(|declaration| declaration.name.text.as_str())
            .collect();
        let title = format!("{} has no experiment named `{wanted}`", self.root());
        let problem = Problem::error(code, title, BEGINNING, "");
        problem.help(match nearest(wanted, names.iter().copied()) {
            Some(found) => format!("did you mean `{found}`?"),
            None if names.is_empty() => "it declares none".to_string(),
            None => format!("it has {}", listed(&names)),
        })
    }

    /// Several experiments where one is wanted.
    fn several(&self, several: &[usize], sweeps: &[Sweep]) -> Problem {
        let experiments = several
            .iter()
            .map(|number| &self.declarations()[*number].name);
        let mut names: Vec<_> = experiments
            .chain(sweeps.iter().map(|sweep| &sweep.name))
            .collect();
        names.sort_by_key(|name| name.place);
        let counted = |count: usize, word: &str| match count {
            0 => None,
            1 => Some(format!("1 {word}")),
            _ => Some(format!("{count} {word}s")),
        };
        let runs: u64 = sweeps.iter().map(Sweep::total).fold(0, u64::saturating_add);
        let parts = [
            counted(several.len(), "experiment"),
            counted(sweeps.len(), "sweep").map(|sweeps| format!("{sweeps} of {runs} runs")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let title = format!(
            "{} declares {}, and one is wanted",
            self.root(),
            parts.join(" and ")
        );
        let mut problem =
            Problem::error("pleach::experiment::several", title, names[0].place, "one");
        for other in names.iter().skip(1).take(MOST_NAMES) {
            problem = problem.and(other.place, "another");
        }
        let experiments = several
            .iter()
            .map(|number| self.declarations()[*number].name.text.clone());
        let all: Vec<String> = experiments.chain(sweeps.iter().map(some_runs)).collect();
        problem.help(format!("name one of {}", listed(&all)))
    }
}

/// A few names of runs, for a help.
fn some_runs(sweep: &Sweep) -> String {
    const FEW: u64 = 3;
    let total = sweep.total();
    let names: Vec<String> = (0..total.min(FEW))
        .map(|run| sweep.run_name(&sweep.picks(run)))
        .collect();
    let more = if total > FEW { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}
