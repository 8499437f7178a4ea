//! COCO instances json: `images`, `annotations`, `categories`; boxes are x, y, width, height from 0.
//!
//! Nothing but these three lists is needed (`info` and `licenses` may be missing). The image folder is looked for near
//! the json by the names in it, see [`image_folder`].

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::{Component, Path, PathBuf};

use super::coco_json::{Annotation, Category, Id, Instances, Number};
use super::find::folders_in;
use super::notes::Notes;
use super::types::{Dataset, ImageRecord, ImageSource, Object};
use super::voc::{UNKNOWN_CLASS, note_box};
use super::voc_xml::shorten;
use crate::detect::BBox;
use crate::{Error, Result};

/// The longest json that is read, in bytes (COCO's own `train2017` has 450 MB).
const MAX_JSON: u64 = 4 << 30;
/// Coordinates beyond this are no pixels.
const MAX_COORDINATE: f64 = 1e7;

/// The instances files of a COCO folder with the names of their splits: `annotations/instances_SPLIT.json` or the same
/// in the folder itself; else other json files there; else `SPLIT/_annotations.coco.json`.
pub(super) fn jsons_in(folder: &Path) -> Vec<(String, PathBuf)> {
    let json_files = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
        let mut files: Vec<PathBuf> =
            entries.filter(|p| p.extension().is_some_and(|e| e == "json") && p.is_file()).collect();
        files.sort();
        files
    };
    let is_instances = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("instances"));
    let places = [folder.join("annotations"), folder.to_path_buf()];
    for place in &places {
        let files: Vec<PathBuf> = json_files(place).into_iter().filter(is_instances).collect();
        if !files.is_empty() {
            return files.into_iter().map(|p| (split_name(&p), p)).collect();
        }
    }
    let in_folders: Vec<PathBuf> =
        folders_in(folder).into_iter().map(|d| d.join("_annotations.coco.json")).filter(|p| p.is_file()).collect();
    if !in_folders.is_empty() {
        return in_folders.into_iter().map(|p| (split_name(&p), p)).collect();
    }
    // Any other json in `annotations`; in the folder itself only those named after a split.
    let other = ["captions", "person_keypoints", "image_info", "stuff", "panoptic"];
    for place in &places {
        let files: Vec<PathBuf> = json_files(place)
            .into_iter()
            .filter(|p| p.file_name().is_some_and(|n| !other.iter().any(|o| n.to_string_lossy().starts_with(o))))
            .filter(|p| place != folder || looks_like_split(&split_name(p)))
            .collect();
        if !files.is_empty() {
            return files.into_iter().map(|p| (split_name(&p), p)).collect();
        }
    }
    Vec::new()
}

fn looks_like_split(name: &str) -> bool {
    ["train", "val", "test"].iter().any(|s| name.contains(s))
}

/// The split that a json is named after: `instances_train2017.json` and `train2017.json` give `train2017`,
/// `valid/_annotations.coco.json` gives `valid`.
pub(super) fn split_name(json: &Path) -> String {
    let stem = json.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    if stem == "_annotations.coco" {
        return json.parent().and_then(Path::file_name).map_or(stem, |n| n.to_string_lossy().into_owned());
    }
    stem.strip_prefix("instances_").unwrap_or(&stem).to_owned()
}

/// Reads the json. The line numbers of serde_json count from where it starts, so skipped lines are added.
fn read(path: &Path) -> Result<Instances> {
    let remedy = "Expected a COCO instances file: an object with the lists images, annotations and categories";
    let fail = |line: Option<usize>, problem: String| Error::Format {
        path: path.to_path_buf(),
        line,
        problem,
        remedy: remedy.into(),
    };
    let file = std::fs::File::open(path).map_err(|e| Error::io("read", path, e))?;
    let length = file.metadata().map_err(|e| Error::io("read", path, e))?.len();
    if length > MAX_JSON {
        return Err(fail(None, format!("the file has {length} bytes, up to {MAX_JSON} are read")));
    }
    let mut reader = BufReader::with_capacity(1 << 20, file);
    if reader.fill_buf().map_err(|e| Error::io("read", path, e))?.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    let mut skipped = 0;
    let first = loop {
        let byte = reader.fill_buf().map_err(|e| Error::io("read", path, e))?.first().copied();
        match byte {
            Some(b'\n') => skipped += 1,
            Some(b' ' | b'\t' | b'\r') => {}
            other => break other,
        }
        reader.consume(1);
    };
    match first {
        Some(b'{') => {}
        None => return Err(fail(Some(1), "the file is empty".into())),
        Some(b'[') => {
            return Err(fail(
                Some(skipped + 1),
                "the json is a list (detection results, perhaps), not an object".into(),
            ));
        }
        Some(_) => return Err(fail(Some(skipped + 1), "this is not json".into())),
    }
    let parsed: std::result::Result<Instances, _> = serde_json::from_reader(reader);
    parsed.map_err(|e| match e.io_error_kind() {
        Some(kind) => Error::io("read", path, kind.into()),
        None => fail(Some(skipped + e.line().max(1)), e.to_string()),
    })
}

