//! Plots as SVG text.
//!
//! A plot is drawn for a given size and scales with its container. Colours are CSS variables with a light and a dark
//! set that follow `prefers-color-scheme`; `svg()` gives a file that stands alone, `fragment()` the same without its
//! style, for a page that holds [`STYLE`] once. Every plot has a title and a description for screen readers. Values
//! that are not finite are gaps, and a plot without any data says so.
//!
//! - [`chart`]: lines, points, precision-recall curves on a pair of axes.
//! - [`bars`]: horizontal bars with names and values.
//! - [`forest`]: numbers with their intervals on a common axis.
//! - [`heat`]: a matrix of values.

pub mod axis;
pub mod bars;
pub mod chart;
pub mod forest;
pub mod heat;

pub use axis::Scale;
pub use bars::BarChart;
pub use chart::{Chart, ClassCurve, Mark, Series, precision_recall};
pub use forest::{Forest, ForestRow};
pub use heat::HeatMap;

use std::fmt::Write;

/// The style sheet of all plots. Series colours are told apart by people with any common colour blindness in the
/// order in which they are used, and have at least 3:1 contrast with the page in both schemes.
pub const STYLE: &str = "\
svg.plot{--ink:#1f2328;--soft:#5f6873;--rule:#dfe3e8;--page:#fff;--s0:#0b6bcb;--s1:#c2410c;--s2:#0a7d5a;--s3:#a3339b;\
--s4:#946300;--s5:#3f4bbd;--s6:#b4234f;--s7:#4c6b1f;\
font:12.5px system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;\
font-variant-numeric:tabular-nums;display:block;width:100%;height:auto}\
@media(prefers-color-scheme:dark){svg.plot{--ink:#e6e9ee;--soft:#9aa4b0;--rule:#303841;--page:#14181d;--s0:#5aaeff;\
--s1:#ff9a5c;--s2:#4cc9a0;--s3:#e48fe0;--s4:#e2b93b;--s5:#9aa5ff;--s6:#ff7d9c;--s7:#a9cf6b}}\
svg.plot text{fill:var(--soft)}svg.plot .title{fill:var(--ink);font-weight:600;font-size:14px}\
svg.plot .name{fill:var(--ink)}svg.plot .grid{stroke:var(--rule);stroke-width:1;shape-rendering:crispEdges}\
svg.plot .axis{stroke:var(--soft);stroke-width:1;shape-rendering:crispEdges}\
svg.plot .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\
svg.plot .faint{stroke-width:1;opacity:.3}";

/// How many series colours there are; further series repeat them with dashes.
const COLOURS: usize = 8;

/// Text for XML and HTML, with the five special characters escaped and control characters left out.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML 1.0 forbids these even as references.
            '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => out.push(c),
        }
    }
    out
}

/// The colour of series `i`, as a CSS value.
pub(super) fn colour(i: usize) -> String {
    format!("var(--s{})", i % COLOURS)
}

/// The dashes of series `i`: none for the first eight.
fn dashes(i: usize) -> &'static str {
    match i / COLOURS {
        0 => "",
        1 => " stroke-dasharray=\"6 4\"",
        _ => " stroke-dasharray=\"1.5 4\"",
    }
}

/// A value that can be placed on an axis; the rest are gaps.
fn usable(v: f64) -> bool {
    v.is_finite() && v.abs() < 1e300
}

/// A coordinate in hundredths of a pixel at most.
fn px(v: f64) -> String {
    let mut text = format!("{v:.1}");
    if text.ends_with(".0") {
        text.truncate(text.len() - 2);
    }
    if text == "-0" { "0".into() } else { text }
}

/// Width in pixels that `text` takes about, at the plots' font size: good enough to leave room.
fn width_of(text: &str) -> f64 {
    text.chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | 'I' | '.' | ',' | '\'' | '|' | ':' | ';' | ' ' | '!' => 4.4,
            'm' | 'w' | 'M' | 'W' | '%' | '@' => 11.8,
            'A'..='Z' => 8.8,
            c if (c as u32) > 0x2E80 => 12.5,
            _ => 7.9,
        })
        .sum()
}

/// The longest beginning of `text` that takes at most `width` pixels.
fn shorten(text: &str, width: f64) -> String {
    if width_of(text) <= width {
        return text.to_string();
    }
    let mut room = width - width_of("…");
    let kept: String = text
        .chars()
        .take_while(|c| {
            room -= width_of(c.encode_utf8(&mut [0; 4]));
            room >= 0.0
        })
        .collect();
    kept.trim_end().to_string() + "…"
}

/// An SVG document being written.
struct Svg {
    body: String,
    width: f64,
    height: f64,
    title: String,
    description: String,
}

impl Svg {
    fn new(width: f64, height: f64, title: &str, description: &str) -> Svg {
        Svg { body: String::new(), width, height, title: title.into(), description: description.into() }
    }

    fn text(&mut self, x: f64, y: f64, class: &str, anchor: &str, text: &str) {
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        let anchor = if anchor == "start" { String::new() } else { format!(" text-anchor=\"{anchor}\"") };
        self.push(format_args!("<text x=\"{}\" y=\"{}\"{class}{anchor}>{}</text>", px(x), px(y), escape(text)));
    }

    fn segment(&mut self, x0: f64, y0: f64, x1: f64, y1: f64, class: &str) {
        let (x0, y0, x1, y1) = (px(x0), px(y0), px(x1), px(y1));
        self.push(format_args!("<path class=\"{class}\" d=\"M{x0} {y0}L{x1} {y1}\"/>"));
    }

    fn push(&mut self, part: std::fmt::Arguments) {
        // Writing to a String cannot fail.
        let _ = self.body.write_fmt(part);
    }

    /// The element; `style` goes inside it where given.
    fn finish(self, style: Option<&str>) -> String {
        let id = fingerprint(&self.title, &self.body);
        let style = style.map(|s| format!("<style>{s}</style>")).unwrap_or_default();
        let namespace = if style.is_empty() { "" } else { " xmlns=\"http://www.w3.org/2000/svg\"" };
        format!(
            "<svg{namespace} class=\"plot\" viewBox=\"0 0 {w} {h}\" role=\"img\" aria-labelledby=\"t{id} d{id}\">\
             <title id=\"t{id}\">{title}</title><desc id=\"d{id}\">{description}</desc>{style}{body}</svg>",
            w = px(self.width),
            h = px(self.height),
            title = escape(if self.title.is_empty() { "plot" } else { &self.title }),
            description = escape(&self.description),
            body = self.body,
        )
    }
}

/// A name for a plot that depends on what it shows, so that the plots of a page do not share identifiers.
fn fingerprint(title: &str, body: &str) -> String {
    let fnv = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
    let hash = title.bytes().chain(body.bytes()).fold(0xcbf2_9ce4_8422_2325, fnv);
    format!("{:08x}", hash as u32)
}
