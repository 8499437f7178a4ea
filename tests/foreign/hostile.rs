//! Checkpoints that are cut, altered, lying, or programs: a typed error each, with the place; nothing run, no panic, and no
//! memory beyond a small multiple of the file.

use std::path::Path;

use autobidet::Error;
use autobidet::weights::{Foreign, WeightFile};

use super::pth::open;
use super::torch_file::{
    Array, Pickle, Record, legacy, legacy_head, legacy_keys, records, state_dict, with_keys, zip, zipped,
};

fn read(bytes: &[u8]) -> Result<Foreign, Error> {
    Foreign::from_bytes(Path::new("made.pth"), bytes.to_vec())
}

/// The error names the file and holds all of `parts`.
#[track_caller]
fn refused(bytes: &[u8], parts: &[&str]) {
    let e = match read(bytes) {
        Ok(f) => panic!("was read: {:?}", f.tensors.keys()),
        Err(e) => e,
    };
    assert!(matches!(e, Error::Format { .. }), "{e:?}");
    let text = e.to_string();
    for part in parts.iter().chain(&["made.pth: "]) {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert!(text.len() < 900, "{text}");
}

/// A change, and what is said of it.
type Lie<'a, T> = (&'a dyn Fn(&mut T), &'a str);

fn arrays() -> Vec<Array> {
    vec![
        Array::floats("a.weight", &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        Array::floats("a.bias", &[2], &[-1.0, 1.0]),
        Array::counter("a.num_batches_tracked", 9),
    ]
}

/// A zip form whose pickle is this.
fn with_pickle(pickle: Vec<u8>) -> Vec<u8> {
    zip(&records(&pickle, &with_keys(&arrays())))
}

#[test]
fn cut_anywhere() {
    for whole in [zipped(&arrays()), legacy(&arrays())] {
        for n in 0..whole.len() {
            assert!(matches!(read(&whole[..n]), Err(Error::Format { .. })), "{n} of {} bytes were read", whole.len());
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert!(read(&longer).is_err());
    }
    let whole = zipped(&arrays());
    refused(&whole[..whole.len() - 30], &["cut off"]);
    let whole = legacy(&arrays());
    refused(&whole[..whole.len() - 3], &["cut off", "storage 2"]);
}

#[test]
fn any_byte_altered() {
    let contents = |f: &Foreign| -> Vec<(String, Vec<f32>)> {
        f.tensors.keys().map(|n| (n.clone(), f.floats(n).unwrap())).collect()
    };
    let zip = zipped(&arrays());
    let want = contents(&open(&zip));
    let mut read_all_the_same = 0;
    for i in 0..zip.len() {
        for bit in [1u8, 0x80] {
            let mut bytes = zip.clone();
            bytes[i] ^= bit;
            // Dates, padding and the like may change; what is read may not.
            if let Ok(f) = read(&bytes) {
                assert_eq!(contents(&f), want, "byte {i}");
                read_all_the_same += 1;
            }
        }
    }
    assert!(3 * read_all_the_same < 4 * zip.len(), "{read_all_the_same} of {}", 2 * zip.len());
    // The older form has no checksum: whatever comes out, it comes out in order.
    let old = legacy(&arrays());
    for i in 0..old.len() {
        for bit in [1u8, 0x10, 0x80] {
            let mut bytes = old.clone();
            bytes[i] ^= bit;
            if let Ok(f) = read(&bytes) {
                assert!(contents(&f).len() <= 3);
            }
        }
    }
    let mut bytes = zipped(&arrays());
    let at = bytes.windows(4).position(|w| w == 5f32.to_le_bytes()).unwrap();
    bytes[at] ^= 1;
    refused(&bytes, &["checksum is wrong (archive/data/0)", "altered or damaged"]);
}

#[test]
fn damaged_at_random() {
    let mut state = 1u64;
    let mut random = move |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    let pickle = state_dict(&with_keys(&arrays()), 2, &["state_dict"], false);
    let mut outcomes = [0usize; 2];
    for i in 0..6000 {
        // The pickle alone (its record gets a right checksum again), or the older form's whole file.
        let mut bytes = if i % 2 == 0 { pickle.clone() } else { legacy(&arrays()) };
        for _ in 0..1 + random(4) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] = random(256) as u8,
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, b"(.}]Rb0tueQ)s\x94h\x85\x8a"[random(16)]),
                _ => {
                    let part = bytes[at..(at + 1 + random(30)).min(bytes.len())].to_vec();
                    let to = random(bytes.len());
                    bytes.splice(to..to, part);
                }
            }
        }
        let file = if i % 2 == 0 { with_pickle(bytes) } else { bytes };
        match read(&file) {
            Ok(f) => {
                outcomes[0] += 1;
                for name in f.tensors.keys() {
                    assert!(f.floats(name).unwrap().len() <= file.len());
                }
            }
            Err(e) => {
                outcomes[1] += 1;
                assert!(matches!(e, Error::Format { .. }), "{e:?}");
            }
        }
    }
    println!("{outcomes:?} read and refused");
    assert!(outcomes[0] > 20 && outcomes[1] > 3000, "{outcomes:?}");
}

