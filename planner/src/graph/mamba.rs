//! Mamba (arXiv:2312.00752): a short convolution and a selective scan over the channels of one projection, gated by those of another.

use pleach_dsl::experiment::{Mamba, Spread};
use pleach_plan::{Activation, Init, Op};

use super::layer::Layer;
use super::{Dim, Kind, ValueId};

/// The parameter that holds how fast states decay.
pub const DECAY: &str = "mamba.decay";
/// The parameter that leads past the state.
pub const SKIP: &str = "mamba.skip";
/// How a channel's step size starts: between a thousandth and a tenth.
pub const STEPS: Init = Init::Steps {
    low: 1e-3,
    high: 0.1,
};

/// The deviation of what is drawn evenly within one over the root of how many are summed.
pub fn even(summed: u64) -> f64 {
    libm::sqrt(1.0 / (3.0 * summed as f64))
}

impl Layer<'_> {
    /// The mixer, but for the bias of its last matrix.
    pub(super) fn mamba(&mut self, mamba: &Mamba, input: ValueId) -> ValueId {
        let (sizes, init) = (self.sizes, self.init);
        let inner = Dim {
            name: "channels",
            size: mamba.expand * sizes.hidden.size,
        };
        let [x, gate] = ["in", "gate"].map(|part| {
            let name = format!("mamba.{part}");
            let weight = self.weight(
                &format!("{name}.weight"),
                &[inner, sizes.hidden],
                init.weights,
            );
            let product = self.linear(input, weight, &format!("{name}.product"));
            self.bias(mamba.bias, &format!("{name}.bias"), product, &name)
        });
        let x = self.convolution(mamba, inner, x);
        let y = self.scan(mamba, inner, x);
        let rows = sizes.rows(inner);
        let kind = Activation::Silu;
        let ins = [gate, y];
        let gated = self
            .block
            .forward(Op::Gated { kind }, &ins, "mamba.gated", &rows);
        let weight = self.weight("mamba.out.weight", &[sizes.hidden, inner], init.output);
        self.linear(gated, weight, "mamba.out")
    }

    /// The short convolution and the nonlinearity behind it.
    fn convolution(&mut self, mamba: &Mamba, inner: Dim, x: ValueId) -> ValueId {
        let rows = self.sizes.rows(inner);
        let taps = Dim {
            name: "taps",
            size: mamba.conv,
        };
        let weight = self.weight(
            "mamba.conv.weight",
            &[inner, taps],
            Spread::Normal(even(mamba.conv)),
        );
        let op = Op::Convolution {};
        let x = self
            .block
            .forward(op, &[x, weight], "mamba.conv.product", &rows);
        let x = self.bias(mamba.conv_bias, "mamba.conv.bias", x, "mamba.conv");
        let op = Activation::Silu.forward();
        self.block.forward(op, &[x], "mamba.x", &rows)
    }

    /// Step sizes and what writes and reads, selected by the channels themselves; then the scan.
    fn scan(&mut self, mamba: &Mamba, inner: Dim, x: ValueId) -> ValueId {
        let sizes = self.sizes;
        let dim = |name, size| Dim { name, size };
        let (rank, state) = (dim("rank", mamba.dt_rank), dim("state", mamba.state));
        let widths = [rank.size, state.size, state.size];
        let selected = dim("selected", widths.iter().sum());
        let weight = self.weight("mamba.select.weight", &[selected, inner], self.init.weights);
        let all = self.linear(x, weight, "mamba.selected");
        let [low, write, read] =
            [("rank", rank), ("write", state), ("read", state)].map(|(name, dim)| {
                let name = format!("mamba.{name}");
                self.block.declare(name, &sizes.rows(dim), Kind::Activation)
            });
        let op = Op::Columns { widths };
        self.block
            .forward_into(op, &[all], &[], &[low, write, read]);
        let weight = self.weight(
            "mamba.step.weight",
            &[inner, rank],
            Spread::Normal(even(rank.size)),
        );
        let step = self.linear(low, weight, "mamba.step.product");
        let rows = sizes.rows(inner);
        let bias = self.block.parameter("mamba.step.bias", &[inner], STEPS);
        let step = self
            .block
            .forward(Op::Bias {}, &[step, bias], "mamba.step", &rows);
        let decay = self
            .block
            .parameter(DECAY, &[inner, state], Init::LogCounts);
        let skip = self.block.parameter(SKIP, &[inner], Init::Ones);
        let ins = [x, step, decay, write, read, skip];
        self.block.forward(Op::Scan {}, &ins, "mamba.y", &rows)
    }
}
