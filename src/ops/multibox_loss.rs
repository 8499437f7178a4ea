//! The SSD loss: smooth L1 on locations, softmax cross-entropy with hard negatives on classes.

use super::check::{expect_rows, expect_tensor};
use super::{INDEX, SELECT};
use crate::cpu::multibox_loss::{
    MultiboxDims, SELECTION, multibox_ce, multibox_d_conf, multibox_d_loc, multibox_finish, multibox_select,
};
use crate::plan::{Builder, Cost, Format, Io, Kernel, Op, Role, Saved, Shape, TensorId, flat_groups};
use crate::{Error, Result, kernel};

/// Cross-entropy of every prior.
pub static CE: Kernel =
    kernel!("multibox_ce", [INDEX], MultiboxDims, [read conf: f32, read targets: i32, write ce: f32], [], multibox_ce);
/// Hard negatives and sums of each image.
pub static SELECTED: Kernel = kernel!(
    "multibox_select",
    [INDEX, SELECT],
    MultiboxDims,
    [read ce: f32, read targets: i32, read loc: f32, read loc_targets: f32, update selection: u32],
    [],
    multibox_select
);
/// The losses.
pub static FINISH: Kernel = kernel!(
    "multibox_finish",
    [],
    MultiboxDims,
    [read selection: u32, write totals: f32, write loss_loc: f32, write loss_conf: f32],
    [],
    multibox_finish
);
/// Gradient of the logits.
pub static D_CONF: Kernel = kernel!(
    "multibox_d_conf",
    [INDEX],
    MultiboxDims,
    [read conf: f32, read targets: i32, read ce: f32, read selection: u32, read totals: f32, update d_conf: f32],
    [],
    multibox_d_conf
);
/// Gradient of the locations.
pub static D_LOC: Kernel = kernel!(
    "multibox_d_loc",
    [INDEX],
    MultiboxDims,
    [read loc: f32, read loc_targets: f32, read targets: i32, read totals: f32, update d_loc: f32],
    [],
    multibox_d_loc
);
/// Rows of the kernel table.
pub static KERNELS: &[&Kernel] = &[&CE, &SELECTED, &FINISH, &D_CONF, &D_LOC];

/// The SSD loss (Liu et al. 2016; constants of the BiDet release). Inputs:
/// locations [`Format::Flat`] (N, 1, P, 4), logits [`Format::Flat`] (N, 1, P, K) with background as class 0, location
/// targets [`Format::Flat`] (N, 1, P, 4), class targets [`Format::FlatI32`] (N, 1, P, 1), 0 for background.
///
/// Outputs, [`Format::Flat`] scalars that the host may read:
/// location loss = sum over positives of smooth L1 (transition at 1) / M, and confidence loss = sum over positives and
/// hard negatives of cross-entropy / M, with M the positives of the whole batch; both 0 where M is 0. Hard negatives:
/// in each image the min(`negative_ratio` * positives, P - 1) other priors of largest cross-entropy, ties to the lower
/// index. A logit that is not finite makes the confidence loss infinite, wherever it stands. The backward pass gives the gradients of the sum of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultiboxLoss {
    /// Negatives a positive; 3 in SSD.
    pub negative_ratio: u32,
}

impl Default for MultiboxLoss {
    fn default() -> Self {
        MultiboxLoss { negative_ratio: 3 }
    }
}

impl MultiboxLoss {
    fn dims(&self, b: &Builder, conf: TensorId, first: u32, images: u32, accumulate: u32) -> MultiboxDims {
        let s = b.shape(conf);
        MultiboxDims { images, priors: s.w, classes: s.c, first, ratio: self.negative_ratio, accumulate }
    }
}

