// Which of the four lanes of channel vector `v` are channels, the others being padding that must stay 0.
fn lane_mask(v: u32, channels: u32) -> vec4<bool> {
    return vec4<u32>(4u * v) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(channels);
}
