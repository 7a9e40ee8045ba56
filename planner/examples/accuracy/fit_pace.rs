//! Fits how fast the hosts of an engine issue operations, where published runs show that the host sets the pace.
//!
//! In come the rows of such an engine and a table with everything else in it, out comes a solver for any part of them: the value of a grid whose
//! errors are least, each row's no more than a cap, because the runs of these engines also stall on what nobody wrote down. Jobs with
//! nothing but replicas on other nodes tell what an operation takes, those whose stages hand on what further ranks of a collective add to it.

use std::collections::BTreeMap;

use pleach_planner::hardware::fitted::{Fitted, Paced};

use super::case::Case;
use super::rows::Row;
use super::split::Split;

/// Engines whose hosts were seen to set the pace: steps that stay the same over micro-batches and widths.
const ENGINES: [&str; 1] = ["nanotron"];

/// How far off a row can count, in logarithms.
const CAP: f64 = 0.3;

/// The grid of seconds for an operation, and of seconds for a further rank: 8 % apart.
const FIRST: [f64; 2] = [3e-5, 5e-5];
const POINTS: i32 = 32;

/// A row with its errors over a grid, in logarithms.
struct Sample<'r> {
    group: &'r str,
    fold: usize,
    errors: Vec<f64>,
}

/// The rows of one engine.
struct Engine<'r> {
    name: &'static str,
    host: Vec<Sample<'r>>,
    skew: Vec<Sample<'r>>,
}

/// The rows of all such engines.
#[derive(Default)]
pub struct Measured<'r>(Vec<Engine<'r>>);

/// Prices the rows of such engines over both grids.
pub fn measure<'r>(cases: &[&(&'r Row, Case)], split: &Split, rest: &Fitted) -> Measured<'r> {
    let own = |name: &'static str| {
        let of = |(_, case): &&&(&Row, Case)| &*case.placement.engine == name;
        let own: Vec<_> = cases.iter().filter(of).copied().collect();
        let (near, far): (Vec<_>, Vec<_>) = own.into_iter().partition(|(_, case)| within(case));
        let handing = |(_, case): &&&(&Row, Case)| case.placement.pp > 1;
        let across: Vec<_> = far.into_iter().filter(|case| handing(&case)).collect();
        let paced = |host, skew| {
            let paces = BTreeMap::from([(name.to_owned(), Paced { host, skew })]);
            rest.clone().with_paces(paces)
        };
        let tables: Vec<Fitted> = grid(0).map(|host| paced(host, 0.0)).collect();
        let host = priced(&near, split, &tables);
        let issued = best(&host, 0, &|_| true);
        let tables: Vec<Fitted> = grid(1).map(|skew| paced(issued, skew)).collect();
        let skew = priced(&across, split, &tables);
        Engine { name, host, skew }
    };
    let all = ENGINES.into_iter().map(own);
    Measured(all.filter(|engine| !engine.host.is_empty()).collect())
}

impl Measured<'_> {
    /// The paces that suit the chosen rows best: those whose source and fold the choice takes.
    pub fn solve(&self, chosen: impl Fn(&str, usize) -> bool) -> BTreeMap<String, Paced> {
        let chosen = |sample: &Sample<'_>| chosen(sample.group, sample.fold);
        let engines = self.0.iter();
        let engines = engines.filter(|engine| engine.host.iter().any(&chosen));
        let pace = |engine: &Engine<'_>| Paced {
            host: best(&engine.host, 0, &chosen),
            skew: best(&engine.skew, 1, &chosen),
        };
        engines
            .map(|engine| (engine.name.to_owned(), pace(engine)))
            .collect()
    }
}

/// Whether nothing but replicas lies on other nodes.
fn within(case: &Case) -> bool {
    let (placement, cluster) = (&case.placement, &case.experiment.cluster);
    let inside = u64::from(placement.tp) <= cluster.gpus_per_node && placement.pp == 1;
    inside || cluster.nodes == 1
}

fn grid(which: usize) -> impl Iterator<Item = f64> {
    (0..POINTS).map(move |point| {
        let value = FIRST[which] * 1.08_f64.powi(point);
        format!("{value:.2e}").parse().unwrap_or(value)
    })
}

fn best(samples: &[Sample<'_>], which: usize, chosen: &dyn Fn(&Sample<'_>) -> bool) -> f64 {
    let off = |point: usize| -> f64 {
        let samples = samples.iter().filter(|sample| chosen(sample));
        samples
            .map(|sample| sample.errors[point].abs().min(CAP))
            .sum()
    };
    let points = grid(which).enumerate();
    let nearest = points.min_by(|(one, _), (other, _)| off(*one).total_cmp(&off(*other)));
    nearest.map_or(FIRST[which], |(_, value)| value)
}

fn priced<'r>(cases: &[&(&'r Row, Case)], split: &Split, at: &[Fitted]) -> Vec<Sample<'r>> {
    let sample = |&&(row, ref case): &&(&'r Row, Case)| {
        let plain = case.plain().ok()?;
        let tables: Vec<_> = at
            .iter()
            .map(|point| point.applied(plain.clone()))
            .collect();
        let step = row.step()?;
        let predicted = case.price(&tables).ok()?;
        let error = |steps: f64| (steps / step).ln();
        Some(Sample {
            group: row.group(),
            fold: split.fold(row),
            errors: predicted.iter().map(|own| error(own.step)).collect(),
        })
    };
    super::parallel(cases, sample)
        .into_iter()
        .flatten()
        .collect()
}
