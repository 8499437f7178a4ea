//! Makes a plan: tensors, steps, the tape for the backward pass, memory.

mod order;
mod recompute;
mod scope;
mod tape;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use super::memory::{Inside, plan_memory};
use super::*;
use crate::{Error, Result};

/// Whether the plan trains or only infers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics, gradients.
    Train,
    /// Running statistics, no gradients.
    Eval,
}

/// Where the gradient of an input goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grad {
    /// The gradient tensor, of the input's shape and format.
    pub tensor: TensorId,
    /// Whether it already holds something: then the kernel adds, otherwise it overwrites.
    pub accumulate: bool,
}

impl Grad {
    /// 1 to add, 0 to overwrite: the `accumulate` field of a kernel's dims.
    pub fn flag(&self) -> u32 {
        self.accumulate as u32
    }
}

/// One parameter slab of an optimizer group: a flat view of parameters and gradients, element by element the same.
#[derive(Debug, Clone)]
pub struct Slab {
    /// All parameters of the slab, [`Format::Flat`].
    pub params: TensorId,
    /// Their gradients, in the same order.
    pub grads: Option<TensorId>,
    /// Elements, padding included.
    pub elements: u32,
    /// (index into the plan's params, first element, elements with padding).
    pub entries: Vec<(usize, u32, u32)>,
}

/// Builds a [`Plan`].
///
/// Batch tensors that would not fit a binding are cut along N into slices, the same for all tensors of the plan;
/// operations add their steps for each slice in order, and reductions over the batch carry their accumulators from slice
/// to slice, so that the result has the same bits with any number of slices.
pub struct Builder {
    name: String,
    mode: Mode,
    limits: PlanLimits,
    batch: u32,
    slices: Vec<Range<u32>>,
    tensors: Vec<TensorInfo>,
    names: HashMap<String, u32>,
    params: Vec<ParamInfo>,
    param_of: HashMap<TensorId, usize>,
    steps: Vec<Step>,
    segments: Vec<String>,
    segment: usize,
    layers: Vec<LayerInfo>,
    applied: Vec<(Rc<dyn Op>, Io)>,
    scope: scope::Scope,
    /// Parameters that an operation has been applied with: their layer owns them.
    owned: HashSet<TensorId>,
    inside: Inside,
    closed: HashMap<String, Vec<Slab>>,
    oversized: Option<(String, u64)>,
}

impl Builder {
    /// Whether kernels are wanted that compile quickly, see [`PlanLimits`].
    pub(crate) fn quick_to_compile(&self) -> bool {
        self.limits.quick_to_compile
    }

    fn new(name: &str, mode: Mode, limits: PlanLimits, batch: u32, per_slice: u32) -> Self {
        let slices = (0..batch.div_ceil(per_slice)).map(|i| i * per_slice..((i + 1) * per_slice).min(batch)).collect();
        Builder {
            name: name.to_string(),
            mode,
            limits,
            batch,
            slices,
            tensors: Vec::new(),
            names: HashMap::new(),
            params: Vec::new(),
            param_of: HashMap::new(),
            steps: Vec::new(),
            segments: vec!["forward".to_string()],
            segment: 0,
            layers: Vec::new(),
            applied: Vec::new(),
            scope: scope::Scope::default(),
            owned: HashSet::new(),
            inside: Inside::new(),
            closed: HashMap::new(),
            oversized: None,
        }
    }

