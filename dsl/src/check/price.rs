//! A price means something only with its source and its date, and those must be of that price and not of one it replaced.

use crate::origin::Layer;
use crate::problem::Problem;
use crate::resolve::Resolver;

/// Both rules.
pub fn check(resolver: &mut Resolver) {
    if sourced(resolver).is_some() {
        dated(resolver);
    }
}

/// Whoever sets a price says where it comes from and when; on the command line it is a question and needs neither.
fn sourced(resolver: &mut Resolver) -> Option<()> {
    let price = resolver.known("cluster.price")?;
    if price.layer == Layer::CommandLine {
        return None;
    }
    let said = |known: &Option<super::Known>| {
        known
            .as_ref()
            .is_some_and(|known| known.layer >= price.layer)
    };
    let fields = ["price_source", "price_date"];
    let known = fields.map(|field| resolver.known(&format!("cluster.{field}")));
    let lacking: Vec<&str> = fields
        .into_iter()
        .zip(&known)
        .filter(|(_, known)| !said(known))
        .map(|(field, _)| field)
        .collect();
    if lacking.is_empty() {
        return Some(());
    }
    let stale = known
        .iter()
        .flatten()
        .find(|known| known.layer < price.layer);
    let title = match stale {
        Some(_) => "this price replaces another, whose source and date are not its own",
        None => "a price needs its source and its date",
    };
    let listed: Vec<String> = lacking.iter().map(|field| format!("`{field}`")).collect();
    let label = format!("no {} of its own", listed.join(", no "));
    let mut problem = Problem::error("pleach::price::source", title, price.place, label);
    if let Some(stale) = stale {
        problem = problem.and(stale.place, "said of the other price");
    }
    let example = |field: &&str| match *field {
        "price_source" => "`price_source = \"https://…\"`",
        _ => "`price_date = \"2026-11-09\"`",
    };
    let added: Vec<&str> = lacking.iter().map(example).collect();
    resolver.report(problem.help(format!(
        "add {}; only to try a price: `--set 'cluster.price=2 usd/hour'`",
        added.join(" and ")
    )));
    None
}

/// The date is one that sorts: year, month and, where it matters, day.
fn dated(resolver: &mut Resolver) -> Option<()> {
    let date = resolver.known("cluster.price_date")?;
    let text = date.text()?;
    let parts: Vec<&str> = text.split('-').collect();
    let number = |part: &str, length: usize, most: u32| {
        part.len() == length
            && part
                .parse::<u32>()
                .is_ok_and(|value| (1..=most).contains(&value))
    };
    let right = match parts[..] {
        [year, month] => number(year, 4, 9999) && number(month, 2, 12),
        [year, month, day] => number(year, 4, 9999) && number(month, 2, 12) && number(day, 2, 31),
        _ => false,
    };
    if right {
        return Some(());
    }
    let title = format!("`{text}` is not a date that sorts");
    let problem = Problem::error(
        "pleach::price::date",
        title,
        date.place,
        "not year-month-day",
    );
    resolver.report(problem.help("write `price_date = \"2026-11-09\"`"));
    None
}
