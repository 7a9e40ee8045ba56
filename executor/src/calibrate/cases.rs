//! Operations with operands, as a small model has them: what is measured, and what loads the machine.

use std::time::Duration;

use pleach_plan::{Activation, Axis, Charge, Dtype, Mesh, Op, Rank, Split};
use tch::{Kind, Tensor};

use super::bench::Bench;
use super::probe::{Turns, median};
use crate::collectives::solo::Solo;
use crate::data::Given;
use crate::error::Cause;
use crate::ops::{self, Context, Operands, adam_w, linear, split_heads, tokens, wide};
use crate::statics::kind;

/// Heads.
pub const HEADS: i64 = 8;
const WIDTH: i64 = 512;

/// One operation with operands.
pub struct Case {
    /// The operation.
    pub op: Op,
    bench: Bench,
    ins: Vec<Tensor>,
    updates: Vec<Tensor>,
    tables: split_heads::Tables,
}

impl Case {
    fn new(bench: &Bench, op: Op, ins: Vec<Tensor>, updates: Vec<Tensor>) -> Self {
        Self {
            op,
            bench: *bench,
            ins,
            updates,
            tables: split_heads::Tables::default(),
        }
    }

    /// The sum of two tensors.
    pub fn sum(bench: &Bench, x: Tensor, y: Tensor) -> Self {
        Self::new(bench, Op::Add {}, vec![x, y], vec![])
    }

    /// Runs it once.
    pub fn run(&self) -> Result<(), Cause> {
        self.results().map(drop)
    }

    /// Copies of its operands.
    pub fn turns(&self) -> Result<Turns, Cause> {
        let operands: Vec<&Tensor> = self.ins.iter().chain(&self.updates).collect();
        Turns::of(&operands, self.bench.passed)
    }

    /// Runs it with the copies whose turn it is.
    pub fn take_turn(&self, turns: &mut Turns) -> Result<(), Cause> {
        turns.turn(|operands| {
            let operands: Vec<&Tensor> = operands.iter().collect();
            self.results_of(operands.split_at(self.ins.len()))
        })
    }

    fn results(&self) -> Result<Vec<Tensor>, Cause> {
        let ins: Vec<&Tensor> = self.ins.iter().collect();
        let updates: Vec<&Tensor> = self.updates.iter().collect();
        self.results_of((&ins, &updates))
    }

    fn results_of(&self, (ins, updates): (&[&Tensor], &[&Tensor])) -> Result<Vec<Tensor>, Cause> {
        let positions = self.bench.tokens.unsigned_abs();
        let mut context = Context {
            mesh: Mesh {
                dp: 1,
                cp: 1,
                pp: 1,
                tp: 1,
                shards: None,
            },
            place: Rank {
                dp: 0,
                pp: 0,
                tp: 0,
            },
            device: self.bench.device,
            samples: &mut Given::default(),
            collectives: &mut Solo,
            tables: &self.tables,
            batch: tokens::Batch {
                first: 0,
                sequences: 1,
                positions,
                step: [0, 1],
                weights: Dtype::F32,
            },
            update: adam_w::Step {
                loss_scale: 1.0,
                number: 0,
                rate: 1e-6,
            },
            trains: true,
            draws: None,
        };
        let operands = Operands {
            ins,
            updates,
            ends: &[],
        };
        ops::run(&self.op, operands, &mut context)
    }

    /// Bytes read and written, as the planner counts them: updates twice.
    pub fn bytes(&self) -> f64 {
        let size = |tensor: &Tensor| (tensor.numel() * tensor.kind().elt_size_in_bytes()) as f64;
        let results: f64 = self.results().iter().flatten().map(size).sum();
        self.ins.iter().map(size).sum::<f64>()
            + 2.0 * self.updates.iter().map(size).sum::<f64>()
            + results
    }
}

/// Every operation that memory limits, on the tokens of a device.
pub fn all(bench: &Bench, dtype: Dtype) -> Result<Vec<Case>, Cause> {
    let make = Make {
        bench: *bench,
        kind: kind(dtype),
        wide: wide(kind(dtype)),
        tokens: bench.tokens,
    };
    let parts = [
        make.blocks()?,
        make.heads()?,
        make.ends()?,
        make.storages()?,
    ];
    Ok(parts.into_iter().flatten().collect())
}

