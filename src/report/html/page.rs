//! A page of any content in the reports' style: headings, tables, plots, pictures, facts. All text is escaped.

use std::fmt::Write;

use image::RgbImage;

use super::super::plot::{self, escape};
use super::Figure;
use super::picture::encode;
use crate::Result;

/// A page that is being written, top to bottom.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    html: String,
    /// Whether the heading is still open.
    head: bool,
}

/// One cell of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Text, at the left.
    Text(String),
    /// A number, at the right.
    Number(String),
}

impl Page {
    /// A page with its heading and a sentence under it.
    pub fn new(title: &str, lead: &str) -> Page {
        let mut page = Page { html: String::new(), head: true };
        page.put(format_args!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title><style>{}{}{}</style></head><body>\n\
             <header><h1>{title}</h1><p class=\"lead\">{}</p>",
            include_str!("../../../assets/report.css"),
            STYLE,
            plot::STYLE,
            escape(lead),
            title = escape(title),
        ));
        page
    }

    /// The figures that matter most; before the first section.
    pub fn headline(&mut self, figures: &[Figure]) -> &mut Page {
        self.raw("<dl class=\"figures\">");
        for f in figures {
            self.put(format_args!(
                "<div><dt>{}</dt><dd>{}</dd><dd>{}</dd></div>",
                escape(&f.label),
                escape(&f.value),
                escape(&f.note)
            ));
        }
        self.raw("</dl>");
        self
    }

    /// A section's heading.
    pub fn section(&mut self, heading: &str) -> &mut Page {
        self.body();
        self.put(format_args!("<h2>{}</h2>\n", escape(heading)));
        self
    }

    /// A smaller heading.
    pub fn heading(&mut self, heading: &str) -> &mut Page {
        self.body();
        self.put(format_args!("<h3>{}</h3>\n", escape(heading)));
        self
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) -> &mut Page {
        self.body();
        self.put(format_args!("<p>{}</p>\n", escape(text)));
        self
    }

    /// A paragraph of less weight: what something is, how it was computed.
    pub fn soft(&mut self, text: &str) -> &mut Page {
        self.body();
        self.put(format_args!("<p class=\"soft\">{}</p>\n", escape(text)));
        self
    }

    /// A table; a heading stands as its column's first cell does. On narrow screens it scrolls.
    pub fn table(&mut self, headings: &[&str], rows: &[Vec<Cell>]) -> &mut Page {
        self.body();
        self.raw("<div class=\"scroll\"><table><thead><tr>");
        for (i, h) in headings.iter().enumerate() {
            let class = match rows.first().and_then(|r| r.get(i)) {
                Some(Cell::Number(_)) => " class=\"n\"",
                _ => "",
            };
            self.put(format_args!("<th{class}>{}</th>", escape(h)));
        }
        self.raw("</tr></thead><tbody>\n");
        for row in rows {
            self.raw("<tr>");
            for cell in row {
                match cell {
                    Cell::Text(t) => self.put(format_args!("<td>{}</td>", escape(t))),
                    Cell::Number(t) => self.put(format_args!("<td class=\"n\">{}</td>", escape(t))),
                }
            }
            self.raw("</tr>\n");
        }
        self.raw("</tbody></table></div>\n");
        self
    }

    /// Plots side by side where there is room: SVG elements from [`super::super::plot`]'s `fragment()`. These are the one
    /// thing that is not escaped.
    pub fn plots(&mut self, svgs: &[String]) -> &mut Page {
        self.body();
        self.raw(if svgs.len() == 1 { "<div class=\"charts single\">" } else { "<div class=\"charts\">" });
        for svg in svgs {
            self.put(format_args!("<div>{svg}</div>\n"));
        }
        self.raw("</div>\n");
        self
    }

    /// Pictures in rows of `columns` with captions; the rows are as wide as the page.
    ///
    /// # Errors
    /// A picture that cannot be encoded.
    pub fn pictures(&mut self, columns: usize, pictures: &[(RgbImage, String)]) -> Result<&mut Page> {
        self.body();
        self.put(format_args!("<div class=\"sheet\" style=\"--columns:{}\">", columns.max(1)));
        for (picture, caption) in pictures {
            let jpeg = encode(picture, caption)?;
            let caption = escape(caption);
            self.put(format_args!(
                "<figure><img src=\"{}\" width=\"{}\" height=\"{}\" alt=\"{caption}\"><figcaption>{caption}</figcaption></figure>\n",
                jpeg.uri, jpeg.width, jpeg.height
            ));
        }
        self.raw("</div>\n");
        Ok(self)
    }

    /// (what, value) rows.
    pub fn facts(&mut self, rows: &[(String, String)]) -> &mut Page {
        self.body();
        self.raw("<div class=\"scroll\"><table class=\"facts\"><tbody>");
        for (what, value) in rows {
            self.put(format_args!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape(what), escape(value)));
        }
        self.raw("</tbody></table></div>\n");
        self
    }

    /// A command or a file, letter by letter; where `summary` is not empty, folded under it.
    pub fn code(&mut self, summary: &str, text: &str) -> &mut Page {
        self.body();
        match summary {
            "" => self.put(format_args!("<pre>{}</pre>\n", escape(text))),
            s => self.put(format_args!(
                "<details><summary>{}</summary><pre>{}</pre></details>\n",
                escape(s),
                escape(text)
            )),
        }
        self
    }

    /// The whole page.
    pub fn finish(mut self) -> String {
        self.body();
        let version = env!("CARGO_PKG_VERSION");
        self.put(format_args!("</main>\n<footer>autobidet {version}</footer>\n</body></html>\n"));
        self.html
    }

    fn body(&mut self) {
        if std::mem::take(&mut self.head) {
            self.raw("</header>\n<main>\n");
        }
    }

    fn raw(&mut self, html: &str) {
        self.html.push_str(html);
    }

    fn put(&mut self, html: std::fmt::Arguments) {
        // Writing to a String cannot fail.
        let _ = self.html.write_fmt(html);
    }
}

/// What the reports' style sheet does not have.
const STYLE: &str = "\
main>p:first-child{margin-top:22px}.single{max-width:780px}.scroll td:first-child{min-width:7em}\
.sheet{display:grid;grid-template-columns:repeat(var(--columns),minmax(0,1fr));gap:14px 12px;margin:16px 0}\
.sheet figure{margin:0}.sheet img{display:block;width:100%;height:auto;border-radius:6px;background:var(--panel)}\
@media(max-width:560px){.sheet{grid-template-columns:repeat(2,minmax(0,1fr))}}";
