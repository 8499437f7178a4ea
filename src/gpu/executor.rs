//! Runs a plan on wgpu: buffers, bind groups and pipelines are made once; a run replays the steps.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use web_time::Instant;

use rayon::prelude::*;

use super::Gpu;
use super::device::Pipeline;
use super::wait::mapped;
use crate::cpu::{check_readable, wrong_length};
use crate::plan::{Cost, Executor, Fetch, Groups, Placement, Plan, StepKind, TensorId, View};
use crate::{Error, Result};

/// A plan with its memory on a wgpu device.
pub struct GpuExecutor {
    gpu: Arc<Gpu>,
    plan: Arc<Plan>,
    blocks: Vec<wgpu::Buffer>,
    ready: Vec<Ready>,
    staging: HashMap<u64, wgpu::Buffer>,
    /// Work a millisecond, in the units of [`work`]: a guess until large pieces have been measured.
    rate: f64,
    /// The slowest rate that was measured, and how many pieces are still to be.
    measured: (Option<f64>, u32),
}

/// What a step needs at run time.
enum Ready {
    Dispatch { pipeline: Arc<Pipeline>, group: wgpu::BindGroup, groups: Groups },
    Other,
}

/// The longest time one submission should take: far below Windows' watchdog (2 s), far above the cost of submitting.
const PIECE_MS: f64 = 300.0;

/// How many large pieces are measured. A page cannot wait for one.
const PIECES: u32 = if cfg!(target_family = "wasm") { 0 } else { 8 };

/// Views are read together up to this many bytes.
const STAGING: u64 = 64 << 20;

/// A rough count of a step's work, for cutting submissions only.
fn work(c: &Cost) -> f64 {
    c.macs as f64 + c.binary_macs as f64 / 16.0 + c.bytes as f64 / 4.0 + 10_000.0
}

