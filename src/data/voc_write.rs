//! Writes a data set as a VOC folder that [`super::voc`] (and any other VOC reader) reads back.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use image::RgbImage;
use quick_xml::escape::escape;

use super::types::Object;
use crate::{Error, Result};

/// JPEG quality of the images written.
const QUALITY: u8 = 95;

/// A VOC folder being written. The lists of the splits are written last, by [`VocWriter::finish`]: a folder without
/// them is an unfinished one.
#[derive(Debug)]
pub struct VocWriter {
    root: PathBuf,
    classes: Vec<String>,
    lists: BTreeMap<String, Vec<String>>,
    ids: HashSet<String>,
}

impl VocWriter {
    /// Begins a data set of these classes at `root`, which must not exist yet or be empty.
    ///
    /// # Errors
    /// [`Error::Data`] when `root` holds something, [`Error::Io`] when it cannot be made.
    pub fn create(root: &Path, classes: &[String]) -> Result<Self> {
        if root.exists() {
            let mut entries = std::fs::read_dir(root).map_err(|e| Error::io("read", root, e))?;
            if let Some(Ok(first)) = entries.next() {
                return Err(Error::data(
                    root,
                    format!("the folder is not empty (it holds {})", first.file_name().to_string_lossy()),
                    "Choose another --out, or delete it yourself; nothing is overwritten",
                ));
            }
        }
        for folder in ["Annotations", "JPEGImages", "ImageSets/Main"] {
            let folder = root.join(folder);
            std::fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        }
        Ok(VocWriter {
            root: root.to_path_buf(),
            classes: classes.to_vec(),
            lists: BTreeMap::new(),
            ids: HashSet::new(),
        })
    }

    /// Adds one image to the list `split`. Boxes are in pixels from `origin` and are written from 1, as VOC counts;
    /// whole numbers stay whole. A crowd object is written like any other.
    ///
    /// # Errors
    /// [`Error::Config`] for an id or split that is no file name, an id used before, or a class out of range;
    /// [`Error::Io`].
    pub fn add(&mut self, split: &str, id: &str, image: &RgbImage, objects: &[Object], origin: f32) -> Result<()> {
        for (what, name) in [("split", split), ("image id", id)] {
            let plain = |c: char| c.is_alphanumeric() || "_-.+".contains(c);
            if name.is_empty() || name.starts_with('.') || name.len() > 200 || !name.chars().all(plain) {
                return Err(Error::config(
                    what,
                    format!("`{name}` is no plain file name"),
                    "Use letters, digits, _ - + .",
                ));
            }
        }
        if self.ids.contains(id) {
            return Err(Error::config(
                "image id",
                format!("`{id}` was written before"),
                "Every image needs its own id",
            ));
        }
        let mut xml = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            xml,
            "<annotation>\n\t<folder>JPEGImages</folder>\n\t<filename>{id}.jpg</filename>\n\t<size>\n\t\t<width>{}</width>\n\
             \t\t<height>{}</height>\n\t\t<depth>3</depth>\n\t</size>\n\t<segmented>0</segmented>\n",
            image.width(),
            image.height()
        );
        for object in objects {
            let name = self.classes.get(object.class).ok_or_else(|| {
                Error::config(
                    "class",
                    format!("{} of {} classes", object.class, self.classes.len()),
                    "Classes count from 0",
                )
            })?;
            let b = object.bbox;
            let [x0, y0, x1, y1] = [b.xmin, b.ymin, b.xmax, b.ymax].map(|v| v - origin + 1.0);
            let _ = write!(
                xml,
                "\t<object>\n\t\t<name>{}</name>\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>\n\
                 \t\t<difficult>{}</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>{x0}</xmin>\n\t\t\t<ymin>{y0}</ymin>\n\
                 \t\t\t<xmax>{x1}</xmax>\n\t\t\t<ymax>{y1}</ymax>\n\t\t</bndbox>\n\t</object>\n",
                escape(name.as_str()),
                u8::from(object.difficult)
            );
        }
        xml.push_str("</annotation>\n");

        let mut jpeg = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
        let path = self.root.join("JPEGImages").join(format!("{id}.jpg"));
        image.write_with_encoder(encoder).map_err(|e| {
            Error::format(&path, format!("cannot be encoded as JPEG: {e}"), "JPEG sides go up to 65535")
        })?;
        write(&path, &jpeg)?;
        write(&self.root.join("Annotations").join(format!("{id}.xml")), xml.as_bytes())?;
        self.ids.insert(id.to_owned());
        self.lists.entry(split.to_owned()).or_default().push(id.to_owned());
        Ok(())
    }

    /// Writes the lists. With both `train` and `val`, and no `trainval`, that one is written too.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self) -> Result<()> {
        if let (Some(train), Some(val), None) =
            (self.lists.get("train"), self.lists.get("val"), self.lists.get("trainval"))
        {
            let both = train.iter().chain(val).cloned().collect();
            self.lists.insert("trainval".into(), both);
        }
        for (split, ids) in &self.lists {
            write(
                &self.root.join("ImageSets/Main").join(format!("{split}.txt")),
                format!("{}\n", ids.join("\n")).as_bytes(),
            )?;
        }
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(|e| Error::io("write", path, e))
}
