//! The picture under a failed requirement: the law as written and, hanging from each part, its value.

/// A value that hangs from a column of the law's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Column in characters, from 0.
    pub column: usize,
    /// The value there.
    pub text: String,
}

/// Draws the picture: the text, a row of bars, then the values from the right to the left, each as high as there is room.
pub fn draw(text: &str, notes: &[Note]) -> String {
    let mut open: Vec<&Note> = notes.iter().collect();
    open.sort_by_key(|note| note.column);
    open.dedup_by_key(|note| note.column);
    let mut lines = vec![text.to_string(), bars(&open)];
    while !open.is_empty() {
        let (line, rest) = hang(&open);
        lines.push(line);
        open = rest;
    }
    lines.join("\n")
}

/// A bar at every open column.
fn bars(open: &[&Note]) -> String {
    let mut line = Line::default();
    for note in open {
        line.put(note.column, "│");
    }
    line.text()
}

/// One line: the values that fit, bars for those that wait for the next line.
fn hang<'notes>(open: &[&'notes Note]) -> (String, Vec<&'notes Note>) {
    let mut line = Line::default();
    let mut waiting = Vec::new();
    let mut free_until = usize::MAX;
    for note in open.iter().rev() {
        let end = note.column + note.text.chars().count();
        if end < free_until {
            line.put(note.column, &note.text);
        } else {
            line.put(note.column, "│");
            waiting.push(*note);
        }
        free_until = note.column;
    }
    waiting.reverse();
    (line.text(), waiting)
}

/// A line that is written to at columns.
#[derive(Default)]
struct Line(Vec<char>);

impl Line {
    fn put(&mut self, column: usize, text: &str) {
        for (offset, character) in text.chars().enumerate() {
            if self.0.len() <= column + offset {
                self.0.resize(column + offset + 1, ' ');
            }
            self.0[column + offset] = character;
        }
    }

    fn text(&self) -> String {
        self.0.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_hang_from_their_columns() {
        let note = |column, text: &str| Note {
            column,
            text: text.to_string(),
        };
        let notes = [
            note(0, "8"),
            note(3, "32"),
            note(5, "4"),
            note(8, "false"),
            note(19, "8"),
        ];
        let expected = "\
tp * ep <= cluster.gpus_per_node
│  │ │  │          │
8  │ 4  false      8
   32";
        assert_eq!(draw("tp * ep <= cluster.gpus_per_node", &notes), expected);
    }
}
