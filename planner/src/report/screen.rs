//! The one screen of `pleach plan`: a report in, text of at most 80 columns out, readable without colour.

use std::fmt::Write as _;

use super::parts::{Evaluations, Memory, Placed, Run, Stage, Throughput, Time};
use super::{Machines, Price, Report};
use crate::search::Rejected;

const WIDTH: usize = 80;
const INDENT: &str = "  ";

/// The screen of a report.
pub fn screen(report: &Report) -> String {
    let mut out = String::new();
    head(&mut out, report);
    figures(&mut out, report);
    memory(&mut out, &report.memory);
    alternatives(&mut out, report);
    rejected(&mut out, report);
    out
}

/// What `fit` shows of a report: everything but the run and how the answer was found.
pub fn fitting(report: &Report) -> String {
    let mut out = String::new();
    head(&mut out, report);
    row(&mut out, "placement", &placement(&report.placement));
    row(&mut out, "", &stages(&report.placement));
    step(&mut out, &report.time);
    peak(&mut out, &report.memory);
    rates(&mut out, &report.throughput);
    let parameters = count(report.model.parameters as f64);
    row(&mut out, "model", &format!("{parameters} parameters"));
    memory(&mut out, &report.memory);
    out
}

/// Rows of names and texts, wrapped.
pub fn rows(rows: &[(&str, String)]) -> String {
    let mut out = String::new();
    for (name, text) in rows {
        row(&mut out, name, text);
    }
    out
}

/// Only the table of memory by kind and stage.
pub fn memory_screen(report: &Report) -> String {
    let mut out = String::new();
    memory(&mut out, &report.memory);
    out
}

fn head(out: &mut String, report: &Report) {
    let cluster = &report.cluster;
    let machines = format!(
        "{} x {} {}",
        cluster.nodes,
        cluster.gpus / cluster.nodes.max(1),
        cluster.gpu
    );
    let title = format!("{} on {machines}", report.experiment.name);
    let right = format!("engine {} ({})", report.engine, report.supported);
    line(
        out,
        &format!(
            "{title}{right:>width$}",
            width = WIDTH.saturating_sub(title.len()).max(right.len() + 2)
        ),
    );
    line(out, "");
}

fn figures(out: &mut String, report: &Report) {
    for about in &report.observed {
        row(out, "observed", about);
    }
    machines(out, &report.cluster);
    row(out, "placement", &placement(&report.placement));
    row(out, "", &stages(&report.placement));
    step(out, &report.time);
    peak(out, &report.memory);
    rates(out, &report.throughput);
    run(out, &report.run, report.cluster.price.as_ref());
    let parameters = count(report.model.parameters as f64);
    row(out, "model", &format!("{parameters} parameters"));
}

/// What was chosen of the machines, where anything was.
fn machines(out: &mut String, cluster: &Machines) {
    let among = &cluster.nodes_among;
    if let [first, .., last] = among[..] {
        let all: Vec<String> = among.iter().map(u64::to_string).collect();
        let rising = among.windows(2).all(|pair| pair[1] == pair[0] + 1);
        let sizes = match (rising, all.len()) {
            (true, 3..) => format!("{first} to {last}"),
            _ => all.join(", "),
        };
        row(
            out,
            "nodes",
            &format!("{}, chosen among {sizes}", cluster.nodes),
        );
    }
    if cluster.idle > 0 {
        let used = cluster.gpus - cluster.idle;
        let text = format!(
            "{used} of {} are used, {} stay idle",
            cluster.gpus, cluster.idle
        );
        row(out, "gpus", &text);
    }
}

fn step(out: &mut String, time: &Time) {
    let [step, low, high] = [time.step_s, time.low_s, time.high_s].map(seconds);
    row(
        out,
        "step",
        &format!("{step}, between {low} and {high} (90 %)"),
    );
    row(out, "", &parts(time));
}

fn peak(out: &mut String, memory: &Memory) {
    let [peak, capacity] = [memory.peak_bytes, memory.capacity_bytes].map(gibibytes);
    let [low, high] = [memory.low_bytes, memory.high_bytes].map(gibibytes);
    let fits = if memory.fits { "" } else { " DOES NOT FIT," };
    let text = format!("{peak} of {capacity},{fits} between {low} and {high} (90 %)");
    row(out, "memory", &text);
}

