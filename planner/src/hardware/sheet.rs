//! A device that nobody measured: a table from the figures of its data sheet, as a spec's cluster says them.
//!
//! What a data sheet does not say is taken over from the devices that were measured: which part of the peak large products reach, which part
//! of the memory's bandwidth streams, what a launch takes. So such a table is cruder than a measured one, and its band is learned apart: from
//! the same published runs, predicted as if their devices had not been measured (`hardware/bands.toml`).

use pleach_dsl::experiment::{Cluster, Precision};
use pleach_plan::Dtype;
use pleach_plan::hardware::{
    Attention, Direction, Figure, Gemm, Hardware, Kind, Links, Memory, Overhead, SCHEMA,
};

use super::HardwareError;
use super::fitted::Fitted;

/// The part of the peak that large products reach.
const PRODUCTS: (f64, &str) = (
    0.74,
    "data sheet x 0.74, between the A100's 234 of 312 TFLOP/s and the H100's 725 of 989",
);

/// The part of the memory's bandwidth that streams.
const STREAMS: (f64, &str) = (
    0.91,
    "data sheet x 0.91, between the A100's 1.78 of 2.039 TB/s and the H100's 3.2 of 3.35",
);

/// Attention forward and backward, counted in FLOPs of the whole square, as parts of the peak.
const ATTENTION: [(Direction, f64, &str); 2] = [
    (
        Direction::Forward,
        0.77,
        "data sheet x 0.77, as on the H100: 760 of 989 TFLOP/s",
    ),
    (
        Direction::Backward,
        0.65,
        "data sheet x 0.65, as on the H100: 640 of 989 TFLOP/s",
    ),
];

/// Makes the table.
///
/// # Errors
/// Figures that the cluster does not say.
pub fn of(cluster: &Cluster, precision: Precision) -> Result<Hardware, HardwareError> {
    let wide = matches!(precision, Precision::Fp32);
    if matches!(precision, Precision::Fp64) {
        return Err(HardwareError::Wide {
            name: cluster.device.clone(),
        });
    }
    let missing = missing(cluster, wide);
    let (Some(memory), Some(peak), Some(bandwidth), []) = (
        cluster.memory,
        cluster.peak_flops,
        cluster.bandwidth,
        &missing[..],
    ) else {
        return Err(HardwareError::Figures {
            name: cluster.device.clone(),
            missing,
        });
    };
    let sixteen = [Dtype::Bf16, Dtype::F16].map(|dtype| products(dtype, peak));
    let wide = cluster.peak_fp32.map(|peak| products(Dtype::F32, peak));
    Ok(Fitted::typical().applied(Hardware {
        schema: SCHEMA,
        name: cluster.device.clone(),
        about: format!(
            "{}: data sheet only, nothing of it measured here",
            cluster.device
        ),
        kind: Kind::Gpu,
        spread: None,
        sheet_only: true,
        observed: None,
        memory: Memory {
            capacity: figure(memory as f64, "the spec's cluster"),
            bandwidth: figure(bandwidth * STREAMS.0, STREAMS.1),
        },
        launch: figure(5e-6, "as on sm_90"),
        host: None,
        paces: Vec::new(),
        cores: None,
        overhead: Overhead {
            context: figure(0.92e9, "as on an A100 with all kernels loaded"),
            communication: figure(
                1.5e9,
                "torch.distributed after its first barrier: 0.55 to 2.00 GiB in all",
            ),
            narrow: None,
            pieces: None,
        },
        links: Some(links(cluster, bandwidth)),
        gemm: sixteen.into_iter().chain(wide).collect(),
        attention: attention(peak),
        elementwise: Vec::new(),
        collective: Vec::new(),
        transfer: Vec::new(),
    }))
}

