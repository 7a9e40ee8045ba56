//! Problems to text: with snippets for people, as JSON for programs.

mod graphical;
mod json;

use crate::problem::{Problem, Severity};
use crate::sources::Sources;

/// How many problems are shown at once.
pub const SHOWN: usize = 20;

/// Everything that is wrong with a spec, sorted by place, with the texts it is about.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
    sources: Sources,
}

impl Problems {
    /// Sorts by place and drops what is said twice.
    pub fn new(mut list: Vec<Problem>, sources: Sources) -> Problems {
        list.sort_by(|left, right| {
            (left.at.place, left.code, &left.title).cmp(&(right.at.place, right.code, &right.title))
        });
        list.dedup();
        Problems { list, sources }
    }

    /// Adds to the title of every problem of a code what only the caller can know.
    pub fn add_to_title(&mut self, code: &str, addition: &str) {
        for problem in self.list.iter_mut().filter(|problem| problem.code == code) {
            problem.title.push_str(addition);
        }
    }

    /// These and one more.
    pub(crate) fn with(self, problem: Option<Problem>) -> Problems {
        let mut list = self.list;
        list.extend(problem);
        Problems::new(list, self.sources)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.list
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .count()
    }

    /// The texts the places point into.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The text for a reader: snippets at 80 columns, at most [`SHOWN`] of them. Without colour the text is the same everywhere.
    pub fn render(&self, colour: bool) -> String {
        let mut text = String::new();
        for problem in self.list.iter().take(SHOWN) {
            graphical::render(problem, &self.sources, colour, &mut text);
            text.push('\n');
        }
        let hidden = self.list.len().saturating_sub(SHOWN);
        if hidden > 0 {
            text.push_str(&format!("and {hidden} more\n"));
        }
        text
    }

    /// The same for programs: an array of objects, all of them.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::Value::Array(
            self.list
                .iter()
                .map(|problem| json::object(problem, &self.sources))
                .collect(),
        )
    }
}
