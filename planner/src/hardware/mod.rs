//! Tables of devices: text in, a checked [`Hardware`] out.
//!
//! Tables of GPUs are compiled in from `hardware/*.toml`; a measured machine brings its own text, which the caller has read.
//! A device without a table is planned from its data sheet, [`sheet`]. [`bands`] says how far predictions were from published runs.

pub mod bands;
pub mod chip;
pub mod fitted;
mod limits;
pub mod sheet;

use pleach_dsl::experiment::{Cluster, Precision};
use pleach_plan::hardware::{Figure, SCHEMA};

pub use pleach_plan::hardware::Hardware;

/// The tables that are compiled in, by the name that a cluster's `device` says.
const SHIPPED: [(&str, &str); 6] = [
    ("a100_40g", include_str!("../../../hardware/a100_40g.toml")),
    ("a100_80g", include_str!("../../../hardware/a100_80g.toml")),
    ("h100_80g", include_str!("../../../hardware/h100_80g.toml")),
    (
        "this_machine",
        include_str!("../../../hardware/this_machine.toml"),
    ),
    ("v100_16g", include_str!("../../../hardware/v100_16g.toml")),
    ("v100_32g", include_str!("../../../hardware/v100_32g.toml")),
];

/// Why there is no usable table.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum HardwareError {
    /// No table of that name.
    #[error("there is no table for the device `{name}`; there are {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// No table of that name, and too little said of the device to plan from its data sheet.
    #[error("no table measures the device `{name}`, and `cluster` says no {}", missing.join(", no "))]
    Figures {
        /// What was asked for.
        name: String,
        /// Fields of the cluster.
        missing: Vec<&'static str>,
    },
    /// A data sheet says nothing of 64 bits.
    #[error(
        "no table measures the device `{name}`, so training in 64 bits cannot be planned on it"
    )]
    Wide {
        /// What was asked for.
        name: String,
    },
    /// The text is not such a table.
    #[error("this is not a device's table: {0}")]
    Format(String),
    /// Another version of the format.
    #[error(
        "the table has schema {found}, this program reads {SCHEMA}; `pleach calibrate` writes a new one"
    )]
    Schema {
        /// The version found.
        found: u32,
    },
    /// A figure that no device has.
    #[error("`{field}` is {value}, which no device has: it must be a positive number")]
    Figure {
        /// Where it stands.
        field: String,
        /// What it says.
        value: f64,
    },
    /// A figure beyond any machine.
    #[error("`{field}` is {value}, and must be from {low} to {high}")]
    Beyond {
        /// Where it stands.
        field: String,
        /// What it says.
        value: f64,
        /// The least.
        low: f64,
        /// The most.
        high: f64,
    },
    /// Nothing is said of something that every plan asks for.
    #[error("the table has no `{field}`: it was cut, or was never measured whole")]
    Missing {
        /// What is not there.
        field: &'static str,
    },
    /// Points that are out of order.
    #[error("the points of `{field}` must rise in size")]
    Order {
        /// Where they stand.
        field: String,
    },
}

/// The table for a cluster's `device`: `own` where a machine brings one, else the shipped one with the constants that were fitted for its chip.
///
/// # Errors
/// No such device, or a text that is no valid table.
pub fn find(device: &str, own: Option<&str>) -> Result<Hardware, HardwareError> {
    if let Some(text) = own {
        return parse(text);
    }
    let table = plain(device)?;
    Ok(match fitted::Fitted::of(device) {
        Some(fitted) => fitted.applied(table),
        None => table,
    })
}

/// The shipped table of a device as it stands in its file.
///
/// # Errors
/// No such device.
pub fn plain(device: &str) -> Result<Hardware, HardwareError> {
    match SHIPPED.iter().find(|(name, _)| *name == device) {
        Some((_, text)) => parse(text),
        None => Err(HardwareError::Unknown {
            name: device.to_owned(),
            known: SHIPPED.iter().map(|(name, _)| (*name).to_owned()).collect(),
        }),
    }
}

/// The table for a cluster: the shipped one of its `device`, or one from the figures that the spec says of it.
///
/// # Errors
/// No table of that name, and figures that are missing.
pub fn of(cluster: &Cluster, precision: Precision) -> Result<Hardware, HardwareError> {
    match find(&cluster.device, None) {
        Err(HardwareError::Unknown { .. }) => sheet::of(cluster, precision),
        found => found,
    }
}

