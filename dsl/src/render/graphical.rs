//! A problem through miette. Labels in other files become related notes; labels far apart in one file stay separate snippets.

use std::fmt;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError,
    MietteSpanContents, Severity as Level, SourceCode, SourceSpan, SpanContents,
};

use crate::problem::{Label, Problem, Severity};
use crate::sources::{Source, Sources};
use crate::syntax::Place;

/// Columns of a rendered problem.
const WIDTH: usize = 80;

/// Appends one problem to a text.
pub fn render(problem: &Problem, sources: &Sources, colour: bool, text: &mut String) {
    let theme = if colour {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(WIDTH)
        .with_context_lines(1)
        .with_links(false);
    let report = Report::new(problem, sources);
    handler
        .render_report(text, &report)
        .expect("writing to a string does not fail");
}

/// A problem as miette wants it.
struct Report<'report> {
    code: Option<&'static str>,
    title: String,
    level: Level,
    help: Option<&'report str>,
    text: Option<Text<'report>>,
    labels: Vec<LabeledSpan>,
    notes: Vec<Report<'report>>,
}

impl<'report> Report<'report> {
    /// The problem itself, with the labels of its own file; others become notes, one for each file.
    fn new(problem: &'report Problem, sources: &'report Sources) -> Report<'report> {
        let file = problem.at.place.file;
        let mut files: Vec<usize> = problem
            .others
            .iter()
            .map(|label| label.place.file)
            .filter(|other| *other != file)
            .collect();
        files.sort_unstable();
        files.dedup();
        let title = match &problem.picture {
            Some(picture) => format!("{}\n{picture}", problem.title),
            None => problem.title.clone(),
        };
        let own = std::iter::once(&problem.at).chain(
            problem
                .others
                .iter()
                .filter(|label| label.place.file == file),
        );
        let mut report = Report {
            code: Some(problem.code),
            title,
            level: match problem.severity {
                Severity::Error => Level::Error,
                Severity::Warning => Level::Warning,
            },
            help: problem.help.as_deref(),
            text: Text::of(sources.get(file)),
            labels: own
                .enumerate()
                .map(|(index, label)| span(label, index == 0, sources))
                .collect(),
            notes: Vec::new(),
        };
        report.notes = files
            .iter()
            .map(|other| Report::note(problem, sources, *other))
            .collect();
        report
    }

    /// The labels in another file.
    fn note(problem: &'report Problem, sources: &'report Sources, file: usize) -> Report<'report> {
        let labels: Vec<&Label> = problem
            .others
            .iter()
            .filter(|label| label.place.file == file)
            .collect();
        Report {
            code: None,
            title: format!("the other half is in {}", sources.get(file).name),
            level: Level::Advice,
            help: None,
            text: Text::of(sources.get(file)),
            labels: labels
                .iter()
                .enumerate()
                .map(|(index, label)| span(label, index == 0, sources))
                .collect(),
            notes: Vec::new(),
        }
    }
}

/// A label as miette wants it; a place over several lines shows its first.
fn span(label: &Label, primary: bool, sources: &Sources) -> LabeledSpan {
    let Place { start, end, .. } = label.place;
    let text = (!label.text.is_empty()).then(|| wrapped(&label.text, room(label.place, sources)));
    let span = SourceSpan::new(start.into(), end - start);
    if primary {
        LabeledSpan::new_primary_with_span(text, span)
    } else {
        LabeledSpan::new_with_span(text, span)
    }
}

/// The columns that a label has beside its place: what the number of the line, the text before and the hook leave.
fn room(place: Place, sources: &Sources) -> usize {
    const BESIDE: usize = 8;
    let text = &sources.get(place.file).text;
    let before = text.get(..place.start).unwrap_or_default();
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    let inside = text.get(place.start..place.end).unwrap_or_default();
    let first = inside.lines().next().unwrap_or_default().chars().count();
    let number = before.matches('\n').count() + 3;
    let digits = number.to_string().len();
    let column = before[line..].chars().count() + first / 2;
    WIDTH
        .saturating_sub(column + digits + BESIDE)
        .max(WIDTH / 3)
}

/// A text in lines of at most so many columns, where its words allow.
fn wrapped(text: &str, room: usize) -> String {
    let mut lines = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            lines.push('\n');
            used = 0;
        } else if used > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += length;
    }
    lines
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.title)
    }
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.title)
    }
}

impl std::error::Error for Report<'_> {}

impl Diagnostic for Report<'_> {
    fn code<'code>(&'code self) -> Option<Box<dyn fmt::Display + 'code>> {
        self.code
            .map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<Level> {
        Some(self.level)
    }

    fn help<'help>(&'help self) -> Option<Box<dyn fmt::Display + 'help>> {
        self.help
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.text.as_ref().map(|text| text as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn related<'notes>(
        &'notes self,
    ) -> Option<Box<dyn Iterator<Item = &'notes dyn Diagnostic> + 'notes>> {
        Some(Box::new(
            self.notes.iter().map(|note| note as &dyn Diagnostic),
        ))
    }
}

/// A text that tells miette how many lines a snippet itself has. miette's own contents count from the start of the file, and snippets that
/// are far apart would be joined over everything between them.
struct Text<'text> {
    name: &'text str,
    text: &'text str,
}

impl<'text> Text<'text> {
    /// The text of a source; none for one that could not be read.
    fn of(source: &'text Source) -> Option<Text<'text>> {
        (!source.text.is_empty()).then_some(Text {
            name: &source.name,
            text: &source.text,
        })
    }
}

impl SourceCode for Text<'_> {
    fn read_span<'read>(
        &'read self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'read> + 'read>, MietteError> {
        let inner = self.text.read_span(span, before, after)?;
        let lines = inner.data().iter().filter(|byte| **byte == b'\n').count();
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.to_string(),
            inner.data(),
            *inner.span(),
            inner.line(),
            inner.column(),
            lines,
        )))
    }
}
