//! Random distortion of colours: brightness, contrast, saturation, hue, order of channels. Values are floats in the range
//! 0 to 255 and are never clipped.
//!
//! Saturation and hue are defined on HSV. With v the largest channel and d = v - (the smallest), a channel is
//! `v - d * x` with x in [0, 1] set by the hue alone, so scaling S by k is `v - k (v - channel)`, and turning the hue
//! only changes the x. Both are computed so; that equals going to HSV and back wherever v > 0.

use serde::{Deserialize, Serialize};

use super::augment::range;
use super::rng::SampleRng;
use crate::Result;

/// Settings of the distortion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Photometric {
    /// How often each of brightness, contrast, saturation and hue is changed.
    pub probability: f32,
    /// Brightness adds U(-this, this), of 255.
    pub brightness: f32,
    /// Contrast multiplies with U(this).
    pub contrast: [f32; 2],
    /// Saturation multiplies S with U(this).
    pub saturation: [f32; 2],
    /// Hue turns by U(-this, this) degrees of 360.
    pub hue: f32,
    /// How often the channels are put in one of the six orders (their own included).
    pub permute: f32,
}

/// One drawn distortion, in the order brightness, contrast (if first), saturation, hue, contrast (if last), permutation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Colour {
    /// Added.
    pub brightness: f32,
    /// Multiplied; 1 where not drawn.
    pub contrast: f32,
    /// Whether contrast comes before saturation and hue.
    pub contrast_first: bool,
    /// Factor of S; 1 where not drawn.
    pub saturation: f32,
    /// Degrees; 0 where not drawn.
    pub hue: f32,
    /// The source channel of each channel.
    pub order: [usize; 3],
}

const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

impl Photometric {
    /// The released SSD.
    pub fn ssd() -> Self {
        Photometric {
            probability: 0.5,
            brightness: 32.0,
            contrast: [0.5, 1.5],
            saturation: [0.5, 1.5],
            hue: 18.0,
            permute: 0.5,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        range("augment.photometric.probability", [self.probability; 2], 0.0, 1.0)?;
        range("augment.photometric.permute", [self.permute; 2], 0.0, 1.0)?;
        range("augment.photometric.brightness", [self.brightness; 2], 0.0, 255.0)?;
        range("augment.photometric.contrast", self.contrast, 0.0, 10.0)?;
        range("augment.photometric.saturation", self.saturation, 0.0, 10.0)?;
        range("augment.photometric.hue", [self.hue; 2], 0.0, 180.0)
    }

    /// Draws one distortion.
    pub fn draw(&self, rng: &mut SampleRng) -> Colour {
        let mut maybe = |low: f32, high: f32, otherwise: f32| {
            let (change, value) = (rng.coin(self.probability), rng.between(low, high));
            if change { value } else { otherwise }
        };
        let brightness = maybe(-self.brightness, self.brightness, 0.0);
        let contrast = maybe(self.contrast[0], self.contrast[1], 1.0);
        let saturation = maybe(self.saturation[0], self.saturation[1], 1.0);
        let hue = maybe(-self.hue, self.hue, 0.0);
        let contrast_first = rng.coin(0.5);
        let permute = rng.coin(self.permute);
        let order = ORDERS[rng.below(ORDERS.len())];
        Colour { brightness, contrast, contrast_first, saturation, hue, order: if permute { order } else { ORDERS[0] } }
    }
}

impl Colour {
    /// One pixel, R, G, B.
    #[inline]
    pub fn apply(&self, mut rgb: [f32; 3]) -> [f32; 3] {
        let first = if self.contrast_first { self.contrast } else { 1.0 };
        rgb = rgb.map(|v| (v + self.brightness) * first);
        if self.saturation != 1.0 {
            let v = rgb[0].max(rgb[1]).max(rgb[2]);
            rgb = rgb.map(|c| v - self.saturation * (v - c));
        }
        if self.hue != 0.0 {
            rgb = turn_hue(rgb, self.hue);
        }
        if !self.contrast_first {
            rgb = rgb.map(|v| v * self.contrast);
        }
        self.order.map(|c| rgb[c])
    }
}

/// Turns the hue by `degrees` in [-180, 180].
fn turn_hue(rgb: [f32; 3], degrees: f32) -> [f32; 3] {
    let [r, g, b] = rgb;
    let v = r.max(g).max(b);
    let d = v - r.min(g).min(b);
    if d <= 0.0 {
        return rgb;
    }
    // The hue in sixths of the circle, 0 at red.
    let hue = if v == r {
        (g - b) / d
    } else if v == g {
        (b - r) / d + 2.0
    } else {
        (r - g) / d + 4.0
    };
    let hue = (hue + degrees / 60.0).rem_euclid(6.0);
    // How far each channel is from the top, as a share of d: 0 within one sixth of its own hue, 1 beyond two.
    let share = |own: f32| {
        let away = (hue - own).abs();
        (away.min(6.0 - away) - 1.0).clamp(0.0, 1.0)
    };
    [v - d * share(0.0), v - d * share(2.0), v - d * share(4.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Colour =
        Colour { brightness: 0.0, contrast: 1.0, contrast_first: true, saturation: 1.0, hue: 0.0, order: [0, 1, 2] };

    fn near(a: [f32; 3], b: [f32; 3]) {
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-2), "{a:?} {b:?}");
    }

    #[test]
    fn each_step_does_what_its_definition_says() {
        let p = [200.0, 100.0, 50.0];
        near(NONE.apply(p), p);
        near(Colour { brightness: -60.0, ..NONE }.apply(p), [140.0, 40.0, -10.0]);
        near(Colour { contrast: 0.5, ..NONE }.apply(p), [100.0, 50.0, 25.0]);
        // V = 200, S = 0.75 -> 0.375: the smallest channel becomes 200 * (1 - 0.375).
        near(Colour { saturation: 0.5, ..NONE }.apply(p), [200.0, 150.0, 125.0]);
        near(Colour { order: [2, 0, 1], ..NONE }.apply(p), [50.0, 200.0, 100.0]);
        near(Colour { contrast: 2.0, brightness: 1.0, contrast_first: false, ..NONE }.apply(p), [402.0, 202.0, 102.0]);
    }

    #[test]
    fn hue_goes_round_the_circle() {
        let p = [200.0, 100.0, 50.0];
        // A third of the circle moves every channel on by one.
        near(turn_hue(p, 120.0), [50.0, 200.0, 100.0]);
        near(turn_hue(p, -120.0), [100.0, 50.0, 200.0]);
        // HSV of p is (20, 0.75, 200); colorsys gives (200, 145, 50) at 38 degrees and (200, 55, 50) at 2.
        near(turn_hue(p, 18.0), [200.0, 145.0, 50.0]);
        near(turn_hue(p, -18.0), [200.0, 55.0, 50.0]);
        near(turn_hue([70.0; 3], 90.0), [70.0; 3]);
        for degrees in [-180.0, -77.0, 13.0, 180.0] {
            near(turn_hue(turn_hue(p, degrees), -degrees), p);
        }
    }
}
