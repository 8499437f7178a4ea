//! COCO results: `[{"image_id": 42, "category_id": 18, "bbox": [x, y, width, height], "score": 0.236}, ...]`.

use std::collections::HashMap;
use std::fmt;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::data::{Dataset, Note};
use crate::{Error, Result};

use super::super::boxes::{Candidate, Rect};
use super::{Detections, NEGATIVE, UnknownImages, finish, image_index, note, open, shown};

/// The image id of a file name (without its ending) as COCO has them: `000000000139.jpg` is image 139. A name that is no
/// number stays what it is.
pub fn image_id(name: &str) -> &str {
    // Readers that hold numbers as f64 are exact up to 15 digits.
    let number = match name.bytes().all(|b| b.is_ascii_digit()) {
        true => name.trim_start_matches('0'),
        false => return name,
    };
    match (number.len(), name.is_empty()) {
        (0, false) => "0",
        (1..=15, _) => number,
        _ => name,
    }
}

/// An image id: a number or a text.
struct ImageId(String);

impl<'de> Deserialize<'de> for ImageId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Id;
        impl Visitor<'_> for Id {
            type Value = ImageId;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an image id (a whole number or a text)")
            }
            fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<ImageId, E> {
                Ok(ImageId(v.to_string()))
            }
            fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<ImageId, E> {
                Ok(ImageId(v.to_string()))
            }
            fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<ImageId, E> {
                // 42.0, as data frames write whole numbers; f64 holds them exactly below 2^53.
                if v.fract() == 0.0 && v.abs() < 9.0e15 {
                    return Ok(ImageId((v as i64).to_string()));
                }
                Err(E::invalid_value(serde::de::Unexpected::Float(v), &self))
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<ImageId, E> {
                Ok(ImageId(v.to_owned()))
            }
        }
        d.deserialize_any(Id)
    }
}

/// One entry. Other fields (segmentation, label, ...) are skipped without being kept.
#[derive(Deserialize)]
struct Entry {
    image_id: ImageId,
    category_id: i64,
    bbox: [f64; 4],
    score: f64,
}

/// Takes in the list one entry at a time, so that only what is used is kept.
struct Collect<'a> {
    images: HashMap<&'a str, u32>,
    /// The same by [`image_id`]; none where two images share it.
    numbers: HashMap<&'a str, Option<u32>>,
    classes: HashMap<i64, u32>,
    shift: f64,
    found: Vec<Candidate>,
    notes: Vec<Note>,
    unknown: UnknownImages,
}

impl Collect<'_> {
    fn add(&mut self, index: usize, entry: &Entry) -> Result<(), String> {
        let [x, y, w, h] = entry.bbox;
        let bbox = Rect::from_xywh(x, y, w, h);
        if !bbox.is_finite() || !(w * h).is_finite() {
            return Err(format!("bbox {:?} is too large to compute with", entry.bbox));
        }
        let id = entry.image_id.0.as_str();
        let by_number = || self.numbers.get(image_id(id)).copied().flatten();
        let Some(image) = self.images.get(id).copied().or_else(by_number) else {
            self.unknown.add(&entry.image_id.0, None);
            return Ok(());
        };
        let Some(&class) = self.classes.get(&entry.category_id) else {
            note(&mut self.notes, "detection of a category_id that the data set does not have: left out", || {
                format!("category_id {} (entry {index})", entry.category_id)
            });
            return Ok(());
        };
        if w < 0.0 || h < 0.0 {
            note(&mut self.notes, NEGATIVE, || format!("entry {index}"));
        }
        self.found.push(Candidate { image, class, score: entry.score, bbox: bbox.shifted(self.shift) });
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for &mut Collect<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Collect<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("COCO results: a list of {image_id, category_id, bbox, score}")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut index = 0;
        loop {
            let entry = list.next_element::<Entry>().map_err(|e| A::Error::custom(format!("entry {index}: {e}")))?;
            let Some(entry) = entry else { return Ok(()) };
            self.add(index, &entry).map_err(|e| A::Error::custom(format!("entry {index}: {e}")))?;
            index += 1;
        }
    }
}

/// Reads COCO results. Image ids are compared as text, numbers by their digits; where that finds nothing, `000005` and 5
/// are the same image, unless the data set has both. Entries are counted from 0.
///
/// Detections of categories that the data set does not have are counted in a note and left out, as pycocotools does.
/// Errors, all with the file: [`Error::Io`]; [`Error::Format`] for anything that is not a list of entries with an
/// image id, a category id, four finite numbers and a finite score, for ids that the data set does not have (the first
/// one and their number), and for a file over [`super::MAX_FILE_BYTES`].
pub fn read_coco_results(path: &Path, dataset: &Dataset) -> Result<Detections> {
    let file = open(path)?;
    let images = image_index(dataset);
    let mut numbers = HashMap::with_capacity(images.len());
    for (id, at) in &images {
        numbers.entry(image_id(id)).and_modify(|several| *several = None).or_insert(Some(*at));
    }
    let mut collect = Collect {
        images,
        numbers,
        classes: dataset.category_ids.iter().enumerate().map(|(k, &id)| (i64::from(id), k as u32)).collect(),
        shift: f64::from(dataset.origin),
        found: Vec::new(),
        notes: Vec::new(),
        unknown: UnknownImages::default(),
    };
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(1 << 16, file));
    let read = (&mut collect).deserialize(&mut json).and_then(|()| json.end());
    read.map_err(|e| explain(path, e))?;
    let Collect { found, notes, unknown, .. } = collect;
    unknown.check(path, dataset)?;
    Ok(Detections { found, notes })
}

