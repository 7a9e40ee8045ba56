//! The initial values of a matrix, from what the experiment says of all of them and from its own sizes.

use pleach_dsl::experiment::Spread;
use pleach_plan::Init;

/// How a matrix begins whose last two dimensions are rows and columns; one in front counts experts.
pub fn matrix(spread: Spread, dims: &[u64]) -> Init {
    let ends = dims.iter().rev().take(2).sum::<u64>() as f64;
    match spread {
        Spread::Normal(std) => Init::Normal { std },
        Spread::XavierNormal => Init::Normal {
            std: libm::sqrt(2.0 / ends),
        },
        Spread::Orthogonal(gain) => Init::Orthogonal { gain },
        Spread::XavierUniform => Init::Uniform {
            bound: libm::sqrt(6.0 / ends),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xavier_counts_rows_and_columns_but_not_experts() {
        let std = 0.5;
        assert_eq!(matrix(Spread::XavierNormal, &[5, 3]), Init::Normal { std });
        assert_eq!(
            matrix(Spread::XavierNormal, &[7, 5, 3]),
            Init::Normal { std }
        );
        let bound = 0.5;
        assert_eq!(
            matrix(Spread::XavierUniform, &[4, 20]),
            Init::Uniform { bound }
        );
        assert_eq!(
            matrix(Spread::Normal(0.02), &[4, 20]),
            Init::Normal { std: 0.02 }
        );
    }
}
