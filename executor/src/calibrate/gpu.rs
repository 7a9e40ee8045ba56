//! The table of a GPU: what one rank reaches on it, and the memory that is gone before the first tensor.
//!
//! In comes a device that is this process's, out comes a [`Hardware`] table without links: what joins several devices is not measured by one.

use pleach_plan::hardware::{Figure, Hardware, Kind, Memory, Overhead, SCHEMA};

use super::bench::Bench;
use super::{kernels, machine, measured, probe};
use crate::error::Cause;
use crate::native::cuda;

/// Measures the device of this process.
///
/// # Errors
/// A kernel fails.
pub fn measure(index: u32) -> Result<Hardware, Cause> {
    let bench = Bench::gpu(index);
    for &dtype in bench.types {
        kernels::warm_up(&bench, dtype)?;
    }
    cuda::synchronize()?;
    let found = cuda::memory(index)?;
    let mut spread = probe::Deviations::default();
    let alone = kernels::measure(&bench, &mut spread)?;
    let about = machine::gpu().unwrap_or_else(|| "a GPU".to_owned());
    Ok(Hardware {
        sheet_only: false,
        observed: None,
        schema: SCHEMA,
        name: name(&about),
        about: format!("measured with one rank: {about}"),
        kind: Kind::Gpu,
        spread: Some(spread.spread()),
        memory: Memory {
            capacity: Figure {
                value: found.total as f64,
                source: "asked of the driver".to_owned(),
            },
            bandwidth: measured(alone.bandwidth),
        },
        launch: measured(alone.launch),
        host: None,
        paces: Vec::new(),
        cores: None,
        overhead: Overhead {
            context: measured(beside_tensors(&found) as f64),
            communication: Figure {
                value: 0.0,
                source: "one rank talks to nobody".to_owned(),
            },
            narrow: None,
            pieces: None,
        },
        links: None,
        gemm: alone.gemm,
        attention: alone.attention,
        elementwise: alone.elementwise,
        collective: Vec::new(),
        transfer: Vec::new(),
    })
}

/// Bytes that are gone, but for what the allocator holds for tensors: the context, kernels, and the workspaces of libraries, which lie in tensors that stay.
fn beside_tensors(found: &cuda::Memory) -> u64 {
    let taken = found.total.saturating_sub(found.free);
    taken.saturating_sub(found.reserved) + found.live
}

/// A device's name as a word: `nvidia_h100_80gb_hbm3`.
fn name(model: &str) -> String {
    let words = model.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<String> = words
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tensors_hold_is_no_overhead_but_workspaces_are() {
        let found = cuda::Memory {
            free: 60,
            total: 100,
            live: 3,
            peak: 20,
            reserved: 25,
        };
        assert_eq!(beside_tensors(&found), 18);
    }

    #[test]
    fn a_device_has_a_word_for_a_name() {
        assert_eq!(name("NVIDIA H100 80GB HBM3"), "nvidia_h100_80gb_hbm3");
        assert_eq!(name("Tesla V100-SXM2-32GB"), "tesla_v100_sxm2_32gb");
    }
}
