//! From images to detections with a trained network: what evaluation, `detect` and the report share.
//!
//! ```no_run
//! use autobidet::detect::decode::DecodeOptions;
//! use autobidet::device::Device;
//! use autobidet::gpu::{DeviceChoice, LimitsChoice};
//! use autobidet::predict::Predictor;
//!
//! # fn main() -> autobidet::Result<()> {
//! let (device, _) = Device::open(&DeviceChoice::Auto, LimitsChoice::Adapter)?;
//! let mut predictor = Predictor::open("my-run".as_ref(), &device)?;
//! let image = autobidet::data::image_file::read("photo.jpg".as_ref(), None)?.image;
//! let options = DecodeOptions { score_threshold: 0.4, clip: true, ..Default::default() };
//! for d in predictor.image(&image, &options)? {
//!     println!("{} {:.2} {:?}", predictor.detector.config.classes[d.class], d.score, d.bbox);
//! }
//! # Ok(())
//! # }
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;

use rayon::prelude::*;

use crate::config::ModelConfig;
use crate::data::{Batch, Dataset, Loader, LoaderOptions, Note, Sample};
use crate::deploy::{self, DeployFile, Precision, Program};
pub use crate::detect::codec::VARIANCES;
use crate::detect::codec::decode_boxes;
pub use crate::detect::decode::softmax;
use crate::detect::decode::{DecodeOptions, Decoded, decode_detections};
use crate::detect::{BBox, Detection};
use crate::device::Device;
use crate::models::{Detector, Network};
use crate::plan::{Builder, Executor, Mode, PlanLimits};
use crate::train::RunFolder;
use crate::weights::{FileTensor, Transfer, WeightFile, compare, load};
use crate::{Error, Result};

/// A network in evaluation mode on a device.
pub struct Predictor {
    /// What it detects, and how.
    pub detector: Detector,
    executor: Box<dyn Executor>,
    network: Ends,
    batch: usize,
    options: DecodeOptions,
    /// Where the weights came from.
    path: PathBuf,
}

/// Where a network's images go in and its outputs come out.
enum Ends {
    /// As it was trained.
    Trained(Network),
    /// A deploy file's.
    Deployed { ends: deploy::Ends, heads: Vec<deploy::Head>, precision: Precision, fractions: Vec<u32> },
}

/// A trained detector before it is on a device.
pub enum Model {
    /// Of a run: what it detects and how, and its weights.
    Trained(Box<Detector>, WeightFile),
    /// A deploy file.
    Deployed(Box<DeployFile>),
}

impl Model {
    /// From a run folder, from a weight file that a run wrote ([`trained`]), or from a deploy file.
    ///
    /// # Errors
    /// As [`trained`] and [`DeployFile::open`].
    pub fn open(path: &Path) -> Result<Model> {
        if path.is_dir() {
            let (detector, file) = trained(path)?;
            return Ok(Model::Trained(Box::new(detector), file));
        }
        Model::of(WeightFile::read(path)?)
    }

    /// From a file that was read.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn of(file: WeightFile) -> Result<Model> {
        if DeployFile::is(&file) {
            return Ok(Model::Deployed(Box::new(DeployFile::open(file)?)));
        }
        let (detector, file) = of_file(file)?;
        Ok(Model::Trained(Box::new(detector), file))
    }

    /// What it detects, and how.
    pub fn detector(&self) -> &Detector {
        match self {
            Model::Trained(detector, _) => detector,
            Model::Deployed(file) => &file.detector,
        }
    }

    /// The file it is from.
    pub fn path(&self) -> &Path {
        match self {
            Model::Trained(_, file) => &file.path,
            Model::Deployed(file) => &file.numbers.path,
        }
    }
}

/// A network's outputs for some images, as they come.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw {
    /// Images.
    pub n: usize,
    /// `[n][priors][8]`: four log-variances, four means.
    pub locations: Vec<f32>,
    /// `[n][priors][classes + 1]`.
    pub logits: Vec<f32>,
}

impl Raw {
    /// Locations `[priors][8]` and logits `[priors][classes + 1]` of image `i`, as `detector` gave them.
    pub fn image(&self, detector: &Detector, i: usize) -> (&[f32], &[f32]) {
        let (p, k) = (detector.priors.len(), detector.logits() as usize);
        (&self.locations[i * p * 8..][..p * 8], &self.logits[i * p * k..][..p * k])
    }
}

