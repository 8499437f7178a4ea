//! The kernel table against the shaders, and the shaders against the other platforms' languages. No GPU.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use autobidet::config::{OptimizerName, RunConfig};
use autobidet::models::Detector;
use autobidet::ops;
use autobidet::plan::{Access, Binding, DimsLayout, Elem, Kernel, Plan, PlanLimits, StepKind};
use autobidet::testing::portable::{Target, emit, file_stem, portability_table};
use autobidet::testing::reflect::{Shader, check_kernel};
use autobidet::testing::selftest::own_cases;
use autobidet::train::training_plan;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn stems(folder: &str) -> BTreeSet<String> {
    let files = std::fs::read_dir(root().join(folder)).unwrap().map(|f| f.unwrap().path());
    let wgsl = files.filter(|f| f.extension().is_some_and(|e| e == "wgsl"));
    wgsl.map(|f| f.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn every_kernel_is_what_its_row_says() {
    let wrong: Vec<String> = ops::kernels().filter_map(|k| check_kernel(k).err()).map(|e| e.to_string()).collect();
    assert!(wrong.is_empty(), "{} kernels:\n{}", wrong.len(), wrong.join("\n"));
    assert!(ops::kernels().count() > 0);
}

#[test]
fn table_and_folder_hold_the_same_kernels() {
    let mut rows = BTreeMap::new();
    for k in ops::kernels() {
        *rows.entry(k.name.to_string()).or_insert(0) += 1;
        let file = root().join("shaders").join(format!("{}.wgsl", k.name));
        assert_eq!(std::fs::read_to_string(file).unwrap(), k.source, "{}: row and file differ", k.name);
    }
    let twice: Vec<_> = rows.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "in the table more than once: {twice:?}");
    assert_eq!(rows.into_keys().collect::<BTreeSet<_>>(), stems("shaders"), "left: table, right: shaders/");
    let declared = include_str!("../src/ops/mod.rs");
    for stem in stems("shaders/common") {
        assert!(declared.contains(&format!("shaders/common/{stem}.wgsl")), "shared file {stem} is not in ops/mod.rs");
    }
}

/// A kernel that nothing runs is not tested by anything that is said of all of them: each is a step of some case of the
/// self-test (which holds it against its twin) or of a network's plan.
#[test]
fn every_kernel_is_a_step_of_some_case_or_network() {
    let mut plans: Vec<Plan> = own_cases().map(|c| c.plan(PlanLimits::HOST).unwrap()).collect();
    let kernels = |plan: &Plan| -> BTreeSet<&'static str> {
        let name = |s: &autobidet::plan::Step| match &s.kind {
            StepKind::Dispatch { kernel, .. } => Some(kernel.name),
            _ => None,
        };
        plan.steps.iter().filter_map(name).collect()
    };
    let in_cases: BTreeSet<_> = plans.iter().flat_map(kernels).collect();
    for (method, optimizer) in [("float", OptimizerName::Sgd), ("bidet-sc", OptimizerName::Adam)] {
        let mut config = RunConfig::default();
        config.model.method = method.parse().unwrap();
        config.model.classes = vec!["a".into(), "b".into()];
        config.train.optimizer = optimizer;
        let detector = Detector::new(&config.model).unwrap();
        plans.push(training_plan(&detector, &config, PlanLimits::HOST, 2).unwrap().0);
    }
    let all: BTreeSet<_> = plans.iter().flat_map(kernels).collect();
    let idle: Vec<_> = ops::kernels().map(|k| k.name).filter(|n| !all.contains(n)).collect();
    assert!(idle.is_empty(), "no case and no network runs {idle:?}");
    let only: Vec<_> = all.difference(&in_cases).collect();
    println!("{} kernels, all but {only:?} in the self-test's cases", all.len());
}

/// A row with a good shader, to be made bad.
const GOOD: &str = "
struct SumDims { n: u32, gain: f32 }
override WG: u32 = 64u;
@group(0) @binding(0) var<uniform> dims: SumDims;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
var<workgroup> part: array<f32, WG>;
@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) i: u32) {
    part[i] = x[i % dims.n] * dims.gain;
    workgroupBarrier();
    y[i] = vec4<f32>(part[(i + 1u) % WG]);
}
";

