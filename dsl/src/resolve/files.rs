//! Imports: the root file and everything it reaches, each parsed once.
//!
//! `presets/…` is what ships with the language. Any other import is relative to the folder of the file that names it; absolute paths and `..` are
//! refused, so that a spec means the same wherever its folder lies. A cycle is an error that prints the cycle.

use std::collections::{BTreeMap, BTreeSet};

use crate::loader::{Failure, Loader, SHIPPED};
use crate::names::nearest;
use crate::parse::parse;
use crate::problem::{Problem, take};
use crate::sources::Sources;
use crate::syntax::{File, Import, Place};

/// A parsed file and what its imports stand for.
#[derive(Debug)]
pub struct Scope {
    /// The tree.
    pub tree: File,
    /// The first declaration of each name, by its number.
    pub names: BTreeMap<String, usize>,
    /// Imported files: the name behind `as`, and the number of the file; none where it could not be read.
    pub imports: Vec<(Option<String>, Option<usize>)>,
    /// The first file behind each `as`.
    pub aliases: BTreeMap<String, Option<usize>>,
    /// Files imported without one, each once.
    pub plain: Vec<Option<usize>>,
}

/// The files of one load.
#[derive(Debug)]
pub struct Files {
    /// Their texts.
    pub sources: Sources,
    /// Their trees; scopes and sources have the same numbers, and the root is number 0.
    pub scopes: Vec<Scope>,
    /// Shipped files that were read besides.
    pub beside: Vec<usize>,
}

/// Reads the root and all it imports, and `beside` of what ships.
pub fn read_files(
    root: &str,
    beside: &[&str],
    loader: &dyn Loader,
    problems: &mut Vec<Problem>,
) -> Files {
    let mut reader = Reader {
        loader,
        sources: Sources::default(),
        scopes: Vec::new(),
        known: BTreeMap::new(),
        stack: Vec::new(),
        problems,
    };
    match loader.load(root) {
        Ok(text) => {
            reader.read(root, text, false);
        }
        Err(failure) => {
            reader.sources.add(root, "", false);
            reader.scopes.push(Scope {
                tree: File {
                    incomplete: true,
                    ..File::default()
                },
                names: BTreeMap::new(),
                imports: Vec::new(),
                aliases: BTreeMap::new(),
                plain: Vec::new(),
            });
            let place = Place {
                file: 0,
                start: 0,
                end: 0,
            };
            reader.problems.push(missing(root, &failure, place));
        }
    }
    let beside = beside
        .iter()
        .filter_map(|path| reader.shipped(path))
        .collect();
    Files {
        sources: reader.sources,
        scopes: reader.scopes,
        beside,
    }
}

struct Reader<'read> {
    loader: &'read dyn Loader,
    sources: Sources,
    scopes: Vec<Scope>,
    known: BTreeMap<String, usize>,
    stack: Vec<String>,
    problems: &'read mut Vec<Problem>,
}

impl Reader<'_> {
    fn read(&mut self, path: &str, text: String, shipped: bool) -> usize {
        let file = self.sources.add(path, text, shipped);
        let tree = parse(file, &self.sources.get(file).text, self.problems);
        let imports = tree.imports.clone();
        self.known.insert(path.to_string(), file);
        let mut names = BTreeMap::new();
        for (number, declaration) in tree.declarations.iter().enumerate() {
            names.entry(declaration.name.text.clone()).or_insert(number);
        }
        self.scopes.push(Scope {
            tree,
            names,
            imports: Vec::new(),
            aliases: BTreeMap::new(),
            plain: Vec::new(),
        });
        self.stack.push(path.to_string());
        let mut plain = BTreeSet::new();
        for import in &imports {
            let target = self.import(path, import);
            let alias = import.alias.as_ref().map(|alias| alias.text.clone());
            let scope = &mut self.scopes[file];
            match &alias {
                Some(alias) => match scope.aliases.get(alias) {
                    Some(known) if *known != target => {
                        let problem = alias_twice(alias, import, &imports);
                        take(problem, self.problems);
                    }
                    Some(_) => {}
                    None => {
                        scope.aliases.insert(alias.clone(), target);
                    }
                },
                None if plain.insert(target) => scope.plain.push(target),
                None => {}
            }
            scope.imports.push((alias, target));
        }
        self.stack.pop();
        file
    }

    /// A shipped file, read once.
    fn shipped(&mut self, path: &str) -> Option<usize> {
        match self.known.get(path) {
            Some(file) => Some(*file),
            None => Some(self.read(path, preset(path).ok()?, true)),
        }
    }

    fn import(&mut self, from: &str, import: &Import) -> Option<usize> {
        if let Some(problem) = refused(import) {
            take(problem, self.problems);
            return None;
        }
        let shipped = import.path.starts_with("presets/");
        let path = if shipped {
            import.path.clone()
        } else {
            beside(from, &import.path)
        };
        if let Some(first) = self.stack.iter().position(|open| *open == path) {
            let cycle = self.stack[first..]
                .iter()
                .chain([&path])
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(" → ");
            let problem = Problem::error(
                "pleach::import::cycle",
                "these files import each other in a circle",
                import.place,
                cycle,
            );
            let problem = problem.help("move what both need into a third file");
            take(problem, self.problems);
            return None;
        }
        if let Some(file) = self.known.get(&path) {
            return Some(*file);
        }
        let text = if shipped {
            preset(&path)
        } else {
            self.loader.load(&path)
        };
        match text {
            Ok(text) => Some(self.read(&path, text, shipped)),
            Err(failure) => {
                take(missing(&path, &failure, import.place), self.problems);
                None
            }
        }
    }
}

