//! Lines and points on a pair of axes.

use super::axis::{Axis, Scale, number};
use super::{STYLE, Svg, colour, dashes, px, shorten, usable, width_of};

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mark {
    /// A line; with dots where there are few points.
    #[default]
    Line,
    /// A thin pale line, for what lies behind a smoothed one; not in the legend.
    Faint,
    /// Dots alone.
    Points,
}

/// One series of a chart.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// (x, y); a point that is not finite is a gap.
    pub points: Vec<(f64, f64)>,
    /// Line or points.
    pub mark: Mark,
    /// Which of the series colours; its position in the chart where none.
    pub colour: Option<usize>,
}

impl Series {
    /// A line.
    pub fn line(name: impl Into<String>, points: Vec<(f64, f64)>) -> Series {
        Series { name: name.into(), points, ..Series::default() }
    }

    /// Dots.
    pub fn dots(name: impl Into<String>, points: Vec<(f64, f64)>) -> Series {
        Series { mark: Mark::Points, ..Series::line(name, points) }
    }

    /// The series with its exponential moving average over about `window` points before it (bias corrected); gaps
    /// stay gaps. The raw values become faint.
    pub fn smoothed(self, window: f64) -> [Series; 2] {
        let keep = 1.0 - 1.0 / window.max(1.0);
        let (mut mean, mut weight) = (0.0, 0.0);
        let points = self
            .points
            .iter()
            .map(|&(x, y)| {
                if !usable(y) {
                    return (x, f64::NAN);
                }
                mean = keep * mean + (1.0 - keep) * y;
                weight = keep * weight + (1.0 - keep);
                (x, mean / weight)
            })
            .collect();
        let smooth = Series { points, colour: self.colour, ..Series::line(self.name.clone(), Vec::new()) };
        [Series { mark: Mark::Faint, ..self }, smooth]
    }
}

/// A chart; see [`Chart::svg`].
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What it shows; above the chart, and its name for screen readers.
    pub title: String,
    /// What there is to see, for screen readers; made from the series where empty.
    pub description: String,
    /// Name of the horizontal axis.
    pub x_label: String,
    /// Name of the vertical axis.
    pub y_label: String,
    /// The series; those behind first.
    pub series: Vec<Series>,
    /// The horizontal scale.
    pub x_scale: Scale,
    /// The vertical scale.
    pub y_scale: Scale,
    /// The horizontal range; from the data where none.
    pub x_range: Option<(f64, f64)>,
    /// The vertical range; from the data where none.
    pub y_range: Option<(f64, f64)>,
    /// Show each series' last value in the legend.
    pub last_values: bool,
    /// Width and height in pixels before scaling.
    pub size: (u32, u32),
}

impl Chart {
    /// A chart of lines with linear axes, 440x270.
    pub fn new(title: impl Into<String>, x_label: impl Into<String>, y_label: impl Into<String>) -> Chart {
        Chart {
            title: title.into(),
            description: String::new(),
            x_label: x_label.into(),
            y_label: y_label.into(),
            series: Vec::new(),
            x_scale: Scale::Linear,
            y_scale: Scale::Linear,
            x_range: None,
            y_range: None,
            last_values: false,
            size: (440, 270),
        }
    }