const ROW: Kernel = Kernel {
    name: "sum",
    source: GOOD,
    common: &[],
    dims: DimsLayout { name: "SumDims", size: 8, fields: &[("n", 0), ("gain", 4)], types: &["u32", "f32"] },
    bindings: &[
        Binding { name: "x", access: Access::Read, elem: Elem::F32 },
        Binding { name: "y", access: Access::Write, elem: Elem::F32 },
    ],
    overrides: &["WG"],
    twin: |_| (),
};

#[test]
fn the_check_accepts_a_good_row_and_names_what_is_wrong_in_a_bad_one() {
    check_kernel(&ROW).unwrap();
    let edits: &[(&str, &str, &[&str])] = &[
        ("dims.gain", "dims.gian", &["shaders/sum.wgsl:10", "gian"]),
        ("fn main", "fn other", &["one entry point", "other"]),
        ("read> x", "read_write> x", &["x", "StorageRead"]),
        ("> x:", "> z:", &["shaders/sum.wgsl:10:15", "unknown identifier"]),
        (
            "x: array<f32>",
            "x: array<f32>;\n@group(0) @binding(3) var<storage, read> q: array<u32>",
            &["q", "not in the row"],
        ),
        (
            "n: u32, gain",
            "m: u32, n: u32, gain",
            &["field 0", "`n: u32 at byte 0` in Rust, `m: u32 at byte 0`", "12 in the shader"],
        ),
        ("gain: f32", "gain: u32", &[]),
        ("array<vec4<f32>>", "array<vec4<i32>>", &[]),
        ("override WG: u32 = 64u;", "override WG: u32 = 512u;", &["512", "256 invocations"]),
        ("override WG: u32 = 64u;", "override WG: u32;", &["no default"]),
        ("override WG: u32 = 64u;", "override WG: u32 = 64u; override KH: u32 = 3u;", &["KH", "not used"]),
        ("array<f32, WG>", "array<f32, 4097>", &["16388 bytes"]),
        ("var<workgroup>", "var<private> idle: u32; var<workgroup>", &["idle", "not used"]),
        ("y[i] = ", "y[i] += ", &["make it `update`"]),
        ("@group(0) @binding(2)", "@group(1) @binding(2)", &["group 0"]),
    ];
    for (from, to, says) in edits {
        let source: &'static str = Box::leak(GOOD.replace(from, to).into_boxed_str());
        let result = check_kernel(&Kernel { source, ..ROW });
        assert_ne!(source, GOOD, "`{from}` is not in the shader");
        let message = result.expect_err(to).to_string();
        for s in *says {
            assert!(message.contains(s), "`{to}`: expected `{s}` in:\n{message}");
        }
    }
    let typed = Kernel { dims: DimsLayout { types: &["u32", "u32"], ..ROW.dims }, ..ROW };
    assert!(
        check_kernel(&typed).unwrap_err().to_string().contains("`gain: u32 at byte 4` in Rust, `gain: f32 at byte 4`")
    );
    let y = Binding { name: "y", access: Access::Write, elem: Elem::I32 };
    let integers = Kernel { bindings: Box::leak(Box::new([ROW.bindings[0], y])), ..ROW };
    assert!(check_kernel(&integers).unwrap_err().to_string().contains("elements are i32 in the row and f32"));
    assert!(check_kernel(&Kernel { overrides: &[], ..ROW }).unwrap_err().to_string().contains("override constants"));
}

