//! The optimizer of an experiment.

/// The optimizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Adam with decoupled weight decay.
    AdamW(AdamW),
    /// Adam; weight decay is added to the gradient.
    Adam(AdamW),
    /// The sign of a mix of gradient and momentum, with decoupled weight decay.
    Lion {
        /// Share of the momentum in the mix, and its own decay.
        betas: [f64; 2],
        /// Weight decay.
        weight_decay: f64,
        /// What decays beside the matrices.
        decays: Decays,
    },
    /// Gradient descent with momentum; weight decay is added to the gradient.
    Sgd {
        /// Share of the last update in the next.
        momentum: f64,
        /// Whether the gradient is taken where the momentum leads.
        nesterov: bool,
        /// Weight decay.
        weight_decay: f64,
        /// What decays beside the matrices.
        decays: Decays,
    },
}

/// Adam, with either kind of weight decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Decays of the two moments.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub eps: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// What decays beside the matrices.
    pub decays: Decays,
}

/// The groups of parameters that decay beside the matrices, which always do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decays {
    /// Tables of tokens and positions.
    pub embeddings: bool,
    /// Biases.
    pub biases: bool,
    /// Gains of norms.
    pub norms: bool,
}

impl Default for Decays {
    fn default() -> Decays {
        Decays {
            embeddings: true,
            biases: false,
            norms: false,
        }
    }
}

impl Optimizer {
    /// Figures that it keeps beside each weight.
    pub fn moments(&self) -> u64 {
        match self {
            Optimizer::AdamW(_) | Optimizer::Adam(_) => 2,
            Optimizer::Lion { .. } | Optimizer::Sgd { .. } => 1,
        }
    }

    /// What decays beside the matrices.
    pub fn decays(&self) -> Decays {
        match self {
            Optimizer::AdamW(adam) | Optimizer::Adam(adam) => adam.decays,
            Optimizer::Lion { decays, .. } | Optimizer::Sgd { decays, .. } => *decays,
        }
    }
}
