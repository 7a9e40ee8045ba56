//! Signatures: what shapes and types an operation's operands must have, and whether given ones fit.
//!
//! In comes a [`Signature`] (named operands with patterns such as `B S K`) and the tensors of an instruction, out comes nothing
//! or the first [`Misfit`] with both figures. A letter stands for one size wherever it occurs in a signature, so that inputs,
//! updates and results are checked against each other in one sweep.

use std::collections::BTreeMap;

use crate::{Dtype, Instr, Tensor};

/// One entry of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Size {
    /// The same size wherever the letter stands.
    Letter(String),
    /// This size.
    Exactly(u64),
    /// A letter's size times a number.
    Times(String, u64),
    /// A letter's size times another letter's times a number.
    Product(String, String, u64),
}

/// The pattern of an operand's dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// One entry for each dimension.
    Each(Vec<Size>),
    /// Any dimensions, but the same for all operands with this letter.
    All(&'static str),
    /// The dimensions of [`Pattern::All`] with one of them divided.
    Cut {
        of: &'static str,
        dim: usize,
        by: u64,
    },
}

/// Which element types an operand may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Token ids.
    Ids,
    /// One floating-point type for all operands with this letter.
    Float(&'static str),
}

/// One operand of a signature.
#[derive(Clone, Debug)]
struct Operand {
    name: &'static str,
    pattern: Pattern,
    kind: Kind,
}

/// What an operation wants of its operands.
#[derive(Clone, Debug, Default)]
pub struct Signature {
    ins: Vec<Operand>,
    updates: Vec<Operand>,
    outs: Vec<Operand>,
}

/// How operands contradict a signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Too many or too few operands.
    #[error("it has {found} {part}, but {wanted} are needed")]
    Arity {
        /// Inputs, updates or outputs.
        part: &'static str,
        /// Operands given.
        found: usize,
        /// Operands needed.
        wanted: usize,
    },
    /// Too many or too few dimensions.
    #[error("{operand} has dimensions {dims:?}, but its form is [{wanted}]")]
    Rank {
        /// The operand's role.
        operand: &'static str,
        /// Its dimensions.
        dims: Vec<u64>,
        /// The form.
        wanted: String,
    },
    /// Two sizes that must be equal are not.
    #[error("{operand} has dimensions {dims:?}: dimension {dim} ({what}) must be {wanted}{}", because(.source_name))]
    Dimension {
        /// The operand's role.
        operand: &'static str,
        /// Its dimensions.
        dims: Vec<u64>,
        /// Which dimension.
        dim: usize,
        /// What the dimension means.
        what: String,
        /// The size it must have.
        wanted: u64,
        /// The operand that said so; empty when the operation itself does.
        source_name: &'static str,
    },
    /// A shape differs from another operand's.
    #[error("{operand} has dimensions {dims:?}, but {wanted:?} follow from {source_name}")]
    Shape {
        /// The operand's role.
        operand: &'static str,
        /// Its dimensions.
        dims: Vec<u64>,
        /// The dimensions it must have.
        wanted: Vec<u64>,
        /// The operand that they follow from.
        source_name: &'static str,
    },
    /// A dimension that cannot be cut as asked.
    #[error("dimension {dim} of {operand} {dims:?} cannot be cut into {by} equal pieces")]
    Cut {
        /// The operand's role.
        operand: &'static str,
        /// Its dimensions.
        dims: Vec<u64>,
        /// Which dimension.
        dim: usize,
        /// Pieces.
        by: u64,
    },
    /// Ids where numbers are needed, or the other way round.
    #[error("{operand} is of type {found:?}, but {wanted} are needed")]
    Kind {
        /// The operand's role.
        operand: &'static str,
        /// Its type.
        found: Dtype,
        /// What is needed.
        wanted: &'static str,
    },
    /// Two types that must be equal are not.
    #[error("{operand} is of type {found:?}, but {source_name} is of type {wanted:?}")]
    Dtype {
        /// The operand's role.
        operand: &'static str,
        /// Its type.
        found: Dtype,
        /// The type it must have.
        wanted: Dtype,
        /// The operand that said so.
        source_name: &'static str,
    },
    /// An attribute outside what makes sense.
    #[error("its {name} is {value}, but {law}")]
    Attribute {
        /// The attribute.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should obey.
        law: &'static str,
    },
}

fn because(source: &str) -> String {
    if source.is_empty() {
        String::new()
    } else {
        format!(" as in {source}")
    }
}

impl Signature {
    /// A signature without operands.
    pub fn new() -> Self {
        Signature::default()
    }

    /// Adds an input, by its pattern: letters, numbers, `A*12`, `A*D` or `A*D*2`, separated by blanks.
    pub fn read(mut self, name: &'static str, pattern: &str, kind: &'static str) -> Self {
        self.ins.push(Operand {
            name,
            pattern: each(pattern),
            kind: kind_of(kind),
        });
        self
    }

    /// Adds an update, by its pattern.
    pub fn update(mut self, name: &'static str, pattern: &str, kind: &'static str) -> Self {
        self.updates.push(Operand {
            name,
            pattern: each(pattern),
            kind: kind_of(kind),
        });
        self
    }

