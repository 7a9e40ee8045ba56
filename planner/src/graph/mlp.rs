//! The dense feed-forward half: matrices with a nonlinearity between them, or a gated product.

use pleach_dsl::experiment::{self, Dense};
use pleach_plan::{Activation, Op};

use super::layer::Layer;
use super::{Dim, ValueId};

impl Layer<'_> {
    /// The half but for the bias of its last matrix. Its parameters begin with `name`; it may be wider than `dense` says.
    pub(super) fn dense(
        &mut self,
        name: &str,
        dense: &Dense,
        width: u64,
        input: ValueId,
    ) -> ValueId {
        let (sizes, init) = (self.sizes, self.init);
        let ffn = Dim {
            name: "ffn",
            size: width,
        };
        let mut front = |part: &str, product: String| {
            let matrix = format!("{name}.{part}.weight");
            let weight = self.weight(&matrix, &[ffn, sizes.hidden], init.weights);
            let product = self.linear(input, weight, &product);
            let bias = format!("{name}.{part}.bias");
            self.bias(dense.bias, &bias, product, &format!("{name}.{part}"))
        };
        let up = front("up", format!("{name}.product"));
        let (kind, gated) = nonlinearity(dense.activation);
        let (op, ins) = if gated {
            let gate = front("gate", format!("{name}.gate.product"));
            (Op::Gated { kind }, vec![gate, up])
        } else {
            (kind.forward(), vec![up])
        };
        let (rows, active) = (sizes.rows(ffn), format!("{name}.active"));
        let active = self.block.forward(op, &ins, &active, &rows);
        let matrix = format!("{name}.down.weight");
        let weight = self.weight(&matrix, &[sizes.hidden, ffn], init.output);
        self.linear(active, weight, &format!("{name}.out"))
    }
}

/// The nonlinearity of a feed-forward half, and whether it is one operand of a product.
pub(super) fn nonlinearity(activation: experiment::Activation) -> (Activation, bool) {
    match activation {
        experiment::Activation::Gelu => (Activation::Gelu, false),
        experiment::Activation::GeluTanh => (Activation::GeluTanh, false),
        experiment::Activation::Relu => (Activation::Relu, false),
        experiment::Activation::Swiglu => (Activation::Silu, true),
        experiment::Activation::Geglu => (Activation::Gelu, true),
    }
}