/// Makes operands of one size and type.
#[derive(Clone, Copy)]
struct Make {
    bench: Bench,
    kind: Kind,
    wide: Kind,
    tokens: i64,
}

impl Make {
    fn case(&self, op: Op, ins: Vec<Tensor>, updates: Vec<Tensor>) -> Case {
        Case::new(&self.bench, op, ins, updates)
    }

    fn x(self) -> Result<Tensor, Cause> {
        self.bench.random(&[1, self.tokens, WIDTH], self.kind)
    }

    fn row(self) -> Result<Tensor, Cause> {
        self.bench.random(&[WIDTH], self.wide)
    }

    fn each_token(self) -> Result<Tensor, Cause> {
        self.bench.random(&[1, self.tokens], self.wide)
    }

    fn flat(self) -> Result<Tensor, Cause> {
        self.bench.random(&[self.tokens * WIDTH], self.wide)
    }

    fn ids(self, rows: i64) -> Result<Tensor, Cause> {
        Ok(Tensor::f_randint(
            rows,
            [1, self.tokens],
            (Kind::Int64, self.bench.device),
        )?)
    }

    /// What a transformer's layer does to its rows.
    fn blocks(self) -> Result<Vec<Case>, Cause> {
        let statistics = [self.each_token()?, self.each_token()?];
        let [mean, rstd] = statistics;
        let norm = vec![self.x()?, self.row()?, self.row()?];
        let back = vec![self.x()?, self.x()?, self.row()?, mean, rstd];
        let shift = self.row()?.f_to_kind(self.kind)?;
        let kind = Activation::Silu;
        let (gated, gated_back) = (Op::Gated { kind }, Op::GatedBackward { kind });
        let slice = Op::Slice {
            axis: Axis::Tp,
            dim: 1,
        };
        Ok(vec![
            self.case(Op::LayerNorm { eps: 1e-5 }, norm, vec![]),
            self.case(
                Op::LayerNormBackward {},
                back,
                vec![self.row()?, self.row()?],
            ),
            self.case(Op::Gelu {}, vec![self.x()?], vec![]),
            self.case(Op::GeluBackward {}, vec![self.x()?, self.x()?], vec![]),
            self.case(
                Op::RmsNorm { eps: 1e-5 },
                vec![self.x()?, self.row()?],
                vec![],
            ),
            self.case(
                Op::RmsNormBackward {},
                vec![self.x()?, self.x()?, self.row()?, self.each_token()?],
                vec![self.row()?],
            ),
            self.case(gated, vec![self.x()?, self.x()?], vec![]),
            self.case(gated_back, vec![self.x()?, self.x()?, self.x()?], vec![]),
            Case::sum(&self.bench, self.x()?, self.x()?),
            self.case(Op::Bias {}, vec![self.x()?, shift], vec![]),
            self.case(Op::BiasBackward {}, vec![self.x()?], vec![self.row()?]),
            self.case(slice, vec![self.x()?], vec![]),
        ])
    }

    fn heads(self) -> Result<Vec<Case>, Cause> {
        let width = WIDTH / HEADS;
        let how = Split {
            head_dim: width as u64,
            rotary: width as u64 / 4,
            base: 10_000.0,
            scale: 1.0,
            group: 1,
        };
        let dims = [1, self.tokens, HEADS, width];
        let part = || {
            self.bench
                .random(&dims, self.kind)?
                .f_transpose(1, 2)
                .map_err(Cause::from)
        };
        let joint = self.bench.random(&[1, self.tokens, 3 * WIDTH], self.kind)?;
        let mut split = self.case(Op::SplitHeads(how), vec![joint], vec![]);
        let parts = vec![part()?, part()?, part()?];
        let mut join = self.case(Op::SplitHeadsBackward(how), parts, vec![]);
        for case in [&mut split, &mut join] {
            case.tables
                .add(&how, self.tokens as u64, (self.wide, self.bench.device))?;
        }
        Ok(vec![split, join])
    }

