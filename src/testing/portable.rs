//! Every kernel as SPIR-V, MSL, HLSL and GLSL, written by the same naga back ends that wgpu uses, without any of the
//! platforms at hand. What each kernel needs of a device comes along ([`portability_table`]).
//!
//! The options are those of wgpu on a plain device: indices are kept inside their buffers, loops are bounded, workgroup
//! memory starts at zero. Each target is the oldest one that wgpu accepts here:
//!
//! | target | version | resource (group g, binding b) |
//! |---|---|---|
//! | SPIR-V | 1.3 (Vulkan 1.1), capability Shader only | set g, binding b |
//! | MSL | 2.0 | `[[buffer(i)]]`, i counting in binding order; the last one holds the sizes of runtime arrays |
//! | HLSL | shader model 5.1 | register b (`b` uniform, `t` read, `u` read_write), space g |
//! | GLSL | ES 3.10 compute | `binding = i`, counting uniform blocks and storage blocks separately |

use std::fmt::Write as _;
use std::str::FromStr;

use naga::back::{glsl, hlsl, msl, spv};
use naga::ir::ShaderStage;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};

use super::reflect::{ResourceKind, Shader};
use crate::plan::{Kernel, Plan, StepKind};
use crate::{Error, Result, ops};

/// A language that kernels are written in for a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// Vulkan.
    Spirv,
    /// Metal.
    Msl,
    /// Direct3D 12.
    Hlsl,
    /// OpenGL (ES).
    Glsl,
}

impl Target {
    /// All of them.
    pub const ALL: [Target; 4] = [Target::Spirv, Target::Msl, Target::Hlsl, Target::Glsl];

    /// The usual file ending.
    pub fn extension(self) -> &'static str {
        match self {
            Target::Spirv => "spv",
            Target::Msl => "metal",
            Target::Hlsl => "hlsl",
            Target::Glsl => "comp",
        }
    }

    /// Its name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Target::Spirv => "SPIR-V 1.3",
            Target::Msl => "MSL 2.0",
            Target::Hlsl => "HLSL 5.1",
            Target::Glsl => "GLSL ES 3.10",
        }
    }
}

impl FromStr for Target {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        match s.to_ascii_lowercase().as_str() {
            "spirv" | "spv" => Ok(Target::Spirv),
            "msl" | "metal" => Ok(Target::Msl),
            "hlsl" => Ok(Target::Hlsl),
            "glsl" => Ok(Target::Glsl),
            _ => Err(Error::config("--emit", format!("{s} is no shader language"), "Give spirv, msl, hlsl or glsl.")),
        }
    }
}

/// Writes a shader, whose constants have been replaced and whose entry point is `main`, for a target.
///
/// # Errors
/// [`Error::Shader`] with the back end's message.
pub fn write(shader: &Shader, target: Target) -> Result<Vec<u8>> {
    let failed = |e: &dyn std::fmt::Display| Error::Shader {
        name: shader.name.clone(),
        problem: format!("cannot be written as {}: {e}", target.title()),
    };
    let (module, info) = (&shader.module, &shader.info);
    let resources = shader.resources(0)?;
    let at = |r: &super::reflect::Resource| naga::ir::ResourceBinding { group: r.group, binding: r.binding };
    let restrict = BoundsCheckPolicies {
        index: BoundsCheckPolicy::Restrict,
        buffer: BoundsCheckPolicy::Restrict,
        image_load: BoundsCheckPolicy::Restrict,
        binding_array: BoundsCheckPolicy::Unchecked,
    };
    match target {
        Target::Spirv => {
            let options = spv::Options {
                lang_version: (1, 3),
                flags: spv::WriterFlags::DEBUG,
                fake_missing_bindings: false,
                binding_map: resources
                    .iter()
                    .map(|r| {
                        let place =
                            spv::BindingInfo { descriptor_set: r.group, binding: r.binding, ..Default::default() };
                        (at(r), place)
                    })
                    .collect(),
                capabilities: Some([spv::Capability::Shader].into_iter().collect()),
                bounds_check_policies: restrict,
                zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::Polyfill,
                ..Default::default()
            };
            let entry = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: "main".to_string() };
            let words = spv::write_vec(module, info, &options, Some(&entry)).map_err(|e| failed(&e))?;
            Ok(words.iter().flat_map(|w| w.to_le_bytes()).collect())
        }
        Target::Msl => {
            let mut places = msl::EntryPointResources::default();
            for (slot, r) in resources.iter().enumerate() {
                let place = msl::BindTarget {
                    buffer: Some(slot as u8),
                    mutable: r.kind == ResourceKind::StorageReadWrite,
                    ..Default::default()
                };
                places.resources.insert(at(r), place);
            }
            places.sizes_buffer = Some(resources.len() as u8);
            let options = msl::Options {
                lang_version: (2, 0),
                per_entry_point_map: [("main".to_string(), places)].into_iter().collect(),
                fake_missing_bindings: false,
                bounds_check_policies: restrict,
                ..Default::default()
            };
            let pipeline = msl::PipelineOptions {
                entry_point: Some((ShaderStage::Compute, "main".to_string())),
                ..Default::default()
            };
            let (text, names) = msl::write_string(module, info, &options, &pipeline).map_err(|e| failed(&e))?;
            for n in names.entry_point_names {
                n.map_err(|e| failed(&e))?;
            }
            Ok(text.into_bytes())
        }
        Target::Hlsl => {
            let options = hlsl::Options {
                shader_model: hlsl::ShaderModel::V5_1,
                binding_map: resources
                    .iter()
                    .map(|r| {
                        let place = hlsl::BindTarget {
                            space: r.group as u8,
                            register: r.binding,
                            restrict_indexing: true,
                            ..Default::default()
                        };
                        (at(r), place)
                    })
                    .collect(),
                fake_missing_bindings: false,
                // `num_workgroups` is not a system value in HLSL: it comes in a constant buffer of its own.
                special_constants_binding: Some(hlsl::BindTarget { space: 1, ..Default::default() }),
                ..Default::default()
            };
            let pipeline = hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, "main".to_string())) };
            let mut text = String::new();
            let names = hlsl::Writer::new(&mut text, &options, &pipeline)
                .write(module, info, None)
                .map_err(|e| failed(&e))?
                .entry_point_names;
            for n in names {
                n.map_err(|e| failed(&e))?;
            }
            Ok(text.into_bytes())
        }
        Target::Glsl => {
            let mut options = glsl::Options {
                version: glsl::Version::new_gles(310),
                writer_flags: glsl::WriterFlags::empty(),
                ..Default::default()
            };
            let (mut uniforms, mut buffers) = (0u8, 0u8);
            for r in &resources {
                let slot = if r.kind == ResourceKind::Uniform { &mut uniforms } else { &mut buffers };
                options.binding_map.insert(at(r), *slot);
                *slot += 1;
            }
            let pipeline = glsl::PipelineOptions {
                shader_stage: ShaderStage::Compute,
                entry_point: "main".to_string(),
                multiview: None,
            };
            let mut text = String::new();
            glsl::Writer::new(&mut text, module, info, &options, &pipeline, BoundsCheckPolicies::default())
                .and_then(|mut w| w.write())
                .map_err(|e| failed(&e))?;
            Ok(text.into_bytes())
        }
    }
}

