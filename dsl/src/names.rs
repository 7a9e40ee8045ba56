//! "Did you mean": what a name that nobody knows was probably meant to be.

use strsim::damerau_levenshtein;

/// What is longer than any name is a slip of another sort, and slow to compare.
const LONGEST: usize = 64;

/// So many names are looked through; a list that is longer was made by a machine.
pub const MOST_NAMES: usize = 1000;

/// The known name that is nearest to a written one: equal but for case first, then by edit distance, up to a third of its length.
pub fn nearest<'names>(
    written: &str,
    known: impl Iterator<Item = &'names str> + Clone,
) -> Option<&'names str> {
    if written.len() > LONGEST {
        return None;
    }
    let lower = written.to_lowercase();
    let length = written.chars().count();
    let allowed = (length / 3).max(1);
    let known = known.take(MOST_NAMES);
    let mut best: Option<(usize, &str)> = None;
    for name in known.clone() {
        if name.chars().count().abs_diff(length) > allowed {
            continue;
        }
        if name.to_lowercase() == lower {
            return Some(name);
        }
        let distance = damerau_levenshtein(written, name);
        if distance <= allowed
            && distance < name.chars().count()
            && best.is_none_or(|(least, _)| distance < least)
        {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name).or_else(|| {
        let mut known = known;
        known.find(|name| begins_alike(&lower, name))
    })
}

/// The shortest name that counts as the beginning of another.
const SHORTEST: usize = 4;

/// Whether one of two names begins with the other: `ceiling` and `ceil`.
fn begins_alike(written: &str, name: &str) -> bool {
    let shorter = written.len().min(name.len());
    shorter >= SHORTEST && (written.starts_with(name) || name.starts_with(written))
}