impl Op for MultiboxLoss {
    fn name(&self) -> &'static str {
        "multibox_loss"
    }

    fn is_loss(&self) -> bool {
        true
    }

    fn forward(&self, b: &mut Builder, label: &str, inputs: &[TensorId]) -> Result<(Vec<TensorId>, Saved)> {
        let &[loc, conf, loc_targets, targets] = inputs else {
            return Err(Error::shape(
                label,
                "multibox_loss: locations, logits, location targets, class targets",
                format!("{} inputs", inputs.len()),
            ));
        };
        let (priors, classes) = expect_rows(b, label, "logits", conf)?;
        if classes < 2 {
            return Err(Error::shape(label, "background and at least one class", classes.to_string()));
        }
        let row = Shape::new(b.batch(), 1, priors, 4);
        expect_tensor(b, label, "locations", loc, row, Format::Flat, true)?;
        expect_tensor(b, label, "location targets", loc_targets, row, Format::Flat, true)?;
        expect_tensor(b, label, "class targets", targets, row.with_c(1), Format::FlatI32, true)?;
        let ce = b.tensor(&format!("{label}.ce"), row.with_c(1), Format::Flat, Role::Transient, true);
        let shape = Shape::new(b.batch(), 1, 1, SELECTION as u32);
        let selection = b.scratch(&format!("{label}.selection"), shape, Format::FlatU32);
        let totals = b.scratch(&format!("{label}.totals"), Shape::vector(1), Format::Flat);
        let loss_loc = b.output(&format!("{label}.loc"), Shape::vector(1), Format::Flat, false);
        let loss_conf = b.output(&format!("{label}.conf"), Shape::vector(1), Format::Flat, false);
        for (s, first, n) in b.slices() {
            let d = self.dims(b, conf, first, n, 0);
            let views = [b.at(conf, s), b.at(targets, s), b.at(ce, s)];
            let rows = n as u64 * priors as u64;
            b.dispatch(&CE, label, &d, &views, flat_groups(rows, 64), Cost::default())?;
            let views = [b.at(ce, s), b.at(targets, s), b.at(loc, s), b.at(loc_targets, s), b.at(selection, 0)];
            b.dispatch(&SELECTED, label, &d, &views, flat_groups(n as u64, 1), Cost::default())?;
        }
        let d = self.dims(b, conf, 0, b.batch(), 0);
        let views = [b.at(selection, 0), b.at(totals, 0), b.at(loss_loc, 0), b.at(loss_conf, 0)];
        b.dispatch(&FINISH, label, &d, &views, flat_groups(1, 64), Cost::default())?;
        Ok((vec![loss_loc, loss_conf], vec![ce, selection, totals]))
    }

    fn backward(&self, b: &mut Builder, io: &Io, saved: &Saved) -> Result<()> {
        let (&[loc, conf, loc_targets, targets], &[ce, selection, totals]) = (&io.inputs[..], &saved[..]) else {
            return Err(Error::shape(&io.label, "the tensors of its forward pass", "others"));
        };
        let rows = |n: u32| flat_groups(n as u64 * b.shape(conf).w as u64, 64);
        let groups: Vec<_> = b.slices().into_iter().map(|(s, first, n)| (s, first, n, rows(n))).collect();
        if let Some(g) = b.d_input(io, 0) {
            for (s, first, n, groups) in groups.clone() {
                let d = self.dims(b, conf, first, n, g.flag());
                let views = [b.at(loc, s), b.at(loc_targets, s), b.at(targets, s), b.at(totals, 0), b.at(g.tensor, s)];
                b.dispatch(&D_LOC, &io.label, &d, &views, groups, Cost::default())?;
            }
        }
        if let Some(g) = b.d_input(io, 1) {
            for (s, first, n, groups) in groups {
                let d = self.dims(b, conf, first, n, g.flag());
                let views = [
                    b.at(conf, s),
                    b.at(targets, s),
                    b.at(ce, s),
                    b.at(selection, 0),
                    b.at(totals, 0),
                    b.at(g.tensor, s),
                ];
                b.dispatch(&D_CONF, &io.label, &d, &views, groups, Cost::default())?;
            }
        }
        Ok(())
    }
}