/// Reads a table.
///
/// # Errors
/// Not TOML of that form, another schema, or figures that make no sense.
pub fn parse(text: &str) -> Result<Hardware, HardwareError> {
    let hardware: Hardware =
        toml::from_str(text).map_err(|error| HardwareError::Format(error.to_string()))?;
    if hardware.schema != SCHEMA {
        return Err(HardwareError::Schema {
            found: hardware.schema,
        });
    }
    check(&hardware)?;
    Ok(hardware)
}

fn check(hardware: &Hardware) -> Result<(), HardwareError> {
    positive("memory.capacity", &hardware.memory.capacity)?;
    positive("memory.bandwidth", &hardware.memory.bandwidth)?;
    positive("launch", &hardware.launch)?;
    limits::check(hardware)?;
    for gemm in &hardware.gemm {
        positive("gemm.rate", &gemm.rate)?;
        for point in &gemm.points {
            number("gemm.points.seconds", point.seconds)?;
        }
    }
    for attention in &hardware.attention {
        positive("attention.rate", &attention.rate)?;
    }
    for rate in &hardware.elementwise {
        positive(&format!("elementwise.{}.rate", rate.op), &rate.rate)?;
    }
    for collective in &hardware.collective {
        rising(&format!("collective.{}", collective.op), &collective.points)?;
    }
    rising("transfer", &hardware.transfer)?;
    links(hardware)
}

fn links(hardware: &Hardware) -> Result<(), HardwareError> {
    let Some(links) = &hardware.links else {
        return Ok(());
    };
    for (field, figure) in [
        ("links.intra_node", &links.intra_node),
        ("links.intra_efficiency", &links.intra_efficiency),
        ("links.inter_node", &links.inter_node),
        ("links.inter_efficiency", &links.inter_efficiency),
    ] {
        positive(field, figure)?;
    }
    Ok(())
}

fn positive(field: &str, figure: &Figure) -> Result<(), HardwareError> {
    number(field, figure.value)
}

fn number(field: &str, value: f64) -> Result<(), HardwareError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(HardwareError::Figure {
        field: field.to_owned(),
        value,
    })
}

fn rising(field: &str, points: &[pleach_plan::hardware::SizePoint]) -> Result<(), HardwareError> {
    for point in points {
        number(field, point.seconds)?;
    }
    if points.windows(2).all(|pair| pair[0].bytes < pair[1].bytes) {
        return Ok(());
    }
    Err(HardwareError::Order {
        field: field.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use pleach_plan::hardware::Team;

    use super::*;

    #[test]
    fn every_shipped_table_is_valid_and_bears_its_name() {
        for (name, text) in SHIPPED {
            assert_eq!(parse(text).unwrap().name, name);
        }
    }

    #[test]
    fn a_table_survives_being_written_and_read() {
        for (_, text) in SHIPPED {
            let hardware = parse(text).unwrap();
            assert_eq!(
                parse(&toml::to_string(&hardware).unwrap()).unwrap(),
                hardware
            );
        }
    }

    #[test]
    fn ranks_that_have_more_cores_take_the_figures_of_a_team() {
        let mut table = find("this_machine", None).unwrap();
        let team = Team {
            threads: 2,
            launch: table.launch.clone(),
            bandwidth: Figure {
                value: 2.0 * table.memory.bandwidth.value,
                ..table.memory.bandwidth.clone()
            },
            gemm: Vec::new(),
            attention: Vec::new(),
            elementwise: Vec::new(),
        };
        let cores = table.cores.as_mut().unwrap();
        (cores.count, cores.teams) = (4, vec![team.clone()]);
        let [alone, pairs] = [4, 1].map(|ranks| table.clone().shared_by(ranks));
        assert_eq!(alone.memory, table.memory);
        assert_eq!(
            (&pairs.memory.bandwidth, &pairs.gemm),
            (&team.bandwidth, &team.gemm)
        );
        assert!(!alone.gemm.is_empty());
    }

    #[test]
    fn nonsense_is_named() {
        let error = find("b300", None).unwrap_err();
        assert!(error.to_string().contains("a100_40g"), "{error}");
        let text = SHIPPED[0].1.replace(
            "bandwidth = { value = 1.36e12",
            "bandwidth = { value = -1.0",
        );
        assert_eq!(
            parse(&text).unwrap_err(),
            HardwareError::Figure {
                field: "memory.bandwidth".into(),
                value: -1.0
            }
        );
        assert!(matches!(parse("schema = 1"), Err(HardwareError::Format(_))));
    }
}
