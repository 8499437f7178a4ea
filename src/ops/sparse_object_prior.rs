//! The sparse object prior: few confident detections an image and class, the same for all classes or fewer for those with
//! many.

use super::check::{expect_rows, expect_tensor};
use super::gated_copy::defer_replace;
use super::match_priors::expect_priors;
use super::nms::check_top_k;
use super::{BOXES, INDEX, NMS_CORE, SELECT, hyper};
use crate::cpu::sparse_object_prior::*;
use crate::plan::{Builder, Cost, Format, Groups, Io, Kernel, Op, Role, Saved, Shape, TensorId, flat_groups};
use crate::{Error, Result, kernel};

/// log sum exp of every prior.
pub static LOG_SUM: Kernel =
    kernel!("sop_log_sum", [INDEX], SopDims, [read logits: f32, write log_sum: f32], [], sop_log_sum);
/// The pairs that have objects.
pub static SLOTS: Kernel = kernel!(
    "sop_slots",
    [],
    SopDims,
    [read objects: u32, read weights: f32, write slots: u32, write counted: u32],
    [],
    sop_slots
);
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
/// Weights of the classes from moving averages.
pub static CLASS_AVERAGE: Kernel = kernel!(
    "sop_class_average",
    [],
    SopWeightsDims,
    [read detections: u32, read counted: u32, read state: f32, update next: f32, write omega: f32],
    [],
    sop_class_average
);
/// Weights of each image's classes.
pub static IMAGE_WEIGHTS: Kernel = kernel!(
    "sop_image_weights",
    [INDEX],
    SopWeightsDims,
    [read detections: u32, read counted: u32, write omega: f32],
    [],
    sop_image_weights
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
pub static KERNELS: &[&Kernel] = &[&LOG_SUM, &SLOTS, &DETECT, &CLASS_AVERAGE, &IMAGE_WEIGHTS, &FINISH, &D_LOGITS];

/// What the weight of a class follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassAwareKind {
    /// A moving average, over steps, of the detections of an image that holds the class.
    Average,
    /// The image's own detections of the class.
    Image,
    /// A moving average of detections for each object, so that a class does not count as having many detections only
    /// because it has many objects.
    Excess,
}

/// The class-aware prior: omega_k = clip(n_k / mean of n, low, high), a sparser prior on classes with more predicted
/// positives than others. No formula of AutoBiDet's is published; this is the reading of docs/method.md, section 3.
///
/// For the averages, P_k is the mean over the batch's images with objects of class k of their detections D, or of D / G;
/// n_k = P_k at the class's first batch, then decay n_k + (1 - decay) P_k, and as it was where no image holds the class.
/// The mean is over classes seen so far. A step's weights have its own batch in them; the averages themselves, state
/// `<label>.averages` (1, 1, K - 1, 2) of n_k and whether the class was seen, are replaced by a deferred step that
/// obeys [`Builder::gate`]. While the loss's weight is 0 nothing is detected and they do not move.
///
/// For `Image`, n_k = D of that image and the mean is over the classes that it holds.
///
/// omega is 1 for classes without n_k, and where the mean is 0. All of it is constant in the backward pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassAware {
    /// What the weights follow.
    pub kind: ClassAwareKind,
    /// Weight of the old average in the new one; 0.99.
    pub decay: f32,
    /// Smallest weight; 0.25.
    pub low: f32,
    /// Largest weight; 4.
    pub high: f32,
}

impl ClassAware {
    /// The usual constants.
    pub fn new(kind: ClassAwareKind) -> Self {
        ClassAware { kind, decay: 0.99, low: 0.25, high: 4.0 }
    }

    fn check(&self, label: &str) -> Result<()> {
        if (0.0..1.0).contains(&self.decay) && self.low > 0.0 && self.low <= self.high && self.high.is_finite() {
            return Ok(());
        }
        let problem = format!("has decay {}, low {} and high {}", self.decay, self.low, self.high);
        let remedy = "Give a decay from 0 to less than 1, and 0 < low <= high; the usual values are 0.99, 0.25 and 4.";
        Err(Error::config(format!("{label}, class_aware"), problem, remedy))
    }

