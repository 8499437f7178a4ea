//! From networks to stages, and what the stages compute.

use autobidet::deploy::{Kind, Precision, Program};
use autobidet::device::Device;
use autobidet::predict::Model;
use autobidet::testing::compare;

use super::{detector, export, gpu, images, outputs, reread, weights};

/// Share of numbers with equal signs, and the mean error over the deviation.
fn closeness(got: &[f32], want: &[f32]) -> (f64, f64) {
    assert_eq!(got.len(), want.len());
    let n = want.len() as f64;
    let signs = got.iter().zip(want).filter(|(g, w)| (**g < 0.0) == (**w < 0.0)).count() as f64 / n;
    let mean = want.iter().map(|v| *v as f64).sum::<f64>() / n;
    let spread = (want.iter().map(|v| (*v as f64 - mean).powi(2)).sum::<f64>() / n).sqrt();
    let error = got.iter().zip(want).map(|(g, w)| (*g as f64 - *w as f64).abs()).sum::<f64>() / n;
    (signs, error / spread)
}

#[test]
fn a_block_is_one_stage_and_signs_stay_bits() {
    let of = |model: &str, method: &str| Program::of(&detector(model, method, 1)).unwrap();
    let binary = |p: &Program| p.stages.iter().filter(|s| matches!(s.kind, Kind::Binary { .. })).count();
    let ssd = of("ssd300-vgg16", "bidet-sc");
    // 16 blocks, conv6, eight extras; first layer, four shortcuts, conv7, six heads; four average pools, pool5, L2 norm.
    assert_eq!((ssd.stages.len(), binary(&ssd), ssd.heads.len()), (25 + 12 + 6, 25, 6));
    let value = |p: &Program, name: &str| p.values[p.stages.iter().find(|s| s.name == name).unwrap().y].clone();
    // Without shortcuts, a map between two blocks that nothing else reads is never made.
    let plain = of("ssd300-vgg16", "bidet");
    let between = value(&plain, "vgg.layers.3.conv");
    assert!(!between.map && !between.conv && between.words.is_some(), "{between:?}");
    assert!(value(&ssd, "vgg.layers.3.conv").map);
    assert!(value(&ssd, "vgg.layers.18").words.is_some() && !value(&ssd, "vgg.layers.18").map);
    for method in ["xnor", "bireal", "float"] {
        assert_eq!(binary(&of("tiny", method)), if method == "float" { 0 } else { 9 }, "{method}");
    }
}

/// A float file computes what evaluation computes: the same network, to the rounding of its arithmetic and of f16. (A sign
/// may hang on that rounding, so single outputs may differ more.)
#[test]
fn float_files_compute_what_was_trained() {
    for (model, method, divisor) in [
        ("tiny", "bidet-sc", 1),
        ("tiny", "xnor", 1),
        ("tiny", "float", 1),
        ("tiny", "bidet", 1),
        ("ssd300-vgg16", "bidet-sc", 8),
    ] {
        let d = detector(model, method, divisor);
        let w = weights(&d);
        let images = images(&d, 2);
        let trained = outputs(Model::Trained(Box::new(d.clone()), w.clone()), &Device::Cpu, &images);
        let file = reread(&export(&d, &w, Precision::Float));
        for device in [Some(Device::Cpu), gpu()].iter().flatten() {
            let got = outputs(Model::Deployed(Box::new(file.clone())), device, &images);
            for (g, t) in [(&got.0, &trained.0), (&got.1, &trained.1)] {
                let (signs, error) = closeness(g, t);
                println!("{model} {method}: signs {signs:.4}, mean error {error:.1e} on {}", device.name());
                assert!(signs > 0.99 && error < 0.02, "{model} {method}: {signs} {error}");
                if method == "float" {
                    assert!(compare(g, t).error < 2e-3);
                }
            }
        }
    }
}

