//! Kernels of a device, proved without one: each operation as a device computes it, by the fused kernels' own sources and by
//! libtorch's operations, against what the CPU's code makes of the same operands. Odd sizes, every type, forward and backward.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "kernels/compile.rs"]
#[cfg(feature = "cuda")]
mod compile;
#[path = "kernels/emulation.rs"]
mod emulation;
#[path = "kernels/gpu.rs"]
#[cfg(feature = "cuda")]
mod gpu;

use std::sync::{LazyLock, Mutex, MutexGuard};

use emulation::Emulation;
use pleach_executor::collectives::solo::Solo;
use pleach_executor::data::Given;
use pleach_executor::kernels::{Launch, norm};
use pleach_executor::ops::dropout::Draws;
use pleach_executor::ops::{
    self, Context, Operands, adam_w, attention, device, split_heads, tokens,
};
use pleach_plan::{Activation, Axis, Charge, Dtype, Mesh, Op, Rank, RouterLoss, Scores, Split};
use tch::{Device, Kind, Tensor};

const KINDS: [Kind; 4] = [Kind::Double, Kind::Float, Kind::BFloat16, Kind::Half];
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

/// Fibers share what is static in a library, so one test runs kernels at a time.
static BOTH: LazyLock<Mutex<[Emulation; 2]>> =
    LazyLock::new(|| Mutex::new([Emulation::new(false), Emulation::new(true)]));

fn both() -> MutexGuard<'static, [Emulation; 2]> {
    BOTH.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Handles of loaded libraries may be used by any thread, one at a time.
unsafe impl Send for Emulation {}

fn wide(kind: Kind) -> Kind {
    if kind == Kind::Double {
        Kind::Double
    } else {
        Kind::Float
    }
}

/// Numbers between -2 and 2 that depend on the seed alone.
fn numbers(dims: &[i64], kind: Kind, seed: i64) -> Tensor {
    let count: i64 = dims.iter().product();
    let places = Tensor::arange(count, (Kind::Double, Device::Cpu));
    let values = ((places * 0.7123 + seed as f64 * 1.31).sin() * 2.0).view(dims);
    values.to_kind(kind)
}

fn ids(dims: &[i64], below: i64) -> Tensor {
    let count: i64 = dims.iter().product();
    let places = Tensor::arange(count, (Kind::Int64, Device::Cpu));
    (places * 7 + 3).remainder(below).view(dims)
}

/// One operation with operands, as both sides get them.
struct Case {
    op: Op,
    ins: Vec<Tensor>,
    updates: Vec<Tensor>,
    /// What a result may be off, times what the type rounds by.
    within: f64,
}

impl Case {
    fn new(op: Op, ins: Vec<Tensor>, updates: Vec<Tensor>) -> Self {
        Self {
            op,
            ins,
            updates,
            within: 4.0,
        }
    }

    /// Results and updates, by `how`.
    fn made(
        &self,
        to: Device,
        how: impl Fn(Operands<'_>, &mut Context<'_>) -> Vec<Tensor>,
    ) -> Vec<Tensor> {
        let there = |all: &[Tensor]| -> Vec<Tensor> {
            all.iter()
                .map(|one| one.to_device_(to, one.kind(), false, true))
                .collect()
        };
        let (ins, updates) = (there(&self.ins), there(&self.updates));
        let ins: Vec<&Tensor> = ins.iter().collect();
        let read: Vec<&Tensor> = updates.iter().collect();
        let mut tables = split_heads::Tables::default();
        if let Op::SplitHeads(split) | Op::SplitHeadsBackward(split) = &self.op {
            let options = (wide(ins[0].kind()), to);
            tables.add(split, 16, options).unwrap();
        }
        let mut context = Context {
            mesh: MESH,
            place: SECOND,
            device: to,
            samples: &mut Given::default(),
            collectives: &mut Solo,
            tables: &tables,
            batch: tokens::Batch {
                first: 0,
                sequences: 2,
                positions: 5,
                step: [0, 2],
                weights: Dtype::F64,
            },
            update: adam_w::Step {
                number: 2,
                rate: 0.01,
                loss_scale: 4.0,
            },
            trains: true,
            draws: Some(Draws {
                seed: 1,
                step: 0,
                layer: 3,
                sample: 0,
            }),
        };
        let operands = Operands {
            ins: &ins,
            updates: &read,
            ends: &[],
        };
        let mut made = how(operands, &mut context);
        made.extend(updates);
        made
    }