fn rates(out: &mut String, rates: &Throughput) {
    let [all, each] = [rates.tokens_per_s, rates.tokens_per_s_per_gpu].map(count);
    row(out, "throughput", &format!("{all} tokens/s, {each} each"));
    let [model, hardware] = [rates.model_tflops_per_gpu, rates.hardware_tflops_per_gpu].map(flops);
    let again = if model == hardware {
        String::new()
    } else {
        format!(" ({hardware} with recompute)")
    };
    row(
        out,
        "",
        &format!("{model} each{again}, MFU {:.1} %", rates.mfu * 100.0),
    );
}

/// What a run takes, in a few words.
pub fn run_line(run: &Run) -> String {
    let [steps, tokens] = [run.steps, run.tokens].map(|number| count(number as f64));
    format!("{steps} steps, {tokens} tokens: {}", span(run.seconds))
}

/// What is measured of what is held out, and how much longer the run is for it.
fn evaluation_line(own: &Evaluations) -> String {
    let [times, batches] = [own.times, own.batches].map(|number| count(number as f64));
    format!(
        "{} more to evaluate {times} times {batches} batches",
        span(own.seconds)
    )
}

fn run(out: &mut String, run: &Run, price: Option<&Price>) {
    row(out, "run", &run_line(run));
    if let Some(own) = &run.evaluation {
        row(out, "", &evaluation_line(own));
    }
    let hours = hours(run.gpu_hours);
    let (Some(cost), Some(price)) = (run.cost_usd, price) else {
        row(out, "", &format!("{hours} GPU-hours, no price known"));
        return;
    };
    let each = price.usd_per_gpu_hour;
    let cost = count(cost);
    row(
        out,
        "",
        &format!("{hours} GPU-hours, {cost} usd at {each:.2} usd/hour"),
    );
    let date = price
        .date
        .as_ref()
        .map_or(String::new(), |date| format!(", {date}"));
    row(out, "", &format!("price: {}{date}", price.source));
}

fn memory(out: &mut String, memory: &Memory) {
    line(out, "");
    let kinds = [
        "weights",
        "gradients",
        "optimizer",
        "activ.",
        "buffers",
        "overhead",
        "peak",
    ];
    let unit = if memory.peak_bytes >= 1 << 30 {
        ("GiB", 30)
    } else {
        ("MiB", 20)
    };
    let heading: String = kinds.iter().map(|kind| format!("{kind:>10}")).collect();
    line(out, &format!("{INDENT}{:<8}{heading}", unit.0));
    let mut index = 0;
    while index < memory.per_stage.len() {
        let stage = memory.per_stage[index];
        let alike = memory.per_stage[index..]
            .iter()
            .take_while(|other| **other == stage)
            .count();
        let name = if alike > 1 {
            format!("{index}-{}", index + alike - 1)
        } else {
            index.to_string()
        };
        let cells: String = cells(&stage)
            .iter()
            .map(|&bytes| format!("{:>10}", scaled(bytes, unit.1)))
            .collect();
        line(out, &format!("{INDENT}{:<8}{cells}", format!("pp {name}")));
        index += alike;
    }
}

fn cells(stage: &Stage) -> [u64; 7] {
    [
        stage.parameters,
        stage.gradients,
        stage.optimizer,
        stage.activations,
        stage.buffers,
        stage.overhead,
        stage.peak,
    ]
}

fn alternatives(out: &mut String, report: &Report) {
    let several = report.cluster.nodes_among.len() > 1;
    if report.alternatives.is_empty() {
        return;
    }
    line(out, "");
    line(out, &format!("{INDENT}next best"));
    for other in &report.alternatives {
        let nodes = if several {
            format!("{}, ", plural(other.nodes, "node"))
        } else {
            String::new()
        };
        let text = format!("{nodes}{}", placement(&other.placement));
        for (index, part) in wrap(&text, WIDTH - 2 * INDENT.len()).iter().enumerate() {
            let deeper = if index == 0 { "" } else { INDENT };
            line(out, &format!("{INDENT}{deeper}{part}"));
        }
        let figures = format!(
            "{}, {}",
            seconds(other.time.step_s),
            gibibytes(other.memory.peak_bytes)
        );
        line(out, &format!("{INDENT}{INDENT}{figures}: {}", other.why));
    }
}

