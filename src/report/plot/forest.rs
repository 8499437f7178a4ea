//! Numbers with their intervals, one a row, on a common axis (a forest plot).

use super::axis::{Axis, Scale, number};
use super::{STYLE, Svg, colour, px, shorten, usable, width_of};

/// One row of a [`Forest`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ForestRow {
    /// Its name.
    pub name: String,
    /// The number: a dot. Not finite: none.
    pub value: f64,
    /// Its interval: a line.
    pub interval: Option<[f64; 2]>,
    /// A number to compare with: a ring.
    pub reference: Option<f64>,
}

/// A forest plot; see [`Forest::svg`].
#[derive(Debug, Clone, PartialEq)]
pub struct Forest {
    /// What it shows; also its name for screen readers.
    pub title: String,
    /// Name of the axis.
    pub x_label: String,
    /// What the dot and the ring are, for the legend.
    pub legend: [String; 2],
    /// Top to bottom.
    pub rows: Vec<ForestRow>,
    /// Where a line from top to bottom is drawn, as a rule 0.
    pub line: Option<f64>,
    /// Width in pixels before scaling.
    pub width: u32,
}

impl Forest {
    /// A plot with its line at 0.
    pub fn new(title: impl Into<String>, x_label: impl Into<String>, rows: Vec<ForestRow>) -> Forest {
        let legend = [String::new(), String::new()];
        Forest { title: title.into(), x_label: x_label.into(), legend, rows, line: Some(0.0), width: 560 }
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
        const ROW: f64 = 28.0;
        let width = f64::from(self.width.max(160));
        let title = if self.title.is_empty() { 2.0 } else { 24.0 };
        let legend = self.legend.iter().any(|l| !l.is_empty());
        let top = title + if legend { 22.0 } else { 0.0 };
        let bottom = top + ROW * self.rows.len().max(1) as f64;
        let each: Vec<String> = self.rows.iter().take(40).map(ForestRow::described).collect();
        let description = if each.is_empty() { "no data".to_string() } else { each.join("; ") };
        let mut svg = Svg::new(width, bottom + 40.0, &self.title, &description);
        if !self.title.is_empty() {
            svg.text(0.0, 14.0, "title", "start", &shorten(&self.title, width));
        }
        if legend {
            let mut x = 0.0;
            for (i, text) in self.legend.iter().enumerate().filter(|l| !l.1.is_empty()) {
                mark(&mut svg, x + 7.0, title + 7.5, i == 1);
                svg.text(x + 20.0, title + 12.0, "name", "start", text);
                x += 36.0 + width_of(text);
            }
        }
        let values = || {
            let of = |r: &ForestRow| {
                [Some(r.value), r.reference, r.interval.map(|i| i[0]), r.interval.map(|i| i[1])].into_iter().flatten()
            };
            self.rows.iter().flat_map(of).filter(|v| usable(*v))
        };
        if values().next().is_none() {
            svg.text(0.0, top + 16.0, "", "start", "no data");
            return svg;
        }
        let names = self.rows.iter().map(|r| width_of(&r.name)).fold(0.0, f64::max).min(width * 0.42);
        let mut axis = Axis::new(Scale::Linear, values().chain(self.line), None);
        (axis.from, axis.to) = (names + 14.0, width - 12.0);
        for (value, label) in axis.ticks(((axis.to - axis.from) / 80.0) as usize) {
            let Some(x) = axis.at(value) else { continue };
            svg.segment(x, top, x, bottom, "grid");
            svg.text(x, bottom + 16.0, "", "middle", &label);
        }
        svg.segment(axis.from, bottom, axis.to, bottom, "axis");
        if let Some(x) = self.line.and_then(|v| axis.at(v)) {
            svg.segment(x, top, x, bottom, "axis");
        }
        if !self.x_label.is_empty() {
            svg.text(axis.to, bottom + 34.0, "", "end", &self.x_label);
        }
        for (i, row) in self.rows.iter().enumerate() {
            let y = top + ROW * (i as f64 + 0.5);
            svg.text(names, y + 4.0, "name", "end", &shorten(&row.name, names + 1.0));
            if let Some((a, b)) = row.interval.and_then(|[a, b]| axis.at(a).zip(axis.at(b))) {
                let (a, b, y) = (px(a), px(b), px(y));
                svg.push(format_args!("<path class=\"line\" stroke=\"{}\" d=\"M{a} {y}H{b}\"/>", colour(0)));
            }
            if let Some(x) = axis.at(row.value) {
                mark(&mut svg, x, y, false);
            }
            if let Some(x) = row.reference.and_then(|v| axis.at(v)) {
                mark(&mut svg, x, y, true);
            }
        }
        svg
    }
}

impl ForestRow {
    fn described(&self) -> String {
        let interval = self.interval.map(|[a, b]| format!(" ({} to {})", number(a), number(b))).unwrap_or_default();
        let reference = self.reference.map(|r| format!(", compared with {}", number(r))).unwrap_or_default();
        format!("{} {}{interval}{reference}", self.name, number(self.value))
    }
}

fn mark(svg: &mut Svg, x: f64, y: f64, ring: bool) {
    let (x, y) = (px(x), px(y));
    match ring {
        true => svg.push(format_args!(
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"5\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>",
            colour(1)
        )),
        false => svg.push(format_args!("<circle cx=\"{x}\" cy=\"{y}\" r=\"4\" fill=\"{}\"/>", colour(0))),
    }
}