    /// Adds the steps that make omega out of `detections` and the objects that `counted`, both of the whole batch:
    /// (1, 1, 1, K - 1), or (N, 1, 1, K - 1) for [`ClassAwareKind::Image`].
    fn weights(&self, b: &mut Builder, label: &str, detections: TensorId, counted: TensorId) -> Result<TensorId> {
        let pairs = b.shape(detections);
        let dims = SopWeightsDims {
            images: pairs.n,
            foreground: pairs.c,
            excess: (self.kind == ClassAwareKind::Excess) as u32,
            decay: self.decay,
            low: self.low,
            high: self.high,
        };
        let own = self.kind == ClassAwareKind::Image;
        let omega = b.output(&format!("{label}.omega"), if own { pairs } else { pairs.with_n(1) }, Format::Flat, false);
        if own {
            let views = [b.at(detections, 0), b.at(counted, 0), b.at(omega, 0)];
            b.dispatch(&IMAGE_WEIGHTS, label, &dims, &views, flat_groups(pairs.n as u64, 64), Cost::default())?;
            return Ok(omega);
        }
        let averages = Shape::new(1, 1, pairs.c, 2);
        let state = b.state(&format!("{label}.averages"), averages, Format::Flat, None);
        let next = b.scratch(&format!("{label}.next_averages"), averages, Format::Flat);
        let views = [b.at(detections, 0), b.at(counted, 0), b.at(state, 0), b.at(next, 0), b.at(omega, 0)];
        b.dispatch(&CLASS_AVERAGE, label, &dims, &views, Groups::Fixed([1, 1, 1]), Cost::default())?;
        defer_replace(b, label, next, state)?;
        Ok(omega)
    }
}

/// The sparse object prior of BiDet (Wang et al. 2020) as its release computes it, or AutoBiDet's class-aware one with
/// `class_aware`. Inputs: locations [`Format::Flat`] (N, 1, P, 4) (sampled ones; no gradient goes to them), logits
/// [`Format::Flat`] (N, 1, P, K) with background as class 0, priors [`Format::Flat`] (1, 1, P, 4), and the objects of
/// each foreground class [`Format::FlatU32`] (N, 1, 1, K - 1).
///
/// Outputs, for the host to read: the loss, [`Format::Flat`] of 1 value, without its weight; the detections D of each
/// image and class that has objects (0 for others), [`Format::FlatU32`] (N, 1, 1, K - 1); and with `class_aware` the
/// weights omega, [`Format::Flat`] (1, 1, 1, K - 1), or (N, 1, 1, K - 1) where each image has its own.
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
    /// omega, given: [`Format::Flat`] of K - 1 values; all 1 where there is neither this nor `class_aware`.
    pub class_weights: Option<TensorId>,
    /// omega, from the detections.
    pub class_aware: Option<ClassAware>,
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
            class_aware: None,
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
            image_stride: 0,
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
        if let Some(t) = self.class_weights {
            expect_tensor(b, label, "class weights", t, Shape::vector(foreground), Format::Flat, false)?;
        }
        if let Some(aware) = self.class_aware {
            aware.check(label)?;
            if self.class_weights.is_some() {
                return Err(Error::shape(label, "class_weights or class_aware", "both"));
            }
        }

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
        let counted = b.scratch(&format!("{label}.counted"), pairs, Format::FlatU32);
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
            let views = [b.at(objects, s), b.at(weights, 0), b.at(slots, s), b.at(counted, 0)];
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
        let mut outputs = vec![loss, detections];
        let omega = match (self.class_aware, self.class_weights) {
            (Some(aware), _) => {
                let omega = aware.weights(b, label, detections, counted)?;
                outputs.push(omega);
                omega
            }
            (None, Some(given)) => given,
            (None, None) => {
                let ones = vec![1f32.to_bits(); foreground as usize];
                b.constant(&format!("{label}.class_weights"), Shape::vector(foreground), Format::Flat, ones)
            }
        };
        let each = self.class_aware.is_some_and(|a| a.kind == ClassAwareKind::Image);
        let image_stride = if each { foreground } else { 0 };
        let d = SopDims { image_stride, ..self.dims(b, logits, 0, batch, weight) };
        let views = [b.at(terms, 0), b.at(omega, 0), b.at(weights, 0), b.at(coefficients, 0), b.at(loss, 0)];
        b.dispatch(&FINISH, label, &d, &views, Groups::Fixed([1, 1, 1]), Cost::default())?;
        Ok((outputs, vec![log_sum, kept, coefficients]))
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
