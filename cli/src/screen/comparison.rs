//! Predicted against measured: the table at the end of a run.

use pleach_plan::Plan;
use serde_json::{Value, json};

use super::figures;
use crate::progress::Measured;

/// One figure from both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What it is.
    pub what: String,
    /// Before the run.
    pub predicted: f64,
    /// During the run.
    pub measured: f64,
    bytes: bool,
}

impl Row {
    /// Measured over predicted.
    pub fn ratio(&self) -> f64 {
        self.measured / self.predicted
    }

    fn shown(&self, value: f64) -> String {
        if self.bytes {
            figures::bytes(value as u64)
        } else {
            figures::seconds(value)
        }
    }
}

/// The rows of a run or a phase of it: the step's time, and for each stage the largest process among its ranks.
pub fn rows(plan: &Plan, measured: &Measured) -> Vec<Row> {
    let Some(prediction) = &plan.prediction else {
        return Vec::new();
    };
    let time = measured.step_seconds().map(|seconds| Row {
        what: "step time".to_owned(),
        predicted: prediction.step_ps as f64 * 1e-12,
        measured: seconds,
        bytes: false,
    });
    let stages = plan
        .roles
        .iter()
        .zip(&prediction.roles)
        .filter_map(|(role, expected)| {
            let ranks =
                (0..plan.mesh.ranks()).filter(|&rank| plan.mesh.place(rank).pp == role.stage);
            let peak = ranks
                .filter_map(|rank| *measured.peak_bytes.get(rank as usize)?)
                .max()?;
            let what = if plan.roles.len() == 1 {
                "memory".to_owned()
            } else {
                format!("memory, stage {}", role.stage)
            };
            let predicted = (expected.allocated_peak + expected.overhead) as f64;
            Some(Row {
                what,
                predicted,
                measured: peak as f64,
                bytes: true,
            })
        });
    let of_phase = |mut row: Row| {
        if let Some(phase) = &plan.training.phase {
            row.what = format!("{}, {phase}", row.what);
        }
        row
    };
    time.into_iter().chain(stages).map(of_phase).collect()
}

/// The table for the screen.
pub fn table(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        vec![
            row.what.clone(),
            row.shown(row.predicted),
            row.shown(row.measured),
            format!("{:.2}", row.ratio()),
        ]
    };
    super::table::table(
        &["", "predicted", "measured", "ratio"],
        rows.iter().map(cells).collect(),
        1,
    )
}

/// The rows for programs: seconds and bytes.
pub fn json(rows: &[Row]) -> Value {
    rows.iter()
        .map(|row| {
            let unit = if row.bytes { "bytes" } else { "seconds" };
            json!({"what": row.what, "unit": unit, "predicted": row.predicted, "measured": row.measured,
                "ratio": row.ratio()})
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_plain_and_narrow() {
        let row = |what: &str, predicted, measured, bytes| Row {
            what: what.into(),
            predicted,
            measured,
            bytes,
        };
        let text = table(&[
            row("step time", 0.4, 0.5, false),
            row("memory, stage 1", 1e9, 1.1e9, true),
        ]);
        assert!(
            text.contains("400 ms") && text.contains("1.25") && text.contains("1.10"),
            "{text}"
        );
        assert!(text.lines().all(|line| line.chars().count() <= 80));
    }
}
