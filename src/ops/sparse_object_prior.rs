//! The sparse object prior: few confident detections an image and class.

use super::check::{expect_rows, expect_tensor};
use super::match_priors::expect_priors;
use super::nms::check_top_k;
use super::{BOXES, INDEX, NMS_CORE, SELECT, hyper};
use crate::cpu::sparse_object_prior::{SopDims, sop_d_logits, sop_detect, sop_finish, sop_log_sum, sop_slots};
use crate::plan::{Builder, Cost, Format, Groups, Io, Kernel, Op, Role, Saved, Shape, TensorId, flat_groups};
use crate::{Error, Result, kernel};

/// log sum exp of every prior.
pub static LOG_SUM: Kernel =
    kernel!("sop_log_sum", [INDEX], SopDims, [read logits: f32, write log_sum: f32], [], sop_log_sum);
/// The pairs that have objects.
pub static SLOTS: Kernel =
    kernel!("sop_slots", [], SopDims, [read objects: u32, read weights: f32, write slots: u32], [], sop_slots);
/// Detections and entropy of each pair.
pub static DETECT: Kernel = kernel!(
    "sop_detect",
    [BOXES, SELECT, NMS_CORE],
    SopDims,
    [
        read logits: f32, read log_sum: f32, read loc: f32, read priors: f32, read slots: u32,
        write kept: u32, update detections: u32, update terms: f32
    ],
    [],
    sop_detect
);
/// The loss and the coefficients of its gradient.
pub static FINISH: Kernel = kernel!(
    "sop_finish",
    [],
    SopDims,
    [read terms: f32, read class_weights: f32, read weights: f32, write coefficients: f32, write loss: f32],
    [],
    sop_finish
);
/// Gradient of the logits.
pub static D_LOGITS: Kernel = kernel!(
    "sop_d_logits",
    [INDEX],
    SopDims,
    [
        read logits: f32, read log_sum: f32, read kept: u32, read detections: u32, read coefficients: f32,
        update d_logits: f32
    ],
    [],
    sop_d_logits
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&LOG_SUM, &SLOTS, &DETECT, &FINISH, &D_LOGITS];

/// The sparse object prior of BiDet (Wang et al. 2020) as its release computes it, or the class-aware one with
/// `class_weights`. Inputs: locations [`Format::Flat`] (N, 1, P, 4) (sampled ones; no gradient goes to them), logits
/// [`Format::Flat`] (N, 1, P, K) with background as class 0, priors [`Format::Flat`] (1, 1, P, 4), and the objects of
/// each foreground class [`Format::FlatU32`] (N, 1, 1, K - 1).
///
/// Outputs, both for the host to read: the loss, [`Format::Flat`] of 1 value, without its weight; and the detections D
/// of each image and class that has objects (0 for others), [`Format::FlatU32`] (N, 1, 1, K - 1).
///
/// For image n and class k with G objects: the scores above the threshold, the `top_k` highest of them, suppression, D
/// detections with scores s. Pairs with D <= G are passed over, for the others p = s / S with S = sum s held constant,
/// l = -(1 / G) sum p log p. Loss = sum of omega_k l / (pairs kept + 1e-6). Its gradient goes to the logits of the
/// detected priors, times the weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SparseObjectPrior {
    /// Scores must be larger; 0.03.
    pub score_threshold: f32,
    /// Largest IoU of two detections; 0.45.
    pub iou_threshold: f32,
    /// Detections of a pair before suppression; 200, at most 512.
    pub top_k: u32,
    /// Variances of centre and size; 0.1 and 0.2.
    pub variances: [f32; 2],
    /// The weight of the gradient: a tensor and a place in it, e.g. `hyper[SOP_WEIGHT]`; 1 where `None`. While it is 0
    /// the detections are not computed, and loss and counts are 0.
    pub scale: Option<(TensorId, u32)>,
    /// omega, [`Format::Flat`] of K - 1 values; all 1 where `None`.
    pub class_weights: Option<TensorId>,
}

impl Default for SparseObjectPrior {
    fn default() -> Self {
        SparseObjectPrior {
            score_threshold: 0.03,
            iou_threshold: 0.45,
            top_k: 200,
            variances: [0.1, 0.2],
            scale: None,
            class_weights: None,
        }
    }
}

impl SparseObjectPrior {
    fn dims(&self, b: &Builder, logits: TensorId, first: u32, images: u32, weight: u32) -> SopDims {
        let s = b.shape(logits);
        SopDims {
            images,
            priors: s.w,
            classes: s.c,
            first,
            top_k: self.top_k,
            capacity: self.top_k.min(s.w),
            weight,
            log_threshold: self.score_threshold.ln(),
            overlap: self.iou_threshold,
            v0: self.variances[0],
            v1: self.variances[1],
        }
    }
}

