//! A row of the kernel table: one WGSL file, how it is bound, and its CPU twin.

use crate::cpu::TwinCall;

/// How a kernel uses a storage buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`, old contents not used.
    Write,
    /// `var<storage, read_write>`, old contents used (accumulation, in-place updates).
    ReadWrite,
}

/// Element type of a storage buffer, for conversions and comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elem {
    /// `f32`, also when the shader reads `vec4<f32>`.
    F32,
    /// `u32`.
    U32,
    /// `i32`.
    I32,
}

/// One storage binding; its number is its place in [`Kernel::bindings`] plus one (0 is the uniform `dims`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// The variable's name in the shader and in the twin.
    pub name: &'static str,
    /// Read, write or both.
    pub access: Access,
    /// Element type.
    pub elem: Elem,
}

/// A shared WGSL file: functions without bindings or entry points, appended after the kernel so that the kernel's line
/// numbers stay true.
#[derive(Debug, Clone, Copy)]
pub struct Common {
    /// File stem below `shaders/common/`.
    pub name: &'static str,
    /// Its text.
    pub source: &'static str,
}

/// Memory layout of a `#[repr(C)]` uniform struct of scalars, compared with the shader by reflection.
#[derive(Debug, Clone, Copy)]
pub struct DimsLayout {
    /// Struct name, the same in WGSL.
    pub name: &'static str,
    /// Size in bytes.
    pub size: usize,
    /// Field names and byte offsets, in order.
    pub fields: &'static [(&'static str, usize)],
    /// Field types, `u32`, `i32` or `f32`, in order.
    pub types: &'static [&'static str],
}

/// A uniform struct made by the [`dims!`](crate::dims) macro.
pub trait Dims: bytemuck::Pod {
    /// Its layout.
    const LAYOUT: DimsLayout;
}

/// A CPU twin with its arguments still untyped; made by [`kernel!`](crate::kernel).
pub type Twin = fn(&mut TwinCall<'_>);

/// One kernel: file stem = kernel name = twin name.
#[derive(Debug, Clone, Copy)]
pub struct Kernel {
    /// File stem below `shaders/`.
    pub name: &'static str,
    /// The WGSL text.
    pub source: &'static str,
    /// Shared files it uses.
    pub common: &'static [Common],
    /// Its uniform struct.
    pub dims: DimsLayout,
    /// Its storage buffers, binding 1 onwards.
    pub bindings: &'static [Binding],
    /// Names of its `override` constants.
    pub overrides: &'static [&'static str],
    /// The CPU twin.
    pub twin: Twin,
}

impl Kernel {
    /// The whole shader text: the kernel first, then the shared files.
    pub fn text(&self) -> String {
        let mut s = self.source.to_string();
        for c in self.common {
            s.push('\n');
            s.push_str(c.source);
        }
        s
    }
}

/// Declares a `#[repr(C)]` uniform struct of `u32`, `i32` and `f32` scalars together with its [`DimsLayout`].
#[macro_export]
macro_rules! dims {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* $field:ident: $ty:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, Default, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty),+ }
        impl $crate::plan::Dims for $name {
            const LAYOUT: $crate::plan::DimsLayout = $crate::plan::DimsLayout {
                name: stringify!($name),
                size: std::mem::size_of::<$name>(),
                fields: &[$((stringify!($field), std::mem::offset_of!($name, $field))),+],
                types: &[$(stringify!($ty)),+],
            };
        }
    };
}

/// Makes a [`Kernel`] row from the file stem, its uniform struct, its bindings and its twin.
///
/// ```ignore
/// pub static RELU: Kernel = kernel!("relu", [INDEX], ReluDims, [read x: f32, write y: f32], [], relu);
/// ```
/// The twin is called as `relu(&dims, x, y)`: the uniform struct first, then the buffers in binding order as `&[T]` or
/// `&mut [T]`.
#[macro_export]
macro_rules! kernel {
    ($stem:literal, [$($common:expr),* $(,)?], $dims:ty, [$($access:ident $bind:ident: $ty:ident),* $(,)?],
     [$($over:literal),* $(,)?], $twin:path) => {
        $crate::plan::Kernel {
            name: $stem,
            source: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $stem, ".wgsl")),
            common: &[$($common),*],
            dims: <$dims as $crate::plan::Dims>::LAYOUT,
            bindings: &[$($crate::plan::Binding {
                name: stringify!($bind),
                access: $crate::kernel!(@access $access),
                elem: $crate::kernel!(@elem $ty),
            }),*],
            overrides: &[$($over),*],
            twin: |call: &mut $crate::cpu::TwinCall<'_>| {
                let dims: $dims = call.dims();
                $(let $bind = $crate::kernel!(@take $access call $ty);)*
                $twin(&dims, $($bind),*)
            },
        }
    };
    (@access read) => { $crate::plan::Access::Read };
    (@access write) => { $crate::plan::Access::Write };
    (@access update) => { $crate::plan::Access::ReadWrite };
    (@elem f32) => { $crate::plan::Elem::F32 };
    (@elem u32) => { $crate::plan::Elem::U32 };
    (@elem i32) => { $crate::plan::Elem::I32 };
    (@take read $call:ident $ty:ident) => { $call.read::<$ty>() };
    (@take write $call:ident $ty:ident) => { $call.write::<$ty>() };
    (@take update $call:ident $ty:ident) => { $call.write::<$ty>() };
}
