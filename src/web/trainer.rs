//! Training in a page: the same plan, the same batches and the same steps as `autobidet train`, without files and threads.

use std::path::PathBuf;
use std::sync::Arc;

use image::RgbImage;
use serde::Deserialize;
use serde_json::json;
use wasm_bindgen::prelude::wasm_bindgen;
use web_time::Instant;

use super::{Answer, json, thrown};
use crate::config::{DataConfig, ModelConfig, RunConfig, TrainConfig};
use crate::data::scenes::{self, SceneSpec};
use crate::data::{Augment, Batch, Dataset, ImageRecord, ImageSource, Loader, LoaderOptions, Object, pixels};
use crate::deploy::{Precision, export_async};
use crate::detect::BBox;
use crate::detect::decode::DecodeOptions;
use crate::detect::matching::Matcher;
use crate::device::Device;
use crate::gpu::Gpu;
use crate::models::Detector;
use crate::models::complexity::is_estimator;
use crate::plan::Executor;
use crate::predict::{Predictor, VARIANCES};
use crate::train::{Scalars, Targets, Timetable, TrainNetwork, feed, first_weights, targets, training_plan};
use crate::weights::{WeightFile, collect_async};
use crate::{Error, Result};

/// Drawn scenes to learn from: enough that no page sees one twice.
const SCENES: u64 = 100_000;
/// Images that an exact file takes its ranges from.
const CALIBRATION: usize = 8;

/// What a page asks for.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wish {
    /// `scenes` or `images`.
    source: String,
    /// Names of the classes, with `images`.
    classes: Vec<String>,
    steps: u64,
    batch: u32,
    /// 0: the schedule's own.
    lr: f64,
    seed: u32,
    /// `bidet-sc` and others, as `--method` takes them.
    method: String,
}

impl Default for Wish {
    fn default() -> Self {
        let method = "bidet-sc".to_string();
        Wish { source: "scenes".to_string(), classes: Vec::new(), steps: 500, batch: 8, lr: 0.0, seed: 1, method }
    }
}

/// A detector that learns. Its configuration is JSON:
/// `{source: "scenes" | "images", classes, steps, batch, lr, seed, method}`, everything optional but classes with images.
#[wasm_bindgen]
pub struct WebTrainer {
    device: Device,
    config: RunConfig,
    detector: Detector,
    data: Dataset,
    /// Of unseen scenes.
    previews: SceneSpec,
    shown: u64,
    preview_pixels: Vec<u8>,
    run: Option<Run>,
}

/// What there is from the first step on.
struct Run {
    executor: Box<dyn Executor>,
    net: TrainNetwork,
    loader: Loader<Targets>,
    table: Timetable,
    step: u64,
    predictor: Option<Predictor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Drawn {
    class: usize,
    #[serde(rename = "box")]
    corners: [f32; 4],
}

fn config(problem: impl std::fmt::Display) -> Error {
    Error::config("training", problem.to_string(), "It is {source, classes, steps, batch, lr, seed, method}.")
}

impl WebTrainer {
    pub(super) fn new(gpu: &Arc<Gpu>, wish: &str) -> Result<WebTrainer> {
        let wish: Wish = serde_json::from_str(wish).map_err(config)?;
        let own = match wish.source.as_str() {
            "scenes" => false,
            "images" => true,
            other => return Err(config(format!("has the source {other:?}, expected scenes or images"))),
        };
        if own && wish.classes.is_empty() {
            return Err(config("names no classes"));
        }
        if wish.batch == 0 || wish.batch > 64 || wish.steps == 0 {
            return Err(config(format!("has batches of {}, {} steps: 1 to 64, 1 or more", wish.batch, wish.steps)));
        }
        let classes = match own {
            true => wish.classes,
            false => scenes::CLASSES.iter().map(|c| c.to_string()).collect(),
        };
        let model = ModelConfig { method: wish.method.parse()?, classes: classes.clone(), ..Default::default() };
        let train =
            TrainConfig { steps: wish.steps, batch: wish.batch, lr: wish.lr, seed: wish.seed, ..Default::default() };
        let config = RunConfig { model, train, data: DataConfig::default(), ..Default::default() };
        config.check()?;
        let detector = Detector::new(&config.model)?;
        let side = detector.preprocess.size;
        let previews = SceneSpec { seed: wish.seed as u64, width: side, height: side };
        let data = match own {
            false => scenes::train(&previews, SCENES.min(wish.steps * wish.batch as u64 + wish.batch as u64)),
            true => Dataset {
                name: "the page's images".to_string(),
                root: PathBuf::from("page"),
                split: "train".to_string(),
                category_ids: (1..=classes.len() as u32).collect(),
                classes,
                origin: 0.0,
                images: Vec::new(),
                notes: Vec::new(),
            },
        };
        Ok(WebTrainer {
            device: Device::Gpu(gpu.clone()),
            config,
            detector,
            data,
            previews,
            shown: 0,
            preview_pixels: Vec::new(),
            run: None,
        })
    }