impl GpuExecutor {
    /// Makes buffers, pipelines (on all cores) and bind groups, and uploads constants and first states.
    ///
    /// # Errors
    /// [`Error::Device`] when the driver has too little memory or refuses a shader; [`Error::Limit`] when a block is
    /// larger than a buffer may be.
    pub fn new(gpu: Arc<Gpu>, plan: Arc<Plan>) -> Result<Self> {
        let align = plan.limits.alignment.max(gpu.limits().alignment);
        let indirect: HashSet<u32> = plan
            .steps
            .iter()
            .filter_map(|s| match &s.kind {
                StepKind::Dispatch { groups: Groups::Indirect(v), .. } => Some(plan.memory.of(*v).block),
                _ => None,
            })
            .collect();
        let mut blocks = Vec::with_capacity(plan.memory.blocks.len());
        for (i, b) in plan.memory.blocks.iter().enumerate() {
            if b.bytes > gpu.limits().max_buffer {
                return Err(Error::Limit {
                    what: format!("buffer {}", b.name),
                    need: format!("{} bytes", b.bytes),
                    limit: "the device's largest buffer".to_string(),
                    have: gpu.limits().max_buffer.to_string(),
                    remedy: "Build the plan for this device's limits.".to_string(),
                });
            }
            use wgpu::BufferUsages as U;
            let mut usage = U::STORAGE | U::COPY_DST | U::COPY_SRC;
            if indirect.contains(&(i as u32)) {
                usage |= U::INDIRECT;
            }
            blocks.push(gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(&b.name),
                size: b.bytes.div_ceil(16) * 16,
                usage,
                mapped_at_creation: false,
            }));
        }
        gpu.check()?;

        // All uniform structs in one buffer, each at its own aligned offset.
        let mut uniforms: Vec<u8> = Vec::new();
        let mut offsets = vec![0u64; plan.steps.len()];
        for (i, s) in plan.steps.iter().enumerate() {
            if let StepKind::Dispatch { dims, .. } = &s.kind {
                offsets[i] = uniforms.len() as u64;
                uniforms.extend_from_slice(dims);
                uniforms.resize(uniforms.len().div_ceil(align as usize) * align as usize, 0);
            }
        }
        let uniform = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("dims"),
            size: (uniforms.len() as u64).max(align),
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        gpu.queue.write_buffer(&uniform, 0, &uniforms);

        // Pipelines first, each once and in parallel: they are what takes time in a first run.
        let mut seen = HashSet::new();
        let wanted: Vec<_> = plan
            .steps
            .iter()
            .filter_map(|s| match &s.kind {
                StepKind::Dispatch { kernel, constants, .. } => Some((*kernel, constants)),
                _ => None,
            })
            .filter(|(k, c)| seen.insert((k.name, c.iter().map(|(n, v)| (*n, v.to_bits())).collect::<Vec<_>>())))
            .collect();
        wanted.par_iter().for_each(|(k, c)| {
            gpu.pipeline(k, c);
        });
        gpu.check()?;

        let mut ready = Vec::with_capacity(plan.steps.len());
        for (i, s) in plan.steps.iter().enumerate() {
            ready.push(match &s.kind {
                StepKind::Dispatch { kernel, constants, dims, bindings, groups } => {
                    let pipeline = gpu.pipeline(kernel, constants);
                    let mut entries = vec![entry(0, &uniform, offsets[i], dims.len() as u64)];
                    for (k, v) in bindings.iter().enumerate() {
                        let p = plan.memory.of(*v);
                        // Whole vec4s, as kernels read them; blocks have the room.
                        let bytes = p.bytes.div_ceil(16).max(1) * 16;
                        entries.push(entry(k as u32 + 1, &blocks[p.block as usize], p.offset, bytes));
                    }
                    let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                        label: Some(&s.label),
                        layout: &pipeline.layout,
                        entries: &entries,
                    });
                    Ready::Dispatch { pipeline, group, groups: *groups }
                }
                _ => Ready::Other,
            });
        }
        gpu.check()?;

        // A software adapter does about 1e6 units a millisecond at worst; the first runs measure the truth.
        let rate = if gpu.is_hardware() { 1e7 } else { 1e6 };
        let mut e = GpuExecutor { gpu, plan, blocks, ready, staging: HashMap::new(), rate, measured: (None, PIECES) };
        let plan = e.plan.clone();
        for (i, t) in plan.tensors.iter().enumerate() {
            if let Some(data) = &t.data
                && !plan.memory.placements[i].is_empty()
            {
                e.write(TensorId(i as u32), data)?;
            }
        }
        // A device that was lost meanwhile takes everything in silence, but for this.
        e.gpu.wait()?;
        Ok(e)
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    fn views(&self, t: TensorId) -> Vec<View> {
        (0..self.plan.memory.placements[t.0 as usize].len() as u32).map(|slice| View { tensor: t, slice }).collect()
    }

    /// Reads views whatever their role: only true between the steps that write and those that reuse the memory.
    pub async fn fetch_views(&mut self, views: &[View]) -> Result<Vec<Vec<u32>>> {
        let places: Vec<_> = views.iter().map(|v| self.plan.memory.of(*v)).collect();
        let total: u64 = places.iter().map(|p| p.bytes).sum::<u64>().max(4);
        if total > STAGING && views.len() > 1 {
            let mut out = Vec::with_capacity(views.len());
            for v in views {
                out.extend(Box::pin(self.fetch_views(&[*v])).await?);
            }
            return Ok(out);
        }
        let size = total.next_power_of_two().max(256).min(self.gpu.limits().max_buffer.max(total));
        let staging = self.staging.entry(size).or_insert_with(|| {
            self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("readback"),
                size,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let mut at = 0;
        for p in &places {
            encoder.copy_buffer_to_buffer(&self.blocks[p.block as usize], p.offset, staging, at, p.bytes);
            at += p.bytes;
        }
        self.gpu.queue.submit([encoder.finish()]);
        let bytes = mapped(&self.gpu, staging, total).await?;
        let mut rest = bytes.as_slice();
        let mut next = |p: &Placement| {
            let (own, after) = rest.split_at(p.bytes as usize);
            rest = after;
            bytemuck::pod_collect_to_vec(own)
        };
        Ok(places.iter().map(&mut next).collect())
    }

    /// Writes one view.
    pub fn write_view(&mut self, v: View, data: &[u32]) {
        let p = self.plan.memory.of(v);
        self.gpu.queue.write_buffer(&self.blocks[p.block as usize], p.offset, bytemuck::cast_slice(data));
    }

    fn submit(&mut self, steps: &[usize]) {
        let plan = self.plan.clone();
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let mut i = 0;
        while i < steps.len() {
            match &plan.steps[steps[i]].kind {
                StepKind::Clear(v) => {
                    let p = plan.memory.of(*v);
                    encoder.clear_buffer(&self.blocks[p.block as usize], p.offset, Some(p.bytes));
                    i += 1;
                }
                StepKind::Copy { from, to } => {
                    let (a, b) = (plan.memory.of(*from), plan.memory.of(*to));
                    let (from, to) = (&self.blocks[a.block as usize], &self.blocks[b.block as usize]);
                    encoder.copy_buffer_to_buffer(from, a.offset, to, b.offset, a.bytes);
                    i += 1;
                }
                StepKind::Dispatch { .. } => {
                    let mut pass = encoder.begin_compute_pass(&Default::default());
                    while steps.get(i).is_some_and(|s| self.dispatch(&mut pass, *s)) {
                        i += 1;
                    }
                }
            }
        }
        self.gpu.queue.submit([encoder.finish()]);
    }

    /// Adds a step to a pass; whether it is a dispatch at all.
    fn dispatch(&self, pass: &mut wgpu::ComputePass<'_>, step: usize) -> bool {
        let Ready::Dispatch { pipeline, group, groups } = &self.ready[step] else { return false };
        pass.set_pipeline(&pipeline.pipeline);
        pass.set_bind_group(0, group, &[]);
        match groups {
            Groups::Fixed([x, y, z]) => pass.dispatch_workgroups(*x, *y, *z),
            Groups::Indirect(v) => {
                let p = self.plan.memory.of(*v);
                pass.dispatch_workgroups_indirect(&self.blocks[p.block as usize], p.offset);
            }
        }
        true
    }

    /// Runs dispatches, each in a pass between two timestamps: the ticks of both.
    fn timestamps(&mut self, steps: &[usize]) -> Result<Vec<u64>> {
        use wgpu::BufferUsages as U;
        let (device, count) = (&self.gpu.device, 2 * steps.len() as u32);
        let size = 8 * count as u64;
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("ticks"),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let query_set = &device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("ticks"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let (resolved, staging) = (buffer(U::QUERY_RESOLVE | U::COPY_SRC), buffer(U::MAP_READ | U::COPY_DST));
        let mut encoder = device.create_command_encoder(&Default::default());
        for (i, step) in (0u32..).zip(steps) {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set,
                    beginning_of_pass_write_index: Some(2 * i),
                    end_of_pass_write_index: Some(2 * i + 1),
                }),
            });
            self.dispatch(&mut pass, *step);
        }
        encoder.resolve_query_set(query_set, 0..count, &resolved, 0);
        encoder.copy_buffer_to_buffer(&resolved, 0, &staging, 0, size);
        self.gpu.queue.submit([encoder.finish()]);
        let bytes = pollster::block_on(mapped(&self.gpu, &staging, size))?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }
}

