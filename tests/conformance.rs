//! Case files: malformed ones are named and refused; the given ones pass on the device and on the twins.

use std::path::{Path, PathBuf};

use autobidet::testing::adapters::{LATER, adapter};
use autobidet::testing::cases::{CaseFile, Values, case_files};
use autobidet::testing::selftest::SelfTest;
use autobidet::testing::{TestDevice, test_gpu};
use safetensors::tensor::{Dtype, TensorView, serialize};

/// The folder of conformance cases; `None`, said aloud, where it is not at hand.
fn cases() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("AUTOBIDET_SHARED").map(PathBuf::from).unwrap_or(beside);
    let folder = shared.join("conformance/cases");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("{} is missing: conformance cases are not tested (set AUTOBIDET_SHARED)", folder.display());
    None
}

#[test]
fn own_cases_and_case_files_pass_on_the_device_and_on_the_twins() {
    let test = SelfTest { device: test_gpu().unwrap(), cases: cases() };
    let mut problems = Vec::new();
    let summary = test.run(&mut |l| problems.extend(l.problems.clone())).unwrap();
    println!("{summary:?}");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert_eq!(summary.failed, 0);
    assert!(summary.passed > 0);
}

#[test]
fn a_wrong_expectation_fails() {
    let Some(folder) = cases() else { return };
    let file = CaseFile::read(&folder.join("relu__basic.safetensors")).unwrap();
    let run = (adapter("relu").unwrap().prepare)(&file).unwrap().device.unwrap();
    let named = run(&TestDevice::Cpu).unwrap();
    assert_eq!(file.judge(&named).unwrap(), 0.0);
    for name in ["out.y", "gin.x"] {
        let mut other = file.clone();
        let Values::F32(v) = &mut other.tensors.get_mut(name).unwrap().values else { panic!() };
        let i = v.iter().position(|v| *v > 0.5).unwrap();
        v[i] *= 1.01;
        let problem = other.judge(&named).unwrap_err();
        assert!(problem.starts_with(&format!("{name}[{i}] is ")), "{problem}");
    }
    let missing: Vec<_> = named.iter().filter(|(n, _)| n != "gin.x").cloned().collect();
    assert!(file.judge(&missing).unwrap_err().contains("gin.x was not computed"));
}

/// The bytes of a file with one f32 tensor and this metadata.
fn file(tensor: &str, dtype: Dtype, shape: Vec<usize>, metadata: &[(&str, &str)]) -> Vec<u8> {
    let bytes = vec![0u8; shape.iter().product::<usize>() * dtype.bitsize() / 8];
    let view = TensorView::new(dtype, shape, &bytes).unwrap();
    let metadata = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    serialize([(tensor.to_string(), view)], Some(metadata)).unwrap()
}

