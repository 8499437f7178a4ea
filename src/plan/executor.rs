//! What runs a plan.

use std::pin::Pin;

use super::{Plan, TensorId};
use crate::Result;

/// Words of tensors that are on their way.
pub type Fetch<'a> = Pin<Box<dyn Future<Output = Result<Vec<Vec<u32>>>> + 'a>>;

/// Floats of tensors that are on their way.
pub type FetchFloats<'a> = Pin<Box<dyn Future<Output = Result<Vec<Vec<f32>>>> + 'a>>;

/// Runs a plan's steps in its memory. Whole tensors go in and out in the plan's own formats, as 4-byte words.
pub trait Executor {
    /// The plan.
    fn plan(&self) -> &Plan;

    /// A line about the device for logs.
    fn device_name(&self) -> String;

    /// Replaces a whole tensor (padding included). The length must be the tensor's.
    fn write(&mut self, tensor: TensorId, data: &[u32]) -> Result<()>;

    /// Reads whole tensors (padding included), in one copy where that is possible. In a browser this is the only way to read.
    fn fetch<'a>(&'a mut self, tensors: &'a [TensorId]) -> Fetch<'a>;

    /// Reads a whole tensor (padding included); waits for the device, which a browser forbids.
    fn read(&mut self, tensor: TensorId) -> Result<Vec<u32>> {
        Ok(pollster::block_on(self.fetch(&[tensor]))?.swap_remove(0))
    }

    /// Runs all steps of the named segments, in plan order.
    fn run(&mut self, segments: &[&str]) -> Result<()> {
        let steps = self.plan().steps_of(segments)?;
        self.run_steps(&steps)
    }

    /// Runs the steps of these indices, in this order.
    fn run_steps(&mut self, steps: &[usize]) -> Result<()>;

    /// Runs steps as [`Executor::run_steps`] does and gives the seconds that each took by the device's own clock; `None`, and
    /// nothing has run, where it has none or a step is no dispatch.
    fn device_seconds(&mut self, steps: &[usize]) -> Result<Option<Vec<f64>>> {
        let _ = steps;
        Ok(None)
    }

    /// Waits until everything submitted is done.
    fn wait(&mut self) -> Result<()>;

    /// [`Executor::write`] for floats.
    fn write_f32(&mut self, tensor: TensorId, data: &[f32]) -> Result<()> {
        self.write(tensor, bytemuck::cast_slice(data))
    }

    /// [`Executor::read`] for floats.
    fn read_f32(&mut self, tensor: TensorId) -> Result<Vec<f32>> {
        Ok(self.read(tensor)?.into_iter().map(f32::from_bits).collect())
    }

    /// Writes an N,C,H,W (or O,I,KH,KW; or dense) array into a tensor, adding the padding of its format.
    fn write_nchw(&mut self, tensor: TensorId, data: &[f32]) -> Result<()> {
        let words = super::param::to_engine(self.plan().info(tensor), data)?;
        self.write(tensor, &words)
    }

    /// Reads a tensor as N,C,H,W (or O,I,KH,KW; or dense), without padding.
    fn read_nchw(&mut self, tensor: TensorId) -> Result<Vec<f32>> {
        Ok(pollster::block_on(self.fetch_nchw(&[tensor]))?.swap_remove(0))
    }

    /// [`Executor::read_nchw`] of several tensors, where nothing may block.
    fn fetch_nchw<'a>(&'a mut self, tensors: &'a [TensorId]) -> FetchFloats<'a> {
        Box::pin(async move {
            let words = self.fetch(tensors).await?;
            let plan = self.plan();
            words.iter().zip(tensors).map(|(w, t)| super::param::from_engine(plan.info(*t), w)).collect()
        })
    }
}
