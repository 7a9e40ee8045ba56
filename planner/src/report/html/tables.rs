//! What is best said in words: the next best, what was left out, what the figures rest on, the spec.

use super::{escape, put, section};
use crate::report::Report;
use crate::report::screen::{self, gibibytes, seconds};

/// Runners-up that are listed.
const LISTED: usize = 10;

/// The chosen placement and the next best.
pub fn alternatives(out: &mut String, report: &Report) {
    section(
        out,
        "The next best",
        "In the order of the spec's goals, each with what speaks against it.",
    );
    put(
        out,
        format_args!(
            "<div class=\"scroll\"><table><tr><th>placement</th><th>nodes</th><th>step</th><th>memory</th><th>against the chosen</th></tr>"
        ),
    );
    let row = |class: &str, cells: [String; 5]| {
        let cells = cells
            .map(|cell| format!("<td>{}</td>", escape(&cell)))
            .join("");
        format!("<tr{class}>{cells}</tr>")
    };
    let chosen = [
        screen::placement(&report.placement),
        report.cluster.nodes.to_string(),
        seconds(report.time.step_s),
        gibibytes(report.memory.peak_bytes),
        "chosen".to_owned(),
    ];
    out.push_str(&row(" class=\"chosen\"", chosen));
    for other in report.alternatives.iter().take(LISTED) {
        let cells = [
            screen::placement(&other.placement),
            other.nodes.to_string(),
            seconds(other.time.step_s),
            gibibytes(other.memory.peak_bytes),
            other.why.clone(),
        ];
        out.push_str(&row("", cells));
    }
    put(out, format_args!("</table></div>"));
}

/// What was left out, by reason.
pub fn rejected(out: &mut String, report: &Report) {
    let search = &report.search;
    let about = format!(
        "{}: {} of {} simulated. Regions that were left out, with their reasons and how many placements they hold.",
        screen::plural(search.candidates, "placement"),
        screen::fit(search.feasible),
        search.simulated
    );
    section(out, "The search", &about);
    put(
        out,
        format_args!(
            "<div class=\"scroll\"><table><tr><th>region</th><th style=\"text-align:left\">reason</th><th>placements</th></tr>"
        ),
    );
    for region in screen::grouped(&report.rejected) {
        put(
            out,
            format_args!(
                "<tr><td>{}</td><td class=\"text\">{}</td><td>{}</td></tr>",
                escape(&region.what),
                escape(&region.why),
                region.count
            ),
        );
    }
    put(out, format_args!("</table></div>"));
}

/// What the figures rest on, and where prices come from.
pub fn assumptions(out: &mut String, report: &Report) {
    section(
        out,
        "What the figures rest on",
        "Tables, the engine's documented facts, and the runs behind the bands.",
    );
    put(out, format_args!("<ul class=\"plain\">"));
    for line in &report.assumptions {
        put(out, format_args!("<li>{}</li>", escape(line)));
    }
    if let Some(price) = &report.cluster.price {
        let text = format!(
            "price: {:.2} usd for a GPU and hour, {}",
            price.usd_per_gpu_hour, price.source
        );
        put(out, format_args!("<li>{}</li>", escape(&text)));
    }
    put(out, format_args!("</ul>"));
}

/// The spec as it was written.
pub fn spec(out: &mut String, text: &str) {
    section(
        out,
        "The spec",
        "As it was planned; `pleach show` has every value with its origin.",
    );
    put(
        out,
        format_args!("<pre tabindex=\"0\">{}</pre>", escape(text.trim_end())),
    );
}
