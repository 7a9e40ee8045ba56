//! Error bands: how far measurements lay from predictions.
//!
//! For GPUs the quantiles come from published runs (`hardware/bands.toml`, written by `cargo xtask accuracy --bands`);
//! a machine that measured itself brings its own spread.

use std::collections::BTreeMap;

use pleach_plan::hardware::{Hardware, Kind, Spread};
use serde::{Deserialize, Serialize};

const TABLE: &str = include_str!("../../../hardware/bands.toml");

/// The table that is shipped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shipped {
    /// Of the step's time, from runs on engines of one family.
    pub step: BTreeMap<String, Band>,
    /// Of the peak memory, from runs on engines of one family.
    pub memory: BTreeMap<String, Band>,
    /// Of the step's time, from all runs: for engines that nobody published runs of.
    pub any_step: Band,
    /// Of the peak memory, from all runs.
    pub any_memory: Band,
    /// Of the step's time where the device is known by its data sheet alone: the same runs, predicted without their devices' tables.
    pub sheet: Band,
}

/// The bands that hold for one plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Bands {
    /// Of the step's time.
    pub step: Band,
    /// Of the peak memory.
    pub memory: Band,
}

/// The middle 90 % of measured over predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// The 5 % quantile of measured over predicted.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// The 95 % quantile.
    pub high: f64,
    /// Runs that were compared.
    pub runs: u32,
    /// Which runs.
    pub source: String,
}

impl Shipped {
    /// The table of this build.
    ///
    /// # Panics
    /// Never: the table is compiled in, and a test reads it.
    pub fn read() -> Self {
        toml::from_str(TABLE).expect("the table of bands is compiled in and tested")
    }
}

impl Band {
    /// The band once a run of this kind was measured: how far runs lie from their common median is all that is left unknown.
    fn around_its_median(self) -> Band {
        Band {
            low: self.low / self.median,
            median: 1.0,
            high: self.high / self.median,
            source: format!(
                "{}; what was observed takes the place of their median",
                self.source
            ),
            ..self
        }
    }

    /// The ends of the band around a prediction, never excluding the prediction itself.
    pub fn around(&self, predicted: u64) -> [u64; 2] {
        let end = |factor: f64| libm::round(predicted as f64 * factor) as u64;
        [end(self.low.min(1.0)), end(self.high.max(1.0))]
    }
}

/// The bands that hold on a device for an engine's plans.
///
/// # Panics
/// Never: the table is compiled in, and a test reads it.
pub fn of(hardware: &Hardware, engine: &str) -> Bands {
    let shipped = Shipped::read();
    let published = match (hardware.sheet_only, engine) {
        (true, _) => shipped.sheet,
        (false, engine) => nearest(shipped.step, engine, shipped.any_step),
    };
    let own = |spread: Spread| Band {
        low: (1.0 + spread.low).max(0.0),
        median: 1.0,
        high: 1.0 + spread.high,
        runs: 0,
        source: format!("spread of the measurements of `{}`", hardware.name),
    };
    let memory = match hardware.kind {
        Kind::Gpu => nearest(shipped.memory, engine, shipped.any_memory),
        Kind::Cpu => Band {
            low: 0.95,
            median: 1.0,
            high: 1.05,
            runs: 0,
            source: "bytes are exact but for the allocator".to_owned(),
        },
    };
    let step = hardware.spread.map_or(published, own);
    let observed = hardware.observed.as_ref();
    let is_known = |figure: Option<f64>, band: Band| match figure {
        Some(_) => band.around_its_median(),
        None => band,
    };
    Bands {
        step: is_known(observed.and_then(|observed| observed.time), step),
        memory: is_known(observed.and_then(|observed| observed.memory), memory),
    }
}

/// The engines whose runs are alike: one band is learned from all of them.
pub fn family(engine: &str) -> &'static str {
    match engine {
        "megatron" | "megatron_2022" | "megatron_2023" | "megatron_core" | "neox" => "megatron",
        name if name.starts_with("megatron_deepspeed") => "megatron",
        name if name.starts_with("scaling") => "scaling",
        name if name.starts_with("fsdp") => "fsdp",
        "nanotron" => "nanotron",
        _ => "other",
    }
}

fn nearest(mut bands: BTreeMap<String, Band>, engine: &str, any: Band) -> Band {
    bands.remove(family(engine)).unwrap_or(any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware;

    #[test]
    fn bands_hold_the_prediction_and_a_measured_machine_brings_its_own() {
        let gpu = of(&hardware::find("a100_80g", None).unwrap(), "neox");
        let [low, high] = gpu.step.around(1_000_000);
        assert!(low <= 1_000_000 && high >= 1_000_000 && low < high);
        let own = of(&hardware::find("this_machine", None).unwrap(), "pleach");
        assert!(gpu.step.runs > 50 && gpu.memory.runs > 50);
        assert_ne!(own.step, gpu.step);
        assert!(own.step.high > 2.0);
    }
}
