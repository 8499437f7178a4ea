//! Batch normalisation over N, H and W (Ioffe and Szegedy 2015), with an optional residual added to its output.

use super::add::pass_gradient;
use super::sum_rows::{blocks_of, columns_groups, sum_rows};
use super::{INDEX, check_planes, map_shape, same_map};
use crate::cpu::batch_norm2d::*;
use crate::plan::{Builder, Cost, Format, Io, Kernel, Mode, Op, Saved, Shape, TensorId, flat_groups, round4};
use crate::{Error, Result, kernel};

/// Statistics of blocks.
pub static PARTIAL: Kernel = kernel!(
    "batch_norm2d_partial",
    [INDEX],
    BatchNorm2dDims,
    [read x: f32, write partials: f32],
    [],
    batch_norm2d_partial
);
/// Statistics of the batch.
pub static STATISTICS: Kernel = kernel!(
    "batch_norm2d_statistics",
    [INDEX],
    BatchNorm2dDims,
    [read partials: f32, write stats: f32],
    [],
    batch_norm2d_statistics
);
/// Normalises.
pub static FORWARD: Kernel = kernel!(
    "batch_norm2d",
    [INDEX],
    BatchNorm2dDims,
    [read x: f32, read stats: f32, read affine: f32, read residual: f32, write y: f32],
    [],
    batch_norm2d
);
/// Running statistics.
pub static RUNNING: Kernel = kernel!(
    "batch_norm2d_running",
    [INDEX],
    BatchNorm2dDims,
    [read stats: f32, read gate: u32, update running: f32],
    [],
    batch_norm2d_running
);
/// Sums of blocks for the backward pass.
pub static D_PARTIAL: Kernel = kernel!(
    "batch_norm2d_d_partial",
    [INDEX],
    BatchNorm2dDims,
    [read x: f32, read d_y: f32, read stats: f32, write partials: f32],
    [],
    batch_norm2d_d_partial
);
/// Gradient of x.
pub static D_INPUT: Kernel = kernel!(
    "batch_norm2d_d_input",
    [INDEX],
    BatchNorm2dDims,
    [read x: f32, read d_y: f32, read stats: f32, read affine: f32, read sums: f32, update d_x: f32],
    [],
    batch_norm2d_d_input
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD, &PARTIAL, &STATISTICS, &RUNNING, &D_PARTIAL, &D_INPUT];

/// y = gamma (x - mean) / sqrt(variance + eps) + beta (+ residual), with mean and biased variance of each channel over
/// N, H and W.
///
/// Inputs, in order:
/// - x, a map of C channels;
/// - with `affine`: gamma and beta, planes (1, 1, 2, C);
/// - running mean and running variance, planes (1, 1, 2, C);
/// - optionally a residual map of x's shape.
///
/// One output of x's shape. In [`Mode::Train`] the batch's own statistics are used and, by a deferred step that obeys
/// [`Builder::gate`], mixed into the running ones (the variance unbiased, as PyTorch does); in [`Mode::Eval`] or when
/// `frozen`, the running ones are used and stay as they are.
///
/// Gradients: x, gamma and beta, and the residual, which receives the output's gradient itself.
/// Kept for the backward pass: x, the statistics, gamma and beta.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm2d {
    /// Added to the variance; more than 0.
    pub eps: f32,
    /// Weight of the batch's statistics in the running ones, 0 to 1.
    pub momentum: f32,
    /// Whether there are gamma and beta; without, they are 1 and 0.
    pub affine: bool,
    /// Whether to use the running statistics also when training.
    pub frozen: bool,
    /// Whether the batch's statistics are mixed into the running ones.
    pub track: bool,
}

impl Default for BatchNorm2d {
    /// PyTorch's: eps 1e-5, momentum 0.1, affine, not frozen, tracked.
    fn default() -> Self {
        BatchNorm2d { eps: 1e-5, momentum: 0.1, affine: true, frozen: false, track: true }
    }
}

/// Saved tensors, in order.
const X: usize = 0;
const STATS: usize = 1;
const AFFINE: usize = 2;

impl BatchNorm2d {
    fn uses_batch(&self, b: &Builder) -> bool {
        b.mode() == Mode::Train && !self.frozen
    }

    /// The place of the residual among the inputs.
    fn residual(&self) -> usize {
        2 + self.affine as usize
    }

    fn dims(&self, b: &Builder, shape: Shape) -> BatchNorm2dDims {
        let pixels = shape.h * shape.w;
        let (block, blocks) = blocks_of(pixels);
        BatchNorm2dDims {
            pixels,
            vectors: round4(shape.c) / 4,
            block,
            blocks,
            rows: shape.n * blocks,
            count: shape.pixels() as f32,
            eps: self.eps,
            momentum: self.momentum,
            frozen: !self.uses_batch(b) as u32,
            ..Default::default()
        }
    }

