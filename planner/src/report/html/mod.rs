//! `pleach plan --report`: a plan in, one HTML page out that needs no network, no font and no script from elsewhere.
//!
//! Every chart has its figures as text too. Labels stand outside of the drawings, which stretch with the page, so that a
//! phone shows the same page; the script only repeats what a hover shows.

mod charts;
mod nodes;
mod steps;
mod tables;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use super::Report;
use super::screen::{self, count, gibibytes, seconds, span};
use crate::cost::Costs;
use crate::search::Evaluated;
use crate::simulate::{self, Detail, Stuck};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("hover.js");

/// What a page is made of.
pub struct Source<'s> {
    /// The figures; its alternatives are the points of the plot.
    pub report: &'s Report,
    /// The chosen plan with its prices.
    pub costs: &'s Costs<'s>,
    /// The chosen placement.
    pub chosen: &'s Evaluated,
    /// GPUs of a node.
    pub gpus_per_node: u64,
    /// The text of the spec.
    pub spec: &'s str,
}

/// The page.
///
/// # Errors
/// The stages wait for each other for ever.
pub fn page(source: &Source<'_>) -> Result<String, Stuck> {
    let simulation = simulate::run(source.costs, Detail::Instructions)?;
    let mut out = String::new();
    head(&mut out, source.report);
    steps::gantt(&mut out, source, &simulation);
    steps::memory(&mut out, source, &simulation);
    charts::breakdown(&mut out, source);
    charts::pareto(&mut out, source.report);
    nodes::nodes(&mut out, source);
    tables::alternatives(&mut out, source.report);
    tables::rejected(&mut out, source.report);
    tables::assumptions(&mut out, source.report);
    tables::spec(&mut out, source.spec);
    let report = source.report;
    put(
        &mut out,
        format_args!(
            "<footer>experiment {} &middot; placement {}</footer></main><script>{SCRIPT}</script></body></html>\n",
            escape(&report.experiment.hash),
            escape(&report.placement.hash)
        ),
    );
    Ok(out)
}

fn head(out: &mut String, report: &Report) {
    let cluster = &report.cluster;
    let each = cluster.gpus / cluster.nodes.max(1);
    let title = format!(
        "{} on {} x {each} {}",
        report.experiment.name, cluster.nodes, cluster.gpu
    );
    let title = escape(&title);
    put(
        out,
        format_args!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\"><title>{title}</title><style>{STYLE}</style></head>\n\
             <body><header><h1>{title}</h1><p class=\"placement\">{}</p>",
            escape(&screen::placement(&report.placement))
        ),
    );
    tiles(out, report);
    put(out, format_args!("</header><main>\n"));
}

/// What a tile says: its name, its figure, and more of it.
type Tile = (&'static str, String, String);

fn tiles(out: &mut String, report: &Report) {
    let [step, memory] = predicted(report);
    let bad = if report.memory.fits { "" } else { " bad" };
    let rest = derived(report).map(|tile| (tile, ""));
    put(out, format_args!("<div class=\"tiles\">"));
    for ((what, value, more), class) in [(step, ""), (memory, bad)].into_iter().chain(rest) {
        let (value, more) = (escape(&value), escape(&more));
        put(
            out,
            format_args!(
                "<div class=\"tile{class}\"><span>{what}</span><b>{value}</b><span>{more}</span></div>"
            ),
        );
    }
    put(out, format_args!("</div>"));
}

/// Time and memory, each with its band.
fn predicted(report: &Report) -> [Tile; 2] {
    let (time, memory) = (&report.time, &report.memory);
    let [low, high] = [time.low_s, time.high_s].map(seconds);
    let step = format!("between {low} and {high} (90 %)");
    let [low, high] = [memory.low_bytes, memory.high_bytes].map(gibibytes);
    let capacity = gibibytes(memory.capacity_bytes);
    let peak = format!("of {capacity}; between {low} and {high} (90 %)");
    [
        ("a step", seconds(time.step_s), step),
        ("of memory", gibibytes(memory.peak_bytes), peak),
    ]
}

/// What follows from them.
fn derived(report: &Report) -> [Tile; 3] {
    let (rates, run) = (&report.throughput, &report.run);
    let each = count(rates.tokens_per_s_per_gpu);
    let rate = format!("{each} each, MFU {:.1} %", rates.mfu * 100.0);
    let cost = run
        .cost_usd
        .map_or_else(String::new, |cost| format!(", {} usd", count(cost)));
    let evaluating = run.evaluation.map_or_else(String::new, |own| {
        format!("; {} more to evaluate", span(own.seconds))
    });
    let [steps, hours] = [run.steps as f64, run.gpu_hours].map(count);
    let engine = format!(
        "parameters; engine {} ({})",
        report.engine, report.supported
    );
    [
        ("tokens/s", count(rates.tokens_per_s), rate),
        (
            "the run",
            span(run.seconds),
            format!("{steps} steps, {hours} GPU-hours{cost}{evaluating}"),
        ),
        ("the model", count(report.model.parameters as f64), engine),
    ]
}

/// A heading with what there is to see below it.
fn section(out: &mut String, title: &str, about: &str) {
    put(
        out,
        format_args!("<h2>{}</h2><p>{}</p>\n", escape(title), escape(about)),
    );
}

/// Colours by their class and name.
fn legend(out: &mut String, kinds: &[(&str, &str)]) {
    put(out, format_args!("<ul class=\"legend\">"));
    for (class, name) in kinds {
        put(
            out,
            format_args!("<li><i style=\"--of:var(--{class})\"></i>{name}</li>"),
        );
    }
    put(out, format_args!("</ul>"));
}

/// Writing to a string cannot fail.
fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

/// Text that is no markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
