//! Sums in the order of the kernels.

/// Adds up a power of two of lanes as a workgroup does: the upper half onto the lower one, until one is left.
pub(crate) fn tree_sum(lanes: &mut [f32]) -> f32 {
    let mut half = lanes.len() / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}
