//! Collectives as instructions: pieces along any dimension become the leading dimension that groups work on.

use pleach_plan::Reduce;
use tch::Tensor;

use crate::collectives::Communicator;
use crate::error::Cause;

/// `y`, combined over the members; in the storage of `x` where that ends here.
pub fn all_reduce(
    x: &Tensor,
    ends: bool,
    reduce: Reduce,
    group: &mut dyn Communicator,
) -> Result<Tensor, Cause> {
    let y = if ends && x.is_contiguous() {
        x.shallow_clone()
    } else {
        copy(x)?
    };
    group.all_reduce(&y, reduce)?;
    Ok(y)
}

/// The members' pieces joined along `dim`.
pub fn all_gather(x: &Tensor, dim: usize, group: &mut dyn Communicator) -> Result<Tensor, Cause> {
    let mut dims = x.size();
    dims[dim] *= i64::from(group.size());
    let y = Tensor::f_empty(&dims, (x.kind(), x.device()))?;
    all_gather_into(x, &y, dim, group)?;
    Ok(y)
}

/// The members' pieces joined along `dim`, into `y`.
pub fn all_gather_into(
    x: &Tensor,
    y: &Tensor,
    dim: usize,
    group: &mut dyn Communicator,
) -> Result<(), Cause> {
    let own = x.f_contiguous()?;
    let split = by_member(y, dim, group.size())?;
    if split.is_contiguous() {
        return group.all_gather(&own, &split);
    }
    let joined = Tensor::f_empty(split.size(), (x.kind(), x.device()))?;
    group.all_gather(&own, &joined)?;
    split.shallow_clone().f_copy_(&joined)?;
    Ok(())
}

/// This rank's piece, along `dim`, of the sum over the members.
pub fn reduce_scatter(
    x: &Tensor,
    dim: usize,
    group: &mut dyn Communicator,
) -> Result<Tensor, Cause> {
    let pieces = by_member(x, dim, group.size())?.f_contiguous()?;
    let mut dims = x.size();
    dims[dim] /= i64::from(group.size());
    let own = Tensor::f_empty(&dims, (x.kind(), x.device()))?;
    group.reduce_scatter(&pieces, &own)?;
    Ok(own)
}

/// A view with the members' pieces of `dim` in front: `[members, …]`. It is contiguous where all earlier dimensions are 1.
fn by_member(x: &Tensor, dim: usize, members: u32) -> Result<Tensor, Cause> {
    let (mut dims, members) = (x.size(), i64::from(members));
    dims[dim] /= members;
    dims.insert(dim, members);
    Ok(x.f_view(dims.as_slice())?.f_movedim_int(dim as i64, 0)?)
}

fn copy(x: &Tensor) -> Result<Tensor, Cause> {
    let mut y = Tensor::f_empty(x.size(), (x.kind(), x.device()))?;
    y.f_copy_(x)?;
    Ok(y)
}