/// An exact file gives the same bits on every device, for one image and for several, and is near the floats.
#[test]
fn exact_files_give_the_same_bits_everywhere() {
    for (model, method, divisor) in [
        ("tiny", "bidet-sc", 1),
        ("tiny", "xnor", 1),
        ("tiny", "bidet", 1),
        ("ssd300-vgg16", "bidet-sc", 8),
        ("ssd300-vgg16", "xnor", 8),
    ] {
        let d = detector(model, method, divisor);
        let w = weights(&d);
        let images = images(&d, 2);
        let file = reread(&export(&d, &w, Precision::Exact));
        let trained = outputs(Model::Trained(Box::new(d.clone()), w), &Device::Cpu, &images);
        let run =
            |device: &Device, images: &[Vec<f32>]| outputs(Model::Deployed(Box::new(file.clone())), device, images);
        let cpu = run(&Device::Cpu, &images);
        for (g, t) in [(&cpu.0, &trained.0), (&cpu.1, &trained.1)] {
            let (signs, error) = closeness(g, t);
            println!("{model} {method}: signs {signs:.4}, mean error {error:.1e}");
            // Without shortcuts, one sign that the 8-bit first layer turns turns others in every layer behind it, and these
            // weights have learned no margin.
            let (least, most) = if method == "bidet-sc" { (0.9, 0.25) } else { (0.7, 0.7) };
            assert!(signs > least && error < most, "{model} {method}: {signs} {error}");
        }
        assert!(run(&Device::Cpu, &images[..1]).1 == cpu.1[..cpu.1.len() / 2], "{model} {method}: one image");
        if let Some(gpu) = gpu() {
            assert!(run(&gpu, &images) == cpu, "{model} {method} on {}", gpu.name());
            assert!(run(&gpu, &images[..1]).1 == cpu.1[..cpu.1.len() / 2], "one image on {}", gpu.name());
        }
    }
}

/// The same file made twice is the same bytes.
#[test]
fn exporting_is_deterministic() {
    let d = detector("tiny", "bidet-sc", 1);
    let w = weights(&d);
    for precision in [Precision::Float, Precision::Exact] {
        let [a, b] = [0, 1].map(|_| export(&d, &w, precision).to_bytes().unwrap());
        assert!(a == b);
    }
}

/// A map that calibration saw as all but zero gets a step of one unit of the fixed point, and no smaller one.
#[test]
fn what_calibration_has_not_seen_does_not_overflow() {
    let d = detector("tiny", "bidet", 1);
    let mut w = weights(&d);
    // Its output is alpha times an integer, and alpha the mean size of its weights.
    let t = w.tensors.get_mut("body.6.conv.weight").unwrap();
    t.words.iter_mut().for_each(|v| *v = (f32::from_bits(*v) * 1e-9).to_bits());
    let file = export(&d, &w, Precision::Exact);
    assert_eq!(file.numbers.fraction, 16);
    let steps = file.numbers.tensors.keys().filter_map(|k| k.strip_suffix(".bytes"));
    let units: Vec<f64> =
        steps.map(|v| file.numbers.quantizer(v).unwrap()).map(|q| q.mul as f64 / 2f64.powi(q.shift)).collect();
    assert!(units.iter().all(|u| *u <= 1.0) && units.contains(&1.0), "{units:?}");
    let images = images(&d, 1);
    let run = |device: &Device| outputs(Model::Deployed(Box::new(file.clone())), device, &images);
    let cpu = run(&Device::Cpu);
    if let Some(gpu) = gpu() {
        assert!(run(&gpu) == cpu, "on {}", gpu.name());
    }
}

/// Weights that no fixed point holds, or that are no numbers, are refused and never made a file.
#[test]
fn useless_weights_are_refused() {
    let d = detector("tiny", "bidet-sc", 1);
    let refused = |name: &str, value: f32, part: &str| {
        let mut w = weights(&d);
        let t = w.tensors.get_mut(name).unwrap();
        match value.is_finite() && value > 0.0 {
            true => t.words.iter_mut().for_each(|v| *v = (f32::from_bits(*v) * value).to_bits()),
            false => t.words[0] = value.to_bits(),
        }
        for precision in [Precision::Float, Precision::Exact] {
            if part.contains("bits") && precision == Precision::Float {
                continue;
            }
            let made = autobidet::deploy::export(&d, &w, precision, &images(&d, 1), &Device::Cpu, |_| ());
            let message = made.map(|_| ()).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    };
    refused("body.5.bn.weight", f32::NAN, "body.5.bn.weight");
    refused("body.5.conv.weight", f32::INFINITY, "body.5.conv.weight");
    refused("body.5.bn.running_var", -1.0, "variance");
    refused("conf.0.weight", 1e9, "too few bits");
    refused("body.0.weight", 1e9, "too few bits");
}
