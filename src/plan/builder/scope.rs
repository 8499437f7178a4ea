//! Scopes: several networks in one plan, each with a backward pass, a gate and deferred steps of its own.

use std::collections::HashMap;
use std::rc::Rc;

use super::*;

/// An operation as it was applied.
pub(super) struct Applied {
    pub(super) op: Rc<dyn Op>,
    pub(super) io: Io,
    pub(super) saved: Saved,
}

/// Steps that an operation wants to add after the backward pass.
pub(super) type Deferred = Box<dyn FnOnce(&mut Builder) -> Result<()>>;

/// What belongs to one backward pass.
#[derive(Default)]
pub(super) struct Scope {
    pub(super) tape: Vec<Applied>,
    pub(super) grads: HashMap<TensorId, TensorId>,
    pub(super) deferred: Vec<Deferred>,
    pub(super) gate: Option<TensorId>,
    /// Tensors made before are constants in this scope.
    first: u32,
    /// The groups whose parameters learn; all where `None`.
    learns: Option<Vec<String>>,
}

impl Builder {
    /// Runs `body` in a scope of its own: with its own tape, gradients, gate and deferred steps. In it only parameters
    /// of the groups `learns` get gradients, and tensors made before it began are constants ("detached"); with no group
    /// nothing is recorded. Scopes nest, and the outer one goes on afterwards as if nothing had been:
    ///
    /// ```text
    /// scope(["generator"]):                      f, made before, is a constant
    ///     fake = G(f)
    ///     scope(["discriminator"]):              fake is a constant
    ///         loss of D(real), D(fake); backward; update of D
    ///     loss of D(fake); backward; update of G    D's parameters get no gradient
    /// ```
    ///
    /// What was deferred in a scope must have been added ([`Builder::add_deferred`]) when it ends.
    ///
    /// # Errors
    /// Those of `body`; [`Error::Shape`] when deferred steps were left over.
    pub fn scope<T>(&mut self, learns: &[&str], body: impl FnOnce(&mut Builder) -> Result<T>) -> Result<T> {
        let inner = Scope {
            first: self.tensors.len() as u32,
            learns: Some(learns.iter().map(|g| g.to_string()).collect()),
            ..Default::default()
        };
        let outer = std::mem::replace(&mut self.scope, inner);
        let out = body(self);
        let inner = std::mem::replace(&mut self.scope, outer);
        if out.is_ok() && !inner.deferred.is_empty() {
            let left = format!("{} left over", inner.deferred.len());
            return Err(Error::shape(format!("the scope of {learns:?}"), "all deferred steps to be added", left));
        }
        out
    }

    /// Whether a scope is open.
    pub(super) fn in_scope(&self) -> bool {
        self.scope.learns.is_some()
    }

    /// Whether a gradient of this tensor is wanted in the current scope.
    pub fn wants_gradient(&self, t: TensorId) -> bool {
        if self.mode == Mode::Eval || !self.info(t).requires_grad {
            return false;
        }
        let Some(learns) = &self.scope.learns else { return true };
        match self.param_info(t) {
            Some(p) => learns.contains(&p.group),
            None => t.0 >= self.scope.first && !learns.is_empty(),
        }
    }
}
