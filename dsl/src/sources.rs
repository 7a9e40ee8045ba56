//! The texts of one load, by number: what places point into.

use std::sync::Arc;

use crate::syntax::Place;

/// One text.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name for messages: a path, `--set`, or what a default belongs to.
    pub name: String,
    /// The text.
    pub text: String,
    /// Whether it ships with the language.
    pub shipped: bool,
    /// Where each line begins.
    lines: Vec<usize>,
}

/// All texts of a load; the first is the file that was asked for. A clone shares the texts, since every run of a sweep keeps one.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    list: Vec<Arc<Source>>,
}

impl Sources {
    /// Adds a text and gives its number.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        text: impl Into<String>,
        shipped: bool,
    ) -> usize {
        let text = text.into();
        let ends = text.match_indices('\n').map(|(end, _)| end + 1);
        self.list.push(Arc::new(Source {
            name: name.into(),
            lines: std::iter::once(0).chain(ends).collect(),
            text,
            shipped,
        }));
        self.list.len() - 1
    }

    /// One of them.
    pub fn get(&self, file: usize) -> &Source {
        &self.list[file]
    }

    /// The text of a place.
    pub fn text(&self, place: Place) -> &str {
        self.list[place.file]
            .text
            .get(place.start..place.end)
            .unwrap_or_default()
    }

    /// The text of a place on one line.
    pub fn line_text(&self, place: Place) -> String {
        self.text(place).replace(['\n', '\r', '\t'], " ")
    }

    /// Line and column of a place's beginning, in characters, from 1.
    pub fn position(&self, place: Place) -> (usize, usize) {
        let source = &self.list[place.file];
        let end = match source.text.get(..place.start) {
            Some(before) => before.len(),
            None => source.text.len(),
        };
        let line = source.lines.partition_point(|start| *start <= end);
        let begins = source.lines[line - 1];
        (line, source.text[begins..end].chars().count() + 1)
    }
}
