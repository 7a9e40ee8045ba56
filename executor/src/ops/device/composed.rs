//! What the shim's loops do on a CPU, made of libtorch's own operations for a device: norms, embedding, heads, dropout, sums.
//!
//! Everything is computed in the wide type and rounded once. These are also the slow twins that fused kernels are compared with.

use pleach_plan::Charge;
use tch::{Kind, Tensor};

use crate::native::Result;
use crate::native::kernels::Heads;
use crate::ops::cross_entropy;
use crate::ops::{rows, wide, width};

/// Sums over all rows.
fn columns(x: &Tensor, like: &Tensor) -> Result<Tensor> {
    rows(x)?.f_sum_dim_intlist([0i64].as_slice(), false, like.kind())
}

fn mean(x: &Tensor) -> Result<Tensor> {
    x.f_mean_dim([-1i64].as_slice(), true, x.kind())
}

/// LayerNorm in the wide type: `y`, mean, one over the deviation.
pub fn layer_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Vec<Tensor>> {
    let own = x.f_to_kind(wide(x.kind()))?;
    let (y, mean, rstd) = own.f_native_layer_norm([width(x)], Some(weight), bias, eps)?;
    let statistics = [mean.f_squeeze_dim(-1)?, rstd.f_squeeze_dim(-1)?];
    Ok([y.f_to_kind(x.kind())?]
        .into_iter()
        .chain(statistics)
        .collect())
}

/// RMSNorm in the wide type: `y`, one over the root of the mean square.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Vec<Tensor>> {
    let own = x.f_to_kind(wide(x.kind()))?;
    let rstd = mean(&own.f_square()?)?.f_add_scalar_(eps)?.f_rsqrt_()?;
    let y = own.f_mul(&rstd)?.f_mul_(weight)?.f_to_kind(x.kind())?;
    Ok(vec![y, rstd.f_squeeze_dim(-1)?])
}

/// `dx` of a norm; the gradients of weight and bias are added to their accumulators. Without a mean it is an RMSNorm.
pub fn norm_backward(
    [dy, x, weight]: [&Tensor; 3],
    (middle, rstd): (Option<&Tensor>, &Tensor),
    (dweight, dbias): (&Tensor, Option<&Tensor>),
) -> Result<Tensor> {
    let kind = wide(x.kind());
    let (own, gradient) = (x.f_to_kind(kind)?, dy.f_to_kind(kind)?);
    let rstd = rstd.f_unsqueeze(-1)?;
    let centred = match middle {
        Some(middle) => own.f_sub(&middle.f_unsqueeze(-1)?)?,
        None => own,
    };
    let normal = centred.f_mul(&rstd)?;
    let gain = columns(&gradient.f_mul(&normal)?, dweight)?;
    let _ = dweight.shallow_clone().f_add_(&gain)?;
    if let Some(dbias) = dbias {
        let _ = dbias.shallow_clone().f_add_(&columns(&gradient, dbias)?)?;
    }
    let pull = gradient.f_mul(weight)?;
    let along = mean(&pull.f_mul(&normal)?)?;
    let mut dx = pull.f_sub(&normal.f_mul(&along)?)?;
    if middle.is_some() {
        dx = dx.f_sub_(&mean(&pull)?)?;
    }
    dx.f_mul_(&rstd)?.f_to_kind(x.kind())
}

/// Which ids are rows of this rank, and the rows, 0 for others.
fn own_rows(ids: &Tensor, first: i64, count: i64) -> Result<[Tensor; 2]> {
    let shifted = ids.f_sub_scalar(first)?;
    let inside = shifted.f_ge(0)?.f_logical_and(&shifted.f_lt(count)?)?;
    Ok([shifted.f_mul(&inside)?.f_view([-1])?, inside])
}

/// Rows of a table by id, zeros for rows of other ranks.
pub fn embedding(ids: &Tensor, table: &Tensor, first: i64) -> Result<Tensor> {
    let [rows, inside] = own_rows(ids, first, table.size()[0])?;
    let mut dims = ids.size();
    dims.push(width(table));
    let mut found = table.f_index_select(0, &rows)?.f_view(dims.as_slice())?;
    found.f_mul_(&inside.f_unsqueeze(-1)?)
}

/// Adds rows of `dy` to those rows of the table, in the order of the ids whatever the device does at once.
pub fn embedding_backward(dy: &Tensor, ids: &Tensor, dtable: &Tensor, first: i64) -> Result<()> {
    let [places, inside] = own_rows(ids, first, dtable.size()[0])?;
    let own = dy
        .f_to_kind(dtable.kind())?
        .f_mul(&inside.f_unsqueeze(-1)?)?;
    let mut sums = dtable.shallow_clone();
    let _ = sums.f_index_put_(&[Some(places)], &rows(&own)?, true)?;
    Ok(())
}

