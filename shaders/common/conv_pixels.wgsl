// Which pixels the invocations of a convolution work on, and what a tap of one reads. The kernel declares `dims`: ConvDims.

/// A pixel of a map or phase of some rows and columns; n = dims.n says that it lies past the last one.
struct Pixel {
    n: u32,
    p: u32,
    q: u32,
}

fn pixel_at(rows: u32, cols: u32, i: u32) -> Pixel {
    let row = i / cols;
    return Pixel(row / rows, row % rows, i % cols);
}

fn next(rows: u32, cols: u32, a: Pixel) -> Pixel {
    var b = Pixel(a.n, a.p, a.q + 1u);
    if (b.q == cols) {
        b.q = 0u;
        b.p += 1u;
    }
    if (b.p == rows) {
        b.p = 0u;
        b.n += 1u;
    }
    return b;
}

/// Where the pixel that a tap reads begins, and whether there is such a pixel.
struct Tap {
    at: u32,
    inside: bool,
}

/// The input pixel, of `pitch` elements, that a tap of output pixel a reads. Unsigned arithmetic wraps, so that a
/// coordinate below 0 is past the end too.
fn input_tap(a: Pixel, kh: u32, kw: u32, pitch: u32) -> Tap {
    let row = a.p * dims.stride_h + kh * dims.dil_h - dims.pad_h;
    let col = a.q * dims.stride_w + kw * dims.dil_w - dims.pad_w;
    let inside = row < dims.h && col < dims.w && a.n < dims.n;
    let at = ((a.n * dims.h + row) * dims.w + col) * pitch;
    return Tap(select(0u, at, inside), inside);
}
