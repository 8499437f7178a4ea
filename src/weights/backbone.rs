//! Backbone weights with torchvision's VGG16 names (`features.<n>.weight`, `.bias`).

use super::WeightFile;
use crate::plan::Executor;
use crate::{Error, Result};

/// Convolutions of the binarized network and the VGG16 convolution of the same shape that each starts from. Each stage
/// has one convolution more than VGG16's; the last of a stage starts fresh.
const BINARIZED: [(&str, u32); 13] = [
    ("vgg.layers.0", 0),
    ("vgg.layers.2.conv", 2),
    ("vgg.layers.3.conv", 5),
    ("vgg.layers.4.conv", 7),
    ("vgg.layers.6.conv", 10),
    ("vgg.layers.7.conv", 12),
    ("vgg.layers.8.conv", 14),
    ("vgg.layers.10.conv", 17),
    ("vgg.layers.11.conv", 19),
    ("vgg.layers.12.conv", 21),
    ("vgg.layers.14.conv", 24),
    ("vgg.layers.15.conv", 26),
    ("vgg.layers.16.conv", 28),
];

/// Loads VGG16 convolutions into an `ssd300-vgg16` network, float or binarized (then as latent weights), and returns how
/// many tensors were taken.
///
/// # Errors
/// A file without any `features.<n>.weight` of the right shape.
pub fn load_vgg16(e: &mut dyn Executor, file: &WeightFile) -> Result<usize> {
    let mut taken = 0;
    for p in e.plan().params.clone() {
        let info = e.plan().info(p.tensor).clone();
        let names = p.files(info.shape);
        let mut arrays = Vec::new();
        for (name, shape) in &names {
            let source = match BINARIZED.iter().find(|(n, _)| name.strip_suffix(".weight") == Some(n)) {
                Some((_, i)) => format!("features.{i}.weight"),
                None => match name.strip_prefix("vgg.") {
                    Some(rest) => format!("features.{rest}"),
                    None => continue,
                },
            };
            if let Some(t) = file.tensors.get(&source).filter(|t| t.shape == *shape) {
                arrays.push(t.to_f32());
            }
        }
        if !names.is_empty() && arrays.len() == names.len() {
            let slices: Vec<&[f32]> = arrays.iter().map(|a| a.as_slice()).collect();
            e.write(p.tensor, &p.to_engine(&info, &slices)?)?;
            taken += names.len();
        }
    }
    if taken == 0 {
        return Err(Error::format(
            &file.path,
            "holds no VGG16 convolution that fits this network",
            "Expected torchvision's names (`features.0.weight`, ...); only ssd300-vgg16 takes a backbone.",
        ));
    }
    Ok(taken)
}
