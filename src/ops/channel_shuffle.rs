//! Channel shuffle between the groups of grouped convolutions (Zhang et al. 2018).

use super::INDEX;
use super::elementwise::{self, one_input, vectors};
use crate::cpu::channel_shuffle::*;
use crate::plan::{Builder, Cost, Io, Kernel, Op, Saved, Shape, TensorId, flat_groups, round4};
use crate::{Error, Result, kernel};

/// Forward kernel.
pub static FORWARD: Kernel =
    kernel!("channel_shuffle", [INDEX], ChannelShuffleDims, [read x: f32, write y: f32], [], channel_shuffle);
/// Backward kernel.
pub static D_INPUT: Kernel = kernel!(
    "channel_shuffle_d_input",
    [INDEX],
    ChannelShuffleDims,
    [read d_y: f32, update d_x: f32],
    [],
    channel_shuffle_d_input
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD, &D_INPUT];

/// The channels as a matrix of `groups` rows, transposed: y[k groups + g] = x[g channels/groups + k]. One map in, one map
/// of the same shape out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelShuffle {
    /// Groups; they divide the channels.
    pub groups: u32,
}

impl ChannelShuffle {
    fn dims(&self, shape: Shape, vectors: u32, accumulate: u32) -> ChannelShuffleDims {
        let pixel_vectors = round4(shape.c) / 4;
        ChannelShuffleDims { vectors, pixel_vectors, channels: shape.c, groups: self.groups, accumulate }
    }
}

impl Op for ChannelShuffle {
    fn name(&self) -> &'static str {
        "channel_shuffle"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let x = one_input(label, "channel_shuffle", inputs)?;
        let shape = b.shape(x);
        if self.groups == 0 || !shape.c.is_multiple_of(self.groups) {
            let got = format!("{} groups, {} channels", self.groups, shape.c);
            return Err(Error::shape(label, "channel_shuffle: groups that divide the channels", got));
        }
        let y = elementwise::forward(b, &FORWARD, label, x, |vectors| self.dims(shape, vectors, 0))?;
        Ok((vec![y], vec![]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, _saved: &Saved) -> Result<()> {
        let Some(d_y) = b.d_output(io, 0) else { return Ok(()) };
        let Some(d_x) = b.d_input(io, 0) else { return Ok(()) };
        for (s, _, n) in b.slices() {
            let vectors = vectors(b, d_y, n);
            let dims = self.dims(b.shape(d_y), vectors, d_x.flag());
            let views = [b.at(d_y, s), b.at(d_x.tensor, s)];
            b.dispatch(&D_INPUT, &io.label, &dims, &views, flat_groups(vectors as u64, 64), Cost::default())?;
        }
        Ok(())
    }
}
