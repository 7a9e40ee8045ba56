//! The step over time: what every stage does, and what it holds.

use pleach_plan::{BodyKind, Slot};

use super::{Source, legend, put, section};
use crate::cost::{Class, PICO};
use crate::memory::{self, Level};
use crate::report::screen::{gibibytes, seconds};
use crate::simulate::{Simulation, Span};

/// Rectangles of a page before a step is drawn in bins.
const RECTANGLES: usize = 6000;

/// Width of a drawing in its own units.
const WIDTH: f64 = 1000.0;

/// A slot of a stage, in time.
struct Drawn {
    class: &'static str,
    start: u64,
    end: u64,
    communication: u64,
    text: String,
}

/// The Gantt chart of the pipeline.
pub fn gantt(out: &mut String, source: &Source<'_>, simulation: &Simulation) {
    let whole = simulation.step;
    section(
        out,
        "The step",
        "One row for each stage of the pipeline. Gaps are waiting; the thin line below a part is the share of it that communicates.",
    );
    legend(
        out,
        &[
            ("forward", "forward"),
            ("backward", "backward"),
            ("optimizer", "once a step"),
            ("communication", "communicating"),
            ("idle", "waiting"),
        ],
    );
    put(
        out,
        format_args!("<div data-chart role=\"group\" aria-label=\"Pipeline over time\">"),
    );
    let stages = simulation.roles.len();
    let lanes: Vec<Vec<Drawn>> = (0..stages)
        .map(|stage| slots(source, simulation, stage))
        .collect();
    let bins = (lanes.iter().map(Vec::len).sum::<usize>() > RECTANGLES)
        .then(|| (RECTANGLES / stages.max(1)).clamp(60, 800));
    for (stage, lane) in lanes.iter().enumerate() {
        let busy = 1.0 - simulation.roles[stage].bubble as f64 / whole.max(1) as f64;
        put(
            out,
            format_args!(
                "<div class=\"lane\"><span>stage {stage}</span><svg class=\"bar\" viewBox=\"0 0 1000 20\" \
                 preserveAspectRatio=\"none\" role=\"img\" aria-label=\"stage {stage} is busy for {:.0} % of the step\">",
                busy * 100.0
            ),
        );
        match bins {
            Some(bins) => binned(out, lane, whole, bins),
            None => lane.iter().for_each(|drawn| rectangle(out, drawn, whole)),
        }
        put(
            out,
            format_args!("</svg><span>{:.0} % busy</span></div>\n", busy * 100.0),
        );
    }
    axis(out, whole);
    put(
        out,
        format_args!("<p class=\"detail\" aria-live=\"polite\"></p></div>"),
    );
}

fn rectangle(out: &mut String, drawn: &Drawn, whole: u64) {
    let at = |time: u64| time as f64 / whole.max(1) as f64 * WIDTH;
    let (start, wide) = (at(drawn.start), at(drawn.end - drawn.start));
    let (class, text) = (drawn.class, &drawn.text);
    put(
        out,
        format_args!(
            "<rect class=\"{class}\" x=\"{start:.2}\" width=\"{wide:.2}\" height=\"20\" data-t=\"{text}\"><title>{text}</title></rect>"
        ),
    );
    let communicating = at(drawn.communication);
    if communicating >= 0.05 {
        put(
            out,
            format_args!(
                "<rect class=\"communication\" x=\"{start:.2}\" y=\"16\" width=\"{communicating:.2}\" height=\"4\"/>"
            ),
        );
    }
}

/// A stage of very many slots: what fills most of each bin, equal neighbours as one.
fn binned(out: &mut String, lane: &[Drawn], whole: u64, bins: usize) {
    const KINDS: [&str; 3] = ["forward", "backward", "optimizer"];
    let mut filled = vec![[0u64; 3]; bins];
    let width = whole.div_ceil(bins as u64).max(1);
    for drawn in lane {
        let Some(kind) = KINDS.iter().position(|kind| *kind == drawn.class) else {
            continue;
        };
        let mut start = drawn.start;
        while start < drawn.end {
            let bin = (start / width).min(bins as u64 - 1);
            let end = drawn.end.min((bin + 1) * width).max(start + 1);
            filled[bin as usize][kind] += end - start;
            start = end;
        }
    }
    let kind = |bin: &[u64; 3]| {
        let most = (0..3).max_by_key(|&kind| bin[kind]).unwrap_or(0);
        (bin.iter().sum::<u64>() * 2 > width).then_some(KINDS[most])
    };
    let mut index = 0;
    while index < bins {
        let own = kind(&filled[index]);
        let alike = filled[index..]
            .iter()
            .take_while(|bin| kind(bin) == own)
            .count();
        if let Some(class) = own {
            let [x, wide] = [index, alike].map(|bins_| bins_ as f64 / bins as f64 * WIDTH);
            let [from, to] =
                [index, index + alike].map(|bin| seconds((bin as u64 * width) as f64 / PICO));
            put(
                out,
                format_args!(
                    "<rect class=\"{class}\" x=\"{x:.2}\" width=\"{wide:.2}\" height=\"20\" data-t=\"mostly {class}, {from} to {to}\"/>"
                ),
            );
        }
        index += alike;
    }
}

