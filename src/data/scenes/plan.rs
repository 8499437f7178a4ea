//! What is in a scene and where: clutter, shapes from far to near, who hides whom, boxes.

use super::shape::Shape;
use super::{Dice, MIN_SIDE, SceneSpec, Stream};
use crate::data::types::Object;
use crate::detect::BBox;

/// The share of an object's area inside the image that stays visible, at least. A placement that would hide more of
/// anything is not made, so nothing in a picture is a class without being annotated.
pub(super) const MIN_VISIBLE: f32 = 0.55;

/// Two boxes overlap at most this much (intersection over union), so that non-maximum suppression at 0.45 can keep
/// both.
const MAX_IOU: f32 = 0.28;

/// The share of an object's extent that may lie outside the image, each way.
const MAX_OUTSIDE: f32 = 0.18;

/// Objects' larger side as a share of the image's smaller side.
const SIZE: [f32; 2] = [0.12, 0.54];

/// A planned object with its distance field over the part of the image around it.
pub(super) struct Placed {
    pub shape: Shape,
    pub bbox: BBox,
    pub field: Field,
}

/// Signed distances at pixel centres of a window of the image, row by row.
pub(super) struct Field {
    /// Left and top pixel of the window.
    pub at: [usize; 2],
    /// Its width and height in pixels.
    pub size: [usize; 2],
    pub distance: Vec<f32>,
}

impl Field {
    /// The field of `shape` over its extent and one pixel more, within a `width` x `height` image.
    fn of(shape: &Shape, width: usize, height: usize) -> Field {
        let e = shape.extent();
        let clamp = |v: f32, side: usize| v.clamp(0.0, side as f32) as usize;
        let at = [clamp((e.xmin - 1.0).floor(), width), clamp((e.ymin - 1.0).floor(), height)];
        let end = [clamp((e.xmax + 2.0).floor(), width), clamp((e.ymax + 2.0).floor(), height)];
        let size = [end[0] - at[0], end[1] - at[1]];
        let mut distance = Vec::with_capacity(size[0] * size[1]);
        for y in at[1]..end[1] {
            for x in at[0]..end[0] {
                distance.push(shape.distance(x as f32 + 0.5, y as f32 + 0.5));
            }
        }
        Field { at, size, distance }
    }

    /// Every pixel of the window: (x, y, distance), row by row.
    pub fn pixels(&self) -> impl Iterator<Item = (usize, usize, f32)> + '_ {
        let [x0, y0] = self.at;
        let columns = self.size[0].max(1);
        self.distance.iter().enumerate().map(move |(i, &d)| (x0 + i % columns, y0 + i / columns, d))
    }

    /// The distance at an image pixel, or the nearest one of the window.
    pub fn nearest(&self, x: usize, y: usize) -> f32 {
        let i = x.clamp(self.at[0], self.at[0] + self.size[0] - 1) - self.at[0];
        let j = y.clamp(self.at[1], self.at[1] + self.size[1] - 1) - self.at[1];
        self.distance[j * self.size[0] + i]
    }
}

/// Everything that is decided before painting.
pub(super) struct Plan {
    pub width: usize,
    pub height: usize,
    /// In 0..1, see [`super::clutter`].
    pub clutter: f32,
    /// From far to near.
    pub placed: Vec<Placed>,
}

/// The first number of a plan's stream.
pub(super) fn clutter(dice: &mut Dice) -> f32 {
    dice.unit()
}

impl Plan {
    pub fn new(spec: &SceneSpec, index: u64) -> Plan {
        let dice = &mut Dice::new(spec.seed, index, Stream::Plan);
        let (width, height) = (spec.width.max(MIN_SIDE) as usize, spec.height.max(MIN_SIDE) as usize);
        let clutter = clutter(dice);
        let wanted = 1 + (clutter * 4.5 + dice.range(0.0, 2.5)) as usize;
        let mut plan = Plan { width, height, clutter, placed: Vec::new() };
        let mut cover = Cover { owner: vec![u8::MAX; width * height], area: Vec::new(), visible: Vec::new() };
        for _ in 0..wanted {
            // The class is drawn once, so that hard-to-place classes do not become rare.
            let class = dice.below(super::CLASSES.len() as u32) as usize;
            for attempt in 0..12 {
                let candidate = plan.candidate(class, attempt, dice);
                if plan.placed.iter().all(|p| iou(&p.bbox, &candidate.bbox) <= MAX_IOU)
                    && cover.try_add(&candidate.field, width)
                {
                    plan.placed.push(candidate);
                    break;
                }
            }
        }
        plan
    }

