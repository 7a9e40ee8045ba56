//! What an experiment rests on outside of its own file: imports, data, tokenizers and weights, each with the place that names it, so that whoever keeps their contents
//! in a lockfile can hold them against it.

use std::collections::BTreeMap;

use super::{Spec, Target};
use crate::evaluate::Value;
use crate::problem::Problem;
use crate::resolve::{Content, Resolver};
use crate::syntax::Place;

/// One thing that a spec rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// What it is.
    pub kind: RestKind,
    /// An import's file as the loader knows it; else the dataset that names it; weights as they are written.
    pub name: String,
    /// Where it is named.
    pub place: Place,
}

/// The kinds of things that a spec rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestKind {
    /// A file, with the BLAKE3 hash of its text in hexadecimal, and whether it ships with the language.
    Import {
        /// The hash.
        hash: String,
        /// Whether it ships with the language.
        shipped: bool,
    },
    /// The source of a dataset, as written: `cargo:dependencies`.
    Data(String),
    /// The tokenizer of a dataset, as written: `hf:…`.
    Tokenizer(String),
    /// The weights that a model begins with, as written: `hf:…`.
    Weights(String),
}

impl Spec {
    /// Everything that any experiment or run of the file rests on, each once.
    pub fn rests(&mut self) -> Vec<Rest> {
        let mut rests = self.imported();
        let experiments = self.complete().into_iter().map(Target::Experiment);
        let experiments: Vec<Target> = experiments.collect();
        for target in experiments {
            self.gather(target, &mut rests);
        }
        for sweep in 0..self.sweeps.len() {
            for picks in self.sweeps[sweep].sample() {
                self.gather(Target::Run(sweep, &picks), &mut rests);
            }
        }
        rests
    }

    /// Adds what the caller found out about something that the spec rests on to its problems.
    pub fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    fn imported(&self) -> Vec<Rest> {
        let mut found = BTreeMap::new();
        for scope in &self.files.scopes {
            let targets = scope.tree.imports.iter().zip(&scope.imports);
            for (import, (_, target)) in targets {
                if let Some(file) = target {
                    found.entry(*file).or_insert(import.place);
                }
            }
        }
        let rest = |(file, place)| {
            let source = self.files.sources.get(file);
            Rest {
                kind: RestKind::Import {
                    hash: blake3::hash(source.text.as_bytes()).to_hex().to_string(),
                    shipped: source.shipped,
                },
                name: source.name.clone(),
                place,
            }
        };
        found.into_iter().map(rest).collect()
    }

    fn gather(&mut self, target: Target, rests: &mut Vec<Rest>) {
        let mut resolver = self.elaborated(target);
        let datasets = resolver.tree.reachable();
        for id in datasets {
            let node = resolver.tree.node(id);
            let is_data = node.name == "data" && resolver.tree.body(id).is_some();
            let Some(kind) = resolver.kind(&node.path.clone()).filter(|_| is_data) else {
                continue;
            };
            let cells = [
                ("source", RestKind::Data as fn(String) -> RestKind),
                ("tokenizer", RestKind::Tokenizer),
            ];
            for (field, make) in cells {
                let found = text(&mut resolver, id, field);
                rests.extend(found.map(|(text, place)| Rest {
                    kind: make(text),
                    name: kind.clone(),
                    place,
                }));
            }
        }
        if let Some(model) = resolver.tree.find("model") {
            let found = text(&mut resolver, model, "weights");
            rests.extend(found.map(|(text, place)| Rest {
                name: text.clone(),
                kind: RestKind::Weights(text),
                place,
            }));
        }
        let mut seen: Vec<Rest> = Vec::new();
        rests.retain(|rest| {
            let known = seen
                .iter()
                .any(|other| other.kind == rest.kind && other.name == rest.name);
            if !known {
                seen.push(rest.clone());
            }
            !known
        });
    }
}

/// The text in a field of a dataset, and where it stands.
fn text(resolver: &mut Resolver, section: usize, field: &str) -> Option<(String, Place)> {
    let id = resolver.tree.child(section, field)?;
    let Content::Cell { value, .. } = &resolver.tree.node(id).content else {
        return None;
    };
    let place = value.place;
    match resolver.value(id).ok()? {
        Value::Text(text) => Some((text, place)),
        _ => None,
    }
}