/// Calls of a stage with their times.
fn slots(source: &Source<'_>, simulation: &Simulation, stage: usize) -> Vec<Drawn> {
    let plan = source.costs.plan();
    let role = &plan.roles[stage];
    let mut times: Vec<Option<[u64; 3]>> = vec![None; role.slots.len()];
    let own = |span: &&Span| span.stage as usize == stage && !span.transfer;
    for span in simulation.spans.iter().filter(own) {
        let time = times[span.place.slot].get_or_insert([span.start, span.end, 0]);
        time[0] = time[0].min(span.start);
        time[1] = time[1].max(span.end);
        if span.class == Class::Communication {
            time[2] += span.end - span.start;
        }
    }
    let drawn = role.slots.iter().zip(times).filter_map(|(slot, time)| {
        let (Slot::Call(call), Some([start, end, communication])) = (slot, time) else {
            return None;
        };
        let body = &plan.bodies[call.body.0 as usize];
        let (class, word) = match body.kind {
            BodyKind::Forward => ("forward", format!("micro-batch {}", call.micro_batch)),
            BodyKind::Backward => ("backward", format!("micro-batch {}", call.micro_batch)),
            BodyKind::Begin | BodyKind::Fold | BodyKind::Reduce | BodyKind::Update => {
                ("optimizer", "once a step".to_owned())
            }
        };
        let layers = call.layers.map_or_else(String::new, |[first, last]| {
            format!(", layers {first} to {last}")
        });
        let [from, to] = [start, end].map(|time| seconds(time as f64 / PICO));
        let text = format!("{}{layers}, {word}: {from} to {to}", body.name);
        Some(Drawn {
            class,
            start,
            end,
            communication,
            text,
        })
    });
    drawn.collect()
}

/// Marks of time below a chart.
fn axis(out: &mut String, whole: u64) {
    put(
        out,
        format_args!("<div class=\"axis\" aria-hidden=\"true\">"),
    );
    for (class, share) in [
        ("", 0.0),
        ("middle", 0.25),
        ("", 0.5),
        ("middle", 0.75),
        ("", 1.0),
    ] {
        let text = if share == 0.0 {
            "0".to_owned()
        } else {
            seconds(whole as f64 / PICO * share)
        };
        put(out, format_args!("<span class=\"{class}\">{text}</span>"));
    }
    put(out, format_args!("</div>"));
}

/// Memory of every stage over the step, under the limit.
pub fn memory(out: &mut String, source: &Source<'_>, simulation: &Simulation) {
    let capacity = source.chosen.capacity;
    section(
        out,
        "Memory over the step",
        "What a rank of each stage holds, with what engine and device add. The peak of each stage stands beside it.",
    );
    put(
        out,
        format_args!(
            "<ul class=\"legend\"><li><i style=\"--of:var(--forward)\"></i>held</li><li><i class=\"mark\"></i>limit, {}</li></ul>",
            gibibytes(capacity)
        ),
    );
    let top = capacity.max(source.chosen.peak()) as f64 * 1.08;
    let high = |bytes: u64| 58.0 * (1.0 - bytes as f64 / top);
    let levels = memory::levels(source.costs);
    for (stage, held) in source.chosen.memory.iter().enumerate() {
        let peak = gibibytes(held.peak);
        put(
            out,
            format_args!(
                "<div class=\"lane\"><span>stage {stage}</span><svg class=\"tall\" viewBox=\"0 0 1000 58\" \
                 preserveAspectRatio=\"none\" role=\"img\" aria-label=\"stage {stage} holds {peak} at its peak\">\
                 <path class=\"live\" d=\"{}\"/><path class=\"limit\" d=\"M0 {:.2}H1000\"/></svg><span>{peak}</span></div>\n",
                outline(
                    &levels[stage],
                    (simulation, stage),
                    held.peak - held.named.min(held.peak),
                    high
                ),
                high(capacity)
            ),
        );
    }
    axis(out, simulation.step);
}

/// The outline of what a stage holds: within each slot its highest instant, so no peak is lost.
fn outline(
    levels: &[Level],
    (simulation, stage): (&Simulation, usize),
    beside: u64,
    high: impl Fn(u64) -> f64,
) -> String {
    const POINTS: usize = 1000;
    let whole = simulation.step.max(1);
    let mut columns = [0u64; POINTS];
    let mut ends = vec![[u64::MAX, 0]; levels.len()];
    let own = |span: &&Span| span.stage as usize == stage && !span.transfer;
    for span in simulation.spans.iter().filter(own) {
        let [start, end] = &mut ends[span.place.slot];
        (*start, *end) = ((*start).min(span.start), (*end).max(span.end));
    }
    let column =
        |time: u64| ((time as f64 / whole as f64 * POINTS as f64) as usize).min(POINTS - 1);
    let (mut last, mut held) = (0, levels.first().map_or(0, |level| level.before));
    for (level, [start, end]) in levels.iter().zip(ends) {
        if start == u64::MAX {
            held = level.after;
            continue;
        }
        for waiting in &mut columns[last..column(start)] {
            *waiting = (*waiting).max(held);
        }
        for busy in &mut columns[column(start)..=column(end)] {
            *busy = (*busy).max(level.highest);
        }
        (last, held) = (column(end), level.after);
    }
    for rest in &mut columns[last..] {
        *rest = (*rest).max(held);
    }
    let mut path = "M0 58".to_owned();
    let mut before = None;
    for (index, bytes) in columns.into_iter().enumerate() {
        if before != Some(bytes) {
            let y = high(bytes + beside);
            path.push_str(&format!("H{index}V{y:.2}"));
        }
        before = Some(bytes);
    }
    path.push_str("H1000V58Z");
    path
}
