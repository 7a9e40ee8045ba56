//! Fields of a placement and values for them, as questions write them: `tp`, `tp = 8`.

use pleach_dsl::experiment::{Experiment, Wishes};
use pleach_dsl::wish::{Choice, Figure, Scope as _};

use crate::search::evaluate::Evaluated;
use crate::search::figures::Scoped;

/// What of a placement can be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Nodes of the cluster.
    Nodes,
    /// Tensor-parallel ranks.
    Tp,
    /// Stages.
    Pp,
    /// Chunks of each stage.
    Vpp,
    /// Replicas.
    Dp,
    /// ZeRO stage.
    Zero,
    /// Replicas among which ZeRO divides.
    Shards,
    /// Sequences at once.
    MicroBatch,
    /// What forward keeps.
    Recompute,
    /// Whether the residual stream is sharded over the sequence.
    SequenceParallel,
}

/// A field set to a value: `tp = 8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Nodes of the cluster.
    Nodes(u64),
    /// Tensor-parallel ranks.
    Tp(u64),
    /// Stages.
    Pp(u64),
    /// Chunks of each stage.
    Vpp(u64),
    /// Replicas.
    Dp(u64),
    /// ZeRO stage.
    Zero(u64),
    /// Replicas among which ZeRO divides.
    Shards(u64),
    /// Sequences at once.
    MicroBatch(u64),
    /// What forward keeps.
    Recompute(String),
    /// Whether the residual stream is sharded over the sequence.
    SequenceParallel(bool),
}

/// The text is no question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPin {
    /// No field and value.
    #[error("`{0}` says no field and value; write for example `tp = 8`, with one of {names}", names = names())]
    Pin(String),
    /// No field.
    #[error("`{0}` is no field of a placement; it is one of {names}", names = names())]
    Field(String),
    /// A field with two values.
    #[error("`{0}` is asked about twice; a placement has one value of it")]
    Twice(&'static str),
}

fn names() -> String {
    Field::ALL.map(Field::name).join(", ")
}

impl Field {
    /// All of them, in the order of the language.
    pub const ALL: [Field; 10] = [
        Field::Nodes,
        Field::Tp,
        Field::Pp,
        Field::Vpp,
        Field::Dp,
        Field::Zero,
        Field::Shards,
        Field::MicroBatch,
        Field::Recompute,
        Field::SequenceParallel,
    ];

    /// Its name in a spec.
    pub fn name(self) -> &'static str {
        match self {
            Field::Nodes => "nodes",
            Field::Tp => "tp",
            Field::Pp => "pp",
            Field::Vpp => "vpp",
            Field::Dp => "dp",
            Field::Zero => "zero",
            Field::Shards => "shards",
            Field::MicroBatch => "micro_batch",
            Field::Recompute => "recompute",
            Field::SequenceParallel => "sequence_parallel",
        }
    }

    /// Its dotted path in a spec.
    pub fn path(self) -> String {
        let section = if self == Field::Nodes {
            "cluster"
        } else {
            "plan"
        };
        format!("{section}.{}", self.name())
    }

    /// Reads a name; its section before it may be written.
    ///
    /// # Errors
    /// There is no such field.
    pub fn parse(text: &str) -> Result<Self, NoPin> {
        let text = text.trim();
        let name = text
            .trim_start_matches("plan.")
            .trim_start_matches("cluster.");
        let found = Field::ALL.into_iter().find(|field| field.name() == name);
        found.ok_or_else(|| NoPin::Field(text.to_owned()))
    }

    /// Whether a spec says something of it.
    pub fn is_said(self, wishes: &Wishes) -> bool {
        match self {
            Field::Nodes => true,
            Field::Tp => !wishes.tp.is_auto(),
            Field::Pp => !wishes.pp.is_auto(),
            Field::Vpp => !wishes.vpp.is_auto(),
            Field::Dp => !wishes.dp.is_auto(),
            Field::Zero => !wishes.zero.is_auto(),
            Field::Shards => !wishes.shards.is_auto(),
            Field::MicroBatch => !wishes.micro_batch.is_auto(),
            Field::Recompute => !wishes.recompute.is_auto(),
            Field::SequenceParallel => !wishes.sequence_parallel.is_auto(),
        }
    }

    /// The experiment with this field left to the planner; the number of nodes stays.
    pub fn open(self, experiment: &Experiment) -> Experiment {
        let mut open = experiment.clone();
        let wishes = &mut open.plan;
        match self {
            Field::Nodes => {}
            Field::Tp => wishes.tp = Choice::Auto,
            Field::Pp => wishes.pp = Choice::Auto,
            Field::Vpp => wishes.vpp = Choice::Auto,
            Field::Dp => wishes.dp = Choice::Auto,
            Field::Zero => wishes.zero = Choice::Auto,
            Field::Shards => wishes.shards = Choice::Auto,
            Field::MicroBatch => wishes.micro_batch = Choice::Auto,
            Field::Recompute => wishes.recompute = Choice::Auto,
            Field::SequenceParallel => wishes.sequence_parallel = Choice::Auto,
        }
        open
    }

    /// Its value in a placement, with that value as a pin.
    pub fn of(self, scope: &Scoped<'_>) -> Option<Pin> {
        let pin = |value: &str| self.pin(value);
        match scope.look_up(self.name())? {
            Figure::Number(number) => pin(&number.to_u64()?.to_string()),
            Figure::Word(word) => pin(&word),
            Figure::Truth(truth) => pin(&truth.to_string()),
        }
    }

    /// Its value in an evaluated placement.
    pub fn chosen(self, experiment: &Experiment, evaluated: &Evaluated) -> Option<Pin> {
        self.of(&evaluated.scope(experiment))
    }

    /// The field at a value.
    fn pin(self, value: &str) -> Option<Pin> {
        let number = || value.split_whitespace().next()?.parse().ok();
        Some(match self {
            Field::Nodes => Pin::Nodes(number()?),
            Field::Tp => Pin::Tp(number()?),
            Field::Pp => Pin::Pp(number()?),
            Field::Vpp => Pin::Vpp(number()?),
            Field::Dp => Pin::Dp(number()?),
            Field::Zero => Pin::Zero(number()?),
            Field::Shards => Pin::Shards(number()?),
            Field::MicroBatch => Pin::MicroBatch(number()?),
            Field::Recompute => Pin::Recompute(value.to_owned()),
            Field::SequenceParallel => Pin::SequenceParallel(value.parse().ok()?),
        })
    }
}

