//! Data sets, augmentation and loading. Knows nothing of wgpu.
//!
//! [`find::open`] turns a VOC or COCO folder into a [`Dataset`]; [`loader::Loader`] turns that into batches, decoded by
//! [`image_file`], augmented by [`augment`] and brought to a network's input by [`preprocess`].

mod coco;
mod coco_json;
pub mod find;
pub mod image_file;
mod notes;
pub mod preprocess;
pub mod rng;
pub mod types;
pub mod voc;
mod voc_xml;

pub use find::{open, open_with};
pub use preprocess::{Normalization, Preprocess};
pub use types::{Dataset, ImageRecord, ImageSource, Note, Object};
