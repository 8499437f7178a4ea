//! One VOC annotation file.
//!
//! ```text
//! annotation / filename, size / (width, height), object* / (name, difficult, bndbox / (xmin, ymin, xmax, ymax))
//! ```
//!
//! Everything else (`part`, `pose`, `owner`, ...) is skipped. The reader pulls events and keeps no tree; a DOCTYPE
//! and entities other than XML's own five are refused, so nothing can expand; depth and length are bounded.

use std::path::Path;

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::{Error, Result};

/// The longest annotation file that is read, in bytes. VOC's longest has about 20 kB.
pub(super) const MAX_XML: u64 = 4 << 20;
/// VOC's own depth is 4 (`annotation/object/part/bndbox/xmin` is 5).
const MAX_DEPTH: usize = 64;
/// Coordinates beyond this are no pixels.
const MAX_COORDINATE: f64 = 1e7;

/// What an annotation file says.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Annotation {
    /// `<filename>`, empty where missing.
    pub filename: String,
    /// `<size><width>`; 0 where missing or no positive whole number.
    pub width: u32,
    /// `<size><height>`; 0 where missing or no positive whole number.
    pub height: u32,
    /// The objects in file order.
    pub objects: Vec<XmlObject>,
}

/// One `<object>`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct XmlObject {
    /// The line of `<object>`.
    pub line: usize,
    /// `<name>`.
    pub name: String,
    /// `<difficult>` is not 0.
    pub difficult: bool,
    /// xmin, ymin, xmax, ymax as written; `None` where missing, not a number, not finite or beyond any image.
    pub corners: [Option<f32>; 4],
}

/// Reads the annotation at `path`.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] with the line for anything that is not one well-formed VOC annotation.
pub(super) fn read(path: &Path) -> Result<Annotation> {
    let length = std::fs::metadata(path).map_err(|e| Error::io("read", path, e))?.len();
    if length > MAX_XML {
        return Err(Error::format(
            path,
            format!("the file has {length} bytes; annotations up to {MAX_XML} bytes are read"),
            "A VOC annotation describes one image in a few kilobytes: is this one?",
        ));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    parse(&bytes, path)
}

/// Parses the bytes of an annotation; `path` is only named in errors.
pub(super) fn parse(bytes: &[u8], path: &Path) -> Result<Annotation> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let fail = |offset: usize, problem: String| {
        let line = bytes[..offset.min(bytes.len())].iter().filter(|&&b| b == b'\n').count() + 1;
        Error::Format {
            path: path.to_path_buf(),
            line: Some(line),
            problem,
            remedy: "Expected a PASCAL VOC annotation: <annotation> with <size> and <object> elements, in UTF-8".into(),
        }
    };
    let text = std::str::from_utf8(bytes).map_err(|e| fail(e.valid_up_to(), "bytes that are not UTF-8".into()))?;

    let mut reader = Reader::from_str(text);
    let mut open: Vec<String> = Vec::new();
    let mut value = String::new();
    let mut found = Annotation::default();
    let mut root_seen = false;
    // Offset and line of the last object, so that lines are counted once.
    let mut line = (0, 1);
    loop {
        let at = reader.buffer_position() as usize;
        let event =
            reader.read_event().map_err(|e| fail(reader.error_position() as usize, format!("broken XML: {e}")))?;
        match event {
            Event::Start(tag) => {
                let name = tag.name().as_ref().to_owned();
                enter(&name, &open, root_seen).map_err(|problem| fail(at, problem))?;
                root_seen = true;
                if name == "object" && open.len() == 1 {
                    line.1 += bytes[line.0..at].iter().filter(|&&b| b == b'\n').count();
                    line.0 = at;
                    let line = line.1;
                    found.objects.push(XmlObject { line, name: String::new(), difficult: false, corners: [None; 4] });
                }
                open.push(name);
                value.clear();
            }
            Event::Empty(tag) => {
                enter(tag.name().as_ref(), &open, root_seen).map_err(|problem| fail(at, problem))?;
                root_seen = true;
            }
            Event::End(_) => {
                store(&open, value.trim(), &mut found);
                value.clear();
                open.pop();
            }
            Event::Text(piece) => value.push_str(&piece.xml10_content()),
            Event::CData(piece) => value.push_str(&piece.xml10_content()),
            Event::GeneralRef(entity) => {
                let character = match entity.resolve_char_ref() {
                    Ok(Some(character)) => Some(character),
                    Ok(None) => predefined(&entity.xml10_content()),
                    Err(_) => None,
                };
                value.push(character.ok_or_else(|| {
                    fail(at, format!("the entity &{};, which XML does not define", shorten(&entity.xml10_content())))
                })?);
            }
            Event::DocType(_) => {
                return Err(fail(at, "a DOCTYPE; annotations need none and it is not followed".into()));
            }
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
    match open.last() {
        Some(name) => Err(fail(bytes.len(), format!("the file ends inside <{}>", shorten(name)))),
        None if !root_seen => Err(fail(bytes.len(), "no XML element in it".into())),
        None => Ok(found),
    }
}

/// Whether an element may begin here.
fn enter(name: &str, open: &[String], root_seen: bool) -> std::result::Result<(), String> {
    if open.is_empty() && root_seen {
        return Err(format!("a second outermost element <{}>", shorten(name)));
    }
    if open.is_empty() && name != "annotation" {
        return Err(format!("the outermost element is <{}>", shorten(name)));
    }
    if open.len() >= MAX_DEPTH {
        return Err(format!("elements nested more than {MAX_DEPTH} deep"));
    }
    Ok(())
}

/// Stores the text of the innermost open element if it is one we want. `part`s are deeper and so do not match.
fn store(open: &[String], value: &str, found: &mut Annotation) {
    let path: [&str; 4] = std::array::from_fn(|i| open.get(i + 1).map_or("", String::as_str));
    if open.len() > 5 {
        return;
    }
    match (path, found.objects.last_mut()) {
        (["filename", "", "", ""], _) => found.filename = value.to_owned(),
        (["size", "width", "", ""], _) => found.width = side(value),
        (["size", "height", "", ""], _) => found.height = side(value),
        (["object", "name", "", ""], Some(object)) => object.name = value.to_owned(),
        (["object", "difficult", "", ""], Some(object)) => {
            object.difficult = !matches!(value.to_ascii_lowercase().as_str(), "" | "0" | "false");
        }
        (["object", "bndbox", corner, ""], Some(object)) => {
            if let Some(k) = ["xmin", "ymin", "xmax", "ymax"].iter().position(|c| *c == corner) {
                object.corners[k] = coordinate(value);
            }
        }
        _ => {}
    }
}

fn side(value: &str) -> u32 {
    match value.parse::<f64>() {
        Ok(v) if v >= 1.0 && v <= f64::from(u32::MAX) && v.fract() == 0.0 => v as u32,
        _ => 0,
    }
}

fn coordinate(value: &str) -> Option<f32> {
    value.parse::<f64>().ok().filter(|v| v.abs() <= MAX_COORDINATE).map(|v| v as f32)
}

fn predefined(name: &str) -> Option<char> {
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "apos" => '\'',
        "quot" => '"',
        _ => return None,
    })
}

/// At most 40 characters of `text`, for a message.
pub(super) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}
