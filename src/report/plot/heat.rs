//! A matrix of values as shades of one colour.

use super::axis::number;
use super::{STYLE, Scale, Svg, colour, px, shorten, usable, width_of};

/// A heat map; see [`HeatMap::svg`].
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// What it shows; also its name for screen readers.
    pub title: String,
    /// What there is to see, for screen readers; its extremes where empty.
    pub description: String,
    /// Names of the rows, top to bottom.
    pub rows: Vec<String>,
    /// Names of the columns, left to right.
    pub columns: Vec<String>,
    /// Row by row; missing and non-finite ones are empty cells.
    pub values: Vec<f64>,
    /// The values of the palest and the strongest shade; the extremes where none.
    pub range: Option<(f64, f64)>,
    /// How shades are spread between them. On a logarithmic scale what is not above 0 has the palest.
    pub scale: Scale,
}

impl HeatMap {
    /// Shaded between the extremes.
    pub fn new(title: impl Into<String>, rows: Vec<String>, columns: Vec<String>, values: Vec<f64>) -> HeatMap {
        let (title, description) = (title.into(), String::new());
        HeatMap { title, description, rows, columns, values, range: None, scale: Scale::Linear }
    }

    /// A file that stands alone.
    pub fn svg(&self) -> String {
        self.draw().finish(Some(STYLE))
    }

    /// The element alone, for a page that holds [`STYLE`].
    pub fn fragment(&self) -> String {
        self.draw().finish(None)
    }

    fn draw(&self) -> Svg {
        let longest = |names: &[String]| names.iter().map(|n| width_of(n)).fold(0.0, f64::max).min(130.0);
        let cell = (340.0 / self.columns.len().max(1) as f64).clamp(14.0, 54.0);
        let row = cell.min(34.0);
        let left = longest(&self.rows) + 8.0;
        let title = if self.title.is_empty() { 0.0 } else { 24.0 };
        // Names of columns stand upright where they are wider than a cell.
        let upright = longest(&self.columns) > cell - 4.0;
        let top = title + if upright { longest(&self.columns) + 8.0 } else { 18.0 };
        let width = (left + cell * self.columns.len() as f64).max(120.0) + 1.0;
        let bottom = top + row * self.rows.len().max(1) as f64 + 1.0;
        let finite = || self.values.iter().copied().filter(|&v| usable(v));
        // Where a number does not fit into its cell none is written, and a key says what the shades are.
        let written = finite().all(|v| width_of(&number(v)) < cell - 2.0);
        let key = !self.rows.is_empty() && !written;
        let height = if key { bottom + 26.0 } else { bottom };
        let width = if key { width.max(left + 200.0) } else { width };
        let drawn = || finite().filter(|&v| self.scale == Scale::Linear || v > 0.0);
        let (low, high) = drawn().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        let described = match (&self.description, finite().count()) {
            (d, _) if !d.is_empty() => d.clone(),
            (_, 0) => "no data".into(),
            (_, n) => format!("{n} values from {} to {}", number(low), number(high)),
        };
        let mut svg = Svg::new(width, height, &self.title, &described);
        if !self.title.is_empty() {
            svg.text(0.0, 14.0, "title", "start", &shorten(&self.title, width));
        }
        if self.rows.is_empty() || self.columns.is_empty() {
            svg.text(0.0, title + 14.0, "", "start", "no data");
            return svg;
        }
        let (low, high) = self.range.filter(|r| usable(r.0) && usable(r.1) && r.0 < r.1).unwrap_or((low, high));
        for (j, name) in self.columns.iter().enumerate() {
            let x = left + cell * (j as f64 + 0.5);
            let name = shorten(name, 130.0);
            if upright {
                let (x, y) = (px(x + 4.0), px(top - 5.0));
                let name = super::escape(&name);
                svg.push(format_args!("<text transform=\"translate({x} {y})rotate(-90)\">{name}</text>"));
            } else {
                svg.text(x, top - 5.0, "", "middle", &name);
            }
        }
        for (i, name) in self.rows.iter().enumerate() {
            let y = top + row * i as f64;
            svg.text(left - 6.0, y + row * 0.5 + 4.0, "name", "end", &shorten(name, 130.0));
            for j in 0..self.columns.len() {
                let value = self.values.get(i * self.columns.len() + j).copied().unwrap_or(f64::NAN);
                let place = [left + cell * j as f64, y, cell, row];
                draw_cell(&mut svg, place, self.shade(value, low, high), written.then(|| number(value)));
            }
        }
        if key {
            self.key(&mut svg, left, bottom + 10.0, low, high);
        }
        svg
    }

    /// The shades from the palest to the strongest between their values.
    fn key(&self, svg: &mut Svg, x: f64, y: f64, low: f64, high: f64) {
        const SHADES: usize = 8;
        let (from, to) = (number(low), number(high));
        svg.text(x, y + 11.0, "", "start", &from);
        let first = x + width_of(&from) + 6.0;
        for i in 0..SHADES {
            let (x, y) = (px(first + 12.0 * i as f64), px(y));
            let (ink, opacity) = (colour(0), opacity(i as f64 / (SHADES - 1) as f64));
            svg.push(format_args!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"11\" height=\"14\" fill=\"{ink}\" fill-opacity=\"{opacity:.2}\"/>"
            ));
        }
        svg.text(first + 12.0 * SHADES as f64 + 5.0, y + 11.0, "", "start", &to);
    }

    /// 0 for the palest shade, 1 for the strongest.
    fn shade(&self, value: f64, low: f64, high: f64) -> f64 {
        let map = |v: f64| if self.scale == Scale::Log { v.max(low).ln() } else { v };
        if !usable(value) {
            0.0
        } else if high > low {
            ((map(value) - map(low)) / (map(high) - map(low))).clamp(0.0, 1.0)
        } else {
            0.5
        }
    }
}

/// A cell at (x, y) of a width and a height, with its value where that is written.
fn draw_cell(svg: &mut Svg, [x, y, width, height]: [f64; 4], shade: f64, text: Option<String>) {
    let (x0, y0, w, h) = (px(x + 0.5), px(y + 0.5), px(width - 1.0), px(height - 1.0));
    let (ink, opacity) = (colour(0), opacity(shade));
    svg.push(format_args!(
        "<rect x=\"{x0}\" y=\"{y0}\" width=\"{w}\" height=\"{h}\" fill=\"{ink}\" fill-opacity=\"{opacity:.2}\"/>"
    ));
    if let Some(text) = text {
        let ink = if shade > 0.55 { "var(--page)" } else { "var(--ink)" };
        let (x, y, text) = (px(x + width * 0.5), px(y + height * 0.5 + 4.0), super::escape(&text));
        svg.push(format_args!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" style=\"fill:{ink}\">{text}</text>"));
    }
}

fn opacity(shade: f64) -> f64 {
    0.06 + 0.94 * shade
}
