//! Data sets, images, preprocessing, augmentation and loading.

mod augment;
mod coco;
mod files;
mod hostile;
mod images;
pub mod kinds;
mod loader;
mod preprocess;
mod real;
mod voc;
mod voc_write;

use std::path::{Path, PathBuf};

use autobidet::data::{Dataset, Note};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

/// The reference material beside the project, or `None` with a line that says so.
pub fn shared(part: &str) -> Option<PathBuf> {
    let root = std::env::var_os("AUTOBIDET_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join(part);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not here", path.display());
    None
}

/// A picture whose every pixel depends on its place and `tint`.
pub fn picture(width: u32, height: u32, tint: u8) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([(x * 7 % 256) as u8, (y * 5 % 256) as u8, tint.wrapping_add((x + y) as u8)])
    })
}

/// A VOC folder in a temporary place.
pub struct Voc(pub TempDir);

impl Voc {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for d in ["Annotations", "JPEGImages", "ImageSets/Main"] {
            std::fs::create_dir_all(dir.path().join(d)).unwrap();
        }
        Voc(dir)
    }
    pub fn path(&self) -> &Path {
        self.0.path()
    }
    /// An image file (by extension) and its annotation.
    pub fn image(&self, id: &str, width: u32, height: u32, objects: &[(&str, [f32; 4])]) -> &Self {
        self.picture(&format!("{id}.jpg"), width, height);
        let objects: String =
            objects.iter().map(|(name, corners)| object(name, &corners.map(|c| c.to_string()))).collect();
        self.xml(id, &annotation(&format!("{id}.jpg"), width, height, &objects))
    }
    pub fn picture(&self, file: &str, width: u32, height: u32) -> &Self {
        picture(width, height, file.len() as u8).save(self.path().join("JPEGImages").join(file)).unwrap();
        self
    }
    pub fn xml(&self, id: &str, text: &str) -> &Self {
        std::fs::write(self.path().join("Annotations").join(format!("{id}.xml")), text).unwrap();
        self
    }
    pub fn list(&self, split: &str, ids: &[&str]) -> &Self {
        let path = self.path().join("ImageSets/Main").join(format!("{split}.txt"));
        std::fs::write(path, ids.join("\n")).unwrap();
        self
    }
    pub fn open(&self, split: &str) -> autobidet::Result<Dataset> {
        autobidet::data::open(self.path(), split)
    }
}

pub fn annotation(file: &str, width: u32, height: u32, objects: &str) -> String {
    format!(
        "<annotation>\n<filename>{file}</filename>\n<size><width>{width}</width><height>{height}</height></size>\n{objects}</annotation>\n"
    )
}

pub fn object(name: &str, [x0, y0, x1, y1]: &[String; 4]) -> String {
    format!(
        "<object>\n<name>{name}</name><difficult>0</difficult>\n<bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>\
         <xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>\n</object>\n"
    )
}

/// The count of the one note that contains `what`, 0 without.
pub fn noted(notes: &[Note], what: &str) -> usize {
    let found: Vec<&Note> = notes.iter().filter(|n| n.what.contains(what)).collect();
    assert!(found.len() < 2, "{found:?}");
    found.first().map_or(0, |n| n.count)
}

/// Asserts that the message holds all of `parts`, and that a person is told what to do (it ends in a sentence).
pub fn says<T: std::fmt::Debug>(result: autobidet::Result<T>, parts: &[&str]) {
    let message = result.unwrap_err().to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}
