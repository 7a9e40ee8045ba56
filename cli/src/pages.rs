//! The pages behind diagnostic codes of the commands and of the worker, beside those of the language.
//!
//! In comes a code; out comes its page: what it means, why, what to do. The texts are compiled in from `tests/pages`, where a
//! test holds them against the codes in the sources.

/// The files of pages.
const FILES: [&str; 3] = [
    include_str!("../../tests/pages/commands.md"),
    include_str!("../../tests/pages/runs.md"),
    include_str!("../../tests/pages/worker.md"),
];

/// The page of a code.
pub fn page(code: &str) -> Option<&'static str> {
    pleach_dsl::page(code).or_else(|| {
        sections()
            .find(|(title, _)| *title == code)
            .map(|(_, text)| text)
    })
}

/// All codes that have a page.
pub fn codes() -> Vec<&'static str> {
    let own = sections().map(|(title, _)| title);
    pleach_dsl::codes().into_iter().chain(own).collect()
}

/// Each heading with the text under it, the heading included.
fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.into_iter().flat_map(|file| {
        let starts = file.match_indices("\n## ").map(|(at, _)| at + 1);
        let ends = starts.clone().skip(1).chain([file.len()]);
        starts.zip(ends).map(|(start, end)| {
            let text = file[start..end].trim_end();
            let title = text.lines().next().unwrap_or_default();
            (title.trim_start_matches('#').trim(), text)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_found_by_its_code_and_has_a_text() {
        let all = codes();
        let mut once = all.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), all.len(), "no code has two pages");
        for code in all {
            let page = page(code).unwrap_or_else(|| panic!("{code}"));
            assert!(page.starts_with(&format!("## {code}")), "{page}");
            assert!(page.len() > code.len() + 40, "{page}");
        }
        for line in FILES.iter().flat_map(|file| file.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
