//! A deploy file on the browser's device.

use std::sync::Arc;

use image::{DynamicImage, RgbImage, RgbaImage};
use js_sys::Function;
use serde_json::json;
use wasm_bindgen::prelude::wasm_bindgen;
use web_time::Instant;

use super::{Answer, json, tell, thrown};
use crate::data::image_file::flatten;
use crate::deploy::{self, DeployFile, Precision, Program};
use crate::detect::decode::DecodeOptions;
use crate::device::Device;
use crate::gpu::GpuExecutor;
use crate::plan::{Executor, PlanLimits};
use crate::predict::{Model, Predictor};
use crate::testing::trace::{Tolerance, TracedStep, trace_async};
use crate::{Error, Result};

/// A detector, ready to detect.
#[wasm_bindgen]
pub struct WebDetector {
    device: Device,
    file: DeployFile,
    bytes: usize,
    /// Whether the network needed more than WebGPU's default limits.
    raised: bool,
    predictor: Predictor,
}

/// Pixels of a canvas as an image.
pub(super) fn image(rgba: &[u8], width: u32, height: u32) -> Result<RgbImage> {
    let pixels = (width > 0 && height > 0).then(|| RgbaImage::from_raw(width, height, rgba.to_vec())).flatten();
    let pixels = pixels.filter(|p| p.as_raw().len() == rgba.len());
    pixels.map(|p| flatten(DynamicImage::ImageRgba8(p))).ok_or_else(|| {
        Error::shape(
            "an image of the page",
            format!("{} bytes for {width}x{height} pixels, at least one of them", 4 * width as u64 * height as u64),
            rgba.len().to_string(),
        )
    })
}

fn ms(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}

impl WebDetector {
    pub(super) async fn new(device: Device, file: DeployFile, bytes: usize, raised: bool) -> Result<WebDetector> {
        let mut predictor = Predictor::of(Model::Deployed(Box::new(file.clone())), &device, 1)?;
        // A first image has the browser compile every shader, so that the first real one does not wait for it.
        predictor.start(&vec![0.0; file.detector.preprocess.floats()], 1)?;
        predictor.outputs_async(1).await?;
        Ok(WebDetector { device, file, bytes, raised, predictor })
    }

    async fn detected(&mut self, image: &RgbImage, score: f32, max: usize) -> Result<serde_json::Value> {
        let begin = Instant::now();
        let input = self.predictor.detector.preprocess.eval(image);
        let prepare = ms(begin);
        let at = Instant::now();
        self.predictor.start(&input, 1)?;
        let raw = self.predictor.outputs_async(1).await?;
        let network = ms(at);
        let at = Instant::now();
        let max = (max > 0).then_some(max);
        let options =
            DecodeOptions { score_threshold: score, max_detections: max, clip: true, ..self.predictor.options() };
        let found = self.predictor.found(&raw, image.dimensions(), &options)?;
        Ok(json!({
            "boxes": json::boxes(&found, &self.predictor.detector.config.classes),
            "times": { "prepare": prepare, "network": network, "decode": ms(at), "total": ms(begin) },
        }))
    }

    async fn traced(&mut self, image: &RgbImage, report: &Function) -> Result<serde_json::Value> {
        let detector = &self.file.detector;
        let Device::Gpu(gpu) = &self.device else {
            let remedy = "Choose WebGPU to have its shaders compared with them.";
            return Err(Error::config("the device", "is the CPU twins themselves", remedy));
        };
        let program = Program::of(detector)?;
        let (plan, ends) = deploy::plan(detector, &program, &self.file.numbers, gpu.limits(), 1, &[])?;
        let steps = plan.steps_of(&["forward"])?;
        let mut executor = GpuExecutor::new(gpu.clone(), Arc::new(plan))?;
        let input = detector.preprocess.eval(image);
        match self.file.numbers.precision {
            Precision::Exact => executor.write(ends.images, &detector.preprocess.bytes(&input))?,
            Precision::Float => executor.write_f32(ends.images, &input)?,
        }
        let line = |s: &TracedStep| {
            let largest =
                |f: fn(&crate::testing::trace::TracedOutput) -> f64| s.outputs.iter().map(f).fold(0.0, f64::max);
            json!({
                "step": s.step,
                "label": s.label,
                "error": largest(|o| o.error),
                "differing": largest(|o| o.differing),
                "agrees": s.agrees,
            })
        };
        let mut heard = |s: &TracedStep| {
            tell(report, &line(s));
            true
        };
        let trace = trace_async(&mut executor, &steps, Tolerance::default(), &mut heard).await?;
        let adapter = json::adapter(gpu);
        let agree = trace.steps.iter().filter(|s| s.agrees).count();
        let steps: String = trace.steps.iter().map(|s| format!("{s}\n")).collect();
        let text = format!(
            "autobidet {} trace of {}, {}\nadapter {adapter}\n{agree} of {} steps agree with the CPU twins\n{steps}",
            env!("CARGO_PKG_VERSION"),
            detector.name(),
            self.file.numbers.precision.as_str(),
            trace.steps.len(),
        );
        Ok(json!({
            "adapter": adapter,
            "steps": trace.steps.len(),
            "agree": agree,
            "first_difference": trace.first_difference().map(line),
            "text": text,
        }))
    }
}

#[wasm_bindgen]
impl WebDetector {
    /// What it is, as JSON.
    pub fn info(&self) -> Answer<String> {
        let detector = &self.file.detector;
        let described = || {
            let program = Program::of(detector)?;
            let (plan, _) = deploy::plan(detector, &program, &self.file.numbers, PlanLimits::HOST, 1, &[])?;
            let (packed, binary) = deploy::packed(&program, &plan);
            let computing = plan.layers.iter().filter(|l| !deploy::computed_in(l).is_empty());
            let layers: Vec<_> =
                computing.map(|l| json!({ "name": l.label, "path": deploy::computed_in(l) })).collect();
            Ok(json!({
                "name": detector.name(),
                "model": detector.config.name,
                "method": detector.config.method.to_string(),
                "precision": self.file.numbers.precision.as_str(),
                "labels": detector.config.classes,
                "input": detector.preprocess.size,
                "bytes": self.bytes,
                "memory": plan.memory.bytes(),
                "raised_limits": self.raised,
                "device": if self.device.is_cpu() { "cpu" } else { "webgpu" },
                "layers": layers,
                "binary_layers": binary,
                "packed_layers": packed,
                "score": deploy::SCORE,
                "record": self.file.record,
            }))
        };
        described().map(|d| d.to_string()).map_err(thrown)
    }

    /// What is in an image: boxes in its pixels, by falling score, and how long each stage took (ms), as JSON. `max` 0: no cap.
    pub async fn detect(&mut self, rgba: &[u8], width: u32, height: u32, score: f32, max: usize) -> Answer<String> {
        let image = image(rgba, width, height).map_err(thrown)?;
        self.detected(&image, score, max).await.map(|v| v.to_string()).map_err(thrown)
    }

    /// Every step of the network on the device beside its CPU twin. `report` gets a JSON a step.
    pub async fn trace(&mut self, rgba: &[u8], width: u32, height: u32, report: Function) -> Answer<String> {
        let image = image(rgba, width, height).map_err(thrown)?;
        self.traced(&image, &report).await.map(|v| v.to_string()).map_err(thrown)
    }
}
