//! The sum of tensors of one shape, as a new one or into one of them.

use crate::reference::value::{Unfit, Value, one_type};

/// `y = a + b + …`.
///
/// # Errors
/// Fewer than two terms, or different shapes or types.
pub fn add(terms: &[Value]) -> Result<Value, Unfit> {
    let [first, others @ ..] = terms else {
        return Err(Unfit("a sum of nothing".to_owned()));
    };
    if others.is_empty() {
        return Err(Unfit("a sum of one term".to_owned()));
    }
    one_type(&terms.iter().collect::<Vec<_>>())?;
    let mut sum = first.clone();
    for term in others {
        term.expect(&first.dims)?;
        sum.data
            .iter_mut()
            .zip(&term.data)
            .for_each(|(sum, term)| *sum += term);
    }
    Ok(sum)
}

/// `y += x`.
///
/// # Errors
/// Different shapes or types.
pub fn accumulate(x: &Value, y: &mut Value) -> Result<(), Unfit> {
    x.expect(&y.dims)?;
    one_type(&[x, y])?;
    let terms = y.data.iter_mut().zip(&x.data);
    terms.for_each(|(sum, term)| *sum += term);
    Ok(())
}
