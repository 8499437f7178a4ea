//! The VOC kit's result folder: one file a class, `<anything>_<class>.txt`, one detection a line:
//! `<image id> <score> <xmin> <ymin> <xmax> <ymax>`, pixels counted from 1.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::data::Dataset;
use crate::{Error, Result};

use super::super::boxes::{Candidate, Rect};
use super::{Detections, NEGATIVE, UnknownImages, finish, image_index, note, open, shown};

/// The longest line that is read. Six numbers take a hundredth of it.
const MAX_LINE_BYTES: u64 = 1 << 16;

const FORM: &str = "Expected '<image id> <score> <xmin> <ymin> <xmax> <ymax>'";

/// Reads every `*_<class>.txt` of a folder, classes in the data set's order.
///
/// The class of a file is the longest class name that its stem ends with after an underscore, so that names may hold
/// underscores and spaces themselves. Text files of no class are counted in a note. Errors: [`Error::Io`];
/// [`Error::Format`] with file and line for a line that is not six fields, for numbers that are none or not finite,
/// for ids that the data set does not have (the first one and their number), for two files of one class, and for a
/// folder without any file of a class.
pub fn read_devkit(dir: &Path, dataset: &Dataset) -> Result<Detections> {
    let mut out = Detections::default();
    let mut files: Vec<Option<PathBuf>> = vec![None; dataset.classes.len()];
    let mut names: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| Error::io("read", dir, e))? {
        names.push(entry.map_err(|e| Error::io("read", dir, e))?.path());
    }
    names.sort();
    for path in names.into_iter().filter(|p| p.extension().is_some_and(|e| e == "txt")) {
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(class) = class_of(&stem, &dataset.classes) else {
            note(&mut out.notes, "text file of no class of the data set: left out", || shown(&format!("{stem}.txt")));
            continue;
        };
        if let Some(first) = &files[class] {
            return Err(Error::format(
                dir,
                format!(
                    "two files hold detections of '{}': {} and {}",
                    dataset.classes[class],
                    first.display(),
                    path.display()
                ),
                "Keep the one of the run that you want to evaluate",
            ));
        }
        files[class] = Some(path);
    }
    if files.iter().all(Option::is_none) {
        let some: Vec<&str> = dataset.classes.iter().take(5).map(String::as_str).collect();
        return Err(Error::format(
            dir,
            format!("no file is named *_<class>.txt for a class of {} ({}, ...)", dataset.name, some.join(", ")),
            "Give a folder of the VOC kit's result files, e.g. comp4_det_test_person.txt, or a COCO results file",
        ));
    }
    let images = image_index(dataset);
    for (class, path) in files.iter().enumerate() {
        let Some(path) = path else { continue };
        let mut unknown = UnknownImages::default();
        let mut lines = BufReader::new(open(path)?);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = (&mut lines).take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
            let read = read.map_err(|e| Error::io("read", path, e))? as u64;
            if read == 0 {
                break;
            }
            let wrong = |problem: String| Error::Format {
                path: path.clone(),
                line: Some(number),
                problem,
                remedy: FORM.to_owned(),
            };
            if read == MAX_LINE_BYTES && line.last() != Some(&b'\n') {
                return Err(wrong(format!("a line longer than {MAX_LINE_BYTES} bytes")));
            }
            let text = std::str::from_utf8(&line).map_err(|_| wrong("bytes that are no text".to_owned()))?;
            let Some((id, score, bbox)) = parse(text).map_err(wrong)? else { continue };
            let Some(&image) = images.get(id) else {
                unknown.add(id, Some(number));
                continue;
            };
            if bbox.w < -1.0 || bbox.h < -1.0 {
                note(&mut out.notes, NEGATIVE, || format!("{}:{number}", path.display()));
            }
            let bbox = bbox.shifted(f64::from(dataset.origin) - 1.0);
            out.found.push(Candidate { image, class: class as u32, score, bbox });
        }
        unknown.check(path, dataset)?;
    }
    Ok(out)
}

