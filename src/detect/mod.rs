//! Boxes, priors, matching and non-maximum suppression on the host. Knows nothing of wgpu.

pub mod boxes;
pub mod codec;
pub mod decode;
pub mod exp;
pub mod matching;
pub mod nms;
pub mod priors;

pub use boxes::{BBox, Detection, iou};
pub use codec::{VARIANCES, decode_boxes, encode_box};
pub use decode::{DecodeOptions, Decoded, decode_detections};
pub use matching::{Matched, Matcher};
pub use nms::nms;
pub use priors::{PriorMap, PriorSpec};
