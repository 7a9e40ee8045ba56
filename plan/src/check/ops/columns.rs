//! Signatures of cutting columns into three groups, and joining them.

use super::law;
use crate::check::signature::{Misfit, Signature};

const NAMES: [[&str; 3]; 2] = [["a", "b", "c"], ["da", "db", "dc"]];

/// `(x) -> (a, b, c)`.
pub fn forward(widths: [u64; 3]) -> Result<Signature, Misfit> {
    let groups = NAMES[0].into_iter().zip(widths);
    let whole = Signature::new().read("x", &whole(widths)?, "T");
    Ok(groups.fold(whole, |all, (name, width)| {
        all.make(name, &format!("B S {width}"), "T")
    }))
}

/// `(da, db, dc) -> dx`.
pub fn backward(widths: [u64; 3]) -> Result<Signature, Misfit> {
    let groups = NAMES[1].into_iter().zip(widths);
    let parts = groups.fold(Signature::new(), |all, (name, width)| {
        all.read(name, &format!("B S {width}"), "T")
    });
    Ok(parts.make("dx", &whole(widths)?, "T"))
}

fn whole(widths: [u64; 3]) -> Result<String, Misfit> {
    let sum = widths
        .iter()
        .try_fold(0_u64, |sum, &width| sum.checked_add(width));
    let fits = sum.is_some() && !widths.contains(&0);
    let rule = "each must be at least 1";
    law(fits, "widths", format!("{widths:?}"), rule)?;
    Ok(format!("B S {}", sum.unwrap_or(0)))
}
