//! The placement on the machines: which rank of the mesh lives on which GPU.

use super::{Source, put, section};

/// Nodes that are drawn; more are alike.
const SHOWN: u64 = 24;

/// Every node with its GPUs.
pub fn nodes(out: &mut String, source: &Source<'_>) {
    let report = source.report;
    let placed = &report.placement;
    let (tp, dp, pp) = (
        u64::from(placed.tp),
        u64::from(placed.dp),
        u64::from(placed.pp),
    );
    section(
        out,
        "On the machines",
        "Ranks in the order in which they are numbered: s is the stage of the pipeline, d the replica, t the part of every matrix.",
    );
    put(out, format_args!("<div class=\"nodes\">"));
    let each = source.gpus_per_node.max(1);
    for node in 0..report.cluster.nodes.min(SHOWN) {
        put(
            out,
            format_args!("<section class=\"node\"><h3>node {node}</h3><div class=\"gpus\">"),
        );
        for rank in (node * each)..((node + 1) * each) {
            if rank >= tp * dp * pp {
                put(
                    out,
                    format_args!("<div class=\"gpu idle\">idle<br>{rank}</div>"),
                );
                continue;
            }
            let (stage, replica, part) = (rank / (dp * tp), rank / tp % dp, rank % tp);
            let hue = (205 + stage * 360 / pp.max(1)) % 360;
            put(
                out,
                format_args!(
                    "<div class=\"gpu\" style=\"--hue:{hue}\" title=\"rank {rank}\">s{stage} d{replica}<br>t{part}</div>"
                ),
            );
        }
        put(out, format_args!("</div></section>"));
    }
    put(out, format_args!("</div>"));
    let more = report.cluster.nodes.saturating_sub(SHOWN);
    if more > 0 {
        put(
            out,
            format_args!("<p>and {more} more nodes, numbered on</p>"),
        );
    }
}
