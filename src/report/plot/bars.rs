//! Horizontal bars: a name, a bar, a value.

use super::axis::number;
use super::{STYLE, Svg, colour, px, shorten, usable, width_of};

/// A bar chart; see [`BarChart::svg`].
#[derive(Debug, Clone, PartialEq)]
pub struct BarChart {
    /// What it shows; also its name for screen readers.
    pub title: String,
    /// What there is to see, for screen readers; made from the bars where empty.
    pub description: String,
    /// (name, value), top to bottom. A value that is not finite has no bar, and one below 0 an empty one.
    pub bars: Vec<(String, f64)>,
    /// The value of a full bar; the largest value where none.
    pub full: Option<f64>,
    /// Width in pixels before scaling.
    pub width: u32,
}

impl BarChart {
    /// Bars as long as the largest value.
    pub fn new(title: impl Into<String>, bars: Vec<(String, f64)>) -> BarChart {
        BarChart { title: title.into(), description: String::new(), bars, full: None, width: 440 }
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
        const ROW: f64 = 24.0;
        let width = f64::from(self.width.max(120));
        let top = if self.title.is_empty() { 2.0 } else { 26.0 };
        let height = top + ROW * self.bars.len().max(1) as f64 + 2.0;
        let mut description = self.description.clone();
        if description.is_empty() {
            let each: Vec<String> = self.bars.iter().take(40).map(|(n, v)| format!("{n} {}", number(*v))).collect();
            description = if each.is_empty() { "no data".into() } else { each.join(", ") };
        }
        let mut svg = Svg::new(width, height, &self.title, &description);
        if !self.title.is_empty() {
            svg.text(0.0, 14.0, "title", "start", &shorten(&self.title, width * 0.9));
        }
        if self.bars.is_empty() {
            svg.text(0.0, top + 14.0, "", "start", "no data");
            return svg;
        }
        let names = self.bars.iter().map(|b| width_of(&b.0)).fold(0.0, f64::max).min(width * 0.4);
        let values = self.bars.iter().map(|b| width_of(&number(b.1))).fold(0.0, f64::max);
        let (left, room) = (names + 10.0, (width - names - values - 20.0).max(10.0));
        let largest = self.bars.iter().map(|b| b.1).filter(|&v| usable(v)).fold(0.0, f64::max);
        let full = self.full.filter(|&f| usable(f) && f > 0.0).unwrap_or(largest).max(f64::MIN_POSITIVE);
        for (i, (name, value)) in self.bars.iter().enumerate() {
            let y = top + ROW * i as f64;
            svg.text(left - 10.0, y + 16.0, "name", "end", &shorten(name, names + 1.0));
            let length = if usable(*value) { (value / full).clamp(0.0, 1.0) * room } else { 0.0 };
            let (x, y0, w, ink) = (px(left), px(y + 5.0), px(length), colour(0));
            svg.push(format_args!("<rect x=\"{x}\" y=\"{y0}\" width=\"{w}\" height=\"14\" rx=\"2\" fill=\"{ink}\"/>"));
            svg.text(left + length + 6.0, y + 16.0, "", "start", &number(*value));
        }
        svg
    }
}
