//! All rows with their predictions: as planning makes them, and with constants that their configuration or their source was held out from.

use std::collections::BTreeMap;

use pleach_planner::hardware::{self, Hardware, fitted::Fitted};

use super::case::{Case, Predicted};
use super::rows::Row;
use super::split::{Split, is_trained};

/// Constants by what was held out from them.
pub type HeldOut = BTreeMap<String, Fitted>;

/// The predictions for one row.
pub struct Found {
    /// The engine it is priced as.
    pub engine: String,
    /// As planning makes it.
    pub full: Predicted,
    /// With constants that its configuration was held out from.
    pub held_out: Predicted,
    /// With constants that its source was held out from.
    pub without_source: Predicted,
    /// With a table from the data sheet.
    pub sheet: Predicted,
}

/// A row with its predictions, or why there are none.
pub struct Priced {
    /// The row.
    pub row: Row,
    /// Its part of its source.
    pub fold: usize,
    /// Whether something is learned from it.
    pub trained: bool,
    /// The predictions.
    pub found: Result<Found, String>,
}

/// Prices all rows.
pub fn price(rows: Vec<Row>, split: &Split, held_out: &HeldOut) -> Vec<Priced> {
    let one = |row: &Row| Priced {
        row: row.clone(),
        fold: split.fold(row),
        trained: is_trained(row),
        found: find(row, split, held_out),
    };
    super::parallel(&rows, one)
}

fn find(row: &Row, split: &Split, held_out: &HeldOut) -> Result<Found, String> {
    let case = Case::of(row)?;
    let plain = case.plain()?;
    let chip = hardware::fitted::chip_of(case.device());
    let without = |name: String| -> Hardware {
        let fitted = held_out.get(&name).or_else(|| held_out.get(chip));
        match fitted {
            Some(fitted) => fitted.applied(plain.clone()),
            None => plain.clone(),
        }
    };
    let tables = [
        without(chip.to_owned()),
        without(Split::fold_name(chip, split.fold(row))),
        without(Split::source_name(chip, row.group())),
        case.sheet()?,
    ];
    let priced = case.price(&tables)?;
    Ok(Found {
        engine: case.placement.engine.to_string(),
        full: priced[0],
        held_out: priced[1],
        without_source: priced[2],
        sheet: priced[3],
    })
}
