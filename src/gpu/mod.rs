//! Everything that touches wgpu, and nothing that knows what a network is.

mod choice;
mod device;
mod executor;
mod once;

pub use choice::{AdapterLine, DeviceChoice, adapters};
pub use device::{Gpu, LimitsChoice, POLL_PANIC};
pub use executor::GpuExecutor;
pub use once::{Once, OnceBuffer, OnceKind};
