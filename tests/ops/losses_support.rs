//! Reading the conformance cases of losses and box operations.

use std::path::PathBuf;

use autobidet::plan::{Format, Shape};
use autobidet::testing::{TestDevice, TestInput, test_gpu};
use safetensors::SafeTensors;

/// One case file.
pub struct Case {
    bytes: Vec<u8>,
    /// Its `attrs`.
    pub attrs: serde_json::Value,
    /// Its tolerance.
    pub tolerance: f64,
}

/// The case of that name; `None`, with a line, where the shared folder is missing.
pub fn case(name: &str) -> Option<Case> {
    let shared = std::env::var("AUTOBIDET_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    let path = shared.join("conformance/cases").join(format!("{name}.safetensors"));
    let Ok(bytes) = std::fs::read(&path) else {
        println!("skipped: {} is missing (set AUTOBIDET_SHARED)", path.display());
        return None;
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let meta = header.metadata().clone().unwrap();
    Some(Case {
        attrs: serde_json::from_str(&meta["attrs"]).unwrap(),
        tolerance: meta["tolerance"].parse().unwrap(),
        bytes,
    })
}

impl Case {
    /// A tensor's extents and its values, integers as bits.
    pub fn get(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let t = file.tensor(name).unwrap();
        let words = t.data().chunks_exact(4).map(|b| f32::from_bits(u32::from_le_bytes(b.try_into().unwrap())));
        (t.shape().to_vec(), words.collect())
    }

    /// The values alone.
    pub fn values(&self, name: &str) -> Vec<f32> {
        self.get(name).1
    }

    /// A number among the attributes.
    pub fn number(&self, name: &str) -> f64 {
        self.attrs[name].as_f64().unwrap()
    }
}

/// A dense input of the batch (or, with `sliced` false, shared by all images) without a gradient.
pub fn dense(name: &str, shape: Shape, format: Format, sliced: bool, data: Vec<f32>) -> TestInput {
    assert_eq!(data.len() as u64, shape.len(), "{name}");
    TestInput { name: name.to_string(), shape, format, sliced, grad: false, data }
}

/// Dense floats of the batch whose gradient is wanted.
pub fn learned(name: &str, shape: Shape, data: Vec<f32>) -> TestInput {
    TestInput { grad: true, ..dense(name, shape, Format::Flat, true, data) }
}

/// Integers as the bits of floats.
pub fn bits(values: impl IntoIterator<Item = i32>) -> Vec<f32> {
    values.into_iter().map(|v| f32::from_bits(v as u32)).collect()
}

/// The reverse.
pub fn integers(values: &[f32]) -> Vec<i32> {
    values.iter().map(|v| v.to_bits() as i32).collect()
}

/// The twins, and the adapter where there is one.
pub fn devices() -> Vec<TestDevice> {
    let mut d = vec![TestDevice::Cpu];
    d.extend(test_gpu().unwrap());
    d
}

/// A grid of square priors of two sizes: side * side * 2 rows of centre and size.
pub fn grid_priors(side: u32) -> Vec<f32> {
    let mut out = Vec::new();
    for y in 0..side {
        for x in 0..side {
            for size in [1.5f32, 3.0] {
                let step = 1.0 / side as f32;
                out.extend([(x as f32 + 0.5) * step, (y as f32 + 0.5) * step, size * step, size * step]);
            }
        }
    }
    out
}

/// Ground truth of the cases, rows of corners and class, padded with -1: (boxes, labels, number of objects).
pub fn ground_truth(rows: &[f32]) -> (Vec<f32>, Vec<i32>, i32) {
    let boxes = rows.chunks_exact(5).flat_map(|r| r[..4].to_vec()).collect();
    let labels: Vec<i32> = rows.chunks_exact(5).map(|r| r[4] as i32).collect();
    let count = labels.iter().filter(|l| **l >= 0).count() as i32;
    (boxes, labels, count)
}
