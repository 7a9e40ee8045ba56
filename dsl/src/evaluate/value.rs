//! What a formula evaluates to.

use crate::quantity::{Dimension, Quantity, show_quantity};

/// A value of the language.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number of base units.
    Number(Quantity),
    /// True or false.
    Truth(bool),
    /// A word of the schema: `layernorm`, `fp16`, `none`.
    Word(String),
    /// A string.
    Text(String),
    /// Several values.
    List(Vec<Value>),
    /// Wholly open.
    Auto,
}

impl Value {
    /// A plain count.
    pub fn count(value: u64) -> Value {
        Value::Number(Quantity::count(value))
    }

    /// What kind of thing this is, in words: `an amount of memory`, `a list`.
    pub fn in_words(&self) -> String {
        match self {
            Value::Number(quantity) => quantity.dimension.in_words(),
            Value::Truth(_) => "true or false".to_string(),
            Value::Word(word) => format!("the word `{word}`"),
            Value::Text(_) => "a string".to_string(),
            Value::List(_) => "a list".to_string(),
            Value::Auto => "`auto`".to_string(),
        }
    }

    /// The dimension, where this is a number.
    pub fn dimension(&self) -> Option<Dimension> {
        match self {
            Value::Number(quantity) => Some(quantity.dimension),
            _ => None,
        }
    }

    /// The value for a reader.
    pub fn show(&self) -> String {
        match self {
            Value::Number(quantity) => show_quantity(quantity),
            Value::Truth(truth) => truth.to_string(),
            Value::Word(word) => word.clone(),
            Value::Text(text) => format!("{text:?}"),
            Value::List(items) => {
                let items: Vec<String> = items.iter().map(Value::show).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Auto => "auto".to_string(),
        }
    }
}
