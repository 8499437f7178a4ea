//! One dispatch of any WGSL text, outside any plan: for testing kernels, and for small questions to a device.

use super::Gpu;
use super::device::device_error;
use super::wait::mapped;
use crate::{Error, Result};

/// How a buffer of an [`Once`] is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnceKind {
    /// `var<uniform>`.
    Uniform,
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`; its contents come back.
    ReadWrite,
}

/// A buffer of an [`Once`].
#[derive(Debug, Clone, Copy)]
pub struct OnceBuffer<'a> {
    /// `@group`.
    pub group: u32,
    /// `@binding`.
    pub binding: u32,
    /// How it is bound.
    pub kind: OnceKind,
    /// Its contents before the dispatch; they also give its size, a multiple of 4 bytes.
    pub bytes: &'a [u8],
}

/// A shader with everything that one dispatch of it needs.
#[derive(Debug, Clone, Copy)]
pub struct Once<'a> {
    /// For messages.
    pub label: &'a str,
    /// The WGSL text.
    pub source: &'a str,
    /// The compute entry point.
    pub entry_point: &'a str,
    /// Values of `override` constants.
    pub constants: &'a [(&'a str, f64)],
    /// The buffers, in any order.
    pub buffers: &'a [OnceBuffer<'a>],
    /// Workgroups in x, y and z.
    pub groups: [u32; 3],
}

impl Gpu {
    /// Compiles, runs and waits; the contents of every read_write buffer, in the order of [`Once::buffers`]. Nothing is
    /// cached.
    ///
    /// # Errors
    /// [`Error::Shape`] for a buffer of no or of odd size, [`Error::Device`] with the message of the validation or of
    /// the driver for everything else.
    pub fn run_once(&self, job: &Once<'_>) -> Result<Vec<Vec<u8>>> {
        for b in job.buffers {
            if b.bytes.is_empty() || b.bytes.len() % 4 != 0 {
                return Err(Error::shape(
                    format!("{}: buffer at group {}, binding {}", job.label, b.group, b.binding),
                    "a multiple of 4 bytes, at least 4",
                    format!("{}", b.bytes.len()),
                ));
            }
        }
        // Errors of this thread's calls end in these scopes and not in another caller's.
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let (staging, sizes) = self.submit_once(job);
        let problems = [validation, internal, memory].map(|scope| pollster::block_on(scope.pop()));
        if let Some(e) = problems.into_iter().flatten().next() {
            let own = || device_error(&self.info().name, format!("{}: {e}", job.label));
            return Err(self.found_lost().unwrap_or_else(own));
        }
        let total = staging.size();
        let data = pollster::block_on(mapped(self, &staging, total))?;
        let mut at = 0;
        Ok(sizes
            .into_iter()
            .map(|s| {
                at += s;
                data[at - s..at].to_vec()
            })
            .collect())
    }

    /// Records and submits; the buffer that the results are copied to, and their sizes.
    fn submit_once(&self, job: &Once<'_>) -> (wgpu::Buffer, Vec<usize>) {
        use wgpu::BufferUsages as U;
        let device = &self.device;
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(job.label),
            source: wgpu::ShaderSource::Wgsl(job.source.into()),
        });
        let make = |size: usize, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(job.label),
                size: size as u64,
                usage,
                mapped_at_creation: false,
            })
        };
        let buffers: Vec<wgpu::Buffer> = job
            .buffers
            .iter()
            .map(|b| {
                let kind = if b.kind == OnceKind::Uniform { U::UNIFORM } else { U::STORAGE };
                let buffer = make(b.bytes.len(), kind | U::COPY_DST | U::COPY_SRC);
                self.queue.write_buffer(&buffer, 0, b.bytes);
                buffer
            })
            .collect();
        let count = job.buffers.iter().map(|b| b.group + 1).max().unwrap_or(0);
        let (mut layouts, mut groups) = (Vec::new(), Vec::new());
        for group in 0..count {
            let mine = || job.buffers.iter().zip(&buffers).filter(|(b, _)| b.group == group);
            let entries: Vec<_> = mine()
                .map(|(b, _)| wgpu::BindGroupLayoutEntry {
                    binding: b.binding,
                    visibility: wgpu::ShaderStages::COMPUTE,
                    ty: wgpu::BindingType::Buffer {
                        ty: match b.kind {
                            OnceKind::Uniform => wgpu::BufferBindingType::Uniform,
                            OnceKind::Read => wgpu::BufferBindingType::Storage { read_only: true },
                            OnceKind::ReadWrite => wgpu::BufferBindingType::Storage { read_only: false },
                        },
                        has_dynamic_offset: false,
                        min_binding_size: None,
                    },
                    count: None,
                })
                .collect();
            let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some(job.label),
                entries: &entries,
            });
            let entries: Vec<_> = mine()
                .map(|(b, buffer)| wgpu::BindGroupEntry { binding: b.binding, resource: buffer.as_entire_binding() })
                .collect();
            groups.push(device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(job.label),
                layout: &layout,
                entries: &entries,
            }));
            layouts.push(layout);
        }
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(job.label),
            bind_group_layouts: &layouts.iter().map(Some).collect::<Vec<_>>(),
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(job.label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(job.entry_point),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: job.constants,
                zero_initialize_workgroup_memory: true,
            },
            cache: None,
        });
        let mut encoder = device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&pipeline);
            for (i, g) in groups.iter().enumerate() {
                pass.set_bind_group(i as u32, g, &[]);
            }
            pass.dispatch_workgroups(job.groups[0], job.groups[1], job.groups[2]);
        }
        let results: Vec<_> = job.buffers.iter().zip(&buffers).filter(|(b, _)| b.kind == OnceKind::ReadWrite).collect();
        let sizes: Vec<usize> = results.iter().map(|(b, _)| b.bytes.len()).collect();
        let staging = make(sizes.iter().sum::<usize>().max(4), U::MAP_READ | U::COPY_DST);
        let mut at = 0;
        for (b, buffer) in results {
            encoder.copy_buffer_to_buffer(buffer, 0, &staging, at, b.bytes.len() as u64);
            at += b.bytes.len() as u64;
        }
        self.queue.submit([encoder.finish()]);
        (staging, sizes)
    }
}
