//! Slips in numbers that are legal but far from what anybody trains with: warnings.

use num_rational::BigRational;
use num_traits::ToPrimitive;

use crate::evaluate::Value;
use crate::origin::Layer;
use crate::problem::Problem;
use crate::quantity::{exact_power, to_f64, whole};
use crate::resolve::{Content, Resolver};
use crate::syntax::ExpressionKind;

/// All of them.
pub fn check(resolver: &mut Resolver) {
    unusual_rates(resolver);
    decimal_context(resolver);
    moments(resolver);
}

/// `peak = 3e4`, and the same in a phase.
fn unusual_rates(resolver: &mut Resolver) {
    unusual_rate(resolver, "train.lr.peak", "a peak learning rate");
    for row in resolver.phases().unwrap_or_default() {
        let path = resolver.tree.node(row).path.clone();
        for field in ["from", "to", "at"] {
            unusual_rate(resolver, &format!("{path}.lr.{field}"), "a learning rate");
        }
    }
}

fn unusual_rate(resolver: &mut Resolver, path: &str, what: &str) -> Option<()> {
    let peak = resolver.known(path)?;
    let value = peak.number()?.clone();
    let usual =
        |value: &BigRational| *value >= exact_power(10, -6) && *value <= exact_power(10, -1);
    let off = path != "train.lr.peak" && value < exact_power(10, -1);
    if usual(&value) || off {
        return None;
    }
    let written = short(to_f64(&value));
    let title = format!("{what} of {written} is far outside 1e-6 … 1e-1");
    let problem = Problem::warning("pleach::lr::unusual", title, peak.place, "an unusual rate");
    let power = libm::floor(libm::log10(to_f64(&value))) as i32;
    let flipped = &value * exact_power(10, -2 * power);
    resolver.report(if usual(&flipped) {
        problem.help(format!("did you mean `{}`?", short(to_f64(&flipped))))
    } else {
        problem
    });
    None
}

/// A number in the notation of rates.
fn short(value: f64) -> String {
    format!("{value:e}")
}

/// `context = 32K tokens`.
fn decimal_context(resolver: &mut Resolver) -> Option<()> {
    let id = resolver.tree.find("model.context")?;
    let Content::Cell { value, .. } = &resolver.tree.node(id).content else {
        return None;
    };
    let ExpressionKind::Amount(amount) = &value.kind else {
        return None;
    };
    if amount.magnitude != "K" {
        return None;
    }
    let digits = amount.text.trim_end_matches('K').to_string();
    let place = value.place;
    let count = resolver.known("model.context")?.count()?;
    let kibi = (to_f64(&(&whole(count) / whole(1000))) * 1024.0).to_u64()?;
    let title = format!("{digits}K is {}", crate::quantity::show(&whole(count)));
    let problem = Problem::warning(
        "pleach::context::decimal",
        title,
        place,
        "contexts are usually powers of two",
    );
    let grouped = crate::quantity::show(&whole(count)).replace(',', "_");
    let kibi = crate::quantity::show(&whole(kibi));
    resolver.report(problem.help(format!(
        "write `{digits}Ki tokens` for {kibi}, or `{grouped} tokens` to keep it"
    )));
    None
}

/// `betas` are two numbers below one.
fn moments(resolver: &mut Resolver) -> Option<()> {
    let betas = resolver.known("train.optimizer.betas")?;
    let Value::List(items) = &betas.value else {
        return None;
    };
    let below = |item: &Value| matches!(item, Value::Number(number) if number.value < whole(1));
    if betas.layer == Layer::Default || items.len() == 2 && items.iter().all(below) {
        return None;
    }
    let title = "`betas` are two numbers of at least 0 and below 1";
    let problem = Problem::error(
        "pleach::optimizer::betas",
        title,
        betas.place,
        format!("this is {}", betas.value.show()),
    );
    resolver.report(problem.help("write `betas = [0.9, 0.95]`"));
    None
}
