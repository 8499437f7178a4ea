//! Runs a plan on the CPU twins.

use std::sync::Arc;

use rayon::prelude::*;

use super::TwinCall;
use super::call::Buffer;
use crate::plan::{Access, Executor, Fetch, Plan, Role, StepKind, TensorId, View};
use crate::{Error, Result};

/// A plan with its memory on the host.
pub struct CpuExecutor {
    plan: Arc<Plan>,
    blocks: Vec<Vec<u32>>,
}

/// Words that a thread copies at a time.
const COPIED: usize = 1 << 16;

impl CpuExecutor {
    /// Allocates the plan's memory (zeroed) and fills constants and first states.
    ///
    /// # Errors
    /// [`Error::Limit`] when the machine has less free memory than the plan needs (where the system tells).
    pub fn new(plan: Arc<Plan>) -> Result<Self> {
        let need = plan.memory.bytes();
        if let Some(free) = free_memory().filter(|f| *f < need) {
            let gib = |b: u64| format!("{:.1} GiB", b as f64 / (1u64 << 30) as f64);
            return Err(Error::Limit {
                what: format!("plan {}", plan.name),
                need: gib(need),
                limit: "the free memory of this machine".to_string(),
                have: gib(free),
                remedy: "Use a smaller --batch, or --micro-batch.".to_string(),
            });
        }
        let blocks = plan.memory.blocks.iter().map(|b| vec![0u32; b.bytes.div_ceil(4) as usize]).collect();
        let mut e = CpuExecutor { plan: plan.clone(), blocks };
        for (i, t) in plan.tensors.iter().enumerate() {
            if let Some(data) = &t.data
                && !plan.memory.placements[i].is_empty()
            {
                e.write(TensorId(i as u32), data)?;
            }
        }
        Ok(e)
    }

    fn views(&self, t: TensorId) -> Vec<View> {
        (0..self.plan.memory.placements[t.0 as usize].len() as u32).map(|slice| View { tensor: t, slice }).collect()
    }

    fn span(&self, v: View) -> (usize, std::ops::Range<usize>) {
        let p = self.plan.memory.of(v);
        (p.block as usize, (p.offset / 4) as usize..((p.offset + p.bytes) / 4) as usize)
    }

    /// The words of a view.
    pub fn view(&self, v: View) -> &[u32] {
        let (block, span) = self.span(v);
        &self.blocks[block][span]
    }

    /// The words of a view, to be replaced.
    pub fn view_mut(&mut self, v: View) -> &mut [u32] {
        let (block, span) = self.span(v);
        &mut self.blocks[block][span]
    }

    /// Runs one step.
    pub fn step(&mut self, index: usize) -> Result<()> {
        let plan = self.plan.clone();
        let step = &plan.steps[index];
        match &step.kind {
            StepKind::Clear(v) => self.view_mut(*v).fill(0),
            StepKind::Copy { from, to } => {
                // The plan made sure that they lie in two blocks.
                let (block, span) = self.span(*to);
                let mut target = std::mem::take(&mut self.blocks[block]);
                let parts = target[span].par_chunks_mut(COPIED).zip(self.view(*from).par_chunks(COPIED));
                parts.for_each(|(to, from)| to.copy_from_slice(from));
                self.blocks[block] = target;
            }
            StepKind::Dispatch { kernel, dims, bindings, .. } => {
                // Blocks that are written leave the store while the twin runs, so that the others can be borrowed. The
                // plan made sure that no block is read and written by one step.
                let spans: Vec<_> = bindings.iter().map(|v| self.span(*v)).collect();
                let mut written: Vec<usize> = (0..spans.len())
                    .filter(|i| kernel.bindings[*i].access != Access::Read)
                    .map(|i| spans[i].0)
                    .collect();
                written.sort_unstable();
                written.dedup();
                let mut taken: Vec<(usize, Vec<u32>)> =
                    written.iter().map(|b| (*b, std::mem::take(&mut self.blocks[*b]))).collect();
                let mut buffers: Vec<Option<Buffer<'_>>> = (0..bindings.len()).map(|_| None).collect();
                for (block, data) in taken.iter_mut() {
                    let mut mine: Vec<usize> = (0..spans.len())
                        .filter(|i| spans[*i].0 == *block && kernel.bindings[*i].access != Access::Read)
                        .collect();
                    mine.sort_by_key(|i| spans[*i].1.start);
                    let (mut rest, mut at) = (data.as_mut_slice(), 0usize);
                    for i in mine {
                        let span = &spans[i].1;
                        if span.start < at {
                            return Err(Error::shape(&step.label, "outputs that do not overlap", "two in one place"));
                        }
                        let (_, tail) = rest.split_at_mut(span.start - at);
                        let (part, tail) = tail.split_at_mut(span.len());
                        buffers[i] = Some(Buffer::Write(part));
                        (rest, at) = (tail, span.end);
                    }
                }
                for (i, b) in kernel.bindings.iter().enumerate() {
                    if b.access == Access::Read {
                        buffers[i] = Some(Buffer::Read(&self.blocks[spans[i].0][spans[i].1.clone()]));
                    }
                }
                (kernel.twin)(&mut TwinCall::new(dims, buffers.into_iter().flatten().collect()));
                for (block, data) in taken {
                    self.blocks[block] = data;
                }
            }
        }
        Ok(())
    }
}

/// Free memory in bytes, where the system tells it.
fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("MemAvailable:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
}

impl Executor for CpuExecutor {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn device_name(&self) -> String {
        format!("CPU twins, {} threads", rayon::current_num_threads())
    }

    fn write(&mut self, tensor: TensorId, data: &[u32]) -> Result<()> {
        let mut at = 0;
        let plan = self.plan.clone();
        for v in self.views(tensor) {
            let part = self.view_mut(v);
            let Some(source) = data.get(at..at + part.len()) else {
                return Err(wrong_length(&plan, tensor, data.len()));
            };
            part.copy_from_slice(source);
            at += source.len();
        }
        if at != data.len() {
            return Err(wrong_length(&plan, tensor, data.len()));
        }
        Ok(())
    }

    fn fetch<'a>(&'a mut self, tensors: &'a [TensorId]) -> Fetch<'a> {
        let one = |t: &TensorId| {
            check_readable(&self.plan, *t)?;
            Ok(self.views(*t).into_iter().flat_map(|v| self.view(v).to_vec()).collect())
        };
        let words = tensors.iter().map(one).collect();
        Box::pin(std::future::ready(words))
    }

    fn run_steps(&mut self, steps: &[usize]) -> Result<()> {
        steps.iter().try_for_each(|i| self.step(*i))
    }

    fn wait(&mut self) -> Result<()> {
        Ok(())
    }
}

pub(crate) fn wrong_length(plan: &Plan, tensor: TensorId, got: usize) -> Error {
    let info = plan.info(tensor);
    Error::shape(
        format!("writing tensor {}", info.name),
        format!("{} words ({} as {:?})", info.bytes() / 4, info.shape, info.format),
        format!("{got}"),
    )
}

pub(crate) fn check_readable(plan: &Plan, tensor: TensorId) -> Result<()> {
    let info = plan.info(tensor);
    if info.role == Role::Transient {
        return Err(Error::shape(
            format!("reading tensor {}", info.name),
            "one that is kept (Builder::keep)",
            "a transient, whose memory others have used since",
        ));
    }
    Ok(())
}
