//! The page of the published run: whole, self-contained, and with the figures of the report.

use super::*;
use crate::report::tests::FLAGSHIP;

fn made() -> (String, Report) {
    let flagship = &*FLAGSHIP;
    let report = Report::new(
        &flagship.experiment,
        &flagship.hardware,
        &flagship.answer,
        0.0,
    );
    let costs = Costs::new(
        &flagship.answer.chosen.plan,
        &flagship.hardware,
        &flagship.experiment.cluster,
    );
    let source = Source {
        report: &report,
        costs: &costs,
        chosen: &flagship.answer.chosen,
        gpus_per_node: 8,
        spec: "experiment <one> & only",
    };
    (page(&source).unwrap(), report)
}

/// How often a part stands in a text.
fn times(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn the_page_is_whole_and_needs_nothing_from_elsewhere() {
    let (page, report) = made();
    let stages = report.placement.stages.len();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    for outside in ["http:", "https:", "src=", "@import", "url(", "<link"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for tag in [
        "div", "svg", "section", "table", "main", "header", "ul", "span", "button",
    ] {
        assert_eq!(
            times(&page, &format!("<{tag}")),
            times(&page, &format!("</{tag}>")),
            "{tag}"
        );
    }
    assert_eq!(times(&page, "<h2>"), 10);
    // A lane for each stage: the step, memory over time, and both breakdowns.
    assert_eq!(times(&page, "class=\"lane\""), 4 * stages);
    assert_eq!(times(&page, "class=\"gpu\""), 96);
    assert!(page.contains("experiment &lt;one&gt; &amp; only"));
    assert!(page.contains(&seconds(report.time.step_s)) && page.len() < 2_000_000);
}

#[test]
fn forward_and_backward_of_every_micro_batch_are_drawn_in_their_place() {
    let (page, report) = made();
    let chart = page.split("<h2>").nth(1).unwrap();
    let last = report.placement.micro_steps - 1;
    for kind in ["forward", "backward"] {
        let drawn = chart.matches(&format!("<rect class=\"{kind}\"")).count();
        assert!(
            drawn >= report.placement.stages.len() * (last as usize + 1),
            "{kind}: {drawn}"
        );
    }
    assert!(chart.contains(&format!("micro-batch {last}:")));
    let right = chart.split(" x=\"").skip(1).filter_map(|rest| {
        let x: f64 = rest.split('"').next()?.parse().ok()?;
        let wide: f64 = rest
            .split("width=\"")
            .nth(1)?
            .split('"')
            .next()?
            .parse()
            .ok()?;
        Some(x + wide)
    });
    let right = right.fold(0.0, f64::max);
    assert!(
        (right - 1000.0).abs() < 1.0,
        "the last part ends with the step: {right}"
    );
}

#[test]
fn memory_over_time_reaches_the_peak_and_stays_under_it() {
    let flagship = &*FLAGSHIP;
    let costs = Costs::new(
        &flagship.answer.chosen.plan,
        &flagship.hardware,
        &flagship.experiment.cluster,
    );
    for (levels, held) in crate::memory::levels(&costs)
        .iter()
        .zip(&flagship.answer.chosen.memory)
    {
        let highest = levels.iter().map(|level| level.highest).max().unwrap();
        assert_eq!(highest, held.named);
        assert_eq!(
            levels.first().unwrap().before,
            levels.last().unwrap().after,
            "a step leaves nothing behind"
        );
    }
}