#[test]
fn programs_are_not_run() {
    let call = |p: Pickle, module: &str, name: &str| {
        p.global(module, name).op(b'(').text("touch /tmp/never").op(b't').op(b'R').stop()
    };
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("__builtin__", "exec"),
        ("torch.nn.modules.conv", "Conv2d"),
        ("torch", "load"),
        ("torch", "ComplexFloatStorage"),
        ("torch._utils", "_rebuild_sparse_tensor"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("collections", "OrderedDict2"),
    ] {
        for protocol in [2, 4] {
            let full = format!("{module}.{name}");
            let pickle = call(Pickle::new(protocol), module, name);
            refused(&with_pickle(pickle.clone()), &["data.pkl: ", "byte ", &full, "nothing was run", "state_dict()"]);
            let bytes = [legacy_head(true), pickle].concat();
            refused(&bytes, &["byte ", &full, "nothing was run"]);
        }
    }
    // A name of a megabyte is not repeated.
    refused(&with_pickle(call(Pickle::new(2), "os", &"x".repeat(1 << 20))), &["name without an end"]);
    refused(&with_pickle(call(Pickle::new(4), &"x".repeat(250), "y")), &["xxxx..."]);
    // Instructions that make or call other objects.
    for code in [b'i', b'o', b'P', 0x92, 0x82, 0x8f, b'V', b'I', 0x96, 0xff, 0] {
        let pickle = Pickle::new(2).op(b'}').op(code).text("a").stop();
        refused(&with_pickle(pickle), &["byte 3 of data.pkl", &format!("instruction 0x{code:02x}")]);
    }
    // Known names with what does not fit them.
    for name in ["_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_tensor_v3", "_rebuild_tensor"] {
        refused(&with_pickle(call(Pickle::new(2), "torch._utils", name)), &["arguments that do not fit"]);
    }
    refused(&with_pickle(call(Pickle::new(2), "torch", "FloatStorage")), &["arguments that do not fit"]);
    refused(&with_pickle(Pickle::new(2).int(3).op(b')').op(b'R').stop()), &["calls what is no Python name"]);
    let script = [
        records(&state_dict(&with_keys(&arrays()), 2, &[], false), &with_keys(&arrays())),
        vec![Record::new("archive/constants.pkl", b".")],
    ];
    refused(&zip(&script.concat()), &["TorchScript", "nothing of it was run"]);
}