/// What a network found in a data set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// Detections of each image, in its annotations' coordinates. Those that are not finite are left out.
    pub detections: Vec<Vec<Detection>>,
    /// Images for which the network gave values that are not finite, by id.
    pub not_finite: Vec<String>,
    /// What was met while decoding the images.
    pub notes: Vec<Note>,
}

/// A trained detector, from a run folder (its best weights, or the last where there are no best) or from a weight file that a
/// run wrote: what it detects and how, and its weights.
///
/// # Errors
/// No weights yet, a damaged file, a file that does not say which network it is for, or whose tensors are not those of
/// the network and the classes that it names.
pub fn trained(path: &Path) -> Result<(Detector, WeightFile)> {
    let file = if path.is_dir() {
        let (folder, _) = RunFolder::open(path)?;
        let found = [folder.best(), folder.last()].into_iter().find(|p| p.is_file());
        found.ok_or_else(|| {
            Error::data(
                path,
                "has no weights yet",
                "Training writes them at its first evaluation or checkpoint; wait, or go on with --resume.",
            )
        })?
    } else {
        path.to_path_buf()
    };
    of_file(WeightFile::read(&file)?)
}

fn of_file(weights: WeightFile) -> Result<(Detector, WeightFile)> {
    let file = weights.path.clone();
    let remedy = "Give a run folder, or the last.safetensors or best.safetensors that it holds.";
    if DeployFile::is(&weights) {
        return Err(Error::format(&file, "is a deploy file, whose training weights are gone", remedy));
    }
    let json: serde_json::Value = serde_json::from_str(&weights.metadata)
        .map_err(|_| Error::format(&file, "does not say which network it is for", remedy))?;
    let config: ModelConfig = serde_json::from_value(json["model"].clone())
        .map_err(|e| Error::format(&file, format!("does not say which network it is for: {e}"), remedy))?;
    if config.classes.is_empty() {
        return Err(Error::format(&file, "names no classes", remedy));
    }
    let detector = Detector::new(&config)?;
    let (plan, _) = Builder::build(&detector.name(), Mode::Eval, PlanLimits::HOST, 1, |b| detector.network(b))?;
    compare(&plan, &weights, true)?;
    config.check().map_err(|e| match e {
        Error::Config { key, problem, .. } => Error::format(&file, format!("its {key} {problem}"), remedy),
        other => other,
    })?;
    Ok((detector, weights))
}

impl Predictor {
    /// Opens a trained detector on a device, for one image at a time.
    ///
    /// # Errors
    /// As [`Model::open`]; those of the device.
    pub fn open(path: &Path, device: &Device) -> Result<Predictor> {
        Predictor::of(Model::open(path)?, device, 1)
    }

    /// Puts a detector on a device, for `batch` images at a time.
    ///
    /// # Errors
    /// Those of the device; of a deploy file, arrays that are missing or of another size.
    pub fn of(model: Model, device: &Device, batch: usize) -> Result<Predictor> {
        match model {
            Model::Trained(detector, weights) => {
                let mut predictor = Predictor::new(*detector, device, batch)?;
                predictor.load(&weights)?;
                Ok(predictor)
            }
            Model::Deployed(file) => Predictor::deployed(*file, device, batch),
        }
    }

    fn deployed(file: DeployFile, device: &Device, batch: usize) -> Result<Predictor> {
        let DeployFile { detector, numbers, nms, .. } = file;
        let program = Program::of(&detector)?;
        let heads = if numbers.precision == Precision::Exact { program.heads.len() } else { 0 };
        if numbers.head_fractions.len() != heads {
            let found = format!("has {} fixed points of heads, expected {heads}", numbers.head_fractions.len());
            return Err(Error::format(&numbers.path, found, "Make it again: `autobidet export RUN --out FILE`."));
        }
        let (plan, ends) = deploy::plan(&detector, &program, &numbers, device.limits(), batch as u32, &[])?;
        let network = Ends::Deployed {
            ends,
            heads: program.heads,
            precision: numbers.precision,
            fractions: numbers.head_fractions,
        };
        let executor = device.executor(Arc::new(plan))?;
        Ok(Predictor { detector, executor, network, batch, options: nms, path: numbers.path })
    }

    /// How detections are chosen where nothing else is said.
    pub fn options(&self) -> DecodeOptions {
        self.options
    }

