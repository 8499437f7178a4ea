//! Opens a data set without being told its format.
//!
//! A path may be a VOC folder, a COCO folder, a folder with exactly one of those below it (two levels deep, such as
//! `VOCdevkit/VOC2007`), or a COCO json. Splits are asked for by their plain names:
//!
//! | asked | VOC lists tried | COCO json tried |
//! |---|---|---|
//! | `train` | train, trainval | train, train and a year |
//! | `val` | val | val (or valid), val and a year |
//! | `trainval` | trainval, train and val, train | trainval, then as `train` |
//! | `test` | test, val | test, then as `val` |
//!
//! A stand-in (any but the first) is said in a [`Note`]. Any other name must be there as it is; `all` is every
//! annotation of a VOC folder.

use std::path::{Path, PathBuf};

use super::types::{Dataset, Note};
use super::{coco, voc};
use crate::{Error, Result};

/// What was found at a path.
#[derive(Debug, Clone, PartialEq)]
enum Layout {
    Voc,
    /// The json files by the name of their split.
    Coco(Vec<(String, PathBuf)>),
    /// One json that was named itself.
    Json,
}

/// Opens `split` of the data set at `path` with the classes found in the data.
///
/// # Errors
/// [`Error::Data`] when there is no data set, no such split (the splits that there are are named), or nothing usable
/// in it; [`Error::Format`] when a file is broken; [`Error::Io`].
pub fn open(path: &Path, split: &str) -> Result<Dataset> {
    open_with(path, split, None)
}

/// [`open`] with the classes fixed: names and order of `classes` (a model's own labels at evaluation). Objects of other
/// classes are left out and counted in a note.
///
/// # Errors
/// As [`open`]; also when none of `classes` occurs in the data.
pub fn open_with(path: &Path, split: &str, classes: Option<&[String]>) -> Result<Dataset> {
    open_as(path, split, classes, true)
}

/// [`open`] for its annotations alone, as the evaluation of a file of detections needs them: the images may be missing.
///
/// # Errors
/// As [`open`].
pub fn open_annotations(path: &Path, split: &str) -> Result<Dataset> {
    open_as(path, split, None, false)
}

fn open_as(path: &Path, split: &str, classes: Option<&[String]>, pixels: bool) -> Result<Dataset> {
    let (root, layout) = locate(path)?;
    let (dataset, stand_in) = match layout {
        Layout::Voc => {
            let have = voc::splits(&root)?;
            let listed = || voc::has_list(&root, split).then(|| vec![split.to_owned()]);
            let wanted = choose_voc(split, &have)
                .or_else(listed)
                .ok_or_else(|| no_split(&root, split, &have, Some(voc::ALL)))?;
            let stand_in = (wanted != [split]).then(|| wanted.join(" and "));
            (voc::open(&root, split, &wanted, classes, pixels)?, stand_in)
        }
        Layout::Coco(files) => {
            let have: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
            let at = choose_coco(split, &have).map_err(|several| {
                Error::data(
                    &root,
                    format!("`{split}` may be {}", several.join(" or ")),
                    "Name one of them as the split",
                )
            })?;
            let at = at.ok_or_else(|| no_split(&root, split, &have, None))?;
            let (name, json) = &files[at];
            let plain = name.trim_end_matches(|c: char| c.is_ascii_digit());
            let same = plain == split || name == split || (split == "val" && plain == "valid");
            (coco::open(json, split, name, classes, pixels)?, (!same).then(|| name.clone()))
        }
        Layout::Json => {
            let name = coco::split_name(&root);
            let same = name.trim_end_matches(|c: char| c.is_ascii_digit()) == split || name == split;
            (coco::open(&root, split, &name, classes, pixels)?, (!same).then_some(name))
        }
    };
    let mut dataset = dataset;
    if let Some(stand_in) = stand_in {
        let what = format!("there is no split `{split}`: `{stand_in}` is used in its place");
        dataset.notes.insert(0, Note { what, count: 1, examples: vec![root.display().to_string()] });
    }
    check(&dataset, classes)?;
    Ok(dataset)
}

/// The names of the splits at `path`, as the files call them.
///
/// # Errors
/// [`Error::Data`] when there is no data set.
pub fn splits(path: &Path) -> Result<Vec<String>> {
    let (root, layout) = locate(path)?;
    Ok(match layout {
        Layout::Voc => match voc::splits(&root)? {
            names if names.is_empty() => vec![voc::ALL.to_owned()],
            names => names,
        },
        Layout::Coco(files) => files.into_iter().map(|(name, _)| name).collect(),
        Layout::Json => vec![coco::split_name(&root)],
    })
}

/// Several data sets as one, in order (VOC 2007 and 2012 trainval, for one).
///
/// # Errors
/// [`Error::Data`] when there is none, or when their classes or pixel origins differ.
pub fn join(sets: Vec<Dataset>) -> Result<Dataset> {
    let mut sets = sets.into_iter();
    let Some(mut all) = sets.next() else {
        return Err(Error::data(".", "no data set to join", "Name at least one"));
    };
    for set in sets {
        if set.classes != all.classes || set.category_ids != all.category_ids || set.origin != all.origin {
            return Err(Error::data(
                &set.root,
                format!("its classes or format differ from those of {}", all.root.display()),
                "Only data sets of one format with the same classes can be joined",
            ));
        }
        all.name = format!("{}+{}", all.name, set.name);
        all.images.extend(set.images);
        all.notes.extend(set.notes);
    }
    Ok(all)
}

