//! Norms, nonlinearities and every kind of attention as the worker runs them, against what the reference interpreter says they mean:
//! same operands on the second of two tensor-parallel ranks, same results in f64.

use pleach_executor::collectives::solo::Solo;
use pleach_executor::data::Given;
use pleach_executor::ops::dropout::Draws;
use pleach_executor::ops::{self, Operands, adam_w, split_heads, tokens};
use pleach_plan::reference::ops as meaning;
use pleach_plan::reference::value::Value;
use pleach_plan::{
    Activation, Alibi, Axis, Charge, Dtype, Guard, HeadNorm, Mesh, Op, Rank, Route, RouterLoss,
    Scores, Split,
};
use tch::{Device, Kind, Tensor};

use crate::sample;

const MESH: Mesh = Mesh {
    dp: 1,
    cp: 1,
    pp: 1,
    tp: 2,
    shards: None,
};
const SECOND: Rank = Rank {
    dp: 0,
    pp: 0,
    tp: 1,
};
/// What the sample plan draws from in its first step.
const DRAWS: Draws = Draws {
    seed: 1,
    step: 0,
    layer: 3,
    sample: 0,
};
/// What losses are multiplied with.
const SCALE: f64 = 8.0;
const B: usize = 2;
const S: usize = 5;

/// Numbers between -1 and 1 that depend on place and seed alone.
fn numbers(dims: &[usize], seed: usize) -> Value {
    let count: usize = dims.iter().product();
    let number = |index: usize| ((index * 12_989 + seed * 78_233) as f64 * 0.001).sin();
    Value::free(dims, (0..count).map(number).collect())
}

fn tensor(value: &Value) -> Tensor {
    let dims: Vec<i64> = value.dims.iter().map(|&size| size as i64).collect();
    let numbers = Tensor::from_slice(&value.data).view(dims.as_slice());
    match value.dtype {
        Some(Dtype::I64) => numbers.to_kind(Kind::Int64),
        _ => numbers,
    }
}

/// What the worker makes of operands: results, then updates.
fn worked(op: &Op, ins: &[Value], updates: &[Value]) -> Vec<Tensor> {
    let [ins, updates] = [ins, updates].map(|all| all.iter().map(tensor).collect::<Vec<_>>());
    let mut tables = split_heads::Tables::default();
    if let Op::SplitHeads(split) | Op::SplitHeadsBackward(split) = op {
        let options = (Kind::Double, Device::Cpu);
        tables.add(split, S as u64, options).unwrap();
    }
    let mut context = ops::Context {
        mesh: MESH,
        place: SECOND,
        device: Device::Cpu,
        samples: &mut Given::default(),
        collectives: &mut Solo,
        tables: &tables,
        batch: tokens::Batch {
            first: 0,
            sequences: B as u64,
            positions: S as u64,
            step: [0, B as u64],
            weights: Dtype::F64,
        },
        update: adam_w::Step {
            loss_scale: SCALE,
            number: 0,
            rate: sample::plan(sample::ONE).training.schedule.rate(0),
        },
        trains: true,
        draws: Some(DRAWS),
    };
    let [read, changed] = [&ins, &updates].map(|all| all.iter().collect::<Vec<_>>());
    let operands = Operands {
        ins: &read,
        updates: &changed,
        ends: &[],
    };
    let mut made = ops::run(op, operands, &mut context).unwrap();
    made.extend(updates);
    made
}

fn meant(op: &Op, ins: &[Value], updates: &[Value]) -> Vec<Value> {
    let plan = sample::plan(sample::ONE);
    let guard = Guard {
        scale: SCALE,
        ..Guard::new(None)
    };
    let context = meaning::Context {
        guard,
        mesh: MESH,
        place: SECOND,
        step: 0,
        micro_batch: 0,
        layer: Some(DRAWS.layer as u32),
        training: &plan.training,
        tokens: &|_| Vec::new(),
    };
    let mut updates = updates.to_vec();
    let mut made = meaning::run(op, ins, &mut updates, &context).unwrap();
    made.extend(updates);
    made
}

/// Compares, and gives what is meant.
#[track_caller]
fn agree(op: &Op, ins: &[Value], updates: &[Value]) -> Vec<Value> {
    let (worked, meant) = (worked(op, ins, updates), meant(op, ins, updates));
    assert_eq!(worked.len(), meant.len(), "{op:?}");
    for (index, (found, wanted)) in worked.iter().zip(&meant).enumerate() {
        let wanted = tensor(wanted);
        assert_eq!(found.size(), wanted.size(), "result {index} of {op:?}");
        assert_eq!(found.kind(), wanted.kind(), "result {index} of {op:?}");
        let gap = (found - wanted).abs().max().double_value(&[]);
        assert!(gap < 1e-12, "result {index} of {op:?} is {gap:e} away");
    }
    meant
}

#[test]
fn root_mean_square_norms() {
    let (x, weight, dy) = (
        numbers(&[B, S, 20], 1),
        numbers(&[20], 2),
        numbers(&[B, S, 20], 3),
    );
    let op = Op::RmsNorm { eps: 1e-3 };
    let rstd = agree(&op, &[x.clone(), weight.clone()], &[]).remove(1);
    let gradient = numbers(&[20], 4);
    agree(&Op::RmsNormBackward {}, &[dy, x, weight, rstd], &[gradient]);
}