fn rejected(out: &mut String, report: &Report) {
    line(out, "");
    let search = &report.search;
    let fit = fit(search.feasible);
    line(
        out,
        &format!(
            "{INDENT}{}: {} of {} simulated",
            plural(search.candidates, "placement"),
            fit,
            search.simulated
        ),
    );
    let mut shown = grouped(&report.rejected);
    let hidden = shown.len().saturating_sub(REASONS);
    if hidden > 0 {
        shown.sort_by_key(|region| std::cmp::Reverse(region.count));
        shown.truncate(REASONS);
    }
    for region in shown {
        let count = format!("({})", region.count);
        let text = format!("{:<8} {}", region.what, region.why);
        let room = WIDTH - INDENT.len() - count.len() - 1;
        for (index, part) in wrap(&text, room).iter().enumerate() {
            let end = if index == 0 {
                format!("{part:<room$} {count}")
            } else {
                format!("{:<9}{part}", "")
            };
            line(out, &format!("{INDENT}{end}"));
        }
    }
    if hidden > 0 {
        line(
            out,
            &format!("{INDENT}and {hidden} more reasons (--json has all)"),
        );
    }
}

/// Regions of one field that have the same reason as one: `tp 3, 6, 12`.
pub fn grouped(rejected: &[Rejected]) -> Vec<Rejected> {
    let mut groups: Vec<Rejected> = Vec::new();
    for region in rejected {
        let Some((field, value)) = region.what.split_once(' ') else {
            groups.push(region.clone());
            continue;
        };
        let same = |group: &&mut Rejected| {
            group.why == region.why && group.what.split(' ').next() == Some(field)
        };
        match groups.iter_mut().find(same) {
            Some(group) => {
                group.what = format!("{}, {value}", group.what);
                group.count += region.count;
            }
            None => groups.push(region.clone()),
        }
    }
    groups
}

/// Reasons that are shown; of more, those that say most.
const REASONS: usize = 20;

/// How many fit.
pub fn fit(number: u64) -> String {
    let end = if number == 1 { "s" } else { "" };
    format!("{number} fit{end}")
}

/// A number of things.
pub fn plural(number: u64, thing: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{end}")
}

/// A placement in one line.
pub fn placement(placed: &Placed) -> String {
    let sequence = if placed.sp { ", sequence parallel" } else { "" };
    let chunks = match placed.vpp {
        1 => String::new(),
        chunks => format!(" (vpp {chunks})"),
    };
    let blocks = placed.shards.map(|shards| format!(" among {shards}"));
    let blocks = blocks.unwrap_or_default();
    format!(
        "tp {} x pp {}{chunks} x dp {}{sequence}, zero {}{blocks}, {} x {} sequences, recompute {}",
        placed.tp,
        placed.pp,
        placed.dp,
        placed.zero,
        placed.micro_steps,
        placed.micro_batch,
        placed.recompute
    )
}

fn stages(placed: &Placed) -> String {
    let lengths: Vec<String> = placed
        .stages
        .iter()
        .map(|[first, last]| (last - first + 1).to_string())
        .collect();
    let shown = if lengths.len() > 16 {
        format!("{}, …", lengths[..16].join(", "))
    } else {
        lengths.join(", ")
    };
    match placed.vpp {
        1 => format!("layers of each stage: {shown}; 1F1B schedule"),
        chunks => format!(
            "layers of {chunks} chunks of each stage, in turn: {shown}; interleaved 1F1B schedule"
        ),
    }
}

fn parts(time: &Time) -> String {
    let part = |seconds: f64| {
        format!(
            "{:.0} %",
            100.0 * seconds / time.step_s.max(f64::MIN_POSITIVE)
        )
    };
    let [compute, bubble] = [time.compute_s, time.bubble_s].map(part);
    let [communication, optimizer] = [time.exposed_comm_s, time.optimizer_s].map(part);
    format!(
        "{compute} computing, {bubble} waiting, {communication} communicating, {optimizer} optimizer"
    )
}

