//! The pixels of a data set's images: decoded (or drawn), kept in memory up to a budget, and what was met doing so.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use image::RgbImage;

use super::image_file;
use super::notes::EXAMPLES;
use super::scenes::{self, SceneSpec};
use super::types::{ImageRecord, ImageSource, Note};
use crate::Result;

/// The pixels of an image: 8-bit RGB, upright.
///
/// # Errors
/// As [`image_file::read`].
pub fn pixels(record: &ImageRecord) -> Result<RgbImage> {
    match &record.source {
        ImageSource::Memory(image) => Ok(image.as_ref().clone()),
        ImageSource::File(path) => {
            let annotated = (record.width > 0 && record.height > 0).then_some((record.width, record.height));
            Ok(image_file::read(path, annotated)?.image)
        }
        ImageSource::Scene { seed, index } => {
            let spec = SceneSpec { seed: *seed, width: record.width, height: record.height };
            Ok(scenes::draw(&spec, *index).0)
        }
    }
}

/// One image in memory.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    /// 8-bit RGB, upright.
    pub image: Arc<RgbImage>,
}

/// Reads images and remembers them.
#[derive(Debug)]
pub(super) struct Pixels {
    cache: Mutex<Cache>,
    /// Kind of note to (place in the data set, image id with details).
    met: Mutex<BTreeMap<&'static str, BTreeMap<usize, String>>>,
}

#[derive(Debug)]
struct Cache {
    images: HashMap<usize, Loaded>,
    free: usize,
}

impl Pixels {
    /// Keeps at most `cache_mb` MiB of pixels. Nothing is ever thrown out for something else: every epoch visits
    /// every image once, in another order, so no choice of what to keep would be better than the first.
    pub(super) fn new(cache_mb: usize) -> Self {
        let cache = Cache { images: HashMap::new(), free: cache_mb.saturating_mul(1 << 20) };
        Pixels { cache: Mutex::new(cache), met: Mutex::default() }
    }

    /// Image `index` of a data set.
    pub(super) fn load(&self, index: usize, record: &ImageRecord) -> Result<Loaded> {
        if let Some(loaded) = self.cache.lock().unwrap_or_else(PoisonError::into_inner).images.get(&index) {
            return Ok(loaded.clone());
        }
        let image = match &record.source {
            ImageSource::Memory(image) => return Ok(Loaded { image: image.clone() }),
            ImageSource::File(path) => {
                let annotated = (record.width > 0 && record.height > 0).then_some((record.width, record.height));
                let decoded = image_file::read(path, annotated).inspect_err(|e| {
                    self.note(
                        "image that cannot be decoded: skipped in training, its objects count as missed in evaluation",
                        index,
                        e.to_string(),
                    );
                })?;
                let (width, height) = decoded.image.dimensions();
                if let Some((w, h)) = annotated.filter(|a| *a != (width, height)) {
                    let place = format!("{}: annotated {w}x{h}, is {width}x{height}", record.id);
                    self.note("image of another size than annotated: its own size is used", index, place);
                }
                if decoded.grey {
                    self.note("grey image: made three equal channels", index, record.id.clone());
                }
                if decoded.turned {
                    self.note("image turned as its EXIF orientation says", index, record.id.clone());
                }
                decoded.image
            }
            ImageSource::Scene { seed, index } => {
                let spec = SceneSpec { seed: *seed, width: record.width, height: record.height };
                scenes::draw(&spec, *index).0
            }
        };
        let loaded = Loaded { image: Arc::new(image) };
        let bytes = loaded.image.as_raw().len();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have loaded the same image meanwhile: its bytes are counted once.
        if bytes <= cache.free && !cache.images.contains_key(&index) {
            cache.free -= bytes;
            cache.images.insert(index, loaded.clone());
        }
        Ok(loaded)
    }

    fn note(&self, what: &'static str, index: usize, place: String) {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default().insert(index, place);
    }

    /// What was met so far, each image once a kind, in the order of the data set.
    pub(super) fn notes(&self) -> Vec<Note> {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.iter()
            .map(|(what, places)| Note {
                what: (*what).to_owned(),
                count: places.len(),
                examples: places.values().take(EXAMPLES).cloned().collect(),
            })
            .collect()
    }
}
