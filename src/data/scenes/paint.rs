//! How a planned scene looks: background, distractors, shadows, textured and lit objects, grain.
//!
//! Colours are sRGB values in 0..1, blended as they are (no linear light): the picture is a training set, and powers
//! are not the same on every platform.

use image::{Rgb, RgbImage};

use super::plan::{Placed, Plan};
use super::{Dice, sin_cos, smoothstep};

type Colour = [f32; 3];

/// The middle of each class's usual hues (0 red, 1/3 green, 2/3 blue). As with things of the world, colour is a hint
/// but no proof: the families touch, and one object in ten has any colour at all.
const HUES: [f32; super::CLASSES.len()] = [0.00, 0.56, 0.14, 0.36, 0.73, 0.87];

/// A hue for an object of `class`.
fn hue(class: usize, dice: &mut Dice) -> f32 {
    if dice.chance(0.1) { dice.unit() } else { HUES[class] + 0.055 * (dice.unit() + dice.unit() - 1.0) }
}

/// Paints `plan` with the looks that `dice` gives.
pub(super) fn paint(plan: &Plan, dice: &mut Dice) -> RgbImage {
    let mut canvas = Canvas { width: plan.width, height: plan.height, pixels: Vec::new() };
    // Lengths that should look alike at every resolution are given for 160 pixels.
    let unit = plan.width.min(plan.height) as f32 / 160.0;
    let light = Light::random(dice);
    canvas.background(plan.clutter, unit, dice);
    for _ in 0..2 + (plan.clutter * dice.range(6.0, 16.0)) as usize {
        canvas.distractor(unit, dice);
    }
    for placed in &plan.placed {
        let look = Look::random(placed, canvas.mean_under(placed), unit, dice);
        canvas.shadow(placed, &light, dice.range(0.25, 0.55), dice.range(0.10, 0.35));
        canvas.object(placed, &look, &light);
    }
    // Now and then something thin passes in front.
    if dice.chance(plan.clutter * 0.6) {
        for _ in 0..1 + dice.below(3) {
            canvas.segment(unit, 0.7, dice);
        }
    }
    canvas.finish(dice.range(0.0, 0.028), dice.bits())
}

struct Light {
    /// Towards the light, unit length; z points at the viewer.
    to: [f32; 3],
    /// Halfway between the light and the viewer, unit length.
    half: [f32; 3],
}

impl Light {
    fn random(dice: &mut Dice) -> Light {
        // From above, within 60 degrees of the vertical.
        let (sin, cos) = sin_cos(dice.range(-0.17, 0.17));
        let tilt = dice.range(0.5, 0.9);
        let to = unit_length([sin * tilt, -cos * tilt, 0.75]);
        Light { to, half: unit_length([to[0], to[1], to[2] + 1.0]) }
    }
}

/// How one object's surface looks.
struct Look {
    base: Colour,
    second: Colour,
    texture: Texture,
    /// Texture period in pixels.
    period: f32,
    /// Width of the rounded edge in pixels.
    bevel: f32,
    /// Strength of the highlight, 0..1.
    gloss: f32,
    /// Colour and width in pixels of an outline.
    outline: Option<(Colour, f32)>,
    grain: u32,
}

enum Texture {
    Plain,
    Stripes,
    Dots,
    Gradient,
    Mottled,
}

impl Look {
    fn random(placed: &Placed, under: Colour, unit: f32, dice: &mut Dice) -> Look {
        let radius = placed.shape.radius;
        // A colour that stands off from what is behind it; the last try is taken as it comes.
        let mut base = under;
        for _ in 0..8 {
            base = hsv(hue(placed.shape.class, dice), dice.range(0.45, 0.88), dice.range(0.5, 1.0));
            if contrast(base, under) > 0.22 {
                break;
            }
        }
        let second = match dice.below(3) {
            0 => mix(base, [0.08, 0.08, 0.12], dice.range(0.3, 0.6)),
            1 => mix(base, [1.0, 0.98, 0.94], dice.range(0.45, 0.8)),
            _ => hsv(hue(placed.shape.class, dice), dice.range(0.3, 0.9), dice.range(0.4, 1.0)),
        };
        // Texture needs room to be seen.
        let texture = match if radius > 9.0 * unit { dice.below(7) } else { 0 } {
            0..=2 => Texture::Plain,
            3 => Texture::Stripes,
            4 => Texture::Dots,
            5 => Texture::Gradient,
            _ => Texture::Mottled,
        };
        let bevel = match super::CLASSES[placed.shape.class] {
            "disc" if dice.chance(0.6) => placed.shape.thickness,
            "ring" => placed.shape.thickness,
            _ => radius * dice.range(0.10, 0.30),
        };
        let outline = dice.chance(0.3).then(|| {
            let towards = if luma(base) > 0.5 { [0.05, 0.05, 0.08] } else { [1.0, 1.0, 1.0] };
            (mix(base, towards, dice.range(0.55, 0.9)), (radius * dice.range(0.05, 0.10)).max(0.8 * unit))
        });
        Look {
            base,
            second,
            texture,
            period: radius * dice.range(0.35, 0.7),
            bevel: bevel.max(1.0),
            gloss: dice.range(0.0, 0.55),
            outline,
            grain: dice.bits(),
        }
    }

