//! Every help that says what to write is followed, in every case of the suites, and has to work: the problem is gone, and no other has come.
//!
//! A help is read as a reader would: `did you mean`, `write`, `use`, `add`, `move it`; what stands between backticks is put where the problem points
//! (or in place of its entry, or into its block). A help with several proposals has to keep all of them. Helps that leave something to the reader (`…`,
//! `remove one`) are counted, so that following cannot quietly stop.

use pleach_dsl::Loaded;
use pleach_dsl::problem::Problem;

use crate::spec::{Case, cases_of_all_suites, load_text, whole};

/// What a proposal does to the text, as alternatives of which one has to work.
type Edits = Vec<String>;

/// The place of a problem in the text of the main file.
struct Spot<'t> {
    text: &'t str,
    start: usize,
    end: usize,
}

impl Spot<'_> {
    /// The text with the place replaced.
    fn replaced(&self, with: &str) -> String {
        format!(
            "{}{with}{}",
            &self.text[..self.start],
            &self.text[self.end..]
        )
    }
    /// The text with the place replaced, or its value where it is an entry, in quotes where it has quotes.
    fn with_value(&self, with: &str) -> Edits {
        let inside = &self.text[self.start..self.end];
        let mut edits = vec![self.replaced(with)];
        if inside.starts_with('"') {
            edits.push(self.replaced(&format!("\"{with}\"")));
        }
        let digits = self.text[..self.start]
            .trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == ',')
            .len();
        if digits < self.start {
            edits.push(
                Spot {
                    start: digits,
                    ..*self
                }
                .replaced(with),
            );
        }
        if let Some((name, _)) = inside.split_once('=') {
            edits.push(self.replaced(&format!("{name}= {with}")));
        }
        edits
    }

    /// The text with another entry replaced that sets the same name as the given one.
    fn with_other_entry(&self, entry: &str) -> Option<String> {
        let (name, _) = entry.split_once('=')?;
        let name = name.trim();
        let at = self.text.match_indices(name).map(|(at, _)| at).find(|at| {
            let after = self.text[at + name.len()..].trim_start();
            after.starts_with('=')
                && !self.text[..*at]
                    .ends_with(|letter: char| letter.is_alphanumeric() || letter == '_')
        })?;
        let other = Spot {
            start: at,
            end: at + name.len(),
            ..*self
        };
        Some(other.with_entry(entry))
    }

    /// Where the entry begins and ends that the place is in: between separators, braces kept whole.
    fn entry(&self) -> (usize, usize) {
        let begins = self.text[..self.start]
            .rfind(['\n', ',', '{'])
            .map_or(0, |at| at + 1);
        let mut depth = 0usize;
        let rest = self.text[self.start..].char_indices();
        for (offset, letter) in rest {
            match letter {
                '{' | '[' | '(' => depth += 1,
                '}' | ']' | ')' if depth == 0 => return (begins, self.start + offset),
                '}' | ']' | ')' => depth -= 1,
                '\n' | ',' if depth == 0 => return (begins, self.start + offset),
                _ => {}
            }
        }
        (begins, self.text.len())
    }

    /// The text with the entry replaced.
    fn with_entry(&self, entry: &str) -> String {
        let (start, end) = self.entry();
        format!("{} {entry} {}", &self.text[..start], &self.text[end..])
    }

    /// The text with one more entry: in the block that opens behind the place, in the block around it, at the top, at the end.
    fn with_more(&self, entry: &str) -> Edits {
        let insert = |at: usize| format!("{}\n{entry}\n{}", &self.text[..at], &self.text[at..]);
        let opens = self.text[self.start..]
            .find('{')
            .map(|at| self.start + at + 1);
        let (begins, _) = self.entry();
        let closes = self.text.rfind('}');
        [opens, Some(begins), closes, Some(0), Some(self.text.len())]
            .into_iter()
            .flatten()
            .map(insert)
            .collect()
    }

    /// The text with the last number of the place replaced.
    fn with_number(&self, number: &str) -> Option<String> {
        let inside = &self.text[self.start..self.end];
        let last = inside.rfind(|letter: char| letter.is_ascii_digit())? + 1;
        let first = inside[..last]
            .rfind(|letter: char| !letter.is_ascii_digit() && letter != '_')
            .map_or(0, |at| at + 1);
        let spot = Spot {
            start: self.start + first,
            end: self.start + last,
            ..*self
        };
        Some(spot.replaced(number))
    }
}

/// What stands between backticks.
fn quoted(help: &str) -> Vec<&str> {
    help.split('`').skip(1).step_by(2).collect()
}

