//! Batches, made by threads ahead of the device.
//!
//! Worker threads take batch numbers from a counter and make each batch whole: decode, augment, resize, normalise, and a closure
//! of the caller's on every sample (matching objects to priors, say). A finished batch waits until the ones
//! before it were taken, and no worker begins a batch more than [`LoaderOptions::ahead`] before the one that is next, so
//! memory is bounded (in bytes, too) and the order is that of the counter. What a sample looks like depends on (seed, epoch, index)
//! alone: any number of threads gives the same batches, bit for bit, and so does a start in the middle.
//!
//! A training epoch is a seeded shuffle ([`super::rng::shuffled`]) cut into whole batches; the rest is left out, another
//! rest each epoch. Step `s` is batch `s % batches` of epoch `s / batches`, so (seed, step) is the loader's whole state.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use web_time::Instant;

use super::augment::{Augment, View};
use super::preprocess::Preprocess;
use super::rng::{rng_for, shuffled};
use super::source::{Loaded, Pixels};
use super::types::{Dataset, ImageRecord, Note};
use crate::detect::BBox;
use crate::{Error, Result};

/// Bytes of images that may be begun or finished before they are taken: what [`LoaderOptions::ahead`] batches take is cut to
/// this.
const MAX_AHEAD_BYTES: usize = 256 << 20;

/// Settings of a [`Loader`].
#[derive(Debug, Clone, PartialEq)]
pub struct LoaderOptions {
    /// Images a batch.
    pub batch: usize,
    /// Worker threads; 0 takes the machine's cores.
    pub threads: usize,
    /// Batches that may be begun or finished before the next one is taken; fewer where they would take more than 256 MiB,
    /// but at least one.
    pub ahead: usize,
    /// Memory for decoded images, in MiB; what does not fit is decoded each time.
    pub cache_mb: usize,
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Whether VOC's difficult objects are targets (the released SSD leaves them out).
    pub difficult: bool,
    /// Whether COCO's crowd boxes are targets (the released code keeps them; they cover many objects with one box).
    pub crowd: bool,
}

impl Default for LoaderOptions {
    fn default() -> Self {
        LoaderOptions { batch: 16, threads: 0, ahead: 4, cache_mb: 512, seed: 1, difficult: false, crowd: false }
    }
}

/// One sample as the caller's closure sees it.
#[derive(Debug)]
pub struct Sample<'a> {
    /// Its place in [`Dataset::images`].
    pub index: usize,
    /// Its record.
    pub record: &'a ImageRecord,
    /// The targets as fractions of the image as the network sees it, in file order; areas are positive.
    pub boxes: &'a [BBox],
    /// The 0-based class of each box.
    pub labels: &'a [usize],
}

/// One batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch<T> {
    /// Which batch since the loader's step 0 (evaluation: since the first image).
    pub step: u64,
    /// The epoch it belongs to.
    pub epoch: u64,
    /// `n * size * size * 4` floats, laid out as [`Preprocess::eval`].
    pub images: Vec<f32>,
    /// What the closure made of each sample.
    pub targets: Vec<T>,
    /// Places in [`Dataset::images`].
    pub indices: Vec<usize>,
    /// Image ids.
    pub ids: Vec<String>,
    /// (width, height) of each image as decoded: what fractions are multiplied with to get pixels. The annotated size where it
    /// could not be decoded.
    pub sizes: Vec<(u32, u32)>,
    /// False for an image that could not be decoded (only in evaluation): its floats are zero and nothing can be
    /// found in it, but its objects still count.
    pub readable: Vec<bool>,
}

/// An iterator over batches. Training never ends; evaluation ends with the last image, in a batch that may be
/// short. The first error ends it. Dropping it ends its threads. Where a program can have none (a web page), batches are made
/// when they are asked for.
pub struct Loader<T> {
    shared: Arc<Shared<T>>,
    pixels: Arc<Pixels>,
    threads: Vec<JoinHandle<()>>,
    /// Makes a batch, where there are no threads to do it.
    make: Option<Box<Maker<T>>>,
    batches: u64,
    waited: Duration,
    since: Option<Instant>,
}

/// Makes a batch; nothing when the loader was ended meanwhile.
type Maker<T> = dyn Fn(u64, &AtomicBool) -> Option<Result<Batch<T>>> + Send;

/// What workers and consumer share.
#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    /// Told when a batch was taken or the loader ends.
    room: Condvar,
    /// Told when a batch is ready.
    ready: Condvar,
    stop: AtomicBool,
}

