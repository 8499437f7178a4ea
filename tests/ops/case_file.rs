//! Conformance cases: values computed by PyTorch, one safetensors file a case. They lie in the reference folder, named by
//! AUTOBIDET_SHARED or beside the project; without it the tests say so and pass over them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use autobidet::plan::{Builder, Format, Shape, TensorId};
use autobidet::testing::{OpCase, TestDevice, TestInput, compare, test_gpu};

/// One case.
pub struct CaseFile {
    pub name: String,
    pub attrs: serde_json::Value,
    pub tolerance: f64,
    tensors: HashMap<String, (Vec<usize>, Vec<f32>)>,
}

/// All cases of an operation, sorted by name; none where the reference folder is missing.
pub fn cases(op: &str) -> Vec<CaseFile> {
    let shared = std::env::var("AUTOBIDET_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    let Ok(entries) = std::fs::read_dir(shared.join("conformance/cases")) else {
        println!("{op}: no conformance cases in {}, skipped", shared.display());
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    paths.retain(|p| p.file_name().unwrap().to_str().unwrap().starts_with(&format!("{op}__")));
    paths.sort();
    assert!(!paths.is_empty(), "no conformance case of {op}");
    paths.iter().map(|p| CaseFile::read(p)).collect()
}

impl CaseFile {
    fn read(path: &Path) -> CaseFile {
        let bytes = std::fs::read(path).unwrap();
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = metadata.metadata().clone().unwrap();
        let mut tensors = HashMap::new();
        for (name, t) in safetensors::SafeTensors::deserialize(&bytes).unwrap().tensors() {
            assert_eq!(t.dtype(), safetensors::Dtype::F32, "{name}");
            let data = t.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            tensors.insert(name, (t.shape().to_vec(), data));
        }
        CaseFile {
            name: path.file_stem().unwrap().to_str().unwrap().to_string(),
            attrs: serde_json::from_str(&metadata["attrs"]).unwrap(),
            tolerance: metadata["tolerance"].parse().unwrap(),
            tensors,
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }
    pub fn values(&self, name: &str) -> Vec<f32> {
        self.tensors[name].1.clone()
    }
    /// The shape of an N,C,H,W tensor.
    pub fn shape(&self, name: &str) -> Shape {
        let s: Vec<u32> = self.tensors[name].0.iter().map(|v| *v as u32).collect();
        Shape::new(s[0], s[2], s[3], s[1])
    }
    pub fn f32(&self, attr: &str) -> f32 {
        self.attrs[attr].as_f64().unwrap() as f32
    }
    pub fn bool(&self, attr: &str) -> bool {
        self.attrs[attr].as_bool().unwrap()
    }
    pub fn u32(&self, attr: &str) -> u32 {
        self.attrs[attr].as_u64().unwrap() as u32
    }
    pub fn pair(&self, attr: &str) -> [u32; 2] {
        [0, 1].map(|i| self.attrs[attr][i].as_u64().unwrap() as u32)
    }
    /// The input of that name as a map.
    pub fn map(&self, name: &str) -> TestInput {
        let key = format!("in.{name}");
        TestInput::map(name, self.shape(&key), self.values(&key))
    }
    /// Vectors of C values as the planes of one parameter.
    pub fn planes(&self, name: &str, vectors: &[&str]) -> TestInput {
        let data: Vec<Vec<f32>> = vectors.iter().map(|v| self.values(&format!("in.{v}"))).collect();
        planes(name, &data)
    }

    /// Runs `case` on the twins and the device; `outputs` and `gradients` name what the file expects of each, a list of
    /// planes for those that are planes. Prints the largest errors.
    pub fn check(&self, case: &OpCase, outputs: &[&[&str]], gradients: &[&[&str]]) {
        for device in [Some(TestDevice::Cpu), test_gpu().unwrap()].iter().flatten() {
            let out = case.run(device).unwrap();
            let mut worst = 0f64;
            let mut expect = |got: &[f32], names: &[&str], kind: &str| {
                for (p, name) in names.iter().enumerate() {
                    let plane: Vec<f32> = got.iter().skip(p).step_by(names.len()).copied().collect();
                    let d = compare(&plane, &self.values(&format!("{kind}.{name}")));
                    assert!(d.error <= self.tolerance, "{} {kind}.{name} on {}: {d:?}", self.name, device.name());
                    worst = worst.max(d.error);
                }
            };
            outputs.iter().enumerate().for_each(|(k, names)| expect(&out.outputs[k], names, "out"));
            for (k, names) in gradients.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
                expect(out.gradients[k].as_ref().unwrap(), names, "gin");
            }
            println!("{}: error {worst:.1e} on {}", self.name, device.name());
        }
    }

    /// The case of an operation with one output, `out.y`.
    pub fn op_case<'a>(
        &self,
        inputs: Vec<TestInput>,
        build: impl Fn(&mut Builder, &[TensorId]) -> autobidet::Result<Vec<TensorId>> + 'a,
    ) -> OpCase<'a> {
        OpCase {
            name: self.name.clone(),
            batch: inputs.iter().find(|i| i.sliced).unwrap().shape.n,
            inputs,
            upstream: if self.has("gout.y") { vec![self.values("gout.y")] } else { Vec::new() },
            backward: true,
            build: Box::new(build),
        }
    }
}

