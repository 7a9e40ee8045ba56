//! Matrix products: from measured points where there are some, else by the waves of tiles over a GPU's multiprocessors.

use pleach_plan::hardware::{Form, Gemm, Hardware, Tiles};
use pleach_plan::{Dtype, Instr, Op};

use super::work::Work;

/// Prices the products of one device; the logarithms of its points are taken once.
pub struct Products<'a> {
    hardware: &'a Hardware,
    tables: Vec<Table<'a>>,
}

struct Table<'a> {
    gemm: &'a Gemm,
    points: Vec<Point>,
}

/// A measured product in logarithms: dimensions and FLOP/s.
struct Point {
    form: Form,
    at: [f64; 3],
    rate: f64,
}

impl<'a> Products<'a> {
    /// Reads a device's table.
    pub fn new(hardware: &'a Hardware) -> Self {
        let tables = hardware
            .gemm
            .iter()
            .map(|gemm| Table {
                gemm,
                points: points(gemm),
            })
            .collect();
        Products { hardware, tables }
    }

    /// Seconds of a linear layer's product; `work` says its dimensions and bytes.
    pub fn seconds(&self, instr: &Instr, work: &Work, dtype: Dtype) -> f64 {
        let Some([m, n, k, batch]) = work.gemm else {
            return self.hardware.launch.value + work.flops as f64 / self.rate(dtype);
        };
        let form = match instr.op {
            Op::LinearBackwardInput {} | Op::ExpertLinearBackwardInput {} => Form::Input,
            Op::LinearBackwardWeight {} | Op::ExpertLinearBackwardWeight {} => Form::Weight,
            _ => Form::Forward,
        };
        let bytes = (work.bytes_read + work.bytes_written) as f64;
        self.product(form, [m, n, k], batch, bytes, dtype)
    }

    /// Seconds of `batch` products `[m, n, k]` issued as one.
    pub fn product(
        &self,
        form: Form,
        [m, n, k]: [u64; 3],
        batch: u64,
        bytes: f64,
        dtype: Dtype,
    ) -> f64 {
        let launch = self.hardware.launch.value;
        let flops = 2.0 * m as f64 * n as f64 * k as f64 * batch as f64;
        let Some(table) = self.table(dtype) else {
            return launch + flops / self.rate(dtype);
        };
        if !table.points.is_empty() {
            return flops / interpolate(&table.points, form, [m, n, k]);
        }
        match &table.gemm.tiles {
            Some(tiles) => {
                let streamed = bytes / self.hardware.memory.bandwidth.value;
                let rate = table.gemm.rate.value * aligned([n, k], dtype);
                launch + waves(tiles, rate, [m, n, k], batch).max(streamed)
            }
            None => launch + flops / table.gemm.rate.value,
        }
    }

    /// FLOP/s of large products; a type without a table runs at the slowest one's rate.
    pub fn rate(&self, dtype: Dtype) -> f64 {
        let slowest = || {
            self.tables
                .iter()
                .map(|table| table.gemm.rate.value)
                .reduce(f64::min)
        };
        self.table(dtype)
            .map(|table| table.gemm.rate.value)
            .or_else(slowest)
            .unwrap_or(1e9)
    }

    fn table(&self, dtype: Dtype) -> Option<&Table<'a>> {
        self.tables.iter().find(|table| table.gemm.dtype == dtype)
    }
}

fn points(gemm: &Gemm) -> Vec<Point> {
    let log = |value: u64| libm::log(value.max(1) as f64);
    let point = |point: &pleach_plan::hardware::GemmPoint| {
        let flops = 2.0 * point.m as f64 * point.n as f64 * point.k as f64;
        Point {
            form: point.form,
            at: [log(point.m), log(point.n), log(point.k)],
            rate: libm::log(flops / point.seconds),
        }
    };
    gemm.points.iter().map(point).collect()
}

