//! Classification networks whose weights are recognised by their names, with the names and shapes of their bodies (the
//! classifier on top is not looked at).

use std::collections::BTreeMap;

use crate::weights::ForeignTensor;

/// Names and shapes.
pub type Expected = Vec<(String, Vec<usize>)>;

/// A network that was recognised.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// What it is.
    pub name: String,
    /// In front of all its names in the file.
    pub prefix: &'static str,
    /// Its body.
    pub tensors: Expected,
    /// What it can be used for here.
    pub use_: &'static str,
}

const BACKBONE: &str = "ssd300-vgg16 starts from it with --backbone";
const NOT_BUILT: &str = "no network here uses it yet";

/// The network of these names, if it is one of those known.
pub fn recognise(tensors: &BTreeMap<String, ForeignTensor>) -> Option<Known> {
    for prefix in ["", "backbone."] {
        let has = |name: &str| tensors.contains_key(&format!("{prefix}{name}"));
        let out = |name: &str| {
            let first = tensors.get(&format!("{prefix}{name}")).and_then(|t| t.shape.first()).copied();
            first.filter(|c| (12..=1024).contains(c))
        };
        let known = |name: &str, tensors: Expected, use_| Some(Known { name: name.to_string(), prefix, tensors, use_ });
        if has("features.28.weight") && has("features.0.bias") && !has("features.1.running_mean") {
            return known("VGG16", vgg16(), BACKBONE);
        }
        if has("layer1.0.conv2.weight") && has("layer4.1.conv2.weight") && !has("layer1.0.conv3.weight") {
            // ResNet-34 has the same names and more of them.
            let name =
                if has("layer1.2.conv1.weight") { "ResNet-34, of which ResNet-18 is a part" } else { "ResNet-18" };
            return known(name, resnet18(), NOT_BUILT);
        }
        if has("features.0.0.weight") && has("features.1.conv.0.0.weight") {
            return known("MobileNetV2", mobilenet_v2(), NOT_BUILT);
        }
        if has("model.0.0.weight") && has("model.1.3.weight") {
            return known("MobileNetV1", mobilenet_v1(), NOT_BUILT);
        }
        if let Some(half) = out("stage2.0.branch1.2.weight") {
            return known(&format!("ShuffleNetV2 (stage 2 of {} channels)", 2 * half), shufflenet_v2(half), NOT_BUILT);
        }
        if has("first_conv.0.weight")
            && let Some(half) = out("stage2.0.branch_main.0.weight")
        {
            let name = format!("ShuffleNetV2 (stage 2 of {} channels; names of Yolo-FastestV2's body)", 2 * half);
            return known(&name, shufflenet_v2_trunk(half), NOT_BUILT);
        }
    }
    None
}

/// A convolution without bias.
fn conv(out: &mut Expected, name: impl std::fmt::Display, shape: [usize; 4]) {
    out.push((format!("{name}.weight"), shape.to_vec()));
}

/// A batch norm.
fn norm(out: &mut Expected, name: impl std::fmt::Display, channels: usize) {
    for part in ["weight", "bias", "running_mean", "running_var"] {
        out.push((format!("{name}.{part}"), vec![channels]));
    }
}

fn vgg16() -> Expected {
    let mut e = Expected::new();
    let (mut index, mut from) = (0, 3);
    for (channels, convs) in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)] {
        for _ in 0..convs {
            conv(&mut e, format!("features.{index}"), [channels, from, 3, 3]);
            e.push((format!("features.{index}.bias"), vec![channels]));
            from = channels;
            index += 2;
        }
        index += 1;
    }
    e
}

fn resnet18() -> Expected {
    let mut e = Expected::new();
    conv(&mut e, "conv1", [64, 3, 7, 7]);
    norm(&mut e, "bn1", 64);
    let mut from = 64;
    for (stage, channels) in [64usize, 128, 256, 512].into_iter().enumerate() {
        for block in 0..2 {
            let name = format!("layer{}.{block}", stage + 1);
            conv(&mut e, format!("{name}.conv1"), [channels, from, 3, 3]);
            norm(&mut e, format!("{name}.bn1"), channels);
            conv(&mut e, format!("{name}.conv2"), [channels, channels, 3, 3]);
            norm(&mut e, format!("{name}.bn2"), channels);
            if from != channels {
                conv(&mut e, format!("{name}.downsample.0"), [channels, from, 1, 1]);
                norm(&mut e, format!("{name}.downsample.1"), channels);
            }
            from = channels;
        }
    }
    e
}