    fn on_cpu(&self) -> Vec<Tensor> {
        self.made(Device::Cpu, |operands, context| {
            ops::run(&self.op, operands, context).unwrap()
        })
    }

    /// As a device computes it; none where the CPU's code serves it too.
    fn on_device(&self, fused: Option<&dyn Launch>) -> Vec<Tensor> {
        self.made_on(Device::Cpu, fused)
    }

    /// The same on a device that is there.
    fn made_on(&self, to: Device, fused: Option<&dyn Launch>) -> Vec<Tensor> {
        self.made(to, |operands, context| {
            let made = device::run(&self.op, operands, context, fused).unwrap();
            made.unwrap_or_else(|| ops::run(&self.op, operands, context).unwrap())
        })
    }

    /// How far the results are apart, in units of what their type rounds by; the sizes and types must be equal.
    fn apart(&self, found: &[Tensor], wanted: &[Tensor]) -> f64 {
        assert_eq!(found.len(), wanted.len(), "{:?}", self.op);
        let one = |(found, wanted): (&Tensor, &Tensor)| {
            assert_eq!(found.size(), wanted.size(), "{:?}", self.op);
            assert_eq!(found.kind(), wanted.kind(), "{:?}", self.op);
            if found.numel() == 0 {
                return 0.0;
            }
            let rounds = match found.kind() {
                Kind::Double => 2f64.powi(-52),
                Kind::Float => 2f64.powi(-23),
                Kind::Half => 2f64.powi(-10),
                _ => 2f64.powi(-7),
            };
            let [found, wanted] =
                [found, wanted].map(|one| one.to_device(Device::Cpu).to_kind(Kind::Double));
            let most = wanted.abs().max().double_value(&[]).max(0.1);
            let gap = (found - wanted).abs().max().double_value(&[]);
            assert!(!gap.is_nan(), "{:?}", self.op);
            gap / most / rounds
        };
        found.iter().zip(wanted).map(one).fold(0.0, f64::max)
    }

    #[track_caller]
    fn agrees(&self, fused: &[&dyn Launch]) {
        let wanted = self.on_cpu();
        let ways = fused.iter().map(|one| Some(*one)).chain([None]);
        for (index, way) in ways.enumerate() {
            let gap = self.apart(&self.on_device(way), &wanted);
            assert!(
                gap <= self.within,
                "way {index} of {:?} is {gap} off",
                self.op
            );
        }
    }
}

/// All cases run in both orders of threads and by libtorch's operations.
#[track_caller]
fn agree(cases: impl IntoIterator<Item = Case>) {
    let both = both();
    let all = [&both[0] as &dyn Launch, &both[1]];
    cases.into_iter().for_each(|case| case.agrees(&all));
}

fn norms() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in KINDS {
        for (rows, width) in [(3, 1), (5, 7), (4, 96), (2, 1000), (300, 40)] {
            if kind == Kind::Half {
                // The CPU's loops know no half precision.
                continue;
            }
            let x = |seed| numbers(&[1, rows, width], kind, seed);
            let row = |seed| numbers(&[width], wide(kind), seed);
            let eps = 1e-3;
            let (layer, rms) = (Op::LayerNorm { eps }, Op::RmsNorm { eps });
            let mut own = vec![
                Case::new(layer.clone(), vec![x(1), row(2), row(3)], vec![]),
                Case::new(layer, vec![x(1), row(2)], vec![]),
                Case::new(rms, vec![x(1), row(2)], vec![]),
            ];
            let mean = x(1)
                .to_kind(wide(kind))
                .mean_dim([-1i64].as_slice(), false, wide(kind));
            let rstd = numbers(&[1, rows], wide(kind), 4).abs() + 0.5;
            let ins = vec![x(5), x(1), row(2), mean, rstd.copy()];
            own.push(Case::new(
                Op::LayerNormBackward {},
                ins,
                vec![row(6), row(7)],
            ));
            let ins = vec![x(5), x(1), row(2), rstd];
            own.push(Case::new(Op::RmsNormBackward {}, ins, vec![row(6)]));
            // Sums over many rows and columns come in another order.
            own.iter_mut().for_each(|case| case.within = 200.0);
            cases.extend(own);
        }
    }
    cases
}

