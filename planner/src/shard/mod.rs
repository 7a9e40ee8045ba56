//! Chooses a layout over the tensor-parallel axis for every value of a block, and where collectives go.
//!
//! In comes a block's training graph, out comes the cheapest consistent sequence of operations and conversions, by a search over
//! the operations in order: a state is the set of forms in which each living value is at hand, equal states keep the cheapest way
//! to reach them. Nothing here knows of layers: column and row splits, and sequence parallelism, come out of the operations'
//! strategies. Two laws bound the search: matrices are split (that is what tensor parallelism is for) but for tables of positions and routers, and the residual stream
//! between blocks is replicated, or cut along the sequence where the placement says so.

mod convert;
pub mod strategy;

use std::collections::BTreeMap;
use std::rc::Rc;

use pleach_plan::Op;

use crate::graph::{Block, Kind, Node, ValueId};
use crate::ops;
use strategy::{Form, Forms, P, R, Strategy, shard};

/// What the search has to respect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Tensor-parallel ranks.
    pub tp: u64,
    /// Whether the residual stream is cut along the sequence.
    pub sequence_parallel: bool,
    /// Whether backward runs right after a second forward, so that forms made in forward are still at hand.
    pub recompute: bool,
    /// How the matrix that embedding and head share already lies.
    pub tied: Option<Form>,
}

/// One step of a sharded block.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A collective or a slice.
    Convert {
        /// The value.
        value: ValueId,
        /// The form at hand.
        from: Form,
        /// The form made.
        to: Form,
        /// Whether backward needs it.
        backward: bool,
    },
    /// An operation under a strategy.
    Run {
        /// The operation.
        node: Node,
        /// How it runs.
        strategy: Strategy,
    },
}

impl Step {
    /// Whether it belongs to backward.
    pub fn backward(&self) -> bool {
        match self {
            Step::Convert { backward, .. } => *backward,
            Step::Run { node, .. } => node.backward,
        }
    }
}

/// A block with its layouts.
#[derive(Clone, Debug, PartialEq)]
pub struct Sharded {
    /// Operations and conversions in order, forward first.
    pub steps: Vec<Step>,
    /// Forms of parameters and accumulators.
    pub statics: BTreeMap<ValueId, Form>,
    /// The form of the residual stream between blocks.
    pub wire: Form,
}

impl Sharded {
    /// Forms of parameters and accumulators by their names.
    pub fn named<'b>(&self, block: &'b Block) -> BTreeMap<&'b str, Form> {
        let named = |(id, form): (&ValueId, &Form)| (block.value(*id).name.as_str(), *form);
        self.statics.iter().map(named).collect()
    }
}

/// A way that was gone, newest step first.
struct Path {
    step: Trail,
    before: Option<Rc<Path>>,
}

/// A step as states remember it: most are thrown away, so nothing in it is copied.
enum Trail {
    /// As [`Step::Convert`].
    Convert(Step),
    /// The operation's place in the block, and how it runs.
    Run(usize, Rc<Strategy>),
}

#[derive(Clone)]
struct State {
    cost: u64,
    forms: Vec<Forms>,
    path: Option<Rc<Path>>,
}

/// Ways kept after each operation.
const BEAM: usize = 256;

/// Shards a block; none where no consistent set of layouts exists.
pub fn shard_block(block: &Block, rules: Rules) -> Option<Sharded> {
    let search = Search::new(block, rules);
    let nodes: Vec<&Node> = block.nodes().collect();
    let mut states = vec![search.start()];
    let boundary = nodes
        .iter()
        .position(|node| node.backward)
        .unwrap_or(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        if index == boundary {
            states = states
                .into_iter()
                .flat_map(|state| search.cross(&state))
                .collect();
        }
        let allowed = search.allowed(node);
        let (search, allowed) = (&search, &allowed);
        let next = states.iter().flat_map(|state| {
            let each = allowed.iter();
            each.filter_map(move |strategy| search.apply(state, (index, node), strategy))
        });
        states = search.keep(next, index);
    }
    let last = states
        .into_iter()
        .filter_map(|state| search.finish(state))
        .min_by_key(|state| state.cost)?;
    Some(search.result(&last, &nodes))
}

struct Search<'b> {
    block: &'b Block,
    rules: Rules,
    wire: Form,
    /// Index of the last operation that reads each value.
    last_use: Vec<usize>,
    /// Matrices that every rank may hold whole.
    small: Vec<ValueId>,
}

