//! A device with its pipelines.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::DeviceChoice;
use super::choice::enumerate;
use crate::plan::{Access, Kernel, PlanLimits};
use crate::{Error, Result};

/// Which limits a device is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LimitsChoice {
    /// Buffers and bindings as large as the adapter has them; everything else stays on the WebGPU floor.
    #[default]
    Adapter,
    /// The WebGPU floor: what a browser gives without asking.
    Floor,
}

pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

type PipelineKey = (&'static str, Vec<(&'static str, u64)>);

/// An opened adapter.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    limits: PlanLimits,
    modules: Mutex<HashMap<&'static str, Arc<wgpu::ShaderModule>>>,
    pipelines: Mutex<HashMap<PipelineKey, Arc<Pipeline>>>,
    problem: Arc<Mutex<Option<String>>>,
    /// What the driver said when it took the device away. From then on wgpu passes over everything in silence, so this is
    /// never forgotten.
    lost: Arc<OnceLock<String>>,
}

fn locked<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gpu {
    /// Opens an adapter. `Auto` takes the first one; `Cpu` is not an adapter and an error here.
    ///
    /// # Errors
    /// [`Error::Device`] when there is no such adapter (the message lists those there are), or the driver refuses.
    pub fn open(choice: &DeviceChoice, limits: LimitsChoice) -> Result<Arc<Gpu>> {
        pollster::block_on(Gpu::open_async(choice, limits))
    }

    /// [`Gpu::open`] where nothing may block. A browser has one adapter to give.
    ///
    /// # Errors
    /// As [`Gpu::open`].
    pub async fn open_async(choice: &DeviceChoice, limits: LimitsChoice) -> Result<Arc<Gpu>> {
        let mut list = enumerate().await;
        let names: Vec<String> = list.iter().map(|a| a.get_info().name).collect();
        let found = match choice {
            DeviceChoice::Auto => (!list.is_empty()).then_some(0),
            DeviceChoice::Index(i) => (*i < list.len()).then_some(*i),
            DeviceChoice::Name(n) => {
                let n = n.to_lowercase();
                list.iter().position(|a| {
                    let i = a.get_info();
                    format!("{} {} {}", i.name, i.driver, i.driver_info).to_lowercase().contains(&n)
                })
            }
            DeviceChoice::Cpu => None,
        };
        let Some(index) = found else {
            return Err(Error::Device {
                device: choice.to_string(),
                problem: if names.is_empty() {
                    match cfg!(target_family = "wasm") {
                        true => "the browser gives no adapter".to_string(),
                        false => "no Vulkan, Metal or DX12 adapter was found".to_string(),
                    }
                } else {
                    format!("no such adapter; there are: {}", names.join(", "))
                },
                remedy: "Use --device cpu, or install a driver (a software one on Debian and Ubuntu: apt-get install \
                         mesa-vulkan-drivers)."
                    .to_string(),
            });
        };
        let adapter = list.swap_remove(index);
        Gpu::from_adapter(&adapter, limits).await
    }

    /// A device that validates everything and computes nothing (wgpu's `noop` backend), on the WebGPU floor.
    pub fn noop() -> Result<Arc<Gpu>> {
        let mut d = wgpu::InstanceDescriptor::new_without_display_handle();
        d.backends = wgpu::Backends::NOOP;
        d.backend_options.noop.enable = true;
        let list = pollster::block_on(wgpu::Instance::new(d).enumerate_adapters(wgpu::Backends::all()));
        match list.first() {
            Some(a) => pollster::block_on(Gpu::from_adapter(a, LimitsChoice::Floor)),
            None => Err(device_error("noop", "wgpu was built without it".to_string())),
        }
    }

    async fn from_adapter(adapter: &wgpu::Adapter, choice: LimitsChoice) -> Result<Arc<Gpu>> {
        let mut info = adapter.get_info();
        if info.name.is_empty() {
            // Browsers keep it to themselves.
            info.name = "WebGPU".to_string();
        }
        let offered = adapter.limits();
        let mut limits = wgpu::Limits::defaults();
        if choice == LimitsChoice::Adapter {
            limits.max_storage_buffer_binding_size = offered.max_storage_buffer_binding_size;
            limits.max_buffer_size = offered.max_buffer_size;
        }
        // For benchmarks; a browser's clock is too coarse for them.
        let clock = match cfg!(target_family = "wasm") {
            true => wgpu::Features::empty(),
            false => adapter.features() & wgpu::Features::TIMESTAMP_QUERY,
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("autobidet"),
            required_features: clock,
            required_limits: limits.clone(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|e| device_error(&info.name, format!("the driver refused to open it: {e}")))?;
        let problem = Arc::new(Mutex::new(None));
        let sink = problem.clone();
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| {
            locked(&sink).get_or_insert_with(|| e.to_string());
        }));
        let lost = Arc::new(OnceLock::new());
        let sink = lost.clone();
        device.set_device_lost_callback(move |_, message| {
            // The first reason is the one.
            let _ = sink.set(message);
        });
        let limits = PlanLimits {
            // A size has to be a multiple of 4, and a little distance from 2^31 keeps 32-bit drivers happy.
            max_binding: limits.max_storage_buffer_binding_size.min((1 << 31) - 4096) & !255,
            max_buffer: limits.max_buffer_size.min(1 << 40) & !255,
            max_groups: limits.max_compute_workgroups_per_dimension,
            alignment: limits
                .min_storage_buffer_offset_alignment
                .max(limits.min_uniform_buffer_offset_alignment)
                .into(),
            // A browser's software adapter takes seconds for a kernel, and a page does not wait for its first image.
            quick_to_compile: cfg!(target_family = "wasm") && matches!(info.device_type, wgpu::DeviceType::Cpu),
            recompute: false,
        };
        Ok(Arc::new(Gpu {
            device,
            queue,
            info,
            limits,
            modules: Mutex::default(),
            pipelines: Mutex::default(),
            problem,
            lost,
        }))
    }

    /// Limits to build plans for.
    pub fn limits(&self) -> PlanLimits {
        self.limits
    }

    /// Name, backend, kind and driver.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    /// A line for logs: name, backend, driver.
    pub fn name(&self) -> String {
        format!("{} ({:?}, {} {})", self.info.name, self.info.backend, self.info.driver, self.info.driver_info)
    }

    /// Whether it is a real GPU rather than a program on the CPU.
    pub fn is_hardware(&self) -> bool {
        !matches!(self.info.device_type, wgpu::DeviceType::Cpu)
    }

    /// The first error that the driver or the validation reported since the last call. Of a device that was lost it is told
    /// every time.
    pub fn check(&self) -> Result<()> {
        if let Some(why) = self.lost.get() {
            return Err(self.lost_error(why));
        }
        match locked(&self.problem).take() {
            None => Ok(()),
            Some(p) => Err(self.found_lost().unwrap_or_else(|| device_error(&self.info.name, p))),
        }
    }

    /// The error of a device that was lost, if it was: what follows a loss may look like mistakes of ours, such as buffers
    /// that are not valid.
    pub(super) fn found_lost(&self) -> Option<Error> {
        let _ = self.poll();
        self.lost.get().map(|why| self.lost_error(why))
    }

    /// Waits until everything submitted is done. Only here a device that was lost is certain to be noticed.
    ///
    /// A browser never lets a page wait: there this only looks for errors, and reading results is what waits.
    pub fn wait(&self) -> Result<()> {
        let waited = self.poll();
        self.check()?;
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(e)) => Err(device_error(&self.info.name, format!("waiting for it failed: {e}"))),
            Err(panic) => Err(self.lost_error(&panic)),
        }
    }

    fn poll(&self) -> std::result::Result<std::result::Result<wgpu::PollStatus, wgpu::PollError>, String> {
        polled(|| self.device.poll(wgpu::PollType::wait_indefinitely()))
    }

    /// Ends the device at once, as a driver does that is reset: everything afterwards is an error. For tests.
    pub fn destroy(&self) {
        self.device.destroy();
    }

    /// Why the device was lost, if it was.
    pub fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    fn lost_error(&self, why: &str) -> Error {
        let why = why.trim();
        let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
        Error::Device {
            device: self.info.name.clone(),
            problem: format!(
                "was lost{why}: its driver was reset or replaced, it ran out of memory, or it was taken away"
            ),
            remedy:
                "Call the program again (a run goes on from its last checkpoint with --resume), or give --device cpu."
                    .to_string(),
        }
    }

    /// The pipeline of a kernel with these constants; made on first use.
    pub(super) fn pipeline(&self, kernel: &'static Kernel, constants: &[(&'static str, f64)]) -> Arc<Pipeline> {
        let key: PipelineKey = (kernel.name, constants.iter().map(|(n, v)| (*n, v.to_bits())).collect());
        if let Some(p) = locked(&self.pipelines).get(&key) {
            return p.clone();
        }
        let found = locked(&self.modules).get(kernel.name).cloned();
        // Made outside the lock, so that threads that make pipelines do not wait for each other's parsing.
        let module = found.unwrap_or_else(|| {
            let made = Arc::new(self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(kernel.name),
                source: wgpu::ShaderSource::Wgsl(kernel.text().into()),
            }));
            locked(&self.modules).entry(kernel.name).or_insert(made).clone()
        });
        let entry = |binding: u32, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform)];
        for (i, b) in kernel.bindings.iter().enumerate() {
            let read_only = b.access == Access::Read;
            entries.push(entry(i as u32 + 1, wgpu::BufferBindingType::Storage { read_only }));
        }
        let layout = self
            .device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(kernel.name), entries: &entries });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(kernel.name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let constants: Vec<(&str, f64)> = constants.iter().map(|(n, v)| (*n, *v)).collect();
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel.name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                zero_initialize_workgroup_memory: true,
            },
            cache: None,
        });
        let made = Arc::new(Pipeline { pipeline, layout });
        locked(&self.pipelines).entry(key).or_insert(made).clone()
    }
}

/// How the panic begins that `polled` turns into an error.
pub const POLL_PANIC: &str = "Error in Device::poll";

/// Runs a poll. wgpu has no error for a device that is lost while it is waited for: it panics, with no lock held.
fn polled<T>(poll: impl FnOnce() -> T) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(poll)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default().to_string()
    })
}

pub(super) fn device_error(device: &str, problem: String) -> Error {
    Error::Device {
        device: device.to_string(),
        problem,
        remedy: "`autobidet selftest` tells whether the driver computes right; --device cpu works without one."
            .to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{POLL_PANIC, polled};

    #[test]
    fn a_panic_while_waiting_is_its_text() {
        assert_eq!(polled(|| 3), Ok(3));
        let caught = polled(|| -> u32 { panic!("{POLL_PANIC}: Parent device is {}", "lost") });
        assert_eq!(caught, Err(format!("{POLL_PANIC}: Parent device is lost")));
    }
}
