//! Everything that touches wgpu, and nothing that knows what a network is.
