//! From the origins of an experiment's values back to places in its texts, for problems that only the planner can see.
//!
//! In come a spec's file and dotted paths, out comes a [`Problem`] as the language would have made it, with snippets.

use std::path::Path;

use pleach_dsl::experiment::Experiment;
use pleach_dsl::origin::{Layer, Origin};
use pleach_dsl::problem::Problem;
use pleach_dsl::syntax::Place;
use pleach_dsl::{Loader, Problems, SHIPPED, Sources};

use crate::loader::Files;

/// Builds one problem about an experiment.
#[derive(Debug)]
pub struct Trouble {
    sources: Sources,
    places: Vec<(Place, String)>,
}

impl Trouble {
    /// A problem without places so far; its first place is the spec's beginning if none is found.
    pub fn new(spec: &Path) -> Self {
        let mut trouble = Self {
            sources: Sources::default(),
            places: Vec::new(),
        };
        let name = spec.to_string_lossy();
        trouble.sources.add(
            name.as_ref(),
            text_of(spec, &name).unwrap_or_default(),
            false,
        );
        trouble
    }

    /// Labels the first of these values that somebody wrote; defaults and what a preset says come last.
    pub fn label(
        &mut self,
        spec: &Path,
        experiment: &Experiment,
        paths: &[&str],
        text: impl Into<String>,
    ) {
        let origins = || {
            paths
                .iter()
                .filter_map(|path| experiment.origins.get(*path))
                .filter(|origin| origin.line > 0)
        };
        let own = origins().find(|origin| origin.layer != Layer::Preset);
        if let Some(origin) = own.or_else(|| origins().next()) {
            self.mark(spec, origin, text);
        }
    }

    /// Labels an origin.
    pub fn mark(&mut self, spec: &Path, origin: &Origin, text: impl Into<String>) {
        let place = self.place(spec, origin);
        self.places.extend(place.map(|place| (place, text.into())));
    }

    /// The finished problem.
    pub fn problem(
        self,
        code: &'static str,
        title: String,
        picture: &str,
        help: String,
    ) -> Problems {
        let whole = Place {
            file: 0,
            start: 0,
            end: 0,
        };
        let mut places = self.places.into_iter();
        let (place, text) = places.next().unwrap_or((whole, String::new()));
        let mut problem = Problem::error(code, title, place, text).help(help);
        for (place, text) in places {
            problem = problem.and(place, text);
        }
        problem.picture = (!picture.is_empty()).then(|| picture.to_owned());
        Problems::new(vec![problem], self.sources)
    }

    /// The value of a `--set`, shown as it was given: `plan.tp=2`.
    fn setting(&mut self, origin: &Origin) -> Place {
        let line = origin.text.clone();
        let (start, end) = (line.find('=').map_or(0, |at| at + 1), line.len());
        let file = self.sources.add(origin.file.clone(), line, false);
        Place { file, start, end }
    }

    fn place(&mut self, spec: &Path, origin: &Origin) -> Option<Place> {
        if origin.layer == Layer::CommandLine {
            return Some(self.setting(origin));
        }
        let main = spec.to_string_lossy();
        let (file, text) = if origin.file == main {
            (0, self.sources.get(0).text.clone())
        } else {
            let text = text_of(spec, &origin.file)?;
            (
                self.sources.add(origin.file.clone(), text.clone(), false),
                text,
            )
        };
        let start = offset(&text, origin.line, origin.column)?;
        let end = (start + origin.text.len()).min(text.len());
        Some(Place { file, start, end })
    }
}

/// The text that a file had for the language.
fn text_of(spec: &Path, name: &str) -> Option<String> {
    let shipped = SHIPPED.iter().find(|(shipped, _)| *shipped == name);
    match shipped {
        Some((_, text)) => Some((*text).to_owned()),
        None => Files::of(spec).ok()?.load(name).ok(),
    }
}

/// The byte at a line and a column, both counted from 1, the column in characters.
fn offset(text: &str, line: usize, column: usize) -> Option<usize> {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.checked_sub(1)?)
        .map(str::len)
        .sum();
    let rest = text.get(start..)?.lines().next()?;
    let inside = rest
        .char_indices()
        .nth(column.checked_sub(1)?)
        .map_or(rest.len(), |(byte, _)| byte);
    Some(start + inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let text = "first\n  ä = bc\nlast";
        assert_eq!(offset(text, 2, 7).map(|at| &text[at..at + 2]), Some("bc"));
        assert_eq!(offset(text, 1, 1), Some(0));
        assert_eq!(offset(text, 9, 1), None);
        assert_eq!(offset(text, 0, 1), None);
    }
}
