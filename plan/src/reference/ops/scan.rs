//! The selective scan of Mamba, by its plain recurrence.

use crate::reference::value::{Unfit, Value, one_type};

/// What the scan reads.
#[derive(Clone, Copy)]
pub struct Operands<'v> {
    /// What goes into the state.
    pub x: &'v Value,
    /// Step sizes before the softplus.
    pub step: &'v Value,
    /// Logarithms of how fast the state decays.
    pub decay: &'v Value,
    /// How much each number of state takes.
    pub write: &'v Value,
    /// How much each number of state gives.
    pub read: &'v Value,
    /// What goes past the state.
    pub skip: &'v Value,
}

/// Sizes of a scan: sequences, positions, channels, numbers of state.
type Sizes = [usize; 4];

/// `y`.
///
/// # Errors
/// Shapes or types.
pub fn forward(operands: Operands<'_>) -> Result<Value, Unfit> {
    let [batch, positions, channels, states] = fits(operands)?;
    let Operands { x, read, skip, .. } = operands;
    let mut data = x.data.clone();
    for sequence in 0..batch {
        for channel in 0..channels {
            let mut state = vec![0.0; states];
            for position in 0..positions {
                let row = sequence * positions + position;
                let at = row * channels + channel;
                advance(operands, channel, row, &mut state);
                let given = state.iter().zip(&read.data[row * states..]);
                let given: f64 = given.map(|(state, read)| state * read).sum();
                data[at] = given + skip.data[channel] * x.data[at];
            }
        }
    }
    Ok(Value::like(x, &x.dims, data))
}

/// A channel's state at the next position, which is row `row` of the batch.
fn advance(operands: Operands<'_>, channel: usize, row: usize, state: &mut [f64]) {
    let Operands {
        x,
        step,
        decay,
        write,
        ..
    } = operands;
    let states = state.len();
    let at = row * step.dims[2] + channel;
    let step = softplus(step.data[at]);
    for (index, state) in state.iter_mut().enumerate() {
        let kept = libm::exp(-step * libm::exp(decay.data[channel * states + index]));
        *state = kept * *state + step * x.data[at] * write.data[row * states + index];
    }
}

/// `(dx, dstep, dwrite, dread)`; the gradients of decay and skip are added to `sums`.
///
/// # Errors
/// Shapes or types.
pub fn backward(
    dy: &Value,
    operands: Operands<'_>,
    [ddecay, dskip]: [&mut Value; 2],
) -> Result<[Value; 4], Unfit> {
    let sizes = fits(operands)?;
    let [batch, _, channels, states] = sizes;
    let Operands { x, write, .. } = operands;
    dy.expect(&x.dims)?;
    one_type(&[dy, x])?;
    ddecay.expect(&[channels, states])?;
    dskip.expect(&[channels])?;
    let zeros = |like: &Value| vec![0.0; like.data.len()];
    let mut gains = Gains {
        x: zeros(x),
        step: zeros(x),
        write: zeros(write),
        read: zeros(write),
        decay: &mut ddecay.data,
        skip: &mut dskip.data,
    };
    for sequence in 0..batch {
        for channel in 0..channels {
            gains.channel(dy, operands, sizes, [sequence, channel]);
        }
    }
    let Gains {
        x: dx,
        step: dstep,
        write: dwrite,
        read: dread,
        ..
    } = gains;
    Ok([
        Value::like(x, &x.dims, dx),
        Value::like(x, &x.dims, dstep),
        Value::like(x, &write.dims, dwrite),
        Value::like(x, &write.dims, dread),
    ])
}

/// Gradients under construction.
struct Gains<'s> {
    x: Vec<f64>,
    step: Vec<f64>,
    write: Vec<f64>,
    read: Vec<f64>,
    decay: &'s mut [f64],
    skip: &'s mut [f64],
}

