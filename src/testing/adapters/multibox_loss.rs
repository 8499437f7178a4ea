//! multibox_loss: loc, conf, priors, targets -> loss_loc, loss_conf.

use super::{Adapter, Inputs, Own, Prepared, bits, dense};
use crate::Result;
use crate::ops::match_priors::MatchPriors;
use crate::ops::multibox_loss::MultiboxLoss;
use crate::plan::{Format, Shape};
use crate::testing::cases::CaseFile;
use crate::testing::{OpCase, TestInput};

pub static ADAPTER: Adapter = Adapter { ops: &["multibox_loss"], prepare, own };

fn prepare(file: &CaseFile) -> Result<Prepared> {
    let matching = MatchPriors { threshold: file.real("threshold")?, variances: file.real_pair("variances")? };
    let loss = MultiboxLoss { negative_ratio: file.number("negative_ratio")? };
    Inputs::new(file, "loc")?.flat(&["loc"])?.flat(&["conf"])?.objects()?.priors()?.run(
        &[&["loss_loc"], &["loss_conf"]],
        move |b, t| {
            let targets = b.apply(matching, "match", &t[2..])?;
            b.apply(loss, "loss", &[t[0], t[1], targets[0], targets[1]])
        },
    )
}

fn own() -> Vec<Own> {
    let case = |(n, p, k): (u32, u32, u32), conf_first: bool| {
        let row = |c| Shape::new(n, 1, p, c);
        let learned = |name: &str, c| {
            let data = TestInput::random(row(c), name, 2.0);
            TestInput { grad: true, ..dense(name, row(c), Format::Flat, true, data) }
        };
        let (mut loc, mut conf) = (learned("loc", 4), learned("conf", k));
        // Differences are taken of the first output alone.
        (loc.grad, conf.grad) = (!conf_first, conf_first);
        let targets = (0..n * p).map(|i| if i % 5 == 0 { 1 + (i % (k - 1)) as i32 } else { 0 });
        let loc_targets = TestInput::random(row(4), "loc_targets", 1.0);
        OpCase {
            name: format!("multibox_loss {n}x{p}x{k}, {}", if conf_first { "classes" } else { "locations" }),
            batch: n,
            inputs: vec![
                loc,
                conf,
                dense("loc_targets", row(4), Format::Flat, true, loc_targets),
                dense("targets", row(1), Format::FlatI32, true, bits(targets)),
            ],
            upstream: Vec::new(),
            backward: true,
            build: Box::new(move |b, t| {
                let mut out = b.apply(MultiboxLoss::default(), "op", t)?;
                if conf_first {
                    out.reverse();
                }
                Ok(out)
            }),
        }
    };
    let sizes = [(1, 7, 2), (2, 40, 5), (3, 300, 21)];
    let both = sizes.into_iter().flat_map(|s| [case(s, false), case(s, true)]);
    both.map(|case| {
        // One logit of thousands changes the loss by less than a float of its size can tell.
        let differences = (case.inputs[0].data.len() < 1000).then_some((6, 1e-3, 2e-2));
        Own { op: "multibox_loss", case, tolerance: 1e-5, differences }
    })
    .collect()
}
