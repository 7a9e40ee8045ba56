//! Declarations by name: in the file itself, in what it imports, or behind an import's alias; then as what is extended sees them.
//!
//! Imports are not passed on, with that one exception: a spec that extends another is read together with it, and would otherwise have to
//! import again whatever its base is made of.

use super::elaborate::LONGEST_CHAIN;
use super::schedules::is_schedule;
use super::{Resolver, Scope};
use crate::loader::SHIPPED;
use crate::names::{MOST_NAMES, nearest};
use crate::problem::{MOST_PROBLEMS, Problem};
use crate::schema::{FAMILIES, RATES, Section, TRANSFORMER};
use crate::syntax::{Declaration, Kind, Path};

/// What a name of a declaration leads to.
pub enum Found<'files> {
    /// A declaration in a file.
    Declared(&'files Declaration),
    /// A family of the language itself: `transformer`.
    Family,
    /// Nothing; it was reported, or the reason was.
    Nothing,
}

impl<'files> Resolver<'files> {
    /// Looks a name up from a file. `--set` and defaults stand in the root file; `--set` sees all that ships besides.
    pub fn declaration(&mut self, from: usize, path: &Path, kind: Kind) -> Found<'files> {
        let outside = from >= self.files.len();
        let from = if outside { 0 } else { from };
        let mut found = self.lookup(from, &path.text);
        for base in &self.lineage {
            if matches!(found, Lookup::None) {
                found = self.lookup(*base, &path.text);
            }
        }
        if let (Lookup::None, true) = (&found, outside) {
            let shipped = self.beside.iter();
            found = shipped
                .filter_map(|file| declared(&self.files[*file], &path.text))
                .next()
                .map_or(Lookup::None, Lookup::Found);
        }
        match found {
            Lookup::Found(declaration) if declaration.kind == kind => Found::Declared(declaration),
            Lookup::Found(declaration) => {
                let (is, wanted) = (with_article(declaration.kind), with_article(kind));
                let title = format!("`{}` is {is}, not {wanted}", path.text);
                let problem = Problem::error(
                    "pleach::declaration::kind",
                    title,
                    path.place,
                    format!("{wanted} is wanted here"),
                );
                self.report(problem.and(declaration.name.place, format!("declared as {is}")));
                Found::Nothing
            }
            Lookup::Silent => Found::Nothing,
            Lookup::Several(one, other) => {
                let problem = self.ambiguous(path, [one, other]);
                self.report(problem);
                Found::Nothing
            }
            Lookup::None if kind == Kind::Model && family(&path.text).is_some() => Found::Family,
            Lookup::None if kind == Kind::Schedule && is_schedule(&path.text) => Found::Family,
            Lookup::None if self.is_full() => Found::Nothing,
            Lookup::None => {
                let problem = self.unknown_declaration(from, path, kind);
                self.report(problem);
                Found::Nothing
            }
        }
    }

    /// The family that a model belongs to, through whatever it extends.
    pub(super) fn family(&self, from: usize, path: &Path) -> &'static Section {
        let (_, name) = self.extended(from, &path.text);
        family(&name).unwrap_or(&TRANSFORMER)
    }

    /// The declarations behind a name, each extending the next, and the name that the last of them extends.
    pub(super) fn extended(&self, from: usize, name: &str) -> (Vec<&'files Declaration>, String) {
        let mut from = if from < self.files.len() { from } else { 0 };
        let mut name = name.to_string();
        let mut chain = Vec::new();
        while chain.len() < LONGEST_CHAIN {
            let seen = std::iter::once(&from).chain(&self.lineage);
            let found = seen
                .map(|file| self.lookup(*file, &name))
                .find_map(|found| match found {
                    Lookup::Found(declaration) => Some(declaration),
                    Lookup::Several(..) | Lookup::Silent | Lookup::None => None,
                });
            let Some(declaration) = found else { break };
            chain.push(declaration);
            match &declaration.base {
                Some(base) => (from, name) = (declaration.place.file, base.text.clone()),
                None => break,
            }
        }
        (chain, name)
    }

    /// A name as one file sees it.
    fn lookup(&self, from: usize, name: &str) -> Lookup<'files> {
        match name.split_once('.') {
            None => self.direct(from, name),
            Some((alias, name)) => self.behind_alias(from, alias, name),
        }
    }

    /// A name without an alias: the file's own first, then those of its plain imports.
    fn direct(&self, from: usize, name: &str) -> Lookup<'files> {
        let scope = &self.files[from];
        if let Some(own) = declared(scope, name) {
            return Lookup::Found(own);
        }
        let mut lost = scope.tree.incomplete;
        let mut first: Option<&'files Declaration> = None;
        for target in &scope.plain {
            match target {
                Some(file) => {
                    match (declared(&self.files[*file], name), first) {
                        (Some(found), Some(first)) => return Lookup::Several(first, found),
                        (Some(found), None) => first = Some(found),
                        (None, _) => {}
                    }
                    lost |= self.files[*file].tree.incomplete;
                }
                None => lost = true,
            }
        }
        if let Some(found) = first {
            return Lookup::Found(found);
        }
        if lost && family(name).is_none() && !is_schedule(name) {
            Lookup::Silent
        } else {
            Lookup::None
        }
    }

    /// `alias.name`.
    fn behind_alias(&self, from: usize, alias: &str, name: &str) -> Lookup<'files> {
        match self.files[from].aliases.get(alias) {
            Some(Some(file)) => match declared(&self.files[*file], name) {
                Some(found) => Lookup::Found(found),
                None if self.files[*file].tree.incomplete => Lookup::Silent,
                None => Lookup::None,
            },
            Some(None) => Lookup::Silent,
            None => Lookup::None,
        }
    }

    /// A name that two imports declare.
    fn ambiguous(&self, path: &Path, found: [&Declaration; 2]) -> Problem {
        let name = &path.text;
        let title = format!("`{name}` is declared by two imports");
        let label = "it may mean either";
        let mut problem = Problem::error("pleach::name::ambiguous", title, path.place, label);
        for declaration in found {
            problem = problem.and(declaration.name.place, "declared here");
        }
        let file = &self.sources.get(found[1].name.place.file).name;
        let file = file.rsplit('/').next().unwrap_or(file);
        problem.help(format!(
            "give one import a name, `import \"{file}\" as other`, and write `other.{name}` where that one is meant"
        ))
    }

    /// There is no cluster named `a100_40gb`.
    fn unknown_declaration(&self, from: usize, path: &Path, kind: Kind) -> Problem {
        let wanted = kind.word();
        let title = format!("there is no {wanted} named `{}`", path.text);
        let visible = self.visible(from, kind);
        let names = visible.iter().map(|(name, _)| name.as_str());
        let label = self.origin_of_names(&visible);
        let problem = Problem::error("pleach::name::unknown", title, path.place, label);
        let families = FAMILIES.iter().map(|family| family.name);
        let families = families.filter(|_| kind == Kind::Model);
        let rates = RATES.iter().map(|rate| rate.name);
        let families = families.chain(rates.filter(|_| kind == Kind::Schedule));
        let behind = |name: &&str| {
            name.rsplit_once('.')
                .is_some_and(|(_, name)| name == path.text)
        };
        if let Some(found) = names.clone().find(behind) {
            return problem.help(format!("did you mean `{found}`?"));
        }
        if let Some(found) = nearest(&path.text, names.chain(families)) {
            return problem.help(format!("did you mean `{found}`?"));
        }
        match self.shipped_elsewhere(from, &path.text, kind) {
            Some((file, name)) if name == path.text => {
                problem.help(format!("add `import \"{file}\"` at the top"))
            }
            Some((file, name)) => problem.help(format!(
                "did you mean `{name}`? add `import \"{file}\"` at the top"
            )),
            None if visible.is_empty() => problem.help(format!(
                "declare it: `{wanted} {} {{ … }}`, or import the file that does",
                path.text
            )),
            None => problem,
        }
    }

    /// The declarations of a kind that a file sees, with the file each comes from.
    fn visible(&self, from: usize, kind: Kind) -> Vec<(String, usize)> {
        let scope = &self.files[from];
        let own = scope
            .tree
            .declarations
            .iter()
            .map(|declaration| (declaration, None, from));
        let imported = scope
            .imports
            .iter()
            .filter_map(|(alias, file)| Some((alias, (*file)?)))
            .flat_map(|(alias, file)| {
                self.files[file]
                    .tree
                    .declarations
                    .iter()
                    .map(move |declaration| (declaration, alias.as_deref(), file))
            });
        let named = own
            .chain(imported)
            .filter(|(declaration, ..)| declaration.kind == kind);
        named
            .map(|(declaration, alias, file)| match alias {
                Some(alias) => (format!("{alias}.{}", declaration.name.text), file),
                None => (declaration.name.text.clone(), file),
            })
            .take(MOST_NAMES)
            .collect()
    }

    /// `presets/clusters.pleach defines a100_40g, …`, where one file defines them all and they are few.
    fn origin_of_names(&self, visible: &[(String, usize)]) -> String {
        let Some(((_, file), _)) = visible.split_first() else {
            return "no such name here".to_string();
        };
        if visible.len() > 8 || visible.iter().any(|(_, other)| other != file) {
            return "no such name here".to_string();
        }
        let names: Vec<&str> = visible.iter().map(|(name, _)| name.as_str()).collect();
        format!(
            "{} defines {}",
            self.sources.get(*file).name,
            names.join(", ")
        )
    }

    /// The shipped declaration that comes nearest to a name which this file does not see, and its file.
    fn shipped_elsewhere(
        &self,
        from: usize,
        name: &str,
        kind: Kind,
    ) -> Option<(&'static str, &'static str)> {
        let header = format!("{} ", kind.word());
        let unseen = SHIPPED
            .iter()
            .filter(|(file, _)| self.sources.get(from).name != *file);
        let declared = unseen.flat_map(|(file, text)| text.lines().map(move |line| (*file, line)));
        let named: Vec<(&str, &str)> = declared
            .filter_map(|(file, line)| Some((file, line.strip_prefix(&header)?.split(' ').next()?)))
            .collect();
        let found = nearest(name, named.iter().map(|(_, name)| *name))?;
        named.into_iter().find(|(_, name)| *name == found)
    }
}

