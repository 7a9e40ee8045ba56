//! Tensors of a program: what one rank holds of a logical tensor, how it is laid out over the mesh, and how long it lives.

use serde::{Deserialize, Serialize};

/// Names a [`Tensor`] in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TensorId(pub u32);

/// Element types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 64-bit floating point.
    F64,
    /// 32-bit floating point.
    F32,
    /// 16-bit brain floating point.
    Bf16,
    /// 16-bit IEEE floating point (planned, not run).
    F16,
    /// 64-bit integers: token ids.
    I64,
}

impl Dtype {
    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        match self {
            Dtype::F64 | Dtype::I64 => 8,
            Dtype::F32 => 4,
            Dtype::Bf16 | Dtype::F16 => 2,
        }
    }
}

/// How a rank's tensor relates to the logical one along one mesh axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Every rank of the axis holds the same values.
    Replicate,
    /// The dimension with this index is cut into equal, contiguous pieces in rank order.
    Shard(usize),
    /// The logical values are the sum over the ranks of the axis.
    Partial,
}

/// The layout along each sharding axis (`pp` places whole tensors on stages instead).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Layouts {
    /// Over the data-parallel axis.
    pub dp: Layout,
    /// Over the tensor-parallel axis.
    pub tp: Layout,
}

/// How long a tensor's storage lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lives {
    /// From start to end of the run, once on its stage.
    Static,
    /// From start to end of the run, once for each layer of its stage.
    Layered,
    /// From start to end of the run, once for each layer of its stage that is of this kind ([`crate::Plan::kinds`]).
    Kind(u32),
    /// Inside a body's call, on a wire between calls, or in a frame from forward to backward.
    Local,
}

impl Lives {
    /// Whether layers have copies of it.
    pub fn is_layered(self) -> bool {
        matches!(self, Lives::Layered | Lives::Kind(_))
    }
}

/// A static tensor that is a slice of another static tensor's storage and has no bytes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct View {
    /// The one-dimensional tensor that owns the storage; it lives as long as the view (same [`Lives`]).
    pub base: TensorId,
    /// First element of the slice.
    pub offset: u64,
}

/// One tensor as one rank holds it. Members of a role have equal shapes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    /// Its name in instructions; also its index in [`crate::Plan::tensors`].
    pub id: TensorId,
    /// A readable name, unique in the plan.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Local (per-rank) dimensions.
    pub dims: Vec<u64>,
    /// Relation to the logical tensor.
    pub layout: Layouts,
    /// Lifetime.
    pub lives: Lives,
    /// Set when the storage belongs to another tensor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<View>,
}

impl Tensor {
    /// Number of local elements.
    pub fn elements(&self) -> u64 {
        self.dims.iter().product()
    }

    /// Bytes of its own storage: zero for a view.
    pub fn bytes(&self) -> u64 {
        if self.view.is_some() {
            0
        } else {
            self.elements() * self.dtype.bytes()
        }
    }
}
