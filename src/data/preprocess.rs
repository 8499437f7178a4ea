//! The one way from an 8-bit RGB image to a network's input; training, evaluation, export and inference all use it.
//!
//! ```text
//! y[row][col][c] = (resize(x)[row][col][c] - mean[c]) * scale[c],   c = R, G, B
//! ```
//!
//! Layout of the result: NHWC, f32, rows first, channel pitch [`PITCH`] = 4 (red, green, blue, 0), `size x size`.
//! The aspect ratio is not kept (SSD's rule).
//!
//! The resize of 8-bit images is OpenCV's `INTER_LINEAR`, bit for bit: half-pixel centres, no antialiasing, borders
//! clamped, coefficients of 11 bits, result rounded to 8 bits. Published mAP values of float networks depend on it.

use image::RgbImage;
use serde::{Deserialize, Serialize};

/// Floats a pixel in a network's input: R, G, B and a zero.
pub const PITCH: usize = 4;

/// How 8-bit values become network input. Written into model files: a network only works with its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// `x - (123, 117, 104)`: the released SSD.
    MeanSubtract,
    /// `x / 127.5 - 1`: the papers' pretraining, in [-1, 1].
    #[default]
    SymmetricUnit,
    /// `(x / 255 - mean) / deviation` of ImageNet: the ResNet backbones.
    ImageNetMeanStd,
}

impl Normalization {
    /// The colour (R, G, B in 0..255) that becomes zero; what lies outside an image is filled with it.
    pub fn mean(self) -> [f32; 3] {
        match self {
            Normalization::MeanSubtract => [123.0, 117.0, 104.0],
            Normalization::SymmetricUnit => [127.5; 3],
            Normalization::ImageNetMeanStd => [0.485 * 255.0, 0.456 * 255.0, 0.406 * 255.0],
        }
    }

    /// What `x - mean` is multiplied with, one factor a channel.
    pub fn scale(self) -> [f32; 3] {
        match self {
            Normalization::MeanSubtract => [1.0; 3],
            Normalization::SymmetricUnit => [1.0 / 127.5; 3],
            Normalization::ImageNetMeanStd => [1.0 / (0.229 * 255.0), 1.0 / (0.224 * 255.0), 1.0 / (0.225 * 255.0)],
        }
    }

    /// One pixel, R, G, B in 0..255 (values outside are allowed: augmentation does not clip).
    #[inline]
    pub fn apply(self, rgb: [f32; 3]) -> [f32; PITCH] {
        let (mean, scale) = (self.mean(), self.scale());
        [(rgb[0] - mean[0]) * scale[0], (rgb[1] - mean[1]) * scale[1], (rgb[2] - mean[2]) * scale[2], 0.0]
    }

    /// Back to R, G, B in 0..255: the inverse of [`Normalization::apply`], for pictures of what a network saw.
    pub fn invert(self, pixel: [f32; 3]) -> [f32; 3] {
        let (mean, scale) = (self.mean(), self.scale());
        [0, 1, 2].map(|c| pixel[c] / scale[c] + mean[c])
    }
}

/// A network's input: side and normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preprocess {
    /// Side of the square input, in pixels.
    pub size: u32,
    /// What is done to the values.
    pub normalization: Normalization,
}

impl Preprocess {
    /// Floats of one image: `size * size * 4`.
    pub fn floats(&self) -> usize {
        self.size as usize * self.size as usize * PITCH
    }

    /// The input of evaluation and inference for one image, [`Preprocess::floats`] long.
    pub fn eval(&self, image: &RgbImage) -> Vec<f32> {
        let mut out = vec![0.0; self.floats()];
        self.eval_into(image, &mut out);
        out
    }

    /// What [`Preprocess::eval`] made, as the image's own bytes less 128, a word a pixel (red in the lowest byte): the input
    /// of networks in integers. Values between two bytes are rounded.
    pub fn bytes(&self, input: &[f32]) -> Vec<u32> {
        let byte = |v: f32| (v.round().clamp(0.0, 255.0) as i32 - 128) as u8 as u32;
        let pixel = |p: &[f32]| {
            let rgb = self.normalization.invert([p[0], p[1], p[2]]).map(byte);
            rgb[0] | rgb[1] << 8 | rgb[2] << 16
        };
        input.chunks_exact(PITCH).map(pixel).collect()
    }