#[test]
fn pickles_that_go_astray() {
    let p = || Pickle::new(2);
    for (pickle, part) in [
        (p().stop(), "empty stack"),
        (p().int(1).int(2).stop(), "more than one value"),
        (p().op(b'(').int(1).stop(), "more than one value"),
        (p().op(b't').stop(), "a mark that was not set"),
        (p().op(0x85).stop(), "empty stack"),
        (p().op(b'(').op(b'0').stop(), "empty stack"),
        (p().op(b'}').int(1).op(b's').stop(), "empty stack"),
        (p().op(b']').int(1).int(2).op(b's').stop(), "no dictionary"),
        (p().op(b'}').op(b'(').int(1).op(b'u').stop(), "a key without a value"),
        (p().op(b'}').int(1).op(b'a').stop(), "no list"),
        (p().op(b'h').op(9).stop(), "number 9 of its memo"),
        (p().op(b'j').raw(&[255; 4]).stop(), "number 4294967295 of its memo"),
        (p().op(b'X').raw(&[255; 4]).stop(), "in the middle of an instruction"),
        (p().op(0x8d).raw(&[255; 8]).stop(), "in the middle of an instruction"),
        (p().op(b'X').raw(&[1, 0, 0, 0, 0xff]).stop(), "not UTF-8"),
        (p().int(1).op(b'Q').stop(), "describes a storage wrongly"),
        (p().int(1).int(2).op(b'b').stop(), "sets attributes"),
        (vec![0x80, 1, b'}', b'.'], "protocol 1"),
        (vec![0x80, 9, b'}', b'.'], "protocol 9"),
        (p().op(b'}').stop(), "holds no tensors"),
        (p().int(5).stop(), "holds the number 5"),
        (p().op(b']').stop(), "holds a list"),
        (p().op(b'}').op(b'(').text("epoch").int(1).op(b'u').stop(), "(it holds epoch)"),
        ([p().op(b'}').stop(), vec![0; 9]].concat(), "9 bytes behind the end"),
        (Vec::new(), "in the middle of an instruction"),
    ] {
        refused(&with_pickle(pickle), &[part]);
    }
    // A dictionary that holds itself; a hundred thousand lists in each other; laughs by the billion; and without end.
    let own = p().op(b'}').op(b'q').op(0).op(b'(').text("state_dict").op(b'h').op(0).op(b'u').stop();
    refused(&with_pickle(own), &["holds no tensors"]);
    let deep = p().raw(&[b']'; 100_000]).raw(&[b'a'; 99_999]).stop();
    refused(&with_pickle(deep), &["holds a list"]);
    let mut laughs = p().op(b']').op(b'q').op(0);
    for i in 0..60 {
        laughs = laughs.op(b']').op(b'(').raw(&[b'h', i, b'h', i, b'h', i]).op(b'e').op(b'q').op(i + 1);
    }
    refused(&with_pickle(laughs.raw(&[b'0'; 60]).stop()), &["holds a list"]);
    refused(&with_pickle(p().raw(&vec![b'N'; 2_000_000]).stop()), &["more than 1000000 instructions"]);
}