impl Gains<'_> {
    /// Backward through one channel of one sequence: its states again, then from the last position to the first.
    fn channel(
        &mut self,
        dy: &Value,
        operands: Operands<'_>,
        [_, positions, channels, states]: Sizes,
        [sequence, channel]: [usize; 2],
    ) {
        let first = sequence * positions;
        let mut history = vec![vec![0.0; states]];
        for position in 0..positions {
            let mut state = history[position].clone();
            advance(operands, channel, first + position, &mut state);
            history.push(state);
        }
        // The gradient of the state as later positions see it.
        let mut carried = vec![0.0; states];
        for position in (0..positions).rev() {
            let (row, at) = (first + position, (first + position) * channels + channel);
            let (before, after) = (&history[position], &history[position + 1]);
            let [x, raw, dy] = [operands.x, operands.step, dy].map(|value| value.data[at]);
            let step = softplus(raw);
            let mut dstep = 0.0;
            self.x[at] += dy * operands.skip.data[channel];
            self.skip[channel] += dy * x;
            for index in 0..states {
                let (of_row, of_channel) = (row * states + index, channel * states + index);
                let rate = libm::exp(operands.decay.data[of_channel]);
                let kept = libm::exp(-step * rate);
                let (read, write) = (operands.read.data[of_row], operands.write.data[of_row]);
                let gradient = carried[index] + dy * read;
                self.read[of_row] += dy * after[index];
                self.write[of_row] += gradient * step * x;
                self.x[at] += gradient * step * write;
                let faded = gradient * before[index] * kept;
                self.decay[of_channel] -= faded * step * rate;
                dstep += gradient * write * x - faded * rate;
                carried[index] = gradient * kept;
            }
            self.step[at] = dstep / (1.0 + libm::exp(-raw));
        }
    }
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

fn fits(operands: Operands<'_>) -> Result<Sizes, Unfit> {
    let Operands {
        x,
        step,
        decay,
        write,
        read,
        skip,
    } = operands;
    let [batch, positions, channels] = x.shape()?;
    let [_, states] = decay.shape()?;
    one_type(&[x, step, write, read])?;
    one_type(&[decay, skip])?;
    step.expect(&x.dims)?;
    decay.expect(&[channels, states])?;
    skip.expect(&[channels])?;
    for value in [write, read] {
        value.expect(&[batch, positions, states])?;
    }
    Ok([batch, positions, channels, states])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ops::differences::{assert_gradient, numbers};

    /// One channel with one number of state, by hand.
    #[test]
    fn states_decay_and_take() {
        let value = |data: [f64; 2]| Value::free(&[1, 2, 1], data.to_vec());
        let one = |dims: &[usize], x| Value::free(dims, vec![x]);
        // The softplus of this is 1.
        let unit = libm::log(libm::expm1(1.0));
        let (x, step) = (value([2.0, 3.0]), value([unit, unit]));
        let (decay, skip) = (one(&[1, 1], 0.0), one(&[1], 0.5));
        let (write, read) = (value([1.0, 2.0]), value([1.0, 10.0]));
        let operands = Operands {
            x: &x,
            step: &step,
            decay: &decay,
            write: &write,
            read: &read,
            skip: &skip,
        };
        let y = forward(operands).unwrap();
        let second = 2.0 * libm::exp(-1.0) + 6.0;
        assert!((y.data[0] - 3.0).abs() < 1e-12);
        assert!((y.data[1] - (10.0 * second + 1.5)).abs() < 1e-12);
    }

    #[test]
    fn backward_is_the_derivative() {
        let (batch, positions, channels, states) = (2, 4, 3, 2);
        let wide = [batch, positions, channels];
        let row = [batch, positions, states];
        let all = [
            numbers(&wide, 1),
            numbers(&wide, 2),
            numbers(&[channels, states], 3),
            numbers(&row, 4),
            numbers(&row, 5),
            numbers(&[channels], 6),
        ];
        let dy = numbers(&wide, 7);
        let operands = |all: &[Value; 6]| {
            let [x, step, decay, write, read, skip] = all.each_ref();
            let operands = Operands {
                x,
                step,
                decay,
                write,
                read,
                skip,
            };
            forward(operands).unwrap()
        };
        let mut ddecay = Value::free(&[channels, states], vec![0.0; channels * states]);
        let mut dskip = Value::free(&[channels], vec![0.0; channels]);
        let [x, step, decay, write, read, skip] = all.each_ref();
        let given = Operands {
            x,
            step,
            decay,
            write,
            read,
            skip,
        };
        let [dx, dstep, dwrite, dread] = backward(&dy, given, [&mut ddecay, &mut dskip]).unwrap();
        for (index, found) in [dx, dstep, ddecay, dwrite, dread, dskip].iter().enumerate() {
            assert_gradient(&all[index], found, &dy, |moved| {
                let mut all = all.clone();
                all[index] = moved.clone();
                operands(&all)
            });
        }
    }
}
