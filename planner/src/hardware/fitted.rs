//! Constants of a chip that were fitted to published runs: what parts of a table's figures training reaches.
//!
//! A benchmark that runs one kernel again and again is faster than the same kernel within a step: clocks fall under load, kernels wait for each other,
//! networks are shared. Seven parts for each chip say by how much, two more what memory holds beside tensors, and an engine whose host sets the pace has two of its own; `cargo xtask accuracy --fit` writes them from all rows of the chip at once, never for
//! one row, and says how well they do on rows that they were not fitted to (`hardware/fitted/*.toml`).

use std::collections::BTreeMap;

use pleach_plan::hardware::{Figure, Hardware, Pace};
use serde::{Deserialize, Serialize};

/// The files that are compiled in, by the chip's name.
const SHIPPED: [(&str, &str); 3] = [
    ("a100", include_str!("../../../hardware/fitted/a100.toml")),
    ("h100", include_str!("../../../hardware/fitted/h100.toml")),
    ("v100", include_str!("../../../hardware/fitted/v100.toml")),
];

/// The names of the constants, in the order of [`Fitted::values`].
pub const NAMES: [&str; 7] = [
    "products",
    "attention",
    "memory",
    "intra",
    "inter",
    "launch",
    "host",
];

/// The constants of one chip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fitted {
    /// Rows that they were fitted to.
    pub rows: u32,
    /// Whose rows.
    pub source: String,
    /// The part of a table's rate that matrix products reach.
    pub products: f64,
    /// The part of a table's rate that attention kernels reach.
    pub attention: f64,
    /// The part of a table's rate that operations limited by memory reach.
    pub memory: f64,
    /// The part of a table's speed that collectives inside a node reach.
    pub intra: f64,
    /// The part of a table's bandwidth that a node's network reaches.
    pub inter: f64,
    /// The gap before a kernel, over the table's.
    pub launch: f64,
    /// Seconds that the host takes to issue an operation.
    pub host: f64,
    /// What the allocator holds in pieces that it cannot join, as a part of the activations at the peak.
    #[serde(default)]
    pub pieces: f64,
    /// Bytes that the device shows beyond tensors, the table's context and its communication library.
    #[serde(default)]
    pub beside: f64,
    /// The pace of the hosts of engines that were measured apart, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paces: BTreeMap<String, Paced>,
}

/// Seconds that one engine's host takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paced {
    /// For each operation.
    pub host: f64,
    /// For each further rank of a tensor-parallel collective, in a job of several nodes whose stages hand on.
    pub skew: f64,
}

impl Fitted {
    /// The constants that hold for a device; none where its chip has none.
    ///
    /// # Panics
    /// Never: the files are compiled in, and a test reads them.
    pub fn of(device: &str) -> Option<Self> {
        let text = SHIPPED.iter().find(|(chip, _)| chip_of(device) == *chip);
        text.map(|(_, text)| {
            toml::from_str(text).expect("fitted constants are compiled in and tested")
        })
    }