impl<'b> Search<'b> {
    fn new(block: &'b Block, rules: Rules) -> Self {
        let mut last_use = vec![0; block.values.len()];
        for (index, node) in block.nodes().enumerate() {
            for value in node.ins.iter().chain(&node.updates) {
                last_use[value.0] = index;
            }
        }
        let ends = [block.output, block.gradient_out].into_iter().flatten();
        let kept = (0..block.values.len())
            .filter(|&index| !transient(&block.values[index].kind))
            .map(ValueId);
        ends.chain(kept)
            .for_each(|value| last_use[value.0] = usize::MAX);
        Search {
            block,
            rules,
            wire: if rules.sequence_parallel && rules.tp > 1 {
                shard(1)
            } else {
                R
            },
            last_use,
            small: small_matrices(block),
        }
    }

    fn start(&self) -> State {
        let mut forms = vec![Forms::default(); self.block.values.len()];
        if let Some(input) = self.block.input {
            forms[input.0] = Forms::only(self.wire);
        }
        State {
            cost: 0,
            forms,
            path: None,
        }
    }

    /// From forward to backward: the output goes onto its wire, each saved value keeps one form, its gradient arrives. Either the smallest form is
    /// kept, and backward gathers it again, or the whole value where forward gathered it.
    fn cross(&self, state: &State) -> Vec<State> {
        let smallest = |forms: Forms| forms.iter().next().map(Forms::only);
        let whole = |forms: Forms| forms.has(R).then_some(Forms::only(R));
        let both: [&dyn Fn(Forms) -> Option<Forms>; 2] =
            [&smallest, &|forms| whole(forms).or_else(|| smallest(forms))];
        let kept = if self.rules.recompute { 1 } else { 2 };
        let crossed = both[..kept].iter().map(|keep| {
            let mut state = state.clone();
            if let Some(output) = self.block.output {
                self.convert(&mut state, output, self.wire, false)?;
            }
            for (index, forms) in state.forms.iter_mut().enumerate() {
                if !self.rules.recompute && transient(&self.block.values[index].kind) {
                    *forms = keep(*forms).unwrap_or_default();
                }
            }
            if let Some(gradient) = self.block.gradient_in {
                state.forms[gradient.0] = Forms::only(self.wire);
            }
            Some(state)
        });
        crossed.flatten().collect()
    }

    fn finish(&self, mut state: State) -> Option<State> {
        if let Some(gradient) = self.block.gradient_out {
            self.convert(&mut state, gradient, self.wire, true)?;
        }
        Some(state)
    }

    /// The strategies that an operation may run under.
    fn allowed(&self, node: &Node) -> Vec<Rc<Strategy>> {
        let offered = ops::strategies(node, self.block);
        let allowed = offered.into_iter().filter(|strategy| {
            let plain = self.rules.tp == 1;
            let replicated = strategy
                .ins
                .iter()
                .chain(&strategy.outs)
                .all(|&form| form == R);
            if plain {
                replicated
            } else {
                !strategy.over_sequence || self.rules.sequence_parallel
            }
        });
        allowed.map(Rc::new).collect()
    }

    fn apply(
        &self,
        state: &State,
        (index, node): (usize, &Node),
        strategy: &Rc<Strategy>,
    ) -> Option<State> {
        let mut state = state.clone();
        for (&value, &form) in node.ins.iter().zip(&strategy.ins) {
            self.supply(&mut state, value, form, node)?;
        }
        for (&value, &form) in node.updates.iter().zip(&strategy.updates) {
            self.update(&mut state, value, form)?;
        }
        for (&value, &form) in node.outs.iter().zip(&strategy.outs) {
            state.forms[value.0] = Forms::only(form);
        }
        let operands = node
            .ins
            .iter()
            .zip(&strategy.ins)
            .chain(node.outs.iter().zip(&strategy.outs));
        state.cost += operands
            .map(|(&value, &form)| convert::local_bytes(self.block, value, form, self.rules.tp))
            .sum::<u64>();
        state.push(Trail::Run(index, Rc::clone(strategy)));
        Some(state)
    }

