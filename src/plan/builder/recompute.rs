//! Computing maps again in the backward pass instead of keeping them.
//!
//! The backward pass of a binary layer reads the convolution's output (batch norm) and its input (the derivative of the
//! sign), both floats. The signs' words, a thirty-second of that, are kept in any case, and a packed convolution costs
//! little. So a map that few cheap steps make from what is kept is not kept itself: the steps that made it run again
//! right before the backward pass reads it. They are the same steps on the same values, so the results keep their bits.

use std::collections::{HashMap, HashSet};

use super::{Builder, Inside};
use crate::plan::{Cost, Format, Groups, Role, Step, StepKind, TensorId, TensorInfo, View};

/// The segment whose reads are served with maps made again.
const BACKWARD: &str = "backward";
/// The most steps that run to make one map again. With 4, every third y of a chain of blocks y' = BN(conv(sign y)) + y is kept.
const MOST_STEPS: u32 = 4;
/// The most float multiply-adds a byte saved.
const MOST_MACS: u64 = 64;
/// The most multiply-adds on bits a byte saved.
const MOST_BINARY_MACS: u64 = 4096;
/// An input may be kept for it if it is so many times smaller than the map.
const SMALLER: u64 = 4;
/// A map made again lives on while its next use is no more than this many steps away.
const NEAR: usize = 12;

/// What making a map again takes, the making of its inputs included.
#[derive(Debug, Clone, Copy)]
struct Recipe {
    steps: u32,
    cost: Cost,
}

/// The steps before the pass: who writes and reads what.
struct Survey<'a> {
    steps: &'a [Step],
    tensors: &'a [TensorInfo],
    inside: &'a Inside,
    backward: usize,
    /// The last step of the backward pass.
    end: usize,
    /// Images of the first slice, which stands for all.
    images: u64,
    writers: HashMap<View, Vec<usize>>,
    read_in_backward: HashSet<TensorId>,
    read_later: HashSet<TensorId>,
    recipes: HashMap<TensorId, Option<Recipe>>,
}

impl<'a> Survey<'a> {
    /// `None` without a backward pass.
    fn of(steps: &'a [Step], b: &'a Builder) -> Option<Survey<'a>> {
        let backward = b.segments.iter().position(|s| s == BACKWARD)?;
        let mut survey = Survey {
            steps,
            tensors: &b.tensors,
            inside: &b.inside,
            backward,
            end: steps.iter().rposition(|s| s.segment == backward)?,
            images: b.slices[0].len() as u64,
            writers: HashMap::new(),
            read_in_backward: HashSet::new(),
            read_later: HashSet::new(),
            recipes: HashMap::new(),
        };
        for (i, s) in steps.iter().enumerate() {
            let (reads, writes) = s.uses();
            writes.into_iter().for_each(|v| survey.writers.entry(v).or_default().push(i));
            for v in reads {
                if s.segment == backward {
                    survey.read_in_backward.insert(v.tensor);
                } else if i > survey.end {
                    survey.read_later.insert(v.tensor);
                }
            }
        }
        Some(survey)
    }

    fn info(&self, t: TensorId) -> &TensorInfo {
        &self.tensors[t.0 as usize]
    }

    /// The step that makes a view, if it alone makes it and whatever else it writes, before the backward pass. (A kernel
    /// that can add to what was there finds nothing of worth there when it is the only one to write it.)
    fn maker(&self, v: View) -> Option<usize> {
        let &[w] = self.writers.get(&v)?.as_slice() else { return None };
        let step = &self.steps[w];
        let alone =
            step.uses().1.iter().all(|o| self.writers[o].len() == 1 && self.info(o.tensor).role == Role::Transient);
        let dispatch = matches!(step.kind, StepKind::Dispatch { groups: Groups::Fixed(_), .. });
        (dispatch && alone && step.segment != self.backward).then_some(w)
    }

    /// Whether something after step `from`, up to the end of the backward pass, writes `v`.
    fn changes(&self, v: View, from: usize) -> bool {
        let home = |t: TensorId| self.inside.get(&t).map(|(slab, _)| *slab);
        let same = |w: View| w == v || home(w.tensor) == Some(v.tensor) || home(v.tensor) == Some(w.tensor);
        self.writers.iter().any(|(w, at)| same(*w) && at.iter().any(|i| *i > from && *i <= self.end))
    }

    /// Bytes of a tensor's first slice.
    fn bytes(&self, t: TensorId) -> u64 {
        let info = self.info(t);
        if info.sliced { info.bytes_of(1) * self.images } else { info.bytes() }
    }

    /// Whether an input is there for the backward pass, or is so small beside the map `of` that it may be kept for it.
    fn at_hand(&self, input: TensorId, of: TensorId) -> bool {
        self.info(input).role != Role::Transient || self.bytes(input) * SMALLER <= self.bytes(of)
    }

    /// How a map is made again, if it can be and is worth it.
    fn recipe(&mut self, t: TensorId) -> Option<Recipe> {
        if let Some(known) = self.recipes.get(&t) {
            return *known;
        }
        let found = self.find(t);
        self.recipes.insert(t, found);
        found
    }

    fn find(&mut self, t: TensorId) -> Option<Recipe> {
        let info = self.info(t);
        if info.role != Role::Transient || !info.sliced || info.format != Format::Map || self.read_later.contains(&t) {
            return None;
        }
        let w = self.maker(View { tensor: t, slice: 0 })?;
        let mut all = Recipe { steps: 1, cost: self.steps[w].cost };
        for v in self.inputs(w) {
            if self.changes(v, w) {
                return None;
            }
            if self.at_hand(v.tensor, t) {
                continue;
            }
            match self.recipe(v.tensor) {
                Some(r) => all = Recipe { steps: all.steps + r.steps, cost: all.cost + r.cost },
                None if self.read_in_backward.contains(&v.tensor) || self.read_later.contains(&v.tensor) => {}
                None => return None,
            }
        }
        let bytes = self.bytes(t);
        let cheap = all.steps <= MOST_STEPS
            && all.cost.macs <= MOST_MACS * bytes
            && all.cost.binary_macs <= MOST_BINARY_MACS * bytes;
        cheap.then_some(all)
    }

    /// What a step reads and does not write, each view once.
    fn inputs(&self, step: usize) -> Vec<View> {
        let (mut inputs, writes) = self.steps[step].uses();
        inputs.retain(|v| !writes.contains(v));
        inputs.sort_by_key(|v| (v.tensor, v.slice));
        inputs.dedup();
        inputs
    }
}