/// Opens `json` as `split`; `name` is the split's own name, used to find the images. Without `pixels` the annotations are
/// enough, and no image is looked for.
///
/// # Errors
/// [`Error::Format`] when the json is broken or of another kind, [`Error::Data`] when nothing in it is usable or the
/// images are not found (the folders tried are named), [`Error::Io`].
pub(super) fn open(json: &Path, split: &str, name: &str, classes: Option<&[String]>, pixels: bool) -> Result<Dataset> {
    let Instances { images, annotations, categories } = read(json)?;
    let mut notes = Notes::default();
    if images.is_empty() {
        return Err(Error::data(json, "its list of images is empty", "Choose another split or export the data again"));
    }
    let categories = usable_categories(json, categories, &annotations, &mut notes)?;
    // Class index of a category id. With fixed classes a category outside them has none.
    let mut class_of: HashMap<u32, usize> = HashMap::new();
    let (names, ids): (Vec<String>, Vec<u32>) = match classes {
        None => {
            class_of.extend(categories.iter().enumerate().map(|(i, c)| (c.id, i)));
            categories.iter().map(|c| (c.name.clone(), c.id)).unzip()
        }
        Some(classes) => {
            let mut free = categories.iter().map(|c| c.id).max().unwrap_or(0);
            let ids = classes.iter().enumerate().map(|(i, name)| match categories.iter().find(|c| c.name == *name) {
                Some(category) => {
                    class_of.insert(category.id, i);
                    category.id
                }
                // A class that this file does not know: an id that is not taken.
                None => {
                    free = free.saturating_add(1);
                    free
                }
            });
            let ids = ids.collect();
            (classes.to_vec(), ids)
        }
    };
    let category_names: HashMap<u32, &str> = categories.iter().map(|c| (c.id, c.name.as_str())).collect();

    let mut index: HashMap<Id, usize> = HashMap::with_capacity(images.len());
    let mut records = Vec::with_capacity(images.len());
    let mut files = Vec::with_capacity(images.len());
    for image in images {
        let id = image.id.to_string();
        if index.contains_key(&image.id) {
            notes.add("image id occurs twice: the first one is used", &id);
            continue;
        }
        index.insert(image.id, records.len());
        let size = (side(image.width), side(image.height));
        if size.0 == 0 || size.1 == 0 {
            notes.add("width or height of an image missing or not usable: the image's own size is used", &id);
        }
        let (width, height) = if size.0 == 0 || size.1 == 0 { (0, 0) } else { size };
        let (file, tidy) = relative(&image.file_name);
        if !tidy {
            notes.add("file_name leads out of the data set: only its last part is used", &id);
        }
        files.push(file);
        records.push(ImageRecord { id, source: ImageSource::File(PathBuf::new()), width, height, objects: Vec::new() });
    }
    let folder = if pixels { image_folder(json, name, &files)? } else { PathBuf::new() };
    let mut missing = 0;
    for (record, file) in records.iter_mut().zip(&files) {
        let path = folder.join(file);
        if pixels && !path.is_file() {
            missing += 1;
            notes.add("image file missing: skipped in training, its objects count as missed in evaluation", &record.id);
        }
        record.source = ImageSource::File(path);
    }
    if missing * 2 > records.len() {
        return Err(Error::data(
            json,
            format!("{missing} of its {} images are not in {}", records.len(), folder.display()),
            "Was the archive unpacked in full?",
        ));
    }
    let mut seen: HashSet<Id> = HashSet::with_capacity(annotations.len());
    for annotation in annotations {
        let place = match &annotation.id {
            Some(id) => format!("annotation {id}"),
            None => format!("image {}", annotation.image_id),
        };
        if annotation.id.as_ref().is_some_and(|id| !seen.insert(id.clone())) {
            notes.add("annotation id occurs twice: the first one is used", place);
            continue;
        }
        let Some(&at) = index.get(&annotation.image_id) else {
            notes.add("box of an image that is not listed: left out", place);
            continue;
        };
        let Some(&class) = class_of.get(&annotation.category_id) else {
            let name = category_names
                .get(&annotation.category_id)
                .map_or_else(|| annotation.category_id.to_string(), |n| shorten(n));
            notes.add(UNKNOWN_CLASS, format!("`{name}` in {place}"));
            continue;
        };
        let size = (records[at].width as f32, records[at].height as f32);
        records[at].objects.extend(object(&annotation, class, size, &place, &mut notes));
    }
    for record in &records {
        if record.objects.is_empty() {
            notes.add("image without boxes: kept, it has no detection loss", &record.id);
        }
    }
    let root = json.parent().unwrap_or(Path::new("."));
    let root = if root.ends_with("annotations") { root.parent().unwrap_or(root) } else { root };
    Ok(Dataset {
        name: root.file_name().map_or_else(|| "coco".into(), |n| n.to_string_lossy().into_owned()),
        root: root.to_path_buf(),
        split: split.to_owned(),
        classes: names,
        category_ids: ids,
        origin: 0.0,
        images: records,
        notes: notes.into_vec(),
    })
}