    /// What is in an image of any size, in its pixels, by falling score.
    ///
    /// # Errors
    /// Values that are not finite, which mean that the weights are of no use; those of the device.
    pub fn image(&mut self, image: &RgbImage, options: &DecodeOptions) -> Result<Vec<Detection>> {
        pollster::block_on(self.image_async(image, options))
    }

    /// [`Predictor::image`] where nothing may block.
    ///
    /// # Errors
    /// As [`Predictor::image`].
    pub async fn image_async(&mut self, image: &RgbImage, options: &DecodeOptions) -> Result<Vec<Detection>> {
        let input = self.detector.preprocess.eval(image);
        self.start(&input, 1)?;
        let raw = self.outputs_async(1).await?;
        self.found(&raw, image.dimensions(), options)
    }

    /// The detections of one image of `size` from its outputs.
    ///
    /// # Errors
    /// Values that are not finite.
    pub fn found(&self, raw: &Raw, size: (u32, u32), options: &DecodeOptions) -> Result<Vec<Detection>> {
        let found = self.decode(raw, &[size], options)?.swap_remove(0);
        match found.not_finite {
            0 => Ok(found.detections),
            _ => Err(self.not_finite("this image")),
        }
    }

    /// Builds the network for `batch` images at a time. Its weights are zero until [`Predictor::load`].
    pub fn new(detector: Detector, device: &Device, batch: usize) -> Result<Predictor> {
        let name = detector.name();
        let (plan, network) = Builder::build(&name, Mode::Eval, device.limits(), batch as u32, |b| {
            let n = detector.network(b)?;
            b.keep(n.locations);
            b.keep(n.logits);
            Ok(n)
        })?;
        let executor = device.executor(Arc::new(plan))?;
        let (network, options) = (Ends::Trained(network), DecodeOptions::default());
        Ok(Predictor { detector, executor, network, batch, options, path: PathBuf::new() })
    }

    /// Takes weights of a run from a file; every tensor must be there.
    pub fn load(&mut self, file: &WeightFile) -> Result<Transfer> {
        self.path = file.path.clone();
        load(self.executor.as_mut(), file, true)
    }

    /// The error of weights that give values that are not finite for an image.
    pub fn not_finite(&self, image: &str) -> Error {
        Error::format(
            &self.path,
            format!("gives values that are not finite for {image}"),
            "These weights are of no use; take those of an earlier checkpoint, or train with a lower --lr.",
        )
    }

    /// Takes weights by name.
    pub fn set(&mut self, tensors: std::collections::BTreeMap<String, FileTensor>) -> Result<()> {
        self.load(&WeightFile { tensors, ..Default::default() }).map(|_| ())
    }

    /// The executor, for `trace` and `bench`.
    pub fn executor(&mut self) -> &mut dyn Executor {
        self.executor.as_mut()
    }

    /// Images a run.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Runs the network on `n` preprocessed images (`n * size * size * 4` floats, n at most the batch).
    pub fn forward(&mut self, images: &[f32], n: usize) -> Result<Raw> {
        self.start(images, n)?;
        self.outputs(n)
    }

    /// The first half of [`Predictor::forward`]: gives the images to the device and has it run, which need not end before this
    /// returns.
    pub fn start(&mut self, images: &[f32], n: usize) -> Result<()> {
        let one = self.detector.preprocess.floats();
        if n > self.batch || images.len() != n * one {
            return Err(Error::shape(
                "predict",
                format!("up to {} images of {one} floats", self.batch),
                format!("{n} images, {} floats", images.len()),
            ));
        }
        // A short batch is padded with zeros; what comes out for them is dropped.
        let mut padded = images.to_vec();
        padded.resize(self.batch * one, 0.0);
        match &self.network {
            Ends::Deployed { ends, precision: Precision::Exact, .. } => {
                let bytes = self.detector.preprocess.bytes(&padded);
                self.executor.write(ends.images, &bytes)?;
            }
            Ends::Deployed { ends, .. } => self.executor.write_f32(ends.images, &padded)?,
            Ends::Trained(network) => self.executor.write_f32(network.images, &padded)?,
        }
        self.executor.run(&["forward"])
    }

    /// The second half: waits, and reads what came out for the `n` images.
    pub fn outputs(&mut self, n: usize) -> Result<Raw> {
        pollster::block_on(self.outputs_async(n))
    }

