//! `ssd300-vgg16`: the original SSD300 in float, and the binarized network as BiDet's code builds it
//! (docs/method.md, section 1), with the parameter names of those checkpoints.

use super::Source;
use super::layers::*;
use crate::Result;
use crate::config::{Binarization, Method, ModelConfig};
use crate::ops::binary_conv2d::InputDomain;
use crate::ops::l2_norm::L2Norm;
use crate::ops::max_pool2d::MaxPool2d;
use crate::ops::pool::PoolWindow;
use crate::plan::{Builder, Format, Init, ParamLayout, Shape, TensorId};

/// Input side in pixels.
pub const SIZE: u32 = 300;

/// The eight extra convolutions: output channels and window.
const EXTRAS: [(u32, Window); 8] = {
    const V: Window = Window { kernel: 3, stride: 1, padding: 0, dilation: 1 };
    [(256, K1), (512, K3S2), (128, K1), (256, K3S2), (128, K1), (256, V), (128, K1), (256, V)]
};

/// What the channels of every layer but the heads are divided by.
#[derive(Debug, Clone, Copy)]
struct Width(u32);

impl Width {
    fn of(self, channels: u32) -> u32 {
        channels / self.0
    }
}

/// The six source maps: 38, 19, 10, 5, 3 and 1 cells.
pub(super) fn sources(b: &mut Builder, images: TensorId, config: &ModelConfig) -> Result<Vec<Source>> {
    let width = Width(config.channel_divisor);
    match config.method.binarization {
        Binarization::Float => float(b, images, config.float_batch_norm, width),
        Binarization::BiReal | Binarization::Xnor => binarized(b, images, &config.method, width),
    }
}

/// The first source: a layer's output through an L2 norm with learned lengths.
fn l2_source(b: &mut Builder, l: Layer) -> Result<Source> {
    let layout = ParamLayout::Planes(vec!["L2Norm.weight".to_string()]);
    let shape = Shape::vector(b.shape(l.y).c);
    let w = b.param(DETECTOR, "L2Norm.weight", shape, Format::Map, layout, Init::Planes(vec![20.0]));
    let map = b.apply1(L2Norm { eps: 1e-10 }, "L2Norm", &[l.y, w])?;
    Ok(Source { map, conv: l.conv, signed: false })
}

fn max_pool(b: &mut Builder, name: &str, x: TensorId, k: Window, ceil_mode: bool) -> Result<TensorId> {
    let window = PoolWindow::square(k.kernel, k.stride, k.padding);
    b.apply1(MaxPool2d(if ceil_mode { window.ceil() } else { window }), name, &[x])
}

/// VGG16's body, which has no shortcuts; numbers as in torchvision's `features` (with fc6 and fc7 as 31 and 33), which is what weight files use.
fn float(b: &mut Builder, images: TensorId, norm: bool, width: Width) -> Result<Vec<Source>> {
    let layer = |b: &mut Builder, name: &str, x, out, k| -> Result<Layer> {
        let conv = conv(b, name, x, out, k, true)?;
        let y = if norm { batch_norm(b, &format!("{name}.bn"), conv, None)? } else { conv };
        Ok(Layer { y: relu(b, name, y)?, conv })
    };
    let source = |l: Layer| Source { map: l.y, conv: l.conv, signed: false };
    let pool = Window { kernel: 2, stride: 2, padding: 0, dilation: 1 };
    let mut x = images;
    let mut index = 0;
    let mut conv4_3 = Layer { y: x, conv: x };
    for (stage, (channels, convs)) in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)].into_iter().enumerate() {
        for _ in 0..convs {
            let l = layer(b, &format!("vgg.{index}"), x, width.of(channels), K3)?;
            x = l.y;
            if stage == 3 {
                conv4_3 = l;
            }
            index += 2;
        }
        match stage {
            4 => x = max_pool(b, &format!("vgg.{index}"), x, K3, false)?,
            _ => x = max_pool(b, &format!("vgg.{index}"), x, pool, stage == 2)?,
        }
        index += 1;
    }
    x = layer(b, "vgg.31", x, width.of(1024), Window { kernel: 3, stride: 1, padding: 6, dilation: 6 })?.y;
    let conv7 = layer(b, "vgg.33", x, width.of(1024), K1)?;
    let mut sources = vec![l2_source(b, conv4_3)?, source(conv7)];
    x = conv7.y;
    for (i, (out, k)) in EXTRAS.into_iter().enumerate() {
        let l = layer(b, &format!("extras.{i}"), x, width.of(out), k)?;
        x = l.y;
        if i % 2 == 1 {
            sources.push(source(l));
        }
    }
    Ok(sources)
}

/// BiDet's restructured body, 16 blocks and a dilated binary convolution, then conv7 in floats and eight binary extra
/// convolutions. With [`Binarization::Xnor`] the batch norm of each binary convolution, under the same name, stands in
/// front of it.
fn binarized(b: &mut Builder, images: TensorId, method: &Method, width: Width) -> Result<Vec<Source>> {
    let rules = method.binarization;
    let x = conv(b, "vgg.layers.0", images, width.of(64), K3, false)?;
    let mut x = batch_norm(b, "vgg.layers.1", x, None)?;
    let blocks: [(u32, u32); 16] = [
        (64, 1),
        (128, 2),
        (128, 1),
        (128, 1),
        (256, 2),
        (256, 1),
        (256, 1),
        (256, 1),
        (512, 2),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 2),
        (512, 1),
        (512, 1),
        (512, 1),
    ];
    let mut conv4 = Layer { y: x, conv: x };
    for (i, (channels, stride)) in blocks.into_iter().enumerate() {
        let index = i + 2;
        let l = block(b, &format!("vgg.layers.{index}"), x, width.of(channels), stride, method)?;
        x = l.y;
        if index == 13 {
            conv4 = l;
        }
    }
    x = max_pool(b, "vgg.layers.18", x, K3, false)?;
    let wide = Window { kernel: 3, stride: 1, padding: 6, dilation: 6 };
    x = binary_layer(b, ["vgg.layers.19", "vgg.layers.20"], x, width.of(1024), wide, InputDomain::Sign, rules)?.y;
    if rules == Binarization::BiReal {
        x = relu(b, "vgg.layers.21", x)?;
    }
    let conv7 = conv(b, "vgg.layers.22", x, width.of(1024), K1, true)?;
    x = batch_norm(b, "vgg.layers.23", conv7, None)?;
    x = relu(b, "vgg.layers.24", x)?;
    let mut sources = vec![l2_source(b, conv4)?, Source { map: x, conv: conv7, signed: false }];
    for (i, (out, k)) in EXTRAS.into_iter().enumerate() {
        // The first extra layer reads a ReLU's output, zeros and plus ones, where no batch norm stands between.
        let domain = if i == 0 { InputDomain::ZeroOne } else { InputDomain::Sign };
        let l =
            binary_layer(b, [&format!("extras.{i}"), &format!("extra_bns.{i}")], x, width.of(out), k, domain, rules)?;
        x = l.y;
        if i % 2 == 1 {
            let signed = rules == Binarization::BiReal && i + 1 < EXTRAS.len();
            sources.push(Source { map: x, conv: l.conv, signed });
        }
    }
    Ok(sources)
}