#[test]
fn norms_agree_forward_and_backward() {
    agree(norms());
}

#[test]
fn a_norm_behind_an_addition_is_both() {
    let both = both();
    for (kind, width) in [
        (Kind::Float, 24),
        (Kind::BFloat16, 13),
        (Kind::BFloat16, 64),
    ] {
        let [x, more] = [1, 2].map(|seed| numbers(&[2, 3, width], kind, seed));
        let weight = numbers(&[width], Kind::Float, 3);
        let parts = norm::Norm {
            weight: &weight,
            bias: Some(&weight),
            eps: 1e-5,
            centred: true,
        };
        for fused in both.iter() {
            let sum = x.empty_like();
            let made = norm::forward(fused, &x, Some([&more, &sum]), &parts).unwrap();
            let apart = norm::forward(fused, &(&x + &more), None, &parts).unwrap();
            assert_eq!(sum, &x + &more);
            assert_eq!(made, apart);
        }
    }
}

fn nonlinearities() -> Vec<Case> {
    let curves = [
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Relu,
        Activation::Silu,
    ];
    let mut cases = Vec::new();
    for kind in KINDS {
        for count in [1, 17, 1031] {
            let x = |seed| numbers(&[1, 1, count], kind, seed);
            for curve in curves {
                let gated = vec![x(3), x(1), x(2)];
                let mut own = vec![
                    Case::new(Op::Activation { kind: curve }, vec![x(1)], vec![]),
                    Case::new(
                        Op::ActivationBackward { kind: curve },
                        vec![x(2), x(1)],
                        vec![],
                    ),
                    Case::new(Op::Gated { kind: curve }, vec![x(1), x(2)], vec![]),
                    Case::new(Op::GatedBackward { kind: curve }, gated, vec![]),
                ];
                own.iter_mut().for_each(|case| case.within = 16.0);
                cases.extend(own);
            }
        }
        let x = |seed| numbers(&[1, 1, 33], kind, seed);
        cases.push(Case::new(Op::Gelu {}, vec![x(1)], vec![]));
        cases.push(Case::new(Op::GeluBackward {}, vec![x(2), x(1)], vec![]));
    }
    cases
}

#[test]
fn nonlinearities_agree_forward_and_backward() {
    agree(nonlinearities());
}

fn heads() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in KINDS {
        for (rotary, group, count) in [(0, 1, 2), (4, 1, 3), (6, 3, 1), (6, 2, 2)] {
            let (width, group) = (6i64, group as i64);
            let split = Split {
                head_dim: 6,
                rotary,
                base: 100.0,
                scale: 1.5,
                group: group as u64,
            };
            let joint = numbers(&[2, 5, count * (group + 2) * width], kind, 1);
            cases.push(Case::new(Op::SplitHeads(split), vec![joint], vec![]));
            let part =
                |heads: i64, seed| numbers(&[2, 5, heads, width], kind, seed).transpose(1, 2);
            let parts = vec![part(count * group, 1), part(count, 2), part(count, 3)];
            cases.push(Case::new(Op::SplitHeadsBackward(split), parts, vec![]));
        }
    }
    cases
}

#[test]
fn heads_agree_forward_and_backward() {
    agree(heads());
}

