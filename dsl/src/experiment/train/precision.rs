//! The number formats of an experiment.

/// The number format of training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Precision {
    /// Everything in 64 bits: for proofs.
    Fp64,
    /// Everything in 32 bits.
    Fp32,
    /// Activations and matrices in bfloat16; master weights and moments in 32 bits.
    Bf16,
    /// The same with IEEE half precision and a scaled loss.
    Fp16(LossScale),
}

impl Precision {
    /// The format of sums where the spec says nothing about them.
    pub fn sums(&self) -> Float {
        match self {
            Precision::Fp64 => Float::Fp64,
            _ => Float::Fp32,
        }
    }
}

/// A number format as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {
    /// 64 bits.
    Fp64,
    /// 32 bits.
    Fp32,
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    Fp16,
}

impl Float {
    /// The format of a word.
    pub fn of(word: &str) -> Option<Float> {
        match word {
            "fp64" => Some(Float::Fp64),
            "fp32" => Some(Float::Fp32),
            "bf16" => Some(Float::Bf16),
            "fp16" => Some(Float::Fp16),
            _ => None,
        }
    }
}

impl Default for LossScale {
    fn default() -> LossScale {
        LossScale {
            fixed: None,
            initial: 65_536.0,
            window: 1000,
            hysteresis: 2,
            least: 1.0,
        }
    }
}

/// How the loss is scaled in half precision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossScale {
    /// A scale that never moves.
    pub fixed: Option<f64>,
    /// Where a scale that moves begins.
    pub initial: f64,
    /// Steps without overflow after which it doubles.
    pub window: u64,
    /// Overflows before it is halved.
    pub hysteresis: u64,
    /// It never falls below this.
    pub least: f64,
}
