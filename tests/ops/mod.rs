//! One file an operation: twins against the device, slices against one piece, gradients against finite differences.

mod activation;
mod add;
mod batch_norm2d;
mod case_file;
mod feature_l2;
mod l2_norm;
mod pool;
mod rearrange;
mod relu;
mod softmax;