#[test]
fn layer_norms_with_and_without_a_bias() {
    let (x, dy) = (numbers(&[B, S, 20], 1), numbers(&[B, S, 20], 2));
    let rows = [3, 4].map(|seed| numbers(&[20], seed));
    let sums = [5, 6].map(|seed| numbers(&[20], seed));
    for count in [1, 2] {
        let ins = [std::slice::from_ref(&x), &rows[..count]].concat();
        let made = agree(&Op::LayerNorm { eps: 1e-3 }, &ins, &[]);
        let weight = &rows[..1];
        let ins = [&[dy.clone(), x.clone()], weight, &made[1..]].concat();
        agree(&Op::LayerNormBackward {}, &ins, &sums[..count]);
    }
}

#[test]
fn norms_of_queries_and_keys() {
    for group in [1, 2] {
        let norm = HeadNorm {
            head_dim: 4,
            group,
            eps: 1e-3,
        };
        let columns = 2 * (group as usize + 2) * 4;
        let (x, dy) = (numbers(&[B, S, columns], 1), numbers(&[B, S, columns], 2));
        let rows = [3, 4].map(|seed| numbers(&[4], seed));
        let sums = [5, 6].map(|seed| numbers(&[4], seed));
        let ins = [std::slice::from_ref(&x), &rows[..]].concat();
        let made = agree(&Op::HeadNorm(norm), &ins, &[]);
        let ins = [&[dy, x], &rows[..], &made[1..]].concat();
        agree(&Op::HeadNormBackward(norm), &ins, &sums);
    }
}

/// The second rank has the second half of the positions.
#[test]
fn what_stands_around_the_layers() {
    let (x, dy) = (numbers(&[B, S, 6], 1), numbers(&[B, S, 6], 2));
    let table = numbers(&[2 * S + 2, 6], 3);
    for over in [None, Some(Axis::Tp)] {
        let ins = [x.clone(), table.clone()];
        agree(&Op::Positions { over }, &ins, &[]);
        let (ins, sums) = ([dy.clone()], [table.clone()]);
        agree(&Op::PositionsBackward { over }, &ins, &sums);
        let (share, site) = (0.4, 1);
        let made = agree(
            &Op::Dropout { share, site, over },
            std::slice::from_ref(&x),
            &[],
        )
        .remove(0);
        assert!(made.data.contains(&0.0) && made.data.iter().any(|entry| *entry != 0.0));
    }
    agree(&Op::Scale { by: 2.5 }, std::slice::from_ref(&x), &[]);
    let made = agree(&Op::Cap { limit: 0.5 }, &[x], &[]).remove(0);
    agree(&Op::CapBackward { limit: 0.5 }, &[dy, made], &[]);
}

#[test]
fn nonlinearities_and_gated_products() {
    let [dy, gate, up] = [1, 2, 3].map(|seed| numbers(&[B, S, 7], seed));
    for kind in [
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Relu,
        Activation::Silu,
    ] {
        agree(&kind.forward(), std::slice::from_ref(&gate), &[]);
        agree(&kind.backward(), &[dy.clone(), gate.clone()], &[]);
        agree(&Op::Gated { kind }, &[gate.clone(), up.clone()], &[]);
        let operands = [dy.clone(), gate.clone(), up.clone()];
        agree(&Op::GatedBackward { kind }, &operands, &[]);
    }
}

/// Through a state space and back.
#[test]
fn state_spaces() {
    let (x, dy) = (numbers(&[B, S, 6], 1), numbers(&[B, S, 6], 2));
    let taps = numbers(&[6, 3], 3);
    agree(&Op::Convolution {}, &[x.clone(), taps.clone()], &[]);
    let ins = [dy.clone(), x.clone(), taps.clone()];
    agree(&Op::ConvolutionBackward {}, &ins, &[taps]);
    let widths = [1, 3, 2];
    let parts = agree(&Op::Columns { widths }, std::slice::from_ref(&x), &[]);
    agree(&Op::ColumnsBackward { widths }, &parts, &[]);
    let row = [B, S, 2];
    let [decay, skip] = [numbers(&[6, 2], 4), numbers(&[6], 5)];
    let ins = [
        x,
        numbers(&[B, S, 6], 6),
        decay.clone(),
        numbers(&row, 7),
        numbers(&row, 8),
        skip.clone(),
    ];
    agree(&Op::Scan {}, &ins, &[]);
    let ins = [&[dy], &ins[..]].concat();
    agree(&Op::ScanBackward {}, &ins, &[decay, skip]);
}

