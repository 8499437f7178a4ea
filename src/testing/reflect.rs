//! What a shader declares, read with naga, and whether that is what its row of the kernel table says. No GPU is needed.
//!
//! The row and the shader are written by hand, side by side; nothing generates one from the other. [`check_kernel`]
//! compares them: names, numbers, access, element types, the uniform struct field by field, constants, limits.

use naga::front::wgsl;
use naga::ir::{
    AddressSpace, ArraySize, Expression, Function, GlobalVariable, Module, ScalarKind, ShaderStage, StorageAccess,
    Type, TypeInner,
};
use naga::proc::GlobalCtx;
use naga::valid::{Capabilities, GlobalUse, ModuleInfo, ValidationFlags, Validator};

use crate::plan::{Access, Elem, Kernel};
use crate::{Error, Result};

/// Most invocations in a workgroup (the WebGPU floor).
pub const MAX_INVOCATIONS: u32 = 256;
/// Most bytes of workgroup memory (the WebGPU floor).
pub const MAX_WORKGROUP_BYTES: u64 = 16 << 10;
/// Most storage buffers in a kernel (the WebGPU floor).
pub const MAX_STORAGE_BUFFERS: usize = 8;

/// A parsed and validated shader.
pub struct Shader {
    /// For messages.
    pub name: String,
    /// naga's representation.
    pub module: Module,
    /// naga's analysis of it.
    pub info: ModuleInfo,
}

/// How a resource is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceKind {
    /// `var<uniform>`.
    Uniform,
    /// `var<storage, read>`.
    StorageRead,
    /// `var<storage, read_write>`.
    StorageReadWrite,
}

/// A variable with a group and a binding number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its name in the shader.
    pub name: String,
    /// `@group`.
    pub group: u32,
    /// `@binding`.
    pub binding: u32,
    /// How it is bound.
    pub kind: ResourceKind,
    /// The scalar type it is made of, if there is only one and it has four bytes.
    pub elem: Option<Elem>,
    /// Whether the entry point reads it, or asks for its length.
    pub read: bool,
    /// Whether the entry point writes it.
    pub written: bool,
}

impl Shader {
    /// Parses and validates WGSL without any optional capability, so that what passes here is core WebGPU. `path` is
    /// what messages call the text.
    ///
    /// # Errors
    /// [`Error::Shader`] with naga's message, the line and the marked source.
    pub fn parse(path: &str, text: &str) -> Result<Shader> {
        let module = wgsl::parse_str(text).map_err(|e| shader_error(path, e.emit_to_string_with_path(text, path)))?;
        let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
            .validate(&module)
            .map_err(|e| shader_error(path, e.emit_to_string_with_path(text, path)))?;
        Ok(Shader { name: path.to_string(), module, info })
    }

    /// The same shader with its `override` constants replaced: the given ones by their values, the others by their
    /// defaults.
    ///
    /// # Errors
    /// [`Error::Shader`] for an unknown name, a constant without a value, or a value that makes the shader invalid.
    pub fn with_constants(&self, constants: &[(&str, f64)]) -> Result<Shader> {
        let mut values = naga::back::PipelineConstants::default();
        for (n, v) in constants {
            values.insert(n.to_string(), *v);
        }
        let (module, info) = naga::back::pipeline_constants::process_overrides(&self.module, &self.info, None, &values)
            .map_err(|e| shader_error(&self.name, format!("with constants {constants:?}: {e}")))?;
        Ok(Shader { name: self.name.clone(), module: module.into_owned(), info: info.into_owned() })
    }