    /// Adds a result, by its pattern.
    pub fn make(mut self, name: &'static str, pattern: &str, kind: &'static str) -> Self {
        self.outs.push(Operand {
            name,
            pattern: each(pattern),
            kind: kind_of(kind),
        });
        self
    }

    /// Adds an input of any shape; the letter ties it to others.
    pub fn read_all(mut self, name: &'static str, of: &'static str, kind: &'static str) -> Self {
        self.ins.push(Operand {
            name,
            pattern: Pattern::All(of),
            kind: kind_of(kind),
        });
        self
    }

    /// Adds an update of any shape.
    pub fn update_all(mut self, name: &'static str, of: &'static str, kind: &'static str) -> Self {
        self.updates.push(Operand {
            name,
            pattern: Pattern::All(of),
            kind: kind_of(kind),
        });
        self
    }

    /// Adds a result of any shape.
    pub fn make_all(mut self, name: &'static str, of: &'static str, kind: &'static str) -> Self {
        self.outs.push(Operand {
            name,
            pattern: Pattern::All(of),
            kind: kind_of(kind),
        });
        self
    }

    /// Adds an input that is one piece of a shape.
    pub fn read_cut(mut self, name: &'static str, of: &'static str, dim: usize, by: u64) -> Self {
        self.ins.push(Operand {
            name,
            pattern: Pattern::Cut { of, dim, by },
            kind: Kind::Float("T"),
        });
        self
    }

    /// Adds a result that is one piece of a shape.
    pub fn make_cut(mut self, name: &'static str, of: &'static str, dim: usize, by: u64) -> Self {
        self.outs.push(Operand {
            name,
            pattern: Pattern::Cut { of, dim, by },
            kind: Kind::Float("T"),
        });
        self
    }

    /// Whether the operands of an instruction fit.
    ///
    /// # Errors
    /// The first misfit. Operands whose id is out of range must have been refused before.
    pub fn fit(&self, instr: &Instr, tensors: &[Tensor]) -> Result<(), Misfit> {
        arity("inputs", &self.ins, instr.ins.len())?;
        arity("updates", &self.updates, instr.updates.len())?;
        arity("outputs", &self.outs, instr.outs.len())?;
        let operands = self.ins.iter().chain(&self.updates).chain(&self.outs);
        let given = instr.ins.iter().chain(&instr.updates).chain(&instr.outs);
        let pairs: Vec<_> = operands
            .zip(given.map(|id| &tensors[id.0 as usize]))
            .collect();
        let mut known = Known::default();
        for (operand, tensor) in &pairs {
            known.bind(operand, tensor)?;
        }
        for (operand, tensor) in &pairs {
            known.derive(operand, tensor)?;
        }
        Ok(())
    }
}

fn arity(part: &'static str, wanted: &[Operand], found: usize) -> Result<(), Misfit> {
    match wanted.len() == found {
        true => Ok(()),
        false => Err(Misfit::Arity {
            part,
            found,
            wanted: wanted.len(),
        }),
    }
}

fn kind_of(kind: &'static str) -> Kind {
    if kind == "ids" {
        Kind::Ids
    } else {
        Kind::Float(kind)
    }
}

fn each(pattern: &str) -> Pattern {
    Pattern::Each(pattern.split_whitespace().map(size).collect())
}

fn size(entry: &str) -> Size {
    match (entry.parse(), entry.split_once('*')) {
        (Ok(number), _) => Size::Exactly(number),
        (_, None) => Size::Letter(entry.to_owned()),
        (_, Some((letter, by))) => match by.parse() {
            Ok(number) => Size::Times(letter.to_owned(), number),
            Err(_) => product(letter, by),
        },
    }
}

fn product(left: &str, rest: &str) -> Size {
    let (right, by) = rest.split_once('*').unwrap_or((rest, "1"));
    Size::Product(left.to_owned(), right.to_owned(), by.parse().unwrap_or(0))
}

/// What the operands seen so far have fixed, with the operand that fixed it.
#[derive(Default)]
struct Known<'s> {
    sizes: BTreeMap<&'s str, (u64, &'static str)>,
    shapes: BTreeMap<&'static str, (&'s [u64], &'static str)>,
    types: BTreeMap<&'static str, (Dtype, &'static str)>,
}

impl<'s> Known<'s> {
    /// Takes letters from an operand, or compares where they are known.
    fn bind(&mut self, operand: &'s Operand, tensor: &'s Tensor) -> Result<(), Misfit> {
        self.bind_type(operand, tensor.dtype)?;
        match &operand.pattern {
            Pattern::Each(sizes) => self.bind_sizes(operand, sizes, &tensor.dims),
            Pattern::All(letter) => self.bind_shape(operand, letter, &tensor.dims),
            Pattern::Cut { .. } => Ok(()),
        }
    }

