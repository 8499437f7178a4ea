//! Text on pictures, with the one font that is compiled in.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, Glyph, ScaleFont, point};
use image::RgbImage;

/// Latin, Greek and Cyrillic of DejaVu Sans Condensed Bold; its licence is beside it.
static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the bytes are compiled in; every drawing test loads them")]
    FontRef::try_from_slice(include_bytes!("../../assets/label-font.ttf")).expect("assets/label-font.ttf is a font")
});

/// Distance from the top of a line of text to its baseline and to its bottom, in pixels, for a font size in pixels.
pub fn line_metrics(size: f32) -> (f32, f32) {
    let font = FONT.as_scaled(size);
    (font.ascent(), font.ascent() - font.descent())
}

/// Width in pixels of one line of `text`. Characters that the font lacks show as its empty box; line breaks and other
/// control characters as spaces.
pub fn text_width(text: &str, size: f32) -> f32 {
    lay_out(text, size).1
}

/// Draws one line of `text` with the top left corner of its line box at (x, y); what falls outside is cut.
pub fn draw_text(image: &mut RgbImage, text: &str, x: f32, y: f32, size: f32, colour: [u8; 3]) {
    let baseline = y + line_metrics(size).0;
    for mut glyph in lay_out(text, size).0 {
        glyph.position = point(glyph.position.x + x, baseline);
        let Some(outline) = FONT.outline_glyph(glyph) else { continue };
        let at = outline.px_bounds().min;
        outline.draw(|i, j, cover| {
            let (px, py) = (at.x as i64 + i64::from(i), at.y as i64 + i64::from(j));
            blend(image, px, py, colour, cover);
        });
    }
}

/// The longest beginning of `text` that is at most `width` pixels wide, with an ellipsis where something is missing;
/// at least one character.
pub fn fit(text: &str, size: f32, width: f32) -> String {
    if text_width(text, size) <= width {
        return text.to_string();
    }
    let characters: Vec<char> = text.chars().collect();
    let shortened = |n: usize| characters[..n].iter().collect::<String>().trim_end().to_string() + "…";
    // Widths grow with the number of characters, so a bisection finds the last that fits, in few layouts.
    let (mut low, mut high) = (1, characters.len());
    while low + 1 < high {
        let middle = low.midpoint(high);
        if text_width(&shortened(middle), size) <= width { low = middle } else { high = middle }
    }
    shortened(low.min(characters.len()))
}

/// Blends `colour` over a pixel with weight `alpha` in 0..=1; outside the image nothing happens.
pub(super) fn blend(image: &mut RgbImage, x: i64, y: i64, colour: [u8; 3], alpha: f32) {
    if alpha <= 0.0 || x < 0 || y < 0 || x >= i64::from(image.width()) || y >= i64::from(image.height()) {
        return;
    }
    let pixel = image.get_pixel_mut(x as u32, y as u32);
    for (channel, ink) in pixel.0.iter_mut().zip(colour) {
        let old = f32::from(*channel);
        *channel = (old + (f32::from(ink) - old) * alpha.min(1.0) + 0.5) as u8;
    }
}

fn lay_out(text: &str, size: f32) -> (Vec<Glyph>, f32) {
    let font = FONT.as_scaled(size);
    let mut glyphs = Vec::new();
    let mut x = 0.0;
    // Longer labels than this are never readable; it bounds the work on hostile names.
    for character in text.chars().take(400) {
        let id = font.glyph_id(if character.is_control() { ' ' } else { character });
        if let Some(previous) = glyphs.last().map(|g: &Glyph| g.id) {
            x += font.kern(previous, id);
        }
        glyphs.push(id.with_scale_and_position(size, point(x, 0.0)));
        x += font.h_advance(id);
    }
    (glyphs, x)
}