/// Turns the first columns of heads `[B, S, …, D]` by the table, forward (sign 1) or back.
fn turn(x: &Tensor, table: &Tensor, sign: f64) -> Result<Tensor> {
    let (_, _, half) = table.size3()?;
    let (positions, last) = (x.size()[1], width(x));
    let kind = wide(x.kind());
    let mut dims = vec![1, positions];
    dims.resize(x.dim() - 1, 1);
    dims.push(half);
    let of = |which: i64| {
        let rows = table.f_select(0, which)?.f_narrow(0, 0, positions)?;
        rows.f_contiguous()?.f_view(dims.as_slice())
    };
    let (cosine, sine) = (of(0)?, of(1)?.f_mul_scalar(sign)?);
    let part = |from: i64| x.f_narrow(-1, from, half)?.f_to_kind(kind);
    let (low, high) = (part(0)?, part(half)?);
    let turned = [
        low.f_mul(&cosine)?.f_sub_(&high.f_mul(&sine)?)?,
        high.f_mul(&cosine)?.f_add_(&low.f_mul(&sine)?)?,
    ];
    let rest = x.f_narrow(-1, 2 * half, last - 2 * half)?;
    let [low, high] = turned.map(|one| one.f_to_kind(x.kind()));
    Tensor::f_cat(&[low?, high?, rest], -1)
}

/// As [`crate::native::kernels::split_heads`], forward: fills queries, keys and values.
pub fn split_heads(
    joint: &Tensor,
    parts: [&Tensor; 3],
    table: &Tensor,
    shape: Heads,
) -> Result<()> {
    let Heads {
        positions,
        heads,
        group,
        width,
    } = shape;
    let all = joint.f_view([-1, positions, heads, group + 2, width])?;
    for (part, (from, count)) in parts.iter().zip([(0, group), (group, 1), (group + 1, 1)]) {
        let own = all.f_narrow(3, from, count)?;
        let own = if from <= group {
            turn(&own, table, 1.0)?
        } else {
            own
        };
        let mut part = part.f_view(own.size().as_slice())?;
        part.f_copy_(&own)?;
    }
    Ok(())
}

/// The transpose: fills the joint projection.
pub fn join_heads(joint: &Tensor, parts: [&Tensor; 3], table: &Tensor, shape: Heads) -> Result<()> {
    let Heads {
        positions,
        heads,
        group,
        width,
    } = shape;
    let all = joint.f_view([-1, positions, heads, group + 2, width])?;
    for (part, (from, count)) in parts.iter().zip([(0, group), (group, 1), (group + 1, 1)]) {
        let own = part.f_view([-1, positions, heads, count, width])?;
        let own = if from <= group {
            turn(&own, table, -1.0)?
        } else {
            own
        };
        all.f_narrow(3, from, count)?.f_copy_(&own)?;
    }
    Ok(())
}

/// A word's upper bits, moved down as those of a number without a sign.
fn down(word: &Tensor, bits: i64) -> Result<Tensor> {
    let kept = (1i64 << (64 - bits)) - 1;
    word.f_bitwise_right_shift_tensor_scalar(bits)?
        .f_bitwise_and(kept)
}

/// As [`crate::native::kernels::dropout`]: numbers without a sign, as those with one wrap around alike.
pub fn dropout([x, y, keys]: [&Tensor; 3], threshold: u32, grown: f64) -> Result<()> {
    const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;
    const MIXERS: [u64; 2] = [0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB];
    let columns = width(x);
    let pairs = Tensor::f_arange((columns + 1) / 2, (Kind::Int64, x.device()))?;
    let strides = pairs.f_add_scalar(1)?.f_mul_scalar(STRIDE.cast_signed())?;
    let mut word = keys.f_view([-1, 1])?.f_add(&strides)?;
    for (bits, mixer) in [30, 27].into_iter().zip(MIXERS) {
        word = word.f_bitwise_xor_tensor(&down(&word, bits)?)?;
        word = word.f_mul_scalar(mixer.cast_signed())?;
    }
    word = word.f_bitwise_xor_tensor(&down(&word, 31)?)?;
    let draws = [word.f_bitwise_and(0xFFFF_FFFFi64)?, down(&word, 32)?];
    let draws = Tensor::f_stack(&draws, -1)?.f_view([-1, 2 * pairs.size()[0]])?;
    let kept = draws.f_narrow(1, 0, columns)?.f_ge(i64::from(threshold))?;
    let kept = kept.f_view(x.size().as_slice())?;
    let large = x.f_to_kind(wide(x.kind()))?.f_mul_scalar_(grown)?;
    y.shallow_clone().f_copy_(&large.f_mul(&kept)?)
}