    /// [`Predictor::outputs`] where nothing may block.
    pub async fn outputs_async(&mut self, n: usize) -> Result<Raw> {
        let (p, k) = (self.detector.priors.len(), self.detector.logits() as usize);
        let (mut locations, mut logits) = match &self.network {
            Ends::Trained(net) => {
                let mut words = self.executor.fetch(&[net.locations, net.logits]).await?.into_iter();
                let mut next = || bytemuck::cast_vec(words.next().unwrap_or_default());
                (next(), next())
            }
            Ends::Deployed { ends, heads, fractions, .. } => {
                deploy::gather(self.executor.as_mut(), ends, heads, fractions, [n, p, k]).await?
            }
        };
        locations.truncate(n * p * 8);
        logits.truncate(n * p * k);
        Ok(Raw { n, locations, logits })
    }

    /// Detections of preprocessed images, in pixels of images of these sizes (width, height).
    pub fn detect(&mut self, images: &[f32], sizes: &[(u32, u32)], options: &DecodeOptions) -> Result<Vec<Decoded>> {
        let raw = self.forward(images, sizes.len())?;
        self.decode(&raw, sizes, options)
    }

    /// Detections from the network's outputs, in pixels of images of these sizes (width, height), one an image.
    pub fn decode(&self, raw: &Raw, sizes: &[(u32, u32)], options: &DecodeOptions) -> Result<Vec<Decoded>> {
        let detector = &self.detector;
        (0..raw.n)
            .into_par_iter()
            .map(|i| {
                let (locations, logits) = raw.image(detector, i);
                let scores = softmax(logits, detector.logits() as usize);
                let means: Vec<f32> = locations.chunks_exact(8).flat_map(|l| l[4..].to_vec()).collect();
                let boxes = decode_boxes(&means, 4, &detector.priors, VARIANCES)?;
                let size = (sizes[i].0 as f32, sizes[i].1 as f32);
                decode_detections(&scores, &boxes, size, options)
            })
            .collect()
    }

    /// Runs the network on every image of a data set, unaugmented and in order. `make` runs on the loader's threads, once
    /// an image (matching its boxes, say); `look` gets each batch with the network's outputs, and its error ends the work.
    /// What comes out is what was met while decoding the images.
    pub fn each_batch<T: Send + 'static>(
        &mut self,
        data: &Arc<Dataset>,
        threads: usize,
        make: impl Fn(&Sample) -> T + Send + Sync + 'static,
        mut look: impl FnMut(&Predictor, &Batch<T>, &Raw) -> Result<()>,
    ) -> Result<Vec<Note>> {
        let settings = LoaderOptions { batch: self.batch, threads, cache_mb: 0, ..Default::default() };
        let mut loader = Loader::eval(data.clone(), self.detector.preprocess, settings, make)?;
        for batch in loader.by_ref() {
            let batch = batch?;
            let raw = self.forward(&batch.images, batch.sizes.len())?;
            look(self, &batch, &raw)?;
        }
        Ok(loader.notes())
    }

    /// Detections of a whole data set. `progress` is told images done and images after every batch; its error ends the
    /// work.
    pub fn dataset(
        &mut self,
        data: &Arc<Dataset>,
        options: &DecodeOptions,
        threads: usize,
        mut progress: impl FnMut(usize, usize) -> Result<()>,
    ) -> Result<Found> {
        let mut out = Found::default();
        let notes = self.each_batch(
            data,
            threads,
            |_| (),
            |p, batch, raw| {
                out.add(batch, p.decode(raw, &batch.sizes, options)?, data.origin);
                progress(out.detections.len(), data.images.len())
            },
        )?;
        Ok(Found { notes, ..out })
    }
}

impl Found {
    /// Adds the detections of a batch; `origin` is the data set's.
    pub fn add<T>(&mut self, batch: &Batch<T>, decoded: Vec<Decoded>, origin: f32) {
        for (k, decoded) in decoded.into_iter().enumerate() {
            if decoded.not_finite > 0 {
                self.not_finite.push(batch.ids[k].clone());
            }
            let o = origin;
            let shift = |b: BBox| BBox::new(b.xmin + o, b.ymin + o, b.xmax + o, b.ymax + o);
            let found = decoded.detections.into_iter().map(|d| Detection { bbox: shift(d.bbox), ..d });
            self.detections.push(if batch.readable[k] { found.collect() } else { Vec::new() });
        }
    }
}
