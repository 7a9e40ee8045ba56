//! Where time and memory go, and what else there was to choose.

use super::{Source, escape, legend, put, section};
use crate::cost::PICO;
use crate::report::screen::{self, gibibytes, seconds};
use crate::report::{Alternative, Report};

/// Time and memory of every stage by kind.
pub fn breakdown(out: &mut String, source: &Source<'_>) {
    section(
        out,
        "Where the time goes",
        "What fills the step of each stage, from its first instruction to its last.",
    );
    let kinds = [
        ("backward", "computing"),
        ("communication", "communicating"),
        ("waiting", "waiting"),
        ("optimizer", "once a step"),
    ];
    legend(out, &kinds);
    let whole = source.chosen.simulation.step;
    for (stage, role) in source.chosen.simulation.roles.iter().enumerate() {
        let parts = [
            role.compute,
            role.communication,
            role.bubble,
            role.optimizer,
        ];
        let told = |part: u64| seconds(part as f64 / PICO);
        stacked(
            out,
            (stage, whole),
            &kinds.map(|(class, name)| (class, name)),
            &parts,
            &told,
        );
    }
    section(
        out,
        "Where the memory goes",
        "What a rank of each stage holds at its peak, by kind; the full width is the device.",
    );
    let kinds = [
        ("parameters", "weights"),
        ("gradients", "gradients"),
        ("states", "optimizer"),
        ("activations", "activations"),
        ("buffers", "buffers"),
        ("overhead", "overhead"),
    ];
    legend(out, &kinds);
    let most = source.chosen.capacity.max(source.chosen.peak());
    for (stage, held) in source.chosen.memory.iter().enumerate() {
        let parts = [
            held.parameters,
            held.gradients,
            held.optimizer,
            held.activations,
            held.buffers,
            held.overhead,
        ];
        stacked(out, (stage, most), &kinds, &parts, &gibibytes);
    }
}

/// A bar of parts, with their sum beside it.
fn stacked(
    out: &mut String,
    (stage, whole): (usize, u64),
    kinds: &[(&str, &str)],
    parts: &[u64],
    told: &dyn Fn(u64) -> String,
) {
    let texts = kinds
        .iter()
        .zip(parts)
        .map(|((_, name), part)| format!("{name} {}", told(*part)));
    let label = texts.collect::<Vec<_>>().join(", ");
    put(
        out,
        format_args!(
            "<div class=\"lane\"><span>stage {stage}</span><svg class=\"bar\" viewBox=\"0 0 1000 20\" preserveAspectRatio=\"none\" \
             role=\"img\" aria-label=\"{label}\">"
        ),
    );
    let mut x = 0.0;
    for ((class, name), part) in kinds.iter().zip(parts) {
        let wide = *part as f64 / whole.max(1) as f64 * 1000.0;
        let text = format!("{name} {}", told(*part));
        put(
            out,
            format_args!(
                "<rect class=\"{class}\" x=\"{x:.2}\" width=\"{wide:.2}\" height=\"20\"><title>{text}</title></rect>"
            ),
        );
        x += wide;
    }
    let sum = told(parts.iter().sum());
    put(out, format_args!("</svg><span>{sum}</span></div>\n"));
}

/// A placement as a point.
struct Point {
    step: f64,
    peak: u64,
    class: &'static str,
    text: String,
}

fn point(step: f64, peak: u64, nodes: u64, placed: &str) -> Point {
    let text = format!(
        "{}, {}: {placed}, {}",
        seconds(step),
        gibibytes(peak),
        screen::plural(nodes, "node")
    );
    Point {
        step,
        peak,
        class: "",
        text,
    }
}

/// Step time against memory of everything that came near.
pub fn pareto(out: &mut String, report: &Report) {
    section(
        out,
        "What else there was",
        "Every placement that was simulated and came near, by the time of a step and by memory. Those that no other one beats in both are the front.",
    );
    put(
        out,
        format_args!(
            "<ul class=\"legend\"><li><i style=\"--of:var(--communication)\"></i>chosen</li><li><i style=\"--of:var(--forward)\"></i>front</li>\
             <li><i style=\"--of:var(--waiting)\"></i>beaten in both</li></ul>"
        ),
    );
    let others = report.alternatives.iter().map(|other: &Alternative| {
        let placed = screen::placement(&other.placement);
        point(
            other.time.step_s,
            other.memory.peak_bytes,
            other.nodes,
            &placed,
        )
    });
    let placed = screen::placement(&report.placement);
    let chosen = point(
        report.time.step_s,
        report.memory.peak_bytes,
        report.cluster.nodes,
        &placed,
    );
    let mut points: Vec<Point> = std::iter::once(chosen).chain(others).collect();
    let figures: Vec<(f64, u64)> = points
        .iter()
        .map(|point| (point.step, point.peak))
        .collect();
    for (index, point) in points.iter_mut().enumerate() {
        let beaten = figures
            .iter()
            .any(|(step, peak)| *step < point.step && *peak < point.peak);
        point.class = match (index, beaten) {
            (0, _) => " chosen",
            (_, false) => " front",
            (_, true) => "",
        };
    }
    plot(out, &points);
}

fn plot(out: &mut String, points: &[Point]) {
    let steps = range(points.iter().map(|point| point.step));
    let peaks = range(points.iter().map(|point| point.peak as f64));
    let share = |value: f64, [low, high]: [f64; 2]| (value - low) / (high - low) * 100.0;
    put(
        out,
        format_args!(
            "<div data-chart><div class=\"plot\" role=\"group\" aria-label=\"Step time against memory\">"
        ),
    );
    for point in points.iter().rev() {
        let (x, y) = (share(point.step, steps), share(point.peak as f64, peaks));
        let text = escape(&point.text);
        put(
            out,
            format_args!(
                "<button class=\"dot{}\" style=\"left:{x:.2}%;bottom:{y:.2}%\" aria-label=\"{text}\" title=\"{text}\" data-t=\"{text}\"></button>",
                point.class
            ),
        );
    }
    for share in [0.0, 0.5, 1.0] {
        let at = |[low, high]: [f64; 2]| low + (high - low) * share;
        let (step, peak) = (seconds(at(steps)), gibibytes(at(peaks).max(0.0) as u64));
        let place = share * 100.0;
        let end = if share == 1.0 { " end" } else { "" };
        put(
            out,
            format_args!(
                "<span class=\"x{end}\" style=\"left:{place}%\">{step}</span><span class=\"y\" style=\"bottom:{place}%\">{peak}</span>"
            ),
        );
    }
    put(
        out,
        format_args!("</div><p class=\"detail\" aria-live=\"polite\"></p></div>"),
    );
}

/// The ends of an axis: the values with a margin, and never of no length.
fn range(values: impl Iterator<Item = f64> + Clone) -> [f64; 2] {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(0.0, f64::max);
    let margin = ((high - low) * 0.08)
        .max(high * 0.02)
        .max(f64::MIN_POSITIVE);
    [(low - margin).max(0.0), high + margin]
}