/// A name that two imports take.
fn alias_twice(alias: &str, again: &Import, imports: &[Import]) -> Problem {
    let place = |import: &Import| {
        import
            .alias
            .as_ref()
            .map_or(import.place, |name| name.place)
    };
    let same = |import: &&Import| import.alias.as_ref().is_some_and(|name| name.text == alias);
    let first = imports.iter().find(same).unwrap_or(again);
    let title = format!("`{alias}` is already the name of an import");
    Problem::error("pleach::import::twice", title, place(again), "again")
        .and(place(first), "first here")
        .help("give one of them another name")
}

/// The text of a shipped file.
fn preset(path: &str) -> Result<String, Failure> {
    let found = SHIPPED.iter().find(|(name, _)| *name == path);
    found
        .map(|(_, text)| (*text).to_string())
        .ok_or(Failure::Missing)
}

/// A path relative to the folder of the file that imports it.
fn beside(from: &str, path: &str) -> String {
    match from.rfind('/') {
        Some(end) => format!("{}/{path}", &from[..end]),
        None => path.to_string(),
    }
}

/// Paths that would leave the spec's folder.
fn refused(import: &Import) -> Option<Problem> {
    let path = &import.path;
    let drive = path.as_bytes().get(1) == Some(&b':');
    let reason = if path.is_empty() {
        "an import names a file"
    } else if path.starts_with('/') || path.starts_with('~') || drive {
        "an import is relative to its file, not absolute"
    } else if path.contains('\\') {
        "an import separates folders with `/`"
    } else if path.split('/').any(|part| part == "..") {
        "an import does not climb out of its folder"
    } else if path.split('/').any(|part| part == ".") {
        "an import names its folders without `.`"
    } else {
        return None;
    };
    let problem = Problem::error("pleach::import::path", reason, import.place, "this path");
    Some(problem.help("put the file beside this one or below it: `import \"parts/data.pleach\"`"))
}

/// A file that is not there or cannot be read.
fn missing(path: &str, failure: &Failure, place: Place) -> Problem {
    let (title, label) = match failure {
        Failure::Missing => (
            format!("there is no file `{path}`"),
            "not found".to_string(),
        ),
        Failure::Unreadable(reason) => (
            format!("`{path}` cannot be read: {reason}"),
            "not readable".to_string(),
        ),
    };
    let problem = Problem::error("pleach::file::missing", title, place, label);
    if !path.starts_with("presets/") {
        return problem;
    }
    let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
    let name = |path: &'static str| path.trim_start_matches("presets/");
    let written = path.trim_start_matches("presets/");
    let wanted = written.trim_end_matches(".pleach");
    let stems = names
        .iter()
        .map(|path| name(path).trim_end_matches(".pleach"));
    problem.help(match nearest(wanted, stems) {
        Some(found) => format!("did you mean `presets/{found}.pleach`?"),
        None => format!("the shipped presets are {}", names.join(", ")),
    })
}
