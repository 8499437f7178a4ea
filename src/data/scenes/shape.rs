//! The classes as signed distance functions: negative inside, positive outside, in pixels.
//!
//! Ellipses use the first-order distance `|p/r| (|p/r| - 1) / |p/r^2|`, exact on the outline, which is where
//! anti-aliasing and boxes need it. Polygons are exact: the distance to the nearest edge, signed by a crossing
//! count, less the rounding radius.

use super::{Dice, sin_cos};
use crate::detect::BBox;

/// One object's geometry, placed in the image.
pub(super) struct Shape {
    /// Index into [`super::CLASSES`].
    pub class: usize,
    /// Centre in pixels.
    pub centre: [f32; 2],
    /// Half of the larger extent in pixels, before rotation.
    pub radius: f32,
    /// Cosine and sine of the rotation.
    pub axis: [f32; 2],
    /// Greatest depth below the outline in pixels, where the whole cross-section is to look round (disc and ring).
    pub thickness: f32,
    outline: Outline,
}

enum Outline {
    /// Semi-axes in pixels, along the shape's own axes.
    Ellipse { semi: [f32; 2] },
    /// An ellipse with a concentric hole, `hole` times its size.
    Ring { semi: [f32; 2], hole: f32 },
    /// Corners in pixels about the centre, already rotated; everything within `rounding` of it is inside.
    Polygon { corners: Vec<[f32; 2]>, rounding: f32 },
}

