//! Conversions between forms: which collective makes which, and what the search charges for them.
//!
//! The charge only orders alternatives; time is the cost model's. It counts bytes: local operands once, what crosses the link
//! eight times (NVLink moves about an eighth of what memory does on every GPU since V100), and 64 KiB for each collective's start.
//! Pieces of the last dimension do not lie together in memory: cutting or joining there is copied in and out as well.

use crate::graph::{Block, ValueId};

use super::strategy::{Form, Forms, MAX, P, R};

const LINK: u64 = 8;
const START: u64 = 64 << 10;

/// Local elements of a value in a form, times four.
pub fn local_bytes(block: &Block, value: ValueId, form: Form, tp: u64) -> u64 {
    let whole = 4 * block.value(value).elements();
    if form.cut().is_some() {
        whole / tp
    } else {
        whole
    }
}

/// The cheapest way from the forms at hand to the wanted one, as `(from, to, charge)`; none where there is no way.
pub fn route(
    block: &Block,
    value: ValueId,
    at_hand: Forms,
    wanted: Form,
    tp: u64,
) -> Option<Vec<(Form, Form, u64)>> {
    if at_hand.has(wanted) {
        return Some(Vec::new());
    }
    let direct = at_hand
        .iter()
        .filter_map(|from| Some((from, wanted, charge(block, value, from, wanted, tp)?)));
    let direct = direct
        .min_by_key(|&(_, _, charge)| charge)
        .map(|step| vec![step]);
    let whole = at_hand.iter().filter_map(|from| {
        let gather = charge(block, value, from, R, tp)?;
        Some(vec![
            (from, R, gather),
            (R, wanted, charge(block, value, R, wanted, tp)?),
        ])
    });
    let whole = whole.min_by_key(|steps| steps.iter().map(|step| step.2).sum::<u64>());
    [direct, whole]
        .into_iter()
        .flatten()
        .min_by_key(|steps| steps.iter().map(|step| step.2).sum::<u64>())
}

fn charge(block: &Block, value: ValueId, from: Form, to: Form, tp: u64) -> Option<u64> {
    let whole = 4 * block.value(value).elements();
    let crossing = whole * (tp - 1) / tp * LINK;
    let copies = |form: Form| {
        if form.cut() == Some(block.value(value).dims.len() - 1) {
            4 * whole
        } else {
            0
        }
    };
    let divides = |form: Form| {
        form.cut().is_none_or(|dim| {
            block
                .value(value)
                .dims
                .get(dim)
                .is_some_and(|dim| dim.size % tp == 0)
        })
    };
    if !divides(to) {
        return None;
    }
    match (from, to) {
        (P, R) | (MAX, R) => Some(2 * crossing + START),
        (P, to) if to.cut().is_some() => Some(crossing + START + copies(to)),
        (from, R) if from.cut().is_some() => Some(crossing + START + copies(from)),
        (R, to) if to.cut().is_some() => Some(2 * whole / tp),
        _ => None,
    }
}
