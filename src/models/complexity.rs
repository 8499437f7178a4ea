//! The complexity estimator: a reconstructor G from a high-level feature map f to a small image, and a discriminator D
//! whose opinion of the reconstruction says how simple the image is (docs/method.md, section 4).
//!
//! ```text
//! f: N x S x S x C, w = max(32, C / 8)
//! G: 1x1 C->w, BN, ReLU; up x2, 3x3 w->w/2, BN, ReLU; up x2, 3x3 w/2->w/4, BN, ReLU; 3x3 w/4->3, tanh      N x 4S x 4S x 3
//! D: 4x4 stride 2 3->v, LeakyReLU; 4x4 stride 2, channels doubled up to 8v, BN, LeakyReLU, until 4 cells or fewer are
//!    left; a convolution over all of them ->1                                                              N x 1 x 1 x 1
//! ```
//! with v = max(8, w / 4) and a slope of 0.2: for SSD300's conv7 (1024 channels, 19 cells) w = 128 and v = 32. Every part
//! exists once in a plan, whatever number of times it is applied; its parameters start N(0, 0.02), as usual for GANs.

use crate::Result;
use crate::ops::activation::{LeakyRelu, Tanh};
use crate::ops::batch_norm2d::BatchNorm2d;
use crate::ops::conv2d::Conv2d;
use crate::ops::relu::Relu;
use crate::ops::upsample_nearest::UpsampleNearest;
use crate::plan::{Builder, Format, Init, ParamLayout, Shape, TensorId};

/// The optimizer group of G (and of the autoencoder's encoder).
pub const GENERATOR: &str = "generator";
/// The optimizer group of D.
pub const DISCRIMINATOR: &str = "discriminator";
/// Channels of the autoencoder's latent map.
pub const LATENT: u32 = 64;

/// Whether a parameter's file name is one of the estimator's.
pub fn is_estimator(name: &str) -> bool {
    ["generator.", "discriminator.", "encoder."].iter().any(|p| name.starts_with(p))
}

/// Which statistics the batch norms of one pass use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistics {
    /// The batch's, which are mixed into the running ones.
    Batch,
    /// The batch's; the running ones stay as they are.
    BatchUntracked,
    /// The running ones ("evaluation mode").
    Running,
}

/// Sizes of an estimator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Complexity {
    /// Channels of f.
    pub channels: u32,
    /// Cells a side of f.
    pub side: u32,
}

/// What a layer is made of.
struct Layer {
    kernel: u32,
    stride: u32,
    padding: u32,
    bias: bool,
}

impl Complexity {
    /// The estimator for a map.
    pub fn of(shape: Shape) -> Complexity {
        Complexity { channels: shape.c, side: shape.h }
    }

    /// Side of the reconstruction in pixels.
    pub fn image(&self) -> u32 {
        4 * self.side
    }

    fn width(&self) -> u32 {
        (self.channels / 8).max(32)
    }

    /// G: from f, or from the latent map of the autoencoder, to images in [-1, 1].
    pub fn generator(&self, b: &mut Builder, pass: &str, f: TensorId, s: Statistics) -> Result<TensorId> {
        let w = self.width();
        let name = |i: u32| (format!("generator.{i}"), format!("{pass}.generator.{i}"));
        let mut x = f;
        for (i, (out, kernel)) in [(w, 1), (w / 2, 3), (w / 4, 3)].into_iter().enumerate() {
            let (file, label) = name(i as u32);
            if i > 0 {
                x = b.apply1(UpsampleNearest { scale: 2 }, &format!("{label}.up"), &[x])?;
            }
            let layer = Layer { kernel, stride: 1, padding: kernel / 2, bias: false };
            x = conv(b, GENERATOR, &file, &label, x, out, layer)?;
            x = norm(b, GENERATOR, &file, &label, x, s)?;
            x = b.apply1(Relu, &format!("{label}.relu"), &[x])?;
        }
        let (file, label) = name(3);
        let layer = Layer { kernel: 3, stride: 1, padding: 1, bias: true };
        x = conv(b, GENERATOR, &file, &label, x, 3, layer)?;
        b.apply1(Tanh, &format!("{label}.tanh"), &[x])
    }

    /// D: from images of [`Complexity::image`] pixels to one logit each, as a map of one pixel and channel.
    pub fn discriminator(&self, b: &mut Builder, pass: &str, images: TensorId, s: Statistics) -> Result<TensorId> {
        let first = (self.width() / 4).max(8);
        let (mut x, mut i) = (images, 0u32);
        while b.shape(x).h > 4 {
            let (file, label) = (format!("discriminator.{i}"), format!("{pass}.discriminator.{i}"));
            let layer = Layer { kernel: 4, stride: 2, padding: 1, bias: i == 0 };
            x = conv(b, DISCRIMINATOR, &file, &label, x, first << i.min(3), layer)?;
            if i > 0 {
                x = norm(b, DISCRIMINATOR, &file, &label, x, s)?;
            }
            x = b.apply1(LeakyRelu { slope: 0.2 }, &format!("{label}.relu"), &[x])?;
            i += 1;
        }
        let (file, label) = (format!("discriminator.{i}"), format!("{pass}.discriminator.{i}"));
        let layer = Layer { kernel: b.shape(x).h, stride: 1, padding: 0, bias: true };
        conv(b, DISCRIMINATOR, &file, &label, x, 1, layer)
    }

    /// The autoencoder's encoder: a 1x1 convolution from f to [`LATENT`] means and as many log-variances.
    pub fn encoder(&self, b: &mut Builder, pass: &str, f: TensorId) -> Result<TensorId> {
        let layer = Layer { kernel: 1, stride: 1, padding: 0, bias: true };
        conv(b, GENERATOR, "encoder", &format!("{pass}.encoder"), f, 2 * LATENT, layer)
    }
}

fn conv(b: &mut Builder, group: &str, file: &str, label: &str, x: TensorId, out: u32, l: Layer) -> Result<TensorId> {
    let shape = Shape::new(l.kernel, l.kernel, b.shape(x).c, out);
    let name = format!("{file}.weight");
    let weight = b.param(group, &name, shape, Format::Weight, ParamLayout::Conv(name.clone()), Init::Normal(0.02));
    let mut inputs = vec![x, weight];
    if l.bias {
        let name = format!("{file}.bias");
        let layout = ParamLayout::Planes(vec![name.clone()]);
        inputs.push(b.param(group, &name, Shape::vector(out), Format::Map, layout, Init::Zeros));
    }
    let op = Conv2d { kernel: [l.kernel; 2], stride: [l.stride; 2], padding: [l.padding; 2], ..Default::default() };
    b.apply1(op, &format!("{label}.conv"), &inputs)
}

fn norm(b: &mut Builder, group: &str, file: &str, label: &str, x: TensorId, s: Statistics) -> Result<TensorId> {
    let shape = Shape::new(1, 1, 2, b.shape(x).c);
    let planes = |a: &str, c: &str| ParamLayout::Planes(vec![format!("{file}.bn.{a}"), format!("{file}.bn.{c}")]);
    let (affine, running) = (planes("weight", "bias"), planes("running_mean", "running_var"));
    let init = Init::Planes(vec![1.0, 0.0]);
    let affine = b.param(group, &format!("{file}.bn.affine"), shape, Format::Map, affine, init);
    let running = b.buffer_param(&format!("{file}.bn.running"), shape, running, Init::Planes(vec![0.0, 1.0]));
    let op = BatchNorm2d { frozen: s == Statistics::Running, track: s == Statistics::Batch, ..Default::default() };
    b.apply1(op, &format!("{label}.bn"), &[x, affine, running])
}
