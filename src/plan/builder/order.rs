//! Slice by slice: the order of a plan's steps where the batch is cut into slices.
//!
//! Operations add their steps a layer at a time, each for all slices: a0 a1 a2, b0 b1 b2. Of everything between two
//! reductions over the batch this keeps all slices at once. Here steps move up, so that a slice goes through as many
//! steps as it can before the next one begins: a0 b0 a1 b1 a2 b2. What lives between a and b is then one slice's, and
//! still in the cache. Steps that touch the same memory keep their order, so the results keep their bits.

use std::collections::HashMap;
use std::ops::Range;

use super::Inside;
use crate::plan::{Step, TensorId, TensorInfo, View};

/// A step with what it touches.
struct Placed {
    step: Step,
    reads: Vec<View>,
    writes: Vec<View>,
    /// Its slice; `None` where it touches only tensors that are not sliced, or several slices.
    slice: Option<u32>,
    family: usize,
}

/// Reorders `steps`; `inside` are the tensors that lie in another one.
pub(super) fn slice_by_slice(steps: Vec<Step>, tensors: &[TensorInfo], inside: &Inside) -> Vec<Step> {
    let families = families(&steps);
    let home = |t: TensorId| inside.get(&t).map_or(t, |(slab, _)| *slab);
    let same = |a: View, b: View| {
        (a == b) || (a.tensor != b.tensor && (home(a.tensor) == b.tensor || home(b.tensor) == a.tensor))
    };
    let touch = |a: &[View], b: &[View]| a.iter().any(|x| b.iter().any(|y| same(*x, *y)));
    let mut placed: Vec<Placed> = Vec::with_capacity(steps.len());
    for step in steps {
        let (reads, writes) = step.uses();
        let mut of = reads.iter().chain(&writes).filter(|v| tensors[v.tensor.0 as usize].sliced).map(|v| v.slice);
        let first = of.next();
        let slice = first.filter(|s| of.all(|o| o == *s));
        let family = families[&step.segment];
        let new = Placed { step, reads, writes, slice, family };
        // A step of a slice goes up to the last one of its own slice or an earlier one; one of no slice up to the last
        // of no slice.
        let stays = |p: &Placed| {
            p.family != new.family
                || match (p.slice, new.slice) {
                    (Some(p), Some(n)) => p <= n,
                    (None, Some(_)) | (Some(_), None) => false,
                    (None, None) => true,
                }
                || touch(&p.writes, &new.reads)
                || touch(&p.writes, &new.writes)
                || touch(&p.reads, &new.writes)
        };
        let at = placed.iter().rposition(stays).map_or(0, |i| i + 1);
        placed.insert(at, new);
    }
    placed.into_iter().map(|p| p.step).collect()
}

/// Segments whose steps lie among each other's run together and are one family: only within a family may steps change
/// places, because the host runs the others one after the other.
fn families(steps: &[Step]) -> HashMap<usize, usize> {
    let mut spans: HashMap<usize, Range<usize>> = HashMap::new();
    for (i, s) in steps.iter().enumerate() {
        spans.entry(s.segment).or_insert(i..i).end = i;
    }
    let mut order: Vec<(usize, Range<usize>)> = spans.into_iter().collect();
    order.sort_by_key(|(_, r)| r.start);
    let (mut out, mut family, mut end) = (HashMap::new(), 0, 0);
    for (segment, span) in order {
        if span.start > end {
            family += 1;
        }
        end = end.max(span.end);
        out.insert(segment, family);
    }
    out
}
