//! The simulation as a trace: a priced plan in, Chrome trace events out, in the executor's own format.

use pleach_plan::trace::{Arguments, Event, Stream, Trace};
use pleach_plan::{Plan, Slot, Transfer, TransferKind, Wire};

use crate::cost::{Class, Costs};
use crate::simulate::{self, Detail, Span, Stuck};

/// Simulates one step instruction by instruction and returns its time line.
///
/// # Errors
/// The stages wait for each other for ever.
pub fn trace(costs: &Costs<'_>) -> Result<Trace, Stuck> {
    let plan = costs.plan();
    let simulation = simulate::run(costs, Detail::Instructions)?;
    let mut events: Vec<Event> = plan
        .roles
        .iter()
        .flat_map(|role| Event::names(role.stage, &title(plan, role)))
        .collect();
    events.extend(simulation.spans.iter().map(|span| event(plan, span)));
    Ok(Trace { events })
}

fn title(plan: &Plan, role: &pleach_plan::Role) -> String {
    let width = plan.mesh.dp * plan.mesh.tp;
    let layers: Vec<String> = role
        .chunks
        .iter()
        .map(|[first, last]| format!("{first} to {last}"))
        .collect();
    let ranks = [role.stage * width, (role.stage + 1) * width - 1];
    format!(
        "stage {}: layers {}, ranks {} to {}",
        role.stage,
        layers.join(" and "),
        ranks[0],
        ranks[1]
    )
}

fn event(plan: &Plan, span: &Span) -> Event {
    let microseconds = |ps: u64| ps as f64 / 1e6;
    let times = [
        microseconds(span.start),
        microseconds(span.end - span.start),
    ];
    let place = span.place;
    let mut args = Arguments {
        slot: Some(place.slot),
        layer: place.layer,
        instruction: place.instruction,
        ..Arguments::default()
    };
    match &plan.roles[span.stage as usize].slots[place.slot] {
        Slot::Call(call) => {
            let body = &plan.bodies[call.body.0 as usize];
            let name = match place.instruction {
                Some(index) => body.code[index].op.name(),
                None if span.transfer => "collectives over replicas",
                None => "rest of forward",
            };
            let stream = if span.class == Class::Compute {
                Stream::Compute
            } else {
                Stream::Collective
            };
            args.micro_batch = Some(call.micro_batch);
            Event::span(name, &body.name, span.stage, stream, times, args)
        }
        Slot::Start(transfer) => {
            args.micro_batch = Some(transfer.micro_batch);
            Event::span(
                travels(transfer),
                "transfer",
                span.stage,
                Stream::Transfer,
                times,
                args,
            )
        }
        Slot::Wait(_) | Slot::Mark(_) => Event::span(
            "wait",
            "transfer",
            span.stage,
            Stream::Transfer,
            times,
            args,
        ),
    }
}

fn travels(transfer: &Transfer) -> &'static str {
    match (transfer.kind, transfer.wire) {
        (TransferKind::Send, Wire::Hidden) => "send hidden",
        (TransferKind::Send, Wire::Gradient) => "send gradient",
        (TransferKind::Receive, Wire::Hidden) => "receive hidden",
        (TransferKind::Receive, Wire::Gradient) => "receive gradient",
    }
}