    fn add(&mut self, image: RgbImage, boxes: &str) -> Result<()> {
        let boxes: Vec<Drawn> = serde_json::from_str(boxes).map_err(config)?;
        let classes = self.data.classes.len();
        if let Some(b) = boxes.iter().find(|b| b.class >= classes || b.corners.iter().any(|v| !v.is_finite())) {
            return Err(config(format!("has a box {:?} of class {} of {classes}", b.corners, b.class)));
        }
        if self.run.is_some() {
            return Err(config("has begun: images are added before its first step"));
        }
        let object = |b: &Drawn| {
            let [x0, y0, x1, y1] = b.corners;
            let bbox = BBox::new(x0.min(x1), y0.min(y1), x0.max(x1), y0.max(y1));
            let area = bbox.area();
            Object { class: b.class, bbox, difficult: false, crowd: false, area, target: area > 0.0 }
        };
        let (width, height) = image.dimensions();
        let id = format!("{:06}", self.data.images.len());
        let objects = boxes.iter().map(object).collect();
        self.data.images.push(ImageRecord { id, source: ImageSource::Memory(Arc::new(image)), width, height, objects });
        Ok(())
    }

    /// Plan, first weights and batches.
    fn begin(&mut self) -> Result<&mut Run> {
        if self.run.is_none() {
            let images = &mut self.data.images;
            // Few images make a batch by being in it more than once, each time cut and coloured anew.
            let own = images.len();
            while own > 0 && images.len() < self.config.train.batch as usize {
                images.push(images[images.len() - own].clone());
            }
            let (plan, net) =
                training_plan(&self.detector, &self.config, self.device.limits(), self.config.train.batch)?;
            let mut executor = self.device.executor(Arc::new(plan))?;
            first_weights(executor.as_mut(), self.config.train.seed)?;
            let matcher = Matcher::new(&self.detector.priors, 0.5, VARIANCES);
            let classes = self.data.classes.len();
            let options = LoaderOptions {
                batch: self.config.train.batch as usize,
                seed: self.config.train.seed as u64,
                cache_mb: 64,
                ..Default::default()
            };
            let loader = Loader::train(
                Arc::new(self.data.clone()),
                self.detector.preprocess,
                Augment::light(),
                options,
                0,
                move |sample| targets(&matcher, classes, sample),
            )?;
            let table = Timetable::new(&self.config, self.config.train.steps);
            self.run = Some(Run { executor, net, loader, table, step: 0, predictor: None });
        }
        self.run.as_mut().ok_or_else(|| config("has not begun"))
    }

    async fn stepped(&mut self) -> Result<serde_json::Value> {
        let begin = Instant::now();
        self.begin()?;
        let Some(run) = &mut self.run else { return Err(config("has not begun")) };
        if run.step >= run.table.steps {
            return Err(config(format!("is over: {} steps were asked for", run.table.steps)));
        }
        let batch: Batch<Targets> = run.loader.next().ok_or_else(|| config("has no images"))??;
        let scalars = Scalars::of_step(&self.config, &run.net, &run.table, run.step);
        feed(run.executor.as_mut(), &run.net, &scalars, &batch.images, &batch.targets)?;
        run.executor.run(&["clear"])?;
        run.executor.run(run.net.segments(true))?;
        let mut wanted: Vec<_> = run.net.losses.iter().map(|(_, t)| *t).collect();
        wanted.push(run.net.norm.gate);
        let read = run.executor.fetch(&wanted).await?;
        let (gate, terms) = read.split_last().ok_or_else(|| config("has no losses"))?;
        let terms: Vec<f32> = terms.iter().map(|t| f32::from_bits(t[0])).collect();
        run.step += 1;
        Ok(json!({
            "step": run.step,
            "steps": run.table.steps,
            "losses": run.net.weighted(&terms, &scalars),
            "lr": scalars.lr,
            "images_per_second": batch.targets.len() as f64 / begin.elapsed().as_secs_f64().max(1e-6),
            "skipped": gate[0] != 1,
        }))
    }

