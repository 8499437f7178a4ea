//! What a device can do at best, for benchmarks: bits counted and floats multiplied in registers, without loads.

use super::INDEX;
use crate::cpu::peak_rate::{PeakRateDims, peak_multiply_add, peak_popcount};
use crate::plan::{Builder, Cost, Format, Io, Kernel, Op, Saved, Shape, TensorId, flat_groups};
use crate::{Error, Result, kernel};

/// Bits.
pub static POPCOUNT: Kernel =
    kernel!("peak_popcount", [INDEX], PeakRateDims, [read x: u32, write y: u32], [], peak_popcount);
/// Floats.
pub static MULTIPLY_ADD: Kernel =
    kernel!("peak_multiply_add", [INDEX], PeakRateDims, [read x: f32, write y: f32], [], peak_multiply_add);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&POPCOUNT, &MULTIPLY_ADD];

/// A loop of one kind of arithmetic. One input, dense and of a multiple of four values ([`Format::FlatU32`] for bits,
/// [`Format::Flat`] for floats); one output like it. It has no gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeakRate {
    /// xor, popcount and addition rather than multiplication and addition.
    pub bits: bool,
    /// Rounds of the loop, at least 1: 2048 multiply-adds on bits a vector, or 64 on floats.
    pub rounds: u32,
}

impl Op for PeakRate {
    fn name(&self) -> &'static str {
        "peak_rate"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let &[x] = inputs else { return Err(Error::shape(label, "peak_rate: one input", inputs.len().to_string())) };
        let format = if self.bits { Format::FlatU32 } else { Format::Flat };
        let info = b.info(x);
        let len = info.shape.len();
        if info.format != format || info.sliced || !len.is_multiple_of(4) || len > u32::MAX as u64 || self.rounds == 0 {
            let got = format!("{len} values as {:?}, {} rounds", info.format, self.rounds);
            return Err(Error::shape(label, format!("peak_rate: 4 n values as {format:?}, at least 1 round"), got));
        }
        let y = b.output(&format!("{label}.y"), Shape::vector(len as u32), format, false);
        let vectors = (len / 4) as u32;
        let dims = PeakRateDims { vectors, rounds: self.rounds };
        let rounds = vectors as u64 * self.rounds as u64;
        let (kernel, cost) = if self.bits {
            (&POPCOUNT, Cost { binary_macs: 2048 * rounds, ..Default::default() })
        } else {
            (&MULTIPLY_ADD, Cost { macs: 64 * rounds, ..Default::default() })
        };
        b.dispatch(kernel, label, &dims, &[b.at(x, 0), b.at(y, 0)], flat_groups(vectors as u64, 64), cost)?;
        Ok((vec![y], Vec::new()))
    }

    fn backward(&self, _: &mut Builder, _: &Io, _: &Saved) -> Result<()> {
        Ok(())
    }
}