    /// Runs `network` on a fresh builder and gives the plan with what `network` returned. When a tensor is too large
    /// for a binding, or a dispatch too large for the device, the batch is cut into slices and `network` runs again.
    ///
    /// # Errors
    /// [`Error::Limit`] when a single image, or a tensor without images, does not fit; and whatever `network` returns.
    pub fn build<T>(
        name: &str,
        mode: Mode,
        limits: PlanLimits,
        batch: u32,
        network: impl Fn(&mut Builder) -> Result<T>,
    ) -> Result<(Plan, T)> {
        if batch == 0 {
            return Err(Error::config("batch", "is 0, expected at least 1", "Give a batch of 1 or more."));
        }
        let mut per_slice = batch;
        loop {
            let mut b = Builder::new(name, mode, limits, batch, per_slice);
            let built = network(&mut b);
            let Some((tensor, per_image)) = b.oversized.take() else {
                match built {
                    Ok(out) => return Ok((b.finish()?, out)),
                    // More workgroups than the device allows: fewer images at a time need fewer.
                    Err(Error::Limit { .. }) if per_slice > 1 => {
                        per_slice = per_slice.div_ceil(2);
                        continue;
                    }
                    Err(e) => return Err(e),
                }
            };
            let fits = (limits.slice() / per_image).max((per_image <= limits.tensor()) as u64) as u32;
            if fits == 0 || fits >= per_slice {
                return Err(Error::Limit {
                    what: format!("tensor {tensor}"),
                    need: format!("{} a{}", mib(per_image), if fits == 0 { "n image" } else { "" }),
                    limit: "the largest binding of this device".to_string(),
                    have: mib(limits.max_binding),
                    remedy: "Use a smaller input size, another --device, or --device cpu.".to_string(),
                });
            }
            per_slice = fits;
        }
    }

    /// Whether the plan trains.
    pub fn mode(&self) -> Mode {
        self.mode
    }
    /// All operations so far, with what they read and made, in the order in which they were applied.
    pub fn applied(&self) -> &[(Rc<dyn Op>, Io)] {
        &self.applied
    }
    /// Images in a batch.
    pub fn batch(&self) -> u32 {
        self.batch
    }
    /// The slices of the batch: (index, images before it, images in it).
    pub fn slices(&self) -> Vec<(u32, u32, u32)> {
        self.slices.iter().enumerate().map(|(i, r)| (i as u32, r.start, r.end - r.start)).collect()
    }
    /// What is known of a tensor.
    pub fn info(&self, t: TensorId) -> &TensorInfo {
        &self.tensors[t.0 as usize]
    }
    /// A tensor's shape.
    pub fn shape(&self, t: TensorId) -> Shape {
        self.info(t).shape
    }
    /// Starts or goes on with a segment; the following steps belong to it.
    pub fn segment(&mut self, name: &str) {
        self.segment = self.segments.iter().position(|s| s == name).unwrap_or_else(|| {
            self.segments.push(name.to_string());
            self.segments.len() - 1
        });
    }
    /// The name of the current segment.
    pub fn current_segment(&self) -> &str {
        &self.segments[self.segment]
    }
    /// Number of steps so far.
    pub fn step_count(&self) -> usize {
        self.steps.len()
    }

    // === Tensors ===

    /// A tensor of any kind. A name that is taken gets a number behind it.
    pub fn tensor(&mut self, name: &str, shape: Shape, format: Format, role: Role, sliced: bool) -> TensorId {
        let uses = self.names.entry(name.to_string()).or_insert(0);
        *uses += 1;
        let name = if *uses == 1 { name.to_string() } else { format!("{name}#{uses}") };
        let info = TensorInfo { name, shape, format, role, sliced, requires_grad: false, data: None };
        let largest = self.slices.iter().map(|r| r.end - r.start).max().unwrap_or(1);
        let bytes = if sliced { info.bytes_of(largest) } else { info.bytes() };
        let limit = if sliced && largest > 1 { self.limits.slice() } else { self.limits.tensor() };
        if bytes > limit {
            let need = if sliced { info.bytes_of(1) } else { bytes };
            if self.oversized.as_ref().is_none_or(|(_, b)| need > *b) {
                self.oversized = Some((info.name.clone(), need));
            }
        }
        self.tensors.push(info);
        TensorId(self.tensors.len() as u32 - 1)
    }