    /// The detector's weights as they are.
    async fn weights(&mut self) -> Result<WeightFile> {
        let run = self.begin()?;
        let mut tensors = collect_async(run.executor.as_mut()).await?;
        tensors.retain(|name, _| !is_estimator(name));
        Ok(WeightFile { tensors, path: PathBuf::from("the page's detector"), ..Default::default() })
    }

    async fn previewed(&mut self) -> Result<serde_json::Value> {
        let weights = self.weights().await?;
        let (image, truth) = match self.config_is_scenes() {
            true => {
                // None of these is ever learned from.
                let (image, objects) = scenes::draw(&self.previews, scenes::TEST_START + self.shown);
                (image, objects)
            }
            false => {
                let record = &self.data.images[self.shown as usize % self.data.images.len().max(1)];
                (pixels(record)?, record.objects.clone())
            }
        };
        self.shown += 1;
        let device = self.device.clone();
        let detector = self.detector.clone();
        let labels = self.data.classes.clone();
        let run = self.begin()?;
        let mut predictor = match run.predictor.take() {
            Some(p) => p,
            None => Predictor::new(detector, &device, 1)?,
        };
        predictor.load(&weights)?;
        let options =
            DecodeOptions { score_threshold: 0.05, max_detections: Some(100), clip: true, ..predictor.options() };
        let found = predictor.image_async(&image, &options).await?;
        run.predictor = Some(predictor);
        let truth: Vec<_> = truth
            .iter()
            .map(|o| {
                let b = o.bbox;
                json!({ "label": labels[o.class], "class": o.class, "box": [b.xmin, b.ymin, b.xmax, b.ymax] })
            })
            .collect();
        let (width, height) = image.dimensions();
        self.preview_pixels = image.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2], 255]).collect();
        Ok(json!({ "width": width, "height": height, "boxes": json::boxes(&found, &labels), "truth": truth }))
    }

    fn config_is_scenes(&self) -> bool {
        self.data.name == "scenes"
    }

    async fn exported(&mut self, precision: &str) -> Result<Vec<u8>> {
        let precision: Precision = precision.parse()?;
        let weights = self.weights().await?;
        let mut images = Vec::new();
        for record in self.data.images.iter().take(CALIBRATION) {
            images.push(self.detector.preprocess.eval(&pixels(record)?));
        }
        let mut file = export_async(&self.detector, &weights, precision, &images, &self.device, |_| ()).await?;
        file.record.step = self.run.as_ref().map_or(0, |r| r.step);
        file.record.config = self.config.to_toml()?;
        file.to_bytes()
    }
}

#[wasm_bindgen]
impl WebTrainer {
    /// Adds an image (before the first step) with its boxes: JSON `[{class, box: [x0, y0, x1, y1]}]`, in its pixels.
    pub fn add_image(&mut self, rgba: &[u8], width: u32, height: u32, boxes: &str) -> Answer<()> {
        let image = super::detector::image(rgba, width, height).map_err(thrown)?;
        self.add(image, boxes).map_err(thrown)
    }

    /// One step on the next batch; its losses and speed, as JSON.
    pub async fn step(&mut self) -> Answer<String> {
        self.stepped().await.map(|v| v.to_string()).map_err(thrown)
    }

    /// What the detector finds by now in a scene that it never learns from (or in one of the page's images): boxes found and
    /// true ones, as JSON. The picture itself is [`WebTrainer::preview_pixels`].
    pub async fn preview(&mut self) -> Answer<String> {
        self.previewed().await.map(|v| v.to_string()).map_err(thrown)
    }

    /// The last preview's pixels, RGBA.
    pub fn preview_pixels(&self) -> Vec<u8> {
        self.preview_pixels.clone()
    }

    /// A deploy file of the detector as it is: `float` or `exact`.
    pub async fn export(&mut self, precision: String) -> Answer<Vec<u8>> {
        self.exported(&precision).await.map_err(thrown)
    }
}