impl Op for SparseObjectPrior {
    fn name(&self) -> &'static str {
        "sparse_object_prior"
    }

    fn is_loss(&self) -> bool {
        true
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let &[loc, logits, priors, objects] = inputs else {
            return Err(Error::shape(
                label,
                "sparse_object_prior: locations, logits, priors, objects of each class",
                format!("{} inputs", inputs.len()),
            ));
        };
        check_top_k(label, self.top_k)?;
        if !(self.score_threshold > 0.0 && self.score_threshold < 1.0) {
            let problem = format!("is {}, expected a number between 0 and 1", self.score_threshold);
            return Err(Error::config(format!("{label}, score_threshold"), problem, "BiDet takes 0.03."));
        }
        let (p, classes) = expect_rows(b, label, "logits", logits)?;
        if classes < 2 {
            return Err(Error::shape(label, "background and at least one class", classes.to_string()));
        }
        let (batch, foreground) = (b.batch(), classes - 1);
        expect_tensor(b, label, "locations", loc, Shape::new(batch, 1, p, 4), Format::Flat, true)?;
        if expect_priors(b, label, priors)? != p {
            return Err(Error::shape(format!("{label}, priors"), format!("{p} priors"), b.shape(priors).to_string()));
        }
        let pairs = Shape::new(batch, 1, 1, foreground);
        expect_tensor(b, label, "objects", objects, pairs, Format::FlatU32, true)?;
        let (weights, weight) = hyper::weight_of(b, self.scale);
        if weight as u64 >= b.shape(weights).len() || b.info(weights).format != Format::Flat {
            return Err(Error::shape(
                format!("{label}, scale"),
                format!("a flat tensor with a value {weight}"),
                "another",
            ));
        }
        let class_weights = match self.class_weights {
            Some(t) => t,
            None => {
                let ones = vec![1f32.to_bits(); foreground as usize];
                b.constant(&format!("{label}.class_weights"), Shape::vector(foreground), Format::Flat, ones)
            }
        };
        expect_tensor(b, label, "class weights", class_weights, Shape::vector(foreground), Format::Flat, false)?;

        let capacity = self.top_k.min(p);
        let mut sliced =
            |what: &str, shape, format| b.tensor(&format!("{label}.{what}"), shape, format, Role::Transient, true);
        let log_sum = sliced("log_sum", Shape::new(batch, 1, p, 1), Format::Flat);
        // Four words of head and two a pair; an image's share of the head is more than it needs, but simple.
        let slots = sliced("slots", Shape::new(batch, 1, foreground + 2, 2), Format::FlatU32);
        let kept = sliced("kept", Shape::new(batch, 1, foreground, capacity), Format::FlatU32);
        let terms = b.scratch(&format!("{label}.terms"), Shape::new(batch, 1, foreground, 4), Format::Flat);
        let coefficients =
            b.scratch(&format!("{label}.coefficients"), Shape::new(batch, 1, foreground, 2), Format::Flat);
        let detections = b.output(&format!("{label}.detections"), pairs, Format::FlatU32, false);
        let loss = b.output(&format!("{label}.loss"), Shape::vector(1), Format::Flat, false);
        b.clear(label, terms);
        b.clear(label, detections);
        for (s, first, n) in b.slices() {
            if n as u64 * foreground as u64 > 65_535 {
                return Err(Error::Limit {
                    what: label.to_string(),
                    need: format!("{} workgroups", n * foreground),
                    limit: "the number of workgroups in one dimension".to_string(),
                    have: "65535".to_string(),
                    remedy: "Use a smaller batch.".to_string(),
                });
            }
            let d = self.dims(b, logits, first, n, weight);
            let views = [b.at(logits, s), b.at(log_sum, s)];
            b.dispatch(&LOG_SUM, label, &d, &views, flat_groups(n as u64 * p as u64, 64), Cost::default())?;
            let views = [b.at(objects, s), b.at(weights, 0), b.at(slots, s)];
            b.dispatch(&SLOTS, label, &d, &views, Groups::Fixed([1, 1, 1]), Cost::default())?;
            let views = [
                b.at(logits, s),
                b.at(log_sum, s),
                b.at(loc, s),
                b.at(priors, 0),
                b.at(slots, s),
                b.at(kept, s),
                b.at(detections, 0),
                b.at(terms, 0),
            ];
            b.dispatch(&DETECT, label, &d, &views, Groups::Indirect(b.at(slots, s)), Cost::default())?;
        }
        let d = self.dims(b, logits, 0, batch, weight);
        let views = [b.at(terms, 0), b.at(class_weights, 0), b.at(weights, 0), b.at(coefficients, 0), b.at(loss, 0)];
        b.dispatch(&FINISH, label, &d, &views, Groups::Fixed([1, 1, 1]), Cost::default())?;
        Ok((vec![loss, detections], vec![log_sum, kept, coefficients]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        let (&[_, logits, ..], &[log_sum, kept, coefficients]) = (&io.inputs[..], &saved[..]) else {
            return Err(Error::shape(&io.label, "the tensors of its forward pass", "others"));
        };
        let Some(g) = b.d_input(io, 1) else { return Ok(()) };
        if !g.accumulate {
            b.clear(&io.label, g.tensor);
        }
        for (s, first, n) in b.slices() {
            let d = self.dims(b, logits, first, n, 0);
            let views = [
                b.at(logits, s),
                b.at(log_sum, s),
                b.at(kept, s),
                b.at(io.outputs[1], 0),
                b.at(coefficients, 0),
                b.at(g.tensor, s),
            ];
            b.dispatch(&D_LOGITS, &io.label, &d, &views, flat_groups(n as u64, 1), Cost::default())?;
        }
        Ok(())
    }
}