#[derive(Debug)]
struct State<T> {
    /// The next batch a worker begins.
    begin: u64,
    /// The next batch the consumer takes.
    take: u64,
    /// One past the last batch; `u64::MAX` in training.
    end: u64,
    ahead: u64,
    done: BTreeMap<u64, Result<Batch<T>>>,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A worker's panic is caught before it can poison the lock; if it were poisoned, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything a worker needs to make any batch.
struct Recipe<F> {
    dataset: Arc<Dataset>,
    preprocess: Preprocess,
    /// `None` in evaluation.
    augment: Option<Augment>,
    options: LoaderOptions,
    batches: u64,
    pixels: Arc<Pixels>,
    /// The orders of the epochs at work.
    orders: Mutex<HashMap<u64, Arc<Vec<usize>>>>,
    closure: F,
}

impl<T: Send + 'static> Loader<T> {
    /// Shuffled, augmented batches from `step` on, without end. `closure` runs on the worker threads, once a sample.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible settings, [`Error::Data`] when there are fewer images than a batch needs or no
    /// usable target in any of them.
    pub fn train<F>(
        dataset: Arc<Dataset>,
        preprocess: Preprocess,
        augment: Augment,
        options: LoaderOptions,
        step: u64,
        closure: F,
    ) -> Result<Self>
    where
        F: Fn(&Sample) -> T + Send + Sync + 'static,
    {
        augment.check()?;
        let images = dataset.images.len();
        if images < options.batch {
            return Err(Error::data(
                &dataset.root,
                format!("split `{}` has {images} images, fewer than one batch of {}", dataset.split, options.batch),
                format!("Use a batch of {} or less, or more images", images.max(1)),
            ));
        }
        let usable = |r: &ImageRecord| r.objects.iter().any(|o| o.target && options.counts(o.difficult, o.crowd));
        if !dataset.images.iter().any(usable) {
            return Err(Error::data(
                &dataset.root,
                format!("split `{}` has no box that can be a target in any of its {images} images", dataset.split),
                "Annotate objects, or choose the split that has annotations",
            ));
        }
        let batches = (images / options.batch.max(1)) as u64;
        Self::start(dataset, preprocess, Some(augment), options, batches, step, u64::MAX, closure)
    }

    /// All images in their order, as [`Preprocess::eval`] sees them.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible settings.
    pub fn eval<F>(dataset: Arc<Dataset>, preprocess: Preprocess, options: LoaderOptions, closure: F) -> Result<Self>
    where
        F: Fn(&Sample) -> T + Send + Sync + 'static,
    {
        let batches = dataset.images.len().div_ceil(options.batch.max(1)) as u64;
        Self::start(dataset, preprocess, None, options, batches, 0, batches, closure)
    }

