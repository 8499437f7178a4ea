//! Twin of `shaders/sum_rows.wgsl`.

use crate::dims;

dims! {
    /// Sizes of `sum_rows`.
    pub struct SumRowsDims {
        /// Rows.
        rows: u32,
        /// Columns, in `vec4<f32>`.
        columns: u32,
        /// 1: also add to `total`.
        accumulate: u32,
    }
}

/// sums = sum of partials `[rows][columns]` over the rows, and total += sums where asked. In f64, in the order of the rows.
pub fn sum_rows(dims: &SumRowsDims, partials: &[f32], sums: &mut [f32], total: &mut [f32]) {
    let width = 4 * dims.columns as usize;
    let mut exact = vec![0f64; width];
    for row in partials.chunks_exact(width).take(dims.rows as usize) {
        for (e, p) in exact.iter_mut().zip(row) {
            *e += *p as f64;
        }
    }
    for (s, e) in sums.iter_mut().zip(&exact) {
        *s = *e as f32;
    }
    if dims.accumulate == 1 {
        for (t, e) in total.iter_mut().zip(&exact) {
            *t += *e as f32;
        }
    }
}