/// The object of an annotation, or `None` where it has no usable box.
fn object(annotation: &Annotation, class: usize, size: (f32, f32), place: &str, notes: &mut Notes) -> Option<Object> {
    let usable = annotation.bbox.0.filter(|b| b.iter().all(|v| v.abs() <= MAX_COORDINATE));
    let Some([x, y, width, height]) = usable else {
        notes.add("box missing, not of four numbers, or beyond any image: left out", place);
        return None;
    };
    if width < 0.0 || height < 0.0 {
        notes.add("box of negative width or height: left out", place);
        return None;
    }
    let bbox = BBox::new(x as f32, y as f32, (x + width) as f32, (y + height) as f32);
    let target = note_box(&bbox, 0.0, size, 1.0, place, notes);
    let crowd = annotation.iscrowd.0;
    if crowd {
        notes.add("crowd box: an ignored region in evaluation, no target unless asked for", place);
    }
    let area = annotation.area.0.filter(|a| *a >= 0.0 && a.is_finite()).map_or_else(|| bbox.area(), |a| a as f32);
    Some(Object { class, bbox, difficult: false, crowd, area, target })
}

fn side(number: Number) -> u32 {
    match number.0 {
        Some(v) if v >= 1.0 && v <= f64::from(u32::MAX) && v.fract() == 0.0 => v as u32,
        _ => 0,
    }
}

/// The categories by id. Exporters write a parent category with the name of its only child: of equal names those
/// without a box are dropped.
fn usable_categories(
    json: &Path,
    mut categories: Vec<Category>,
    annotations: &[Annotation],
    notes: &mut Notes,
) -> Result<Vec<Category>> {
    let used: HashSet<u32> = annotations.iter().map(|a| a.category_id).collect();
    categories.sort_by_key(|c| c.id);
    let fail = |problem: String| Error::format(json, problem, "Every category needs its own id and name");
    if let Some(pair) = categories.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(fail(format!("category id {} occurs twice", pair[0].id)));
    }
    let mut by_name: HashMap<String, usize> = HashMap::new();
    for category in &categories {
        *by_name.entry(category.name.clone()).or_default() += 1;
    }
    categories.retain(|c| {
        let keep = by_name[&c.name] == 1 || used.contains(&c.id);
        if !keep {
            notes.add("category with another one's name and no boxes: dropped", shorten(&c.name));
        }
        keep
    });
    let mut names = HashSet::new();
    if let Some(twice) = categories.iter().find(|c| !names.insert(c.name.as_str())) {
        return Err(fail(format!("the category name `{}` occurs twice", shorten(&twice.name))));
    }
    if categories.is_empty() {
        return Err(fail("its list of categories is empty".into()));
    }
    Ok(categories)
}

/// `file_name` as a path below the image folder, and whether it was one as written.
fn relative(file_name: &str) -> (PathBuf, bool) {
    let forward = file_name.replace('\\', "/");
    let path = Path::new(&forward);
    let drive = forward.as_bytes().get(1) == Some(&b':');
    if !drive && path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
        return (path.to_path_buf(), true);
    }
    (forward.rsplit('/').next().unwrap_or_default().into(), false)
}

/// The folder that holds the images: of the folders next to and below the json (first those named after the split), the one
/// with the most of sixteen file names spread over the list.
fn image_folder(json: &Path, split: &str, files: &[PathBuf]) -> Result<PathBuf> {
    let here = match json.parent() {
        Some(p) if p.as_os_str().is_empty() => Path::new("."),
        Some(p) => p,
        None => Path::new("."),
    };
    let above = here.join("..");
    let above = here.parent().filter(|p| !p.as_os_str().is_empty()).map_or(above, Path::to_path_buf);
    let mut candidates = Vec::new();
    for base in [&above, &here.to_path_buf()] {
        for sub in [split, &format!("images/{split}"), "images", "JPEGImages"] {
            candidates.push(base.join(sub));
        }
    }
    candidates.push(here.to_path_buf());
    // The folder above only where the json lies in `annotations`: otherwise it is not the data set's own.
    if here.ends_with("annotations") {
        candidates.push(above.clone());
        candidates.extend(folders_in(&above).into_iter().take(64));
    }
    candidates.extend(folders_in(here).into_iter().take(64));
    let step = files.len().div_ceil(16).max(1);
    let hits = |folder: &PathBuf| files.iter().step_by(step).filter(|f| folder.join(f).is_file()).count();
    let mut best: Option<(usize, &PathBuf)> = None;
    for folder in &candidates {
        let count = hits(folder);
        if count > best.map_or(0, |(most, _)| most) {
            best = Some((count, folder));
        }
    }
    best.map(|(_, folder)| folder.clone()).ok_or_else(|| {
        let tried: Vec<String> = candidates.iter().map(|p| p.display().to_string()).collect();
        let first = files.first().map_or_else(String::new, |f| f.display().to_string());
        Error::data(
            json,
            format!("its images (the first is {first}) are in none of {}", tried.join(", ")),
            format!("Put them into a folder `{split}` next to the folder of the json"),
        )
    })
}
