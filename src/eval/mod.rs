//! Metrics over detections. Knows nothing of wgpu.
