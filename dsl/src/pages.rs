//! The page of each code: what it means, a spec that earns it, and the same spec put right. The pages are the literate suites of
//! `tests/spec/errors/`, compiled in, so that what is explained is what is tested.

const SUITES: [&str; 10] = [
    include_str!("../../tests/spec/errors/syntax.md"),
    include_str!("../../tests/spec/errors/names.md"),
    include_str!("../../tests/spec/errors/values.md"),
    include_str!("../../tests/spec/errors/composition.md"),
    include_str!("../../tests/spec/errors/experiment.md"),
    include_str!("../../tests/spec/errors/models.md"),
    include_str!("../../tests/spec/errors/train.md"),
    include_str!("../../tests/spec/errors/phases.md"),
    include_str!("../../tests/spec/errors/sweeps.md"),
    include_str!("../../tests/spec/errors/plan.md"),
];

/// The page of a code (`pleach::heads::indivisible`), in Markdown; none where the language has no such code.
pub fn page(code: &str) -> Option<&'static str> {
    SUITES
        .iter()
        .flat_map(|suite| sections(suite))
        .find(|(title, _)| *title == code)
        .map(|(_, text)| text)
}

/// All codes that have a page, in the order of the suites.
pub fn codes() -> Vec<&'static str> {
    SUITES
        .iter()
        .flat_map(|suite| sections(suite))
        .map(|(title, _)| title)
        .collect()
}

/// The sections of a suite: heading, and the text with it.
fn sections(suite: &'static str) -> Vec<(&'static str, &'static str)> {
    let starts: Vec<usize> = suite
        .match_indices("\n## ")
        .map(|(start, _)| start + 1)
        .collect();
    let ends = starts.iter().skip(1).copied().chain([suite.len()]);
    let cut = |(start, end): (&usize, usize)| {
        let text = suite[*start..end].trim_end();
        (
            text.lines()
                .next()
                .unwrap_or_default()
                .trim_start_matches('#')
                .trim(),
            text,
        )
    };
    starts.iter().zip(ends).map(cut).collect()
}
