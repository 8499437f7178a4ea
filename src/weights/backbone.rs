//! Backbone weights with torchvision's VGG16 names (`features.<n>.weight`, `.bias`).

use super::WeightFile;
use crate::plan::Executor;
use crate::{Error, Result};

/// VGG16's convolutions, all 3x3: the number in torchvision's `features`, input and output channels, and the convolution
/// of the binarized network that starts from it. Each stage of that network has one convolution more than VGG16's; the
/// last of a stage starts fresh.
const CONVOLUTIONS: [(u32, usize, usize, &str); 13] = [
    (0, 3, 64, "vgg.layers.0"),
    (2, 64, 64, "vgg.layers.2.conv"),
    (5, 64, 128, "vgg.layers.3.conv"),
    (7, 128, 128, "vgg.layers.4.conv"),
    (10, 128, 256, "vgg.layers.6.conv"),
    (12, 256, 256, "vgg.layers.7.conv"),
    (14, 256, 256, "vgg.layers.8.conv"),
    (17, 256, 512, "vgg.layers.10.conv"),
    (19, 512, 512, "vgg.layers.11.conv"),
    (21, 512, 512, "vgg.layers.12.conv"),
    (24, 512, 512, "vgg.layers.14.conv"),
    (26, 512, 512, "vgg.layers.15.conv"),
    (28, 512, 512, "vgg.layers.16.conv"),
];
/// fc6 and fc7 as dilated and 1x1 convolutions of the float network, as SSD's own backbone files have them; they may be
/// missing (torchvision's are of another shape, and under other names).
const FULLY_CONNECTED: [(u32, usize, usize, usize); 2] = [(31, 512, 1024, 3), (33, 1024, 1024, 1)];

const REMEDY: &str = "Expected torchvision's VGG16 without batch norm: features.<n>.weight and features.<n>.bias for n = \
                      0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28.";

/// Loads VGG16's convolutions into an `ssd300-vgg16` network, float or binarized (then as latent weights; it has no
/// biases there), and returns the names of the tensors that were taken. In the float network fc6 and fc7 are taken too,
/// where the file has them as `features.31` and `features.33`.
///
/// # Errors
/// Another network; a file that lacks a weight or a bias of one of the 13 convolutions, or has one of another shape: the
/// first such tensor is named, and nothing is taken.
pub fn load_vgg16(e: &mut dyn Executor, file: &WeightFile) -> Result<Vec<String>> {
    for (n, inputs, outputs, _) in CONVOLUTIONS {
        expect(file, n, [outputs, inputs, 3, 3])?;
    }
    for (n, inputs, outputs, kernel) in FULLY_CONNECTED {
        if file.tensors.keys().any(|k| k.starts_with(&format!("features.{n}."))) {
            expect(file, n, [outputs, inputs, kernel, kernel])?;
        }
    }
    let mut taken = Vec::new();
    for p in e.plan().params.clone() {
        let info = e.plan().info(p.tensor).clone();
        let [(name, shape)] = &p.files(info.shape)[..] else { continue };
        let Some(tensor) = source(name).and_then(|s| Some((file.tensors.get(&s)?, s))) else { continue };
        let (tensor, source) = tensor;
        if tensor.shape != *shape {
            let problem = format!("{source} is {:?}, but {name} of this network is {shape:?}", tensor.shape);
            return Err(Error::format(&file.path, problem, REMEDY));
        }
        e.write(p.tensor, &p.to_engine(&info, &[&tensor.to_f32()])?)?;
        taken.push(source);
    }
    if taken.is_empty() {
        return Err(Error::config(
            "--backbone",
            format!("{} is for ssd300-vgg16, this network is {}", file.path.display(), e.plan().name),
            "Leave it out, or choose --model ssd300-vgg16.",
        ));
    }
    Ok(taken)
}

/// Checks weight and bias of convolution `n`.
fn expect(file: &WeightFile, n: u32, shape: [usize; 4]) -> Result<()> {
    for (name, shape) in [(format!("features.{n}.weight"), &shape[..]), (format!("features.{n}.bias"), &shape[..1])] {
        let problem = match file.tensors.get(&name) {
            Some(t) if t.shape == shape => continue,
            Some(t) => format!("{name} is {:?}, expected {shape:?}", t.shape),
            None => format!("has no {name}"),
        };
        return Err(Error::format(&file.path, format!("is no VGG16 backbone: {problem}"), REMEDY));
    }
    Ok(())
}

/// The file's name of what a parameter starts from: `vgg.<n>.weight` and `.bias` in the float network, the convolutions'
/// names in the binarized one.
fn source(parameter: &str) -> Option<String> {
    if let Some((n, ..)) = CONVOLUTIONS.iter().find(|c| parameter.strip_suffix(".weight") == Some(c.3)) {
        return Some(format!("features.{n}.weight"));
    }
    let (n, part) = parameter.strip_prefix("vgg.")?.split_once('.')?;
    let n: u32 = n.parse().ok()?;
    let known = CONVOLUTIONS.iter().any(|c| c.0 == n) || FULLY_CONNECTED.iter().any(|c| c.0 == n);
    (known && ["weight", "bias"].contains(&part)).then(|| format!("features.{n}.{part}"))
}