#[test]
fn tensors_that_lie() {
    let one = |change: &dyn Fn(&mut Array)| {
        let mut a = arrays()[0].clone();
        change(&mut a);
        let all = with_keys(&[a, arrays()[1].clone()]);
        [zip(&records(&state_dict(&all, 2, &[], false), &all)), legacy(&all)]
    };
    let lies: [Lie<'_, Array>; 14] = [
        (&|a| a.shape = vec![2, 4], "does not fit its storage of 6 values"),
        (&|a| a.shape = vec![i64::MAX, 2], "does not fit"),
        (&|a| a.shape = vec![1 << 31, 1 << 31, 1 << 31], "does not fit"),
        (&|a| a.shape = vec![-1, 3], "size is not up to 8 numbers"),
        (&|a| a.shape = vec![1; 9], "size is not up to 8 numbers"),
        (&|a| a.strides = vec![1], "does not fit"),
        (&|a| a.strides = vec![i64::MAX, 1], "does not fit"),
        (&|a| a.strides = vec![-3, 1], "strides are not numbers"),
        (&|a| a.offset = 1, "from 1 on does not fit"),
        (&|a| a.offset = -1, "offset is no number"),
        (&|a| a.length = -6, "its length is -6"),
        (&|a| a.length = 1 << 62, "values"),
        (&|a| a.length = 7, "values"),
        // One value as a thousand billion.
        (&|a| (a.shape, a.strides) = (vec![1_000_000, 1_000_000], vec![0, 0]), "claims 1000000000"),
    ];
    for (i, (change, part)) in lies.into_iter().enumerate() {
        println!("lie {i}");
        for bytes in one(change) {
            refused(&bytes, &[part]);
        }
    }
    // A float of 64 bits that is none of 32.
    let huge = Array::new("w", "DoubleStorage", &[1], 1e300f64.to_le_bytes().to_vec());
    let e = open(&zipped(&[huge])).floats("w").unwrap_err().to_string();
    assert!(e.contains("made.pth: tensor w holds 1e300"), "{e}");
    // Two tensors of a name; a name that is no text; a name of two kilobytes.
    let twice = [arrays()[0].clone(), arrays()[0].clone()];
    refused(&zipped(&twice), &["two tensors named a.weight"]);
    let long = Array::floats(&"n".repeat(2000), &[1], &[1.0]);
    refused(&zipped(&[long]), &["without a name"]);
    let a = &with_keys(&arrays())[0];
    let number = Pickle::new(2).op(b'}').int(1).tensor(a, false).op(b's').stop();
    refused(&with_pickle(number), &["without a name that is text"]);
    // A storage that is not there; one of two types.
    let missing = [Array { key: "../../etc/passwd".into(), ..arrays()[0].clone() }];
    let pickle = state_dict(&missing, 2, &[], false);
    refused(&with_pickle(pickle), &["no record archive/data/../../etc/passwd", "tensor a.weight"]);
    let both = [arrays()[0].clone(), Array { name: "b".into(), class: "HalfStorage", ..arrays()[0].clone() }];
    let both = both.map(|a| Array { key: "0".into(), ..a });
    refused(&zipped(&both), &["24 bytes", "float16"]);
    refused(&legacy(&both), &["describes storage 0 in two ways"]);
}

#[test]
fn archives_that_lie() {
    let arrays = with_keys(&arrays());
    let good = records(&state_dict(&arrays, 2, &[], false), &arrays);
    let changed = |change: &dyn Fn(&mut Vec<Record>)| {
        let mut r = good.clone();
        change(&mut r);
        zip(&r)
    };
    let lies: [Lie<'_, Vec<Record>>; 13] = [
        (&|r| r[0].flags |= 1, "encrypted"),
        (&|r| r[0].method = 99, "in way 99"),
        (&|r| r[0].size += 1, "two sizes for record archive/data.pkl"),
        (&|r| r[0].crc ^= 1, "checksum is wrong (archive/data.pkl)"),
        (&|r| r[2].size = u32::MAX, "zip64"),
        (&|r| r.push(r[2].clone()), "two records of the name archive/data/0"),
        (&|r| r.push(Record::new("other/data.pkl", b".")), "more than one data.pkl"),
        (&|r| r[0].name = "archive/data.txt".into(), "without a data.pkl"),
        (&|r| r[1] = Record::new("archive/byteorder", b"big"), "other order of bytes"),
        (&|r| r[2].name = "archive/data/x".into(), "no record archive/data/0"),
        (&|r| r[2].method = 8, "archive/data/0"),
        (&|r| r[2] = Record { size: 10, ..r[2].clone().deflated() }, "another size than it says"),
        (&|r| r[2] = Record::new("archive/data/0", &[0; 20]), "20 bytes (data/0)"),
    ];
    for (i, (change, part)) in lies.into_iter().enumerate() {
        println!("lie {i}");
        refused(&changed(change), &[part]);
    }
    // 64 MiB of zeros in 64 KiB, told and not told.
    let bomb = Record::new("archive/data/0", &vec![0; 64 << 20]).deflated();
    assert!(bomb.stored.len() < 100_000);
    refused(&changed(&|r| r[2] = bomb.clone()), &["zip bomb"]);
    refused(&changed(&|r| r[2] = Record { size: 24, ..bomb.clone() }), &["another size than it says"]);
    // A directory that points elsewhere.
    let bytes = zip(&good);
    let end = bytes.len() - 22;
    for (at, value, part) in [
        (end + 16, u32::MAX - 9, "outside the file"),
        (end + 12, 40, "not all there"),
        (end + 8, 0x0001_0001, "no record archive/data/0"),
        (end + 8, 0x7fff_7fff, "record 6 of 32767 is not all there"),
        (end + 8, 0x0002_0001, "several parts"),
        (end + 16, 0, "does not begin as one"),
        (end + 16, u32::MAX, "zip64"),
    ] {
        let mut b = bytes.clone();
        b[at..at + 4].copy_from_slice(&value.to_le_bytes());
        refused(&b, &[part]);
    }
}

