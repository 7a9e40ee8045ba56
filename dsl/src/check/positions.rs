//! A table of learned positions has a row for every position of a sequence.

use crate::problem::Problem;
use crate::quantity::show;
use crate::resolve::Resolver;

/// The rule.
pub fn check(resolver: &mut Resolver) {
    rows_for_context(resolver);
}

fn rows_for_context(resolver: &mut Resolver) -> Option<()> {
    let rows = resolver.known("model.positions.rows")?;
    let context = resolver.known("model.context")?;
    if rows.number()? >= context.number()? {
        return None;
    }
    let (length, there) = (show(context.number()?), show(rows.number()?));
    let title = format!("sequences of {length} tokens exceed the model's {there} positions");
    let problem = Problem::error(
        "pleach::positions::rows",
        title,
        rows.place,
        format!("{there} rows"),
    );
    resolver.report(
        problem
            .and(context.place, format!("{length} tokens"))
            .help(format!("write `rows = {length} tokens`")),
    );
    None
}
