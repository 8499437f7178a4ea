//! The heads' outputs as evaluation has them.

use super::plan::Ends;
use super::program::Head;
use crate::Result;
use crate::plan::{Executor, round4};

/// Locations `[n][priors][8]` and logits `[n][priors][classes]` of the heads' maps. `fractions` are those of each head's fixed
/// point, none for floats. The log-variances are not in a deploy file; 0 stands for them.
pub(crate) async fn gather(
    executor: &mut dyn Executor,
    ends: &Ends,
    heads: &[Head],
    fractions: &[u32],
    [n, priors, classes]: [usize; 3],
) -> Result<(Vec<f32>, Vec<f32>)> {
    let (mut locations, mut logits) = (vec![0.0; n * priors * 8], vec![0.0; n * priors * classes]);
    let mut first = 0;
    let outputs = executor.fetch(&ends.heads).await?;
    for (i, ((t, words), head)) in ends.heads.iter().zip(outputs).zip(heads).enumerate() {
        let shape = executor.plan().info(*t).shape;
        let unit = fractions.get(i).map(|f| 0.5f64.powi(*f as i32));
        let number = |w: &u32| match unit {
            Some(unit) => (*w as i32 as f64 * unit) as f32,
            None => f32::from_bits(*w),
        };
        let (boxes, cells) = (head.boxes as usize, (shape.h * shape.w) as usize);
        for (at, pixel) in words.chunks_exact(round4(shape.c) as usize).take(n * cells).enumerate() {
            let prior = at / cells * priors + first + at % cells * boxes;
            let (loc, conf) = pixel[..boxes * (4 + classes)].split_at(4 * boxes);
            let means = locations[prior * 8..][..boxes * 8].chunks_exact_mut(8);
            for (to, from) in means.zip(loc.chunks_exact(4)) {
                to[4..].iter_mut().zip(from).for_each(|(t, f)| *t = number(f));
            }
            logits[prior * classes..][..boxes * classes].iter_mut().zip(conf).for_each(|(t, f)| *t = number(f));
        }
        first += cells * boxes;
    }
    Ok((locations, logits))
}
