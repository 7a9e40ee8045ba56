//! What one GPU measured of itself, with what only its chip's shipped table knows: its links, and the peaks of its data sheet.

use pleach_plan::hardware::{Gemm, Hardware, Overhead};

use super::plain;

const GIB: f64 = (1u64 << 30) as f64;

/// The shipped table of the chip that was measured; none for a processor, and for a chip without one.
pub fn of(measured: &Hardware) -> Option<Hardware> {
    let (model, gibibytes) = (&measured.name, measured.memory.capacity.value / GIB);
    let is = |chip: &str, most: f64| model.contains(chip) && gibibytes <= most;
    let shipped = [
        ("v100", 17.0, "v100_16g"),
        ("v100", 33.0, "v100_32g"),
        ("a100", 41.0, "a100_40g"),
        ("a100", 81.0, "a100_80g"),
        ("h100", 81.0, "h100_80g"),
    ];
    let (.., name) = shipped
        .into_iter()
        .find(|(chip, most, _)| is(chip, *most))?;
    plain(name).ok().filter(|_| !measured.kind.is_cpu())
}

/// What was measured, with what one GPU cannot show of itself.
pub fn completed(measured: Hardware, chip: Hardware) -> Hardware {
    let peak = |gemm: Gemm| {
        let own = chip.gemm.iter().find(|own| own.dtype == gemm.dtype);
        Gemm {
            peak: own.and_then(|own| own.peak.clone()),
            ..gemm
        }
    };
    let gemm = measured.gemm.into_iter().map(peak).collect();
    Hardware {
        gemm,
        overhead: Overhead {
            communication: chip.overhead.communication,
            ..measured.overhead
        },
        links: chip.links,
        collective: chip.collective,
        transfer: chip.transfer,
        ..measured
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    /// What a worker writes of one GPU, with the figures of another.
    fn alone(name: &str, capacity: f64) -> Hardware {
        let mut table = plain("a100_80g").unwrap();
        table.name = name.to_owned();
        table.memory.capacity.value = capacity * GIB;
        table.gemm.iter_mut().for_each(|gemm| gemm.peak = None);
        (table.links, table.collective) = (None, Vec::new());
        table
    }

    #[test]
    fn a_chip_that_is_known_gets_its_links_and_peaks_and_keeps_its_rates() {
        let measured = alone("nvidia_h100_80gb_hbm3", 79.6);
        let shipped = of(&measured).unwrap();
        assert_eq!(shipped.name, "h100_80g");
        let table = completed(measured.clone(), shipped.clone());
        assert_eq!(
            (&table.links, &table.collective),
            (&shipped.links, &shipped.collective)
        );
        let peak = |table: &Hardware| table.gemm[0].peak.as_ref().map(|peak| peak.value);
        assert!(peak(&table).is_some() && peak(&table) == peak(&shipped));
        assert_eq!(table.gemm[0].rate, measured.gemm[0].rate);
        assert_eq!(table.memory, measured.memory);
        let again = parse(&toml::to_string(&table).unwrap()).unwrap();
        assert_eq!(again, table);
    }

    #[test]
    fn a_chip_is_told_by_its_model_and_its_memory() {
        let name = |model: &str, gibibytes| of(&alone(model, gibibytes)).map(|chip| chip.name);
        assert_eq!(
            name("nvidia_a100_sxm4_40gb", 39.4).as_deref(),
            Some("a100_40g")
        );
        assert_eq!(
            name("nvidia_a100_sxm4_80gb", 79.2).as_deref(),
            Some("a100_80g")
        );
        assert_eq!(
            name("tesla_v100_sxm2_16gb", 15.8).as_deref(),
            Some("v100_16g")
        );
        assert_eq!(name("nvidia_h200", 139.8), None);
        assert_eq!(name("nvidia_h100_nvl", 93.6), None);
    }
}
