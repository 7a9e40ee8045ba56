//! Blocks of replicas among which ZeRO divides (hybrid sharding): they are of one size, and ZeRO divides something.

use super::{divisors, either};
use crate::problem::Problem;
use crate::resolve::Resolver;

/// `shards = 8` against `dp` and `zero`.
pub fn check(resolver: &mut Resolver) -> Option<()> {
    let shards = resolver.known("plan.shards")?;
    let count = shards.count()?;
    if let Some(dp) = resolver.known("plan.dp") {
        let replicas = dp.count()?;
        if count == replicas {
            return None;
        }
        if count < 2 || !replicas.is_multiple_of(count) {
            let title = format!("{replicas} replicas do not stand in blocks of {count}");
            let label = match count {
                1 => "a block of one divides nothing".to_owned(),
                _ => format!("{replicas} / {count} is not whole"),
            };
            let code = "pleach::shards::indivisible";
            let problem = Problem::error(code, title, shards.place, label);
            let sizes = divisors(replicas).into_iter();
            let sizes: Vec<u64> = sizes.filter(|&size| size > 1).collect();
            let help = match sizes[..] {
                [] => "write `shards = auto`".to_owned(),
                _ => format!("use {}, or `auto`", either(&sizes)),
            };
            let problem = problem.and(dp.place, format!("{replicas} replicas"));
            resolver.report(problem.help(help));
            return None;
        }
    }
    let zero = resolver.known("plan.zero")?;
    if zero.count()? == 0 {
        let title =
            "without ZeRO nothing is divided among replicas, and `shards` says among how many";
        let problem = Problem::error("pleach::shards::zero", title, shards.place, "never used");
        resolver.report(
            problem
                .and(zero.place, "nothing is divided")
                .help("write `shards = auto`, or give `zero` a stage from 1 to 3"),
        );
    }
    None
}
