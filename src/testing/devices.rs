//! Where tests run.

use std::sync::{Arc, OnceLock};

use crate::gpu::{DeviceChoice, Gpu, LimitsChoice};
use crate::{Error, Result};

/// A place to run a plan.
pub use crate::device::Device as TestDevice;

/// Every adapter of this machine, opened on the WebGPU floor. None is no error here.
///
/// # Errors
/// [`Error::Device`] when a driver refuses to open its device.
pub fn all_adapters() -> Result<Vec<Arc<Gpu>>> {
    let list = crate::gpu::adapters();
    list.iter().map(|a| Gpu::open(&DeviceChoice::Index(a.index), LimitsChoice::Floor)).collect()
}

/// The adapter that tests run on, opened once. The variable `AUTOBIDET_TEST_GPU` says what a machine without one means:
/// `require` (the default) makes it an error, `skip` gives `None`; anything else is the `--device` to take.
pub fn test_gpu() -> Result<Option<TestDevice>> {
    static OPENED: OnceLock<std::result::Result<Option<TestDevice>, String>> = OnceLock::new();
    let opened = OPENED.get_or_init(|| {
        let wish = std::env::var("AUTOBIDET_TEST_GPU").unwrap_or_else(|_| "require".to_string());
        let choice = match wish.as_str() {
            "require" | "skip" => DeviceChoice::Auto,
            name => name.parse::<DeviceChoice>().map_err(|e| e.to_string())?,
        };
        match Gpu::open(&choice, LimitsChoice::Floor) {
            Ok(g) => {
                println!("tests run on {} with limits {:?}", g.name(), g.limits());
                Ok(Some(TestDevice::Gpu(g)))
            }
            Err(_) if wish == "skip" => {
                println!("AUTOBIDET_TEST_GPU=skip: no adapter, tests run on the CPU twins only");
                Ok(None)
            }
            Err(e) => Err(e.to_string()),
        }
    });
    opened.clone().map_err(|problem| Error::Device {
        device: "tests".to_string(),
        problem,
        remedy: "Set AUTOBIDET_TEST_GPU=skip to test the CPU twins only.".to_string(),
    })
}
