//! Twins of `shaders/optimizer_advance.wgsl`, `adam.wgsl` and `sgd.wgsl`.

use rayon::prelude::*;

use crate::dims;

dims! {
    /// Constants of `optimizer_advance`.
    pub struct OptimizerAdvanceDims {
        /// 1 - beta1, 0 for SGD.
        complement1: f32,
        /// 1 - beta2, 0 for SGD.
        complement2: f32,
        /// The place of the learning rate in `hyper`.
        lr: u32,
    }
}
dims! {
    /// Sizes and constants of `adam`.
    pub struct AdamDims {
        /// `vec4<f32>` of the slab.
        vectors: u32,
        /// 1 - beta1.
        complement1: f32,
        /// beta2.
        beta2: f32,
        /// 1 - beta2.
        complement2: f32,
        /// Added to the root.
        eps: f32,
        /// Weight decay, added to the gradient.
        decay: f32,
    }
}
dims! {
    /// Sizes and constants of `sgd`.
    pub struct SgdDims {
        /// `vec4<f32>` of the slab.
        vectors: u32,
        /// Momentum.
        momentum: f32,
        /// Weight decay, added to the gradient.
        decay: f32,
    }
}

/// Elements that one thread updates at a time.
const PIECE: usize = 1 << 14;

/// Counter, bias corrections and this step's scalars.
pub fn optimizer_advance(
    d: &OptimizerAdvanceDims,
    hyper: &[f32],
    norm: &[f32],
    gate: &[u32],
    state: &mut [u32],
    control: &mut [u32],
) {
    control[0] = gate[0];
    if gate[0] == 0 {
        return;
    }
    let (mut c1, mut c2) = (f32::from_bits(state[1]), f32::from_bits(state[2]));
    c1 += d.complement1 * (1.0 - c1);
    c2 += d.complement2 * (1.0 - c2);
    state[0] = state[0].wrapping_add(1);
    state[1] = c1.to_bits();
    state[2] = c2.to_bits();
    let lr = hyper[d.lr as usize];
    control[1] = norm[1].to_bits();
    control[2] = if c1 > 0.0 { lr / c1 } else { lr }.to_bits();
    control[3] = c2.sqrt().to_bits();
}

/// Adam.
pub fn adam(d: &AdamDims, control: &[u32], grads: &[f32], params: &mut [f32], m: &mut [f32], v: &mut [f32]) {
    if control[0] == 0 {
        return;
    }
    let [scale, size, root2] = [1, 2, 3].map(|i| f32::from_bits(control[i]));
    let moments = m.par_chunks_mut(PIECE).zip(v.par_chunks_mut(PIECE));
    params.par_chunks_mut(PIECE).zip(grads.par_chunks(PIECE)).zip(moments).for_each(|((p, g), (m, v))| {
        for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
            let g = g * scale + d.decay * *p;
            *m += d.complement1 * (g - *m);
            *v = d.beta2 * *v + d.complement2 * g * g;
            *p -= size * (*m / (v.sqrt() / root2 + d.eps));
        }
    });
}

/// Stochastic gradient descent with momentum.
pub fn sgd(d: &SgdDims, control: &[u32], grads: &[f32], params: &mut [f32], u: &mut [f32]) {
    if control[0] == 0 {
        return;
    }
    let [scale, size] = [1, 2].map(|i| f32::from_bits(control[i]));
    let pieces = params.par_chunks_mut(PIECE).zip(grads.par_chunks(PIECE)).zip(u.par_chunks_mut(PIECE));
    pieces.for_each(|((p, g), u)| {
        for ((p, g), u) in p.iter_mut().zip(g).zip(u) {
            *u = d.momentum * *u + (g * scale + d.decay * *p);
            *p -= size * *u;
        }
    });
}