    /// A network's input in small, `side` x `side`, its values mapped to [-1, 1]: what the complexity estimator
    /// reconstructs. Bilinear, half-pixel centres, no antialiasing, as the input itself was made.
    pub fn in_small(&self, input: &[f32], side: u32) -> Vec<f32> {
        let (from, to) = (self.size as usize, side as usize);
        let at = |i: usize| {
            let x = ((i as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, from as f32 - 1.0);
            let low = (x as usize).min(from - 1);
            (low, (low + 1).min(from - 1), x - low as f32)
        };
        let columns: Vec<_> = (0..to).map(at).collect();
        let mut out = vec![0.0; to * to * PITCH];
        for (row, out) in out.chunks_exact_mut(to * PITCH).enumerate() {
            let (top, bottom, v) = at(row);
            for (&(left, right, u), out) in columns.iter().zip(out.chunks_exact_mut(PITCH)) {
                let pixel = |y: usize, x: usize, c: usize| input[(y * from + x) * PITCH + c];
                let mixed = [0, 1, 2].map(|c| {
                    let upper = pixel(top, left, c) * (1.0 - u) + pixel(top, right, c) * u;
                    let lower = pixel(bottom, left, c) * (1.0 - u) + pixel(bottom, right, c) * u;
                    upper * (1.0 - v) + lower * v
                });
                let rgb = self.normalization.invert(mixed);
                for c in 0..3 {
                    out[c] = (rgb[c] / 127.5 - 1.0).clamp(-1.0, 1.0);
                }
            }
        }
        out
    }

    /// [`Preprocess::eval`] into a slice of [`Preprocess::floats`] elements (a shorter one is filled as far as it goes).
    pub fn eval_into(&self, image: &RgbImage, out: &mut [f32]) {
        let resized = resize_linear(image, self.size, self.size);
        for (pixel, out) in resized.pixels().zip(out.chunks_exact_mut(PITCH)) {
            out.copy_from_slice(&self.normalization.apply(pixel.0.map(f32::from)));
        }
    }
}

/// Where output position `i` of `out` looks in `len` inputs: the tap (the second one is the next), and its share in
/// units of 1/2048. `clamp` moves taps outside to the border with the whole share.
fn taps(len: u32, out: u32, clamp: bool) -> Vec<(i64, i32, i32)> {
    // As OpenCV: the scale is the reciprocal of a reciprocal in f64, the position is rounded to f32.
    let scale = 1.0 / (f64::from(out) / f64::from(len));
    (0..out)
        .map(|i| {
            let position = ((f64::from(i) + 0.5) * scale - 0.5) as f32;
            let mut tap = position.floor();
            let mut share = position - tap;
            if clamp && tap < 0.0 {
                (tap, share) = (0.0, 0.0);
            }
            if clamp && tap >= (len - 1) as f32 {
                (tap, share) = ((len - 1) as f32, 0.0);
            }
            let fixed = |v: f32| (v * 2048.0).round_ties_even() as i32;
            (tap as i64, fixed(1.0 - share), fixed(share))
        })
        .collect()
}

/// OpenCV's `resize(..., INTER_LINEAR)` of 8-bit RGB to `width x height`, bit for bit.
///
/// With `h[r][x] = a0 src[r][x0] + a1 src[r][x1]` (shares of 1/2048) a pixel is
/// `(((b0 * (h[r0] >> 4)) >> 16) + ((b1 * (h[r1] >> 4)) >> 16) + 2) >> 2`.
/// An empty image, or an empty result, gives black.
pub fn resize_linear(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (from_width, from_height) = image.dimensions();
    let mut result = RgbImage::new(width, height);
    if from_width == 0 || from_height == 0 || width == 0 || height == 0 {
        return result;
    }
    let (columns, rows) = (taps(from_width, width, true), taps(from_height, height, false));
    let (source, stride) = (image.as_raw().as_slice(), from_width as usize * 3);
    // Byte offsets of the two taps of every column.
    let columns: Vec<(usize, usize, i32, i32)> = columns
        .iter()
        .map(|&(x, a0, a1)| (x as usize * 3, (x as usize + 1).min(from_width as usize - 1) * 3, a0, a1))
        .collect();
    let horizontal = |row: usize, out: &mut [i32]| {
        let line = &source[row * stride..(row + 1) * stride];
        for (out, &(x0, x1, a0, a1)) in out.chunks_exact_mut(3).zip(&columns) {
            for c in 0..3 {
                out[c] = (i32::from(line[x0 + c]) * a0 + i32::from(line[x1 + c]) * a1) >> 4;
            }
        }
    };
    let clamp = |row: i64| row.clamp(0, i64::from(from_height) - 1) as usize;
    // The two lines last computed: neighbouring output rows often share one.
    let mut lines = [vec![0i32; width as usize * 3], vec![0i32; width as usize * 3]];
    let mut have = [usize::MAX; 2];
    for (&(row, b0, b1), out) in rows.iter().zip(result.chunks_exact_mut(width as usize * 3)) {
        let want = [clamp(row), clamp(row + 1)];
        if have[1] == want[0] {
            lines.swap(0, 1);
            have.swap(0, 1);
        }
        for k in 0..2 {
            if have[k] != want[k] {
                horizontal(want[k], &mut lines[k]);
                have[k] = want[k];
            }
        }
        for ((out, &h0), &h1) in out.iter_mut().zip(&lines[0]).zip(&lines[1]) {
            *out = ((((b0 * h0) >> 16) + ((b1 * h1) >> 16) + 2) >> 2).clamp(0, 255) as u8;
        }
    }
    result
}
