// The index of an invocation in a dispatch that was spread over two dimensions (plan::flat_groups), for workgroups of
// `size` invocations in x and one row in y.
fn flat_index(gid: vec3<u32>, groups: vec3<u32>, size: u32) -> u32 {
    return gid.y * (groups.x * size) + gid.x;
}

// The same for the workgroup itself.
fn flat_group(wid: vec3<u32>, groups: vec3<u32>) -> u32 {
    return wid.y * groups.x + wid.x;
}
