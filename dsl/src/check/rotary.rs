//! Rotary positions turn pairs of a head's dimensions, so the rotated part is a whole even number of them.

use num_rational::BigRational;
use num_traits::ToPrimitive;

use crate::origin::Layer;
use crate::problem::Problem;
use crate::quantity::show;
use crate::resolve::Resolver;

/// The rule.
pub fn check(resolver: &mut Resolver) {
    for attention in resolver.mixers("attention") {
        rotated_part(resolver, &attention);
    }
}

fn rotated_part(resolver: &mut Resolver, attention: &str) -> Option<()> {
    if resolver.kind(&format!("{attention}.positions"))? != "rotary" {
        return None;
    }
    let fraction = resolver.known(&format!("{attention}.positions.fraction"))?;
    let head_dim = resolver.source(&format!("{attention}.head_dim"))?;
    let width = head_dim.number()?.clone();
    let rotated = fraction.number()? * &width;
    let pairs = &rotated / BigRational::from_integer(2.into());
    if pairs.is_integer() && rotated > BigRational::from_integer(0.into()) {
        return None;
    }
    let percent = show(&(fraction.number()? * BigRational::from_integer(100.into())));
    let title = format!(
        "rotary positions turn pairs, but {percent}% of a head {} wide is {}",
        show(&width),
        show(&rotated)
    );
    let written = head_dim.layer != Layer::Default;
    let cut = match written {
        true => head_dim,
        false => resolver.source(&format!("{attention}.heads"))?,
    };
    let wide = format!("heads are {} wide", show(&width));
    let whole = width.to_u64()?;
    if fraction.layer == Layer::Default {
        let problem = Problem::error("pleach::rotary::odd", title, cut.place, wide);
        resolver.report(problem.help(match (written, whole) {
            (true, 1) => "use `head_dim = 2`".to_string(),
            (true, _) => format!(
                "use `head_dim = {}` or `head_dim = {}`",
                whole - 1,
                whole + 1
            ),
            (false, _) => "choose heads that are an even number wide".to_string(),
        }));
        return None;
    }
    let problem = Problem::error(
        "pleach::rotary::odd",
        title,
        fraction.place,
        format!("{percent}% of {} = {}", show(&width), show(&rotated)),
    );
    let problem = problem.and(cut.place, wide);
    let width = whole;
    let below = pairs.floor().to_u64()? * 2;
    let choices: Vec<String> = [below, below + 2]
        .into_iter()
        .filter(|even| *even > 0 && *even <= width)
        .map(|even| exact_percent(even, width))
        .collect();
    resolver.report(problem.help(if choices.is_empty() {
        format!("make the heads wider; {width} has no even part")
    } else {
        format!("use `fraction = {}`", choices.join("` or `fraction = "))
    }));
    None
}

/// A share that gives exactly so many dimensions: as a percentage where that is exact, else as a quotient.
fn exact_percent(part: u64, whole: u64) -> String {
    let hundred = BigRational::new((part * 100).into(), whole.into());
    let text = show(&hundred);
    let exact = (&hundred * BigRational::from_integer(100.into())).is_integer();
    if exact {
        format!("{text}%")
    } else {
        format!("{part} / {whole}")
    }
}