    /// A float map of the batch (n = batch) that lives inside a run.
    pub fn map(&mut self, name: &str, shape: Shape) -> TensorId {
        self.tensor(name, shape, Format::Map, Role::Transient, true)
    }
    /// Sign words of the batch that live inside a run.
    pub fn words(&mut self, name: &str, shape: Shape) -> TensorId {
        self.tensor(name, shape, Format::Words, Role::Transient, true)
    }
    /// A tensor that is not cut into slices and lives inside a run: partial sums, prepared weights, per-image scalars.
    pub fn scratch(&mut self, name: &str, shape: Shape, format: Format) -> TensorId {
        self.tensor(name, shape, format, Role::Transient, false)
    }
    /// A tensor that the host writes before a run.
    pub fn input(&mut self, name: &str, shape: Shape, format: Format, sliced: bool) -> TensorId {
        self.tensor(name, shape, format, Role::Input, sliced)
    }
    /// A tensor that the host reads after a run.
    pub fn output(&mut self, name: &str, shape: Shape, format: Format, sliced: bool) -> TensorId {
        self.tensor(name, shape, format, Role::Output, sliced)
    }
    /// Turns a transient into one that the host may read: it no longer shares memory.
    pub fn keep(&mut self, t: TensorId) {
        let role = &mut self.tensors[t.0 as usize].role;
        if *role == Role::Transient {
            *role = Role::Output;
        }
    }
    /// A tensor kept between steps, with its first contents (zeros where `None`).
    pub fn state(&mut self, name: &str, shape: Shape, format: Format, first: Option<Vec<u32>>) -> TensorId {
        let t = self.tensor(name, shape, format, Role::State, false);
        self.tensors[t.0 as usize].data = first.map(Arc::new);
        t
    }
    /// A tensor whose contents never change.
    pub fn constant(&mut self, name: &str, shape: Shape, format: Format, data: Vec<u32>) -> TensorId {
        let t = self.tensor(name, shape, format, Role::Const, false);
        debug_assert_eq!(data.len() as u64, format.elements(shape), "{name}");
        self.tensors[t.0 as usize].data = Some(Arc::new(data));
        t
    }
    /// A constant that follows the batch, every value the same (its padding 0).
    pub fn batch_constant(&mut self, name: &str, shape: Shape, format: Format, value: f32) -> TensorId {
        let t = self.tensor(name, shape, format, Role::Const, true);
        let (pitch, c) = (if format == Format::Map { round4(shape.c) } else { shape.c }, shape.c);
        let data = (0..format.elements(shape)).map(|i| if i % (pitch as u64) < c as u64 { value.to_bits() } else { 0 });
        self.tensors[t.0 as usize].data = Some(Arc::new(data.collect()));
        t
    }
    /// Marks an input as one that wants a gradient (for tests and for reading gradients of images).
    pub fn want_grad(&mut self, t: TensorId) {
        self.tensors[t.0 as usize].requires_grad = true;
    }

    /// A learned parameter of a group. Its gradient (in training plans) starts every run of the `clear` steps at zero
    /// and is accumulated. A network that is built twice in a plan has one set of parameters: the second call with the
    /// same name, group, shape and format gives the first one's tensor.
    pub fn param(
        &mut self,
        group: &str,
        name: &str,
        shape: Shape,
        format: Format,
        layout: ParamLayout,
        init: Init,
    ) -> TensorId {
        if let Some(t) = self.same_param(name, group, shape, format) {
            return t;
        }
        let t = self.tensor(name, shape, format, Role::Param, false);
        let train = self.mode == Mode::Train;
        self.tensors[t.0 as usize].requires_grad = train;
        let grad = train.then(|| self.tensor(&format!("d.{name}"), shape, format, Role::ParamGrad, false));
        self.param_of.insert(t, self.params.len());
        self.params.push(ParamInfo { tensor: t, grad, group: group.to_string(), layout, init, learned: true });
        t
    }

    fn same_param(&self, name: &str, group: &str, shape: Shape, format: Format) -> Option<TensorId> {
        let same = |p: &&ParamInfo| {
            let info = self.info(p.tensor);
            info.name == name && p.group == group && (info.shape, info.format) == (shape, format)
        };
        self.params.iter().find(same).map(|p| p.tensor)
    }