/// A kernel of the table with these constants, for a target.
///
/// # Errors
/// [`Error::Shader`] when the shader is invalid or the back end refuses it.
pub fn emit(kernel: &Kernel, constants: &[(&str, f64)], target: Target) -> Result<Vec<u8>> {
    write(&specialised(kernel, constants)?, target)
}

fn specialised(kernel: &Kernel, constants: &[(&str, f64)]) -> Result<Shader> {
    Shader::parse(&format!("shaders/{}.wgsl", kernel.name), &kernel.text())?.with_constants(constants)
}

/// The file stem for a kernel with these constants, e.g. `conv2d-KH3-KW3`.
pub fn file_stem(kernel: &Kernel, constants: &[(&str, f64)]) -> String {
    constants.iter().fold(kernel.name.to_string(), |s, (n, v)| format!("{s}-{n}{v}"))
}

/// Kernels and constants of a plan that [`ops::variants`] does not name, as file stems: the product would run there
/// what the portability tests have not seen.
pub fn unlisted(plan: &Plan) -> Vec<String> {
    let known = ops::variants();
    let mut out = Vec::new();
    for s in &plan.steps {
        if let StepKind::Dispatch { kernel, constants, .. } = &s.kind {
            let listed = known.iter().any(|(k, sets)| k.name == kernel.name && sets.contains(constants));
            let stem = file_stem(kernel, constants);
            if !listed && !out.contains(&stem) {
                out.push(stem);
            }
        }
    }
    out
}

/// `docs/portability.md`: a row a kernel, with what it needs of a device and whether each back end writes it with every
/// set of constants that the product uses.
///
/// # Errors
/// [`Error::Shader`] for shaders that naga does not accept at all.
pub fn portability_table() -> Result<String> {
    let mut out = String::from(
        "# Portability\n\n\
         Every kernel with every set of constants that the product uses, through the shader writers of naga, which are\n\
         those of wgpu. Made by a test; after a change: `AUTOBIDET_BLESS=1 cargo test --release --test tests portability`.\n\
         `autobidet shaders --emit spirv|msl|hlsl|glsl --out DIR` writes the files.\n\n\
         The WebGPU floor, which every adapter and browser offers: 8 storage buffers, 256 invocations a workgroup,\n\
         16384 bytes of workgroup memory. No kernel needs an optional feature.\n\n\
         | kernel | storage buffers | workgroup | workgroup bytes | sets of constants |",
    );
    for t in Target::ALL {
        let _ = write!(out, " {} |", t.title());
    }
    out.push_str("\n|---|---|---|---|---|---|---|---|---|\n");
    let mut all = ops::variants();
    all.sort_by_key(|(k, _)| k.name);
    for (kernel, sets) in all {
        let (mut groups, mut bytes) = (Vec::new(), 0);
        let mut verdict = [None; 4];
        for constants in &sets {
            let shader = specialised(kernel, constants)?;
            let [x, y, z] = shader.module.entry_points[0].workgroup_size;
            let text = match (y, z) {
                (1, 1) => x.to_string(),
                (_, 1) => format!("{x}x{y}"),
                _ => format!("{x}x{y}x{z}"),
            };
            if !groups.contains(&text) {
                groups.push(text);
            }
            bytes = shader.workgroup_bytes().max(bytes);
            for (v, t) in verdict.iter_mut().zip(Target::ALL) {
                if write(&shader, t).is_err() {
                    *v = Some("**no**");
                }
            }
        }
        let _ = write!(
            out,
            "| `{}` | {} | {} | {bytes} | {} |",
            kernel.name,
            kernel.bindings.len(),
            groups.join(", "),
            sets.len()
        );
        for v in verdict {
            let _ = write!(out, " {} |", v.unwrap_or("yes"));
        }
        out.push('\n');
    }
    Ok(out)
}
