//! Fused kernels for a device: what libtorch needs several passes over memory for, in one.
//!
//! In come tensors, out come results in storages of the plan's sizes. The sources (`executor/kernels/*.cu`) are compiled for the device
//! when they are first wanted ([`device`]), and run on libtorch's own stream. Whoever runs them stands behind [`Launch`], so that tests
//! run the same sources through the same arguments on the CPU. Where they cannot run, libtorch's own operations do.

pub mod activation;
#[cfg(feature = "cuda")]
pub mod compile;
pub mod cross_entropy;
#[cfg(feature = "cuda")]
pub mod device;
pub mod heads;
pub mod norm;
pub mod rows;

use tch::{Kind, TchError, Tensor};

use crate::native::Result;

/// The variable that switches them off: `0`.
pub const VARIABLE: &str = "PLEACH_FUSED";

/// Threads of a block of kernels that go over elements.
const THREADS: u32 = 256;
/// Blocks at most of such a kernel: several for each multiprocessor of any device.
const BLOCKS: i64 = 4096;

/// A file of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Its name, for messages.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

macro_rules! source {
    ($name:literal) => {
        Source {
            name: $name,
            text: include_str!(concat!("../../kernels/", $name)),
        }
    };
}

/// What every file of kernels includes.
pub const COMMON: Source = source!("common.cuh");
/// What only a device's compiler includes.
pub const DEVICE: Source = source!("device.cuh");
/// All files of kernels.
pub const SOURCES: [Source; 6] = [NORM, ACTIVATION, HEADS, CROSS_ENTROPY, DROPOUT, SQUARES];
const NORM: Source = source!("norm.cu");
const ACTIVATION: Source = source!("activation.cu");
const HEADS: Source = source!("heads.cu");
const CROSS_ENTROPY: Source = source!("cross_entropy.cu");
const DROPOUT: Source = source!("dropout.cu");
const SQUARES: Source = source!("squares.cu");

/// One call of a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The file that it is in.
    pub source: Source,
    /// Its name, with the type: `norm_bf16`.
    pub name: &'a str,
    /// Blocks, in two directions.
    pub grid: [u32; 2],
    /// Threads of a block.
    pub threads: u32,
    /// The fields of its structure.
    pub words: &'a [u64],
}

/// Whatever runs kernels.
pub trait Launch {
    /// Queues one call; its operands stay alive until it has run, because their memory is given out again in the same queue only.
    ///
    /// # Errors
    /// It does not compile, or the device refuses it.
    fn launch(&self, call: &Call<'_>) -> Result<()>;
}

/// What runs kernels on operands of this device; none where they are switched off, where no compiler is found, and on a CPU.
pub fn fused() -> Option<&'static dyn Launch> {
    #[cfg(feature = "cuda")]
    return device::running();
    #[cfg(not(feature = "cuda"))]
    None
}

/// The words of a kernel's structure, and the name of its type.
struct Words(Vec<u64>);

impl Words {
    fn new() -> Self {
        Words(Vec::new())
    }

    fn tensor(self, x: &Tensor) -> Self {
        self.word(x.data_ptr() as u64)
    }

    fn perhaps(self, x: Option<&Tensor>) -> Self {
        match x {
            Some(x) => self.tensor(x),
            None => self.word(0),
        }
    }

    fn number(self, value: i64) -> Self {
        self.word(value.cast_unsigned())
    }

    fn float(self, value: f64) -> Self {
        self.word(value.to_bits())
    }

    fn word(mut self, word: u64) -> Self {
        self.0.push(word);
        self
    }

    /// Queues the kernel of a name for a type.
    fn launch(
        &self,
        kernels: &dyn Launch,
        source: Source,
        (name, kind): (&str, Kind),
        grid: [u32; 2],
        threads: u32,
    ) -> Result<()> {
        if grid.contains(&0) {
            return Ok(());
        }
        let name = format!("{name}_{}", suffix(kind)?);
        let words = &self.0;
        kernels.launch(&Call {
            source,
            name: &name,
            grid,
            threads,
            words,
        })
    }
}

/// How entries for a type end.
fn suffix(kind: Kind) -> Result<&'static str> {
    match kind {
        Kind::Float => Ok("f32"),
        Kind::Double => Ok("f64"),
        Kind::Half => Ok("f16"),
        Kind::BFloat16 => Ok("bf16"),
        other => Err(TchError::Kind(format!("no kernel computes in {other:?}"))),
    }
}

/// Refuses what a kernel would read wrongly: gaps, another type, another size.
fn dense(what: &str, x: &Tensor, kind: Kind, elements: i64) -> Result<()> {
    if x.is_contiguous() && x.kind() == kind && x.numel() as i64 == elements {
        return Ok(());
    }
    Err(TchError::Shape(format!(
        "{what} is {:?} {:?} with strides {:?}; {elements} dense elements of {kind:?} are wanted",
        x.kind(),
        x.size(),
        x.stride()
    )))
}

/// Blocks for so many elements, of which a thread takes some at once.
fn blocks(elements: i64, at_once: i64) -> u32 {
    let wanted = (elements + at_once * i64::from(THREADS) - 1) / (at_once * i64::from(THREADS));
    wanted.clamp(i64::from(elements > 0), BLOCKS) as u32
}

/// Elements of a type that 16 bytes hold.
fn pack(kind: Kind) -> i64 {
    16 / kind.elt_size_in_bytes().max(1) as i64
}

/// Threads for a row of so many elements: whole warps.
fn row_threads(width: i64, kind: Kind) -> u32 {
    let wanted = (width / pack(kind)).max(1) as u32;
    wanted.div_ceil(32).clamp(1, 16) * 32
}

/// A number of blocks in one direction.
fn many(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A view or, where it has gaps, a copy without.
fn solid(x: &Tensor) -> Result<Tensor> {
    x.f_contiguous()
}