    fn start<F>(
        dataset: Arc<Dataset>,
        preprocess: Preprocess,
        augment: Option<Augment>,
        options: LoaderOptions,
        batches: u64,
        step: u64,
        end: u64,
        closure: F,
    ) -> Result<Self>
    where
        F: Fn(&Sample) -> T + Send + Sync + 'static,
    {
        if options.batch == 0 {
            return Err(Error::config("batch", "0 images a batch", "Use at least 1"));
        }
        if preprocess.size == 0 || preprocess.size > 4096 {
            return Err(Error::config("size", format!("an input of {} pixels", preprocess.size), "Use 1 to 4096"));
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if options.threads == 0 { cores } else { options.threads.min(256) };
        let state = State {
            begin: step,
            take: step,
            end,
            ahead: options.batches_ahead(preprocess.floats()),
            done: BTreeMap::new(),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            room: Condvar::new(),
            ready: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        let pixels = Arc::new(Pixels::new(options.cache_mb));
        let recipe = Arc::new(Recipe {
            dataset,
            preprocess,
            augment,
            options,
            batches,
            pixels: pixels.clone(),
            orders: Mutex::default(),
            closure,
        });
        let waited = Duration::ZERO;
        let mut loader = Loader { shared, pixels, threads: Vec::new(), make: None, batches, waited, since: None };
        if cfg!(target_family = "wasm") {
            loader.make = Some(Box::new(move |step, stop| recipe.batch(step, stop)));
            return Ok(loader);
        }
        for number in 0..threads {
            let (shared, recipe) = (loader.shared.clone(), recipe.clone());
            let thread =
                std::thread::Builder::new().name(format!("loader {number}")).spawn(move || work(&shared, &recipe));
            // An early return drops the loader, which ends the threads already there.
            loader.threads.push(thread.map_err(|e| Error::io("start a loader thread for", Path::new("."), e))?);
        }
        Ok(loader)
    }
}

impl<T> Loader<T> {
    /// Batches an epoch (in evaluation: in all).
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// The step of the batch that [`Iterator::next`] gives next: with the seed, all that a resume needs.
    pub fn step(&self) -> u64 {
        self.shared.lock().take
    }

    /// Which part of the time since the first batch was asked for went into waiting for batches, 0 to 1.
    pub fn wait_share(&self) -> f64 {
        let total = self.since.map_or(0.0, |since| since.elapsed().as_secs_f64());
        if total > 0.0 { self.waited.as_secs_f64() / total } else { 0.0 }
    }

    /// What was met while decoding so far (each image counts once a kind): undecodable files, sizes that differ from
    /// the annotation, grey images, EXIF turns. The places do not depend on the number of threads.
    pub fn notes(&self) -> Vec<Note> {
        self.pixels.notes()
    }
}

impl<T> Iterator for Loader<T> {
    type Item = Result<Batch<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        let asked = Instant::now();
        self.since.get_or_insert(asked);
        let mut state = self.shared.lock();
        if state.take >= state.end || self.shared.stop.load(Ordering::Relaxed) {
            return None;
        }
        let step = state.take;
        let batch = loop {
            if let Some(batch) = state.done.remove(&step) {
                break batch;
            }
            if let Some(make) = &self.make {
                break make(step, &self.shared.stop)?;
            }
            state = self.shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        state.take += 1;
        if batch.is_err() {
            self.shared.stop.store(true, Ordering::Relaxed);
        }
        drop(state);
        self.shared.room.notify_all();
        self.waited += asked.elapsed();
        Some(batch)
    }
}

impl<T> Drop for Loader<T> {
    fn drop(&mut self) {
        {
            // Under the lock, so that no worker is between its check and its wait.
            let _state = self.shared.lock();
            self.shared.stop.store(true, Ordering::Relaxed);
        }
        self.shared.room.notify_all();
        for thread in self.threads.drain(..) {
            // Panics were handed over as errors already.
            let _ = thread.join();
        }
    }
}

/// A worker's life.
fn work<T, F: Fn(&Sample) -> T>(shared: &Shared<T>, recipe: &Recipe<F>) {
    loop {
        let step = {
            let mut state = shared.lock();
            loop {
                if shared.stop.load(Ordering::Relaxed) || state.begin >= state.end {
                    return;
                }
                if state.begin < state.take.saturating_add(state.ahead) {
                    break;
                }
                state = shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.begin += 1;
            state.begin - 1
        };
        let made = catch_unwind(AssertUnwindSafe(|| recipe.batch(step, &shared.stop)));
        let batch = match made {
            Ok(None) => return,
            Ok(Some(batch)) => batch,
            Err(panic) => {
                let what = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
                let what = what.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                Err(Error::data(
                    &recipe.dataset.root,
                    format!("a loader thread panicked at batch {step}: {what}"),
                    "This is an error of the program; please report it with the data that shows it",
                ))
            }
        };
        shared.lock().done.insert(step, batch);
        shared.ready.notify_all();
    }
}

impl LoaderOptions {
    /// Batches ahead, for images of so many floats.
    fn batches_ahead(&self, floats: usize) -> u64 {
        let bytes = self.batch.saturating_mul(floats).saturating_mul(size_of::<f32>());
        self.ahead.min(MAX_AHEAD_BYTES / bytes.max(1)).max(1) as u64
    }

    fn counts(&self, difficult: bool, crowd: bool) -> bool {
        (self.difficult || !difficult) && (self.crowd || !crowd)
    }
}

impl<F> Recipe<F> {
    /// Batch `step`, or `None` when the loader ended meanwhile.
    fn batch<T>(&self, step: u64, stop: &AtomicBool) -> Option<Result<Batch<T>>>
    where
        F: Fn(&Sample) -> T,
    {
        let (n, floats) = (self.options.batch, self.preprocess.floats());
        let (epoch, within) =
            if self.augment.is_some() { (step / self.batches, step % self.batches) } else { (0, step) };
        let first = within as usize * n;
        let indices: Vec<usize> = match self.augment {
            Some(_) => self.order(epoch)[first..first + n].to_vec(),
            None => (first..(first + n).min(self.dataset.images.len())).collect(),
        };
        let mut batch = Batch {
            step,
            epoch,
            images: vec![0.0; indices.len() * floats],
            targets: Vec::with_capacity(indices.len()),
            indices: Vec::with_capacity(indices.len()),
            ids: Vec::with_capacity(indices.len()),
            sizes: Vec::with_capacity(indices.len()),
            readable: Vec::with_capacity(indices.len()),
        };
        for (index, out) in indices.into_iter().zip(batch.images.chunks_exact_mut(floats)) {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let made = match &self.augment {
                Some(augment) => self.training_sample(augment, epoch, index, out),
                None => Ok(self.eval_sample(index, out)),
            };
            let (index, size, readable, target) = match made {
                Ok(made) => made,
                Err(e) => return Some(Err(e)),
            };
            batch.targets.push(target);
            batch.indices.push(index);
            batch.ids.push(self.dataset.images[index].id.clone());
            batch.sizes.push(size);
            batch.readable.push(readable);
        }
        Some(Ok(batch))
    }

    fn order(&self, epoch: u64) -> Arc<Vec<usize>> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        // Threads work on neighbouring epochs at most, unless an epoch is shorter than the threads are many.
        orders.retain(|&e, _| e + 64 > epoch);
        let make = || Arc::new(shuffled(self.options.seed, epoch, self.dataset.images.len()));
        orders.entry(epoch).or_insert_with(make).clone()
    }

    /// An image that cannot be decoded is replaced by the next one in the data set that can.
    fn training_sample<T>(
        &self,
        augment: &Augment,
        epoch: u64,
        index: usize,
        out: &mut [f32],
    ) -> Result<(usize, (u32, u32), bool, T)>
    where
        F: Fn(&Sample) -> T,
    {
        let images = &self.dataset.images;
        let mut problem = None;
        for at in (index..images.len()).chain(0..index) {
            let loaded = match self.pixels.load(at, &images[at]) {
                Ok(loaded) => loaded,
                Err(e) => {
                    problem.get_or_insert(e);
                    continue;
                }
            };
            let (boxes, labels) = self.targets(at, &loaded);
            let (width, height) = loaded.image.dimensions();
            let view = if augment.is_none() {
                self.preprocess.eval_into(&loaded.image, out);
                View { left: 0, top: 0, width, height, mirror: false }
            } else {
                let mut rng = rng_for(self.options.seed, epoch, index as u64);
                let drawn = augment.draw(width, height, &boxes, &mut rng);
                drawn.render(&loaded.image, &self.preprocess, out);
                drawn.view
            };
            return Ok((at, (width, height), true, self.close(at, &view, &boxes, &labels)));
        }
        Err(problem.unwrap_or_else(|| Error::data(&self.dataset.root, "there are no images", "Choose another split")))
    }

    fn eval_sample<T>(&self, index: usize, out: &mut [f32]) -> (usize, (u32, u32), bool, T)
    where
        F: Fn(&Sample) -> T,
    {
        let record = &self.dataset.images[index];
        // The loader's notes name the image; its objects stay in the data set and count as missed.
        let Ok(loaded) = self.pixels.load(index, record) else {
            let view = View { left: 0, top: 0, width: 1, height: 1, mirror: false };
            return (index, (record.width, record.height), false, self.close(index, &view, &[], &[]));
        };
        let (width, height) = loaded.image.dimensions();
        self.preprocess.eval_into(&loaded.image, out);
        let (boxes, labels) = self.targets(index, &loaded);
        let view = View { left: 0, top: 0, width, height, mirror: false };
        (index, (width, height), true, self.close(index, &view, &boxes, &labels))
    }

    /// The boxes that may be targets, in pixels from 0, clipped to the image as it is, with their classes.
    fn targets(&self, index: usize, loaded: &Loaded) -> (Vec<BBox>, Vec<usize>) {
        let (width, height) = (loaded.image.width() as f32, loaded.image.height() as f32);
        let origin = self.dataset.origin;
        self.dataset.images[index]
            .objects
            .iter()
            .filter(|o| o.target && self.options.counts(o.difficult, o.crowd))
            .map(|o| {
                let x = |v: f32| (v - origin).clamp(0.0, width);
                let y = |v: f32| (v - origin).clamp(0.0, height);
                (BBox::new(x(o.bbox.xmin), y(o.bbox.ymin), x(o.bbox.xmax), y(o.bbox.ymax)), o.class)
            })
            .filter(|(b, _)| b.area() > 0.0)
            .unzip()
    }

    /// Runs the caller's closure on what is seen of the boxes.
    fn close<T>(&self, index: usize, view: &View, boxes: &[BBox], labels: &[usize]) -> T
    where
        F: Fn(&Sample) -> T,
    {
        let seen = boxes.iter().zip(labels).filter_map(|(b, &label)| view.project(b).map(|b| (b, label)));
        let (boxes, labels): (Vec<BBox>, Vec<usize>) = seen.unzip();
        (self.closure)(&Sample { index, record: &self.dataset.images[index], boxes: &boxes, labels: &labels })
    }
}

#[cfg(test)]
mod tests {
    use super::LoaderOptions;

    #[test]
    fn read_ahead_is_bounded_in_bytes() {
        let ahead = |batch, ahead, side: usize| {
            LoaderOptions { batch, ahead, ..Default::default() }.batches_ahead(side * side * 4)
        };
        assert_eq!(ahead(16, 4, 160), 4);
        assert_eq!(ahead(32, 4, 300), 4);
        assert_eq!(ahead(64, 4, 300), 2);
        assert_eq!(ahead(4096, 4, 300), 1);
        assert_eq!(ahead(usize::MAX, 4, 4096), 1);
        assert_eq!(ahead(16, 0, 160), 1);
    }
}