fn losses() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in KINDS {
        for (columns, split) in [(9, false), (9, true), (64, true), (1003, false)] {
            let vocab = split.then_some(Axis::Tp);
            let logits = numbers(&[2, 5, columns], kind, 1) * 3.0;
            let targets = ids(&[2, 5], if split { 2 * columns } else { columns });
            let max = ops::cross_entropy::max(&logits).unwrap();
            let weights = numbers(&[2, 5], wide(kind), 5).abs();
            let report = numbers(&[2], wide(kind), 6);
            for smoothed in [false, true] {
                let terms = numbers(&[2 + i64::from(smoothed), 2, 5], wide(kind), 3).abs() + 1.0;
                let charge = Charge {
                    z_loss: if smoothed { 1e-2 } else { 0.0 },
                    smoothing: if smoothed { 0.1 } else { 0.0 },
                    rows: if smoothed { 2006 } else { 0 },
                    ..Charge::plain(0.3)
                };
                let ins = || vec![logits.copy(), targets.copy(), max.copy()];
                cases.push(Case::new(
                    Op::CrossEntropyMax {},
                    vec![logits.copy()],
                    vec![],
                ));
                let op = Op::CrossEntropyTerms { vocab, smoothed };
                cases.push(Case {
                    within: 200.0,
                    ..Case::new(op, ins(), vec![])
                });
                let mut all = ins();
                all.push(terms.copy());
                let mut read = vec![terms.copy()];
                if smoothed {
                    all.push(weights.copy());
                    read.extend([max.copy(), weights.copy()]);
                }
                let op = Op::CrossEntropyBackward { charge, vocab };
                cases.push(Case {
                    within: 20.0,
                    ..Case::new(op, all, vec![])
                });
                let op = Op::CrossEntropyLoss {
                    charge,
                    replicas: 2,
                };
                cases.push(Case::new(op, read, vec![report.copy()]));
            }
        }
    }
    cases
}

#[test]
fn the_loss_agrees_whole_and_split_plain_and_charged() {
    agree(losses());
}

#[test]
fn what_is_dropped_is_the_same_to_the_bit() {
    let both = both();
    for (kind, width) in [(Kind::Float, 7), (Kind::BFloat16, 16), (Kind::Double, 1)] {
        let op = Op::Dropout {
            share: 0.3,
            site: 1,
            over: None,
        };
        let case = Case::new(op, vec![numbers(&[2, 5, width], kind, 1)], vec![]);
        let wanted = case.on_cpu();
        for way in [Some(&both[0] as &dyn Launch), Some(&both[1]), None] {
            assert_eq!(case.on_device(way), wanted, "{kind:?} of {width}");
        }
    }
}

fn updates() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in [Kind::Double, Kind::Float] {
        let state = |count: i64| -> Vec<Tensor> {
            let one = |seed| numbers(&[33], kind, seed).abs();
            (0..count).map(|at| one(at + 7)).collect()
        };
        let (beta1, beta2, eps, weight_decay) = (0.9, 0.95, 1e-8, 0.1);
        let adam_w = Op::AdamW {
            beta1,
            beta2,
            eps,
            weight_decay,
        };
        let adam = Op::Adam {
            beta1,
            beta2,
            eps,
            weight_decay,
        };
        let lion = Op::Lion {
            beta1,
            beta2,
            weight_decay,
        };
        let [plain, led] = [false, true].map(|nesterov| Op::Sgd {
            momentum: 0.9,
            nesterov,
            weight_decay,
        });
        // A factor below zero says that the step is not finite.
        for factor in [0.7, -1.0] {
            let factor = || vec![Tensor::full([1], factor, (kind, Device::Cpu))];
            cases.push(Case::new(adam_w.clone(), factor(), state(4)));
            cases.push(Case::new(adam.clone(), factor(), state(4)));
            for op in [&lion, &plain, &led] {
                cases.push(Case::new(op.clone(), factor(), state(3)));
            }
        }
    }
    cases
}

