//! Maximum pooling of sign words; for inference.

use super::INDEX;
use super::check::expect_batch;
use super::elementwise::one_input;
use super::pool::PoolWindow;
use crate::cpu::pool::{PoolDims, words_max_pool2d};
use crate::plan::{Builder, Cost, Format, Io, Kernel, Op, Saved, TensorId, flat_groups};
use crate::{Result, kernel};

/// Forward kernel.
pub static FORWARD: Kernel =
    kernel!("words_max_pool2d", [INDEX], PoolDims, [read x: u32, write y: u32], [], words_max_pool2d);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD];

/// The sign of the maximum over each window, from signs: a bit is 1 (negative) where all bits of the window are. Padding
/// never wins. [`Format::Words`] of the sign domain in and out. No backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WordsMaxPool2d(pub PoolWindow);

impl Op for WordsMaxPool2d {
    fn name(&self) -> &'static str {
        "words_max_pool2d"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let x = one_input(label, "words_max_pool2d", inputs)?;
        let shape = expect_batch(b, label, "words_max_pool2d: x", x, Format::Words)?;
        let (out, dims) = self.0.plan_shape(label, "words_max_pool2d", shape)?;
        let y = b.words(&format!("{label}.y"), out);
        for (s, _, images) in b.slices() {
            let dims = PoolDims { images, vectors: shape.c.div_ceil(32), ..dims };
            let groups = flat_groups(Format::Words.elements(out.with_n(images)), 64);
            b.dispatch(&FORWARD, label, &dims, &[b.at(x, s), b.at(y, s)], groups, Cost::default())?;
        }
        Ok((vec![y], vec![]))
    }

    fn backward(&self, _b: &mut Builder, _io: &Io, _saved: &Saved) -> Result<()> {
        Ok(()) // Inference alone: bits have no gradient.
    }
}
