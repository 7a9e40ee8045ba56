//! The end of a step against what is expected: every part of every bucket, on every stage.

use std::collections::BTreeSet;

use pleach_plan::check::Place;
use pleach_plan::{Plan, Role};

use super::fault::{Fault, What};
use super::held::{Flat, Held, Item, State};
use super::memory::{Kind, Memory, copies, cut, logical_name, members, spread};
use super::number::Number;
use super::rules::Site;
use super::unsharded::Expected;
use super::walker::{site, walk_step};

/// Where the end of a step differs from what is expected.
pub fn differences(plan: &Plan, expected: &Expected) -> Vec<Fault> {
    let (site, walked) = (site(plan), walk_step(plan, false));
    let mut ends = Ends {
        plan,
        expected,
        site,
        faults: walked.misdeclared,
        seen: BTreeSet::new(),
    };
    for (role, memory) in plan.roles.iter().zip(&walked.memories) {
        ends.stage(role, memory);
    }
    let Ends {
        mut faults, seen, ..
    } = ends;
    let lost = expected.parameters.keys().filter(|key| !seen.contains(key));
    faults.extend(lost.map(|(name, _)| Fault {
        place: Place::named(name),
        what: What::Lonely {
            side: "the unsharded",
        },
    }));
    faults
}

struct Ends<'p> {
    plan: &'p Plan,
    expected: &'p Expected,
    site: Site,
    faults: Vec<Fault>,
    seen: BTreeSet<(String, Kind)>,
}

impl Ends<'_> {
    fn stage(&mut self, role: &Role, memory: &Memory) {
        let what = match memory.storage((self.plan.report, None)) {
            Some(Held::One(item)) if item.number == self.expected.report => {
                misplaced("the report", item, [State::Whole; 2])
            }
            _ => Some(What::Value { what: "the report" }),
        };
        self.fault(
            Place {
                stage: Some(role.stage),
                ..Place::default()
            },
            what,
        );
        for (index, bucket) in self.plan.buckets.iter().enumerate() {
            let held = Kind::ALL
                .into_iter()
                .filter_map(|kind| Some((kind, kind.of(bucket)?)));
            for (kind, id) in held.filter(|(_, id)| role.statics.contains(id)) {
                for layer in copies(self.plan, role, id) {
                    let flat = match memory.storage((id, layer)) {
                        Some(Held::Flat(flat)) if flat.cut == cut(self.plan, bucket, id) => {
                            Some(flat)
                        }
                        _ => None,
                    };
                    self.parts(role, (index, kind, layer), flat);
                    self.padding(role, (index, kind, layer), flat);
                }
            }
        }
    }

    fn fault(&mut self, place: Place, what: Option<What>) {
        self.faults.extend(what.map(|what| Fault { place, what }));
    }

    fn parts(
        &mut self,
        role: &Role,
        (index, kind, layer): (usize, Kind, Option<u32>),
        flat: Option<&Flat>,
    ) {
        for (offset, parameter) in members(self.plan, index) {
            let length = self.plan.tensors[parameter.tensor.0 as usize].elements();
            let part = flat.and_then(|flat| Some(flat.parts[flat.find(offset, length)?].1));
            let name = logical_name(parameter, layer);
            // Master weights are the same numbers as the weights, before rounding.
            let key = (
                name.clone(),
                if kind == Kind::Master {
                    Kind::Weights
                } else {
                    kind
                },
            );
            let what = match (part, self.expected.parameters.get(&key)) {
                (_, None) => Some(What::Lonely { side: "this" }),
                (Some(item), Some(&number)) if item.number == number => {
                    misplaced(kind.name(), &item, spread(parameter, &self.site))
                }
                _ => Some(What::Value { what: kind.name() }),
            };
            self.fault(
                Place {
                    stage: Some(role.stage),
                    ..Place::named(&name)
                },
                what,
            );
            self.seen.insert(key);
        }
    }

    /// Parts that belong to no parameter must be zero when the next step begins.
    fn padding(
        &mut self,
        role: &Role,
        (index, kind, layer): (usize, Kind, Option<u32>),
        flat: Option<&Flat>,
    ) {
        let offsets: BTreeSet<u64> = members(self.plan, index)
            .into_iter()
            .map(|(offset, _)| offset)
            .collect();
        let mut begin = 0;
        for (length, item) in flat.into_iter().flat_map(|flat| &flat.parts) {
            if !offsets.contains(&begin) && (item.number != Number::ZERO || item.is_odd()) {
                let place = Place {
                    stage: Some(role.stage),
                    layer,
                    ..Place::named(&self.plan.buckets[index].name)
                };
                self.fault(place, Some(What::Padding { what: kind.name() }));
            }
            begin += length;
        }
    }
}

fn misplaced(what: &'static str, item: &Item, wanted: [State; 2]) -> Option<What> {
    let say = |states: [State; 2]| format!("dp {:?}, tp {:?}", states[0], states[1]);
    (item.states != wanted).then(|| What::Spread {
        what,
        found: say(item.states),
        wanted: say(wanted),
    })
}
