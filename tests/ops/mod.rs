//! One file an operation: twins against the device, slices against one piece, gradients against finite differences.

mod activation;
mod activation_census;
mod add;
mod batch_norm2d;
mod binary_conv2d;
mod case_file;
mod conv2d;
mod feature_l2;
mod gather_heads;
mod gaussian_latent;
mod gaussian_location;
mod image_beta;
mod l2_norm;
mod losses_support;
mod match_priors;
mod multibox_loss;
mod nms;
mod optimizer;
mod pool;
mod quantize;
mod rearrange;
mod reconstruction_loss;
mod relu;
mod softmax;
mod sparse_object_prior;
