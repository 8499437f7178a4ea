//! TensorBoard files: framing, checksums and fields, with a reader written for the test.

use std::path::Path;

use autobidet::report::events::{Event, Listener, RunStarted};
use autobidet::report::tensorboard::TensorBoard;

use super::sample;

/// CRC-32C bit by bit, from its definition (reflected polynomial 0x82F63B78).
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b), |c, _| if c & 1 == 1 { c >> 1 ^ 0x82F6_3B78 } else { c >> 1 })
    })
}

fn masked(bytes: &[u8]) -> u32 {
    let crc = crc32c(bytes);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The payloads of a TFRecord file, each checksum checked.
fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let word = |b: &[u8]| u32::from_le_bytes(b.try_into().unwrap());
    while !bytes.is_empty() {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        assert_eq!(word(&bytes[8..12]), masked(&bytes[..8]), "checksum of the length");
        let payload = &bytes[12..12 + length];
        assert_eq!(word(&bytes[12 + length..16 + length]), masked(payload), "checksum of the payload");
        out.push(payload.to_vec());
        bytes = &bytes[16 + length..];
    }
    out
}

/// A field of a protocol buffer: fixed-size numbers as their bits.
#[derive(Debug, Clone)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let b = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(b & 0x7f) << shift;
            shift += 7;
            if b < 0x80 {
                return value;
            }
        }
    }
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let mut take = |n: usize| {
            let (head, rest) = bytes.split_at(n);
            bytes = rest;
            head.to_vec()
        };
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Number(u64::from_le_bytes(take(8).try_into().unwrap())),
            5 => Field::Number(u64::from(u32::from_le_bytes(take(4).try_into().unwrap()))),
            2 => {
                let n = varint(&mut bytes) as usize;
                let (head, rest) = bytes.split_at(n);
                bytes = rest;
                Field::Bytes(head.to_vec())
            }
            other => panic!("wire type {other}"),
        };
        out.push((key >> 3, field));
    }
    out
}

fn number(f: &[(u64, Field)], key: u64) -> Option<u64> {
    f.iter().find_map(|(k, v)| match v {
        Field::Number(n) if *k == key => Some(*n),
        _ => None,
    })
}

fn bytes(f: &[(u64, Field)], key: u64) -> Vec<Vec<u8>> {
    f.iter()
        .filter_map(|(k, v)| match v {
            Field::Bytes(b) if *k == key => Some(b.clone()),
            _ => None,
        })
        .collect()
}

/// A summary value: step, tag, fields.
type Value = (u64, String, Vec<(u64, Field)>);

/// Every summary value of a file.
fn values(path: &Path) -> Vec<Value> {
    let mut out = Vec::new();
    for record in records(&std::fs::read(path).unwrap()) {
        let event = fields(&record);
        let step = number(&event, 2).unwrap_or(0);
        for summary in bytes(&event, 5) {
            for value in bytes(&fields(&summary), 1) {
                let value = fields(&value);
                let tag = String::from_utf8(bytes(&value, 1).remove(0)).unwrap();
                out.push((step, tag, value));
            }
        }
    }
    out
}

