//! leaky_relu, sigmoid, tanh, hardtanh: x -> y.

use super::{Adapter, own_unary, unary};
use crate::ops::activation::{Hardtanh, LeakyRelu, Sigmoid, Tanh};

pub static ADAPTER: Adapter = Adapter {
    ops: &["leaky_relu", "sigmoid", "tanh", "hardtanh"],
    prepare: |file| match file.op.as_str() {
        "leaky_relu" => unary(file, LeakyRelu { slope: file.real("slope")? }),
        "sigmoid" => unary(file, Sigmoid),
        "tanh" => unary(file, Tanh),
        _ => unary(file, Hardtanh::default()),
    },
    own: || {
        let mut out = own_unary("leaky_relu", LeakyRelu { slope: 0.2 }, 1e-6, 1e-3);
        out.extend(own_unary("sigmoid", Sigmoid, 1e-5, 1e-2));
        out.extend(own_unary("tanh", Tanh, 1e-5, 1e-2));
        out.extend(own_unary("hardtanh", Hardtanh::default(), 0.0, 1e-3));
        out
    },
};
