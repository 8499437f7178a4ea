//! Binary cross-entropy of logits: the loss of the discriminator and the generator.

use super::INDEX;
use super::loss_sum::{check_scale, loss_sum, scale_or_one};
use crate::cpu::bce_with_logits::*;
use crate::plan::{Builder, Cost, Format, Io, Kernel, Op, Saved, Shape, TensorId, flat_groups, round4};
use crate::{Error, Result, kernel};

/// Sums of blocks.
pub static PARTIAL: Kernel = kernel!(
    "bce_with_logits_partial",
    [INDEX],
    BceWithLogitsDims,
    [read logits: f32, read targets: f32, write partials: f32],
    [],
    bce_with_logits_partial
);
/// Gradient of the logits.
pub static D_INPUT: Kernel = kernel!(
    "bce_with_logits_d_input",
    [INDEX],
    BceWithLogitsDims,
    [read logits: f32, read targets: f32, read scale: f32, update d_x: f32],
    [],
    bce_with_logits_d_input
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&PARTIAL, &D_INPUT];

/// Values of a block.
const BLOCK: u32 = 64;

/// loss = mean of -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)) over all values of the batch. Inputs: logits x and
/// targets t, both maps or both dense, of one shape, following the batch. One output, dense, of one value; it is not
/// multiplied by `scale`. Its gradient starts the backward pass: d_x = scale * (sigmoid(x) - t) / values; targets get
/// none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BceWithLogits {
    /// The loss's weight in the objective: an element of a dense tensor that the host writes; 1 without.
    pub scale: Option<(TensorId, u32)>,
}

fn dims(shape: Shape, format: Format, images: u32, first: u32) -> BceWithLogitsDims {
    BceWithLogitsDims {
        images,
        first,
        pixels: shape.h * shape.w,
        channels: shape.c,
        pitch: if format == Format::Map { round4(shape.c) } else { shape.c },
        block: BLOCK,
        blocks: (shape.h * shape.w * shape.c).div_ceil(BLOCK),
        ..Default::default()
    }
}

impl Op for BceWithLogits {
    fn name(&self) -> &'static str {
        "bce_with_logits"
    }

    fn is_loss(&self) -> bool {
        true
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let &[logits, targets] = inputs else {
            return Err(Error::shape(label, "bce_with_logits: logits and targets", format!("{}", inputs.len())));
        };
        check_scale(b, label, self.scale)?;
        let (x, t) = (b.info(logits).clone(), b.info(targets).clone());
        let same = (x.shape, x.format, x.sliced) == (t.shape, t.format, t.sliced);
        if !same || !x.sliced || x.shape.is_empty() || !matches!(x.format, Format::Map | Format::Flat) {
            return Err(Error::shape(
                label,
                "bce_with_logits: logits and targets of one shape, both maps or both dense, following the batch",
                format!("{} {} {:?} and {} {} {:?}", x.name, x.shape, x.format, t.name, t.shape, t.format),
            ));
        }
        let all = dims(x.shape, x.format, x.shape.n, 0);
        let shape = Shape::new(1, 1, x.shape.n, all.blocks);
        let partials = b.scratch(&format!("{label}.partials"), shape, Format::Flat);
        for (s, first, n) in b.slices() {
            let views = [b.at(logits, s), b.at(targets, s), b.at(partials, 0)];
            let groups = flat_groups(n as u64 * all.blocks as u64, 64);
            b.dispatch(&PARTIAL, label, &dims(x.shape, x.format, n, first), &views, groups, Cost::default())?;
        }
        Ok((vec![loss_sum(b, label, partials, None, 1.0 / x.shape.len() as f32)?], vec![]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, _saved: &Saved) -> Result<()> {
        let (logits, targets) = (io.inputs[0], io.inputs[1]);
        let Some(d_x) = b.d_input(io, 0) else { return Ok(()) };
        let (scale, index) = scale_or_one(b, &io.label, self.scale);
        let (shape, format) = (b.shape(logits), b.info(logits).format);
        for (s, first, n) in b.slices() {
            let dims = BceWithLogitsDims {
                index,
                factor: 1.0 / shape.len() as f32,
                accumulate: d_x.flag(),
                ..dims(shape, format, n, first)
            };
            let views = [b.at(logits, s), b.at(targets, s), b.at(scale, 0), b.at(d_x.tensor, s)];
            let groups = flat_groups(format.elements(shape.with_n(n)), 64);
            b.dispatch(&D_INPUT, &io.label, &dims, &views, groups, Cost::default())?;
        }
        Ok(())
    }
}
