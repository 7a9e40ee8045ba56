//! Problems as a reader sees them: SOURCE and ERROR side by side, at 80 columns, without colour; and as a program reads them.

use std::collections::BTreeMap;

use crate::common::{Repository, load_text, small};
use pleach_dsl::load;

/// Loads a text and shows it above what is reported.
fn screen(text: &str) -> String {
    let loaded = load_text(text);
    format!("SOURCE\n{text}\nERROR\n{}", loaded.problems.render(false))
}

#[test]
fn nine_slips_give_nine_messages() {
    let loaded = load("dsl/tests/suite/input/many.pleach", &Repository, &[], None);
    assert_eq!(
        loaded.problems.errors(),
        9,
        "{}",
        loaded.problems.render(false)
    );
    insta::assert_snapshot!(loaded.problems.render(false));
}

#[test]
fn distant_labels_are_two_snippets() {
    let text = format!("{}\n", small(&"\n".repeat(40), "plan { tp = 3 }"));
    let shown = load_text(&text).problems.render(false);
    assert!(shown.lines().count() < 25, "{shown}");
    insta::assert_snapshot!(shown);
}

#[test]
fn labels_in_two_files_are_two_notes() {
    let files = BTreeMap::from([
        ("base.pleach".to_string(), small("", "")),
        (
            "main.pleach".to_string(),
            "import \"base.pleach\"\nexperiment one extends small { plan { tp = 3 } }\n"
                .to_string(),
        ),
    ]);
    insta::assert_snapshot!(
        load("main.pleach", &files, &[], None)
            .problems
            .render(false)
    );
}

#[test]
fn a_law_shows_its_values() {
    let text = small(
        "",
        "plan {\n  tp = 8\n  pp = 4\n  require tp * pp <= cluster.gpus_per_node because \"NVLink ends at the node\"\n}",
    );
    insta::assert_snapshot!(screen(&text));
}

#[test]
fn labels_are_no_wider_than_the_screen() {
    let reason = "a group of this many ranks would leave the node, and what joins nodes here is an order of magnitude slower than what joins its GPUs";
    let law = format!("plan {{\n  tp = 8\n  require tp < 8\n    because \"{reason}\"\n}}");
    let shown = load_text(&small("", &law)).problems.render(false);
    assert!(shown.contains("magnitude"), "{shown}");
    let labels = shown.lines().filter(|line| !line.contains("because"));
    for line in labels {
        assert!(line.chars().count() <= 80, "{shown}");
    }
}

#[test]
fn a_batch_and_its_replicas() {
    let text = small(
        "",
        "plan { tp = 1, pp = 1, dp = 8, micro_batch = 3 sequences }",
    );
    insta::assert_snapshot!(screen(&text));
}

#[test]
fn warnings_leave_the_experiment() {
    let text = small("", "").replace("peak = 1e-3", "peak = 3e4");
    let loaded = load_text(&text);
    assert!(loaded.experiment.is_some());
    insta::assert_snapshot!(loaded.problems.render(false));
}

#[test]
fn a_missing_file_has_no_snippet() {
    insta::assert_snapshot!(
        load("nowhere.pleach", &BTreeMap::new(), &[], None)
            .problems
            .render(false)
    );
}

#[test]
fn twenty_problems_are_enough() {
    let lines: String = (0..27).map(|index| format!("wrong{index} = 1\n")).collect();
    let loaded = load_text(&small("", &lines));
    assert_eq!(loaded.problems.errors(), 27);
    let shown = loaded.problems.render(false);
    assert!(shown.ends_with("and 7 more\n"));
    assert_eq!(shown.matches("pleach::field::unknown").count(), 20);
}

#[test]
fn colour_only_adds_colour() {
    let text = small("", "plan { tp = 3 }");
    let problems = load_text(&text).problems;
    let coloured = problems.render(true);
    assert!(coloured.contains('\u{1b}'));
    let mut plain = String::new();
    let mut inside = false;
    for character in coloured.chars() {
        match character {
            '\u{1b}' => inside = true,
            'm' if inside => inside = false,
            _ if inside => {}
            other => plain.push(other),
        }
    }
    assert_eq!(plain, problems.render(false));
}

#[test]
fn programs_read_json() {
    let text = small("", "plan { tp = 3 }");
    insta::assert_json_snapshot!(load_text(&text).problems.to_json());
}