    /// Embedding and loss, over as many rows of vocabulary as there are columns.
    fn ends(self) -> Result<Vec<Case>, Cause> {
        let (table, dtable) = (
            self.bench.random(&[WIDTH, WIDTH], self.kind)?,
            self.bench.random(&[WIDTH, WIDTH], self.wide)?,
        );
        let (logits, targets) = (self.x()?, self.ids(WIDTH)?);
        let max = ops::cross_entropy::max(&logits)?;
        let terms = ops::cross_entropy::terms(&logits, &targets, &max, 0, false)?;
        let report = self.bench.random(&[2], self.wide)?;
        let case = |op, ins: &[&Tensor], updates: &[&Tensor]| {
            let [ins, updates] =
                [ins, updates].map(|all| all.iter().map(|one| one.shallow_clone()).collect());
            self.case(op, ins, updates)
        };
        let (scale, vocab) = (1e-3, None);
        Ok(vec![
            case(Op::Embedding { vocab }, &[&targets, &table], &[]),
            case(
                Op::EmbeddingBackward { vocab },
                &[&logits, &targets],
                &[&dtable],
            ),
            case(Op::CrossEntropyMax {}, &[&logits], &[]),
            case(
                Op::CrossEntropyTerms {
                    vocab,
                    smoothed: false,
                },
                &[&logits, &targets, &max],
                &[],
            ),
            case(
                Op::CrossEntropyLoss {
                    charge: Charge::plain(scale),
                    replicas: 1,
                },
                &[&terms],
                &[&report],
            ),
            case(
                Op::CrossEntropyBackward {
                    charge: Charge::plain(scale),
                    vocab,
                },
                &[&logits, &targets, &max, &terms],
                &[],
            ),
        ])
    }

    /// What a step does to whole buckets.
    fn storages(self) -> Result<Vec<Case>, Cause> {
        let narrow = self.bench.random(&[self.tokens * WIDTH], self.kind)?;
        let report = self.bench.random(&[2], self.wide)?;
        let factor = Tensor::f_ones([1], (self.wide, self.bench.device))?;
        let state = vec![
            self.flat()?,
            self.flat()?,
            self.flat()?.f_square()?,
            self.flat()?,
        ];
        let adam = Op::AdamW {
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
        };
        Ok(vec![
            self.case(Op::Cast {}, vec![self.flat()?], vec![narrow]),
            self.case(Op::Zero {}, vec![], vec![self.flat()?]),
            self.case(
                Op::SumSquares { replicas: 1 },
                vec![self.flat()?],
                vec![report],
            ),
            self.case(adam, vec![factor], state),
        ])
    }
}

/// Contention is that of the processor's cores.
const BENCH: Bench = Bench::CPU;

/// Work that is like training: mostly products, some passes over memory.
pub struct Mixture {
    product: Turns,
    pass: Vec<(Case, Turns)>,
}

impl Mixture {
    /// Makes the operands.
    pub fn new() -> Result<Self, Cause> {
        let x = BENCH.random(&[1, BENCH.tokens, WIDTH], Kind::Float)?;
        let weight = BENCH.random(&[WIDTH, WIDTH], Kind::Float)?;
        let pass = all(&BENCH, Dtype::F32)?.into_iter();
        let pass = pass.map(|case| case.turns().map(|turns| (case, turns)));
        Ok(Self {
            product: Turns::of(&[&x, &weight], BENCH.passed)?,
            pass: pass.collect::<Result<_, _>>()?,
        })
    }

    /// The time of one round in the median.
    pub fn seconds(&mut self) -> Result<f64, Cause> {
        let Self { product, pass } = self;
        let mut linear = || {
            product.turn(|operands| Ok(vec![linear::forward(&operands[0], &operands[1], None)?]))
        };
        let mut round = || {
            (0..20).try_for_each(|_| linear())?;
            pass.iter_mut()
                .try_for_each(|(case, turns)| case.take_turn(turns))
        };
        Ok(median(
            &BENCH.times(Duration::from_millis(400), &mut round)?,
        ))
    }
}

/// What a rank computes between two collectives: a product of a small model's layer, some milliseconds of one thread.
pub struct Stint(Turns);

impl Stint {
    /// Makes the operands.
    pub fn new() -> Result<Self, Cause> {
        let x = BENCH.random(&[1, BENCH.tokens, WIDTH], Kind::Float)?;
        let weight = BENCH.random(&[WIDTH, WIDTH], Kind::Float)?;
        Turns::of(&[&x, &weight], BENCH.passed).map(Self)
    }

    /// Computes it once.
    pub fn work(&mut self) -> Result<(), Cause> {
        self.0
            .turn(|operands| Ok(vec![linear::forward(&operands[0], &operands[1], None)?]))
    }
}