    /// The uniform and storage variables, by group and binding, as the entry point of that index uses them.
    ///
    /// # Errors
    /// [`Error::Shader`] for resources of another kind (textures, samplers): kernels here have none.
    pub fn resources(&self, entry_point: usize) -> Result<Vec<Resource>> {
        let uses = self.info.get_entry_point(entry_point);
        let mut out = Vec::new();
        for (handle, var) in self.module.global_variables.iter() {
            let Some(at) = var.binding else { continue };
            let kind = match var.space {
                AddressSpace::Uniform => ResourceKind::Uniform,
                AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => {
                    ResourceKind::StorageReadWrite
                }
                AddressSpace::Storage { .. } => ResourceKind::StorageRead,
                other => {
                    let problem = format!("{} is neither uniform nor storage but {other:?}", name_of(var));
                    return Err(shader_error(&self.name, problem));
                }
            };
            let mut scalars = Vec::new();
            collect_scalars(&self.module, var.ty, &mut scalars);
            scalars.dedup();
            out.push(Resource {
                name: name_of(var).to_string(),
                group: at.group,
                binding: at.binding,
                kind,
                elem: match scalars[..] {
                    [one] => one,
                    _ => None,
                },
                read: uses[handle].intersects(GlobalUse::READ | GlobalUse::QUERY | GlobalUse::ATOMIC),
                written: uses[handle].intersects(GlobalUse::WRITE | GlobalUse::ATOMIC),
            });
        }
        out.sort_by_key(|r| (r.group, r.binding));
        Ok(out)
    }

    /// Bytes of workgroup memory. Constants must have been replaced ([`Shader::with_constants`]), or arrays sized by
    /// them count as one element.
    pub fn workgroup_bytes(&self) -> u64 {
        let globals = self.module.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::WorkGroup);
        globals.map(|(_, v)| bytes_of(&self.module.types[v.ty], self.module.to_ctx())).sum()
    }
}

fn shader_error(name: &str, problem: impl Into<String>) -> Error {
    Error::Shader { name: name.to_string(), problem: problem.into() }
}

fn name_of(v: &GlobalVariable) -> &str {
    v.name.as_deref().unwrap_or("a variable without a name")
}

fn bytes_of(t: &Type, ctx: GlobalCtx<'_>) -> u64 {
    // `None` is a size past 4 GiB.
    t.inner.try_size(ctx).map_or(u64::MAX >> 8, u64::from)
}

fn elem_of(s: naga::ir::Scalar) -> Option<Elem> {
    match (s.kind, s.width) {
        (ScalarKind::Float, 4) => Some(Elem::F32),
        (ScalarKind::Uint, 4) => Some(Elem::U32),
        (ScalarKind::Sint, 4) => Some(Elem::I32),
        _ => None,
    }
}

fn collect_scalars(module: &Module, ty: naga::Handle<Type>, out: &mut Vec<Option<Elem>>) {
    match &module.types[ty].inner {
        TypeInner::Scalar(s) | TypeInner::Atomic(s) => out.push(elem_of(*s)),
        TypeInner::Vector { scalar, .. } | TypeInner::Matrix { scalar, .. } => out.push(elem_of(*scalar)),
        TypeInner::Array { base, .. } => collect_scalars(module, *base, out),
        TypeInner::Struct { members, .. } => members.iter().for_each(|m| collect_scalars(module, m.ty, out)),
        _ => out.push(None),
    }
}

fn elem_name(e: Elem) -> &'static str {
    match e {
        Elem::F32 => "f32",
        Elem::U32 => "u32",
        Elem::I32 => "i32",
    }
}