#[test]
fn older_forms_that_lie() {
    let arrays = with_keys(&arrays());
    let pickle = state_dict(&arrays, 2, &[], true);
    let storages = |lengths: [i64; 3]| -> Vec<u8> {
        let parts = arrays.iter().zip(lengths).map(|(a, n)| [&n.to_le_bytes()[..], &a.bytes[..]].concat());
        parts.collect::<Vec<_>>().concat()
    };
    let all =
        |head: Vec<u8>, keys: &[&str], lengths| [head, pickle.clone(), legacy_keys(keys), storages(lengths)].concat();
    assert_eq!(open(&all(legacy_head(true), &["0", "1", "2"], [6, 2, 1])).tensors.len(), 3);
    for (bytes, part) in [
        (all(legacy_head(false), &["0", "1", "2"], [6, 2, 1]), "other order of bytes"),
        (all(legacy_head(true), &["0", "1", "3"], [6, 2, 1]), "a storage that no tensor names (3)"),
        (all(legacy_head(true), &["0", "0", "2"], [6, 2, 1]), "in storage 0 that should have 6"),
        (all(legacy_head(true), &["0", "1"], [6, 2, 1]), "bytes behind its last storage"),
        (all(legacy_head(true), &["0", "1", "2"], [6, 3, 1]), "3 values in storage 1 that should have 2"),
        (all(legacy_head(true), &["0", "1", "2"], [6, -2, 1]), "-2 values in storage 1"),
        (all(Pickle::new(2).int(7).stop(), &[], [6, 2, 1]), "not one of torch.save"),
    ] {
        refused(&bytes, &[part]);
    }
    let none = [legacy_head(true), pickle.clone(), legacy_keys(&[])].concat();
    refused(&none, &["no bytes for storage 0 (tensor a.weight)"]);
    let outside = [Array { view: Some((5, 3)), shape: vec![1], strides: vec![1], ..arrays[0].clone() }];
    refused(&legacy(&outside), &["view from 5 on of 3 values in a storage of 6"]);
}

#[test]
fn other_files() {
    let mut tar = vec![b'x'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    for (bytes, part) in [
        (Vec::new(), "safetensors"),
        (b"not weights".to_vec(), "safetensors"),
        (vec![0xff; 64], "safetensors"),
        (tar, "first form (tar"),
        (zip(&[Record::new("word/document.xml", b"<x/>")]), "without a data.pkl"),
        (zip(&[]), "without a data.pkl"),
        (Pickle::new(2).op(b'}').stop(), "not one of torch.save"),
    ] {
        refused(&bytes, &[part]);
    }
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere.pth");
    assert!(matches!(Foreign::open(&nowhere), Err(Error::Io { .. })));
    assert!(Foreign::open(dir.path()).unwrap_err().to_string().contains("not a regular file"));
    // Where a weight file is wanted, a checkpoint is told from a damaged file.
    let path = dir.path().join("a.pth");
    std::fs::write(&path, zipped(&arrays())).unwrap();
    let e = WeightFile::read(&path).unwrap_err().to_string();
    assert!(e.contains("PyTorch checkpoint") && e.contains("autobidet import"), "{e}");
}