    /// Values that are saved with the weights but not learned, e.g. running statistics; shared by name as
    /// [`Builder::param`] is.
    pub fn buffer_param(&mut self, name: &str, shape: Shape, layout: ParamLayout, init: Init) -> TensorId {
        if let Some(t) = self.same_param(name, "", shape, Format::Map) {
            return t;
        }
        let t = self.tensor(name, shape, Format::Map, Role::State, false);
        self.param_of.insert(t, self.params.len());
        self.params.push(ParamInfo { tensor: t, grad: None, group: String::new(), layout, init, learned: false });
        t
    }

    /// Puts the parameters of a group into slabs no larger than a binding and gives the slabs. Parameters of the group
    /// must not be added afterwards.
    pub fn close_group(&mut self, group: &str) -> Vec<Slab> {
        if let Some(s) = self.closed.get(group) {
            return s.clone();
        }
        let align = |bytes: u64| bytes.div_ceil(self.limits.alignment) * self.limits.alignment;
        let limit = self.limits.tensor();
        // Bytes so far, and (parameter, byte offset, bytes) of each entry.
        type Filling = (u64, Vec<(usize, u64, u64)>);
        let mut slabs: Vec<Filling> = Vec::new();
        for (i, p) in self.params.iter().enumerate().filter(|(_, p)| p.learned && p.group == group) {
            let bytes = self.tensors[p.tensor.0 as usize].bytes();
            match slabs.last_mut() {
                Some((end, entries)) if *end + bytes <= limit => {
                    entries.push((i, *end, bytes));
                    *end = align(*end + bytes);
                }
                _ => slabs.push((align(bytes), vec![(i, 0, bytes)])),
            }
        }
        let mut out = Vec::new();
        for (k, (bytes, entries)) in slabs.into_iter().enumerate() {
            let shape = Shape::vector((bytes / 4) as u32);
            let params = self.tensor(&format!("slab.{group}.{k}"), shape, Format::Flat, Role::State, false);
            let train = self.mode == Mode::Train;
            let grads =
                train.then(|| self.tensor(&format!("slab.d.{group}.{k}"), shape, Format::Flat, Role::State, false));
            for (i, offset, _) in &entries {
                self.inside.insert(self.params[*i].tensor, (params, *offset));
                if let (Some(g), Some(slab)) = (self.params[*i].grad, grads) {
                    self.inside.insert(g, (slab, *offset));
                }
            }
            let entries = entries.into_iter().map(|(i, o, b)| (i, (o / 4) as u32, (b / 4) as u32)).collect();
            out.push(Slab { params, grads, elements: (bytes / 4) as u32, entries });
        }
        self.closed.insert(group.to_string(), out.clone());
        out
    }

    /// The parameter information of a tensor, if it is one.
    pub fn param_info(&self, t: TensorId) -> Option<&ParamInfo> {
        self.param_of.get(&t).map(|i| &self.params[*i])
    }

    // === Steps ===

    /// A tensor's slice `s`, or the whole tensor when it is not sliced.
    pub fn at(&self, t: TensorId, s: u32) -> View {
        View { tensor: t, slice: if self.info(t).sliced { s } else { 0 } }
    }

    /// Adds a dispatch. `bindings` are in the kernel's order; `label` is the layer's name.
    ///
    /// # Errors
    /// A wrong number of bindings or a size that does not match the kernel's row (our own mistakes), or more workgroups
    /// than the device allows.
    pub fn dispatch<D: Dims>(
        &mut self,
        kernel: &'static Kernel,
        label: &str,
        dims: &D,
        bindings: &[View],
        groups: Groups,
        cost: Cost,
    ) -> Result<()> {
        self.dispatch_with(kernel, &[], label, dims, bindings, groups, cost)
    }