    /// A shape of `class` somewhere; later attempts are smaller and so easier to place.
    fn candidate(&self, class: usize, attempt: u32, dice: &mut Dice) -> Placed {
        let side = self.width.min(self.height) as f32;
        // Small things are somewhat commoner than large ones.
        let u = dice.unit();
        let shrink = 1.0 - 0.05 * attempt as f32;
        let size = SIZE[0] + (SIZE[1] - SIZE[0]) * u * (0.7 + 0.3 * u) * shrink;
        let mut shape = Shape::random(class, 0.5 * size * side, dice);
        let e = shape.extent();
        let outside = if dice.chance(0.25) { MAX_OUTSIDE } else { 0.0 };
        let centre = |low: f32, high: f32, side: f32, dice: &mut Dice| {
            let slack = (high - low) * outside;
            dice.range(-low - slack, side - high + slack)
        };
        shape.centre =
            [centre(e.xmin, e.xmax, self.width as f32, dice), centre(e.ymin, e.ymax, self.height as f32, dice)];
        let field = Field::of(&shape, self.width, self.height);
        let bbox = self.visible_box(&shape, &field);
        Placed { shape, bbox, field }
    }

    /// The exact extent where the shape is wholly inside; where it is cut, the pixels that are more than half
    /// covered decide, since the cut may have taken the point that touched a side.
    fn visible_box(&self, shape: &Shape, field: &Field) -> BBox {
        let e = shape.extent();
        let (w, h) = (self.width as f32, self.height as f32);
        if e.xmin >= 0.0 && e.ymin >= 0.0 && e.xmax <= w && e.ymax <= h {
            return e;
        }
        let mut b = BBox::new(w, h, 0.0, 0.0);
        for (x, y, d) in field.pixels().filter(|p| p.2 < 0.0) {
            // The outline crosses about |d| beyond the centre of a border pixel, at most half a pixel beyond it.
            let reach = (-d).min(0.5);
            let (x, y) = (x as f32 + 0.5, y as f32 + 0.5);
            b.xmin = b.xmin.min(x - reach);
            b.ymin = b.ymin.min(y - reach);
            b.xmax = b.xmax.max(x + reach);
            b.ymax = b.ymax.max(y + reach);
        }
        b
    }

    /// The annotations, from far to near.
    pub fn objects(&self) -> Vec<Object> {
        self.placed
            .iter()
            .map(|p| Object {
                class: p.shape.class,
                bbox: p.bbox,
                difficult: false,
                crowd: false,
                area: p.bbox.area(),
                target: true,
            })
            .collect()
    }
}

/// Which object each pixel shows, and how much of each object is left to see.
struct Cover {
    owner: Vec<u8>,
    area: Vec<u32>,
    visible: Vec<u32>,
}

impl Cover {
    /// Puts a new nearest object in, unless it would hide too much of one that is there, or is itself hardly there.
    fn try_add(&mut self, field: &Field, width: usize) -> bool {
        let mut left = self.visible.clone();
        let mut area = 0u32;
        for (x, y, _) in field.pixels().filter(|p| p.2 < 0.0) {
            area += 1;
            if let Some(n) = left.get_mut(usize::from(self.owner[y * width + x])) {
                *n -= 1;
            }
        }
        let hidden = |(n, a): (&u32, &u32)| (*n as f32) < MIN_VISIBLE * *a as f32;
        if area < 12 || left.iter().zip(&self.area).any(hidden) {
            return false;
        }
        let index = self.area.len() as u8;
        for (x, y, _) in field.pixels().filter(|p| p.2 < 0.0) {
            self.owner[y * width + x] = index;
        }
        self.visible = left;
        self.visible.push(area);
        self.area.push(area);
        true
    }
}

fn iou(a: &BBox, b: &BBox) -> f32 {
    let w = (a.xmax.min(b.xmax) - a.xmin.max(b.xmin)).max(0.0);
    let h = (a.ymax.min(b.ymax) - a.ymin.max(b.ymin)).max(0.0);
    let both = w * h;
    both / (a.area() + b.area() - both).max(1e-6)
}