/// FLOP/s between measured products: the mean of their logarithms, weighted by the inverse fourth power of the distance in
/// logarithms of the three dimensions. At a measured product it is that product's rate.
fn interpolate(points: &[Point], form: Form, dims: [u64; 3]) -> f64 {
    let at = dims.map(|dim| libm::log(dim.max(1) as f64));
    let same = points.iter().any(|point| point.form == form);
    let (mut sum, mut weights) = (0.0, 0.0);
    for point in points.iter().filter(|point| !same || point.form == form) {
        let square: f64 = (0..3)
            .map(|axis| (point.at[axis] - at[axis]) * (point.at[axis] - at[axis]))
            .sum();
        let weight = 1.0 / (square * square).max(1e-18);
        sum += weight * point.rate;
        weights += weight;
    }
    libm::exp(sum / weights)
}

/// The part of its rate that a product reaches whose rows do not begin at multiples of what matrix units load at once: 128 bytes are best, 16 are needed
/// (NVIDIA's guide to matrix products). Rows of 10,922 elements reach 272 TFLOP/s on an H100, rows of 10,944 reach 398 (stas00/ml-engineering); between
/// the two the middle is taken.
fn aligned(rows: [u64; 2], dtype: Dtype) -> f64 {
    const WORST: f64 = 272.0 / 398.0;
    let multiple = |bytes: u64| {
        rows.iter()
            .all(|row| (row * dtype.bytes()).is_multiple_of(bytes))
    };
    if multiple(128) || rows.iter().any(|&row| row < 128) && multiple(32) {
        1.0
    } else if multiple(16) {
        libm::sqrt(WORST)
    } else {
        WORST
    }
}

/// The time of the best tile shape: whole waves of tiles, each as long as its sums and the filling of its pipeline.
fn waves(tiles: &Tiles, rate: f64, [m, n, k]: [u64; 3], batch: u64) -> f64 {
    let one = rate / f64::from(tiles.processors);
    let shape = |&[rows, columns]: &[u32; 2]| {
        let count = m.div_ceil(u64::from(rows)) * n.div_ceil(u64::from(columns)) * batch;
        let waves = count.div_ceil(u64::from(tiles.processors)) as f64;
        waves * 2.0 * f64::from(rows) * f64::from(columns) * (k as f64 + f64::from(tiles.prologue))
            / one
    };
    tiles.shapes.iter().map(shape).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware;

    fn tera(name: &str, dims: [u64; 3]) -> f64 {
        let hardware = hardware::plain(name).unwrap();
        let [m, n, k] = dims;
        let bytes = 2.0 * (m * k + n * k + m * n) as f64;
        let seconds = Products::new(&hardware).product(Form::Forward, dims, 1, bytes, Dtype::Bf16);
        2.0 * (m * n * k) as f64 / seconds / 1e12
    }

    #[test]
    fn measured_products_come_out_within_a_tenth() {
        for (name, dims, measured) in [
            ("h100_80g", [4096, 4096, 4096], 708.4),
            ("h100_80g", [2048, 12288, 8192], 722.1),
            ("h100_80g", [4096, 13824, 5120], 736.0),
            ("a100_80g", [4096, 4096, 4096], 222.4),
            ("a100_80g", [2048, 8192, 6144], 241.8),
            ("a100_80g", [2048, 1536, 4096], 216.6),
            ("a100_80g", [4096, 15360, 5120], 241.3),
        ] {
            let found = tera(name, dims);
            assert!(
                (found / measured - 1.0).abs() < 0.10,
                "{name} {dims:?}: {found} against {measured}"
            );
        }
    }

    #[test]
    fn a_measured_point_is_met_exactly_and_neighbours_lie_between() {
        let mut hardware = hardware::find("this_machine", None).unwrap();
        let point = |n, seconds| pleach_plan::hardware::GemmPoint {
            form: Form::Forward,
            m: 512,
            n,
            k: 256,
            seconds,
        };
        hardware.gemm[0].points = vec![point(256, 1e-3), point(1024, 3e-3)];
        let products = Products::new(&hardware);
        let seconds = |n| products.product(Form::Forward, [512, n, 256], 1, 0.0, Dtype::F32);
        assert!((seconds(256) - 1e-3).abs() < 1e-9);
        assert!((seconds(1024) - 3e-3).abs() < 1e-9);
        assert!(seconds(512) > 1e-3 && seconds(512) < 3e-3);
    }
}
