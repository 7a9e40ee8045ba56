//! A cast: the same numbers in another type. The reference computes in f64 throughout, so nothing is rounded.

use crate::reference::value::{Unfit, Value, one_type};

/// `target = source`.
///
/// # Errors
/// Different shapes, or ids.
pub fn cast(source: &Value, target: &mut Value) -> Result<(), Unfit> {
    source.expect(&target.dims)?;
    one_type(&[source])?;
    one_type(&[target])?;
    target.data.copy_from_slice(&source.data);
    Ok(())
}

/// The same numbers; their type is what the plan declares.
///
/// # Errors
/// Ids.
pub fn made(source: &Value) -> Result<Value, Unfit> {
    one_type(&[source])?;
    Ok(Value {
        dtype: None,
        ..source.clone()
    })
}
