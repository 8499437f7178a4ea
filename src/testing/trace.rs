//! Step by step on a device, each step beside its twin: which kernel is the first that computes something else?
//!
//! The twin gets the device's own inputs of each step. So a difference is the step's own and not one that an earlier
//! step handed on, and rounding before a sign is not blamed on the kernel that counts the signs.

use std::sync::Arc;

use super::{OpCase, compare};
use crate::Result;
use crate::cpu::{Buffer, TwinCall};
use crate::gpu::{Gpu, GpuExecutor};
use crate::plan::{Access, Elem, Executor, Plan, StepKind, View};

/// What counts as a difference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Largest error of floats, relative to the largest value of the buffer (see [`compare`]).
    pub floats: f64,
    /// Largest share of integers that differ.
    pub integers: f64,
}

impl Default for Tolerance {
    /// 1e-4 for floats; integers exact.
    fn default() -> Self {
        Tolerance { floats: 1e-4, integers: 0.0 }
    }
}

/// One output of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct TracedOutput {
    /// The tensor's name in the plan.
    pub tensor: String,
    /// The largest error of floats; 0 for integers.
    pub error: f64,
    /// The share of differing integers; 0 for floats.
    pub differing: f64,
    /// The first (integers) or worst (floats) element that differs: index, value on the device, value of the twin.
    pub example: Option<(usize, f64, f64)>,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct TracedStep {
    /// Index in the plan.
    pub step: usize,
    /// Its label.
    pub label: String,
    /// What it wrote.
    pub outputs: Vec<TracedOutput>,
    /// Whether every output is within the tolerance.
    pub agrees: bool,
}

impl std::fmt::Display for TracedStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let error = self.outputs.iter().fold(0f64, |m, o| m.max(o.error));
        let differing = self.outputs.iter().fold(0f64, |m, o| m.max(o.differing));
        write!(f, "{:5} {:<48} error {error:8.1e}", self.step, self.label)?;
        if differing > 0.0 {
            write!(f, ", {:.4} % of the integers differ", 100.0 * differing)?;
        }
        if !self.agrees {
            for o in self.outputs.iter().filter(|o| o.example.is_some()) {
                if let Some((i, got, want)) = o.example {
                    write!(f, "\n      {}[{i}] is {got}, the twin says {want}", o.tensor)?;
                }
            }
        }
        Ok(())
    }
}

/// All steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// In the order in which they ran.
    pub steps: Vec<TracedStep>,
}

impl Trace {
    /// The first step beyond the tolerance.
    pub fn first_difference(&self) -> Option<&TracedStep> {
        self.steps.iter().find(|s| !s.agrees)
    }
}

/// Runs `steps` of the executor's plan one by one. `report` gets each step as soon as it is done; false from it ends the
/// trace. What the steps read must have been written to the executor before, as for an ordinary run.
///
/// # Errors
/// Those of the device.
pub fn trace(
    executor: &mut GpuExecutor,
    steps: &[usize],
    tolerance: Tolerance,
    report: &mut dyn FnMut(&TracedStep) -> bool,
) -> Result<Trace> {
    pollster::block_on(trace_async(executor, steps, tolerance, report))
}

/// [`trace`] where nothing may block.
///
/// # Errors
/// Those of the device.
pub async fn trace_async(
    executor: &mut GpuExecutor,
    steps: &[usize],
    tolerance: Tolerance,
    report: &mut dyn FnMut(&TracedStep) -> bool,
) -> Result<Trace> {
    let plan = Arc::new(executor.plan().clone());
    let mut out = Trace { steps: Vec::new() };
    for &index in steps {
        let traced = trace_step(executor, &plan, index, tolerance).await?;
        let more = report(&traced);
        out.steps.push(traced);
        if !more {
            break;
        }
    }
    Ok(out)
}

/// [`trace`] of a whole plan with the inputs that `fill` writes, on a fresh executor.
///
/// # Errors
/// Those of the device and of `fill`.
pub fn trace_plan(
    gpu: &Arc<Gpu>,
    plan: Plan,
    tolerance: Tolerance,
    fill: impl FnOnce(&mut GpuExecutor) -> Result<()>,
    report: &mut dyn FnMut(&TracedStep) -> bool,
) -> Result<Trace> {
    let all: Vec<usize> = (0..plan.steps.len()).collect();
    let mut executor = GpuExecutor::new(gpu.clone(), Arc::new(plan))?;
    fill(&mut executor)?;
    trace(&mut executor, &all, tolerance, report)
}

