//! The untyped arguments of a twin.

use crate::plan::Dims;

/// A 4-byte element that twins may ask for.
pub trait Element: bytemuck::Pod {}
impl Element for f32 {}
impl Element for u32 {}
impl Element for i32 {}

/// One buffer of a call.
pub enum Buffer<'a> {
    /// Only read.
    Read(&'a [u32]),
    /// Written, or read and written.
    Write(&'a mut [u32]),
}

/// The arguments of one dispatch, taken by the twin in binding order.
pub struct TwinCall<'a> {
    dims: &'a [u8],
    buffers: std::vec::IntoIter<Buffer<'a>>,
}

impl<'a> TwinCall<'a> {
    /// A call with the bytes of the uniform struct and the buffers in binding order.
    pub fn new(dims: &'a [u8], buffers: Vec<Buffer<'a>>) -> Self {
        TwinCall { dims, buffers: buffers.into_iter() }
    }

    /// The uniform struct.
    pub fn dims<D: Dims>(&self) -> D {
        bytemuck::pod_read_unaligned(self.dims)
    }

    /// The next buffer, to read. The plan builder has checked the number of bindings.
    pub fn read<T: Element>(&mut self) -> &'a [T] {
        match self.buffers.next() {
            Some(Buffer::Read(b)) => bytemuck::cast_slice(b),
            Some(Buffer::Write(b)) => bytemuck::cast_slice(b),
            None => &[],
        }
    }

    /// The next buffer, to write.
    pub fn write<T: Element>(&mut self) -> &'a mut [T] {
        match self.buffers.next() {
            Some(Buffer::Write(b)) => bytemuck::cast_slice_mut(b),
            _ => &mut [],
        }
    }
}
