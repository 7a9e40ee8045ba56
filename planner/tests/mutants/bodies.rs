//! Mutations of code: a body is shared by all ranks of its stages, so each of these happens on all of them.

use pleach_plan::op::Tokens;
use pleach_plan::{Activation, Axis, Body, Charge, GroupId, Instr, Op, Plan, Reduce, TensorId};

use crate::random::Random;

/// A way to change a body; none where it does not apply to what was drawn.
pub type Mutation = fn(&mut Plan, &mut Random) -> Option<()>;

/// All of them by name.
pub const MUTATIONS: [(&str, Mutation); 13] = [
    ("drop an instruction", drop_instruction),
    ("drop an instruction, keep its frees", drop_keeping_frees),
    ("bypass an instruction", bypass),
    ("bypass a collective", bypass_collective),
    ("duplicate an instruction", duplicate),
    ("swap neighbours", swap_neighbours),
    ("move an instruction", move_instruction),
    ("retarget an operand", retarget),
    ("swap operands", swap_operands),
    ("change a group", change_group),
    ("change an attribute", change_attribute),
    ("change frees", change_frees),
    ("change a frame", change_frame),
];

fn body<'p>(plan: &'p mut Plan, random: &mut Random) -> Option<&'p mut Body> {
    let index = random.below(plan.bodies.len());
    Some(&mut plan.bodies[index]).filter(|body| !body.code.is_empty())
}

fn place(plan: &mut Plan, random: &mut Random) -> Option<(usize, usize)> {
    let body = body(plan, random)?;
    let index = random.below(body.code.len());
    Some((body.id.0 as usize, index))
}

fn drop_instruction(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let (body, index) = place(plan, random)?;
    plan.bodies[body].code.remove(index);
    Some(())
}

/// Its frees go to the instruction before, and what it made is not freed by those behind it.
fn drop_keeping_frees(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let (body, index) = place(plan, random)?;
    let code = &mut plan.bodies[body].code;
    let gone = code.remove(index);
    let heir = if index > 0 { index - 1 } else { 0 };
    let frees = gone.frees.into_iter().filter(|id| !gone.outs.contains(id));
    code.get_mut(heir)?.frees.extend(frees);
    code.iter_mut()
        .for_each(|instr| instr.frees.retain(|id| !gone.outs.contains(id)));
    Some(())
}

fn bypass(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let (body, index) = place(plan, random)?;
    without(plan, body, index, random)
}

fn bypass_collective(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let collectives: Vec<(usize, usize)> = plan
        .bodies
        .iter()
        .flat_map(|body| {
            body.code
                .iter()
                .enumerate()
                .map(|(index, instr)| (body.id.0 as usize, index, instr))
        })
        .filter(|(_, _, instr)| instr.op.group().is_some())
        .map(|(body, index, _)| (body, index))
        .collect();
    if collectives.is_empty() {
        return None;
    }
    let (body, index) = random.pick(&collectives);
    without(plan, body, index, random)
}

/// Removes an instruction; whoever read its result reads an operand of the same shape instead.
fn without(plan: &mut Plan, body: usize, index: usize, random: &mut Random) -> Option<()> {
    let instr = plan.bodies[body].code[index].clone();
    if instr.outs.is_empty() {
        plan.bodies[body].code.remove(index);
        return instr.frees.is_empty().then_some(());
    }
    let [out] = instr.outs[..] else { return None };
    let shape = |id: TensorId| {
        (
            &plan.tensors[id.0 as usize].dims,
            plan.tensors[id.0 as usize].dtype,
        )
    };
    let alike: Vec<TensorId> = instr
        .ins
        .iter()
        .copied()
        .filter(|&id| shape(id) == shape(out))
        .collect();
    if alike.is_empty() {
        return None;
    }
    let stand_in = random.pick(&alike);
    let kept = !instr.frees.contains(&stand_in);
    let body = &mut plan.bodies[body];
    body.code.remove(index);
    let others: Vec<TensorId> = instr
        .frees
        .iter()
        .copied()
        .filter(|&id| id != stand_in && id != out)
        .collect();
    let heir = index.min(body.code.len().checked_sub(1)?);
    body.code[heir].frees.extend(others);
    let rename = |ids: &mut Vec<TensorId>| {
        ids.iter_mut()
            .filter(|id| **id == out)
            .for_each(|id| *id = stand_in)
    };
    for instr in &mut body.code {
        rename(&mut instr.ins);
        rename(&mut instr.updates);
        match kept {
            true => instr.frees.retain(|&id| id != out),
            false => rename(&mut instr.frees),
        }
    }
    rename(&mut body.saves);
    body.outs
        .iter_mut()
        .filter(|port| port.tensor == out)
        .for_each(|port| port.tensor = stand_in);
    Some(())
}

