//! The ranges of numbers on real images, for bytes.

use std::sync::Arc;

use super::exact::Seen;
use super::file::Numbers;
use super::plan::plan;
use super::program::{Kind, Program};
use crate::Result;
use crate::device::Device;
use crate::models::Detector;

/// Numbers of a value that are kept of each image.
const SAMPLE: usize = 4096;

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Runs the network in floats on preprocessed images (one after the other) and looks at the values that will be bytes.
///
/// # Errors
/// Those of the device.
pub async fn calibrate(
    detector: &Detector,
    program: &Program,
    numbers: &Numbers,
    device: &Device,
    images: &[Vec<f32>],
    mut progress: impl FnMut(usize),
) -> Result<Vec<Option<Seen>>> {
    let normed = |v: usize| program.stages.iter().any(|s| s.x == v && matches!(s.kind, Kind::L2Norm { .. }));
    let looked: Vec<usize> = (1..program.values.len()).filter(|v| program.values[*v].conv || normed(*v)).collect();
    let (plan, ends) = plan(detector, program, numbers, device.limits(), 1, &looked)?;
    let mut e = device.executor(Arc::new(plan))?;
    let mut seen = vec![Seen::default(); looked.len()];
    for (i, image) in images.iter().enumerate() {
        e.write_f32(ends.images, image)?;
        e.run(&["forward"])?;
        for (map, seen) in e.fetch_nchw(&ends.kept).await?.into_iter().zip(&mut seen) {
            seen.largest = map.iter().fold(seen.largest, |m, v| m.max(v.abs()));
            // A step that shares no factor with the number of values, so that all channels and places are met.
            let step = (map.len() / SAMPLE..).find(|s| *s > 0 && gcd(*s, map.len()) == 1).unwrap_or(1);
            seen.sample.extend(map.iter().skip(i % step).step_by(step));
        }
        progress(i + 1);
    }
    let mut out = vec![None; program.values.len()];
    for (v, seen) in looked.into_iter().zip(seen) {
        out[v] = Some(seen);
    }
    Ok(out)
}
