//! The typed phases of a curriculum.

use num_traits::ToPrimitive;

use super::super::{count, data, real};
use crate::experiment::{Dataset, Decay, Phase, Rate, Segment};
use crate::resolve::{NodeId, Resolver};

/// The phases in order; empty for a run without.
pub fn phases(resolver: &mut Resolver) -> Option<Vec<Phase>> {
    let rows = resolver.phases().unwrap_or_default();
    let mut phases: Vec<Phase> = Vec::new();
    for row in rows {
        let phase = phase(resolver, row, &phases)?;
        phases.push(phase);
    }
    share_segments(&mut phases);
    Some(phases)
}

fn phase(resolver: &mut Resolver, row: NodeId, before: &[Phase]) -> Option<Phase> {
    let path = resolver.tree.node(row).path.clone();
    let field = |name: &str| format!("{path}.{name}");
    let steps = count(resolver, &field("steps"))?;
    let context = count(resolver, &field("context"))?;
    let batch = resolver.known(&field("global_batch"))?;
    let global_batch = (batch.number()? / crate::quantity::whole(context))
        .to_integer()
        .to_u64()?;
    Some(Phase {
        name: resolver.tree.node(row).name.clone(),
        steps,
        tokens: steps.checked_mul(global_batch)?.checked_mul(context)?,
        data: dataset(resolver, &field("data"), before)?,
        context,
        global_batch,
        rate: rate(resolver, &field("lr"), before, steps)?,
    })
}

/// Its own data, that of the phase above, or the experiment's.
fn dataset(resolver: &mut Resolver, own: &str, before: &[Phase]) -> Option<Dataset> {
    if let (None, Some(above)) = (resolver.tree.find(own), before.last()) {
        return Some(above.data.clone());
    }
    let path = match resolver.tree.find(own) {
        Some(_) => own,
        None => "data",
    };
    let mix = resolver.mix_of(path)?;
    data::dataset(resolver, path, &mix)
}

/// Its own way, which begins with it, or that of the phase above.
fn rate(resolver: &mut Resolver, path: &str, before: &[Phase], steps: u64) -> Option<Rate> {
    let Some(kind) = resolver.kind(path) else {
        return Some(before.last().map_or(Rate::Whole, |above| above.rate));
    };
    let begins = before.iter().map(|phase| phase.steps).sum();
    let field = |name: &str| format!("{path}.{name}");
    if kind == "constant" {
        let at = real(resolver, &field("at"));
        return Some(Rate::Segment(Segment {
            begins,
            steps,
            from: at,
            to: at,
            shape: Decay::Linear,
        }));
    }
    Some(Rate::Segment(Segment {
        begins,
        steps,
        from: real(resolver, &field("from")),
        to: Some(real(resolver, &field("to"))?),
        shape: super::rate::decay(&kind),
    }))
}

/// A segment lasts as long as all phases that keep it.
fn share_segments(phases: &mut [Phase]) {
    let lengths: Vec<(Rate, u64)> = phases
        .iter()
        .map(|phase| (phase.rate, phase.steps))
        .collect();
    for phase in phases {
        if let Rate::Segment(segment) = &mut phase.rate {
            let shares = |rate: &Rate| matches!(rate, Rate::Segment(other) if other.begins == segment.begins);
            let own = lengths.iter().filter(|(rate, _)| shares(rate));
            segment.steps = own.map(|(_, steps)| steps).sum();
        }
    }
}