/// Through a router, its experts, and back.
#[test]
fn mixtures_of_experts() {
    for (active, normalised) in [(1, false), (2, true), (3, false)] {
        let route = Route { active, normalised };
        let (logits, x) = (numbers(&[B, S, 4], 1), numbers(&[B, S, 6], 2));
        let weight = numbers(&[4, 3, 6], 3);
        let [weights, choice] =
            <[Value; 2]>::try_from(agree(&Op::Route(route), std::slice::from_ref(&logits), &[]))
                .unwrap();
        let rows = agree(&Op::Dispatch {}, &[x, choice.clone()], &[]).remove(0);
        let made = agree(
            &Op::ExpertLinear {},
            &[rows.clone(), weight.clone(), choice.clone()],
            &[],
        )
        .remove(0);
        agree(
            &Op::Combine {},
            &[made.clone(), weights.clone(), choice.clone()],
            &[],
        );
        let dy = numbers(&[B, S, 3], 4);
        let back = agree(
            &Op::CombineBackward {},
            &[dy, made, weights, choice.clone()],
            &[],
        );
        let input = [back[0].clone(), weight.clone(), choice.clone()];
        let drows = agree(&Op::ExpertLinearBackwardInput {}, &input, &[]).remove(0);
        let input = [back[0].clone(), rows, choice.clone()];
        agree(&Op::ExpertLinearBackwardWeight {}, &input, &[weight]);
        agree(&Op::DispatchBackward {}, &[drows, choice.clone()], &[]);
        let input = [back[1].clone(), logits.clone(), choice.clone()];
        agree(&Op::RouteBackward(route), &input, &[]);
        let loss = RouterLoss {
            scaled: true,
            balance: 0.3,
            z: 0.2,
            scale: 0.5,
        };
        let op = Op::RouterLoss { loss, replicas: 2 };
        let input = [logits, choice];
        agree(&op, &input, &[numbers(&[2], 5)]);
        agree(&Op::RouterLossBackward(loss), &input, &[]);
    }
}

/// From packed columns to heads, through attention, and back.
fn attention(split: Split, scores: Scores) {
    let group = split.group as usize;
    let qkv = numbers(&[B, S, 2 * (group + 2) * 4], 1);
    let parts = agree(&Op::SplitHeads(split), &[qkv], &[]);
    let mixed = agree(&Op::Attention(scores), &parts, &[]);
    let grad = numbers(&mixed[0].dims, 2);
    let operands = [&[grad], &parts[..], &mixed[..]].concat();
    let gradients = agree(&Op::AttentionBackward(scores), &operands, &[]);
    agree(&Op::SplitHeadsBackward(split), &gradients, &[]);
}

#[test]
fn attention_in_groups_windows_and_on_slopes() {
    for group in [1, 2, 3] {
        let split = Split {
            head_dim: 4,
            rotary: 2,
            base: 100.0,
            scale: 2.0,
            group,
        };
        let plain = Scores {
            group,
            ..Scores::PLAIN
        };
        attention(split, plain);
        let window = Some(2);
        attention(split, Scores { window, ..plain });
        let alibi = Some(Alibi {
            heads: 4 * group,
            over: Some(Axis::Tp),
        });
        attention(split, Scores { alibi, ..plain });
    }
}

/// Gradients of a scaled loss are freed of the scale by the factor; a step that is not finite changes nothing.
#[test]
fn a_scaled_loss_and_a_step_that_is_not_finite() {
    let charge = Charge {
        scaled: true,
        ..Charge::plain(0.25)
    };
    let vocab = None;
    let logits = numbers(&[B, S, 6], 1);
    let targets = Value {
        dims: vec![B, S],
        dtype: Some(Dtype::I64),
        data: (0..B * S).map(|index| (index % 6) as f64).collect(),
    };
    let max = agree(&Op::CrossEntropyMax {}, std::slice::from_ref(&logits), &[]).remove(0);
    let smoothed = false;
    let terms = Op::CrossEntropyTerms { vocab, smoothed };
    let ins = [logits.clone(), targets.clone(), max.clone()];
    let terms = agree(&terms, &ins, &[]).remove(0);
    let gradient = |charge| {
        let op = Op::CrossEntropyBackward { charge, vocab };
        let ins = [logits.clone(), targets.clone(), max.clone(), terms.clone()];
        agree(&op, &ins, &[]).remove(0)
    };
    let [plain, scaled] = [Charge::plain(0.25), charge].map(gradient);
    let mut pairs = plain.data.iter().zip(&scaled.data);
    assert!(pairs.all(|(plain, scaled)| plain * SCALE == *scaled));
    let state = || {
        let mut state = [1, 2, 3, 4].map(|seed| numbers(&[5], seed));
        state[2].data.iter_mut().for_each(|v| *v = v.abs());
        state
    };
    for squares in [0.5, 300.0, f64::INFINITY, f64::NAN] {
        let report = Value::free(&[2], vec![1.0, squares]);
        let clip = Op::ClipFactor {
            max_norm: Some(1.0),
            scaled: true,
        };
        let factor = agree(&clip, &[report], &[numbers(&[1], 1)]).remove(0);
        let update = Op::AdamW {
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
        };
        let updated = agree(&update, std::slice::from_ref(&factor), &state());
        assert_eq!(factor.data[0] < 0.0, !squares.is_finite());
        let stays = updated
            .iter()
            .zip(state())
            .all(|(found, was)| found.data == was.data);
        assert_eq!(stays, !squares.is_finite());
    }
}
