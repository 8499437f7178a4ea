//! Tensors of a plan: shape, memory format, role.

use std::fmt;

/// Index of a tensor in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub u32);

/// `v` rounded up to a multiple of 4.
pub const fn round4(v: u32) -> u32 {
    v.div_ceil(4) * 4
}

/// Four extents. For maps they are N, H, W, C; what they mean otherwise is said by [`Format`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Images (or the first extent).
    pub n: u32,
    /// Rows.
    pub h: u32,
    /// Columns.
    pub w: u32,
    /// Channels (or the last extent).
    pub c: u32,
}

impl Shape {
    /// A shape from its extents.
    pub const fn new(n: u32, h: u32, w: u32, c: u32) -> Self {
        Shape { n, h, w, c }
    }
    /// A vector of `c` values.
    pub const fn vector(c: u32) -> Self {
        Shape { n: 1, h: 1, w: 1, c }
    }
    /// Pixels of all images: `n * h * w`.
    pub const fn pixels(&self) -> u64 {
        self.n as u64 * self.h as u64 * self.w as u64
    }
    /// The same for `n` images.
    pub const fn with_n(self, n: u32) -> Self {
        Shape { n, ..self }
    }
    /// The same with `c` channels.
    pub const fn with_c(self, c: u32) -> Self {
        Shape { c, ..self }
    }
    /// Values without padding.
    pub const fn len(&self) -> u64 {
        self.pixels() * self.c as u64
    }
    /// Whether it has no values.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}x{}", self.n, self.h, self.w, self.c)
    }
}

/// How a tensor lies in memory. Every element is 4 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// f32, N,H,W,C, the channel pitch rounded up to 4; the pad lanes are always 0, so that kernels may load `vec4<f32>`.
    Map,
    /// u32 sign words, N,H,W,ceil(C/32): bit i of word j is channel 32 j + i; 1 means -1 (or "active" after a ReLU), 0
    /// means +1; bits past C are 0.
    Words,
    /// i32 fixed-point numbers, laid out as [`Format::Map`], the pad lanes 0 too.
    Fixed,
    /// Signed bytes, four to a u32, N,H,W,ceil(C/4): byte i of word j is channel 4 j + i; bytes past C are 0.
    Bytes,
    /// f32, dense n*h*w*c without padding.
    Flat,
    /// u32, dense n*h*w*c without padding.
    FlatU32,
    /// i32, dense n*h*w*c without padding.
    FlatI32,
    /// Convolution weights: f32 `[KH][KW][C][O]` as shape (n=KH, h=KW, w=C/groups, c=O), C and O rounded up to 4, the pad
    /// rows and lanes 0.
    Weight,
}

impl Format {
    /// Number of 4-byte elements of `shape` in this format.
    pub fn elements(self, shape: Shape) -> u64 {
        match self {
            Format::Map | Format::Fixed => shape.pixels() * round4(shape.c) as u64,
            Format::Bytes => shape.pixels() * shape.c.div_ceil(4) as u64,
            Format::Words => shape.pixels() * shape.c.div_ceil(32) as u64,
            Format::Flat | Format::FlatU32 | Format::FlatI32 => shape.len(),
            Format::Weight => shape.n as u64 * shape.h as u64 * round4(shape.w) as u64 * round4(shape.c) as u64,
        }
    }
}

/// What a tensor is for; decides where it lives and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Learned; lives in its group's slab.
    Param,
    /// Gradient of a parameter; lives in its group's gradient slab.
    ParamGrad,
    /// Kept between steps: running statistics, optimizer moments, counters.
    State,
    /// Written by the host before a run.
    Input,
    /// Uploaded once, when the executor is made.
    Const,
    /// Read by the host after a run; never shares memory.
    Output,
    /// Lives from its first to its last use inside one run; shares memory with others.
    Transient,
}

/// All that a plan knows about a tensor.
#[derive(Debug, Clone)]
pub struct TensorInfo {
    /// Unique in the plan.
    pub name: String,
    /// Extents; for sliced tensors n is the whole batch.
    pub shape: Shape,
    /// Memory format.
    pub format: Format,
    /// What it is for.
    pub role: Role,
    /// Whether its first extent is the batch and follows the plan's slices.
    pub sliced: bool,
    /// Whether gradients flow to it.
    pub requires_grad: bool,
    /// Contents of a [`Role::Const`], or the first contents of a [`Role::State`], as 4-byte words.
    pub data: Option<std::sync::Arc<Vec<u32>>>,
}

impl TensorInfo {
    /// Bytes of `n` images (or of the whole, when not sliced).
    pub fn bytes_of(&self, n: u32) -> u64 {
        4 * self.format.elements(self.shape.with_n(n))
    }
    /// Bytes of the whole tensor.
    pub fn bytes(&self) -> u64 {
        self.bytes_of(self.shape.n)
    }
}
