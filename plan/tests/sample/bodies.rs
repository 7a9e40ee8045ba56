//! The code of the sample: forward, backward and the optimizer's part of each block.

use pleach_plan::op::Tokens;
use pleach_plan::*;

use super::builder::Builder;
use super::{F, H, S, V};

impl Builder {
    pub fn locals(&mut self) {
        let (b, tp) = (self.shape.micro_batch, u64::from(self.shape.tp));
        let (whole, partial) = (Layout::Replicate, Layout::Partial);
        for name in ["ids", "target_ids", "max", "largest"] {
            self.local(name, &[b, S], whole);
        }
        if self.shape.weighted {
            self.local("weights", &[b, S], whole);
        }
        for name in "x y out dy dx dsum dhead".split(' ') {
            self.local(name, &[b, S, H], whole);
        }
        for name in "down dsum_partial embedded dhead_partial".split(' ') {
            self.local(name, &[b, S, H], partial);
        }
        for name in ["up", "act", "dact", "dup"] {
            self.local(name, &[b, S, F / tp], Layout::Shard(2));
        }
        for name in ["logits", "dlogits"] {
            self.local(name, &[b, S, V / tp], Layout::Shard(2));
        }
        self.local("terms", &[2, b, S], partial);
        self.local("sums", &[2, b, S], whole);
    }

    pub fn compute(&mut self) {
        let sum = Op::AllReduce {
            group: GroupId(0),
            reduce: Reduce::Sum,
        };
        self.embedding(Some(Axis::Tp), sum.clone());
        self.layer(sum.clone());
        self.head(Some(Axis::Tp), sum);
    }

    fn embedding(&mut self, vocab: Option<Axis>, sum: Op) {
        let code = vec![
            self.instr(
                Op::Tokens {
                    which: Tokens::Inputs,
                },
                "> ids",
            ),
            self.instr(Op::Embedding { vocab }, "ids embedding.weight > embedded"),
            self.instr(sum, "embedded > x / embedded"),
        ];
        self.body(
            "embedding.forward",
            BodyKind::Forward,
            "embedding",
            ["", "x"],
            ["", "ids"],
            code,
        );
        let code = vec![self.instr(
            Op::EmbeddingBackward { vocab },
            "dy ids ; embedding.weight.gradient / dy ids",
        )];
        self.body(
            "embedding.backward",
            BodyKind::Backward,
            "embedding",
            ["dy", ""],
            ["ids", ""],
            code,
        );
    }

    fn layer(&mut self, sum: Op) {
        let code = vec![
            self.instr(Op::Linear {}, "x layers.{layer}.up.weight > up"),
            self.instr(Op::Gelu {}, "up > act"),
            self.instr(Op::Linear {}, "act layers.{layer}.down.weight > down"),
            self.instr(sum.clone(), "down > out / down"),
            self.instr(Op::Add {}, "x out > y / out"),
        ];
        self.body(
            "layer.forward",
            BodyKind::Forward,
            "layer",
            ["x", "y"],
            ["", "x up act"],
            code,
        );
        let code = vec![
            self.instr(
                Op::LinearBackwardWeight {},
                "dy act ; layers.{layer}.down.weight.gradient / act",
            ),
            self.instr(
                Op::LinearBackwardInput {},
                "dy layers.{layer}.down.weight > dact",
            ),
            self.instr(Op::GeluBackward {}, "dact up > dup / dact up"),
            self.instr(
                Op::LinearBackwardWeight {},
                "dup x ; layers.{layer}.up.weight.gradient / x",
            ),
            self.instr(
                Op::LinearBackwardInput {},
                "dup layers.{layer}.up.weight > dsum_partial / dup",
            ),
            self.instr(sum, "dsum_partial > dsum / dsum_partial"),
            self.instr(Op::Add {}, "dsum dy > dx / dsum dy"),
        ];
        self.body(
            "layer.backward",
            BodyKind::Backward,
            "layer",
            ["dy", "dx"],
            ["x up act", ""],
            code,
        );
    }

    pub fn head(&mut self, vocab: Option<Axis>, sum: Op) {
        let batch =
            self.shape.micro_batch * u64::from(self.shape.dp) * u64::from(self.shape.micro_steps);
        let (scale, replicas) = (1.0 / (batch * S) as f64, u64::from(self.shape.tp));
        let max = Op::AllReduce {
            group: GroupId(0),
            reduce: Reduce::Max,
        };
        // Weights, where there are any, are kept for backward beside the other statistics.
        let weights = if self.shape.weighted { " weights" } else { "" };
        let kept = format!("logits target_ids largest sums{weights}");
        let mut code = vec![
            self.instr(
                Op::Tokens {
                    which: Tokens::Targets,
                },
                "> target_ids",
            ),
            self.instr(Op::Linear {}, "x head.weight > logits"),
            self.instr(Op::CrossEntropyMax {}, "logits > max"),
            self.instr(max, "max > largest / max"),
            self.instr(
                Op::CrossEntropyTerms {
                    vocab,
                    smoothed: false,
                },
                "logits target_ids largest > terms",
            ),
            self.instr(sum.clone(), "terms > sums / terms"),
        ];
        if self.shape.weighted {
            let which = Tokens::Weights;
            code.push(self.instr(Op::Tokens { which }, "> weights"));
        }
        code.push(self.instr(
            Op::CrossEntropyLoss {
                charge: Charge::plain(scale),
                replicas,
            },
            &format!("sums{weights} ; report"),
        ));
        self.body(
            "head.forward",
            BodyKind::Forward,
            "head",
            ["x", ""],
            ["", &format!("x {kept}")],
            code,
        );
        self.head_backward(scale, vocab, sum, &kept);
    }