/// Elements of logits that are exponentiated at once.
const CHUNK: i64 = 1 << 26;

/// As [`crate::ops::cross_entropy::terms`], in larger pieces.
pub fn terms([logits, targets, max]: [&Tensor; 3], first: i64, smoothed: bool) -> Result<Tensor> {
    let parts = 2 + i64::from(smoothed);
    let (flat, count) = (rows(logits)?, width(logits));
    let (most, targets) = (max.f_reshape([-1, 1])?, targets.f_reshape([-1, 1])?);
    let tokens = flat.size()[0];
    let result = Tensor::f_empty([parts, tokens], (max.kind(), max.device()))?;
    let step = (CHUNK / count).max(1);
    for start in (0..tokens).step_by(step as usize) {
        let length = step.min(tokens - start);
        let cut = |x: &Tensor| x.f_narrow(0, start, length);
        let shifted = cut(&flat)?.f_to_kind(max.kind())?.f_sub_(&cut(&most)?)?;
        let [rows, inside] = own_rows(&cut(&targets)?, first, count)?;
        let chosen = shifted
            .f_gather(1, &rows.f_unsqueeze(-1)?, false)?
            .f_mul(&inside)?;
        let put = |part: i64, values: &Tensor| {
            let mut place = result.f_select(0, part)?.f_narrow(0, start, length)?;
            place.f_copy_(values)
        };
        let sum = |x: &Tensor| x.f_sum_dim_intlist([-1i64].as_slice(), false, max.kind());
        put(1, &chosen.f_squeeze_dim(1)?)?;
        if smoothed {
            put(2, &sum(&shifted)?)?;
        }
        put(0, &sum(&shifted.shallow_clone().f_exp_()?)?)?;
    }
    let mut dims = vec![parts];
    dims.extend(max.size());
    result.f_view(dims.as_slice())
}

/// As [`crate::ops::cross_entropy::loss`], without asking the device for a number.
pub fn loss(
    terms: &Tensor,
    others: [Option<&Tensor>; 2],
    report: &Tensor,
    (charge, replicas): (&Charge, u64),
) -> Result<()> {
    let sum = cross_entropy::charged(terms, others, charge)?;
    add_to(report, 0, &sum, charge.scale / replicas as f64)
}

/// Adds `factor` times a number on the device to an entry of the report.
pub fn add_to(report: &Tensor, entry: i64, number: &Tensor, factor: f64) -> Result<()> {
    let scaled = number.f_mul_scalar(factor)?.f_to_kind(report.kind())?;
    report.f_select(0, entry)?.f_add_(&scaled).map(drop)
}

/// Elements whose squares are added up at once.
const SQUARES: i64 = 1 << 24;

/// The sum of all squares, one double on the device.
pub fn sum_squares(x: &Tensor) -> Result<Tensor> {
    let flat = x.f_view([-1])?;
    let count = x.numel() as i64;
    let mut total = Tensor::f_zeros([] as [i64; 0], (Kind::Double, x.device()))?;
    for start in (0..count).step_by(SQUARES as usize) {
        let part = flat.f_narrow(0, start, SQUARES.min(count - start))?;
        let part = part.f_to_kind(Kind::Double)?;
        total = total.f_add_(&part.f_dot(&part)?)?;
    }
    Ok(total)
}

/// `factor = min(1, max_norm / (norm + safety))`, or 1 without a limit, over the scale of the loss, of which `norm` is free; -1 where the
/// report is not finite. The device is not asked for a number.
pub fn clip_factor(
    report: &Tensor,
    factor: &Tensor,
    max_norm: Option<f64>,
    [safety, loss_scale]: [f64; 2],
) -> Result<()> {
    let wide = report.f_to_kind(Kind::Double)?;
    let finite = wide.f_isfinite()?.f_all()?;
    let free = wide.f_select(0, 1)?.f_sqrt()?.f_div_scalar(loss_scale)?;
    let share = match max_norm {
        Some(limit) => {
            let inverse = free.f_add_scalar(safety)?.f_reciprocal()?;
            inverse.f_mul_scalar(limit)?.f_clamp_max(1.0)?
        }
        None => free.f_ones_like()?,
    };
    let share = share.f_div_scalar(loss_scale)?;
    let share = share.f_where_self(&finite, &share.f_full_like(-1.0)?)?;
    factor.shallow_clone().f_copy_(&share).map(drop)
}
