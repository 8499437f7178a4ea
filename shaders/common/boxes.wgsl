// Boxes as corners (xmin, ymin, xmax, ymax) and priors as (centre x, centre y, width, height), fractions of the image.
// Twin: src/cpu/boxes.rs.
fn box_area(a: vec4<f32>) -> f32 {
    return (a.z - a.x) * (a.w - a.y);
}

fn box_intersection(a: vec4<f32>, b: vec4<f32>) -> f32 {
    let size = max(min(a.zw, b.zw) - max(a.xy, b.xy), vec2<f32>(0.0));
    return size.x * size.y;
}

// Intersection over union; 0 for two boxes without area.
fn box_iou(a: vec4<f32>, b: vec4<f32>) -> f32 {
    let inter = box_intersection(a, b);
    let whole = box_area(a) + box_area(b) - inter;
    if whole <= 0.0 { return 0.0; }
    return inter / whole;
}

fn prior_corners(p: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(p.xy - 0.5 * p.zw, p.xy + 0.5 * p.zw);
}

// Offsets of a box from a prior: centre difference / (size v0), log of the size ratio / v1.
fn box_encode(b: vec4<f32>, p: vec4<f32>, v0: f32, v1: f32) -> vec4<f32> {
    let centre = (0.5 * (b.xy + b.zw) - p.xy) / (v0 * p.zw);
    return vec4<f32>(centre, log((b.zw - b.xy) / p.zw) / v1);
}

// The reverse, to corners. The exponent stops at 80, far above any size, so that no infinity arises.
fn box_decode(l: vec4<f32>, p: vec4<f32>, v0: f32, v1: f32) -> vec4<f32> {
    let centre = p.xy + l.xy * v0 * p.zw;
    let size = p.zw * exp(min(l.zw * v1, vec2<f32>(80.0)));
    let corner = centre - 0.5 * size;
    return vec4<f32>(corner, corner + size);
}
