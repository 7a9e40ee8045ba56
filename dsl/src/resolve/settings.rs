//! `--set path=value`: the last word, with an origin of its own. Parsed once for all runs of a file, laid over each.

use std::sync::Arc;

use super::Resolver;
use crate::origin::Layer;
use crate::parse::parse_setting;
use crate::problem::Problem;
use crate::sources::Sources;
use crate::syntax::{Expression, Path, Place};

/// A setting that could be read.
#[derive(Clone, Debug)]
pub struct Setting {
    path: Path,
    value: Arc<Expression>,
    place: Place,
}

/// Reads settings; what cannot be read is reported and left out.
pub fn read_settings(
    settings: &[(String, String)],
    sources: &mut Sources,
    problems: &mut Vec<Problem>,
) -> Vec<Setting> {
    let mut read: Vec<Setting> = Vec::new();
    for (path, value) in settings {
        let Some(setting) = read_setting(path.trim(), value, sources, problems) else {
            continue;
        };
        let first = read
            .iter()
            .find(|first| first.path.text == setting.path.text);
        if let Some(first) = first {
            let title = format!("`--set {}` is given twice", setting.path.text);
            let problem = Problem::error("pleach::setting::twice", title, setting.place, "again");
            problems.push(problem.and(first.place, "first here").help("keep one"));
        }
        read.push(setting);
    }
    read
}

fn read_setting(
    path: &str,
    value: &str,
    sources: &mut Sources,
    problems: &mut Vec<Problem>,
) -> Option<Setting> {
    let line = format!("{path}={value}");
    let file = sources.add("--set", line.clone(), false);
    let place = Place {
        file,
        start: 0,
        end: line.len(),
    };
    if !is_path(path) {
        let title = format!("`{path}` is not the path of a field");
        let problem = Problem::error("pleach::setting::path", title, place, "before the `=`");
        problems.push(problem.help("write `--set train.steps=10`"));
        return None;
    }
    let before = problems.len();
    let value = parse_setting(file, &line, path.len() + 1, problems);
    let path = Path {
        text: path.to_string(),
        place: Place {
            end: path.len(),
            ..place
        },
    };
    (problems.len() == before).then_some(Setting {
        path,
        value: Arc::new(value),
        place,
    })
}

impl Resolver<'_> {
    /// Lays the settings over the experiment, in the order given.
    pub fn apply_settings(&mut self, settings: &[Setting]) {
        for setting in settings {
            let at = (Layer::CommandLine, setting.place);
            self.bind(0, &setting.path, &setting.value, at, false);
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
