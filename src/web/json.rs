//! What crosses the border, as JSON.

use serde::Serialize;
use serde_json::{Value, json};

use crate::detect::Detection;
use crate::gpu::Gpu;

/// A value of ours as text: none of them can fail to be written.
pub fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|e| json!({ "error": e.to_string() }).to_string())
}

/// The adapter and the limits that plans are built for.
pub fn adapter(gpu: &Gpu) -> Value {
    let (info, limits) = (gpu.info(), gpu.limits());
    json!({
        "name": info.name,
        "driver": info.driver,
        "description": info.driver_info,
        "software": !gpu.is_hardware(),
        "limits": {
            "max_binding": limits.max_binding,
            "max_buffer": limits.max_buffer,
            "max_groups": limits.max_groups,
            "alignment": limits.alignment,
        },
    })
}

/// Detections with their classes' names.
pub fn boxes(found: &[Detection], labels: &[String]) -> Value {
    let one = |d: &Detection| {
        let b = d.bbox;
        let label = labels.get(d.class).map_or("", String::as_str);
        json!({ "label": label, "class": d.class, "score": d.score, "box": [b.xmin, b.ymin, b.xmax, b.ymax] })
    };
    found.iter().map(one).collect()
}
