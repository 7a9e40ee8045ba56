//! What must hold of any text. The fuzz targets call these with a fuzzer's texts, the suite with a fixed number of damaged specs.

use std::collections::BTreeMap;

use pleach_dsl::{Spec, format as lay_out, load, outline};

/// A text gives a tree with places inside it, whatever it is.
pub fn parse(text: &str) {
    for symbol in outline(text) {
        let place = symbol.place;
        assert!(
            place.start <= place.end && place.end <= text.len(),
            "{place:?}"
        );
    }
}

/// A text gives an experiment or a reason why not, and every problem has a place in a text.
pub fn resolve(text: &str) {
    let files = BTreeMap::from([("main.pleach".to_string(), text.to_string())]);
    let loaded = load("main.pleach", &files, &[], None);
    let lacks = !loaded.lacking.is_empty();
    assert!(loaded.experiment.is_some() || lacks || loaded.problems.errors() > 0);
    for problem in loaded.problems.iter() {
        assert_ne!(problem.code, "pleach::fault", "{}", problem.title);
        let place = problem.at.place;
        let source = loaded.problems.sources().get(place.file);
        assert!(
            source.text.get(place.start..place.end).is_some(),
            "{}: {place:?}",
            problem.title
        );
    }
    let shown = loaded.problems.render(false);
    assert_eq!(shown.is_empty(), loaded.problems.is_empty());
}

/// All that a text offers is checked, and every problem can be shown.
pub fn check(text: &str) {
    let files = BTreeMap::from([("main.pleach".to_string(), text.to_string())]);
    let checked = Spec::read("main.pleach", &files, &[]).check(None);
    let shown = checked.problems.render(false);
    assert_eq!(shown.is_empty(), checked.problems.is_empty());
}

/// What can be laid out is laid out once and for all.
pub fn format(text: &str) {
    if let Ok(once) = lay_out("main.pleach", text) {
        let twice = lay_out("main.pleach", &once).expect("what was laid out can be read");
        assert_eq!(once, twice);
    }
}
