//! What no device's table says: parts that are left out, and figures beyond any machine, with which sums would overflow later.

use pleach_plan::hardware::{Cores, Figure, Hardware};

use super::HardwareError;

/// Bytes beyond any device.
const BYTES: f64 = 1e18;
/// Seconds beyond any kernel or message.
const SECONDS: f64 = 1e6;
/// Ranks, cores or threads beyond any machine.
const MANY: u32 = 1 << 20;

/// Everything of a table, but that numbers are positive.
pub(super) fn check(hardware: &Hardware) -> Result<(), HardwareError> {
    for (field, is_there) in [
        ("gemm", !hardware.gemm.is_empty()),
        ("attention", !hardware.attention.is_empty()),
    ] {
        if !is_there {
            return Err(HardwareError::Missing { field });
        }
    }
    let overhead = &hardware.overhead;
    let bytes: [(&str, Option<&Figure>); 4] = [
        ("memory.capacity", Some(&hardware.memory.capacity)),
        ("overhead.context", Some(&overhead.context)),
        ("overhead.communication", Some(&overhead.communication)),
        ("overhead.narrow", overhead.narrow.as_ref()),
    ];
    for (field, figure) in bytes {
        let value = figure.map_or(0.0, |figure| figure.value);
        within(field, value, 0.0, BYTES)?;
    }
    within("launch", hardware.launch.value, 0.0, SECONDS)?;
    if let Some(spread) = hardware.spread {
        within("spread.low", spread.low, -1.0, 0.0)?;
        within("spread.high", spread.high, 0.0, SECONDS)?;
    }
    hardware.cores.as_ref().map_or(Ok(()), cores)?;
    times(hardware)
}

fn cores(cores: &Cores) -> Result<(), HardwareError> {
    let many = f64::from(MANY);
    within("cores.count", f64::from(cores.count), 1.0, many)?;
    for point in &cores.contention {
        within(
            "cores.contention.active",
            f64::from(point.active),
            1.0,
            many,
        )?;
        within("cores.contention.slowdown", point.slowdown, 1.0, many)?;
    }
    for team in &cores.teams {
        within("cores.teams.threads", f64::from(team.threads), 1.0, many)?;
    }
    Ok(())
}

/// Times of products and messages.
fn times(hardware: &Hardware) -> Result<(), HardwareError> {
    let products = hardware.gemm.iter().flat_map(|gemm| &gemm.points);
    for point in products {
        within("gemm.points.seconds", point.seconds, 0.0, SECONDS)?;
    }
    for attention in &hardware.attention {
        let score = attention.score.as_ref().map_or(0.0, |own| own.value);
        within("attention.score", score, 0.0, SECONDS)?;
    }
    for collective in &hardware.collective {
        let ranks = f64::from(collective.ranks);
        within("collective.ranks", ranks, 2.0, f64::from(MANY))?;
        within("collective.busy", collective.busy, 0.0, 1.0)?;
    }
    let collectives = hardware.collective.iter().flat_map(|own| &own.points);
    for point in collectives.chain(&hardware.transfer) {
        within("points.seconds", point.seconds, 0.0, SECONDS)?;
    }
    Ok(())
}

fn within(field: &str, value: f64, low: f64, high: f64) -> Result<(), HardwareError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(HardwareError::Beyond {
        field: field.to_owned(),
        value,
        low,
        high,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{find, parse};
    use super::*;

    #[test]
    fn figures_beyond_any_machine_and_missing_parts_are_named() {
        type Change = fn(&mut Hardware);
        let refused = |change: Change| {
            let mut table = find("this_machine", None).unwrap();
            change(&mut table);
            parse(&toml::to_string(&table).unwrap())
                .unwrap_err()
                .to_string()
        };
        let changes: [(Change, &str); 6] = [
            (|table| table.gemm.clear(), "no `gemm`"),
            (|table| table.collective[0].ranks = 0, "collective.ranks"),
            (|table| table.collective[0].busy = 7.0, "collective.busy"),
            (
                |table| table.overhead.context.value = 1e30,
                "overhead.context",
            ),
            (
                |table| table.collective[0].points[0].seconds = 1e300,
                "seconds",
            ),
            (
                |table| table.cores.as_mut().unwrap().count = 0,
                "cores.count",
            ),
        ];
        for (change, part) in changes {
            let told = refused(change);
            assert!(told.contains(part), "{told}");
        }
    }
}
