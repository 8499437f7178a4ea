//! The part of a COCO instances json that detection needs. Everything else (`info`, `licenses`, `segmentation`, ...)
//! is skipped while the file streams through: serde_json passes over what a struct does not name without keeping it
//! and without recursion.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, SeqAccess, Visitor};

/// The file.
#[derive(Debug, Deserialize)]
pub(super) struct Instances {
    pub images: Vec<Image>,
    pub annotations: Vec<Annotation>,
    pub categories: Vec<Category>,
}

/// One image.
#[derive(Debug, Deserialize)]
pub(super) struct Image {
    pub id: Id,
    pub file_name: String,
    #[serde(default)]
    pub width: Number,
    #[serde(default)]
    pub height: Number,
}

/// One box.
#[derive(Debug, Deserialize)]
pub(super) struct Annotation {
    #[serde(default)]
    pub id: Option<Id>,
    pub image_id: Id,
    pub category_id: u32,
    #[serde(default)]
    pub bbox: Corners,
    #[serde(default)]
    pub area: Number,
    #[serde(default)]
    pub iscrowd: Flag,
}

/// One class.
#[derive(Debug, Deserialize)]
pub(super) struct Category {
    pub id: u32,
    pub name: String,
}

/// An id: COCO's are whole numbers, some tools write text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Id {
    Number(i64),
    Text(String),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Number(n) => n.fmt(f),
            Id::Text(t) => t.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id (a whole number or text)")
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Id, E> {
                Ok(Id::Number(v))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Id, E> {
                i64::try_from(v).map(Id::Number).map_err(|_| E::custom("an id over 2^63"))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Id, E> {
                Ok(Id::Text(v.to_owned()))
            }
        }
        d.deserialize_any(V)
    }
}

/// A number that may be missing or null.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Number(pub Option<f64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Option::<f64>::deserialize(d).map(Number)
    }
}

/// `iscrowd`: 0 or 1, or a boolean.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Flag(pub bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Flag;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("0, 1, true or false")
            }
            fn visit_bool<E: de::Error>(self, v: bool) -> Result<Flag, E> {
                Ok(Flag(v))
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Flag, E> {
                Ok(Flag(v != 0))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Flag, E> {
                Ok(Flag(v != 0))
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Flag, E> {
                Ok(Flag(v != 0.0))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Flag, E> {
                Ok(Flag(false))
            }
        }
        d.deserialize_any(V)
    }
}

/// `bbox`: x, y, width, height; `None` unless these are four numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Corners(pub Option<[f64; 4]>);

impl<'de> Deserialize<'de> for Corners {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Corners;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a box [x, y, width, height]")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Corners, E> {
                Ok(Corners(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Corners, A::Error> {
                let (mut box_, mut whole) = ([0.0; 4], true);
                for value in &mut box_ {
                    match seq.next_element::<Option<f64>>()? {
                        Some(Some(v)) => *value = v,
                        Some(None) => whole = false,
                        None => return Ok(Corners(None)),
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    whole = false;
                }
                Ok(Corners(whole.then_some(box_)))
            }
        }
        d.deserialize_any(V)
    }
}
