//! Measured numbers as JSON: every `f64` comes back with the same bits, and what is not finite is not lost.
//!
//! JSON has no word for NaN and infinity, and they are exactly what one looks for in the metrics of a run that went wrong, so
//! they are written as the strings `NaN`, `inf` and `-inf`.

use serde::{Deserialize, Deserializer, Serializer, de};

/// Writes a number, or the name of one that is not finite.
pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_f64(*value)
    } else {
        serializer.serialize_str(&value.to_string())
    }
}

/// Reads either.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(f64),
        Name(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(value) => Ok(value),
        Either::Name(name) if ["NaN", "inf", "-inf"].contains(&name.as_str()) => {
            name.parse().map_err(de::Error::custom)
        }
        Either::Name(name) => Err(de::Error::custom(format!("`{name}` is not a number"))),
    }
}