/// A data set that cannot be used at all is an error, not a run over nothing.
fn check(dataset: &Dataset, classes: Option<&[String]>) -> Result<()> {
    if dataset.images.is_empty() {
        return Err(Error::data(
            &dataset.root,
            format!("split `{}` has no images", dataset.split),
            "Choose another split",
        ));
    }
    if let Some(classes) = classes
        && dataset.images.iter().all(|i| i.objects.is_empty())
        && let Some(note) = dataset.notes.iter().find(|n| n.what == voc::UNKNOWN_CLASS)
    {
        return Err(Error::data(
            &dataset.root,
            format!(
                "none of its objects has one of the classes {} (met {})",
                classes.join(", "),
                note.examples.join(", ")
            ),
            "Was this model trained on other data?",
        ));
    }
    Ok(())
}

fn no_split(root: &Path, split: &str, have: &[String], always: Option<&str>) -> Error {
    let names: Vec<&str> = have.iter().map(String::as_str).chain(always).collect();
    Error::data(
        root,
        format!("there is no split `{split}`, only {}", names.join(", ")),
        "Name one of these as the split",
    )
}

/// The lists to read for `split`, or `None`.
fn choose_voc(split: &str, have: &[String]) -> Option<Vec<String>> {
    let tries: &[&[&str]] = match split {
        "train" => &[&["train"], &["trainval"]],
        "trainval" => &[&["trainval"], &["train", "val"], &["train"]],
        "test" => &[&["test"], &["val"]],
        other if other == voc::ALL || have.iter().any(|h| h == other) => return Some(vec![other.to_owned()]),
        _ => &[],
    };
    let there = |names: &&&[&str]| names.iter().all(|n| have.iter().any(|h| h == n));
    tries.iter().find(there).map(|names| names.iter().map(|n| (*n).to_owned()).collect())
}

/// Which of `have` is meant by `split`; `Err` with the names when several are.
fn choose_coco(split: &str, have: &[String]) -> std::result::Result<Option<usize>, Vec<String>> {
    let tries: &[&str] = match split {
        "train" => &["train"],
        "val" => &["val", "valid"],
        "trainval" => &["trainval", "train"],
        "test" => &["test", "val", "valid"],
        _ => &[],
    };
    if let Some(at) = have.iter().position(|h| h == split) {
        return Ok(Some(at));
    }
    for name in tries {
        let plain = |h: &str| h.strip_prefix(name).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
        let fits: Vec<usize> = (0..have.len()).filter(|&i| plain(&have[i])).collect();
        match fits.as_slice() {
            [] => {}
            [one] => return Ok(Some(*one)),
            several => return Err(several.iter().map(|&i| have[i].clone()).collect()),
        }
    }
    Ok(None)
}

/// The data set's folder (or json) and layout.
fn locate(path: &Path) -> Result<(PathBuf, Layout)> {
    let kind = std::fs::metadata(path).map_err(|e| {
        let here = std::env::current_dir().map(|d| d.join(path)).unwrap_or_else(|_| path.to_path_buf());
        Error::data(
            path,
            format!("cannot be opened ({e}; tried {})", here.display()),
            "Check the path given as the data",
        )
    })?;
    if kind.is_file() {
        return Ok((path.to_path_buf(), Layout::Json));
    }
    // Breadth first: the folder itself, then what is below, two levels deep.
    let mut level = vec![path.to_path_buf()];
    let mut tried = Vec::new();
    for _ in 0..3 {
        let mut found: Vec<(PathBuf, Layout)> = Vec::new();
        for folder in &level {
            tried.push(folder.display().to_string());
            if let Some(layout) = layout_of(folder) {
                found.push((folder.clone(), layout));
            }
        }
        match found.len() {
            0 => level = level.iter().flat_map(|folder| folders_in(folder)).take(100).collect(),
            1 => return Ok(found.remove(0)),
            _ => {
                let names: Vec<String> = found.iter().map(|(folder, _)| folder.display().to_string()).collect();
                return Err(Error::data(
                    path,
                    format!("several data sets: {}", names.join(", ")),
                    "Name one of these folders",
                ));
            }
        }
    }
    let more = if tried.len() > 8 { format!(" and {} more", tried.len() - 8) } else { String::new() };
    tried.truncate(8);
    Err(Error::data(
        path,
        format!(
            "no VOC folder (Annotations, JPEGImages) and no COCO json (annotations/instances_*.json) in {}{more}",
            tried.join(", ")
        ),
        "Give the folder that holds them",
    ))
}

fn layout_of(folder: &Path) -> Option<Layout> {
    if voc::is_voc(folder) {
        return Some(Layout::Voc);
    }
    let files = coco::jsons_in(folder);
    (!files.is_empty()).then_some(Layout::Coco(files))
}

/// The folders directly in `folder`, sorted.
pub(super) fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir() || t.is_symlink()))
        .map(|e| e.path())
        .filter(|p| p.is_dir())
        .collect();
    folders.sort();
    folders
}