/// A kind as a sentence names it: `a model`, `an experiment`.
fn with_article(kind: Kind) -> String {
    let article = if kind == Kind::Experiment { "an" } else { "a" };
    format!("{article} {}", kind.word())
}

/// The family of a name.
fn family(name: &str) -> Option<&'static Section> {
    FAMILIES.iter().copied().find(|family| family.name == name)
}

/// What a look-up gave.
enum Lookup<'files> {
    Found(&'files Declaration),
    /// Two imports declare it.
    Several(&'files Declaration, &'files Declaration),
    /// Not found, but a part of what is visible could not be read.
    Silent,
    None,
}

/// A declaration of a file by name.
fn declared<'files>(scope: &'files Scope, name: &str) -> Option<&'files Declaration> {
    let number = scope.names.get(name)?;
    scope.tree.declarations.get(*number)
}

/// Reports names declared twice in one file.
pub fn check_twice(files: &[Scope], problems: &mut Vec<Problem>) {
    for scope in files {
        for (index, declaration) in scope.tree.declarations.iter().enumerate() {
            let name = &declaration.name;
            let first = declared(scope, &name.text);
            if problems.len() >= MOST_PROBLEMS {
                return;
            }
            if let Some(first) = first.filter(|_| scope.names.get(&name.text) != Some(&index)) {
                let title = format!("`{}` is already declared in this file", name.text);
                let problem = Problem::error(
                    "pleach::declaration::twice",
                    title,
                    name.place,
                    "declared again",
                );
                problems.push(
                    problem
                        .and(first.name.place, "first here")
                        .help("keep one, or rename it"),
                );
            }
        }
    }
}
