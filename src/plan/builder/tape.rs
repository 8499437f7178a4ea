//! The tape: operations as they are applied, and the backward pass over them in reverse.

use std::rc::Rc;

use super::scope::Applied;
use super::*;

impl Builder {
    /// Applies an operation: its forward steps are added, and it is noted for [`Builder::backward`].
    pub fn apply(&mut self, op: impl Op + 'static, label: &str, inputs: &[TensorId]) -> Result<Vec<TensorId>> {
        let op: Rc<dyn Op> = Rc::new(op);
        let (outputs, saved) = op.forward(self, label, inputs)?;
        let train = inputs.iter().any(|t| self.wants_gradient(*t));
        for o in &outputs {
            self.tensors[o.0 as usize].requires_grad |= train;
        }
        let io = Io { label: label.to_string(), inputs: inputs.to_vec(), outputs: outputs.clone() };
        // A layer that is applied again, with the same parameters, does not own them again.
        let new: Vec<TensorId> =
            inputs.iter().copied().filter(|t| self.param_of.contains_key(t) && self.owned.insert(*t)).collect();
        let params = new.iter().filter_map(|t| self.param_info(*t)).filter(|p| p.learned);
        let params: u64 = params.map(|p| self.shape(p.tensor).len()).sum();
        let binary_params = if params > 0 { op.binary_params(self, &io) } else { 0 };
        let first = |l: &[TensorId]| l.first().map(|t| self.shape(*t)).unwrap_or(Shape::vector(0));
        self.layers.push(LayerInfo {
            label: label.to_string(),
            op: op.name(),
            inputs: io.inputs.clone(),
            outputs: io.outputs.clone(),
            input: first(&io.inputs),
            output: first(&io.outputs),
            params,
            binary_params,
            cost: op.cost(self, &io),
            aside: self.in_scope(),
        });
        self.applied.push((op.clone(), io.clone()));
        if train {
            self.scope.tape.push(Applied { op, io, saved });
        }
        Ok(outputs)
    }

    /// [`Builder::apply`] for operations with one output.
    pub fn apply1(&mut self, op: impl Op + 'static, label: &str, inputs: &[TensorId]) -> Result<TensorId> {
        Ok(self.apply(op, label, inputs)?[0])
    }

    /// Sets the upstream gradient of a tensor to another tensor of the same shape and format.
    pub fn seed_gradient(&mut self, of: TensorId, gradient: TensorId) {
        self.scope.grads.insert(of, gradient);
    }

    /// Adds the backward steps of everything applied so far, in reverse order. Loss operations start it: their
    /// [`Op::backward`] runs whether or not their output has a gradient. Others run when one of their outputs has one.
    pub fn backward(&mut self) -> Result<()> {
        while let Some(a) = self.scope.tape.pop() {
            let used = a.io.outputs.iter().any(|o| self.scope.grads.contains_key(o));
            if used || a.op.is_loss() {
                a.op.backward(self, &a.io, &a.saved)?;
            }
        }
        Ok(())
    }

    /// The gradient of a tensor, once something has written it.
    pub fn gradient(&self, of: TensorId) -> Option<TensorId> {
        self.scope.grads.get(&of).copied().or_else(|| self.param_info(of).and_then(|p| p.grad))
    }

    /// The gradient of output `i`, if anything used that output.
    pub fn d_output(&self, io: &Io, i: usize) -> Option<TensorId> {
        self.scope.grads.get(&io.outputs[i]).copied()
    }

    /// Where the gradient of input `i` goes, or `None` if none is wanted. After this call it counts as written, so the
    /// caller must add the steps that write it, for every slice. Gradients of tensors that are not sliced (parameters)
    /// always accumulate.
    pub fn d_input(&mut self, io: &Io, i: usize) -> Option<Grad> {
        let t = io.inputs[i];
        if !self.wants_gradient(t) {
            return None;
        }
        if let Some(p) = self.param_info(t) {
            return p.grad.map(|tensor| Grad { tensor, accumulate: true });
        }
        if let Some(g) = self.scope.grads.get(&t) {
            return Some(Grad { tensor: *g, accumulate: true });
        }
        let info = self.info(t).clone();
        let tensor = self.tensor(&format!("d.{}", info.name), info.shape, info.format, Role::Transient, info.sliced);
        self.scope.grads.insert(t, tensor);
        if !info.sliced {
            // Shared by all slices, like a parameter's: it starts at zero and every slice adds.
            self.clear(&io.label, tensor);
            return Some(Grad { tensor, accumulate: true });
        }
        Some(Grad { tensor, accumulate: false })
    }

    /// Lets `gradient` (of the same shape and format, which the caller no longer needs) become the gradient of input
    /// `i` without a copy. Returns where to add it instead, when that input already has a gradient; `None` when done.
    pub fn give_gradient(&mut self, io: &Io, i: usize, gradient: TensorId) -> Option<Grad> {
        let t = io.inputs[i];
        if !self.wants_gradient(t) {
            return None;
        }
        if self.param_info(t).is_some() || self.scope.grads.contains_key(&t) {
            return self.d_input(io, i);
        }
        self.scope.grads.insert(t, gradient);
        None
    }

    /// Keeps steps for later: what must only happen once the whole step is known to be sound, such as the update of
    /// running statistics.
    pub fn defer(&mut self, steps: impl FnOnce(&mut Builder) -> Result<()> + 'static) {
        self.scope.deferred.push(Box::new(steps));
    }

    /// Adds the deferred steps, in the order in which they were deferred, to the current segment.
    pub fn add_deferred(&mut self) -> Result<()> {
        std::mem::take(&mut self.scope.deferred).into_iter().try_for_each(|f| f(self))
    }

    /// Sets the gate: a [`Format::FlatU32`] tensor of one value, 1 where this step's updates shall happen and 0 where
    /// its gradients were not finite.
    pub fn set_gate(&mut self, gate: TensorId) {
        self.scope.gate = Some(gate);
    }

    /// The gate that deferred updates of this scope read; a constant 1 where none was set.
    pub fn gate(&mut self) -> TensorId {
        if let Some(g) = self.scope.gate {
            return g;
        }
        let g = self.constant("gate.open", Shape::vector(1), Format::FlatU32, vec![1]);
        self.scope.gate = Some(g);
        g
    }

    /// Adds the steps that set all gradients of a group to zero (one a slab).
    pub fn clear_gradients(&mut self, group: &str) {
        for s in self.close_group(group) {
            if let Some(g) = s.grads {
                self.clear(&format!("gradients.{group}"), g);
            }
        }
    }
}
