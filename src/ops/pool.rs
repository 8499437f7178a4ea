//! What maximum and average pooling share: the window and the size of the output.

use super::map_shape;
use crate::cpu::pool::PoolDims;
use crate::plan::{Builder, Shape, TensorId, round4};
use crate::{Error, Result};

/// A pooling window, as (rows, columns). Sizes follow PyTorch's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolWindow {
    /// Its extent.
    pub kernel: [u32; 2],
    /// From one window to the next.
    pub stride: [u32; 2],
    /// Padding on each side, at most half the kernel.
    pub padding: [u32; 2],
    /// Whether a last window that reaches over the padded edge counts, provided that it starts inside the input or the
    /// left padding.
    pub ceil_mode: bool,
}

impl PoolWindow {
    /// A square window, without `ceil_mode`.
    pub const fn square(kernel: u32, stride: u32, padding: u32) -> Self {
        PoolWindow { kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 2], ceil_mode: false }
    }

    /// The same with `ceil_mode`.
    pub const fn ceil(self) -> Self {
        PoolWindow { ceil_mode: true, ..self }
    }

    /// Windows along one direction (0 rows, 1 columns) of `size` pixels; `None` where not even one fits or the window is
    /// not a sound one.
    pub fn count(&self, direction: usize, size: u32) -> Option<u32> {
        let [kernel, stride, padding] = [self.kernel, self.stride, self.padding].map(|v| v[direction]);
        if kernel == 0 || stride == 0 || padding > kernel / 2 {
            return None;
        }
        let room = (size + 2 * padding).checked_sub(kernel)?;
        if !self.ceil_mode {
            return Some(room / stride + 1);
        }
        let count = room.div_ceil(stride) + 1;
        // The last window must start inside the input or the left padding.
        Some(if (count - 1) * stride >= size + padding { count - 1 } else { count })
    }

    /// The output's shape and the sizes of the kernels, for all images of a float map.
    pub(super) fn plan(&self, b: &Builder, label: &str, op: &str, x: TensorId) -> Result<(Shape, PoolDims)> {
        self.plan_shape(label, op, map_shape(b, label, op, x)?)
    }

    /// The same for any map of this shape; `vectors` are those of a float map.
    pub(super) fn plan_shape(&self, label: &str, op: &str, shape: Shape) -> Result<(Shape, PoolDims)> {
        let (Some(h), Some(w)) = (self.count(0, shape.h), self.count(1, shape.w)) else {
            let want = format!("{op}: a window that fits, of stride above 0 and padding up to half the kernel");
            return Err(Error::shape(label, want, format!("{self:?} on {shape}")));
        };
        let dims = PoolDims {
            images: shape.n,
            h: shape.h,
            w: shape.w,
            out_h: h,
            out_w: w,
            vectors: round4(shape.c) / 4,
            kernel_h: self.kernel[0],
            kernel_w: self.kernel[1],
            stride_h: self.stride[0],
            stride_w: self.stride[1],
            pad_h: self.padding[0],
            pad_w: self.padding[1],
            ..Default::default()
        };
        Ok((Shape::new(shape.n, h, w, shape.c), dims))
    }
}