fn duplicate(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let (body, index) = place(plan, random)?;
    let code = &mut plan.bodies[body].code;
    let copy = Instr {
        frees: vec![],
        ..code[index].clone()
    };
    code.insert(index, copy);
    Some(())
}

fn swap_neighbours(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let (body, index) = place(plan, random)?;
    let code = &mut plan.bodies[body].code;
    (index + 1 < code.len()).then(|| code.swap(index, index + 1))
}

/// Moves an instruction without its frees, which stay where they were.
fn move_instruction(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let (body, index) = place(plan, random)?;
    let code = &mut plan.bodies[body].code;
    let mut moved = code.remove(index);
    let frees = std::mem::take(&mut moved.frees);
    let heir = index.min(code.len().checked_sub(1)?);
    code[heir].frees.extend(frees);
    code.insert(random.below(code.len()), moved);
    Some(())
}

fn operands(instr: &mut Instr) -> Vec<&mut TensorId> {
    instr
        .ins
        .iter_mut()
        .chain(&mut instr.updates)
        .chain(&mut instr.outs)
        .chain(&mut instr.frees)
        .collect()
}

/// Another tensor of the same shape, mostly one that the body also uses. A bucket with one member and that member's view are one
/// tensor under two names.
fn retarget(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let (body, index) = place(plan, random)?;
    let mut code = plan.bodies[body].code.clone();
    let used: Vec<TensorId> = code.iter_mut().flat_map(operands).map(|id| *id).collect();
    let own = random.below(4) > 0;
    let mut instr = code.swap_remove(index);
    let mut ids = operands(&mut instr);
    let id = random.below(ids.len());
    let old = *ids[id];
    let shape = |id: TensorId| {
        (
            &plan.tensors[id.0 as usize].dims,
            plan.tensors[id.0 as usize].dtype,
        )
    };
    let place_of = |id: TensorId| match plan.tensors[id.0 as usize].view {
        Some(view) => (view.base, view.offset),
        None => (id, 0),
    };
    let all = plan
        .tensors
        .iter()
        .map(|tensor| tensor.id)
        .filter(|id| !own || used.contains(id));
    let alike: Vec<TensorId> = all
        .filter(|&other| place_of(other) != place_of(old) && shape(other) == shape(old))
        .collect();
    if alike.is_empty() {
        return None;
    }
    *ids[id] = random.pick(&alike);
    plan.bodies[body].code[index] = instr;
    Some(())
}

fn swap_operands(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let (body, index) = place(plan, random)?;
    let instr = &mut plan.bodies[body].code[index];
    let lists = [&mut instr.ins, &mut instr.updates, &mut instr.outs];
    let list = lists
        .into_iter()
        .filter(|list| list.len() > 1)
        .nth(random.below(2))?;
    let (first, second) = (random.below(list.len()), random.below(list.len()));
    (list[first] != list[second]).then(|| list.swap(first, second))
}

fn change_group(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let groups = Some(plan.groups.len()).filter(|&groups| groups > 0)?;
    let (body, index) = place(plan, random)?;
    let other = GroupId(random.below(groups) as u32);
    match &mut plan.bodies[body].code[index].op {
        Op::AllReduce { group, .. }
        | Op::AllGather { group, .. }
        | Op::ReduceScatter { group, .. }
            if *group != other =>
        {
            *group = other;
            Some(())
        }
        _ => None,
    }
}

fn other_axis(axis: &mut Option<Axis>, random: &mut Random) {
    *axis = random.pick(&[None, Some(Axis::Dp), Some(Axis::Pp), Some(Axis::Tp)]);
}

