//! `tiny`: the same kind of network as SSD300 in small. 160x160, maps of 20, 10, 5 and 3 cells. With 3 classes it has 1.26
//! million parameters and 272 million multiply-accumulates an image, with 20 classes 1.57 and 314: what grows is the heads (300 million are reached with 14).

use super::Source;
use super::layers::{K3S2, Layer, batch_norm, block, conv, relu};
use crate::Result;
use crate::config::{Binarization, Method};
use crate::detect::priors::{PriorMap, PriorSpec};
use crate::plan::{Builder, TensorId};

/// Input side in pixels.
pub const SIZE: u32 = 160;

/// Priors: cells, step, smallest and largest size in pixels of 160. They reach objects of a fourteenth of the image.
pub fn priors() -> Result<PriorSpec> {
    let map = |cells, step, min, max| PriorMap::new(cells, step, min, max, &[2.0]);
    let maps = vec![
        map(20, 8.0, 12.0, 65.0),
        map(10, 16.0, 40.0, 73.0),
        map(5, 32.0, 72.0, 103.0),
        map(3, 160.0 / 3.0, 110.0, 154.0),
    ];
    PriorSpec::new(SIZE as f64, maps, true)
}

/// The source maps for the heads: 20, 10, 5 and 3 cells, 128 channels each.
pub(super) fn sources(b: &mut Builder, images: TensorId, method: &Method) -> Result<Vec<Source>> {
    let x = conv(b, "body.0", images, 32, K3S2, false)?;
    let mut x = batch_norm(b, "body.1", x, None)?;
    if method.binarization == Binarization::Float {
        x = relu(b, "body.1", x)?;
    }
    let block = |b: &mut Builder, name: &str, x, out, stride| block(b, name, x, out, stride, method);
    let x = block(b, "body.2", x, 48, 2)?.y; // 40
    let x = block(b, "body.3", x, 48, 1)?.y;
    let x = block(b, "body.4", x, 128, 2)?.y; // 20
    let x = block(b, "body.5", x, 128, 1)?.y;
    let s0 = block(b, "body.6", x, 128, 1)?;
    let x = block(b, "body.7", s0.y, 128, 2)?.y; // 10
    let s1 = block(b, "body.8", x, 128, 1)?;
    let s2 = block(b, "body.9", s1.y, 128, 2)?; // 5
    let s3 = block(b, "body.10", s2.y, 128, 2)?; // 3
    let signed = method.binarization == Binarization::BiReal;
    let source = |s: Layer, signed| Source { map: s.y, conv: s.conv, signed };
    Ok(vec![source(s0, signed), source(s1, signed), source(s2, signed), source(s3, false)])
}
