//! relu: x -> y.

use super::{Adapter, own_unary, unary};
use crate::ops::relu::Relu;

pub static ADAPTER: Adapter =
    Adapter { ops: &["relu"], prepare: |file| unary(file, Relu), own: || own_unary("relu", Relu, 0.0, 1e-3) };
