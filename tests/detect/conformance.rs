//! The shared PyTorch cases; skipped with a line where the folder is missing.

use std::path::PathBuf;

use autobidet::detect::{Matcher, PriorSpec, decode_boxes, nms};
use safetensors::SafeTensors;

/// `shared/conformance/cases/NAME.safetensors`, or none.
fn case(name: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("AUTOBIDET_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")), PathBuf::from);
    let path = root.join("conformance/cases").join(name).with_extension("safetensors");
    let read = std::fs::read(&path).ok();
    if read.is_none() {
        println!("skipped: {} is not there (set AUTOBIDET_SHARED)", path.display());
    }
    read
}

fn f32s(file: &SafeTensors, name: &str) -> Vec<f32> {
    file.tensor(name).unwrap().data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn i32s(file: &SafeTensors, name: &str) -> Vec<i32> {
    file.tensor(name).unwrap().data().chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn rows(file: &SafeTensors, name: &str) -> Vec<[f32; 4]> {
    f32s(file, name).chunks_exact(4).map(|r| r.try_into().unwrap()).collect()
}

/// max |got - want| / max |want|
fn error(got: &[[f32; 4]], want: &[[f32; 4]]) -> f32 {
    assert_eq!(got.len(), want.len());
    let (got, want) = (got.as_flattened(), want.as_flattened());
    let top = want.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    got.iter().zip(want).fold(0.0f32, |m, (g, w)| m.max((g - w).abs())) / top
}

#[test]
fn prior_boxes() {
    for (name, spec) in
        [("prior_boxes__ssd300_voc", PriorSpec::ssd300_voc()), ("prior_boxes__ssd300_coco", PriorSpec::ssd300_coco())]
    {
        let Some(bytes) = case(name) else { return };
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let want = rows(&file, "out.priors");
        let got = spec.generate().unwrap();
        assert_eq!(got.len(), 8732);
        let worst = error(&got, &want);
        assert!(worst <= 1e-6, "{name}: {worst:e}");
        println!("{name}: {worst:e}");
    }
}

#[test]
fn match_priors() {
    let Some(bytes) = case("match_priors__voc") else { return };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let matcher = Matcher::new(&rows(&file, "in.priors"), 0.5, [0.1, 0.2]);
    let labels: Vec<u32> = i32s(&file, "in.labels").iter().map(|&v| v as u32).collect();
    let got = matcher.matches(&rows(&file, "in.boxes"), &labels).unwrap();
    let want: Vec<u32> = i32s(&file, "out.conf").iter().map(|&v| v as u32).collect();
    assert_eq!(got.conf, want);
    assert_eq!(got.positives, 45);
    assert_eq!(got.skipped, 0);
    let worst = error(&got.loc, &rows(&file, "out.loc"));
    assert!(worst <= 1e-5, "{worst:e}");
    println!("match_priors__voc: {worst:e}");
}

#[test]
fn decode() {
    let Some(bytes) = case("decode_boxes__voc") else { return };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let got = decode_boxes(&f32s(&file, "in.loc"), 4, &rows(&file, "in.priors"), [0.1, 0.2]).unwrap();
    let worst = error(&got, &rows(&file, "out.boxes"));
    assert!(worst <= 1e-6, "{worst:e}");
}

#[test]
fn suppression() {
    for (name, top_k) in [("empty", 200), ("iou45", 200), ("many_top200", 200), ("many_top500", 500)] {
        let Some(bytes) = case(&format!("nms__{name}")) else { return };
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let got = nms(&rows(&file, "in.boxes"), &f32s(&file, "in.scores"), 0.45, top_k, false).unwrap();
        let want: Vec<usize> = i32s(&file, "out.keep").iter().map(|&v| v as usize).collect();
        assert_eq!(got, want, "{name}");
    }
}
