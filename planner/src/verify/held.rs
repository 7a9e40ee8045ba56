//! What a stage's ranks hold: a value's number, and how the logical tensor is spread over the axes of its ranks.

use super::number::Number;

/// The relation of a rank's tensor to the logical one along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Every rank holds the whole.
    Whole,
    /// Each rank holds its piece of this dimension.
    Shard(usize),
    /// The logical tensor is the sum over the ranks.
    Sum,
    /// The logical tensor is the sum over the blocks of replicas, each of which holds it once.
    Blocks,
    /// The logical tensor is the largest over the ranks, entry by entry.
    Largest,
    /// No logical tensor: ranks hold what has no common meaning.
    Odd,
}

/// The axes inside a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Ranks on each axis: dp, then tp.
    pub ranks: [u64; 2],
    /// Blocks of replicas that hold the same pieces.
    pub blocks: u64,
}

/// A tensor: the number of its logical value and its state on dp and tp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// The logical value.
    pub number: Number,
    /// State along dp, then tp.
    pub states: [State; 2],
}

/// Parts of a flat storage, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flat {
    /// Elements and content of each part; what belongs to no parameter is padding.
    pub parts: Vec<(u64, Item)>,
    /// The axis over which the whole flat storage is cut into pieces, if it is.
    pub cut: Option<usize>,
}

/// What stands behind a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// A tensor.
    One(Item),
    /// The flat storage of a bucket, or a piece of it.
    Flat(Flat),
}

impl Item {
    /// The same on all ranks.
    pub fn whole(number: Number) -> Self {
        Item {
            number,
            states: [State::Whole; 2],
        }
    }

    /// Without meaning.
    pub fn odd(number: Number) -> Self {
        Item {
            number,
            states: [State::Odd; 2],
        }
    }

    /// Whether it has no meaning.
    pub fn is_odd(&self) -> bool {
        self.states.contains(&State::Odd)
    }

    /// The entrywise sum of two tensors as their ranks add them.
    ///
    /// Where one is whole and the other a sum over ranks, every rank adds the whole, which then counts as often as there are
    /// ranks. Zeros fit any state.
    pub fn plus(self, other: Item, sizes: Sizes) -> Item {
        if self.number == Number::ZERO && !self.is_odd() {
            return other;
        }
        if other.number == Number::ZERO && !other.is_odd() {
            return self;
        }
        let (mut left, mut right) = (self, other);
        for axis in 0..2 {
            match (left.states[axis], right.states[axis]) {
                (State::Whole, State::Sum) => left = left.counted(axis, sizes),
                (State::Sum, State::Whole) => right = right.counted(axis, sizes),
                (one, two) if one == two && one != State::Largest => {}
                _ => return Item::odd(Number::of("odd sum", &[], &[left.number, right.number])),
            }
        }
        Item {
            number: left.number + right.number,
            states: left.states,
        }
    }

    /// A whole seen as the sum over ranks that it would be if they were added up.
    pub fn counted(self, axis: usize, sizes: Sizes) -> Item {
        let mut states = self.states;
        states[axis] = State::Sum;
        Item {
            number: self.number.times(sizes.ranks[axis]),
            states,
        }
    }
}

impl Held {
    /// A name that means nothing yet.
    pub fn odd(why: &str) -> Self {
        Held::One(Item::odd(Number::of(why, &[], &[])))
    }

    /// Whether any part of it has no meaning.
    pub fn is_odd(&self) -> bool {
        match self {
            Held::One(item) => item.is_odd(),
            Held::Flat(flat) => flat.parts.iter().any(|(_, item)| item.is_odd()),
        }
    }
}

impl Flat {
    /// Changes every part by a rule.
    pub fn map(&self, rule: impl Fn(Item) -> Item) -> Flat {
        Flat {
            parts: self
                .parts
                .iter()
                .map(|&(length, item)| (length, rule(item)))
                .collect(),
            cut: self.cut,
        }
    }

    /// The index of the part at these elements.
    pub fn find(&self, offset: u64, length: u64) -> Option<usize> {
        let mut begin = 0;
        for (index, (part, _)) in self.parts.iter().enumerate() {
            if begin == offset && *part == length {
                return Some(index);
            }
            begin += part;
        }
        None
    }

    /// Whether two storages have the same parts and cut.
    pub fn fits(&self, other: &Flat) -> bool {
        let lengths = |flat: &Flat| {
            flat.parts
                .iter()
                .map(|(length, _)| *length)
                .collect::<Vec<_>>()
        };
        self.cut == other.cut && lengths(self) == lengths(other)
    }
}