impl Pin {
    /// Reads `field = value`; the field's section before it may be written.
    ///
    /// # Errors
    /// Another form, an unknown field, or a value of another kind.
    pub fn parse(text: &str) -> Result<Self, NoPin> {
        let wrong = || NoPin::Pin(text.to_owned());
        let (field, value) = text.split_once('=').ok_or_else(wrong)?;
        let field = Field::parse(field).map_err(|_| wrong())?;
        let value = value.trim_start_matches('=').trim();
        field.pin(value).ok_or_else(wrong)
    }

    /// Reads several, with commas between them.
    ///
    /// # Errors
    /// As [`Pin::parse`]; the same field twice.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, NoPin> {
        let mut pins: Vec<Pin> = Vec::new();
        for part in text.split(',') {
            let pin = Pin::parse(part)?;
            if pins.iter().any(|known| known.field() == pin.field()) {
                return Err(NoPin::Twice(pin.field().name()));
            }
            pins.push(pin);
        }
        Ok(pins)
    }

    /// Whose value it is.
    pub fn field(&self) -> Field {
        match self {
            Pin::Nodes(_) => Field::Nodes,
            Pin::Tp(_) => Field::Tp,
            Pin::Pp(_) => Field::Pp,
            Pin::Vpp(_) => Field::Vpp,
            Pin::Dp(_) => Field::Dp,
            Pin::Zero(_) => Field::Zero,
            Pin::Shards(_) => Field::Shards,
            Pin::MicroBatch(_) => Field::MicroBatch,
            Pin::Recompute(_) => Field::Recompute,
            Pin::SequenceParallel(_) => Field::SequenceParallel,
        }
    }

    /// Its value as a spec writes it.
    pub fn value(&self) -> String {
        match self {
            Pin::Recompute(value) => value.clone(),
            Pin::SequenceParallel(value) => value.to_string(),
            number => number.rank().to_string(),
        }
    }

    /// Numbers by their size, words by their place.
    pub fn rank(&self) -> u64 {
        match self {
            Pin::Nodes(value)
            | Pin::Tp(value)
            | Pin::Pp(value)
            | Pin::Vpp(value)
            | Pin::Dp(value)
            | Pin::Zero(value)
            | Pin::Shards(value)
            | Pin::MicroBatch(value) => *value,
            Pin::Recompute(value) => match value.as_str() {
                "none" => 0,
                "selective" => 1,
                _ => 2,
            },
            Pin::SequenceParallel(value) => u64::from(*value),
        }
    }

    /// The experiment with this pin in place of what it says of the field.
    pub fn apply(&self, experiment: &Experiment) -> Experiment {
        let mut pinned = experiment.clone();
        let wishes = &mut pinned.plan;
        match self.clone() {
            Pin::Nodes(value) => return experiment.on_nodes(value),
            Pin::Tp(value) => wishes.tp = Choice::Fixed(value),
            Pin::Pp(value) => wishes.pp = Choice::Fixed(value),
            Pin::Vpp(value) => wishes.vpp = Choice::Fixed(value),
            Pin::Dp(value) => wishes.dp = Choice::Fixed(value),
            Pin::Zero(value) => wishes.zero = Choice::Fixed(value),
            Pin::Shards(value) => wishes.shards = Choice::Fixed(value),
            Pin::MicroBatch(value) => wishes.micro_batch = Choice::Fixed(value),
            Pin::Recompute(value) => wishes.recompute = Choice::Fixed(value),
            Pin::SequenceParallel(value) => wishes.sequence_parallel = Choice::Fixed(value),
        }
        pinned
    }
}