    /// The surface's own colour at `p`, in pixels along the shape's own axes.
    fn albedo(&self, p: [f32; 2], radius: f32) -> Colour {
        let amount = match self.texture {
            Texture::Plain => 0.0,
            // Distance to the nearest stripe edge in pixels, anti-aliased over one of them.
            Texture::Stripes => 0.5 + (self.period * (triangle_wave(p[0] / self.period) - 0.5)).clamp(-0.5, 0.5),
            Texture::Dots => {
                let cell = |v: f32| (v / self.period - (v / self.period).floor() - 0.5) * self.period;
                let (x, y) = (cell(p[0]), cell(p[1]));
                (0.5 + 0.3 * self.period - (x * x + y * y).sqrt()).clamp(0.0, 1.0)
            }
            Texture::Gradient => (0.5 + 0.5 * p[1] / radius).clamp(0.0, 1.0),
            Texture::Mottled => {
                let n = noise(p[0] / self.period * 2.0, p[1] / self.period * 2.0, self.grain);
                smoothstep(0.35, 0.65, n) * 0.8
            }
        };
        mix(self.base, self.second, amount)
    }
}

struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Colour>,
}

impl Canvas {
    fn background(&mut self, clutter: f32, unit: f32, dice: &mut Dice) {
        let muted = |dice: &mut Dice, value: f32| hsv(dice.unit(), dice.range(0.05, 0.45), value);
        let value = dice.range(0.16, 0.88);
        let from = muted(dice, value);
        let other = (value + dice.range(-0.3, 0.3)).clamp(0.1, 0.95);
        let to = mix(muted(dice, other), from, dice.range(0.0, 0.5));
        // A value well away from the ground's, for a pattern that shows.
        let accent = mix(muted(dice, if value > 0.5 { value - 0.35 } else { value + 0.35 }), from, 0.3);
        let (sin, cos) = sin_cos(dice.unit());
        let (w, h) = (self.width as f32, self.height as f32);
        let rough = (0.02 + 0.13 * clutter) * dice.range(0.6, 1.0);
        // Coarse, middle and fine noise: (period in pixels, amplitude, seed).
        let octaves = [(46.0, 1.0), (15.0, 0.6), (4.5, 0.35)].map(|(p, a)| (p * unit, a * rough, dice.bits()));
        let pattern = if dice.chance(0.15 + 0.45 * clutter) { 1 + dice.below(2) } else { 0 };
        let period = dice.range(7.0, 30.0) * unit;
        let strength = dice.range(0.15, 0.2 + 0.45 * clutter);
        let (psin, pcos) = sin_cos(dice.unit());
        self.pixels.reserve(self.width * self.height);
        for y in 0..self.height {
            for x in 0..self.width {
                let (px, py) = (x as f32 + 0.5, y as f32 + 0.5);
                let t = 0.5 + ((px - 0.5 * w) * cos + (py - 0.5 * h) * sin) / (w + h);
                let mut colour = mix(from, to, smoothstep(0.0, 1.0, t));
                if pattern > 0 {
                    let (u, v) = ((px * pcos + py * psin) / period, (py * pcos - px * psin) / period);
                    let edge = |s: f32| smoothstep(0.44, 0.56, triangle_wave(s));
                    let on = if pattern == 1 { edge(u) } else { edge(u) + edge(v) - 2.0 * edge(u) * edge(v) };
                    colour = mix(colour, accent, strength * on);
                }
                let mut lift = 0.0;
                for (p, amplitude, seed) in octaves {
                    lift += amplitude * (2.0 * noise(px / p, py / p, seed) - 1.0);
                }
                self.pixels.push(colour.map(|c| c + lift));
            }
        }
    }

