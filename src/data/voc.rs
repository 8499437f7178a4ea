//! PASCAL VOC folders: `Annotations/ID.xml`, `JPEGImages/ID.jpg`, `ImageSets/Main/SPLIT.txt` with one id a line.
//!
//! The image id names everything; the xml's `<filename>` is only compared with it. Coordinates stay as written
//! (VOC counts pixels from 1: [`Dataset::origin`] is 1).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::notes::Notes;
use super::types::{Dataset, ImageRecord, ImageSource, Object};
use super::voc_xml::{self, Annotation, shorten};
use crate::detect::BBox;
use crate::{Error, Result};

/// The split that every VOC folder has: all files in `Annotations`.
pub const ALL: &str = "all";
/// The note on objects whose class is not among the classes in use.
pub(super) const UNKNOWN_CLASS: &str = "object of an unknown class: left out";
/// The longest list of ids that is read, in bytes.
const MAX_LIST: u64 = 64 << 20;

/// Whether `folder` looks like a VOC data set: it has a folder `Annotations` that is not COCO's.
pub(super) fn is_voc(folder: &Path) -> bool {
    let annotations = folder.join("Annotations");
    annotations.is_dir()
        && (folder.join("ImageSets").is_dir()
            || folder.join("JPEGImages").is_dir()
            || std::fs::read_dir(annotations).is_ok_and(|entries| {
                entries.flatten().take(1000).any(|e| Path::new(&e.file_name()).extension().is_some_and(|x| x == "xml"))
            }))
}

