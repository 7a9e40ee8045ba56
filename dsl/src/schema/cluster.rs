//! Fields of a cluster.

use super::{Field, Need, Section, Type};
use crate::quantity::Dimension;

/// Machines.
pub static CLUSTER: Section = Section {
    name: "cluster",
    doc: "Nodes, what is in them, and what joins them.",
    fields: &[
        Field::new(
            "about",
            Type::Text,
            Need::Optional,
            "Where the figures come from; it changes nothing.",
        ),
        Field::new(
            "nodes",
            Type::Count(1),
            Need::From("gpus", "gpus / gpus_per_node"),
            "Nodes.",
        ),
        Field::new(
            "gpus_per_node",
            Type::Count(1),
            Need::Required,
            "GPUs of a node; of this machine: ranks that share it.",
        ),
        Field::new(
            "gpus",
            Type::Count(1),
            Need::From("nodes", "nodes * gpus_per_node"),
            "All GPUs.",
        ),
        Field::new(
            "device",
            Type::Text,
            Need::Required,
            "What one of them is: a table in `hardware/` that measures it, `this_machine`, `file:TABLE.toml` below the spec's folder, which `pleach calibrate --out` wrote, or a name for the data sheet's figures below.",
        ),
        Field::new(
            "memory",
            Type::Whole(Dimension::BYTES),
            Need::Optional,
            "Memory of one; left out where the machine is asked.",
        ),
        Field::new(
            "peak",
            Type::Number(FLOPS),
            Need::Optional,
            "Dense peak of its matrix units in 16 bits; left out where the machine is measured.",
        ),
        Field::new(
            "intra_node",
            Type::Number(BANDWIDTH),
            Need::Optional,
            "Between two GPUs of a node, one direction.",
        ),
        Field::new(
            "inter_node",
            Type::Number(BANDWIDTH),
            Need::Optional,
            "A node's network, one direction, all ports together.",
        ),
        Field::new(
            "bandwidth",
            Type::Number(BANDWIDTH),
            Need::Optional,
            "Bandwidth of its memory by the data sheet; needed where no table in `hardware/` measures the device.",
        ),
        Field::new(
            "peak_fp32",
            Type::Number(FLOPS),
            Need::Optional,
            "Dense peak in 32 bits, for the same; needed to train in 32 bits.",
        ),
        Field::new(
            "price",
            Type::Number(PRICE),
            Need::Optional,
            "Price of one GPU, idle or not: `2 usd/hour`; with `price_source` and `price_date`.",
        ),
        Field::new(
            "price_source",
            Type::Text,
            Need::Optional,
            "Where the price comes from: an address, a contract.",
        ),
        Field::new(
            "price_date",
            Type::Text,
            Need::Optional,
            "When it was looked up: `2026-11-09`.",
        ),
    ],
    later: &["spot", "island", "topology", "racks"],
};

const FLOPS: Dimension = Dimension::FLOP.over(Dimension::SECONDS);
const BANDWIDTH: Dimension = Dimension::BYTES.over(Dimension::SECONDS);
const PRICE: Dimension = Dimension::USD.over(Dimension::SECONDS);