#[test]
fn nine_storage_buffers_and_optional_features_are_refused() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "k"];
    let mut source = String::from("struct D { n: u32 }\n@group(0) @binding(0) var<uniform> dims: D;\n");
    let mut sum = String::from("dims.n");
    for (i, n) in names.iter().enumerate() {
        source += &format!("@group(0) @binding({}) var<storage, read_write> {n}: array<u32>;\n", i + 1);
        sum += &format!(" + {n}[0]");
    }
    source += "@compute @workgroup_size(1) fn main() { let s = ";
    source += &sum;
    source += ";\n";
    names.iter().for_each(|n| source += &format!("{n}[1] = s;\n"));
    source += "}";
    let bindings: Vec<Binding> =
        names.iter().map(|name| Binding { name, access: Access::ReadWrite, elem: Elem::U32 }).collect();
    let row = Kernel {
        source: Box::leak(source.into_boxed_str()),
        dims: DimsLayout { name: "D", size: 4, fields: &[("n", 0)], types: &["u32"] },
        bindings: Box::leak(bindings.into_boxed_slice()),
        overrides: &[],
        ..ROW
    };
    assert!(check_kernel(&row).unwrap_err().to_string().contains("9 storage buffers"));
    assert!(Shader::parse("half.wgsl", "enable f16;\nvar<private> h: f16;").is_err());
    assert!(Shader::parse("wide.wgsl", "var<private> h: f64;").is_err());
}

/// Runs `spirv-val` on a file. `None` where the program is missing and that is allowed.
fn spirv_val(file: &PathBuf) -> Option<Result<(), String>> {
    match Command::new("spirv-val").args(["--target-env", "vulkan1.1"]).arg(file).output() {
        Ok(o) if o.status.success() => Some(Ok(())),
        Ok(o) => Some(Err(String::from_utf8_lossy(&[o.stdout, o.stderr].concat()).into_owned())),
        Err(e) => {
            let skip = std::env::var("AUTOBIDET_TEST_SPIRV_VAL").is_ok_and(|v| v == "skip");
            let remedy = "install spirv-tools, or set AUTOBIDET_TEST_SPIRV_VAL=skip";
            assert!(skip || std::env::var_os("CI").is_none(), "spirv-val cannot be run ({e}): {remedy}");
            println!("spirv-val cannot be run ({e}), SPIR-V is not validated: {remedy}");
            None
        }
    }
}

#[test]
fn every_kernel_goes_through_all_four_writers() {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    let mut validate = true;
    for (kernel, sets) in ops::variants() {
        assert!(!sets.is_empty(), "{}: no set of constants", kernel.name);
        for constants in sets {
            let stem = file_stem(kernel, &constants);
            for target in Target::ALL {
                let bytes = match emit(kernel, &constants, target) {
                    Ok(b) => b,
                    Err(e) => {
                        wrong.push(e.to_string());
                        continue;
                    }
                };
                assert!(bytes.len() > 100, "{stem} as {target:?}: {} bytes", bytes.len());
                if target == Target::Spirv && validate {
                    let file = folder.path().join(format!("{stem}.spv"));
                    std::fs::write(&file, bytes).unwrap();
                    match spirv_val(&file) {
                        None => validate = false,
                        Some(Ok(())) => {}
                        Some(Err(e)) => wrong.push(format!("{stem}: spirv-val: {e}")),
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn constants_reach_the_written_shader() {
    let row = Kernel { name: "sum", ..ROW };
    let text = |c: &[(&str, f64)], t| String::from_utf8(emit(&row, c, t).unwrap()).unwrap();
    for (target, mark) in [(Target::Hlsl, "numthreads(128, 1, 1)"), (Target::Glsl, "local_size_x = 128")] {
        assert!(text(&[("WG", 128.0)], target).contains(mark));
        assert!(!text(&[], target).contains(mark));
    }
    assert!(text(&[], Target::Msl).contains("buffer(2)"));
    assert!(emit(&row, &[("KH", 3.0)], Target::Msl).is_err());
    assert_eq!(file_stem(&row, &[("WG", 128.0), ("KH", 3.0)]), "sum-WG128-KH3");
}

#[test]
fn portability_table_is_up_to_date() {
    let (file, want) = (root().join("docs/portability.md"), portability_table().unwrap());
    assert!(!want.contains("**no**"), "{want}");
    if std::env::var_os("AUTOBIDET_BLESS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &want).unwrap();
    }
    let got = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(got == want, "docs/portability.md is old; run the tests with AUTOBIDET_BLESS=1 and commit it");
}
