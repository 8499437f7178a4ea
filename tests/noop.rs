//! wgpu's `noop` backend on the WebGPU floor: everything is validated, nothing is computed, no GPU is needed.

use std::sync::Arc;

use autobidet::gpu::{Gpu, Once, OnceBuffer, OnceKind};
use autobidet::testing::TestDevice;
use autobidet::testing::portable::unlisted;
use autobidet::testing::selftest::own_cases;

fn storage(binding: u32, bytes: &[u8]) -> OnceBuffer<'_> {
    OnceBuffer { group: 0, binding, kind: OnceKind::ReadWrite, bytes }
}

/// Runs a shader with `count` storage buffers on the noop device.
fn validate(gpu: &Arc<Gpu>, source: &str, count: u32, groups: [u32; 3]) -> autobidet::Result<Vec<Vec<u8>>> {
    let buffers: Vec<_> = (0..count).map(|i| storage(i, &[0; 16])).collect();
    gpu.run_once(&Once { label: "test", source, entry_point: "main", constants: &[], buffers: &buffers, groups })
}

/// A shader that increments each of `count` buffers.
fn increments(count: u32, workgroup: u32) -> String {
    let mut s = String::new();
    (0..count).for_each(|i| s += &format!("@group(0) @binding({i}) var<storage, read_write> b{i}: array<u32>;\n"));
    s += &format!("@compute @workgroup_size({workgroup}) fn main() {{\n");
    (0..count).for_each(|i| s += &format!("b{i}[0] += 1u;\n"));
    s + "}"
}

#[test]
fn what_the_floor_allows_passes() {
    let gpu = Gpu::noop().unwrap();
    let out = validate(&gpu, &increments(8, 256), 8, [65_535, 1, 1]).unwrap();
    assert_eq!(out, vec![vec![0u8; 16]; 8], "noop computes nothing");
    gpu.check().unwrap();
}

#[test]
fn what_the_floor_forbids_is_reported() {
    let gpu = Gpu::noop().unwrap();
    let cases: &[(&str, String, u32, [u32; 3], &str)] = &[
        ("a ninth storage buffer", increments(9, 64), 9, [1, 1, 1], "StorageBuffers"),
        ("512 invocations", increments(1, 512), 1, [1, 1, 1], "512"),
        ("70,000 workgroups", increments(1, 64), 1, [70_000, 1, 1], "70000"),
        ("a buffer that is not bound", increments(2, 64), 1, [1, 1, 1], "binding"),
        ("no such name", "@compute @workgroup_size(1) fn main() { x += 1u; }".to_string(), 0, [1, 1, 1], "x"),
        ("no entry point", "fn other() {}".to_string(), 0, [1, 1, 1], "main"),
    ];
    for (what, source, count, groups, says) in cases {
        let message = validate(&gpu, source, *count, *groups).expect_err(what).to_string();
        assert!(message.contains(says), "{what}: expected `{says}` in: {message}");
        // The error belongs to its caller; nothing of it is left for the next one.
        gpu.check().unwrap();
        validate(&gpu, &increments(1, 64), 1, [1, 1, 1]).unwrap();
    }
}

#[test]
fn sizes_that_webgpu_has_no_buffers_for_are_refused() {
    let gpu = Gpu::noop().unwrap();
    for bytes in [&[0u8; 0][..], &[0; 6]] {
        let source = increments(1, 1);
        let buffers = [storage(0, bytes)];
        let job = Once {
            label: "test",
            source: &source,
            entry_point: "main",
            constants: &[],
            buffers: &buffers,
            groups: [1, 1, 1],
        };
        assert!(gpu.run_once(&job).unwrap_err().to_string().contains("multiple of 4 bytes"));
    }
}

#[test]
fn plans_of_all_operations_are_valid_and_use_known_constants() {
    let gpu = Gpu::noop().unwrap();
    let mut cases = 0;
    for case in own_cases() {
        case.run(&TestDevice::Gpu(gpu.clone())).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let plan = case.plan(gpu.limits()).unwrap();
        assert!(!plan.steps.is_empty(), "{}", case.name);
        let unlisted = unlisted(&plan);
        assert!(unlisted.is_empty(), "{}: ops::variants() does not name {unlisted:?}", case.name);
        cases += 1;
    }
    assert!(cases > 0);
}
