//! A mixture of experts: a router, tokens sorted by expert, each expert's matrices on its own rows, and the weighted sum.
//!
//! No token is dropped, so shapes stay those of the batch: as many rows as there are choices, whichever expert they belong to. Experts that see every
//! token are one dense half as wide as all of them.

use pleach_dsl::experiment::{Experts, Spread};
use pleach_plan::{Op, Route, RouterLoss};

use super::layer::Layer;
use super::mlp::nonlinearity;
use super::{Dim, Kind, ValueId};

/// What rows are sent by.
#[derive(Clone, Copy)]
struct Sent {
    weights: ValueId,
    choice: ValueId,
    rows: Dim,
    experts: Dim,
}

impl Layer<'_> {
    pub(super) fn experts(&mut self, experts: &Experts, input: ValueId) -> ValueId {
        let sent = self.route(experts, input);
        let sizes = self.sizes;
        let dims = [sizes.batch, sent.rows, sizes.hidden];
        let ins = [input, sent.choice];
        let rows = self.block.forward(Op::Dispatch {}, &ins, "mlp.rows", &dims);
        let done = self.expert(experts, rows, sent);
        let ins = [done, sent.weights, sent.choice];
        let hidden = sizes.rows(sizes.hidden);
        let out = self
            .block
            .forward(Op::Combine {}, &ins, "mlp.combined", &hidden);
        if experts.always == 0 {
            return out;
        }
        let width = experts.always * experts.expert.width;
        let always = self.dense("mlp.always", &experts.expert, width, input);
        self.sum([out, always], "mlp.out")
    }

    /// Which experts each token is sent to, and what that costs the loss.
    fn route(&mut self, experts: &Experts, input: ValueId) -> Sent {
        let sizes = self.sizes;
        let dim = |name, size| Dim { name, size };
        let (all, active) = (
            dim("experts", experts.experts),
            dim("active", experts.active),
        );
        let weight = self.weight("mlp.router.weight", &[all, sizes.hidden], self.init.weights);
        let logits = self.linear(input, weight, "mlp.router");
        let chosen = sizes.rows(active);
        let weights = self.block.declare("mlp.weights", &chosen, Kind::Statistic);
        let choice = self.block.declare("mlp.choice", &chosen, Kind::Ids);
        // The weight of a single expert over itself would be one, and teach the router nothing.
        let route = Op::Route(Route {
            active: experts.active,
            normalised: experts.active > 1,
        });
        self.block
            .forward_into(route, &[logits], &[], &[weights, choice]);
        let loss = RouterLoss {
            balance: experts.balance_loss,
            z: experts.router_z_loss,
            scale: self.charge.scale,
            scaled: self.charge.scaled,
        };
        if loss.balance != 0.0 || loss.z != 0.0 {
            let report = self
                .block
                .declare("report", &[dim("terms", 2)], Kind::Report);
            let op = Op::RouterLoss { loss, replicas: 1 };
            self.block
                .forward_into(op, &[logits, choice], &[report], &[]);
        }
        Sent {
            weights,
            choice,
            rows: dim("rows", sizes.sequence.size * active.size),
            experts: all,
        }
    }

    /// Each row through the matrices of its expert.
    fn expert(&mut self, experts: &Experts, rows: ValueId, sent: Sent) -> ValueId {
        let (hidden, init) = (self.sizes.hidden, self.init);
        let ffn = Dim {
            name: "ffn",
            size: experts.expert.width,
        };
        let up = self.expert_linear(rows, "up", [ffn, hidden], init.weights, sent);
        let (kind, gated) = nonlinearity(experts.expert.activation);
        let (op, ins) = if gated {
            let gate = self.expert_linear(rows, "gate", [ffn, hidden], init.weights, sent);
            (Op::Gated { kind }, vec![gate, up])
        } else {
            (kind.forward(), vec![up])
        };
        let dims = [self.sizes.batch, sent.rows, ffn];
        let active = self.block.forward(op, &ins, "mlp.experts.active", &dims);
        self.expert_linear(active, "down", [hidden, ffn], init.output, sent)
    }

    fn expert_linear(
        &mut self,
        rows: ValueId,
        part: &str,
        [outs, ins]: [Dim; 2],
        spread: Spread,
        sent: Sent,
    ) -> ValueId {
        let name = format!("mlp.experts.{part}");
        let weight = self.weight(
            &format!("{name}.weight"),
            &[sent.experts, outs, ins],
            spread,
        );
        let dims = [self.sizes.batch, sent.rows, outs];
        let operands = [rows, weight, sent.choice];
        self.block
            .forward(Op::ExpertLinear {}, &operands, &name, &dims)
    }
}
