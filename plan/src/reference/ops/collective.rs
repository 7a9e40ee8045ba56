//! Collectives: from what every member gives, in rank order, what every member gets.

use crate::reference::value::{Unfit, Value, cut, join, one_type};
use crate::{Op, Reduce};

/// What each member gets.
///
/// # Errors
/// Shapes that cannot be reduced, joined or cut.
pub fn exchange(op: &Op, given: &[&Value]) -> Result<Vec<Value>, Unfit> {
    one_type(given)?;
    match op {
        Op::AllReduce { reduce, .. } => Ok(vec![combine(given, *reduce)?; given.len()]),
        Op::AllGather { dim, .. } => Ok(vec![join(given, *dim)?; given.len()]),
        Op::ReduceScatter { dim, .. } => {
            let sum = combine(given, Reduce::Sum)?;
            (0..given.len())
                .map(|index| cut(&sum, *dim, given.len(), index))
                .collect()
        }
        other => Err(Unfit(format!("{} is not a collective", other.name()))),
    }
}

fn combine(given: &[&Value], reduce: Reduce) -> Result<Value, Unfit> {
    let [first, others @ ..] = given else {
        return Err(Unfit("nobody takes part".to_owned()));
    };
    let mut total = (*first).clone();
    for other in others {
        other.expect(&first.dims)?;
        for (total, other) in total.data.iter_mut().zip(&other.data) {
            *total = match reduce {
                Reduce::Sum => *total + other,
                Reduce::Max => total.max(*other),
            };
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GroupId;

    #[test]
    fn a_reduce_scatter_and_a_gather_make_an_all_reduce() {
        let group = GroupId(0);
        let given = [vec![1.0, 2.0, 3.0, 4.0], vec![10.0, 20.0, 30.0, 40.0]]
            .map(|data| Value::free(&[2, 2], data));
        let given: Vec<&Value> = given.iter().collect();
        let whole = exchange(
            &Op::AllReduce {
                group,
                reduce: Reduce::Sum,
            },
            &given,
        )
        .unwrap();
        let parts = exchange(&Op::ReduceScatter { group, dim: 1 }, &given).unwrap();
        assert_eq!(parts[1].data, [22.0, 44.0]);
        let parts: Vec<&Value> = parts.iter().collect();
        assert_eq!(
            exchange(&Op::AllGather { group, dim: 1 }, &parts).unwrap(),
            whole
        );
        let largest = exchange(
            &Op::AllReduce {
                group,
                reduce: Reduce::Max,
            },
            &given,
        )
        .unwrap();
        assert_eq!(largest[0].data, given[1].data);
    }
}