/// The proposals of a help, each as the texts that it may mean; none where it leaves something to the reader.
fn proposals(spot: &Spot, help: &str) -> Option<Vec<Edits>> {
    let (verb, rest) = help.split_once(' ')?;
    let sentence = rest.split(['(', ';']).next()?;
    let sentence = sentence.split(" instead of ").next()?;
    let words = quoted(sentence);
    let leaves_it = help.contains('…') || rest.starts_with("them") || rest.starts_with("a ");
    if leaves_it || spot.start == spot.end {
        return None;
    }
    let ends_in_number = sentence
        .trim_end()
        .ends_with(|last: char| last.is_ascii_digit());
    match verb {
        "did" if !sentence.contains("` of `") => Some(vec![meant(spot, rest, words.first()?)]),
        "use" if words.len() < 2 && ends_in_number => Some(numbers(spot, sentence)),
        "write" | "use" | "set" if !words.is_empty() => {
            Some(words.iter().map(|word| written(spot, word)).collect())
        }
        "add" if sentence.ends_with("at its end") => {
            let end = Spot {
                start: spot.end,
                ..*spot
            };
            Some(vec![vec![end.replaced(words.first()?)]])
        }
        "add" => Some(vec![spot.with_more(words.first()?)]),
        "move" => moved(spot, words.first()?).map(|edit| vec![vec![edit]]),
        _ => None,
    }
}

/// `did you mean a? add b at the top`.
fn meant(spot: &Spot, rest: &str, found: &str) -> Edits {
    let mut edits = spot.with_value(found);
    let behind = rest.split_once('?').map_or("", |(_, behind)| behind);
    if let Some(import) = quoted(behind).first() {
        edits.push(format!("{import}\n{}", spot.replaced(found)));
    }
    edits
}

/// `use 1, 2 or 4`: every one of them.
fn numbers(spot: &Spot, sentence: &str) -> Vec<Edits> {
    let numbers = sentence.split(|letter: char| !letter.is_ascii_digit());
    let numbers = numbers.filter(|number| !number.is_empty());
    let edits = numbers.map(|number| spot.with_number(number));
    edits.map(|edit| edit.into_iter().collect()).collect()
}

/// ``write `a` ``: in place of the value, of the entry, or of the entry that sets the same name.
fn written(spot: &Spot, word: &str) -> Edits {
    let mut edits = spot.with_value(word);
    edits.push(spot.with_entry(word));
    edits.extend(spot.with_other_entry(word));
    edits
}

/// ``move it: `a { b = c }` ``: the entry is gone here and stands at the end.
fn moved(spot: &Spot, entry: &str) -> Option<String> {
    let (start, end) = spot.entry();
    let behind = spot.text[end..].trim_start_matches([',', ' ']);
    let without = format!("{}{behind}", &spot.text[..start]);
    let closes = without.rfind('}')?;
    Some(format!(
        "{}\n{entry}\n{}",
        &without[..closes],
        &without[closes..]
    ))
}

/// Whether a problem is gone and no other has come to its place. Elsewhere one may: what depended on the mistake is only looked at now
/// (and of a section whose name was wrong, what it lacks).
fn mends(before: &Loaded, problem: &Problem, after: &Loaded) -> bool {
    let key = |problem: &Problem| (problem.code, problem.title.clone());
    let count = |loaded: &Loaded| {
        loaded
            .problems
            .iter()
            .filter(|other| key(other) == key(problem))
            .count()
    };
    let known: Vec<_> = before.problems.iter().map(key).collect();
    let new = after
        .problems
        .iter()
        .filter(|other| {
            other.at.place == problem.at.place && other.code != "pleach::field::missing"
        })
        .any(|other| !known.contains(&key(other)));
    count(after) < count(before) && !new
}

fn follow(case: &Case, failures: &mut Vec<String>) -> [usize; 2] {
    let mut counts = [0, 0];
    let Some(text) = case.block("pleach") else {
        return counts;
    };
    let (text, _) = whole(case, text);
    let before = load_text(case, &text);
    for problem in before.problems.iter() {
        let place = problem.at.place;
        let Some(help) = &problem.help else { continue };
        if before.problems.sources().get(place.file).name != "main.pleach" {
            continue;
        }
        let spot = Spot {
            text: &text,
            start: place.start,
            end: place.end,
        };
        let Some(proposals) = proposals(&spot, help) else {
            counts[1] += 1;
            continue;
        };
        for edits in proposals {
            counts[0] += 1;
            if !edits
                .iter()
                .any(|edit| mends(&before, problem, &load_text(case, edit)))
            {
                let (code, title) = (problem.code, &problem.title);
                failures.push(format!("{}: {code}: {title}\n  help: {help}", case.title));
            }
        }
    }
    counts
}

#[test]
fn helps_work() {
    let mut failures = Vec::new();
    let mut counts = [0, 0];
    for case in cases_of_all_suites() {
        let [followed, left] = follow(&case, &mut failures);
        counts = [counts[0] + followed, counts[1] + left];
    }
    let [followed, left] = counts;
    println!("{followed} proposals followed, {left} helps leave something to the reader");
    assert!(followed > 100, "only {followed} proposals were found");
    assert!(
        failures.is_empty(),
        "{} of {followed} proposals do not work\n\n{}",
        failures.len(),
        failures.join("\n")
    );
}