    /// A thin segment or a soft blob: clutter that is no class.
    fn distractor(&mut self, unit: f32, dice: &mut Dice) {
        if dice.chance(0.55) {
            self.segment(unit, 1.0, dice);
        } else {
            let centre = [dice.unit() * self.width as f32, dice.unit() * self.height as f32];
            let radius = dice.range(2.0, 20.0) * unit;
            let colour = hsv(dice.unit(), dice.range(0.1, 0.7), dice.range(0.1, 1.0));
            let alpha = dice.range(0.15, 0.5);
            self.blend(centre, radius, |x, y| {
                let (dx, dy) = (x - centre[0], y - centre[1]);
                (colour, alpha * (1.0 - smoothstep(0.0, radius, (dx * dx + dy * dy).sqrt())))
            });
        }
    }

    fn segment(&mut self, unit: f32, strength: f32, dice: &mut Dice) {
        let centre = [dice.unit() * self.width as f32, dice.unit() * self.height as f32];
        let (sin, cos) = sin_cos(dice.unit());
        let half = dice.range(5.0, 42.0) * unit;
        let thick = dice.range(0.3, 1.0) * unit;
        let colour = hsv(dice.unit(), dice.range(0.0, 0.7), dice.range(0.05, 1.0));
        let alpha = dice.range(0.3, 0.85) * strength;
        self.blend(centre, half + thick + 1.0, |x, y| {
            let (dx, dy) = (x - centre[0], y - centre[1]);
            let along = ((dx * cos + dy * sin).abs() - half).max(0.0);
            let across = dy * cos - dx * sin;
            let d = (along * along + across * across).sqrt() - thick;
            (colour, alpha * (0.5 - d).clamp(0.0, 1.0))
        });
    }

    /// Blends `(colour, alpha)` over the square of half-side `reach` about `centre`.
    fn blend(&mut self, centre: [f32; 2], reach: f32, ink: impl Fn(f32, f32) -> (Colour, f32)) {
        let clamp = |v: f32, side: usize| v.clamp(0.0, side as f32) as usize;
        for y in clamp(centre[1] - reach, self.height)..clamp(centre[1] + reach + 1.0, self.height) {
            for x in clamp(centre[0] - reach, self.width)..clamp(centre[0] + reach + 1.0, self.width) {
                let (colour, alpha) = ink(x as f32 + 0.5, y as f32 + 0.5);
                if alpha > 0.0 {
                    let pixel = &mut self.pixels[y * self.width + x];
                    *pixel = mix(*pixel, colour, alpha);
                }
            }
        }
    }

    /// Mean colour of what `placed` will cover and its close surroundings.
    fn mean_under(&self, placed: &Placed) -> Colour {
        let mut sum = [0.0; 3];
        let mut count = 0.0f32;
        for (x, y, _) in placed.field.pixels() {
            let pixel = self.pixels[y * self.width + x];
            sum = [sum[0] + pixel[0], sum[1] + pixel[1], sum[2] + pixel[2]];
            count += 1.0;
        }
        sum.map(|s| s / count.max(1.0))
    }

    /// Darkens what lies behind: `lift` is the object's height and `alpha` the darkness.
    fn shadow(&mut self, placed: &Placed, light: &Light, lift: f32, alpha: f32) {
        let shape = &placed.shape;
        let offset = [-light.to[0] * lift * shape.radius * 0.55, -light.to[1] * lift * shape.radius * 0.55];
        let blur = (lift * shape.radius * 0.55).max(1.5);
        let centre = [shape.centre[0] + offset[0], shape.centre[1] + offset[1]];
        // A box turned by 45 degrees reaches 1.42 radii.
        self.blend(centre, shape.radius * 1.45 + blur, |x, y| {
            let d = shape.distance(x - offset[0], y - offset[1]);
            ([0.0, 0.0, 0.02], alpha * (1.0 - smoothstep(-blur, blur, d)))
        });
    }

