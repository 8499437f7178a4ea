//! Reading the conformance cases of losses and box operations.

use std::path::PathBuf;

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