/// Vectors as the planes of one parameter.
pub fn planes(name: &str, vectors: &[Vec<f32>]) -> TestInput {
    let c = vectors[0].len();
    let data = (0..c).flat_map(|k| vectors.iter().map(move |v| v[k])).collect();
    TestInput::param(name, Shape::new(1, 1, vectors.len() as u32, c as u32), Format::Map, data)
}

/// A plan with these inputs must be refused with a message that holds `part`.
pub fn refused(
    part: &str,
    inputs: Vec<TestInput>,
    build: impl Fn(&mut Builder, &[TensorId]) -> autobidet::Result<Vec<TensorId>>,
) {
    let batch = inputs.iter().find(|i| i.sliced).unwrap().shape.n;
    let case = OpCase { name: "bad".into(), batch, inputs, upstream: vec![], backward: false, build: Box::new(build) };
    let message = case.run(&TestDevice::Cpu).unwrap_err().to_string();
    assert!(message.contains(part), "{message}");
}

/// Shapes that every operation on maps is tried on.
pub const GRID: [Shape; 5] = [
    Shape::new(1, 1, 1, 1),
    Shape::new(2, 3, 5, 3),
    Shape::new(3, 4, 4, 33),
    Shape::new(2, 7, 9, 5),
    Shape::new(2, 20, 20, 31),
];

/// A map of normal values.
pub fn map(name: &str, shape: Shape) -> TestInput {
    TestInput::map(name, shape, TestInput::random(shape, name, 1.0))
}

/// A case with one output of shape `out` and a random upstream gradient.
pub fn op_case<'a>(
    name: &str,
    inputs: Vec<TestInput>,
    out: Shape,
    build: impl Fn(&mut Builder, &[TensorId]) -> autobidet::Result<Vec<TensorId>> + 'a,
) -> OpCase<'a> {
    OpCase {
        name: format!("{name} of {}", inputs[0].shape),
        batch: out.n,
        inputs,
        upstream: vec![TestInput::random(out, "upstream", 1.0)],
        backward: true,
        build: Box::new(build),
    }
}

/// A case of a loss.
pub fn loss_case<'a>(
    name: &str,
    inputs: Vec<TestInput>,
    build: impl Fn(&mut Builder, &[TensorId]) -> autobidet::Result<Vec<TensorId>> + 'a,
) -> OpCase<'a> {
    let out = Shape::vector(1).with_n(inputs[0].shape.n);
    OpCase { upstream: Vec::new(), ..op_case(name, inputs, out, build) }
}
