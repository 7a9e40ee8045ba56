//! The sum of two or more tensors of one shape.

use tch::Tensor;

use crate::native::Result;

/// `first + rest…` from left to right, in the storage of `first` where that ends here.
pub fn run(first: &Tensor, rest: &[&Tensor], ends: bool) -> Result<Tensor> {
    let (mut sum, rest) = if ends {
        (first.shallow_clone(), rest)
    } else {
        (first.f_add(rest[0])?, &rest[1..])
    };
    for term in rest {
        sum = sum.f_add_(term)?;
    }
    Ok(sum)
}
