//! Checkpoints that are as they should be, in every form.

use std::collections::BTreeMap;
use std::path::Path;

use autobidet::weights::{Dtype, Foreign, Form, WeightFile};

use super::shared;
use super::torch_file::{Array, Pickle, legacy, records, state_dict, with_keys, zip, zipped};

pub fn open(bytes: &[u8]) -> Foreign {
    Foreign::from_bytes(Path::new("made.pth"), bytes.to_vec()).unwrap()
}

/// A storage's class and how it writes a value.
type Kind = (&'static str, fn(f32) -> Vec<u8>);

/// Every number type, each holding 0, 1, 2, ... in a shape of its own.
fn every_type() -> Vec<Array> {
    let f16: fn(f32) -> Vec<u8> = |v| half::f16::from_f32(v).to_le_bytes().to_vec();
    let bf16: fn(f32) -> Vec<u8> = |v| half::bf16::from_f32(v).to_le_bytes().to_vec();
    let kinds: [Kind; 10] = [
        ("FloatStorage", |v| v.to_le_bytes().to_vec()),
        ("DoubleStorage", |v| f64::from(v).to_le_bytes().to_vec()),
        ("HalfStorage", f16),
        ("BFloat16Storage", bf16),
        ("LongStorage", |v| (v as i64 - 2).to_le_bytes().to_vec()),
        ("IntStorage", |v| (v as i32 - 2).to_le_bytes().to_vec()),
        ("ShortStorage", |v| (v as i16 - 2).to_le_bytes().to_vec()),
        ("CharStorage", |v| (v as i8 - 2).to_le_bytes().to_vec()),
        ("ByteStorage", |v| (v as u8).to_le_bytes().to_vec()),
        ("BoolStorage", |v| vec![v as u8 % 2]),
    ];
    let array = |(i, (class, bytes)): (usize, Kind)| {
        let shape = [2, 1 + i as i64];
        Array::new(class, class, &shape, (0..2 * (1 + i)).flat_map(|v| bytes(v as f32)).collect())
    };
    kinds.into_iter().enumerate().map(array).collect()
}

fn check_every_type(f: &Foreign) {
    assert_eq!(f.tensors.len(), 10);
    for (i, a) in every_type().iter().enumerate() {
        let t = &f.tensors[&a.name];
        assert_eq!(t.shape, [2, 1 + i]);
        assert_eq!(t.dtype.is_float(), i < 4, "{}", t.dtype);
        let want: Vec<f32> = (0..2 * (1 + i))
            .map(|v| match i {
                0..4 | 8 => v as f32,
                9 => (v % 2) as f32,
                _ => v as f32 - 2.0,
            })
            .collect();
        assert_eq!(f.floats(&a.name).unwrap(), want, "{}", a.name);
    }
    assert_eq!(f.to_weights().unwrap().tensors.len(), 4);
}

#[test]
fn both_forms_hold_every_number_type() {
    let (zip, old) = (open(&zipped(&every_type())), open(&legacy(&every_type())));
    assert_eq!((zip.form, old.form), (Form::TorchZip, Form::TorchLegacy));
    check_every_type(&zip);
    check_every_type(&old);
}

#[test]
fn every_protocol_and_packed_records() {
    let arrays = with_keys(&every_type());
    for protocol in 2..=5 {
        let pickle = state_dict(&arrays, protocol, &[], false);
        let stored = records(&pickle, &arrays);
        check_every_type(&open(&zip(&stored)));
        let packed: Vec<_> = stored.into_iter().map(|r| r.deflated()).collect();
        check_every_type(&open(&zip(&packed)));
    }
}

#[test]
fn views_share_a_storage() {
    // 2 x 3 values; its transpose; its second column; one value; no values; a value three times (an expanded tensor).
    let all = Array { key: "s".into(), ..Array::floats("all", &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]) };
    let part = |name: &str, offset, shape: &[i64], strides: &[i64]| Array {
        name: name.into(),
        offset,
        shape: shape.to_vec(),
        strides: strides.to_vec(),
        ..all.clone()
    };
    let mut arrays = vec![
        all.clone(),
        part("turned", 0, &[3, 2], &[1, 3]),
        part("column", 1, &[2], &[3]),
        part("one", 5, &[], &[]),
        part("none", 0, &[0, 3], &[3, 1]),
        part("expanded", 4, &[3], &[0]),
        Array { parameter: true, ..part("parameter", 3, &[1, 3], &[3, 1]) },
    ];
    let want: [(&str, &[f32]); 7] = [
        ("all", &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        ("turned", &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
        ("column", &[1.0, 4.0]),
        ("one", &[5.0]),
        ("none", &[]),
        ("expanded", &[4.0, 4.0, 4.0]),
        ("parameter", &[3.0, 4.0, 5.0]),
    ];
    for file in [open(&zipped(&arrays)), open(&legacy(&arrays))] {
        for (name, values) in want {
            assert_eq!(file.floats(name).unwrap(), values, "{name}");
        }
        assert_eq!(file.tensors["one"].shape, Vec::<usize>::new());
    }
    // The older form's views of a storage: a storage that is a part of another.
    arrays.truncate(1);
    arrays.push(Array { view: Some((2, 3)), ..part("view", 1, &[2], &[1]) });
    assert_eq!(open(&legacy(&arrays)).floats("view").unwrap(), [3.0, 4.0]);
}

#[test]
fn newer_and_older_descriptions() {
    let a = &with_keys(&[Array::floats("w", &[2], &[1.5, -2.0])])[0];
    let id = |p: Pickle, class: [&str; 2], length: i64| {
        p.op(b'(').text("storage").global(class[0], class[1]).text("0").text("cpu").int(length).op(b't').op(b'Q')
    };
    let wrap = |p: Pickle| p.op(b'u').stop();
    let start = || Pickle::new(2).op(b'}').op(b'(').text("w");
    // Version 3: bytes, and the type behind the hooks.
    let p = start().global("torch._utils", "_rebuild_tensor_v3").op(b'(');
    let p = id(p, ["torch.storage", "UntypedStorage"], 8).int(0).tuple(&[2]).tuple(&[1]).op(0x89).ordered_dict();
    let v3 = wrap(p.global("torch", "float32").op(b't').op(b'R'));
    // Version 1, with torch.Size, in a dictionary made of pairs.
    let p = Pickle::new(2).global("collections", "OrderedDict").op(b']').op(b']').op(b'(').text("w");
    let p = id(p.global("torch._utils", "_rebuild_tensor").op(b'('), ["torch", "FloatStorage"], 2).int(0);
    let p = p.global("torch", "Size").op(b'(').op(b'(').int(2).op(b't').op(b't').op(b'R').tuple(&[1]).op(b't').op(b'R');
    let v1 = p.op(b'e').op(b'a').op(0x85).op(b'R').stop();
    for pickle in [v3, v1] {
        let file = open(&zip(&records(&pickle, std::slice::from_ref(a))));
        assert_eq!(file.floats("w").unwrap(), [1.5, -2.0]);
        assert_eq!(file.tensors["w"].dtype, Dtype::F32);
    }
}

#[test]
fn containers_and_prefixes_are_told() {
    let arrays = with_keys(&[Array::floats("module.a.weight", &[1], &[1.0]), Array::counter("module.a.n", 7)]);
    for inside in [&["state_dict"][..], &["weights"], &["model", "state_dict"], &[]] {
        let file = open(&zip(&records(&state_dict(&arrays, 2, inside, false), &arrays)));
        assert_eq!(file.inside, inside);
        assert_eq!(file.beside.len(), inside.len());
        assert_eq!(file.prefix, "module.");
        assert_eq!(file.floats("a.weight").unwrap(), [1.0]);
        assert_eq!(file.floats("a.n").unwrap(), [7.0]);
    }
    // A prefix of some names is none.
    let mixed = open(&zipped(&[Array::floats("module.a", &[1], &[1.0]), Array::floats("b", &[1], &[2.0])]));
    assert_eq!((mixed.prefix.as_str(), mixed.tensors.len()), ("", 2));
}

#[test]
fn safetensors_of_other_programs() {
    let data: Vec<u8> = [1.5f64, -3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let halves: Vec<u8> = [0.5f32, 8.0].iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect();
    let view = |d, bytes| safetensors::tensor::TensorView::new(d, vec![2], bytes).unwrap();
    let tensors = [
        ("a", view(safetensors::Dtype::F64, data.as_slice())),
        ("b", view(safetensors::Dtype::BF16, halves.as_slice())),
    ];
    let bytes = safetensors::serialize(tensors, None).unwrap();
    let file = open(&bytes);
    assert_eq!(file.form, Form::Safetensors);
    assert_eq!(file.floats("a").unwrap(), [1.5, -3.0]);
    assert_eq!(file.floats("b").unwrap(), [0.5, 8.0]);
    assert_eq!(file.tensors["a"].dtype, Dtype::F64);
}

#[test]
fn real_checkpoints() {
    let Some(dir) = shared("weights/shufflenetv2-x0.5-yolofastestv2") else { return };
    let list = std::fs::read_to_string(dir.join("TENSORS.txt")).unwrap();
    let want: BTreeMap<String, String> =
        list.lines().filter_map(|l| l.split_once(' ')).map(|(n, s)| (n.into(), s.trim().into())).collect();
    let file = Foreign::open(&dir.join("backbone.pth")).unwrap();
    let floats = file.tensors.iter().filter(|(_, t)| t.dtype.is_float());
    let got: BTreeMap<String, String> = floats.map(|(n, t)| (n.clone(), format!("{:?}", t.shape))).collect();
    assert_eq!(got, want);
    assert_eq!(file.tensors.values().map(|t| t.elements()).sum::<usize>(), 149_095);
    // The README's count of batches, and running variances, which are positive.
    for (name, t) in &file.tensors {
        let values = file.floats(name).unwrap();
        assert!(values.iter().all(|v| v.is_finite()), "{name}");
        if name.ends_with("num_batches_tracked") {
            assert_eq!((t.dtype, values[0]), (Dtype::I64, 1_562_413.0), "{name}");
        }
        assert!(!name.ends_with("running_var") || values.iter().all(|v| *v >= 0.0), "{name}");
    }
    let whole = Foreign::open(&dir.join("coco2017-0.241078ap-model.pth")).unwrap();
    assert!(want.keys().all(|n| whole.tensors.contains_key(&format!("backbone.{n}"))));
}

#[test]
fn both_forms_of_a_real_checkpoint_are_the_same() {
    let Some(dir) = shared("conformance/bidet_ssd_narrow") else { return };
    let read = |f: &str| Foreign::open(&dir.join(f)).unwrap();
    let (new, old) = (read("bidet_ssd.pth"), read("bidet_ssd_legacy.pth"));
    assert_eq!((new.form, old.form), (Form::TorchZip, Form::TorchLegacy));
    let (new, old): (WeightFile, WeightFile) = (new.to_weights().unwrap(), old.to_weights().unwrap());
    assert_eq!(new.tensors.len(), 181);
    assert_eq!(new.tensors, old.tensors);
}