    fn object(&mut self, placed: &Placed, look: &Look, light: &Light) {
        let field = &placed.field;
        let shape = &placed.shape;
        for (x, y, d) in field.pixels() {
            let cover = (0.5 - d).clamp(0.0, 1.0);
            if cover == 0.0 {
                continue;
            }
            let p = shape.turned([x as f32 + 0.5 - shape.centre[0], y as f32 + 0.5 - shape.centre[1]]);
            let mut colour = look.albedo(p, shape.radius);
            if let Some((ink, width)) = look.outline {
                colour = mix(colour, ink, (d + width + 0.5).clamp(0.0, 1.0));
            }
            // The distance field's gradient points outwards; the edge is a quarter circle of width `bevel`.
            let gx = field.nearest(x + 1, y) - field.nearest(x.saturating_sub(1), y);
            let gy = field.nearest(x, y + 1) - field.nearest(x, y.saturating_sub(1));
            let slope = (1.0 + d.min(0.0) / look.bevel).clamp(0.0, 1.0) * 0.92;
            let scale = slope / (gx * gx + gy * gy).sqrt().max(1e-3);
            let (nx, ny) = (gx * scale, gy * scale);
            let nz = (1.0 - nx * nx - ny * ny).max(0.0).sqrt();
            let dot = |v: &[f32; 3]| (nx * v[0] + ny * v[1] + nz * v[2]).max(0.0);
            // A surface that faces the viewer keeps its own colour.
            let shade = 0.42 + 0.58 * dot(&light.to) / light.to[2];
            let glint = {
                let h2 = dot(&light.half) * dot(&light.half);
                let h8 = h2 * h2 * h2 * h2;
                look.gloss * h8 * h8 * h8 * smoothstep(0.0, 0.6, slope)
            };
            let lit = colour.map(|c| c * shade.min(1.45) + glint);
            let pixel = &mut self.pixels[y * self.width + x];
            *pixel = mix(*pixel, lit, cover);
        }
    }

    fn finish(self, grain: f32, seed: u32) -> RgbImage {
        RgbImage::from_fn(self.width as u32, self.height as u32, |x, y| {
            let i = y as usize * self.width + x as usize;
            let bits = hash(i as u32, seed);
            // Sum of two uniform numbers, in -1..1: near enough to a camera's noise.
            let n = ((bits & 0xffff) + (bits >> 16)) as f32 / 65535.0 - 1.0;
            Rgb(self.pixels[i].map(|c| ((c + grain * n).clamp(0.0, 1.0) * 255.0 + 0.5) as u8))
        })
    }
}

fn mix(a: Colour, b: Colour, t: f32) -> Colour {
    [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t]
}

fn luma(c: Colour) -> f32 {
    0.3 * c[0] + 0.59 * c[1] + 0.11 * c[2]
}

/// How far apart two colours look, about 0..1.
fn contrast(a: Colour, b: Colour) -> f32 {
    let d = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    (0.3 * d[0] * d[0] + 0.59 * d[1] * d[1] + 0.11 * d[2] * d[2]).sqrt()
}

fn unit_length(v: [f32; 3]) -> [f32; 3] {
    let n = (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt();
    v.map(|x| x / n)
}

/// Hue, saturation and value, all in 0..1, to red, green and blue.
fn hsv(h: f32, s: f32, v: f32) -> Colour {
    [5.0f32, 3.0, 1.0].map(|n| {
        let k = n + h * 6.0;
        let k = k - 6.0 * (k / 6.0).floor();
        v - v * s * k.min(4.0 - k).clamp(0.0, 1.0)
    })
}

/// Period 1, 0 at whole numbers, 1 halfway.
fn triangle_wave(x: f32) -> f32 {
    let f = x - x.floor();
    1.0 - (2.0 * f - 1.0).abs()
}

/// Smooth noise in 0..1 with lattice spacing 1.
fn noise(x: f32, y: f32, seed: u32) -> f32 {
    let (i, j) = (x.floor(), y.floor());
    let (u, v) = (x - i, y - j);
    let (u, v) = (u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v));
    let at = |di: i32, dj: i32| {
        let key = (i as i32 + di) as u32 ^ ((j as i32 + dj) as u32).rotate_left(16);
        (hash(key, seed) >> 8) as f32 / 16_777_216.0
    };
    let top = at(0, 0) + (at(1, 0) - at(0, 0)) * u;
    let bottom = at(0, 1) + (at(1, 1) - at(0, 1)) * u;
    top + (bottom - top) * v
}

/// A well-mixed 32-bit hash (two rounds of xor-shift and multiply).
fn hash(x: u32, seed: u32) -> u32 {
    let mut h = x.wrapping_mul(0x9E37_79B1) ^ seed;
    h = (h ^ (h >> 16)).wrapping_mul(0x7FEB_352D);
    h = (h ^ (h >> 15)).wrapping_mul(0x846C_A68B);
    h ^ (h >> 16)
}