    /// With one more series.
    pub fn with(mut self, series: Series) -> Chart {
        self.series.push(series);
        self
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
        let (width, height) = (f64::from(self.size.0.max(60)), f64::from(self.size.1.max(60)));
        let mut svg = Svg::new(width, height, &self.title, &self.described());
        let mut top = 4.0;
        if !self.title.is_empty() {
            svg.text(0.0, 14.0, "title", "start", &shorten(&self.title, width * 0.9));
            top = 24.0;
        }
        top = self.legend(&mut svg, top, width);
        if !self.y_label.is_empty() {
            svg.text(0.0, top + 11.0, "", "start", &self.y_label);
            top += 23.0;
        } else {
            top += 6.0;
        }
        let points = || self.series.iter().flat_map(|s| s.points.iter());
        let mut x = Axis::new(self.x_scale, points().map(|p| p.0), self.x_range);
        if self.x_range.is_none() && self.series.iter().all(|s| s.mark != Mark::Points) {
            x = x.tight(points().map(|p| p.0));
        }
        let mut y = Axis::new(self.y_scale, points().map(|p| p.1), self.y_range);
        let bottom = height - if self.x_label.is_empty() { 20.0 } else { 36.0 };
        (y.from, y.to) = (bottom, top.min(bottom - 10.0));
        let y_ticks = y.ticks((((bottom - top) / 42.0) as usize).clamp(2, 7));
        let left = y_ticks.iter().map(|t| width_of(&t.1)).fold(0.0, f64::max) + 8.0;
        let right = width - 12.0;
        (x.from, x.to) = (left.min(width * 0.5), right);
        for (value, label) in &y_ticks {
            let Some(at) = y.at(*value) else { continue };
            svg.segment(x.from, at, right, at, "grid");
            svg.text(x.from - 6.0, at + 4.0, "", "end", label);
        }
        svg.segment(x.from, bottom, right, bottom, "axis");
        for (value, label) in x.ticks((((right - x.from) / 76.0) as usize).clamp(2, 10)) {
            let Some(at) = x.at(value) else { continue };
            svg.segment(at, bottom, at, bottom + 4.0, "axis");
            let anchor = if at + 0.5 * width_of(&label) > right + 11.0 { "end" } else { "middle" };
            svg.text(if anchor == "end" { right + 12.0 } else { at }, bottom + 16.0, "", anchor, &label);
        }
        if !self.x_label.is_empty() {
            svg.text(right, bottom + 32.0, "", "end", &self.x_label);
        }
        let drawn = |p: &&(f64, f64)| usable(p.0) && usable(p.1) && x.at(p.0).is_some() && y.at(p.1).is_some();
        if points().filter(drawn).count() == 0 {
            svg.text((x.from + right) / 2.0, (top + bottom) / 2.0, "", "middle", "no data");
            return svg;
        }
        for (i, series) in self.series.iter().enumerate() {
            draw_series(&mut svg, series, series.colour.unwrap_or(i), &x, &y);
        }
        svg
    }

    /// Names with swatches, in rows; returns where the chart can begin. A single unnamed series needs none.
    fn legend(&self, svg: &mut Svg, top: f64, width: f64) -> f64 {
        let entries: Vec<(usize, &Series)> = self
            .series
            .iter()
            .enumerate()
            .filter(|(_, s)| s.mark != Mark::Faint && !s.name.is_empty())
            .map(|(i, s)| (s.colour.unwrap_or(i), s))
            .collect();
        if entries.is_empty() || (entries.len() == 1 && !self.last_values) {
            return top;
        }
        let (mut x, mut y) = (0.0, top);
        for (i, series) in entries {
            let mut text = shorten(&series.name, 190.0);
            if self.last_values
                && let Some(last) = series.points.iter().rev().find(|p| usable(p.1))
            {
                text = format!("{text} {}", number(last.1));
            }
            let room = 20.0 + width_of(&text) + 16.0;
            if x > 0.0 && x + room - 16.0 > width {
                (x, y) = (0.0, y + 18.0);
            }
            if series.mark == Mark::Points {
                svg.push(format_args!(
                    "<circle cx=\"{}\" cy=\"{}\" r=\"4\" fill=\"{}\"/>",
                    px(x + 7.0),
                    px(y + 7.5),
                    colour(i)
                ));
            } else {
                let (a, b, c) = (px(x), px(y + 7.5), px(x + 14.0));
                let (ink, dash) = (colour(i), dashes(i));
                svg.push(format_args!("<path class=\"line\" stroke=\"{ink}\"{dash} d=\"M{a} {b}H{c}\"/>"));
            }
            svg.text(x + 20.0, y + 12.0, "name", "start", &text);
            x += room;
        }
        y + 20.0
    }

    fn described(&self) -> String {
        if !self.description.is_empty() {
            return self.description.clone();
        }
        let of = |s: &Series| {
            let finite: Vec<f64> = s.points.iter().map(|p| p.1).filter(|&v| usable(v)).collect();
            match (finite.first(), finite.last()) {
                (Some(&a), Some(&b)) => {
                    format!("{}: {} points, from {} to {}", s.name, finite.len(), number(a), number(b))
                }
                _ => format!("{}: no data", s.name),
            }
        };
        let series: Vec<String> = self.series.iter().filter(|s| s.mark != Mark::Faint).take(20).map(of).collect();
        format!("{} over {}. {}", self.y_label, self.x_label, series.join("; "))
    }
}

