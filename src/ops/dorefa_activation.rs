//! Activations of a few bits (DoReFa-Net; spec: binarization, section 4).

use super::INDEX;
use super::dorefa_weight::{MAX_BITS, levels};
use super::elementwise::{self, one_input};
use crate::cpu::dorefa_activation::*;
use crate::plan::{Builder, Io, Kernel, Op, Saved, TensorId};
use crate::{Error, Result, kernel};

/// Forward kernel.
pub static FORWARD: Kernel =
    kernel!("dorefa_activation", [INDEX], DorefaActivationDims, [read x: f32, write y: f32], [], dorefa_activation);
/// Backward kernel.
pub static D_INPUT: Kernel = kernel!(
    "dorefa_activation_d_input",
    [INDEX],
    DorefaActivationDims,
    [read x: f32, read d_y: f32, update d_x: f32],
    [],
    dorefa_activation_d_input
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD, &D_INPUT];

/// y = round((2^bits - 1) min(max(x, 0), 1)) / (2^bits - 1), halves to even: one of 2^bits values from 0 to 1. One map
/// in, one map of the same shape out. The gradient passes where 0 <= x <= 1, as if nothing were rounded. Kept for the
/// backward pass: x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DorefaActivation {
    /// Bits of a value, 1 to 16; 4 in the published networks.
    pub bits: u32,
}

impl Op for DorefaActivation {
    fn name(&self) -> &'static str {
        "dorefa_activation"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let x = one_input(label, "dorefa_activation", inputs)?;
        if !(1..=MAX_BITS).contains(&self.bits) {
            let expected = format!("dorefa_activation: 1 to {MAX_BITS} bits");
            return Err(Error::shape(label, expected, self.bits.to_string()));
        }
        let levels = levels(self.bits);
        let dims = |vectors| DorefaActivationDims { vectors, accumulate: 0, levels };
        Ok((vec![elementwise::forward(b, &FORWARD, label, x, dims)?], vec![x]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        let levels = levels(self.bits);
        let dims = |vectors, accumulate| DorefaActivationDims { vectors, accumulate, levels };
        elementwise::backward(b, &D_INPUT, io, saved[0], dims)
    }
}
