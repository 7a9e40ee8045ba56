//! Layouts over the tensor-parallel axis as the search sees them, and the strategies that operations offer.

use pleach_plan::Layout;

/// How a value relates to its shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// One of the plan's layouts.
    Of(Layout),
    /// The largest over the ranks is the value.
    PartialMax,
}

/// Replicated.
pub const R: Form = Form::Of(Layout::Replicate);
/// A partial sum.
pub const P: Form = Form::Of(Layout::Partial);
/// A partial maximum.
pub const MAX: Form = Form::PartialMax;

/// Cut along a dimension.
pub const fn shard(dim: usize) -> Form {
    Form::Of(Layout::Shard(dim))
}

impl From<Layout> for Form {
    fn from(layout: Layout) -> Form {
        Form::Of(layout)
    }
}

impl Form {
    /// The plan's layout; a partial maximum is partial there.
    pub fn layout(self) -> Layout {
        match self {
            Form::Of(layout) => layout,
            Form::PartialMax => Layout::Partial,
        }
    }

    /// The dimension that is cut.
    pub fn cut(self) -> Option<usize> {
        match self {
            Form::Of(Layout::Shard(dim)) => Some(dim),
            _ => None,
        }
    }

    /// Its bit in a [`Forms`] set.
    fn bit(self) -> u8 {
        match self {
            Form::Of(Layout::Replicate) => 1,
            Form::Of(Layout::Shard(dim)) => 2 << dim,
            Form::Of(Layout::Partial) => 64,
            Form::PartialMax => 128,
        }
    }
}

/// All forms there are, the ones that take least memory first.
pub const ALL: [Form; 8] = [shard(0), shard(1), shard(2), shard(3), shard(4), R, P, MAX];

/// A set of forms in which a value is at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Forms(u8);

impl Forms {
    /// The set with one form.
    pub fn only(form: Form) -> Forms {
        Forms(form.bit())
    }

    /// Whether a form is in it.
    pub fn has(self, form: Form) -> bool {
        self.0 & form.bit() != 0
    }

    /// The set with one form more.
    pub fn with(self, form: Form) -> Forms {
        Forms(self.0 | form.bit())
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its forms, the ones that take least memory first.
    pub fn iter(self) -> impl Iterator<Item = Form> {
        ALL.into_iter().filter(move |&form| self.has(form))
    }
}

/// One way of computing an operation on shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strategy {
    /// Forms of what is read.
    pub ins: Vec<Form>,
    /// Forms of what is changed.
    pub updates: Vec<Form>,
    /// Forms of what is made.
    pub outs: Vec<Form>,
    /// Whether ranks work on parts of the sequence, which is sequence parallelism.
    pub over_sequence: bool,
}

impl Strategy {
    /// A strategy with these forms.
    pub fn new(ins: &[Form], updates: &[Form], outs: &[Form]) -> Strategy {
        Strategy {
            ins: ins.to_vec(),
            updates: updates.to_vec(),
            outs: outs.to_vec(),
            over_sequence: false,
        }
    }

    /// The same, marked as sequence parallelism.
    pub fn sequence(mut self) -> Strategy {
        self.over_sequence = true;
        self
    }
}
