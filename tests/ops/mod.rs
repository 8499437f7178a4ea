//! One file an operation: twins against the device, slices against one piece, gradients against finite differences.

mod activation;
mod add;
mod batch_norm2d;
mod binary_conv2d;
mod case_file;
mod conv2d;
mod gather_heads;
mod gaussian_location;
mod losses_support;
mod match_priors;
mod multibox_loss;
mod nms;
mod optimizer;
mod relu;
mod sparse_object_prior;
mod feature_l2;
mod l2_norm;
mod pool;
mod rearrange;
mod softmax;