    /// Statistics of the batch, and later their share in the running ones.
    fn statistics(&self, b: &mut Builder, label: &str, x: TensorId, running: TensorId) -> Result<TensorId> {
        let shape = b.shape(x);
        let dims = self.dims(b, shape);
        let planes = Shape::new(dims.rows, 1, 2, shape.c);
        let partials = b.scratch(&format!("{label}.partials"), planes, Format::Map);
        for (s, first, images) in b.slices() {
            let dims = BatchNorm2dDims { images, first, ..dims };
            let views = [b.at(x, s), b.at(partials, 0)];
            b.dispatch(&PARTIAL, label, &dims, &views, dims.block_groups(), Cost::default())?;
        }
        let stats = b.scratch(&format!("{label}.stats"), planes.with_n(1), Format::Map);
        let views = [b.at(partials, 0), b.at(stats, 0)];
        b.dispatch(&STATISTICS, label, &dims, &views, columns_groups(dims.vectors), Cost::default())?;
        if !self.track {
            return Ok(stats);
        }
        let label = label.to_string();
        b.defer(move |b| {
            let gate = b.gate();
            let views = [b.at(stats, 0), b.at(gate, 0), b.at(running, 0)];
            b.dispatch(&RUNNING, &label, &dims, &views, flat_groups(dims.vectors as u64, 64), Cost::default())
        });
        Ok(stats)
    }
}

impl BatchNorm2dDims {
    /// An invocation a block and channel vector.
    fn block_groups(&self) -> crate::plan::Groups {
        flat_groups(self.images as u64 * self.blocks as u64 * self.vectors as u64, 64)
    }

    /// An invocation four pixels and a channel vector.
    fn pixel_groups(&self) -> crate::plan::Groups {
        flat_groups((self.images as u64 * self.pixels as u64).div_ceil(4) * self.vectors as u64, 64)
    }
}

impl Op for BatchNorm2d {
    fn name(&self) -> &'static str {
        "batch_norm2d"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let least = self.residual();
        if inputs.len() != least && inputs.len() != least + 1 {
            let expected = format!("batch_norm2d: {least} inputs, or {} with a residual", least + 1);
            return Err(Error::shape(label, expected, inputs.len().to_string()));
        }
        if self.eps <= 0.0 || self.eps.is_nan() || !(0.0..=1.0).contains(&self.momentum) {
            let got = format!("eps {}, momentum {}", self.eps, self.momentum);
            return Err(Error::shape(label, "batch_norm2d: eps above 0 and momentum from 0 to 1", got));
        }
        let x = inputs[0];
        let shape = map_shape(b, label, "batch_norm2d", x)?;
        let running = inputs[least - 1];
        check_planes(b, label, "batch_norm2d: running mean and variance", running, 2, shape.c)?;
        let affine = if self.affine {
            check_planes(b, label, "batch_norm2d: gamma and beta", inputs[1], 2, shape.c)?;
            inputs[1]
        } else {
            let pitch = round4(shape.c) as usize;
            let mut ones = vec![0u32; 2 * pitch];
            ones[..shape.c as usize].fill(1f32.to_bits());
            b.constant(&format!("{label}.identity"), Shape::new(1, 1, 2, shape.c), Format::Map, ones)
        };
        let residual = inputs.get(least).copied();
        if let Some(r) = residual {
            same_map(b, label, "batch_norm2d with a residual", x, r)?;
        }
        let stats = if self.uses_batch(b) { self.statistics(b, label, x, running)? } else { running };
        let y = b.map(&format!("{label}.y"), shape);
        let dims = BatchNorm2dDims { residual: residual.is_some() as u32, ..self.dims(b, shape) };
        for (s, first, images) in b.slices() {
            let dims = BatchNorm2dDims { images, first, ..dims };
            let views = [b.at(x, s), b.at(stats, 0), b.at(affine, 0), b.at(residual.unwrap_or(x), s), b.at(y, s)];
            let maps = 2 + dims.residual as u64;
            let cost = Cost { bytes: maps * b.info(x).bytes_of(images), ..Default::default() };
            b.dispatch(&FORWARD, label, &dims, &views, dims.pixel_groups(), cost)?;
        }
        Ok((vec![y], vec![x, stats, affine]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        let Some(d_y) = b.d_output(io, 0) else { return Ok(()) };
        let (x, stats, affine) = (saved[X], saved[STATS], saved[AFFINE]);
        let dims = self.dims(b, b.shape(x));
        let d_affine = if self.affine { b.d_input(io, 1) } else { None };
        let d_x = b.d_input(io, 0);

        // d_gamma and d_beta, which the gradient of x needs too unless the statistics are constants.
        let mut sums = affine; // Bound but not read by a frozen d_x.
        if d_affine.is_some() || (d_x.is_some() && dims.frozen == 0) {
            let planes = Shape::new(dims.rows, 1, 2, b.shape(x).c);
            let partials = b.scratch(&format!("{}.d_partials", io.label), planes, Format::Map);
            for (s, first, images) in b.slices() {
                let dims = BatchNorm2dDims { images, first, ..dims };
                let views = [b.at(x, s), b.at(d_y, s), b.at(stats, 0), b.at(partials, 0)];
                b.dispatch(&D_PARTIAL, &io.label, &dims, &views, dims.block_groups(), Cost::default())?;
            }
            sums = sum_rows(b, &io.label, partials, d_affine)?;
        }
        if let Some(d_x) = d_x {
            for (s, first, images) in b.slices() {
                let dims = BatchNorm2dDims { images, first, accumulate: d_x.flag(), ..dims };
                let views =
                    [b.at(x, s), b.at(d_y, s), b.at(stats, 0), b.at(affine, 0), b.at(sums, 0), b.at(d_x.tensor, s)];
                b.dispatch(&D_INPUT, &io.label, &dims, &views, dims.pixel_groups(), Cost::default())?;
            }
        }
        // Last, because d_y itself may become the residual's gradient.
        if io.inputs.len() > self.residual() { pass_gradient(b, io, self.residual(), d_y) } else { Ok(()) }
    }
}
