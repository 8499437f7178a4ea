//! Which device: `--device auto|cpu|<index>|<part of a name>`.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// What the user asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first discrete or integrated GPU; without one, see [`crate::device::Device::open`].
    #[default]
    Auto,
    /// The CPU twins.
    Cpu,
    /// An adapter by its number in `autobidet devices`.
    Index(usize),
    /// The first adapter whose name or driver contains this, letter case ignored.
    Name(String),
}

impl FromStr for DeviceChoice {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        Ok(match s.trim() {
            "" => {
                return Err(Error::config(
                    "--device",
                    "is empty",
                    "Give auto, cpu, an index or a part of a name; `autobidet devices` lists them.",
                ));
            }
            "auto" => DeviceChoice::Auto,
            "cpu" => DeviceChoice::Cpu,
            t => t.parse().map(DeviceChoice::Index).unwrap_or_else(|_| DeviceChoice::Name(t.to_string())),
        })
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Index(i) => write!(f, "{i}"),
            DeviceChoice::Name(n) => f.write_str(n),
        }
    }
}

/// One adapter as `autobidet devices` shows it.
#[derive(Debug, Clone)]
pub struct AdapterLine {
    /// Its number for `--device`.
    pub index: usize,
    /// Name, backend, kind and driver.
    pub info: wgpu::AdapterInfo,
    /// What it offers.
    pub limits: wgpu::Limits,
    /// Optional features that it offers.
    pub features: wgpu::Features,
}

impl AdapterLine {
    /// Whether it is a real GPU rather than a program on the CPU.
    pub fn is_hardware(&self) -> bool {
        !matches!(self.info.device_type, wgpu::DeviceType::Cpu)
    }
}

pub(super) fn instance() -> wgpu::Instance {
    let mut d = wgpu::InstanceDescriptor::new_without_display_handle();
    d.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12 | wgpu::Backends::BROWSER_WEBGPU;
    wgpu::Instance::new(d)
}

pub(super) async fn enumerate() -> Vec<wgpu::Adapter> {
    let mut list = instance().enumerate_adapters(wgpu::Backends::all()).await;
    // GPUs first, software last; the driver's order inside a kind, so that numbers are stable.
    list.sort_by_key(|a| match a.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    list
}

/// The adapters of this machine, GPUs first.
pub fn adapters() -> Vec<AdapterLine> {
    pollster::block_on(enumerate())
        .into_iter()
        .enumerate()
        .map(|(index, a)| AdapterLine { index, info: a.get_info(), limits: a.limits(), features: a.features() })
        .collect()
}
