//! The static plan: what is computed, in which order, in which memory, before the first step runs.
//!
//! A [`Builder`] walks a network once for a fixed batch and size. Each operation ([`Op`]) adds its forward
//! [`Step`]s; [`Builder::backward`] walks the tape in reverse and adds the backward steps. [`Builder::build`] assigns
//! memory by lifetimes and gives a [`Plan`], which an [`Executor`] replays: `gpu::GpuExecutor` on wgpu,
//! `cpu::CpuExecutor` on the CPU twins. Shapes never change in a plan, nothing is allocated while it runs.
//!
//! This folder knows neither wgpu nor any particular operation.

mod builder;
mod display;
mod executor;
mod kernel;
mod memory;
mod op;
mod param;
mod step;
mod tensor;

pub use builder::{Builder, Grad, Mode, Slab};
pub use executor::{Executor, Fetch, FetchFloats};
pub use kernel::{Access, Binding, Common, Dims, DimsLayout, Elem, Kernel, Twin};
pub use memory::{BlockInfo, Memory, Placement};
pub use op::{Cost, Io, LayerInfo, Op, Saved};
pub use param::{Init, ParamInfo, ParamLayout};
pub use step::{Groups, Step, StepKind, View, flat_groups};
pub use tensor::{Format, Role, Shape, TensorId, TensorInfo, round4};

use std::ops::Range;

/// Limits that a plan is built for. Results never depend on them (see [`Builder`]); only whether it fits does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanLimits {
    /// Largest storage buffer binding in bytes.
    pub max_binding: u64,
    /// Largest buffer in bytes.
    pub max_buffer: u64,
    /// Largest number of workgroups in one dimension.
    pub max_groups: u32,
    /// Alignment of a binding's offset in bytes.
    pub alignment: u64,
    /// Whether inference takes the kernels that a slow driver compiles quickly, and few of them, rather than those that run
    /// fastest. They compute the same.
    pub quick_to_compile: bool,
    /// Whether training computes maps again in the backward pass rather than keeping them, and goes through the batch in
    /// slices: less memory, a little more time, the same bits.
    pub recompute: bool,
}

impl PlanLimits {
    /// The WebGPU floor, which every adapter offers.
    pub const FLOOR: PlanLimits = PlanLimits {
        max_binding: 128 << 20,
        max_buffer: 256 << 20,
        max_groups: 65_535,
        alignment: 256,
        quick_to_compile: false,
        recompute: false,
    };
    /// The most bytes of a map's slice where memory is to be saved.
    const SLICE: u64 = 128 << 20;

    /// What the CPU twins can do: no limit but memory.
    pub const HOST: PlanLimits = PlanLimits {
        // Kernels count elements with 32 bits.
        max_binding: (1 << 34) - 256,
        max_buffer: (1 << 34) - 256,
        max_groups: u32::MAX,
        ..Self::FLOOR
    };

    /// The largest tensor.
    fn tensor(&self) -> u64 {
        self.max_binding.min(self.max_buffer)
    }

    /// The largest slice of a map, where the batch has more than one image.
    fn slice(&self) -> u64 {
        if self.recompute { self.tensor().min(Self::SLICE) } else { self.tensor() }
    }
}

/// Everything an executor needs: tensors, their memory, and the list of steps.
#[derive(Debug, Clone)]
pub struct Plan {
    /// A name for messages.
    pub name: String,
    /// The limits it was built for.
    pub limits: PlanLimits,
    /// Images in a batch.
    pub batch: u32,
    /// The batch's slices along N: one, unless a tensor would not fit a binding.
    pub slices: Vec<Range<u32>>,
    /// All tensors; a [`TensorId`] indexes them.
    pub tensors: Vec<TensorInfo>,
    /// Parameters, in the order in which the network made them.
    pub params: Vec<ParamInfo>,
    /// Where each tensor lives.
    pub memory: Memory,
    /// The steps in order.
    pub steps: Vec<Step>,
    /// Segment names; a step's `segment` indexes them.
    pub segments: Vec<String>,
    /// One entry an applied operation: what `info` prints.
    pub layers: Vec<LayerInfo>,
}

impl Plan {
    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> crate::Result<TensorId> {
        self.find(name).ok_or_else(|| {
            crate::Error::shape(
                format!("plan {}", self.name),
                format!("a tensor named {name}"),
                "none of that name".to_string(),
            )
        })
    }

    /// The tensor of that name, if there is one.
    pub fn find(&self, name: &str) -> Option<TensorId> {
        self.tensors.iter().position(|t| t.name == name).map(|i| TensorId(i as u32))
    }

    /// What is known of a tensor.
    pub fn info(&self, t: TensorId) -> &TensorInfo {
        &self.tensors[t.0 as usize]
    }

    /// Step indices of the named segments, in plan order. Unknown names are an error: they are our own mistakes.
    pub fn steps_of(&self, segments: &[&str]) -> crate::Result<Vec<usize>> {
        let mut wanted = vec![false; self.segments.len()];
        for s in segments {
            match self.segments.iter().position(|n| n == s) {
                Some(i) => wanted[i] = true,
                None => {
                    return Err(crate::Error::shape(
                        format!("plan {}", self.name),
                        format!("a segment out of {:?}", self.segments),
                        s.to_string(),
                    ));
                }
            }
        }
        Ok((0..self.steps.len()).filter(|&i| wanted[self.steps[i].segment]).collect())
    }
}
