//! Names, tensors, parameters and instructions of the sample as they are collected.

use std::collections::BTreeMap;

use pleach_plan::*;

use super::{PARAMETERS, Shape};

/// What is collected.
pub struct Builder {
    pub shape: Shape,
    pub tensors: Vec<Tensor>,
    pub names: BTreeMap<String, TensorId>,
    pub parameters: Vec<Parameter>,
    pub buckets: Vec<Bucket>,
    pub bodies: Vec<Body>,
}

impl Builder {
    pub fn new(shape: Shape) -> Self {
        Builder {
            shape,
            tensors: Vec::new(),
            names: BTreeMap::new(),
            parameters: Vec::new(),
            buckets: Vec::new(),
            bodies: Vec::new(),
        }
    }

    pub fn tensor(
        &mut self,
        name: &str,
        dtype: Dtype,
        dims: &[u64],
        layout: Layouts,
        lives: Lives,
    ) -> TensorId {
        let id = TensorId(self.tensors.len() as u32);
        let known = self.names.insert(name.to_owned(), id);
        assert!(known.is_none(), "{name} twice");
        self.tensors.push(Tensor {
            id,
            name: name.to_owned(),
            dtype,
            dims: dims.to_vec(),
            layout,
            lives,
            view: None,
        });
        id
    }

    pub fn local(&mut self, name: &str, dims: &[u64], tp: Layout) {
        let dtype = if name.ends_with("ids") {
            Dtype::I64
        } else {
            Dtype::F64
        };
        let dp = Layout::Shard(usize::from(name == "terms" || name == "sums"));
        self.tensor(name, dtype, dims, Layouts { dp, tp }, Lives::Local);
    }

    pub fn flat(&mut self, name: &str, size: u64, lives: Lives, dp: Layout) -> TensorId {
        self.tensor(
            name,
            Dtype::F64,
            &[size],
            Layouts {
                dp,
                tp: Layout::Replicate,
            },
            lives,
        )
    }

    pub fn bucket(&mut self, block: &str) {
        let lives = if block == "layer" {
            Lives::Layered
        } else {
            Lives::Static
        };
        let (tp, dp) = (u64::from(self.shape.tp), u64::from(self.shape.dp));
        let members = members(block);
        let length: u64 = members
            .iter()
            .map(|(_, _, dims, _)| dims.iter().product::<u64>() / tp)
            .sum();
        let (size, part) = if self.shape.zero == 1 {
            (length.next_multiple_of(dp), length.div_ceil(dp))
        } else {
            (length, length)
        };
        let weights = self.flat(&format!("{block}.weights"), size, lives, Layout::Replicate);
        let gradients = self.flat(&format!("{block}.gradients"), size, lives, Layout::Partial);
        let m = self.flat(&format!("{block}.m"), part, lives, Layout::Shard(0));
        let v = self.flat(&format!("{block}.v"), part, lives, Layout::Shard(0));
        self.members(block, weights, gradients);
        let name = block.to_owned();
        self.buckets.push(Bucket {
            name,
            weights,
            gradients,
            levels: Vec::new(),
            apart: Vec::new(),
            sums: None,
            master: None,
            m,
            v: Some(v),
            length,
        });
    }

    fn members(&mut self, block: &str, weights: TensorId, gradients: TensorId) {
        let lives = self.tensors[weights.0 as usize].lives;
        let mut offset = 0;
        for &(_, name, whole, shard) in members(block).iter() {
            let mut dims = whole.to_vec();
            dims[shard] /= u64::from(self.shape.tp);
            let mut view = |suffix: &str, base: TensorId, dp: Layout| {
                let layout = Layouts {
                    dp,
                    tp: Layout::Shard(shard),
                };
                let id = self.tensor(&format!("{name}{suffix}"), Dtype::F64, &dims, layout, lives);
                self.tensors[id.0 as usize].view = Some(View { base, offset });
                id
            };
            let tensor = view("", weights, Layout::Replicate);
            let gradient = view(".gradient", gradients, Layout::Partial);
            offset += dims.iter().product::<u64>();
            let (name, bucket) = (name.to_owned(), self.buckets.len());
            let init = Init::Normal { std: 0.5 };
            self.parameters.push(Parameter {
                name,
                tensor,
                gradient,
                dims: whole.to_vec(),
                shard: Some(shard),
                init,
                bucket,
            });
        }
    }

    pub fn ids(&self, names: &str) -> Vec<TensorId> {
        let id = |name: &str| {
            *self
                .names
                .get(name)
                .unwrap_or_else(|| panic!("no tensor {name}"))
        };
        names.split_whitespace().map(id).collect()
    }

    /// `reads ; updates > results / frees`.
    pub fn instr(&self, op: Op, operands: &str) -> Instr {
        let (rest, frees) = operands.split_once('/').unwrap_or((operands, ""));
        let (rest, outs) = rest.split_once('>').unwrap_or((rest, ""));
        let (ins, updates) = rest.split_once(';').unwrap_or((rest, ""));
        let [ins, updates, outs, frees] = [ins, updates, outs, frees].map(|names| self.ids(names));
        Instr {
            op,
            ins,
            updates,
            outs,
            frees,
            workspace: 0,
        }
    }

    pub fn body(
        &mut self,
        name: &str,
        kind: BodyKind,
        block: &str,
        ports: [&str; 2],
        frame: [&str; 2],
        code: Vec<Instr>,
    ) {
        let port = |names: &str| {
            let wire = |name: &str| {
                if name.starts_with('d') {
                    Wire::Gradient
                } else {
                    Wire::Hidden
                }
            };
            names
                .split_whitespace()
                .map(|name| Port {
                    wire: wire(name),
                    tensor: self.names[name],
                })
                .collect()
        };
        let (ins, outs) = (port(ports[0]), port(ports[1]));
        let [takes, saves] = frame.map(|names| self.ids(names));
        let id = BodyId(self.bodies.len() as u32);
        let (name, block) = (name.to_owned(), block.to_owned());
        self.bodies.push(Body {
            id,
            name,
            kind,
            block,
            ins,
            outs,
            saves,
            takes,
            code,
        });
    }
}

type Member = (&'static str, &'static str, [u64; 2], usize);

fn members(block: &str) -> Vec<Member> {
    PARAMETERS
        .into_iter()
        .filter(|parameter| parameter.0 == block)
        .collect()
}
