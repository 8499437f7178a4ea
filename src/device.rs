//! Where plans run: an adapter, or the CPU twins.

use std::sync::Arc;

use crate::Result;
use crate::cpu::CpuExecutor;
use crate::gpu::{DeviceChoice, Gpu, GpuExecutor, LimitsChoice, adapters};
use crate::plan::{Executor, Plan, PlanLimits};

/// A place to run plans.
#[derive(Clone)]
pub enum Device {
    /// The CPU twins.
    Cpu,
    /// An adapter.
    Gpu(Arc<Gpu>),
}

impl Device {
    /// Opens what was asked for. `auto` takes the first hardware GPU; where there is none, the CPU twins, which are
    /// faster than software adapters (docs/performance.md). The second value is a sentence for the user when the choice
    /// needs one.
    pub fn open(choice: &DeviceChoice, limits: LimitsChoice) -> Result<(Device, Option<String>)> {
        match choice {
            DeviceChoice::Cpu => Ok((Device::Cpu, None)),
            DeviceChoice::Auto => {
                let list = adapters();
                match list.iter().find(|a| a.is_hardware()) {
                    Some(a) => Ok((Device::Gpu(Gpu::open(&DeviceChoice::Index(a.index), limits)?), None)),
                    None => {
                        let why = match list.first() {
                            Some(a) => format!(
                                "Only a software adapter was found ({}); the CPU twins are faster, so they run. Give \
                                 --device {} to use it all the same.",
                                a.info.name, a.index
                            ),
                            None => "No Vulkan, Metal or DX12 adapter was found, so the CPU twins run. A graphics driver \
                                     (or, to try the shaders, a software one: apt-get install mesa-vulkan-drivers) gives \
                                     more."
                                .to_string(),
                        };
                        Ok((Device::Cpu, Some(why)))
                    }
                }
            }
            other => Ok((Device::Gpu(Gpu::open(other, limits)?), None)),
        }
    }

    /// Limits to build plans for.
    pub fn limits(&self) -> PlanLimits {
        match self {
            Device::Cpu => PlanLimits::HOST,
            Device::Gpu(g) => g.limits(),
        }
    }

    /// An executor for a plan.
    pub fn executor(&self, plan: Arc<Plan>) -> Result<Box<dyn Executor>> {
        Ok(match self {
            Device::Cpu => Box::new(CpuExecutor::new(plan)?),
            Device::Gpu(g) => Box::new(GpuExecutor::new(g.clone(), plan)?),
        })
    }

    /// A line for logs and messages.
    pub fn name(&self) -> String {
        match self {
            Device::Cpu => format!("CPU twins, {} threads", rayon::current_num_threads()),
            Device::Gpu(g) => g.name(),
        }
    }

    /// Whether it is the CPU twins.
    pub fn is_cpu(&self) -> bool {
        matches!(self, Device::Cpu)
    }

    /// Whether it is a real GPU.
    pub fn is_hardware(&self) -> bool {
        matches!(self, Device::Gpu(g) if g.is_hardware())
    }
}
