//! What an operation must provide.

use super::{Builder, Shape, TensorId};
use crate::Result;

/// The tensors of one application of an operation.
#[derive(Debug, Clone)]
pub struct Io {
    /// The layer's name, e.g. `vgg.layers.2.conv`.
    pub label: String,
    /// Inputs in the operation's order.
    pub inputs: Vec<TensorId>,
    /// Outputs in the operation's order.
    pub outputs: Vec<TensorId>,
}

/// Tensors that the forward pass keeps for the backward pass.
pub type Saved = Vec<TensorId>;

/// Arithmetic of one step or layer, for one batch. The kinds are never added up silently.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Float multiply-accumulates.
    pub macs: u64,
    /// Multiply-accumulates on single bits (xor + popcount).
    pub binary_macs: u64,
    /// Bytes read and written, counted once each.
    pub bytes: u64,
}

impl std::ops::Add for Cost {
    type Output = Cost;
    fn add(self, o: Cost) -> Cost {
        Cost { macs: self.macs + o.macs, binary_macs: self.binary_macs + o.binary_macs, bytes: self.bytes + o.bytes }
    }
}

/// A line of `autobidet info`.
#[derive(Debug, Clone)]
pub struct LayerInfo {
    /// The layer's name.
    pub label: String,
    /// The operation.
    pub op: &'static str,
    /// Its inputs and outputs in the operation's order: who makes what another one reads.
    pub inputs: Vec<TensorId>,
    /// See `inputs`.
    pub outputs: Vec<TensorId>,
    /// Shape of its first input.
    pub input: Shape,
    /// Shape of its first output.
    pub output: Shape,
    /// Parameters it owns (values, without padding).
    pub params: u64,
    /// Of those, weights that a packed file stores as one bit.
    pub binary_params: u64,
    /// Arithmetic of its forward pass for one batch.
    pub cost: Cost,
    /// Whether it was applied in a scope of its own ([`Builder::scope`]): it is then no part of the plan's main network.
    pub aside: bool,
}

/// An operation: checks shapes, adds forward steps, adds backward steps, counts cost. (`Any`, so that a network can be
/// looked through for its operations: [`Builder::applied`].)
pub trait Op: std::fmt::Debug + std::any::Any {
    /// The operation's name: the file stem.
    fn name(&self) -> &'static str;

    /// Creates the outputs (with [`Builder::map`] and its like), adds the forward steps, and returns the outputs and
    /// whatever [`Op::backward`] will need. Errors are [`crate::Error::Shape`] with `label`.
    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)>;

    /// Adds the backward steps. The gradient of an output is [`Builder::d_output`] (`None` where nothing used that
    /// output); where the gradient of an input goes is [`Builder::d_input`] (`None` where none is wanted).
    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()>;

    /// Whether its backward pass starts by itself: losses, whose upstream gradient is their own weight.
    fn is_loss(&self) -> bool {
        false
    }

    /// Arithmetic of the forward pass for one batch.
    fn cost(&self, b: &Builder, io: &Io) -> Cost {
        let _ = (b, io);
        Cost::default()
    }

    /// How many of the parameters among `io.inputs` are stored as bits in a packed file.
    fn binary_params(&self, b: &Builder, io: &Io) -> u64 {
        let _ = (b, io);
        0
    }
}
