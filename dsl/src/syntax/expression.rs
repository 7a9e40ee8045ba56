//! Expressions: formulas as they were written.

use num_rational::BigRational;

use super::{Block, Name, Place};

/// A formula and where it stands.
#[derive(Clone, Debug)]
pub struct Expression {
    /// What it is.
    pub kind: ExpressionKind,
    /// Where it stands.
    pub place: Place,
}

/// The forms of a formula.
#[derive(Clone, Debug)]
pub enum ExpressionKind {
    /// `2048 tokens`, `3e-4`, `25%`.
    Amount(Amount),
    /// `"hf:EleutherAI/pile"`.
    Text(String),
    /// `true`, `false`.
    Truth(bool),
    /// `auto`.
    Auto,
    /// `hidden`, `cluster.gpus_per_node`, and words such as `layernorm`.
    Path(Path),
    /// `adamw { eps = 1e-8 }`.
    Amend(Path, Block),
    /// `ceil(tokens / global_batch)`.
    Call(Name, Vec<Expression>),
    /// `[1, 2, 4]`.
    List(Vec<Expression>),
    /// `table { … }`.
    Table(Table),
    /// `if a then b else c`.
    Choose(Box<Expression>, Box<Expression>, Box<Expression>),
    /// `-a`.
    Negate(Box<Expression>),
    /// `not a`.
    Not(Box<Expression>),
    /// `a + b`; the place is the operator's.
    Binary(Operator, Place, Box<Expression>, Box<Expression>),
    /// Something that was reported already; it silences what depends on it.
    Broken,
}

/// A dotted name.
#[derive(Clone, Debug)]
pub struct Path {
    /// The whole of it: `cluster.gpus_per_node`.
    pub text: String,
    /// Where it stands.
    pub place: Place,
}

impl Path {
    /// Its names.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.text.split('.')
    }
}

/// A number as it was written.
#[derive(Clone, Debug)]
pub struct Amount {
    /// The digits and magnitude: `32Ki`.
    pub text: String,
    /// Their value, with the magnitude and the percent sign worked in.
    pub value: BigRational,
    /// `K`, `M`, `B`, `T`, `Ki`, `Mi`, `%` or nothing.
    pub magnitude: String,
    /// `tokens`, `TFLOP/s`.
    pub unit: Option<Name>,
}

/// The operators between two formulas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `or`
    Or,
    /// `and`
    And,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<=`
    AtMost,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `>`
    Above,
    /// `..`
    Range,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
    /// `of`
    Of,
}

impl Operator {
    /// The text of the language.
    pub fn text(self) -> &'static str {
        match self {
            Operator::Or => "or",
            Operator::And => "and",
            Operator::Equal => "==",
            Operator::Unequal => "!=",
            Operator::AtMost => "<=",
            Operator::AtLeast => ">=",
            Operator::Below => "<",
            Operator::Above => ">",
            Operator::Range => "..",
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Remainder => "%",
            Operator::Of => "of",
        }
    }
}

/// A list of records with a header row.
#[derive(Clone, Debug)]
pub struct Table {
    /// The columns; the first names the rows.
    pub header: Vec<Path>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// One record.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub name: Name,
    /// Its cells behind the name; none for `-`, which keeps the value of the row above.
    pub cells: Vec<Option<Expression>>,
    /// The whole row.
    pub place: Place,
}
