//! What every data set is turned into.

use std::path::PathBuf;
use std::sync::Arc;

use image::RgbImage;

use crate::detect::BBox;

/// One annotated object.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// 0-based index into [`Dataset::classes`].
    pub class: usize,
    /// The box in the file's own pixel coordinates (VOC counts pixels from 1, see [`Dataset::origin`];
    /// COCO's x, y, w, h are turned into corners).
    pub bbox: BBox,
    /// VOC's `difficult`.
    pub difficult: bool,
    /// COCO's `iscrowd`.
    pub crowd: bool,
    /// COCO's `area` (of the segmentation); for VOC the box's own area.
    pub area: f32,
    /// False where the object must not become a training target (zero area, for one); it still counts in evaluation
    /// as its format's definition says.
    pub target: bool,
}

/// Where an image's pixels come from.
#[derive(Debug, Clone, PartialEq)]
pub enum ImageSource {
    /// An image file.
    File(PathBuf),
    /// Pixels in memory.
    Memory(Arc<RgbImage>),
    /// Pixels that are drawn from (seed, index) by [`crate::data`]'s embedded scenes.
    Scene {
        /// Seed of the whole set.
        seed: u64,
        /// Which scene of the set.
        index: u64,
    },
}

/// One image of a data set with its objects.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageRecord {
    /// The name that detections carry: VOC's image id, COCO's numeric id as text.
    pub id: String,
    /// Where the pixels are.
    pub source: ImageSource,
    /// Width in pixels, as annotated (0 where unknown until it is decoded).
    pub width: u32,
    /// Height in pixels, as annotated (0 where unknown until it is decoded).
    pub height: u32,
    /// Its objects; may be empty.
    pub objects: Vec<Object>,
}

/// One thing met while reading a data set that the user should know: a kind, how often, and the first few places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// One sentence without the places: `zero-area box: left out of the targets, the image is kept`.
    pub what: String,
    /// How many times.
    pub count: usize,
    /// The first few places (image ids, or file:line).
    pub examples: Vec<String>,
}

/// A whole split, ready to be loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// A short name for progress and reports.
    pub name: String,
    /// Its folder (or `scenes`).
    pub root: PathBuf,
    /// The split's name, e.g. `trainval`.
    pub split: String,
    /// Class names, foreground only, in a fixed order.
    pub classes: Vec<String>,
    /// The category ids that COCO results carry, one a class; for VOC 1, 2, ....
    pub category_ids: Vec<u32>,
    /// The coordinate of the first pixel's left edge: 1.0 for VOC files, 0.0 for COCO and scenes. Subtracted from
    /// boxes to make training targets, and added to detections before they are compared with annotations.
    pub origin: f32,
    /// The images.
    pub images: Vec<ImageRecord>,
    /// What was met on the way.
    pub notes: Vec<Note>,
}
