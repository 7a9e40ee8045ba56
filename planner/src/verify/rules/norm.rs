//! The gradient norm: squares need finished sums, and what several ranks hold alike must count once.

use super::Site;
use crate::verify::held::{Item, State};
use crate::verify::number::Number;

/// What the report gains from the squares of `x`.
pub fn sum_squares(x: &Item, replicas: u64, site: &Site) -> Item {
    let number = match x.number {
        Number::ZERO => Number::ZERO,
        number => Number::of("squares", &[], &[number]).over(replicas),
    };
    let [gain] = site.results([x], [number], |_, [x]| match x {
        State::Whole => Some([State::Whole]),
        State::Shard(_) => Some([State::Sum]),
        _ => None,
    });
    gain
}

/// `(report) -> factor`: also without a limit, since it says whether the step is finite.
pub fn clip_factor(
    report: &Item,
    max_norm: Option<f64>,
    is_scaled: bool,
    site: &Site,
) -> [Item; 1] {
    let limit = max_norm.unwrap_or(f64::INFINITY).to_bits();
    let number = Number::of(
        "clip factor",
        &[limit, u64::from(is_scaled)],
        &[report.number],
    );
    site.results([report], [number], |_, [report]| {
        (report == State::Whole).then_some([State::Whole])
    })
}