/// [`trace`] of an operation's case, forward and backward.
///
/// # Errors
/// Those of the device and of the operation.
pub fn trace_case(gpu: &Arc<Gpu>, case: &OpCase<'_>, tolerance: Tolerance) -> Result<Trace> {
    let (plan, tensors) = case.planned(gpu.limits())?;
    trace_plan(gpu, plan, tolerance, |e| case.fill(e, &tensors), &mut |_| true)
}

async fn trace_step(e: &mut GpuExecutor, plan: &Plan, index: usize, tolerance: Tolerance) -> Result<TracedStep> {
    let step = &plan.steps[index];
    // View, element type, words on the device, words of the twin.
    let mut compared: Vec<(View, Elem, Vec<u32>, Vec<u32>)> = Vec::new();
    let mut largest = 0f64;
    match &step.kind {
        StepKind::Clear(v) => {
            e.run_steps(&[index])?;
            let got = e.fetch_views(&[*v]).await?.swap_remove(0);
            let zeros = vec![0; got.len()];
            compared.push((*v, Elem::U32, got, zeros));
        }
        StepKind::Copy { from, to } => {
            let want = e.fetch_views(&[*from]).await?.swap_remove(0);
            e.run_steps(&[index])?;
            let got = e.fetch_views(&[*to]).await?.swap_remove(0);
            compared.push((*to, Elem::U32, got, want));
        }
        StepKind::Dispatch { kernel, dims, bindings, .. } => {
            // Also what is only written is read before: elements that the kernel leaves alone keep their old contents
            // on both sides.
            let mut words = e.fetch_views(bindings).await?;
            for (w, _) in
                words.iter().zip(kernel.bindings).filter(|(_, b)| b.elem == Elem::F32 && b.access == Access::Read)
            {
                let finite = w.iter().map(|w| f32::from_bits(*w).abs() as f64).filter(|v| v.is_finite());
                largest = finite.fold(largest, f64::max);
            }
            e.run_steps(&[index])?;
            let written: Vec<usize> =
                (0..bindings.len()).filter(|i| kernel.bindings[*i].access != Access::Read).collect();
            let views: Vec<View> = written.iter().map(|i| bindings[*i]).collect();
            let got = e.fetch_views(&views).await?;
            let buffers = words.iter_mut().zip(kernel.bindings).map(|(w, b)| match b.access {
                Access::Read => Buffer::Read(w),
                _ => Buffer::Write(w),
            });
            (kernel.twin)(&mut TwinCall::new(dims, buffers.collect()));
            for (i, got) in written.into_iter().zip(got) {
                compared.push((bindings[i], kernel.bindings[i].elem, got, std::mem::take(&mut words[i])));
            }
        }
    }
    let outputs: Vec<TracedOutput> = compared
        .into_iter()
        .map(|(v, elem, got, want)| {
            let tensor = plan.info(v.tensor).name.clone();
            difference(tensor, elem, &got, &want, ROUNDING * largest)
        })
        .collect();
    let agrees = outputs.iter().all(|o| o.error <= tolerance.floats && o.differing <= tolerance.integers);
    Ok(TracedStep { step: index, label: step.label.clone(), outputs, agrees })
}

/// Floats that differ by less than this share of the largest value that the step read differ by its rounding: where a sum
/// cancels, what is left of it may be no larger than that.
const ROUNDING: f64 = 1e-6;

fn difference(tensor: String, elem: Elem, got: &[u32], want: &[u32], rounding: f64) -> TracedOutput {
    if elem == Elem::F32 {
        let d = compare(bytemuck::cast_slice(got), bytemuck::cast_slice(want));
        if (d.got - d.want).abs() <= rounding {
            return TracedOutput { tensor, error: 0.0, differing: 0.0, example: None };
        }
        let example = (d.error > 0.0).then_some((d.index, d.got, d.want));
        return TracedOutput { tensor, error: d.error, differing: 0.0, example };
    }
    let value = |w: u32| if elem == Elem::I32 { w as i32 as f64 } else { w as f64 };
    let differ = got.iter().zip(want).filter(|(g, w)| g != w).count();
    let example = got.iter().zip(want).position(|(g, w)| g != w).map(|i| (i, value(got[i]), value(want[i])));
    TracedOutput { tensor, error: 0.0, differing: differ as f64 / got.len().max(1) as f64, example }
}
