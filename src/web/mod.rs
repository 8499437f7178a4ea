//! The engine of the web page and of the JavaScript module (`assets/web`): this crate as WebAssembly, on the browser's WebGPU.
//!
//! It runs in a worker. Nothing here may block, so everything that reads from the device is async; whatever goes in and out is
//! a number, bytes, or JSON, so that `assets/web/autobidet.js` is the one place that knows both sides.

mod detector;
mod json;
mod trainer;

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use js_sys::Function;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsError, JsValue};

pub use detector::WebDetector;
pub use trainer::WebTrainer;

use crate::deploy::DeployFile;
use crate::device::Device;
use crate::gpu::{DeviceChoice, Gpu, LimitsChoice};
use crate::testing::selftest::SelfTest;
use crate::weights::WeightFile;
use crate::{Error, Result};

/// What a message calls a file that came as bytes.
const FILE: &str = "the file";

type Answer<T> = std::result::Result<T, JsError>;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);
}

fn thrown(e: Error) -> JsError {
    JsError::new(&e.to_string())
}

/// Tells a caller's function; what it throws ends nothing.
fn tell(to: &Function, line: &serde_json::Value) {
    let _ = to.call1(&JsValue::NULL, &line.to_string().into());
}

/// WebGPU, opened.
#[wasm_bindgen]
pub struct Engine {
    gpu: Arc<Gpu>,
    /// Devices with raised limits, of networks that need them.
    raised: RefCell<Vec<Arc<Gpu>>>,
}

#[wasm_bindgen]
impl Engine {
    /// Opens the browser's adapter with WebGPU's default limits.
    pub async fn open() -> Answer<Engine> {
        std::panic::set_hook(Box::new(|info| console_error(&info.to_string())));
        let gpu = open(LimitsChoice::Floor).await.map_err(thrown)?;
        Ok(Engine { gpu, raised: RefCell::default() })
    }

    /// The adapter, as JSON.
    pub fn adapter(&self) -> String {
        json::adapter(&self.gpu).to_string()
    }

    /// Why a device was lost, if one was.
    pub fn lost(&self) -> Option<String> {
        self.gpu
            .lost()
            .map(str::to_string)
            .or_else(|| self.raised.borrow().iter().find_map(|g| g.lost().map(str::to_string)))
    }

    /// Puts a deploy file's network on the device.
    pub async fn load(&self, bytes: &[u8]) -> Answer<WebDetector> {
        let loaded = async {
            let file = DeployFile::open(WeightFile::from_bytes(Path::new(FILE), bytes)?)?;
            match WebDetector::new(Device::Gpu(self.gpu.clone()), file.clone(), bytes.len(), false).await {
                Err(Error::Limit { .. }) => {
                    let gpu = open(LimitsChoice::Adapter).await?;
                    self.raised.borrow_mut().push(gpu.clone());
                    WebDetector::new(Device::Gpu(gpu), file, bytes.len(), true).await
                }
                other => other,
            }
        };
        loaded.await.map_err(thrown)
    }

    /// A detector to be trained; `config` is JSON, see [`WebTrainer`].
    pub async fn train(&self, config: &str) -> Answer<WebTrainer> {
        WebTrainer::new(&self.gpu, config).map_err(thrown)
    }

    /// Every operation on the device beside its CPU twin, over the crate's own grid of cases. `report` gets a JSON a line.
    pub async fn selftest(&self, report: Function) -> Answer<String> {
        let test = SelfTest { device: Some(Device::Gpu(self.gpu.clone())), cases: None };
        let mut lines = |line: &crate::testing::selftest::Line| {
            if let Ok(line) = serde_json::to_value(line) {
                tell(&report, &line);
            }
        };
        let summary = test.run_async(&mut lines).await.map_err(thrown)?;
        Ok(json::text(&summary))
    }
}

/// Puts a deploy file's network on the CPU twins, in the worker's own thread: what is left where there is no WebGPU, and faster
/// than an adapter that is a program itself.
#[wasm_bindgen]
pub async fn load_on_cpu(bytes: &[u8]) -> Answer<WebDetector> {
    std::panic::set_hook(Box::new(|info| console_error(&info.to_string())));
    let loaded = async {
        let file = DeployFile::open(WeightFile::from_bytes(Path::new(FILE), bytes)?)?;
        WebDetector::new(Device::Cpu, file, bytes.len(), false).await
    };
    loaded.await.map_err(thrown)
}

async fn open(limits: LimitsChoice) -> Result<Arc<Gpu>> {
    Gpu::open_async(&DeviceChoice::Auto, limits).await.map_err(|e| match e {
        Error::Device { problem, .. } => Error::Device {
            device: "WebGPU".to_string(),
            problem,
            remedy: "Is WebGPU switched on in this browser, and graphics acceleration in its settings?".to_string(),
        },
        other => other,
    })
}