fn row(out: &mut String, name: &str, text: &str) {
    for (index, part) in wrap(text, WIDTH - 13).iter().enumerate() {
        let name = if index == 0 { name } else { "" };
        line(out, &format!("{INDENT}{name:<11}{part}"));
    }
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{}", text.trim_end());
}

/// Breaks at spaces, so that no line is longer than `width`.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let last = lines.last_mut().expect("there is always a line");
        if !last.is_empty()
            && last.trim_end().chars().count()
                + word.trim_end().chars().count()
                + usize::from(last.ends_with(' '))
                > width
        {
            lines.push(word.to_owned());
        } else {
            last.push_str(word);
        }
    }
    lines
}

/// Seconds with three figures, in the unit that suits.
pub fn seconds(value: f64) -> String {
    match value {
        small if small < 1e-3 => format!("{:.0} us", small * 1e6),
        small if small < 1.0 => format!("{} ms", figures_of(small * 1e3)),
        large => format!("{} s", figures_of(large)),
    }
}

/// Bytes in GiB, or MiB where they are few.
pub fn gibibytes(bytes: u64) -> String {
    if bytes >= 1 << 30 {
        format!("{} GiB", scaled(bytes, 30))
    } else {
        format!("{} MiB", scaled(bytes, 20))
    }
}

fn scaled(bytes: u64, shift: u32) -> String {
    format!("{:.1}", bytes as f64 / (1u64 << shift) as f64)
}

fn flops(tera: f64) -> String {
    if tera >= 1.0 {
        format!("{} TFLOP/s", figures_of(tera))
    } else {
        format!("{} GFLOP/s", figures_of(tera * 1e3))
    }
}

/// A long time in the unit that suits.
pub fn span(seconds: f64) -> String {
    match seconds {
        short if short < 120.0 => format!("{short:.0} s"),
        short if short < 7200.0 => format!("{:.0} min", short / 60.0),
        long if long < 172_800.0 => format!("{:.1} h", long / 3600.0),
        days => format!("{:.1} days", days / 86_400.0),
    }
}

/// Hours, with a decimal where they are few.
fn hours(value: f64) -> String {
    if value < 100.0 {
        format!("{value:.1}")
    } else {
        count(value)
    }
}

fn figures_of(value: f64) -> String {
    match value {
        large if large >= 100.0 => format!("{large:.0}"),
        middle if middle >= 10.0 => format!("{middle:.1}"),
        small => format!("{small:.2}"),
    }
}

/// A number with K, M, B or T.
pub fn count(value: f64) -> String {
    match value {
        small if small < 1e4 => format!("{small:.0}"),
        thousands if thousands < 1e6 => format!("{} K", figures_of(thousands / 1e3)),
        millions if millions < 1e9 => format!("{} M", figures_of(millions / 1e6)),
        billions if billions < 1e12 => format!("{} B", figures_of(billions / 1e9)),
        trillions => format!("{} T", figures_of(trillions / 1e12)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_stay_short() {
        let lines = wrap("one two three four five", 9);
        assert_eq!(lines, ["one two ", "three ", "four five"]);
        assert!(lines.iter().all(|line| line.trim_end().len() <= 9));
    }

    #[test]
    fn regions_with_one_reason_are_told_together() {
        let region = |what: &str, why: &str| Rejected {
            what: what.to_owned(),
            why: why.to_owned(),
            count: 2,
        };
        let all = [
            region("tp 3", "heads"),
            region("pp 3", "heads"),
            region("tp 6", "heads"),
            region("tp 7", "width"),
        ];
        let told: Vec<(String, u64)> = grouped(&all)
            .into_iter()
            .map(|group| (group.what, group.count))
            .collect();
        let expected = [("tp 3, 6", 4), ("pp 3", 2), ("tp 7", 2)];
        assert_eq!(told, expected.map(|(what, count)| (what.to_owned(), count)));
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(seconds(45.678), "45.7 s");
        assert_eq!(seconds(0.0123), "12.3 ms");
        assert_eq!(count(20_554_567_680.0), "20.6 B");
        assert_eq!(gibibytes(47 << 30), "47.0 GiB");
    }
}