/// The precision-recall curve of one class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassCurve {
    /// The class's name.
    pub name: String,
    /// (recall, precision).
    pub points: Vec<(f64, f64)>,
    /// Average precision, shown after the name.
    pub ap: f64,
}

/// Precision over recall for several classes.
pub fn precision_recall(title: impl Into<String>, classes: Vec<ClassCurve>) -> Chart {
    let mut chart = Chart::new(title, "recall", "precision");
    chart.x_range = Some((0.0, 1.0));
    chart.y_range = Some((0.0, 1.04));
    chart.series =
        classes.into_iter().map(|c| Series::line(format!("{} {}", c.name, number(c.ap)), c.points)).collect();
    chart
}

fn draw_series(svg: &mut Svg, series: &Series, i: usize, x: &Axis, y: &Axis) {
    let ink = colour(i);
    let place = |&(px, py): &(f64, f64)| Some((x.at(px).filter(|_| usable(py))?, y.at(py)?));
    let placed: Vec<Option<(f64, f64)>> = series.points.iter().map(place).collect();
    let dot = |svg: &mut Svg, (cx, cy): (f64, f64), r: f64| {
        svg.push(format_args!("<circle cx=\"{}\" cy=\"{}\" r=\"{r}\" fill=\"{ink}\"/>", px(cx), px(cy)));
    };
    if series.mark == Mark::Points {
        // More dots than this hide each other; evenly spaced ones stand for all.
        let every = placed.len().div_ceil(4000).max(1);
        placed.iter().step_by(every).flatten().for_each(|&p| dot(svg, p, 3.0));
        return;
    }
    let few = placed.len() <= 25 && series.mark == Mark::Line;
    let mut path = String::new();
    for run in runs(&placed) {
        if few || run.len() == 1 {
            run.iter().for_each(|&p| dot(svg, p, 2.8));
        }
        if run.len() == 1 {
            continue;
        }
        for (n, (a, b)) in thinned(run).into_iter().enumerate() {
            path.push(if n == 0 { 'M' } else { 'L' });
            path.push_str(&format!("{} {}", px(a), px(b)));
        }
    }
    if !path.is_empty() {
        let faint = if series.mark == Mark::Faint { " faint" } else { "" };
        svg.push(format_args!("<path class=\"line{faint}\" stroke=\"{ink}\"{} d=\"{path}\"/>", dashes(i)));
    }
}

/// The series between its gaps. In a long series, a gap that is narrower than a pixel is none.
fn runs(placed: &[Option<(f64, f64)>]) -> Vec<Vec<(f64, f64)>> {
    let narrow = if placed.len() > 600 { 1.0 } else { 0.0 };
    let mut runs: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut gap = true;
    for point in placed {
        let Some(point) = point else {
            gap = true;
            continue;
        };
        match runs.last_mut() {
            Some(run) if !gap || run.last().is_some_and(|l| (point.0 - l.0).abs() < narrow) => run.push(*point),
            _ => runs.push(vec![*point]),
        }
        gap = false;
    }
    runs
}

/// At most four points a pixel column (first, lowest, highest, last), which draw the same line; runs that go back
/// and forth are left as they are unless they are very long.
fn thinned(run: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if run.len() < 600 {
        return run;
    }
    if run.windows(2).any(|w| w[1].0 < w[0].0) {
        let every = run.len().div_ceil(4000).max(1);
        return run.into_iter().step_by(every).collect();
    }
    let mut kept = Vec::new();
    for column in run.chunk_by(|a, b| a.0.floor() == b.0.floor()) {
        let extreme = |sign: f64| {
            let better = |a: &usize, b: &usize| (sign * column[*a].1).total_cmp(&(sign * column[*b].1));
            (0..column.len()).max_by(better).unwrap_or(0)
        };
        let mut order = [0, extreme(-1.0), extreme(1.0), column.len() - 1];
        order.sort_unstable();
        kept.extend(
            order.into_iter().enumerate().filter(|&(n, j)| n == 0 || order[n - 1] != j).map(|(_, j)| column[j]),
        );
    }
    kept
}
