//! The table of a plan's tensors: one entry for each value in each form that a rank holds.

use std::collections::BTreeMap;

use pleach_plan::{Dtype, Layout, Layouts, Lives, Tensor, TensorId, View};

use crate::graph::{Block, Kind, ValueId};
use crate::shard::strategy::Form;

const WHOLE: Layouts = Layouts {
    dp: Layout::Replicate,
    tp: Layout::Replicate,
};

/// A block: its name and kind.
type Place = (&'static str, usize);

fn place(block: &Block) -> Place {
    (block.name, block.kind)
}

/// Tensors under construction.
pub struct Table {
    /// The tensors so far.
    pub tensors: Vec<Tensor>,
    tp: u64,
    locals: BTreeMap<(Place, ValueId, Form), TensorId>,
    statics: BTreeMap<(Place, ValueId), TensorId>,
}

impl Table {
    /// An empty table for so many tensor-parallel ranks.
    pub fn new(tp: u32) -> Table {
        Table {
            tensors: Vec::new(),
            tp: u64::from(tp),
            locals: BTreeMap::new(),
            statics: BTreeMap::new(),
        }
    }

    fn push(
        &mut self,
        name: String,
        dtype: Dtype,
        dims: Vec<u64>,
        layout: Layouts,
        lives: Lives,
        view: Option<View>,
    ) -> TensorId {
        let id = TensorId(u32::try_from(self.tensors.len()).expect("a plan has few tensors"));
        self.tensors.push(Tensor {
            id,
            name,
            dtype,
            dims,
            layout,
            lives,
            view,
        });
        id
    }

    /// The tensor of that name.
    pub fn named(&self, name: &str) -> Option<TensorId> {
        let found = self.tensors.iter().find(|tensor| tensor.name == name);
        found.map(|tensor| tensor.id)
    }

    /// The storage behind a name.
    pub fn storage(&self, id: TensorId) -> TensorId {
        let view = self.tensors[id.0 as usize].view;
        view.map_or(id, |view| view.base)
    }

    /// A small tensor that every rank holds for the whole run.
    pub fn scalar(&mut self, name: &str, elements: u64, dtype: Dtype) -> TensorId {
        self.push(
            name.to_owned(),
            dtype,
            vec![elements],
            WHOLE,
            Lives::Static,
            None,
        )
    }

    /// A flat tensor of a bucket.
    pub fn flat(
        &mut self,
        name: String,
        dtype: Dtype,
        elements: u64,
        layout: Layouts,
        lives: Lives,
    ) -> TensorId {
        self.push(name, dtype, vec![elements], layout, lives, None)
    }

    /// A view of a bucket's flat tensor that stands for a value.
    pub fn view(
        &mut self,
        block: &Block,
        value: ValueId,
        name: String,
        form: Form,
        view: View,
    ) -> TensorId {
        let base = self.tensors[view.base.0 as usize].clone();
        let dims = self.local_dims(block, value, form);
        let layout = Layouts {
            dp: base.layout.dp,
            tp: form.layout(),
        };
        let id = self.push(name, base.dtype, dims, layout, base.lives, Some(view));
        self.statics.insert((place(block), value), id);
        id
    }

    /// The same view as another one's, but of other storage, for a value.
    pub fn view_like(&mut self, block: &Block, value: ValueId, (of, base): (TensorId, TensorId)) {
        let known = self.tensors[of.0 as usize].clone();
        let offset = known.view.map_or(0, |view| view.offset);
        let id = self.push(
            format!("{} of the head", known.name),
            known.dtype,
            known.dims,
            known.layout,
            known.lives,
            Some(View { base, offset }),
        );
        self.statics.insert((place(block), value), id);
    }

    /// Stands a static tensor for a value.
    pub fn stand(&mut self, block: &Block, value: ValueId, id: TensorId) {
        self.statics.insert((place(block), value), id);
    }

    /// The tensor of a value in a form; made when first asked for.
    pub fn of(&mut self, block: &Block, value: ValueId, form: Form, dtype: Dtype) -> TensorId {
        if let Some(&id) = self.statics.get(&(place(block), value)) {
            return id;
        }
        let key = (place(block), value, form);
        if let Some(&id) = self.locals.get(&key) {
            return id;
        }
        let own = block.value(value);
        let batch = own
            .dims
            .iter()
            .position(|dim| dim.name == "batch")
            .unwrap_or(0);
        let layout = Layouts {
            dp: Layout::Shard(batch),
            tp: form.layout(),
        };
        let name = format!(
            "{}.{}{}",
            block.label(),
            own.name,
            self.suffix(block, value, form)
        );
        let id = self.push(
            name,
            dtype,
            self.local_dims(block, value, form),
            layout,
            Lives::Local,
            None,
        );
        self.locals.insert(key, id);
        id
    }

    fn suffix(&self, block: &Block, value: ValueId, form: Form) -> String {
        let first = !self
            .locals
            .keys()
            .any(|&(own, other, _)| own == place(block) && other == value);
        match (first, form.cut()) {
            (true, _) => String::new(),
            (false, Some(dim)) => format!("@{}", block.value(value).dims[dim].name),
            (false, None) => "@whole".to_owned(),
        }
    }

    /// The dimensions that one rank holds.
    pub fn local_dims(&self, block: &Block, value: ValueId, form: Form) -> Vec<u64> {
        let dims = block.value(value).dims.iter().enumerate();
        dims.map(|(index, dim)| {
            if form.cut() == Some(index) {
                dim.size / self.tp
            } else {
                dim.size
            }
        })
        .collect()
    }

    /// A tensor that lives only inside the optimizer.
    pub fn local(
        &mut self,
        name: String,
        dtype: Dtype,
        elements: u64,
        layout: Layouts,
    ) -> TensorId {
        self.push(name, dtype, vec![elements], layout, Lives::Local, None)
    }
}

/// The type of a value that is no parameter.
pub fn dtype_of(kind: &Kind, compute: Dtype, accumulate: Dtype) -> Dtype {
    match kind {
        Kind::Ids => Dtype::I64,
        Kind::Activation => compute,
        _ => accumulate,
    }
}