    /// [`Builder::dispatch`] with values for `override` constants.
    pub fn dispatch_with<D: Dims>(
        &mut self,
        kernel: &'static Kernel,
        constants: &[(&'static str, f64)],
        label: &str,
        dims: &D,
        bindings: &[View],
        groups: Groups,
        cost: Cost,
    ) -> Result<()> {
        let label = format!("{label}.{}", kernel.name);
        if bindings.len() != kernel.bindings.len() || kernel.dims.name != D::LAYOUT.name {
            return Err(Error::shape(
                &label,
                format!("{} bindings and {}", kernel.bindings.len(), kernel.dims.name),
                format!("{} and {}", bindings.len(), D::LAYOUT.name),
            ));
        }
        for (name, _) in constants {
            if !kernel.overrides.contains(name) {
                return Err(Error::shape(&label, format!("constants out of {:?}", kernel.overrides), name.to_string()));
            }
        }
        if let Groups::Fixed(g) = groups
            && let Some(most) = g.iter().max().filter(|m| **m > self.limits.max_groups)
        {
            return Err(Error::Limit {
                what: format!("step {label}"),
                need: format!("{most} workgroups in one dimension"),
                limit: "the device's limit".to_string(),
                have: self.limits.max_groups.to_string(),
                remedy: "Use a smaller batch or input size.".to_string(),
            });
        }
        let slice = if self.slices.len() > 1 {
            bindings.iter().find(|v| self.info(v.tensor).sliced).map(|v| format!("[{}]", v.slice)).unwrap_or_default()
        } else {
            String::new()
        };
        let kind = StepKind::Dispatch {
            kernel,
            constants: constants.to_vec(),
            dims: bytemuck::bytes_of(dims).to_vec(),
            bindings: bindings.to_vec(),
            groups,
        };
        let mut cost = cost;
        if cost.bytes == 0 {
            cost.bytes = bindings.iter().map(|v| self.view_bytes(*v)).sum();
        }
        self.steps.push(Step { label: label + &slice, segment: self.segment, kind, cost });
        Ok(())
    }

    fn view_bytes(&self, v: View) -> u64 {
        let info = self.info(v.tensor);
        if info.sliced { info.bytes_of(self.slices[v.slice as usize].len() as u32) } else { info.bytes() }
    }

    /// Adds steps that set all of a tensor to zero.
    pub fn clear(&mut self, label: &str, t: TensorId) {
        let slices = if self.info(t).sliced { self.slices.len() as u32 } else { 1 };
        for s in 0..slices {
            let view = self.at(t, s);
            let cost = Cost { bytes: self.view_bytes(view), ..Default::default() };
            let step =
                Step { label: format!("{label}.clear"), segment: self.segment, kind: StepKind::Clear(view), cost };
            self.steps.push(step);
        }
    }

    /// Adds steps that copy one tensor to another of the same shape and format.
    pub fn copy(&mut self, label: &str, from: TensorId, to: TensorId) -> Result<()> {
        let (a, b) = (self.info(from), self.info(to));
        if (a.shape, a.format, a.sliced) != (b.shape, b.format, b.sliced) {
            return Err(Error::shape(
                format!("{label}.copy"),
                format!("{} {:?}", a.shape, a.format),
                format!("{} {:?}", b.shape, b.format),
            ));
        }
        let slices = if a.sliced { self.slices.len() as u32 } else { 1 };
        for s in 0..slices {
            let (from, to) = (self.at(from, s), self.at(to, s));
            let cost = Cost { bytes: 2 * self.view_bytes(from), ..Default::default() };
            let kind = StepKind::Copy { from, to };
            self.steps.push(Step { label: format!("{label}.copy"), segment: self.segment, kind, cost });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Plan> {
        let mut groups: Vec<String> = self.params.iter().filter(|p| p.learned).map(|p| p.group.clone()).collect();
        groups.sort();
        groups.dedup();
        for g in groups {
            self.close_group(&g);
        }
        if self.slices.len() > 1 {
            let steps = std::mem::take(&mut self.steps);
            self.steps = order::slice_by_slice(steps, &self.tensors, &self.inside);
        }
        if self.limits.recompute {
            self.recompute();
        }
        let slices: Vec<u32> = self.slices.iter().map(|r| r.end - r.start).collect();
        let memory = plan_memory(&self.tensors, &self.steps, &slices, &self.inside, self.limits.alignment)?;
        Ok(Plan {
            name: self.name,
            limits: self.limits,
            batch: self.batch,
            slices: self.slices,
            tensors: self.tensors,
            params: self.params,
            memory,
            steps: self.steps,
            segments: self.segments,
            layers: self.layers,
        })
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64)
}