fn change_attribute(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let (body, index) = place(plan, random)?;
    let op = &mut plan.bodies[body].code[index].op;
    let before = op.clone();
    match op {
        Op::Tokens { which } => {
            *which = if *which == Tokens::Inputs {
                Tokens::Targets
            } else {
                Tokens::Inputs
            };
        }
        Op::Embedding { vocab }
        | Op::EmbeddingBackward { vocab }
        | Op::CrossEntropyTerms { vocab, .. } => {
            other_axis(vocab, random);
        }
        Op::CrossEntropyBackward { vocab, charge } => match random.coin() {
            true => other_axis(vocab, random),
            false => change_charge(charge, random),
        },
        Op::LayerNorm { eps } | Op::RmsNorm { eps } => *eps *= 2.0,
        Op::Activation { kind }
        | Op::ActivationBackward { kind }
        | Op::Gated { kind }
        | Op::GatedBackward { kind } => {
            *kind = random.pick(&[Activation::GeluTanh, Activation::Relu, Activation::Silu]);
        }
        Op::SplitHeads(split) | Op::SplitHeadsBackward(split) => match random.below(3) {
            0 => split.rotary = random.pick(&[0, 2, 4]),
            1 => split.base *= 2.0,
            _ => split.scale *= 2.0,
        },
        Op::Attention(scores) | Op::AttentionBackward(scores) => match &mut scores.alibi {
            Some(alibi) if random.coin() => other_axis(&mut alibi.over, random),
            Some(_) => scores.alibi = None,
            None => scores.window = random.pick(&[None, Some(1), Some(2), Some(3)]),
        },
        Op::CrossEntropyLoss { charge, replicas } => match random.coin() {
            true => change_charge(charge, random),
            false => *replicas = random.pick(&[1, 2, 4]),
        },
        Op::SumSquares { replicas } => *replicas = random.pick(&[1, 2, 4]),
        Op::ClipFactor { max_norm, scaled } => change_clip(max_norm, scaled, random),
        Op::Slice { axis, dim } => match random.coin() {
            true => *axis = random.pick(&[Axis::Dp, Axis::Pp, Axis::Tp]),
            false => *dim = random.below(3),
        },
        Op::AllGather { dim, .. } | Op::ReduceScatter { dim, .. } => *dim = random.below(3),
        Op::AllReduce { reduce, .. } => {
            *reduce = if *reduce == Reduce::Sum {
                Reduce::Max
            } else {
                Reduce::Sum
            };
        }
        _ => change_number(op, random)?,
    }
    (*op != before).then_some(())
}

/// Another charge that reads the same operands.
fn change_clip(max_norm: &mut Option<f64>, scaled: &mut bool, random: &mut Random) {
    match *scaled && random.coin() {
        true => *scaled = false,
        false => *max_norm = random.pick(&[None, Some(1e-2), Some(1e-3)]),
    }
}

fn change_charge(charge: &mut Charge, random: &mut Random) {
    match random.pick(&[0, 1, 2, 3]) {
        1 if charge.is_squared() => charge.z_loss *= 2.0,
        2 if charge.is_smoothed() => charge.smoothing *= 0.5,
        3 if charge.scaled => charge.scaled = false,
        _ => charge.scale *= 2.0,
    }
}

fn change_number(op: &mut Op, random: &mut Random) -> Option<()> {
    match op {
        Op::AdamW {
            beta1,
            beta2,
            eps,
            weight_decay,
        } => {
            let attribute = random.pick(&[0, 1, 2, 3]);
            *[beta1, beta2, eps, weight_decay][attribute] *= 0.5;
        }
        Op::Adam {
            beta1,
            beta2,
            eps,
            weight_decay,
        } => {
            let attribute = random.pick(&[0, 1, 2, 3]);
            *[beta1, beta2, eps, weight_decay][attribute] *= 0.5;
        }
        Op::Sgd {
            momentum,
            nesterov,
            weight_decay,
        } => match random.pick(&[0, 1, 2]) {
            0 => *momentum *= 0.5,
            1 => *weight_decay *= 0.5,
            _ => *nesterov = !*nesterov,
        },
        Op::Dropout { share, site, over } => match random.pick(&[0, 1, 2]) {
            0 => *share *= 0.5,
            1 => *site = 1 - *site,
            _ => other_axis(over, random),
        },
        Op::Positions { over } | Op::PositionsBackward { over } => other_axis(over, random),
        Op::HeadNorm(norm) | Op::HeadNormBackward(norm) => norm.eps *= 2.0,
        Op::Columns { widths } | Op::ColumnsBackward { widths } => widths.swap(0, 1),
        Op::Route(route) | Op::RouteBackward(route) => route.normalised = !route.normalised,
        Op::RouterLoss { replicas, .. } if random.coin() => *replicas = random.pick(&[1, 2, 4]),
        Op::RouterLoss { loss, .. } | Op::RouterLossBackward(loss) => match random.coin() {
            true => loss.scale *= 2.0,
            false => loss.z += 0.1,
        },
        Op::Scale { by: number }
        | Op::Cap { limit: number }
        | Op::CapBackward { limit: number } => *number *= 2.0,
        _ => return None,
    }
    Some(())
}

fn change_frees(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let (body, index) = place(plan, random)?;
    let code = &mut plan.bodies[body].code;
    let freed = code[index].frees.pop()?;
    if random.coin() {
        let later = index + random.below(code.len() - index);
        code[later].frees.push(freed);
    }
    Some(())
}

fn change_frame(plan: &mut Plan, random: &mut Random) -> Option<()> {
    let body = body(plan, random)?;
    let used: Vec<TensorId> = body
        .code
        .iter_mut()
        .flat_map(operands)
        .map(|id| *id)
        .collect();
    let list = if random.coin() {
        &mut body.saves
    } else {
        &mut body.takes
    };
    match random.coin() {
        true => list.pop().map(|_| ()),
        false => {
            list.push(random.pick(&used));
            Some(())
        }
    }
}