#[test]
fn framing_and_fields() {
    let folder = tempfile::tempdir().unwrap();
    let mut board = TensorBoard::create(folder.path().join("tb")).unwrap();
    let name = board.path().file_name().unwrap().to_str().unwrap().to_string();
    let parts: Vec<&str> = name.splitn(5, '.').collect();
    assert_eq!(&parts[..3], ["events", "out", "tfevents"]);
    assert!(parts[3].parse::<u64>().is_ok() && !parts[4].is_empty(), "{name}");
    sample::events(50).iter().for_each(|e| board.event(e).unwrap());
    board.image("detections", 50, &image::RgbImage::from_pixel(7, 5, image::Rgb([9, 8, 7]))).unwrap();

    let first = fields(&records(&std::fs::read(board.path()).unwrap())[0]);
    assert_eq!(bytes(&first, 3), [b"brain.Event:2".to_vec()]);
    let wall = f64::from_bits(number(&first, 1).unwrap());
    assert!(wall > 1.7e9, "wall time {wall}");

    let all = values(board.path());
    let scalar = |tag: &str, step: u64| -> f32 {
        let value = all.iter().find(|v| v.0 == step && v.1 == tag).unwrap_or_else(|| panic!("{tag} at {step}"));
        f32::from_bits(number(&value.2, 2).unwrap() as u32)
    };
    let step = sample::step(17, 50);
    assert_eq!(scalar("loss/total", 17), step.losses["total"] as f32);
    assert_eq!(scalar("train/learning_rate", 17), step.lr as f32);
    assert_eq!(scalar("train/grad_norm", 17), step.grad_norm.unwrap() as f32);
    assert!(scalar("loss/total", 40).is_nan());
    let evaluated = sample::evaluated(48, 50);
    assert_eq!(scalar("eval/mAP", 48), evaluated.map as f32);
    assert_eq!(scalar("AP/ring", 48), evaluated.per_class["ring"] as f32);

    let look = sample::diagnosis(48, 50, 6);
    let layer = &look.layers[3];
    assert_eq!(scalar("diagnose/body.5.conv/flipped", 48), layer.flipped as f32);
    assert_eq!(scalar("diagnose/body.5.conv/dead_outputs", 48), layer.dead_outputs.unwrap() as f32);
    assert!(!all.iter().any(|v| v.1 == "diagnose/body.10.conv/dead_outputs"));
    let histogram = all.iter().find(|v| v.0 == 48 && v.1 == "latent/body.5.conv").unwrap();
    let histogram = fields(&bytes(&histogram.2, 5)[0]);
    let double = |key| number(&histogram, key).map(f64::from_bits);
    assert_eq!((double(1), double(2), double(3)), (Some(-0.4), Some(0.45), Some(layer.weights as f64)));
    let packed = |key| -> Vec<f64> {
        let all = bytes(&histogram, key).remove(0);
        all.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
    };
    assert_eq!(packed(7), layer.histogram.iter().map(|n| *n as f64).collect::<Vec<_>>());
    let limits = packed(6);
    assert!(limits.len() == 26 && limits.windows(2).all(|w| w[0] < w[1]));
    assert!((limits[0] + 3.0 * layer.mean_abs).abs() < 1e-12 && limits[12].abs() < 1e-12);

    let picture = all.iter().find(|v| v.1 == "detections").unwrap();
    let picture = fields(&bytes(&picture.2, 4)[0]);
    assert_eq!((number(&picture, 1), number(&picture, 2), number(&picture, 3)), (Some(5), Some(7), Some(3)));
    let png = image::load_from_memory(&bytes(&picture, 4)[0]).unwrap().to_rgb8();
    assert_eq!(png.get_pixel(6, 4).0, [9, 8, 7]);
}

#[test]
fn a_resumed_run_replaces_later_steps() {
    let folder = tempfile::tempdir().unwrap();
    let mut board = TensorBoard::create(folder.path()).unwrap();
    board.event(&Event::RunStarted(RunStarted { resumed_at: Some(20), ..sample::started(40) })).unwrap();
    let session = records(&std::fs::read(board.path()).unwrap())
        .iter()
        .map(|r| fields(r))
        .find(|f| !bytes(f, 7).is_empty())
        .expect("a session log");
    assert_eq!(number(&session, 2), Some(21));
    assert_eq!(number(&fields(&bytes(&session, 7)[0]), 1), Some(1));
}

#[test]
fn two_sessions_in_a_second_have_two_files() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (TensorBoard::create(folder.path()).unwrap(), TensorBoard::create(folder.path()).unwrap());
    assert_ne!(a.path(), b.path());
}

/// Leaves a log folder in target/tmp/tensorboard, to be read with TensorBoard itself.
#[test]
fn a_folder_to_open() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tensorboard");
    let _ = std::fs::remove_dir_all(&folder);
    let mut board = TensorBoard::create(&folder).unwrap();
    sample::events(120).iter().for_each(|e| board.event(e).unwrap());
    board.image("detections", 120, &sample::example(1, 160, 0.0).image).unwrap();
    assert!(values(board.path()).len() > 500);
}