    /// What nothing was fitted to: the table as it stands.
    pub fn none() -> Self {
        Self::from_values([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    }

    /// The geometric mean of all chips, for a device that nobody measured.
    pub fn typical() -> Self {
        let all: Vec<[f64; 7]> = SHIPPED
            .iter()
            .filter_map(|(chip, _)| Some(Self::of(chip)?.values()))
            .collect();
        let mean = |index: usize| {
            let logarithms = all.iter().map(|values| libm::log(values[index].max(1e-12)));
            libm::exp(logarithms.sum::<f64>() / all.len() as f64)
        };
        let files = SHIPPED.iter().filter_map(|(chip, _)| Self::of(chip));
        let memory: Vec<[f64; 2]> = files.map(|own| [own.pieces, own.beside]).collect();
        let plain =
            |index: usize| memory.iter().map(|own| own[index]).sum::<f64>() / memory.len() as f64;
        Self::from_values(std::array::from_fn(mean)).with_memory([plain(0), plain(1)])
    }

    /// The constants in the order of [`NAMES`].
    pub fn values(&self) -> [f64; 7] {
        [
            self.products,
            self.attention,
            self.memory,
            self.intra,
            self.inter,
            self.launch,
            self.host,
        ]
    }

    /// The same from an array.
    pub fn from_values(values: [f64; 7]) -> Self {
        let [products, attention, memory, intra, inter, launch, host] = values;
        Fitted {
            rows: 0,
            source: String::new(),
            products,
            attention,
            memory,
            intra,
            inter,
            launch,
            host,
            pieces: 0.0,
            beside: 0.0,
            paces: BTreeMap::new(),
        }
    }

    /// The same with the paces of some engines.
    #[must_use]
    pub fn with_paces(self, paces: BTreeMap<String, Paced>) -> Self {
        Fitted { paces, ..self }
    }

    /// The same with what memory holds: a part of the activations in pieces, and bytes beside.
    #[must_use]
    pub fn with_memory(self, [pieces, beside]: [f64; 2]) -> Self {
        Fitted {
            pieces,
            beside,
            ..self
        }
    }

    /// A table with these constants in it.
    #[must_use]
    pub fn applied(&self, mut hardware: Hardware) -> Hardware {
        let scale = |figure: &mut Figure, part: f64| {
            figure.value *= part;
            figure.source = format!("{}; times {part:.3}, fitted", figure.source);
        };
        scale(&mut hardware.memory.bandwidth, self.memory);
        scale(&mut hardware.launch, self.launch);
        hardware
            .gemm
            .iter_mut()
            .for_each(|gemm| scale(&mut gemm.rate, self.products));
        hardware
            .attention
            .iter_mut()
            .for_each(|own| scale(&mut own.rate, self.attention));
        if let Some(links) = &mut hardware.links {
            scale(&mut links.intra_efficiency, self.intra);
            scale(&mut links.inter_efficiency, self.inter);
        }
        let points = hardware
            .collective
            .iter_mut()
            .flat_map(|curve| &mut curve.points);
        points.for_each(|point| point.seconds /= self.intra);
        hardware.overhead.communication.value += self.beside;
        hardware.overhead.pieces = (self.pieces > 0.0).then(|| Figure {
            value: self.pieces,
            source: "fitted".to_owned(),
        });
        let figure = |value: f64| Figure {
            value,
            source: "fitted".to_owned(),
        };
        hardware.host = (self.host > 0.0).then(|| figure(self.host));
        let pace = |(engine, paced): (&String, &Paced)| Pace {
            engine: engine.clone(),
            host: figure(paced.host),
            skew: figure(paced.skew),
        };
        hardware.paces = self.paces.iter().map(pace).collect();
        hardware
    }
}

/// The chip that a device's name begins with: `a100` of `a100_80g`.
pub fn chip_of(device: &str) -> &str {
    device.split('_').next().unwrap_or(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_read_and_its_parts_are_sensible() {
        for (chip, _) in SHIPPED {
            let fitted = Fitted::of(chip).unwrap();
            let [.., host] = fitted.values();
            let parts = &fitted.values()[..6];
            assert!(parts.iter().all(|part| (0.2..5.0).contains(part)), "{chip}");
            assert!((0.0..1e-4).contains(&host), "{chip}");
            assert!((0.0..1.0).contains(&fitted.pieces), "{chip}");
            assert!((0.0..1e10).contains(&fitted.beside), "{chip}");
            assert!(
                fitted
                    .paces
                    .values()
                    .all(|own| own.host < 1e-3 && own.skew < 1e-2)
            );
            assert_eq!(
                Fitted::from_values(fitted.values()).values(),
                fitted.values()
            );
        }
        assert!(Fitted::of("b300").is_none());
    }

    #[test]
    fn nothing_fitted_changes_no_figure() {
        let text = include_str!("../../../hardware/a100_80g.toml");
        let table = crate::hardware::parse(text).unwrap();
        let same = Fitted::none().applied(table.clone());
        assert_eq!(same.memory.bandwidth.value, table.memory.bandwidth.value);
        assert_eq!(same.collective, table.collective);
        assert_eq!(same.host, None);
    }
}
