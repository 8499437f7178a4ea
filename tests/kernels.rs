//! Which kernels each operation's self-test cases run, forward and backward. A case holds each of its kernels against its
//! twin, so this is where a kernel is found that no longer runs, or runs for something else.

use std::collections::{BTreeMap, BTreeSet};

use autobidet::plan::{PlanLimits, StepKind};
use autobidet::testing::selftest::own_cases;

/// (operation, the kernels of all its cases in alphabetical order).
const KERNELS: &[(&str, &[&str])] = &[
    ("DorefaWeight", &["dorefa_weight", "dorefa_weight_d_latent", "dorefa_weight_d_sums", "dorefa_weight_max"]),
    ("TwnWeight", &["add_d_input", "twn_weight", "twn_weight_above", "twn_weight_sums"]),
    ("activation_census", &["activation_census", "activation_census_sum"]),
    ("add", &["add", "add_d_input"]),
    ("avg_pool2d", &["avg_pool2d", "avg_pool2d_d_input"]),
    (
        "batch_norm2d",
        &[
            "batch_norm2d",
            "batch_norm2d_d_input",
            "batch_norm2d_d_partial",
            "batch_norm2d_partial",
            "batch_norm2d_running",
            "batch_norm2d_statistics",
            "sum_rows",
        ],
    ),
    ("bce_with_logits", &["bce_with_logits_d_input", "bce_with_logits_partial", "loss_sum"]),
    ("bernoulli_kl", &["bernoulli_kl_d_input", "bernoulli_kl_partial", "loss_sum"]),
    (
        "binary_conv2d",
        &[
            "binary_conv2d",
            "binary_conv2d_d_input",
            "binary_conv2d_d_weight",
            "binary_weight",
            "binary_weight_center",
            "binary_weight_d_latent",
            "conv2d_d_weight_sum",
            "sign_pack",
        ],
    ),
    ("binary_conv2d_fused", &["binary_conv2d_fused"]),
    ("channel_shuffle", &["channel_shuffle", "channel_shuffle_d_input"]),
    (
        "conv2d",
        &[
            "channel_sum",
            "conv2d",
            "conv2d_d_input",
            "conv2d_d_weight",
            "conv2d_d_weight_sum",
            "conv2d_grouped",
            "conv2d_grouped_d_input",
            "conv2d_grouped_d_weight",
            "sum_rows",
        ],
    ),
    (
        "conv_transpose2d",
        &["add_bias", "channel_sum", "conv2d", "conv2d_d_input", "conv2d_d_weight", "conv2d_d_weight_sum", "sum_rows"],
    ),
    ("decode_boxes", &["decode_boxes"]),
    ("dorefa_activation", &["dorefa_activation", "dorefa_activation_d_input"]),
    ("feature_l2", &["feature_l2_d_input", "feature_l2_partial", "loss_sum"]),
    ("fixed_l2_norm", &["fixed_l2_norm"]),
    ("fixed_quantize", &["fixed_quantize"]),
    ("gather_heads", &["gather_heads", "gather_heads_d_input"]),
    ("gaussian_latent", &["gaussian_latent", "gaussian_latent_d_input", "gaussian_latent_partial", "loss_sum"]),
    ("gaussian_location", &["gaussian_location", "gaussian_location_d_input"]),
    ("hardtanh", &["hardtanh", "hardtanh_d_input"]),
    ("image_beta", &["gated_copy", "image_beta"]),
    ("int8_conv2d", &["int8_conv2d"]),
    ("l2_norm", &["l2_norm", "l2_norm_d_input", "l2_norm_d_weight", "sum_rows"]),
    ("leaky_relu", &["leaky_relu", "leaky_relu_d_input"]),
    ("linear", &["channel_sum", "conv2d", "conv2d_d_input", "conv2d_d_weight", "sum_rows"]),
    ("log_softmax", &["log_softmax", "log_softmax_d_input"]),
    ("match_priors", &["match_best_prior", "match_priors"]),
    ("max_pool2d", &["max_pool2d", "max_pool2d_d_input"]),
    ("multibox_loss", &["multibox_ce", "multibox_d_conf", "multibox_d_loc", "multibox_finish", "multibox_select"]),
    ("nms", &["nms"]),
    ("peak_rate", &["peak_multiply_add", "peak_popcount"]),
    ("prelu", &["prelu", "prelu_d_input", "prelu_d_slope", "sum_rows"]),
    (
        "reconstruction_loss",
        &["reconstruction_loss_d_input", "reconstruction_loss_finish", "reconstruction_loss_partial"],
    ),
    ("relu", &["relu", "relu_d_input"]),
    ("sigmoid", &["sigmoid", "sigmoid_d_input"]),
    ("softmax", &["softmax", "softmax_d_input"]),
    (
        "sparse_object_prior",
        &[
            "gated_copy",
            "sop_class_average",
            "sop_d_logits",
            "sop_detect",
            "sop_finish",
            "sop_image_weights",
            "sop_log_sum",
            "sop_slots",
        ],
    ),
    ("tanh", &["tanh", "tanh_d_input"]),
    ("threshold_pack", &["threshold_pack"]),
    ("upsample_nearest", &["upsample_nearest", "upsample_nearest_d_input"]),
    ("words_max_pool2d", &["words_max_pool2d"]),
];

/// What no operation's case runs: a training plan's update.
const UPDATE: &[&str] =
    &["adam", "finite_flag", "gradient_gate", "gradient_squares", "gradient_sums", "optimizer_advance", "sgd"];

fn dispatched() -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut out = BTreeMap::<String, BTreeSet<&'static str>>::new();
    for case in own_cases() {
        let operation = case.name.split([' ', ':', '/', ',']).next().unwrap().to_string();
        for step in &case.plan(PlanLimits::HOST).unwrap().steps {
            if let StepKind::Dispatch { kernel, .. } = &step.kind {
                out.entry(operation.clone()).or_default().insert(kernel.name);
            }
        }
    }
    out
}

#[test]
fn operations_run_the_kernels_that_they_are_known_for() {
    let want: BTreeMap<String, BTreeSet<&str>> =
        KERNELS.iter().map(|(op, kernels)| (op.to_string(), kernels.iter().copied().collect())).collect();
    let got = dispatched();
    assert_eq!(got, want, "left: what the cases dispatch, right: the list of tests/kernels.rs");
}

#[test]
fn every_kernel_of_the_table_is_listed() {
    let listed: BTreeSet<&str> = KERNELS.iter().flat_map(|(_, kernels)| *kernels).chain(UPDATE).copied().collect();
    assert_eq!(autobidet::ops::kernels().map(|k| k.name).collect::<BTreeSet<_>>(), listed, "left: table, right: list");
    let cases = dispatched();
    let ran = |name: &&&str| cases.values().any(|k| k.contains(**name));
    assert_eq!(UPDATE.iter().find(ran), None, "a case runs it: list it with its operation");
}
