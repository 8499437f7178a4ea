//! Non-maximum suppression.

use super::check::{expect_rows, expect_tensor};
use super::{BOXES, INDEX, NMS_CORE, SELECT};
use crate::cpu::nms::{NMS_CAPACITY, NmsDims, nms};
use crate::plan::{Builder, Cost, Format, Io, Kernel, Op, Role, Saved, Shape, TensorId, flat_groups};
use crate::{Error, Result, kernel};

/// The kernel.
pub static FORWARD: Kernel = kernel!(
    "nms",
    [INDEX, BOXES, SELECT, NMS_CORE],
    NmsDims,
    [read boxes: f32, read scores: f32, write keep: i32, write kept: u32],
    [],
    nms
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&FORWARD];

/// Greedy suppression in every image for every class from `first_class` on. Inputs: boxes [`Format::Flat`] (N, 1, P,
/// 4), corners, shared by the classes; scores [`Format::Flat`] (N, 1, P, K).
///
/// Outputs, without gradients: indices [`Format::FlatI32`] (N, 1, K - first_class, top_k) of the kept boxes by falling
/// score (ties: lower index first), then -1; and their number, [`Format::FlatU32`] (N, 1, 1, K - first_class).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nms {
    /// Scores must be larger; [`f32::MIN`] for all.
    pub score_threshold: f32,
    /// A box that overlaps a kept one of higher score by more than this IoU is removed; 0.45 in SSD.
    pub iou_threshold: f32,
    /// Boxes of highest score that are looked at; 200 in SSD, at most 512.
    pub top_k: u32,
    /// 1 to leave out background.
    pub first_class: u32,
}

/// Refuses a `top_k` that a workgroup cannot hold.
pub(crate) fn check_top_k(label: &str, top_k: u32) -> Result<()> {
    if (1..=NMS_CAPACITY).contains(&top_k) {
        return Ok(());
    }
    Err(Error::config(format!("{label}, top_k"), format!("is {top_k}, expected 1 to {NMS_CAPACITY}"), "SSD takes 200."))
}

impl Op for Nms {
    fn name(&self) -> &'static str {
        "nms"
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let &[boxes, scores] = inputs else {
            return Err(Error::shape(label, "nms: boxes, scores", format!("{} inputs", inputs.len())));
        };
        check_top_k(label, self.top_k)?;
        let (priors, classes) = expect_rows(b, label, "scores", scores)?;
        expect_tensor(b, label, "boxes", boxes, Shape::new(b.batch(), 1, priors, 4), Format::Flat, true)?;
        if self.first_class >= classes {
            return Err(Error::shape(label, format!("more than {} classes", self.first_class), classes.to_string()));
        }
        let slots = classes - self.first_class;
        let batch = b.batch();
        let mut make =
            |what: &str, shape, format| b.tensor(&format!("{label}.{what}"), shape, format, Role::Transient, true);
        let keep = make("keep", Shape::new(batch, 1, slots, self.top_k), Format::FlatI32);
        let kept = make("kept", Shape::new(batch, 1, 1, slots), Format::FlatU32);
        for (s, _, n) in b.slices() {
            let d = NmsDims {
                images: n,
                priors,
                classes,
                first_class: self.first_class,
                top_k: self.top_k,
                score_threshold: self.score_threshold,
                overlap: self.iou_threshold,
            };
            let views = [b.at(boxes, s), b.at(scores, s), b.at(keep, s), b.at(kept, s)];
            b.dispatch(&FORWARD, label, &d, &views, flat_groups(n as u64 * slots as u64, 1), Cost::default())?;
        }
        Ok((vec![keep, kept], Vec::new()))
    }

    fn backward(&self, _b: &mut Builder, _io: &Io, _saved: &Saved) -> Result<()> {
        Ok(())
    }
}