/// Figures that planning needs and the cluster does not say.
fn missing(cluster: &Cluster, wide: bool) -> Vec<&'static str> {
    let needed = [
        ("memory", cluster.memory.is_none()),
        ("peak", cluster.peak_flops.is_none()),
        ("bandwidth", cluster.bandwidth.is_none()),
        ("peak_fp32", wide && cluster.peak_fp32.is_none()),
        (
            "intra_node",
            cluster.gpus_per_node > 1 && cluster.intra_node.is_none(),
        ),
        (
            "inter_node",
            cluster.nodes > 1 && cluster.inter_node.is_none(),
        ),
    ];
    let lacking = needed.into_iter().filter(|(_, lacks)| *lacks);
    lacking.map(|(name, _)| name).collect()
}

fn figure(value: f64, source: &str) -> Figure {
    Figure {
        value,
        source: source.to_owned(),
    }
}

fn products(dtype: Dtype, peak: f64) -> Gemm {
    Gemm {
        dtype,
        peak: Some(figure(peak, "the spec's cluster")),
        rate: figure(peak * PRODUCTS.0, PRODUCTS.1),
        tiles: None,
        points: Vec::new(),
    }
}

fn attention(peak: f64) -> Vec<Attention> {
    let kernels = [Dtype::Bf16, Dtype::F16]
        .into_iter()
        .flat_map(|dtype| ATTENTION.map(|kernel| (dtype, kernel)));
    kernels
        .map(|(dtype, (direction, part, source))| Attention {
            dtype,
            direction,
            rate: figure(peak * part, source),
            score: None,
        })
        .collect()
}

/// One GPU alone on one node has no links; what stands for them there is its memory, and nothing asks.
fn links(cluster: &Cluster, memory: f64) -> Links {
    let or = |figure: Option<f64>| figure.unwrap_or(memory);
    Links {
        intra_node: figure(or(cluster.intra_node), "the spec's cluster"),
        intra_efficiency: figure(0.78, "as on 8 x A100: bus 234.9 of 300 GB/s"),
        intra_latency: figure(7e-6, "as on sm_90"),
        inter_node: figure(or(cluster.inter_node), "the spec's cluster"),
        inter_efficiency: figure(0.8, "advertised network x 0.8 (stas00/ml-engineering)"),
        inter_latency: figure(10e-6, "16 nodes of p5en: about 10 us a hop"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> Cluster {
        Cluster {
            memory: Some(80 << 30),
            peak_flops: Some(989e12),
            bandwidth: Some(3.35e12),
            intra_node: Some(450e9),
            inter_node: Some(400e9),
            ..Cluster::plain("some_card", 2, 8)
        }
    }

    #[test]
    fn a_full_sheet_is_a_table_and_says_that_nothing_was_measured() {
        let table = of(&cluster(), Precision::Bf16).unwrap();
        assert!(table.sheet_only && table.about.contains("data sheet only"));
        let text = toml::to_string(&table).unwrap();
        assert_eq!(crate::hardware::parse(&text).unwrap(), table);
    }

    #[test]
    fn what_is_missing_is_named() {
        let bare = Cluster {
            bandwidth: None,
            inter_node: None,
            ..cluster()
        };
        let error = of(&bare, Precision::Fp32).unwrap_err();
        let HardwareError::Figures { missing, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(missing, ["bandwidth", "peak_fp32", "inter_node"]);
        let alone = Cluster {
            intra_node: None,
            inter_node: None,
            ..Cluster {
                nodes: 1,
                gpus_per_node: 1,
                ..cluster()
            }
        };
        assert!(of(&alone, Precision::Bf16).is_ok());
        assert!(of(&cluster(), Precision::Fp64).is_err());
    }

    /// A card that was measured is predicted much alike from its data sheet alone.
    #[test]
    fn the_sheet_of_a_measured_card_comes_near_its_table() {
        let sheet = of(&cluster(), Precision::Bf16).unwrap();
        let table = crate::hardware::find("h100_80g", None).unwrap();
        let near = |one: f64, other: f64| (one / other - 1.0).abs() < 0.15;
        assert!(near(
            sheet.memory.bandwidth.value,
            table.memory.bandwidth.value
        ));
        let rate = |hardware: &Hardware| {
            let bf16 = hardware.gemm.iter().find(|gemm| gemm.dtype == Dtype::Bf16);
            bf16.unwrap().rate.value
        };
        assert!(near(rate(&sheet), rate(&table)));
    }
}