/// Whether a kernel's shader is valid core WGSL and what its row of the table says.
///
/// Checked: one entry point `main` of the compute stage; the uniform struct `dims` at group 0, binding 0 with name,
/// fields, types, offsets and size of [`Kernel::dims`]; the storage buffers at bindings 1, 2, ... with name, access and
/// element type of [`Kernel::bindings`], each used as its row says; names of the `override` constants, each with a
/// default and each used; nothing declared in vain; with the defaults at most 256 invocations a workgroup and 16 KiB of
/// workgroup memory; at most 8 storage buffers; shared files without bindings, entry points and constants of their own.
///
/// # Errors
/// [`Error::Shader`] with everything that is wrong, one item a line.
pub fn check_kernel(kernel: &Kernel) -> Result<()> {
    let path = format!("shaders/{}.wgsl", kernel.name);
    let shader = Shader::parse(&path, &kernel.text())?;
    let mut problems = Vec::new();
    check_entry(&shader, &mut problems);
    if problems.is_empty() {
        check_resources(kernel, &shader, &mut problems)?;
        check_globals(&shader, &mut problems);
        check_overrides(kernel, &shader, &mut problems);
    }
    // Sizes mean something only when every constant has a value.
    if problems.is_empty() {
        check_sizes(&shader.with_constants(&[])?, &mut problems);
    }
    for c in kernel.common {
        for word in ["@group", "@compute", "override "] {
            if uncommented(c.source).contains(word) {
                problems.push(format!("shaders/common/{}.wgsl contains `{}`: only functions go there", c.name, word));
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(shader_error(&path, problems.join("\n  "))) }
}

fn uncommented(text: &str) -> String {
    text.lines().map(|l| l.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn check_entry(shader: &Shader, problems: &mut Vec<String>) {
    match &shader.module.entry_points[..] {
        [e] if e.name == "main" && e.stage == ShaderStage::Compute => {}
        other => {
            let found: Vec<String> = other.iter().map(|e| format!("{:?} {}", e.stage, e.name)).collect();
            problems.push(format!("expected one entry point, `main` of the compute stage, found {found:?}"));
        }
    }
}

fn check_resources(kernel: &Kernel, shader: &Shader, problems: &mut Vec<String>) -> Result<()> {
    let found = shader.resources(0)?;
    if found.iter().any(|r| r.group != 0) {
        problems.push("bindings must be in group 0".to_string());
    }
    match found.iter().find(|r| r.binding == 0) {
        Some(r) if r.kind == ResourceKind::Uniform && r.name == "dims" => check_dims(kernel, shader, problems),
        other => {
            problems.push(format!("binding 0: expected `var<uniform> dims: {}`, found {other:?}", kernel.dims.name))
        }
    }
    for (i, row) in kernel.bindings.iter().enumerate() {
        let number = i as u32 + 1;
        let Some(r) = found.iter().find(|r| r.binding == number) else {
            problems.push(format!("binding {number} ({}) of the row is not in the shader", row.name));
            continue;
        };
        if r.name != row.name {
            problems.push(format!("binding {number} is {} in the row and {} in the shader", row.name, r.name));
        }
        let want = if row.access == Access::Read { ResourceKind::StorageRead } else { ResourceKind::StorageReadWrite };
        if r.kind != want {
            problems
                .push(format!("{}: {:?} in the row needs {want:?}, the shader has {:?}", r.name, row.access, r.kind));
        }
        // Memory is shared by lifetimes, so the old contents of a `write` are another tensor's.
        if row.access == Access::Write && r.read {
            problems.push(format!("{} is `write` in the row, but the shader reads it: make it `update`", r.name));
        }
        if row.access != Access::Read && !r.written {
            problems.push(format!("{} is {:?} in the row, but the shader never writes it", r.name, row.access));
        }
        if r.elem != Some(row.elem) {
            problems.push(format!(
                "{}: elements are {} in the row and {} in the shader",
                r.name,
                elem_name(row.elem),
                r.elem.map_or("something else or a mixture", elem_name)
            ));
        }
    }
    for r in found.iter().filter(|r| r.binding as usize > kernel.bindings.len()) {
        problems.push(format!("binding {} ({}) of the shader is not in the row", r.binding, r.name));
    }
    let storage = found.iter().filter(|r| r.kind != ResourceKind::Uniform).count();
    if storage > MAX_STORAGE_BUFFERS {
        problems.push(format!("{storage} storage buffers; WebGPU guarantees {MAX_STORAGE_BUFFERS}"));
    }
    Ok(())
}

fn check_dims(kernel: &Kernel, shader: &Shader, problems: &mut Vec<String>) {
    let module = &shader.module;
    let Some((_, var)) = module.global_variables.iter().find(|(_, v)| v.space == AddressSpace::Uniform) else { return };
    let (ty, row) = (&module.types[var.ty], &kernel.dims);
    let TypeInner::Struct { members, span } = &ty.inner else {
        problems.push(format!("dims: expected the struct {}, found another type", row.name));
        return;
    };
    if ty.name.as_deref() != Some(row.name) {
        problems.push(format!("dims: the struct is {} in Rust and {:?} in the shader", row.name, ty.name));
    }
    let in_shader: Vec<(String, usize, &str)> = members
        .iter()
        .map(|m| {
            let scalar = match &module.types[m.ty].inner {
                TypeInner::Scalar(s) => elem_of(*s).map_or("not a scalar of 4 bytes", elem_name),
                _ => "not a scalar of 4 bytes",
            };
            (m.name.clone().unwrap_or_default(), m.offset as usize, scalar)
        })
        .collect();
    for i in 0..in_shader.len().max(row.fields.len()) {
        let rust = row.fields.get(i).zip(row.types.get(i)).map(|((n, o), t)| (n.to_string(), *o, *t));
        let wgsl = in_shader.get(i).cloned();
        if rust != wgsl {
            let say = |f: &Option<(String, usize, &str)>| match f {
                Some((n, o, t)) => format!("{n}: {t} at byte {o}"),
                None => "nothing".to_string(),
            };
            problems.push(format!("{} field {i}: `{}` in Rust, `{}` in the shader", row.name, say(&rust), say(&wgsl)));
        }
    }
    if *span as usize != row.size {
        problems.push(format!("{} has {} bytes in Rust and {span} in the shader", row.name, row.size));
    }
}

fn check_globals(shader: &Shader, problems: &mut Vec<String>) {
    let uses = shader.info.get_entry_point(0);
    for (handle, var) in shader.module.global_variables.iter() {
        if uses[handle].is_empty() {
            problems.push(format!("{} is declared but not used", name_of(var)));
        }
    }
}

fn check_overrides(kernel: &Kernel, shader: &Shader, problems: &mut Vec<String>) {
    let mut found: Vec<&str> = Vec::new();
    for (handle, o) in shader.module.overrides.iter() {
        // Expressions such as `WG * 4u` as an array's size become constants without a name.
        let Some(name) = o.name.as_deref() else { continue };
        found.push(name);
        if o.init.is_none() {
            problems.push(format!("override {name} has no default, so the file alone does not compile"));
        }
        if o.id.is_some() {
            problems.push(format!("override {name} has an @id: constants go by name here"));
        }
        if !override_used(&shader.module, handle) {
            problems.push(format!("override {name} is declared but not used"));
        }
    }
    let (mut shader_names, mut row_names) = (found, kernel.overrides.to_vec());
    shader_names.sort_unstable();
    row_names.sort_unstable();
    if shader_names != row_names {
        problems.push(format!("override constants are {row_names:?} in the row and {shader_names:?} in the shader"));
    }
}

fn override_used(module: &Module, o: naga::Handle<naga::ir::Override>) -> bool {
    let refers = |e: &Expression| matches!(e, Expression::Override(h) if *h == o);
    let in_function = |f: &Function| f.expressions.iter().any(|(_, e)| refers(e));
    module.functions.iter().any(|(_, f)| in_function(f))
        || module.entry_points.iter().any(|e| in_function(&e.function))
        || module.global_expressions.iter().any(|(_, e)| refers(e))
        || module
            .types
            .iter()
            .any(|(_, t)| matches!(t.inner, TypeInner::Array { size: ArraySize::Pending(h), .. } if h == o))
}

fn check_sizes(shader: &Shader, problems: &mut Vec<String>) {
    let size = shader.module.entry_points[0].workgroup_size;
    let invocations: u64 = size.iter().map(|s| *s as u64).product();
    if invocations > MAX_INVOCATIONS as u64 || size[2] > 64 {
        problems.push(format!("workgroup of {size:?}; WebGPU guarantees 256 invocations and 64 in z"));
    }
    let bytes = shader.workgroup_bytes();
    if bytes > MAX_WORKGROUP_BYTES {
        problems.push(format!("{bytes} bytes of workgroup memory; WebGPU guarantees {MAX_WORKGROUP_BYTES}"));
    }
}