/// The splits of a VOC folder: the lists in `ImageSets/Main` that hold ids only (not those of one class, which have
/// a second column), sorted. [`ALL`] exists besides them.
///
/// # Errors
/// [`Error::Io`] when a list cannot be read.
pub(super) fn splits(root: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let Ok(entries) = std::fs::read_dir(root.join("ImageSets/Main")) else { return Ok(names) };
    for entry in entries.flatten() {
        let path = entry.path();
        let (Some(stem), Some("txt")) =
            (path.file_stem().and_then(|s| s.to_str()), path.extension().and_then(|e| e.to_str()))
        else {
            continue;
        };
        let text = read_list_text(&path)?;
        let columns = text.lines().find(|l| !l.trim().is_empty()).map_or(0, |l| l.split_whitespace().count());
        if columns == 1 {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Whether there is a list of this name, those of one class (`dog_train`) included.
pub(super) fn has_list(root: &Path, list: &str) -> bool {
    !list.contains(['/', '\\', ':']) && list_path(root, list).is_file()
}

/// Reads `lists` (names from [`splits`], or [`ALL`]) as one split called `split`. `classes` fixes the classes and
/// their order; without it they are the union over all splits, sorted. Without `pixels` the annotations are enough, and no
/// image is looked for.
///
/// # Errors
/// [`Error::Data`] when nothing usable is there, [`Error::Format`] for a broken file, [`Error::Io`].
pub(super) fn open(
    root: &Path,
    split: &str,
    lists: &[String],
    classes: Option<&[String]>,
    pixels: bool,
) -> Result<Dataset> {
    let mut notes = Notes::default();
    let annotation_files = Listing::of(&root.join("Annotations"), &["xml"]);
    let image_folders: Vec<PathBuf> = ["JPEGImages", "Images", "images"].map(|d| root.join(d)).to_vec();
    let image_folder = image_folders.iter().find(|d| d.is_dir() || !pixels).ok_or_else(|| {
        let tried: Vec<String> = image_folders.iter().map(|p| p.display().to_string()).collect();
        Error::data(
            root,
            format!("there is no image folder (tried {})", tried.join(", ")),
            "Put the images into JPEGImages",
        )
    })?;
    let image_files = Listing::of(image_folder, &["jpg", "jpeg", "png"]);

    let ids = ids_of(root, lists, &annotation_files, &mut notes)?;
    if ids.is_empty() {
        return Err(Error::data(
            root,
            format!("split `{split}` is empty (read {})", lists.join(", ")),
            "Write one image id a line (the file name without extension) into its list in ImageSets/Main",
        ));
    }

    // All annotations of the split in parallel; the first broken file in list order is the error.
    let parsed: Vec<Option<Result<Annotation>>> =
        ids.par_iter().map(|id| annotation_files.find(id).map(|path| voc_xml::read(&path))).collect();
    let mut found: Vec<(String, Annotation)> = Vec::with_capacity(ids.len());
    let (mut without_xml, listed) = (Vec::new(), ids.len());
    for (id, annotation) in ids.into_iter().zip(parsed) {
        match annotation {
            Some(annotation) => found.push((id, annotation?)),
            None => without_xml.push(id),
        }
    }
    let without_image: Vec<&String> =
        found.iter().map(|(id, _)| id).filter(|id| image_files.find(id).is_none()).collect();
    half_empty(root, split, listed, &without_xml, "annotation", &annotation_files)?;
    if pixels {
        half_empty(root, split, listed, &without_image, "image", &image_files)?;
    }
    for id in without_xml {
        notes.add("no annotation file for a listed image: left out, what it shows is not known", id);
    }

    let names = match classes {
        Some(classes) => classes.to_vec(),
        None => class_names(root, &found, &annotation_files)?,
    };
    if names.is_empty() {
        return Err(Error::data(root, "no annotation holds an object", "Annotate at least one <object> with a <name>"));
    }
    let index: HashMap<&str, usize> = names.iter().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
    let mut images = Vec::with_capacity(found.len());
    for (id, annotation) in &found {
        let source = match image_files.find(id) {
            Some(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if !annotation.filename.is_empty() && annotation.filename != name {
                    notes.add("<filename> names another file than the image id: the id is used", id);
                }
                path
            }
            None if !pixels => image_folder.join(format!("{id}.jpg")),
            None => {
                notes.add("image file missing: skipped in training, its objects count as missed in evaluation", id);
                image_folder.join(format!("{id}.jpg"))
            }
        };
        if annotation.width == 0 || annotation.height == 0 {
            notes.add("<size> missing or not usable: the image's own size is used", id);
        }
        let objects = objects_of(id, annotation, &index, &mut notes);
        if objects.is_empty() {
            notes.add("image without boxes: kept, it has no detection loss", id);
        }
        let (width, height) = if annotation.width == 0 || annotation.height == 0 {
            (0, 0)
        } else {
            (annotation.width, annotation.height)
        };
        images.push(ImageRecord { id: id.clone(), source: ImageSource::File(source), width, height, objects });
    }
    Ok(Dataset {
        name: root.file_name().map_or_else(|| "voc".into(), |n| n.to_string_lossy().into_owned()),
        root: root.to_path_buf(),
        split: split.to_owned(),
        category_ids: (1..=names.len() as u32).collect(),
        classes: names,
        origin: 1.0,
        images,
        notes: notes.into_vec(),
    })
}

/// An error when more than half of the listed images lack their annotation or image.
fn half_empty(
    root: &Path,
    split: &str,
    listed: usize,
    missing: &[impl AsRef<str>],
    what: &str,
    files: &Listing,
) -> Result<()> {
    if missing.len() * 2 <= listed {
        return Ok(());
    }
    let first = missing.first().map_or("", AsRef::as_ref);
    let tried: Vec<String> =
        files.extensions.iter().map(|e| files.folder.join(format!("{first}.{e}")).display().to_string()).collect();
    Err(Error::data(
        root,
        format!(
            "{} of the {listed} images of split `{split}` have no {what} (tried, in any case, {})",
            missing.len(),
            tried.join(", ")
        ),
        format!("Was the archive unpacked in full? Add the files to {}, or shorten the list", files.folder.display()),
    ))
}

/// The objects of one image; what cannot be used is noted.
fn objects_of(id: &str, annotation: &Annotation, index: &HashMap<&str, usize>, notes: &mut Notes) -> Vec<Object> {
    let mut objects = Vec::with_capacity(annotation.objects.len());
    for object in &annotation.objects {
        let place = || format!("{id}.xml:{}", object.line);
        let Some(&class) = index.get(object.name.as_str()) else {
            notes.add(UNKNOWN_CLASS, format!("`{}` in {}", shorten(&object.name), place()));
            continue;
        };
        let [Some(x0), Some(y0), Some(x1), Some(y1)] = object.corners else {
            notes.add("box with a missing, endless or not numeric coordinate: left out", place());
            continue;
        };
        if x1 < x0 || y1 < y0 {
            notes.add("box with its corners in the wrong order: put in order", place());
        }
        let bbox = BBox::new(x0.min(x1), y0.min(y1), x0.max(x1), y0.max(y1));
        // VOC counts from 1 and names the last pixel, so a whole image is 1, 1, width, height.
        let size = (annotation.width as f32, annotation.height as f32);
        let target = note_box(&bbox, 1.0, size, 1.0, &place(), notes);
        objects.push(Object { class, bbox, difficult: object.difficult, crowd: false, area: bbox.area(), target });
    }
    objects
}

/// Notes what is odd about a box and returns whether it can be a target. `origin` is the first pixel's coordinate,
/// `tolerance` how far over the border a box may reach without being called outside.
pub(super) fn note_box(
    bbox: &BBox,
    origin: f32,
    (width, height): (f32, f32),
    tolerance: f32,
    place: &str,
    notes: &mut Notes,
) -> bool {
    if bbox.area() <= 0.0 {
        notes.add("zero-area box: left out of the targets, the image is kept", place);
        return false;
    }
    if width <= 0.0 || height <= 0.0 {
        return true;
    }
    let inside = bbox.xmin < origin + width && bbox.ymin < origin + height && bbox.xmax > origin && bbox.ymax > origin;
    if !inside {
        notes.add("box wholly outside the image: left out of the targets, the image is kept", place);
        return false;
    }
    if bbox.xmin < origin - tolerance
        || bbox.ymin < origin - tolerance
        || bbox.xmax > origin + width + tolerance
        || bbox.ymax > origin + height + tolerance
    {
        notes.add("box partly outside the image: clipped for the targets", place);
    }
    true
}

/// All class names in the annotations of all splits (of the whole folder where there are no lists), sorted. VOC's own
/// twenty are in alphabetical order too.
fn class_names(root: &Path, found: &[(String, Annotation)], files: &Listing) -> Result<Vec<String>> {
    let mut notes = Notes::default();
    let lists = match splits(root)? {
        lists if lists.is_empty() => vec![ALL.to_owned()],
        lists => lists,
    };
    let have: HashSet<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
    let others: Vec<PathBuf> = ids_of(root, &lists, files, &mut notes)?
        .into_iter()
        .filter(|id| !have.contains(id.as_str()))
        .filter_map(|id| files.find(&id))
        .collect();
    let others: Vec<Annotation> = others.par_iter().map(|path| voc_xml::read(path)).collect::<Result<_>>()?;
    let names: BTreeSet<&str> = found
        .iter()
        .map(|(_, a)| a)
        .chain(&others)
        .flat_map(|a| a.objects.iter().map(|o| o.name.as_str()))
        .filter(|n| !n.is_empty())
        .collect();
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// The ids of several lists in order, each once.
fn ids_of(root: &Path, lists: &[String], annotations: &Listing, notes: &mut Notes) -> Result<Vec<String>> {
    let (mut ids, mut seen) = (Vec::new(), HashSet::new());
    for list in lists {
        if list == ALL {
            for id in annotations.exact.keys() {
                if seen.insert(id.clone()) {
                    ids.push(id.clone());
                }
            }
            continue;
        }
        let path = list_path(root, list);
        let mut here = HashSet::new();
        for (at, line) in read_list_text(&path)?.lines().enumerate() {
            let mut words = line.split_whitespace();
            // The lists of one class have a second column: -1 where the class is absent.
            let (Some(word), second) = (words.next(), words.next()) else { continue };
            if second == Some("-1") {
                continue;
            }
            let id = match Path::new(word).extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref()
            {
                Some("jpg" | "jpeg" | "png" | "xml") if annotations.find(word).is_none() => {
                    Path::new(word).file_stem().and_then(|s| s.to_str()).unwrap_or(word)
                }
                _ => word,
            };
            if id.contains(['/', '\\']) || id == ".." || id.len() > 200 {
                return Err(Error::Format {
                    path,
                    line: Some(at + 1),
                    problem: format!("`{}` is no image id", shorten(id)),
                    remedy: "Write one image id a line: the file's name without folder and extension".into(),
                });
            }
            if !here.insert(id.to_owned()) {
                notes.add("image id listed twice: used once", format!("{list}.txt:{}", at + 1));
            } else if seen.insert(id.to_owned()) {
                ids.push(id.to_owned());
            }
        }
    }
    Ok(ids)
}

fn list_path(root: &Path, list: &str) -> PathBuf {
    root.join("ImageSets/Main").join(format!("{list}.txt"))
}

fn read_list_text(path: &Path) -> Result<String> {
    let length = std::fs::metadata(path).map_err(|e| Error::io("read", path, e))?.len();
    if length > MAX_LIST {
        return Err(Error::format(
            path,
            format!("the list has {length} bytes, up to {MAX_LIST} are read"),
            "Is it a list of ids?",
        ));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    String::from_utf8(bytes).map_err(|_| Error::format(path, "bytes that are not UTF-8", "Write one image id a line"))
}

/// The files of one folder by stem, so that `ID.JPG` is found for `id`.
struct Listing {
    folder: PathBuf,
    extensions: Vec<&'static str>,
    /// Stem to file name.
    exact: BTreeMap<String, String>,
    /// Stem in lower case to file name.
    folded: HashMap<String, String>,
}

impl Listing {
    /// Lists `folder` (an unreadable one is empty). Of several files with one stem the first of `extensions` wins;
    /// files with other extensions are kept last, so that their decoding error can say what they are.
    fn of(folder: &Path, extensions: &[&'static str]) -> Self {
        let mut files: Vec<(usize, String)> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .map(|name| {
                let extension = Path::new(&name).extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
                let rank = extensions.iter().position(|e| Some(*e) == extension.as_deref()).unwrap_or(extensions.len());
                (rank, name)
            })
            .filter(|(rank, _)| *rank < extensions.len() || !extensions.contains(&"xml"))
            .collect();
        files.sort();
        let (mut exact, mut folded) = (BTreeMap::new(), HashMap::new());
        for (_, name) in files {
            let stem = Path::new(&name).file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
            folded.entry(stem.to_lowercase()).or_insert_with(|| name.clone());
            exact.entry(stem).or_insert(name);
        }
        Listing { folder: folder.to_path_buf(), extensions: extensions.to_vec(), exact, folded }
    }

    /// The file for `id`: first in its own case, then in any.
    fn find(&self, id: &str) -> Option<PathBuf> {
        self.exact.get(id).or_else(|| self.folded.get(&id.to_lowercase())).map(|name| self.folder.join(name))
    }
}
