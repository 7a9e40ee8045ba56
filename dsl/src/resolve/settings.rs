//! `--set path=value`: the last word, with an origin of its own.

use super::Resolver;
use crate::origin::Layer;
use crate::parse::parse_setting;
use crate::problem::Problem;
use crate::syntax::{Path, Place};

impl Resolver<'_> {
    /// Lays the settings over the experiment, in the order given.
    pub fn apply_settings(&mut self, settings: &[(String, String)]) {
        for (path, value) in settings {
            let path = path.trim();
            let line = format!("{path}={value}");
            let file = self.sources.add("--set", line.clone(), false);
            let whole = Place {
                file,
                start: 0,
                end: line.len(),
            };
            if !is_path(path) {
                let title = format!("`{path}` is not the path of a field");
                let problem =
                    Problem::error("pleach::setting::path", title, whole, "before the `=`");
                self.report(problem.help("write `--set train.steps=10`"));
                continue;
            }
            let before = self.problems.len();
            let value = parse_setting(file, &line, path.len() + 1, &mut self.problems);
            if self.problems.len() > before {
                continue;
            }
            let path = Path {
                text: path.to_string(),
                place: Place {
                    end: path.len(),
                    ..whole
                },
            };
            self.bind(0, &path, &value, (Layer::CommandLine, whole), false);
        }
    }
}

/// Whether a text is a dotted name.
fn is_path(text: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && part
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || character == '_')
    };
    text.split('.').all(part)
}