/// A map that was made again: where it is, and the last step that read it.
struct Again {
    tensor: TensorId,
    last: usize,
}

/// The steps with those of the pass among them.
struct Pass<'a> {
    survey: Survey<'a>,
    tensors: Vec<TensorInfo>,
    made: HashMap<View, Again>,
    out: Vec<Step>,
}

impl Pass<'_> {
    /// Step `i`, reading maps made again where there are recipes.
    fn serve(&mut self, i: usize) -> Step {
        let mut step = self.survey.steps[i].clone();
        for v in self.survey.inputs(i) {
            let serves = self.survey.recipe(v.tensor).is_some() && self.survey.maker(v).is_some_and(|w| w < i);
            if serves {
                let to = View { tensor: self.make(v, i), ..v };
                redirect(&mut step, v, to);
            }
        }
        step
    }

    /// The map `v` for step `i`.
    fn make(&mut self, v: View, i: usize) -> TensorId {
        if let Some(again) = self.made.get_mut(&v)
            && i - again.last <= NEAR
        {
            again.last = i;
            return again.tensor;
        }
        let Some(w) = self.survey.maker(v) else { return v.tensor };
        let mut step = self.survey.steps[w].clone();
        for input in self.survey.inputs(w) {
            if !self.survey.at_hand(input.tensor, v.tensor) && self.survey.recipe(input.tensor).is_some() {
                let to = View { tensor: self.make(input, i), ..input };
                redirect(&mut step, input, to);
            }
        }
        for output in step.uses().1 {
            let to = self.copy(output);
            redirect(&mut step, output, to);
            self.made.insert(output, Again { tensor: to.tensor, last: i });
        }
        step.label += " again";
        step.segment = self.survey.backward;
        self.out.push(step);
        self.made[&v].tensor
    }

    /// A new tensor like that of `v`, in its place.
    fn copy(&mut self, v: View) -> View {
        let original = &self.tensors[v.tensor.0 as usize];
        let name = format!("{}.again.{}", original.name, self.tensors.len());
        self.tensors.push(TensorInfo { name, requires_grad: false, ..original.clone() });
        View { tensor: TensorId(self.tensors.len() as u32 - 1), ..v }
    }
}

fn redirect(step: &mut Step, from: View, to: View) {
    if let StepKind::Dispatch { bindings, .. } = &mut step.kind {
        bindings.iter_mut().filter(|v| **v == from).for_each(|v| *v = to);
    }
}

impl Builder {
    /// Puts steps that make maps again into the backward pass, which then reads those.
    pub(super) fn recompute(&mut self) {
        let steps = std::mem::take(&mut self.steps);
        let Some(survey) = Survey::of(&steps, self) else {
            self.steps = steps;
            return;
        };
        let tensors = self.tensors.clone();
        let backward = survey.backward;
        let mut pass = Pass { survey, tensors, made: HashMap::new(), out: Vec::with_capacity(steps.len()) };
        for (i, step) in steps.iter().enumerate() {
            let step = if step.segment == backward { pass.serve(i) } else { step.clone() };
            pass.out.push(step);
        }
        let Pass { tensors, out, .. } = pass;
        (self.tensors, self.steps) = (tensors, out);
    }
}