#[test]
fn malformed_files_are_named_and_refused() {
    const GOOD: [(&str, &str); 3] = [("op", "relu"), ("attrs", "{}"), ("tolerance", "0.0002")];
    let shape = || vec![1, 2, 2, 2];
    let good = file("in.x", Dtype::F32, shape(), &GOOD);
    let path = Path::new("relu__bad.safetensors");
    let case = CaseFile::parse(path, &good).unwrap();
    assert_eq!((case.op.as_str(), case.name.as_str(), case.tolerance), ("relu", "relu__bad", 0.0002));
    assert!(case.judge(&[]).unwrap_err().contains("expects nothing"));

    let mut huge = good.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut garbled = good.clone();
    garbled[9] = b'?';
    let refused: &[(&str, Vec<u8>, &str)] = &[
        ("empty", Vec::new(), "no whole safetensors file"),
        ("cut off", good[..good.len() - 1].to_vec(), "no whole safetensors file"),
        ("a header of 2^64 bytes", huge, "no whole safetensors file"),
        ("a garbled header", garbled, "no whole safetensors file"),
        ("no metadata", file("in.x", Dtype::F32, shape(), &[]), "no `attrs`"),
        ("no op", file("in.x", Dtype::F32, shape(), &GOOD[1..]), "no `op`"),
        ("attrs", file("in.x", Dtype::F32, shape(), &[GOOD[0], ("attrs", "[1"), GOOD[2]]), "`attrs` is not JSON"),
        ("attrs", file("in.x", Dtype::F32, shape(), &[GOOD[0], ("attrs", "[1]"), GOOD[2]]), "not a JSON object"),
        ("tolerance", file("in.x", Dtype::F32, shape(), &[GOOD[0], GOOD[1], ("tolerance", "NaN")]), "`tolerance`"),
        ("name", file("x", Dtype::F32, shape(), &GOOD), "names start with in."),
        ("type", file("in.x", Dtype::F16, shape(), &GOOD), "F16, expected F32"),
    ];
    for (what, bytes, says) in refused {
        let message = CaseFile::parse(path, bytes).expect_err(what).to_string();
        assert!(message.contains(says) && message.contains("relu__bad"), "{what}: expected `{says}` in: {message}");
    }

    // Whole files that do not fit their operation.
    let prepare = |op: &str, bytes: &[u8]| match (adapter(op).unwrap().prepare)(&CaseFile::parse(path, bytes).unwrap())
    {
        Ok(_) => panic!("{op} accepted it"),
        Err(e) => e.to_string(),
    };
    assert!(prepare("relu", &file("in.z", Dtype::F32, shape(), &GOOD)).contains("no tensor `in.x`"));
    assert!(prepare("relu", &file("in.x", Dtype::I32, shape(), &GOOD)).contains("does not hold f32"));
    assert!(prepare("relu", &file("in.x", Dtype::F32, vec![4], &GOOD)).contains("expected 4 extents"));
    assert!(prepare("relu", &file("in.x", Dtype::F32, vec![0, 1, 1, 1], &GOOD)).contains("0 images"));
    assert!(prepare("batch_norm2d", &good).contains("no `momentum`"));
    let attrs = ("attrs", r#"{"training": 1, "momentum": 0.1, "eps": 1e-5}"#);
    assert!(
        prepare("batch_norm2d", &file("in.x", Dtype::F32, shape(), &[GOOD[0], attrs, GOOD[2]]))
            .contains("`training` is 1")
    );
}

#[test]
fn attributes_out_of_proportion_are_refused_and_neither_panic_nor_fill_the_memory() {
    let path = Path::new("case__huge.safetensors");
    let attempts: &[(&str, &str)] = &[
        ("upsample_nearest", r#"{"scale": 60000}"#),
        ("upsample_nearest", r#"{"scale": 4294967295}"#),
        ("upsample_nearest", r#"{"scale": 0}"#),
        ("channel_shuffle", r#"{"groups": 4294967295}"#),
        ("channel_shuffle", r#"{"groups": 0}"#),
        (
            "max_pool2d",
            r#"{"kernel": [4294967295, 1], "stride": [1, 1], "padding": [2147483647, 0], "ceil_mode": true}"#,
        ),
        ("max_pool2d", r#"{"kernel": [2, 2], "stride": [0, 1], "padding": [0, 0], "ceil_mode": false}"#),
    ];
    for (op, attrs) in attempts {
        let bytes = file("in.x", Dtype::F32, vec![1, 2, 4, 4], &[("op", op), ("attrs", attrs), ("tolerance", "0")]);
        let case = CaseFile::parse(path, &bytes).unwrap();
        let prepared = (adapter(op).unwrap().prepare)(&case);
        assert!(prepared.is_err(), "{op} {attrs}");
    }
    let weights = |attrs: &str| {
        let tensors = [("in.x", vec![1usize, 2, 4, 4]), ("in.weight", vec![2, 2, 3, 3])];
        let bytes = [vec![0u8; 4 * 32], vec![0u8; 4 * 36]];
        let views = tensors.into_iter().zip(&bytes);
        let views: Vec<_> = views.map(|((n, s), b)| (n, TensorView::new(Dtype::F32, s, b).unwrap())).collect();
        let meta = [("op", "conv2d"), ("attrs", attrs), ("tolerance", "0")];
        let meta = meta.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let case = CaseFile::parse(path, &serialize(views, Some(meta)).unwrap()).unwrap();
        (adapter("conv2d").unwrap().prepare)(&case)
    };
    let attrs = |stride: &str, padding: &str, dilation: &str, groups: &str| {
        format!(
            r#"{{"kernel": [3, 3], "stride": {stride}, "padding": {padding}, "dilation": {dilation}, "groups": {groups}}}"#
        )
    };
    assert!(weights(&attrs("[1, 1]", "[1, 1]", "[1, 1]", "1")).is_ok());
    for bad in [
        attrs("[0, 1]", "[1, 1]", "[1, 1]", "1"),
        attrs("[1, 1]", "[4294967295, 4294967295]", "[1, 1]", "1"),
        attrs("[1, 1]", "[2147483648, 1]", "[1, 1]", "1"),
        attrs("[1, 1]", "[30000, 30000]", "[1, 1]", "1"),
        attrs("[1, 1]", "[1, 1]", "[4294967295, 1]", "1"),
        attrs("[1, 1]", "[1, 1]", "[0, 1]", "1"),
        attrs("[1, 1]", "[1, 1]", "[1, 1]", "0"),
    ] {
        assert!(weights(&bad).is_err(), "{bad}");
    }
}

#[test]
fn the_self_test_counts_malformed_and_unknown_files_as_failed() {
    let folder = tempfile::tempdir().unwrap();
    assert!(case_files(folder.path()).unwrap_err().to_string().contains("no *.safetensors"));
    assert!(case_files(&folder.path().join("nowhere")).is_err());
    let meta = |op| [("op", op), ("attrs", "{}"), ("tolerance", "0")];
    let put = |name: &str, bytes: Vec<u8>| std::fs::write(folder.path().join(name), bytes).unwrap();
    put("broken__1.safetensors", vec![1, 2, 3]);
    put("fft__1.safetensors", file("in.x", Dtype::F32, vec![1, 1, 1, 1], &meta("fft")));
    put("roi_align__1.safetensors", file("in.x", Dtype::F32, vec![1, 1, 1, 1], &meta("roi_align")));
    let mut lines = Vec::new();
    let test = SelfTest { device: None, cases: Some(folder.path().to_path_buf()) };
    let summary = test.run(&mut |l| lines.push(l.clone())).unwrap();
    assert_eq!((summary.failed, summary.later), (2, 1));
    let problem = |op: &str| lines.iter().find(|l| l.op == op).unwrap().problems.concat();
    assert!(problem("broken").contains("no whole safetensors file"));
    assert!(problem("fft").contains("not implemented"));
    assert!(LATER.iter().all(|op| adapter(op).is_none()), "an operation that exists is no later one");
}
