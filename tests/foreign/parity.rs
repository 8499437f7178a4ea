//! Layers against PyTorch's: what is compared, and the network that the official code computed.

use std::path::Path;

use autobidet::data::image_file;
use autobidet::device::Device;
use autobidet::models::Detector;
use autobidet::testing::parity::{Agreement, Parity, TOLERANCE, parity};
use autobidet::testing::test_gpu;
use autobidet::weights::{FileTensor, Foreign, ImportOptions, WeightFile, import};

use super::shared;

#[test]
fn agreement_is_of_the_spread_and_of_signs() {
    let a = Agreement::of(&[1.0, -2.0, 3.0], &[1.0, -2.0, 3.5]);
    assert!((a.error - 0.5 / 5.5).abs() < 1e-9 && a.equal_signs == 1.0 && !a.holds());
    // Another sign counts from 1e-5 on; zero is a sign of its own.
    let a = Agreement::of(&[-1e-6, 1.0, 0.0], &[1e-6, 1.0, 1e-6]);
    assert!(a.wrong_signs == 0 && (a.equal_signs - 1.0 / 3.0).abs() < 1e-9 && a.holds());
    let a = Agreement::of(&[-2e-5, 100.0], &[2e-5, 100.0]);
    assert!(a.wrong_signs == 1 && a.error < TOLERANCE && !a.holds());
    assert!(!Agreement::of(&[f32::NAN], &[1.0]).holds());
    assert!(!Agreement::of(&[1.0], &[1.0, 2.0]).holds());
    assert!(Agreement::of(&[3.0, 3.0], &[3.0, 3.0]).holds());
}

struct Narrow {
    detector: Detector,
    weights: WeightFile,
    reference: WeightFile,
    image: image::RgbImage,
}

fn narrow() -> Option<Narrow> {
    let dir = shared("conformance/bidet_ssd_narrow")?;
    let imported = import(&Foreign::open(&dir.join("bidet_ssd.pth")).unwrap(), &ImportOptions::default()).unwrap();
    Some(Narrow {
        detector: Detector::new(&imported.config.unwrap()).unwrap(),
        weights: imported.weights,
        reference: WeightFile::read(&dir.join("reference.safetensors")).unwrap(),
        image: image_file::read(&dir.join("image.png"), None).unwrap().image,
    })
}

fn compared(n: &Narrow, device: &Device) -> Parity {
    parity(&n.detector, &n.weights, &n.reference, Some(&n.image), device, &mut |_| ()).unwrap()
}

fn check(p: &Parity, device: &str) {
    let worst = p.layers.iter().map(|l| l.own.error).fold(0.0, f64::max);
    let signs = p.layers.iter().map(|l| l.own.equal_signs).fold(1.0, f64::min);
    println!(
        "{device}: {} layers, largest error {worst:.1e} of the spread, fewest equal signs {signs}",
        p.layers.len()
    );
    for l in &p.layers {
        assert!(l.own.holds(), "{device}: {l:?}");
    }
    assert!(p.priors.unwrap().error < 1e-6);
    let whole = |name: &str| p.whole.iter().find(|(n, _)| n == name).unwrap().1;
    assert_eq!(whole("input").error, 0.0, "the same preprocessing");
    // No bound is promised behind the first sign; that it is this network at all is.
    for name in ["loc", "conf"] {
        println!("{device}: {name} from the image: {:?}", whole(name));
        assert!(whole(name).equal_signs > 0.9, "{name}: {:?}", whole(name));
    }
}

#[test]
fn every_layer_computes_what_pytorch_does() {
    let Some(n) = narrow() else { return };
    let p = compared(&n, &Device::Cpu);
    let list = shared("conformance/bidet_ssd300_layers.tsv").unwrap();
    let names: Vec<String> =
        std::fs::read_to_string(list).unwrap().lines().skip(1).map(|l| l.split('\t').next().unwrap().into()).collect();
    assert_eq!(p.layers.len(), names.len());
    assert!(names.iter().all(|n| p.layers.iter().any(|l| l.name == *n)));
    check(&p, "CPU twins");
    if let Some(gpu) = test_gpu().unwrap() {
        check(&compared(&n, &gpu), &gpu.name());
    }
}

#[test]
fn a_layer_with_another_weight_is_named() {
    let Some(mut n) = narrow() else { return };
    let change = |t: &mut FileTensor, by: f32| t.words[0] = (f32::from_bits(t.words[0]) + by).to_bits();
    change(n.weights.tensors.get_mut("vgg.layers.7.bn.bias").unwrap(), 0.01);
    change(n.weights.tensors.get_mut("extras.3.weight").unwrap(), 0.5);
    change(n.weights.tensors.get_mut("conf.5.bias").unwrap(), 0.01);
    let p = parity(&n.detector, &n.weights, &n.reference, None, &Device::Cpu, &mut |_| ()).unwrap();
    let wrong: Vec<&str> = p.layers.iter().filter(|l| !l.own.holds()).map(|l| l.name.as_str()).collect();
    assert_eq!(wrong, ["vgg.layers.7", "extras.3", "conf.5"]);
    assert!(p.whole.is_empty() && p.layers.iter().all(|l| l.chained.is_none()));
}

#[test]
fn references_that_do_not_fit() {
    let config = autobidet::config::ModelConfig { classes: vec!["a".into(), "b".into()], ..Default::default() };
    let detector = Detector::new(&config).unwrap();
    let run = |tensors: &[(&str, &[usize])]| {
        let array =
            |(n, s): &(&str, &[usize])| (n.to_string(), FileTensor::floats(s.to_vec(), &vec![0.0; s.iter().product()]));
        let reference = WeightFile {
            path: Path::new("ref.safetensors").to_path_buf(),
            tensors: tensors.iter().map(array).collect(),
            ..Default::default()
        };
        let empty = WeightFile { path: Path::new("none.safetensors").to_path_buf(), ..Default::default() };
        parity(&detector, &empty, &reference, None, &Device::Cpu, &mut |_| ()).unwrap_err().to_string()
    };
    assert!(run(&[("loc", &[1, 1])]).contains("ref.safetensors: has no layers"));
    assert!(run(&[("body.2.in", &[1])]).contains("has body.2.in and no body.2.out"));
    assert!(run(&[("body.99.in", &[1]), ("body.99.out", &[1])]).contains("a layer body.99, which tiny"));
    // The layers are there; the weights are not.
    let e = run(&[("body.2.in", &[1, 32, 80, 80]), ("body.2.out", &[1, 48, 40, 40])]);
    assert!(e.contains("none.safetensors: holds the weights of another model"), "{e}");
}