/// serde_json's error as ours: the line once, what was expected, what to do.
fn explain(path: &Path, e: serde_json::Error) -> Error {
    if let Some(kind) = e.io_error_kind() {
        return Error::io("read", path, kind.into());
    }
    let line = (e.line() > 0).then(|| e.line());
    // A message that passed through an entry carries its place twice.
    let mut text = e.to_string();
    let place = format!(" at line {} column {}", e.line(), e.column());
    while let Some(bare) = text.strip_suffix(&place) {
        text = bare.to_owned();
    }
    if let Some(at) = text.rfind(" at line ") {
        text.truncate(at);
    }
    Error::Format {
        path: path.to_path_buf(),
        line,
        problem: format!("{} (column {})", text.trim_end_matches('.'), e.column()),
        remedy: "Expected COCO results, [{\"image_id\": 42, \"category_id\": 18, \"bbox\": [x, y, width, height], \
                 \"score\": 0.236}, ...]; JSON has no NaN and no infinity"
            .to_owned(),
    }
}

/// One line of COCO results to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct CocoRow<'a> {
    /// The image's id; written as a number where it is one.
    pub image_id: &'a str,
    /// COCO's category id.
    pub category_id: u32,
    /// The class name, COCO's format plus one field.
    pub label: &'a str,
    /// Left, top, width, height in pixels, counted from 0.
    pub bbox: [f64; 4],
    /// Not rounded.
    pub score: f64,
}

/// An id that reads back as the same text is written as a number.
#[derive(Serialize)]
#[serde(untagged)]
enum WrittenId<'a> {
    Number(u64),
    Text(&'a str),
}

impl Serialize for CocoRow<'_> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        // Readers that hold numbers as f64 are exact below 2^53.
        let number = self.image_id.parse::<u64>().ok().filter(|n| *n < 1 << 53 && n.to_string() == self.image_id);
        let mut row = s.serialize_struct("detection", 5)?;
        row.serialize_field("image_id", &number.map_or(WrittenId::Text(self.image_id), WrittenId::Number))?;
        row.serialize_field("category_id", &self.category_id)?;
        row.serialize_field("bbox", &self.bbox)?;
        row.serialize_field("score", &self.score)?;
        row.serialize_field("label", self.label)?;
        row.end()
    }
}

/// Writes rows as COCO results, one a line. Numbers that are not finite have no JSON and are an
/// [`std::io::ErrorKind::InvalidData`] error.
pub fn write_coco_rows<'a>(out: &mut impl Write, rows: impl IntoIterator<Item = CocoRow<'a>>) -> std::io::Result<()> {
    out.write_all(b"[")?;
    for (i, row) in rows.into_iter().enumerate() {
        if !row.score.is_finite() || !row.bbox.iter().all(|v| v.is_finite()) {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                format!("detection of image {} is not finite", shown(row.image_id)),
            ));
        }
        out.write_all(if i == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &row)?;
    }
    out.write_all(b"\n]\n")
}

/// Writes detections of a data set as a COCO results file, with a `label` beside each category id. An existing file is
/// replaced. [`Error::Io`], and [`Error::Shape`] for a detection whose image or class does not exist.
pub fn write_coco_results(path: &Path, dataset: &Dataset, found: &[Candidate]) -> Result<()> {
    let mut rows = Vec::with_capacity(found.len());
    for d in found {
        let known = (dataset.images.get(d.image as usize), dataset.classes.get(d.class as usize));
        let (Some(image), Some(label), Some(&category_id)) =
            (known.0, known.1, dataset.category_ids.get(d.class as usize))
        else {
            return Err(super::devkit::unknown("COCO results", dataset, d));
        };
        let b = d.bbox.shifted(-f64::from(dataset.origin));
        rows.push(CocoRow { image_id: &image.id, category_id, label, bbox: [b.x, b.y, b.w, b.h], score: d.score });
    }
    let file = std::fs::File::create(path).map_err(|e| Error::io("create", path, e))?;
    let mut out = BufWriter::new(file);
    write_coco_rows(&mut out, rows).map_err(|e| Error::io("write", path, e))?;
    finish(path, out)
}
