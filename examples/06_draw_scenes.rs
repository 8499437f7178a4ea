//! The embedded scenes as pictures: images of any size with objects whose boxes are known, from a seed, without a download.
//!
//! `cargo run --release --example 06_draw_scenes [FOLDER [COUNT [SIDE]]]`
//!
//! `autobidet scenes` writes a whole data set with its annotations.

use std::path::PathBuf;

use autobidet::data::scenes::{self, CLASSES, SceneSpec, TEST_START};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().map_or_else(|| std::env::temp_dir().join("autobidet-scenes"), PathBuf::from);
    let count: u64 = args.next().map_or(Ok(4), |n| n.parse())?;
    let side: u32 = args.next().map_or(Ok(320), |n| n.parse())?;

    std::fs::create_dir_all(&folder)?;
    let spec = SceneSpec { seed: 77, width: side, height: side };
    for k in 0..count {
        let (image, objects) = scenes::draw(&spec, TEST_START + k);
        let path = folder.join(format!("scene-{}.png", k + 1));
        image.save(&path)?;
        let names: Vec<&str> = objects.iter().map(|o| CLASSES[o.class]).collect();
        println!("{}: {}", path.display(), names.join(", "));
    }
    Ok(())
}
