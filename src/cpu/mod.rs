//! The CPU twins: one plain-Rust function a kernel, same names as the shaders. No wgpu.