    fn head_backward(&mut self, scale: f64, vocab: Option<Axis>, sum: Op, kept: &str) {
        let code = vec![
            self.instr(
                Op::CrossEntropyBackward {
                    charge: Charge::plain(scale),
                    vocab,
                },
                &format!("{kept} > dlogits / {kept}"),
            ),
            self.instr(
                Op::LinearBackwardWeight {},
                "dlogits x ; head.weight.gradient / x",
            ),
            self.instr(
                Op::LinearBackwardInput {},
                "dlogits head.weight > dhead_partial / dlogits",
            ),
            self.instr(sum, "dhead_partial > dhead / dhead_partial"),
        ];
        self.body(
            "head.backward",
            BodyKind::Backward,
            "head",
            ["", "dhead"],
            [&format!("x {kept}"), ""],
            code,
        );
    }

    pub fn optimizer(&mut self) {
        let world = Op::AllReduce {
            group: GroupId(2),
            reduce: Reduce::Sum,
        };
        for block in ["embedding", "layer", "head"] {
            let code = vec![self.instr(Op::Zero {}, &format!("; {block}.gradients"))];
            self.body(
                &format!("{block}.begin"),
                BodyKind::Begin,
                block,
                ["", ""],
                ["", ""],
                code,
            );
            if self.shape.zero == 1 {
                self.sharded_update(block);
            } else {
                self.whole_update(block);
            }
        }
        let code = vec![self.instr(Op::Zero {}, "; report")];
        self.body(
            "step.begin",
            BodyKind::Begin,
            "step",
            ["", ""],
            ["", ""],
            code,
        );
        let code = vec![
            self.instr(world, "; report"),
            self.instr(
                Op::ClipFactor {
                    scaled: false,
                    max_norm: Some(0.1),
                },
                "report ; factor",
            ),
        ];
        self.body(
            "step.reduce",
            BodyKind::Reduce,
            "step",
            ["", ""],
            ["", ""],
            code,
        );
    }

    pub fn whole_update(&mut self, block: &str) {
        let gradients = format!("{block}.gradients");
        let reduce = Op::AllReduce {
            group: GroupId(1),
            reduce: Reduce::Sum,
        };
        let replicas = u64::from(self.shape.dp);
        let code = vec![
            self.instr(reduce, &format!("; {gradients}")),
            self.instr(
                Op::SumSquares { replicas },
                &format!("{gradients} ; report"),
            ),
        ];
        self.body(
            &format!("{block}.reduce"),
            BodyKind::Reduce,
            block,
            ["", ""],
            ["", ""],
            code,
        );
        let code = vec![self.instr(
            adam_w(),
            &format!("factor ; {block}.weights {block}.m {block}.v {gradients}"),
        )];
        self.body(
            &format!("{block}.update"),
            BodyKind::Update,
            block,
            ["", ""],
            ["", ""],
            code,
        );
    }

    pub fn sharded_update(&mut self, block: &str) {
        let (group, dim, axis) = (GroupId(1), 0, Axis::Dp);
        let part = self.tensors[self.names[&format!("{block}.m")].0 as usize].dims[0];
        let layout = Layouts {
            dp: Layout::Shard(0),
            tp: Layout::Replicate,
        };
        let [slice, piece] =
            ["gradient_slice", "weight_slice"].map(|name| format!("{block}.{name}"));
        for name in [&slice, &piece] {
            self.tensor(name, Dtype::F64, &[part], layout, Lives::Local);
        }
        let code = vec![
            self.instr(
                Op::ReduceScatter { group, dim },
                &format!("{block}.gradients > {slice}"),
            ),
            self.instr(Op::SumSquares { replicas: 1 }, &format!("{slice} ; report")),
        ];
        self.body(
            &format!("{block}.reduce"),
            BodyKind::Reduce,
            block,
            ["", ""],
            ["", &slice],
            code,
        );
        let code = vec![
            self.instr(
                Op::Slice { axis, dim },
                &format!("{block}.weights > {piece}"),
            ),
            self.instr(
                adam_w(),
                &format!("factor ; {piece} {block}.m {block}.v {slice} / {slice}"),
            ),
            self.instr(
                Op::AllGather { group, dim },
                &format!("{piece} ; {block}.weights / {piece}"),
            ),
        ];
        self.body(
            &format!("{block}.update"),
            BodyKind::Update,
            block,
            ["", ""],
            [&slice, ""],
            code,
        );
    }
}

fn adam_w() -> Op {
    Op::AdamW {
        beta1: 0.9,
        beta2: 0.99,
        eps: 1e-8,
        weight_decay: 0.1,
    }
}
