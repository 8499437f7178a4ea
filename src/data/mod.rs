//! Data sets, augmentation and loading. Knows nothing of wgpu.
//!
//! [`find::open`] turns a VOC or COCO folder into a [`Dataset`]; [`loader::Loader`] turns that into batches, decoded by
//! [`image_file`], augmented by [`augment`] and brought to a network's input by [`preprocess`].

pub mod augment;
mod coco;
mod coco_json;
pub mod colour;
pub mod find;
pub mod image_file;
pub mod labels;
pub mod loader;
mod notes;
pub mod preprocess;
pub mod rng;
pub mod scenes;
mod source;
pub mod types;
pub mod voc;
pub mod voc_write;
mod voc_xml;

pub use augment::Augment;
pub use find::{open, open_annotations, open_with};
pub use loader::{Batch, Loader, LoaderOptions, Sample};
pub use preprocess::{Normalization, PITCH, Preprocess};
pub use source::pixels;
pub use types::{Dataset, ImageRecord, ImageSource, Note, Object};
pub use voc_write::VocWriter;