/// The usual PyTorch port of MobileNetV1: a Sequential `model` of a convolution and 13 pairs.
fn mobilenet_v1() -> Expected {
    let mut e = Expected::new();
    conv(&mut e, "model.0.0", [32, 3, 3, 3]);
    norm(&mut e, "model.0.1", 32);
    let mut from = 32;
    for (i, channels) in [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024].into_iter().enumerate() {
        let name = format!("model.{}", i + 1);
        conv(&mut e, format!("{name}.0"), [from, 1, 3, 3]);
        norm(&mut e, format!("{name}.1"), from);
        conv(&mut e, format!("{name}.3"), [channels, from, 1, 1]);
        norm(&mut e, format!("{name}.4"), channels);
        from = channels;
    }
    e
}

fn mobilenet_v2() -> Expected {
    let mut e = Expected::new();
    conv(&mut e, "features.0.0", [32, 3, 3, 3]);
    norm(&mut e, "features.0.1", 32);
    let (mut from, mut index) = (32, 1);
    for (widen, channels, blocks) in
        [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)]
    {
        for _ in 0..blocks {
            let (name, inner) = (format!("features.{index}.conv"), from * widen);
            let mut part = 0;
            if widen != 1 {
                conv(&mut e, format!("{name}.0.0"), [inner, from, 1, 1]);
                norm(&mut e, format!("{name}.0.1"), inner);
                part = 1;
            }
            conv(&mut e, format!("{name}.{part}.0"), [inner, 1, 3, 3]);
            norm(&mut e, format!("{name}.{part}.1"), inner);
            conv(&mut e, format!("{name}.{}", part + 1), [channels, inner, 1, 1]);
            norm(&mut e, format!("{name}.{}", part + 2), channels);
            from = channels;
            index += 1;
        }
    }
    conv(&mut e, "features.18.0", [1280, 320, 1, 1]);
    norm(&mut e, "features.18.1", 1280);
    e
}

/// Stages of 4, 8 and 4 blocks; each stage doubles the channels. `half` is half of the first stage's.
fn shuffle_stages(e: &mut Expected, half: usize, mut block: impl FnMut(&mut Expected, String, usize, usize)) {
    let mut from = 24;
    let mut half = half;
    for (stage, blocks) in [(2, 4), (3, 8), (4, 4)] {
        for i in 0..blocks {
            block(e, format!("stage{stage}.{i}"), if i == 0 { from } else { 0 }, half);
        }
        from = 2 * half;
        half = from;
    }
}

fn shufflenet_v2(half: usize) -> Expected {
    let mut e = Expected::new();
    conv(&mut e, "conv1.0", [24, 3, 3, 3]);
    norm(&mut e, "conv1.1", 24);
    // `from` is 0 but in the first block of a stage, which takes the whole input into both branches.
    shuffle_stages(&mut e, half, |e, name, from, half| {
        if from > 0 {
            conv(e, format!("{name}.branch1.0"), [from, 1, 3, 3]);
            norm(e, format!("{name}.branch1.1"), from);
            conv(e, format!("{name}.branch1.2"), [half, from, 1, 1]);
            norm(e, format!("{name}.branch1.3"), half);
        }
        conv(e, format!("{name}.branch2.0"), [half, if from > 0 { from } else { half }, 1, 1]);
        norm(e, format!("{name}.branch2.1"), half);
        conv(e, format!("{name}.branch2.3"), [half, 1, 3, 3]);
        norm(e, format!("{name}.branch2.4"), half);
        conv(e, format!("{name}.branch2.5"), [half, half, 1, 1]);
        norm(e, format!("{name}.branch2.6"), half);
    });
    let last = if half < 100 { 1024 } else { 2048 };
    conv(&mut e, "conv5.0", [last, 8 * half, 1, 1]);
    norm(&mut e, "conv5.1", last);
    e
}

/// The body alone, with the names of Yolo-FastestV2.
fn shufflenet_v2_trunk(half: usize) -> Expected {
    let mut e = Expected::new();
    conv(&mut e, "first_conv.0", [24, 3, 3, 3]);
    norm(&mut e, "first_conv.1", 24);
    shuffle_stages(&mut e, half, |e, name, from, half| {
        let own = if from > 0 { 2 * half - from } else { half };
        let width = if from > 0 { from } else { half };
        conv(e, format!("{name}.branch_main.0"), [half, width, 1, 1]);
        norm(e, format!("{name}.branch_main.1"), half);
        conv(e, format!("{name}.branch_main.3"), [half, 1, 3, 3]);
        norm(e, format!("{name}.branch_main.4"), half);
        conv(e, format!("{name}.branch_main.5"), [own, half, 1, 1]);
        norm(e, format!("{name}.branch_main.6"), own);
        if from > 0 {
            conv(e, format!("{name}.branch_proj.0"), [from, 1, 3, 3]);
            norm(e, format!("{name}.branch_proj.1"), from);
            conv(e, format!("{name}.branch_proj.2"), [from, from, 1, 1]);
            norm(e, format!("{name}.branch_proj.3"), from);
        }
    });
    e
}