/// The class that a file's stem ends with.
fn class_of(stem: &str, classes: &[String]) -> Option<usize> {
    (0..classes.len())
        .filter(|&k| !classes[k].is_empty())
        .filter(|&k| stem.strip_suffix(classes[k].as_str()).is_some_and(|head| head.ends_with('_')))
        .max_by_key(|&k| classes[k].len())
}

/// One line; none where it is blank.
fn parse(text: &str) -> Result<Option<(&str, f64, Rect)>, String> {
    let mut fields = text.split_ascii_whitespace();
    let Some(id) = fields.next() else { return Ok(None) };
    let mut numbers = [0.0f64; 5];
    for (name, out) in ["score", "xmin", "ymin", "xmax", "ymax"].iter().zip(&mut numbers) {
        let field = fields.next().ok_or_else(|| format!("no {name}: fewer than six fields"))?;
        *out = field.parse().map_err(|_| format!("{name} '{}' is not a number", shown(field)))?;
        if !out.is_finite() {
            return Err(format!("{name} is {}, not a finite number", shown(field)));
        }
    }
    if let Some(more) = fields.next() {
        return Err(format!("a seventh field '{}'", shown(more)));
    }
    let [score, xmin, ymin, xmax, ymax] = numbers;
    let bbox = Rect::from_corners(xmin, ymin, xmax, ymax);
    if !bbox.is_finite() || !(bbox.w * bbox.h).is_finite() {
        return Err("the box is too large to compute with".to_owned());
    }
    Ok(Some((id, score, bbox)))
}

/// Writes detections as the kit's files, `<prefix>_<class>.txt` in `dir` (made if it is missing), one for every class,
/// empty ones too. Scores are not rounded. Existing files of these names are replaced.
///
/// [`Error::Io`]; [`Error::Data`] for a class name that cannot be a part of a file name, or an image id with a space,
/// which the format cannot hold; [`Error::Shape`] for a detection whose image or class does not exist.
pub fn write_devkit(dir: &Path, prefix: &str, dataset: &Dataset, found: &[Candidate]) -> Result<()> {
    if let Some(name) = dataset.classes.iter().find(|c| c.contains(['/', '\\', ':']) || c.contains(char::is_control)) {
        return Err(Error::data(
            &dataset.root,
            format!("class '{}' cannot be a part of a file name", shown(name)),
            "Write COCO results instead",
        ));
    }
    if let Some(bad) =
        found.iter().find(|d| d.image as usize >= dataset.images.len() || d.class as usize >= dataset.classes.len())
    {
        return Err(unknown("VOC result files", dataset, bad));
    }
    std::fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
    for (class, name) in dataset.classes.iter().enumerate() {
        let path = dir.join(format!("{prefix}_{name}.txt"));
        let file = std::fs::File::create(&path).map_err(|e| Error::io("create", &path, e))?;
        let mut out = BufWriter::new(file);
        for d in found.iter().filter(|d| d.class as usize == class) {
            let id = &dataset.images[d.image as usize].id;
            if id.is_empty() || id.contains(char::is_whitespace) {
                return Err(Error::data(
                    &dataset.root,
                    format!("image id '{}' holds a space or nothing, which the VOC result file cannot", shown(id)),
                    "Write COCO results instead",
                ));
            }
            let b = d.bbox.shifted(1.0 - f64::from(dataset.origin));
            writeln!(out, "{id} {} {} {} {} {}", d.score, b.x, b.y, b.xmax, b.ymax)
                .map_err(|e| Error::io("write", &path, e))?;
        }
        finish(&path, out)?;
    }
    Ok(())
}

/// The error for a detection that points outside the data set.
pub(super) fn unknown(what: &str, dataset: &Dataset, d: &Candidate) -> Error {
    Error::shape(
        what,
        format!("detections of {} images and {} classes with ids", dataset.images.len(), dataset.classes.len()),
        format!("one of image {}, class {} (0-based)", d.image, d.class),
    )
}