fn rest() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in [Kind::Double, Kind::Float] {
        let table = numbers(&[7, 5], kind, 1);
        let places = ids(&[2, 5], 20);
        for vocab in [None, Some(Axis::Tp)] {
            let (op, back) = (Op::Embedding { vocab }, Op::EmbeddingBackward { vocab });
            let known = if vocab.is_none() {
                ids(&[2, 5], 7)
            } else {
                places.copy()
            };
            cases.push(Case::new(op, vec![known.copy(), table.copy()], vec![]));
            let dy = numbers(&[2, 5, 5], kind, 2);
            cases.push(Case::new(back, vec![dy, known], vec![table.copy()]));
        }
        let long = numbers(&[70_001], kind, 3);
        let report = || numbers(&[2], kind, 4).abs();
        cases.push(Case {
            within: 100.0,
            ..Case::new(Op::SumSquares { replicas: 3 }, vec![long], vec![report()])
        });
        for max_norm in [None, Some(1e-3), Some(1e3)] {
            for (scaled, lost) in [(false, 0.0), (true, 0.0), (true, f64::NAN)] {
                let op = Op::ClipFactor { max_norm, scaled };
                let ins = vec![report() + lost];
                cases.push(Case::new(op, ins, vec![numbers(&[1], kind, 5)]));
            }
        }
    }
    let logits = numbers(&[2, 5, 4], Kind::Double, 1);
    let choice = logits.topk(2, -1, true, true).1;
    let loss = RouterLoss {
        balance: 0.5,
        z: 0.25,
        scale: 0.1,
        scaled: false,
    };
    let op = Op::RouterLoss { loss, replicas: 2 };
    let report = numbers(&[2], Kind::Double, 4);
    cases.push(Case::new(op, vec![logits, choice], vec![report]));
    cases.extend(updates());
    cases
}

#[test]
fn embeddings_sums_factors_and_updates_agree() {
    agree(rest());
}

#[test]
fn attention_by_products_agrees_with_the_flash_kernel() {
    for kind in [Kind::Double, Kind::Float] {
        let [q, k, v, dout] = [1, 2, 3, 4].map(|seed| {
            let rows = numbers(&[2, 9, 3, 8], kind, seed);
            rows.transpose(1, 2)
        });
        let scores = |window| Scores {
            window,
            ..Scores::PLAIN
        };
        for window in [None, Some(4)] {
            let how = attention::How::new(&scores(window), &q, 0).unwrap();
            let [joined, sums] = attention::forward([&q, &k, &v], &how).unwrap();
            let flat = dout.transpose(1, 2).reshape([2, 9, 24]);
            let wanted = attention::backward(&flat, [&q, &k, &v], &joined, &sums, &how).unwrap();
            let out = joined.view([2, 9, 3, 8]).transpose(1, 2);
            let mask = how.mask(0);
            let (plain, own) = device::attention::plain([&q, &k, &v], mask).unwrap();
            let operands = [&dout, &q, &k, &v, &plain, &own];
            let made = device::attention::plain_backward(operands, mask).unwrap();
            let near = |one: &Tensor, other: &Tensor| {
                let gap = (one - other).abs().max().double_value(&[]);
                let bound = if kind == Kind::Double { 1e-12 } else { 1e-5 };
                assert!(gap < bound, "{gap} for {kind:?} and {window:?}");
            };
            near(&plain, &out);
            near(&own, &sums);
            made.iter()
                .zip(&wanted)
                .for_each(|(one, other)| near(one, other));
        }
    }
}

#[test]
fn a_kernel_without_a_barrier_or_with_a_wrong_sign_is_found() {
    let _alone = both();
    let numbers = |seed| numbers(&[1, 2, 200], Kind::Float, seed);
    let row = || numbers(9).view([2, 200]).get(0);
    let op = Op::LayerNorm { eps: 1e-3 };
    let case = Case {
        within: 200.0,
        ..Case::new(op, vec![numbers(1), row(), row()], vec![])
    };
    let wanted = case.on_cpu();
    let breaks = [
        ("  __syncthreads();\n  W sum = 0;", "  W sum = 0;"),
        ("parts[threadIdx.x / 32] = value", "parts[0] = value"),
        ("- middle) * scale * weight", "+ middle) * scale * weight"),
        ("step > 0; step /= 2", "step > 1; step /= 2"),
    ];
    for (sound, broken) in breaks {
        let found = [false, true].map(|backwards| {
            let emulation = Emulation::of(backwards, |text| text.replace(sound, broken));
            case.apart(&case.on_device(Some(&emulation)), &wanted)
        });
        assert!(
            found.iter().any(|gap| *gap > case.within),
            "`{broken}` goes unseen: {found:?}"
        );
    }
}