    fn bind_type(&mut self, operand: &Operand, found: Dtype) -> Result<(), Misfit> {
        let name = operand.name;
        match (operand.kind, found == Dtype::I64) {
            (Kind::Ids, true) => Ok(()),
            (Kind::Ids, false) => Err(Misfit::Kind {
                operand: name,
                found,
                wanted: "token ids",
            }),
            (Kind::Float(_), true) => Err(Misfit::Kind {
                operand: name,
                found,
                wanted: "numbers",
            }),
            (Kind::Float(letter), false) => {
                let &mut (wanted, source_name) = self.types.entry(letter).or_insert((found, name));
                match wanted == found {
                    true => Ok(()),
                    false => Err(Misfit::Dtype {
                        operand: name,
                        found,
                        wanted,
                        source_name,
                    }),
                }
            }
        }
    }

    fn bind_sizes(
        &mut self,
        operand: &Operand,
        sizes: &'s [Size],
        dims: &[u64],
    ) -> Result<(), Misfit> {
        if sizes.len() != dims.len() {
            let wanted = sizes.iter().map(spell).collect::<Vec<_>>().join(", ");
            return Err(Misfit::Rank {
                operand: operand.name,
                dims: dims.to_vec(),
                wanted,
            });
        }
        for (dim, (size, &found)) in sizes.iter().zip(dims).enumerate() {
            let (wanted, source_name) = match size {
                Size::Letter(letter) => *self.sizes.entry(letter).or_insert((found, operand.name)),
                Size::Exactly(number) => (*number, ""),
                Size::Times(letter, by) if !self.sizes.contains_key(letter.as_str()) => {
                    let whole = found.checked_div(*by).unwrap_or(0);
                    self.sizes.insert(letter, (whole, operand.name));
                    (whole.saturating_mul(*by), "")
                }
                Size::Times(..) | Size::Product(..) => continue,
            };
            if wanted != found {
                return Err(dimension(operand, dims, dim, size, wanted, source_name));
            }
        }
        Ok(())
    }

    fn bind_shape(
        &mut self,
        operand: &Operand,
        letter: &'static str,
        dims: &'s [u64],
    ) -> Result<(), Misfit> {
        let &mut (wanted, source_name) = self.shapes.entry(letter).or_insert((dims, operand.name));
        match wanted == dims {
            true => Ok(()),
            false => Err(Misfit::Shape {
                operand: operand.name,
                dims: dims.to_vec(),
                wanted: wanted.to_vec(),
                source_name,
            }),
        }
    }

    /// Compares what follows from letters that other operands have fixed.
    fn derive(&self, operand: &Operand, tensor: &Tensor) -> Result<(), Misfit> {
        match &operand.pattern {
            Pattern::All(_) => Ok(()),
            Pattern::Each(sizes) => self.derive_sizes(operand, sizes, &tensor.dims),
            Pattern::Cut { of, dim, by } => self.derive_cut(operand, of, (*dim, *by), &tensor.dims),
        }
    }

    fn derive_sizes(&self, operand: &Operand, sizes: &[Size], dims: &[u64]) -> Result<(), Misfit> {
        let known = |letter: &String| {
            self.sizes
                .get(letter.as_str())
                .map_or((0, ""), |&known| known)
        };
        for (dim, (size, &found)) in sizes.iter().zip(dims).enumerate() {
            let (wanted, source_name) = match size {
                Size::Times(letter, by) => (known(letter).0.saturating_mul(*by), known(letter).1),
                Size::Product(left, right, by) => {
                    let both = known(left).0.saturating_mul(known(right).0);
                    (both.saturating_mul(*by), known(left).1)
                }
                Size::Letter(_) | Size::Exactly(_) => continue,
            };
            if wanted != found {
                return Err(dimension(operand, dims, dim, size, wanted, source_name));
            }
        }
        Ok(())
    }

    fn derive_cut(
        &self,
        operand: &Operand,
        of: &str,
        (dim, by): (usize, u64),
        dims: &[u64],
    ) -> Result<(), Misfit> {
        let Some(&(whole, source_name)) = self.shapes.get(of) else {
            return Ok(());
        };
        let cuttable = whole.get(dim).is_some_and(|&size| by > 0 && size % by == 0);
        if !cuttable {
            return Err(Misfit::Cut {
                operand: source_name,
                dims: whole.to_vec(),
                dim,
                by,
            });
        }
        let mut wanted = whole.to_vec();
        wanted[dim] /= by;
        match wanted == dims {
            true => Ok(()),
            false => Err(Misfit::Shape {
                operand: operand.name,
                dims: dims.to_vec(),
                wanted,
                source_name,
            }),
        }
    }
}

fn dimension(
    operand: &Operand,
    dims: &[u64],
    dim: usize,
    size: &Size,
    wanted: u64,
    source_name: &'static str,
) -> Misfit {
    Misfit::Dimension {
        operand: operand.name,
        dims: dims.to_vec(),
        dim,
        what: spell(size),
        wanted,
        source_name,
    }
}

fn spell(size: &Size) -> String {
    match size {
        Size::Letter(letter) => letter.clone(),
        Size::Exactly(number) => number.to_string(),
        Size::Times(letter, by) => format!("{letter} × {by}"),
        Size::Product(left, right, 1) => format!("{left} × {right}"),
        Size::Product(left, right, by) => format!("{left} × {right} × {by}"),
    }
}
