//! Prior (default) boxes of SSD: for every cell of every map a fixed list of boxes.
//!
//! A prior is centre-x, centre-y, width, height in fractions of the (square) image. With `S` the image's side in
//! pixels, cell (row i, column j) of a map holds, in this order:
//!
//! ```text
//! centre = ((j + 0.5)·step / S, (i + 0.5)·step / S)
//! (s, s)                                 s  = min / S
//! (s'ₖ, s'ₖ)        k = 1 ..= squares    s'ₖ = s·(max / min)^(k / (squares + 1)); one square: √(min·max) / S
//! (s·√r, s/√r), (s/√r, s·√r)             for each aspect ratio r
//! ```
//!
//! Maps follow each other, rows before columns: the order of the published SSD300 and of its checkpoints
//! (Liu et al. 2016, section 2.2; 8732 rows for SSD300).

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The most priors that a specification may ask for: a guard against a mistyped configuration (SSD512 has 24 564).
pub const MAX_PRIORS: usize = 4_000_000;

/// The priors of one feature map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorMap {
    /// Cells a side; the map is square.
    pub cells: usize,
    /// Distance of neighbouring cells in pixels of the image.
    pub step: f64,
    /// Side of the small square in pixels.
    pub min: f64,
    /// The size towards which the additional squares grow, in pixels (the `min` of the next map, as a rule).
    pub max: f64,
    /// Aspect ratios; each gives a wide and a tall box of the small square's area.
    pub aspect_ratios: Vec<f64>,
    /// Number of squares between `min` and `max`, spaced evenly in the logarithm. SSD has 1.
    #[serde(default = "one")]
    pub squares: usize,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

impl PriorMap {
    /// A map with SSD's one additional square.
    pub fn new(cells: usize, step: f64, min: f64, max: f64, aspect_ratios: &[f64]) -> Self {
        PriorMap { cells, step, min, max, aspect_ratios: aspect_ratios.to_vec(), squares: 1 }
    }

    /// The same map with another number of additional squares.
    pub fn with_squares(self, squares: usize) -> Self {
        PriorMap { squares, ..self }
    }

    /// Boxes in each cell: 1 + squares + 2 for each aspect ratio. A head has this many times its channels a box.
    pub fn boxes_per_cell(&self) -> usize {
        1 + self.squares + 2 * self.aspect_ratios.len()
    }
}

/// The priors of a whole detector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorSpec {
    /// Side of the square input image in pixels.
    pub image_size: f64,
    /// The maps in the order of the heads.
    pub maps: Vec<PriorMap>,
    /// Clamp every one of the four numbers to 0..=1, as SSD300 does.
    #[serde(default = "yes")]
    pub clip: bool,
}

impl PriorSpec {
    /// A specification that was checked: see [`PriorSpec::check`].
    pub fn new(image_size: f64, maps: Vec<PriorMap>, clip: bool) -> Result<Self> {
        let spec = PriorSpec { image_size, maps, clip };
        spec.check()?;
        Ok(spec)
    }

    /// SSD300 as trained on PASCAL VOC.
    pub fn ssd300_voc() -> Self {
        Self::ssd300([30., 60., 111., 162., 213., 264., 315.])
    }

    /// SSD300 as trained on COCO: smaller boxes.
    pub fn ssd300_coco() -> Self {
        Self::ssd300([21., 45., 99., 153., 207., 261., 315.])
    }

    /// `sizes[k]` is the smallest size of map k and the largest of map k - 1.
    fn ssd300(sizes: [f64; 7]) -> Self {
        const CELLS: [(usize, f64, &[f64]); 6] = [
            (38, 8., &[2.]),
            (19, 16., &[2., 3.]),
            (10, 32., &[2., 3.]),
            (5, 64., &[2., 3.]),
            (3, 100., &[2.]),
            (1, 300., &[2.]),
        ];
        let maps = CELLS
            .iter()
            .enumerate()
            .map(|(k, &(cells, step, ratios))| PriorMap::new(cells, step, sizes[k], sizes[k + 1], ratios))
            .collect();
        PriorSpec { image_size: 300., maps, clip: true }
    }

    /// Number of priors.
    pub fn len(&self) -> usize {
        self.maps
            .iter()
            .fold(0, |n, m| n.saturating_add(m.cells.saturating_mul(m.cells).saturating_mul(m.boxes_per_cell())))
    }

    /// Whether there is no prior at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Boxes in each cell, by map.
    pub fn boxes_per_cell(&self) -> Vec<usize> {
        self.maps.iter().map(PriorMap::boxes_per_cell).collect()
    }

    /// [`Error::Config`] where a size, a step or a ratio is not a positive finite number, where `max < min`, and
    /// where there are no priors or more than [`MAX_PRIORS`].
    pub fn check(&self) -> Result<()> {
        let positive = |key: String, v: f64| {
            if v.is_finite() && v > 0.0 {
                return Ok(());
            }
            Err(Error::config(key, format!("{v} is not a positive number"), "Give it in pixels of the input image"))
        };
        positive("priors.image_size".into(), self.image_size)?;
        for (k, m) in self.maps.iter().enumerate() {
            let key = |name: &str| format!("priors.maps[{k}].{name}");
            positive(key("step"), m.step)?;
            positive(key("min"), m.min)?;
            positive(key("max"), m.max)?;
            if m.max < m.min {
                return Err(Error::config(
                    key("max"),
                    format!("{} is less than min = {}", m.max, m.min),
                    "The additional squares grow from min to max: make max at least min",
                ));
            }
            for &r in &m.aspect_ratios {
                if !(r.is_finite() && r > 0.0) {
                    return Err(Error::config(
                        key("aspect_ratios"),
                        format!("{r} is not a positive number"),
                        "A ratio is width / height, e.g. 2",
                    ));
                }
            }
        }
        match self.len() {
            0 => Err(Error::config("priors.maps", "they give no prior box", "Give at least one map with one cell")),
            n if n > MAX_PRIORS => Err(Error::config(
                "priors.maps",
                format!("they give {n} prior boxes, more than {MAX_PRIORS}"),
                "Use fewer cells, ratios or squares",
            )),
            _ => Ok(()),
        }
    }

    /// All priors: centre-x, centre-y, width, height as fractions of the image, in the order of the module's text.
    /// Computed in f64 and rounded once. Errors as [`PriorSpec::check`].
    pub fn generate(&self) -> Result<Vec<[f32; 4]>> {
        self.check()?;
        let mut out = Vec::with_capacity(self.len());
        for map in &self.maps {
            let small = map.min / self.image_size;
            let mut shapes = vec![(small, small)];
            for k in 1..=map.squares {
                // One square by the published expression, so that no power function enters SSD's own numbers.
                let s = if map.squares == 1 {
                    (small * (map.max / self.image_size)).sqrt()
                } else {
                    small * (map.max / map.min).powf(k as f64 / (map.squares + 1) as f64)
                };
                shapes.push((s, s));
            }
            for r in map.aspect_ratios.iter().map(|r| r.sqrt()) {
                shapes.push((small * r, small / r));
                shapes.push((small / r, small * r));
            }
            for i in 0..map.cells {
                let cy = (i as f64 + 0.5) * map.step / self.image_size;
                for j in 0..map.cells {
                    let cx = (j as f64 + 0.5) * map.step / self.image_size;
                    out.extend(
                        shapes.iter().map(|&(w, h)| {
                            [cx, cy, w, h].map(|v| (if self.clip { v.clamp(0.0, 1.0) } else { v }) as f32)
                        }),
                    );
                }
            }
        }
        Ok(out)
    }
}
