//! One hash an image: the shipped detector, an exact file, finds the same boxes, bit for bit, on every device and for ever.

use std::path::Path;

use autobidet::data::image_file;
use autobidet::detect::decode::DecodeOptions;
use autobidet::device::Device;
use autobidet::predict::Predictor;

/// Sample, hash of its pixels, detections over 0.05 and the hash of their bits.
const EXPECTED: [(&str, u64, usize, u64); 4] = [
    ("scene-1.png", 0xeda6_6f11_f553_3075, 5, 0x335b_dff1_d89a_10a4),
    ("scene-2.png", 0xa5f4_23d4_f543_31db, 6, 0xe34f_9111_010e_00df),
    ("scene-3.png", 0xd56a_cce0_2df4_8866, 1, 0xa6ae_b337_f228_c9ef),
    ("scene-4.png", 0x9871_9e97_3792_cfb3, 9, 0x80e8_7578_28af_b4bb),
];

/// FNV-1a of 64 bits.
fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ b as u64).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn the_shipped_detector_has_one_hash_an_image_on_every_device() {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/web");
    let options = DecodeOptions { score_threshold: 0.05, clip: true, ..Default::default() };
    for device in std::iter::once(Device::Cpu).chain(super::gpu()) {
        let mut predictor = Predictor::open(&web.join("models/scenes.safetensors"), &device).unwrap();
        let found = EXPECTED.map(|(name, ..)| {
            let image = image_file::read(&web.join("samples").join(name), None).unwrap().image;
            let detections = predictor.image(&image, &options).unwrap();
            let words = detections.iter().flat_map(|d| {
                let b = d.bbox;
                [
                    d.class as u32,
                    d.score.to_bits(),
                    b.xmin.to_bits(),
                    b.ymin.to_bits(),
                    b.xmax.to_bits(),
                    b.ymax.to_bits(),
                ]
            });
            let pixels = hash(image.as_raw().iter().copied());
            (name, pixels, detections.len(), hash(words.flat_map(u32::to_le_bytes)))
        });
        assert_eq!(found, EXPECTED, "on {}; left: found", device.name());
    }
}