impl Shape {
    /// A random shape of `class` with the given larger half-extent, centred on the origin.
    pub fn random(class: usize, radius: f32, dice: &mut Dice) -> Shape {
        // Most things stand upright or nearly so; one in five is turned anyhow.
        let turn = if dice.chance(0.2) { dice.unit() } else { dice.range(-0.045, 0.045) };
        let (sin, cos) = sin_cos(turn);
        let axis = [cos, sin];
        let squeeze = dice.range(0.72, 1.0);
        let semi = if dice.chance(0.5) { [radius, radius * squeeze] } else { [radius * squeeze, radius] };
        let rounding = radius * dice.range(0.04, 0.16);
        let detail = dice.unit();
        let outline = match super::CLASSES[class] {
            "disc" => Outline::Ellipse { semi },
            "ring" => Outline::Ring { semi, hole: 0.42 + 0.22 * detail },
            "star" => star(5, 0.42 + 0.12 * detail, semi, rounding * 0.6),
            "box" => polygon(&[[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], semi, rounding),
            "triangle" => {
                let lean = 0.3 * (detail - 0.5);
                polygon(&[[lean, -1.0], [1.0, 0.86], [-1.0, 0.86]], semi, rounding)
            }
            _ => cross(0.26 + 0.12 * detail, semi, rounding * 0.6),
        };
        let outline = match outline {
            Outline::Polygon { corners, rounding } => Outline::Polygon {
                corners: corners.iter().map(|&[x, y]| [x * cos - y * sin, x * sin + y * cos]).collect(),
                rounding,
            },
            other => other,
        };
        let thickness = match outline {
            Outline::Ring { semi, hole } => 0.5 * (1.0 - hole) * semi[0].min(semi[1]),
            _ => semi[0].min(semi[1]),
        };
        Shape { class, centre: [0.0, 0.0], radius, axis, thickness, outline }
    }

    /// Signed distance in pixels of the image point (x, y).
    pub fn distance(&self, x: f32, y: f32) -> f32 {
        let p = [x - self.centre[0], y - self.centre[1]];
        match &self.outline {
            Outline::Ellipse { semi } => ellipse_distance(self.turned(p), *semi),
            Outline::Ring { semi, hole } => {
                let p = self.turned(p);
                let outer = ellipse_distance(p, *semi);
                let inner = ellipse_distance(p, [semi[0] * hole, semi[1] * hole]);
                outer.max(-inner)
            }
            Outline::Polygon { corners, rounding } => polygon_distance(p, corners) - rounding,
        }
    }

    /// The exact bounding box of the geometry, not cut at the image's border.
    pub fn extent(&self) -> BBox {
        let [cos, sin] = self.axis;
        let (mut low, mut high) = ([0.0f32; 2], [0.0f32; 2]);
        match &self.outline {
            Outline::Ellipse { semi: [a, b] } | Outline::Ring { semi: [a, b], .. } => {
                let half =
                    [(a * a * cos * cos + b * b * sin * sin).sqrt(), (a * a * sin * sin + b * b * cos * cos).sqrt()];
                low = [-half[0], -half[1]];
                high = half;
            }
            Outline::Polygon { corners, rounding } => {
                for i in 0..2 {
                    low[i] = corners.iter().map(|c| c[i]).fold(f32::INFINITY, f32::min) - rounding;
                    high[i] = corners.iter().map(|c| c[i]).fold(f32::NEG_INFINITY, f32::max) + rounding;
                }
            }
        }
        let [x, y] = self.centre;
        BBox::new(x + low[0], y + low[1], x + high[0], y + high[1])
    }

    /// A point about the centre, in the shape's own axes.
    pub fn turned(&self, p: [f32; 2]) -> [f32; 2] {
        let [cos, sin] = self.axis;
        [p[0] * cos + p[1] * sin, p[1] * cos - p[0] * sin]
    }
}

/// A polygon from corners in [-1, 1], scaled to `semi` less the rounding, so that the rounded outline has that size.
fn polygon(unit: &[[f32; 2]], semi: [f32; 2], rounding: f32) -> Outline {
    let scale = [semi[0] - rounding, semi[1] - rounding];
    Outline::Polygon { corners: unit.iter().map(|c| [c[0] * scale[0], c[1] * scale[1]]).collect(), rounding }
}

fn star(points: usize, inner: f32, semi: [f32; 2], rounding: f32) -> Outline {
    let corners: Vec<[f32; 2]> = (0..2 * points)
        .map(|i| {
            let (sin, cos) = sin_cos(i as f32 / (2 * points) as f32);
            let r = if i % 2 == 0 { 1.0 } else { inner };
            [r * sin, -r * cos]
        })
        .collect();
    polygon(&corners, semi, rounding)
}

fn cross(arm: f32, semi: [f32; 2], rounding: f32) -> Outline {
    let a = arm;
    let corners = [
        [-a, -1.0],
        [a, -1.0],
        [a, -a],
        [1.0, -a],
        [1.0, a],
        [a, a],
        [a, 1.0],
        [-a, 1.0],
        [-a, a],
        [-1.0, a],
        [-1.0, -a],
        [-a, -a],
    ];
    polygon(&corners, semi, rounding)
}

fn ellipse_distance([x, y]: [f32; 2], [a, b]: [f32; 2]) -> f32 {
    let (u, v) = (x / a, y / b);
    let k = (u * u + v * v).sqrt();
    let g = ((u / a) * (u / a) + (v / b) * (v / b)).sqrt();
    // At the very centre the gradient vanishes; the distance there is the smaller semi-axis.
    if g < 1e-6 / a.max(b) { -a.min(b) } else { k * (k - 1.0) / g }
}

fn polygon_distance(p: [f32; 2], corners: &[[f32; 2]]) -> f32 {
    let mut nearest = f32::INFINITY;
    let mut inside = false;
    let mut previous = corners[corners.len() - 1];
    for &corner in corners {
        let edge = [previous[0] - corner[0], previous[1] - corner[1]];
        let to = [p[0] - corner[0], p[1] - corner[1]];
        let t = ((to[0] * edge[0] + to[1] * edge[1]) / (edge[0] * edge[0] + edge[1] * edge[1])).clamp(0.0, 1.0);
        let off = [to[0] - edge[0] * t, to[1] - edge[1] * t];
        nearest = nearest.min(off[0] * off[0] + off[1] * off[1]);
        if (corner[1] > p[1]) != (previous[1] > p[1])
            && p[0] < (previous[0] - corner[0]) * (p[1] - corner[1]) / (previous[1] - corner[1]) + corner[0]
        {
            inside = !inside;
        }
        previous = corner;
    }
    if inside { -nearest.sqrt() } else { nearest.sqrt() }
}