    /// Gives an operation an operand in a form.
    fn supply(&self, state: &mut State, value: ValueId, form: Form, node: &Node) -> Option<()> {
        if self.block.value(value).is_parameter() {
            return self.settle(state, value, form);
        }
        self.convert(state, value, form, node.backward)
    }

    /// Makes a value available in a form, by the cheapest conversion.
    fn convert(&self, state: &mut State, value: ValueId, form: Form, backward: bool) -> Option<()> {
        let route = convert::route(self.block, value, state.forms[value.0], form, self.rules.tp)?;
        for (from, to, cost) in route {
            state.cost += cost;
            state.forms[value.0] = state.forms[value.0].with(to);
            state.push(Trail::Convert(Step::Convert {
                value,
                from,
                to,
                backward,
            }));
        }
        Some(())
    }

    /// Fixes the layout of a parameter where it is first read.
    fn settle(&self, state: &mut State, value: ValueId, form: Form) -> Option<()> {
        let matrix = self.block.value(value).dims.len() > 1 && !self.small.contains(&value);
        if self.rules.tp > 1 && matrix && form.cut().is_none() {
            return None;
        }
        let tied = self.rules.tied.filter(|_| self.block.tied == Some(value));
        if tied.is_some_and(|tied| tied != form) {
            return None;
        }
        let held = &mut state.forms[value.0];
        if held.is_empty() {
            *held = Forms::only(form);
        }
        held.has(form).then_some(())
    }

    /// Fixes the layout of an accumulator: its parameter's, or a partial sum of a whole one.
    fn update(&self, state: &mut State, value: ValueId, form: Form) -> Option<()> {
        if let Kind::Accumulator { of } = self.block.value(value).kind {
            let own = state.forms[of.0];
            if !(own.has(form) || form == P && own.has(R)) {
                return None;
            }
        }
        let held = &mut state.forms[value.0];
        if held.is_empty() {
            *held = Forms::only(form);
        }
        held.has(form).then_some(())
    }

    /// The cheapest state of each kind, at most [`BEAM`] of them.
    fn keep(&self, states: impl Iterator<Item = State>, done: usize) -> Vec<State> {
        let forgotten = |mut state: State| {
            for (index, forms) in state.forms.iter_mut().enumerate() {
                if self.last_use[index] <= done {
                    *forms = Forms::default();
                }
            }
            state
        };
        let mut kept: Vec<State> = states.map(forgotten).collect();
        kept.sort_by(|one, other| one.forms.cmp(&other.forms).then(one.cost.cmp(&other.cost)));
        kept.dedup_by(|later, first| later.forms == first.forms);
        kept.sort_by_key(|state| state.cost);
        kept.truncate(BEAM);
        kept
    }

    fn result(&self, state: &State, nodes: &[&Node]) -> Sharded {
        let mut steps = Vec::new();
        let mut path = state.path.as_ref();
        while let Some(here) = path {
            steps.push(match &here.step {
                Trail::Convert(step) => step.clone(),
                Trail::Run(index, strategy) => Step::Run {
                    node: nodes[*index].clone(),
                    strategy: Strategy::clone(strategy),
                },
            });
            path = here.before.as_ref();
        }
        steps.reverse();
        let lasting = state
            .forms
            .iter()
            .enumerate()
            .filter(|(index, _)| !transient(&self.block.values[*index].kind));
        let statics = lasting
            .filter_map(|(index, forms)| Some((ValueId(index), forms.iter().next()?)))
            .collect();
        Sharded {
            steps,
            statics,
            wire: self.wire,
        }
    }
}

impl State {
    fn push(&mut self, step: Trail) {
        self.path = Some(Rc::new(Path {
            step,
            before: self.path.take(),
        }));
    }
}

/// Tables of positions, and the matrices of routers: what every rank needs whole, and is small beside the others.
fn small_matrices(block: &Block) -> Vec<ValueId> {
    let routed = |node: &Node| {
        let reads = |reader: &Node| matches!(reader.op, Op::Route(_)) && reader.ins == node.outs;
        block.nodes().any(reads)
    };
    let small = |node: &Node| match node.op {
        Op::Positions { .. } => true,
        Op::Linear {} => routed(node),
        _ => false,
    };
    let nodes = block.nodes().filter(|node| small(node));
    nodes.map(|node| node.ins[1]).collect()
}

fn transient(kind: &Kind) -> bool {
    matches!(kind, Kind::Activation | Kind::Statistic | Kind::Ids)
}
