//! What is measured on: a thread of the processor or a GPU, with sizes of operands that such a device is trained with.
//!
//! A GPU works behind the host's back, so that calls are timed together and waited for once; on the processor each call is timed alone.

use std::time::{Duration, Instant};

use pleach_plan::Dtype;
use tch::{Device, Kind, Tensor};

use crate::error::Cause;
use crate::native::cuda;

/// Repetitions at least and at most.
const REPETITIONS: std::ops::RangeInclusive<usize> = 5..=40;

/// Products of a linear layer: rows, outputs, inputs.
type Products = &'static [[u64; 3]];

/// A device with the sizes that are measured on it.
#[derive(Clone, Copy, Debug)]
pub struct Bench {
    /// Where operands lie.
    pub device: Device,
    /// The types of operands; products of the first are measured in `products`, those of the others in `others`.
    pub types: &'static [Dtype],
    /// Products of the first type.
    pub products: Products,
    /// Products of the other types.
    pub others: Products,
    /// Tokens of the operands that memory limits.
    pub tokens: i64,
    /// Attention: sequences and positions.
    pub attention: [i64; 2],
    /// A narrow head and a wide one.
    pub widths: [i64; 2],
    /// Elements of tensors that no cache holds.
    pub large: i64,
    /// Bytes of operands and results that are passed through before one comes again: more than caches hold.
    pub passed: usize,
    /// Calls that are timed together.
    together: u32,
}

impl Bench {
    /// The processor: a megabyte of tokens in f32, as small models have; more than the caches of one core are passed through.
    pub const CPU: Bench = Bench {
        device: Device::Cpu,
        types: &[Dtype::F32, Dtype::F64, Dtype::Bf16],
        products: &[
            [256, 256, 256],
            [512, 128, 256],
            [512, 256, 128],
            [512, 320, 320],
            [512, 1024, 256],
            [512, 256, 1024],
            [1024, 512, 512],
            [2048, 1024, 1024],
        ],
        others: &[[256, 256, 256], [512, 512, 512]],
        tokens: 512,
        attention: [2, 256],
        widths: [32, 128],
        large: 8 << 20,
        passed: 64 << 20,
        together: 1,
    };

    /// A GPU, with the layers of models from 100 million to 10 billion parameters.
    pub fn gpu(index: u32) -> Bench {
        Bench {
            device: Device::Cuda(index as usize),
            types: &[Dtype::Bf16, Dtype::F16, Dtype::F32],
            products: &[
                [1024, 768, 768],
                [2048, 1024, 1024],
                [4096, 1024, 4096],
                [8192, 768, 768],
                [8192, 2304, 768],
                [8192, 3072, 768],
                [8192, 768, 3072],
                [8192, 4096, 1024],
                [16384, 3072, 1024],
                [8192, 50304, 768],
                [4096, 4096, 4096],
                [8192, 8192, 8192],
            ],
            others: &[
                [2048, 1024, 1024],
                [8192, 3072, 768],
                [8192, 768, 3072],
                [4096, 4096, 4096],
            ],
            tokens: 16_384,
            attention: [8, 1024],
            widths: [64, 128],
            large: 64 << 20,
            passed: 256 << 20,
            together: 8,
        }
    }

    /// Products that are measured of a type.
    pub fn products_of(&self, dtype: Dtype) -> Products {
        match self.types.first() == Some(&dtype) {
            true => self.products,
            false => self.others,
        }
    }

    /// Random values of a type.
    ///
    /// # Errors
    /// libtorch's text.
    pub fn random(&self, dims: &[i64], kind: Kind) -> Result<Tensor, Cause> {
        Ok(Tensor::f_randn(dims, (Kind::Float, self.device))?.f_to_kind(kind)?)
    }

    /// Times `body` after one run to warm up, until the budget is used up.
    ///
    /// # Errors
    /// The body's, or a kernel's that it queued.
    pub fn times(
        &self,
        budget: Duration,
        mut body: impl FnMut() -> Result<(), Cause>,
    ) -> Result<Vec<f64>, Cause> {
        body()?;
        cuda::synchronize()?;
        let mut times = Vec::new();
        let end = Instant::now() + budget;
        while times.len() < *REPETITIONS.start()
            || (times.len() < *REPETITIONS.end() && Instant::now() < end)
        {
            let began = Instant::now();
            (0..self.together).try_for_each(|_| body())?;
            cuda::synchronize()?;
            times.push(began.elapsed().as_secs_f64() / f64::from(self.together));
        }
        Ok(times)
    }
}