/// Steps between timestamps at a time: a query set holds twice as many.
const TIMED: usize = 1024;

fn entry(binding: u32, buffer: &wgpu::Buffer, offset: u64, size: u64) -> wgpu::BindGroupEntry<'_> {
    wgpu::BindGroupEntry {
        binding,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer,
            offset,
            size: wgpu::BufferSize::new(size),
        }),
    }
}

impl Executor for GpuExecutor {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn device_name(&self) -> String {
        self.gpu.name()
    }

    fn write(&mut self, tensor: TensorId, data: &[u32]) -> Result<()> {
        let plan = self.plan.clone();
        let views = self.views(tensor);
        let total: u64 = views.iter().map(|v| plan.memory.of(*v).bytes / 4).sum();
        if total != data.len() as u64 {
            return Err(wrong_length(&plan, tensor, data.len()));
        }
        let mut at = 0usize;
        for v in views {
            let len = (plan.memory.of(v).bytes / 4) as usize;
            self.write_view(v, &data[at..at + len]);
            at += len;
        }
        Ok(())
    }

    fn fetch<'a>(&'a mut self, tensors: &'a [TensorId]) -> Fetch<'a> {
        Box::pin(async move {
            tensors.iter().try_for_each(|t| check_readable(&self.plan, *t))?;
            let views: Vec<Vec<View>> = tensors.iter().map(|t| self.views(*t)).collect();
            let mut words = self.fetch_views(&views.concat()).await?.into_iter();
            let mut next = |v: &Vec<View>| match v.len() {
                1 => words.next().unwrap_or_default(),
                n => words.by_ref().take(n).collect::<Vec<_>>().concat(),
            };
            Ok(views.iter().map(&mut next).collect())
        })
    }

    fn run_steps(&mut self, steps: &[usize]) -> Result<()> {
        let plan = self.plan.clone();
        let (mut start, mut units) = (0usize, 0f64);
        for (i, s) in steps.iter().enumerate() {
            units += work(&plan.steps[*s].cost);
            if i + 1 < steps.len() && units / self.rate < PIECE_MS {
                continue;
            }
            // Small pieces say more about the driver than about the kernels.
            let measure = self.measured.1 > 0 && units > 5e7;
            if measure {
                // What the host has written before is not this piece's work.
                self.gpu.queue.submit([]);
                self.gpu.wait()?;
            }
            let begin = Instant::now();
            self.submit(&steps[start..=i]);
            if measure {
                self.gpu.wait()?;
                let seen = units / (begin.elapsed().as_secs_f64() * 1e3).max(1e-3);
                let slowest = self.measured.0.map_or(seen, |r| r.min(seen));
                self.measured = (Some(slowest), self.measured.1 - 1);
                self.rate = slowest;
            }
            (start, units) = (i + 1, 0.0);
        }
        self.gpu.check()
    }

    fn device_seconds(&mut self, steps: &[usize]) -> Result<Option<Vec<f64>>> {
        let clock = self.gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        if !clock || steps.iter().any(|s| matches!(self.ready[*s], Ready::Other)) {
            return Ok(None);
        }
        let tick = self.gpu.queue.get_timestamp_period() as f64 * 1e-9;
        let mut out = Vec::with_capacity(steps.len());
        for some in steps.chunks(TIMED) {
            let ticks = self.timestamps(some)?;
            out.extend(ticks.chunks_exact(2).map(|t| t[1].saturating_sub(t[0]) as f64 * tick));
        }
        self.gpu.check()?;
        Ok(Some(out))
    }

    fn wait(&mut self) -> Result<()> {
        self.gpu.wait()
    }
}
