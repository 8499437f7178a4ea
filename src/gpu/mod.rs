//! Everything that touches wgpu, and nothing that knows what a network is.

mod choice;
mod device;
mod executor;
#[cfg(not(target_family = "wasm"))]
mod once;
mod wait;

pub use choice::{AdapterLine, DeviceChoice, adapters};
pub use device::{Gpu, LimitsChoice, POLL_PANIC};
pub use executor::GpuExecutor;
#[cfg(not(target_family = "wasm"))]
pub use once::{Once, OnceBuffer, OnceKind};
