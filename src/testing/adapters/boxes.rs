//! prior_boxes -> priors; match_priors: boxes, labels, priors -> loc, conf; decode_boxes: loc, priors -> boxes;
//! nms: boxes, scores -> keep. Each on the host (`crate::detect`) and, but for the priors, on devices.

use super::{Adapter, Named, Own, Prepared, bits, dense, integers};
use crate::detect::{Matcher, PriorSpec, decode_boxes, nms};
use crate::ops::match_priors::{DecodeBoxes, MatchPriors};
use crate::ops::nms::Nms;
use crate::plan::{Format, Shape};
use crate::rng::Counter;
use crate::testing::cases::{CaseFile, Values};
use crate::testing::{OpCase, TestInput};
use crate::{Error, Result};

pub static ADAPTER: Adapter = Adapter {
    ops: &["prior_boxes", "match_priors", "decode_boxes", "nms"],
    prepare: |file| match file.op.as_str() {
        "prior_boxes" => prior_boxes(file),
        "match_priors" => matched(file),
        "decode_boxes" => decoded(file),
        _ => kept(file),
    },
    own,
};

fn flat(rows: &[[f32; 4]]) -> Vec<f32> {
    rows.iter().flatten().copied().collect()
}

fn one(name: &str, values: Values) -> Named {
    vec![(name.to_string(), values)]
}

fn prior_boxes(file: &CaseFile) -> Result<Prepared> {
    let spec = match file.word("dataset")? {
        "voc" => PriorSpec::ssd300_voc(),
        "coco" => PriorSpec::ssd300_coco(),
        _ => return Err(file.unknown("dataset")),
    };
    Ok(Prepared::host(one("out.priors", Values::F32(flat(&spec.generate()?)))))
}

/// A case without a backward pass.
fn forward(name: &str, inputs: Vec<TestInput>, op: impl crate::plan::Op + Copy + 'static) -> OpCase<'static> {
    OpCase {
        name: name.to_string(),
        batch: inputs.iter().find(|i| i.sliced).map_or(1, |i| i.shape.n),
        inputs,
        upstream: Vec::new(),
        backward: false,
        build: Box::new(move |b, t| b.apply(op, "op", t)),
    }
}

fn rows(n: u32, c: u32) -> Shape {
    Shape::new(1, 1, n, c)
}

fn matched(file: &CaseFile) -> Result<Prepared> {
    let (boxes, priors): (Vec<[f32; 4]>, Vec<[f32; 4]>) = (file.rows("in.boxes")?, file.rows("in.priors")?);
    let (threshold, variances) = (file.real("threshold")?, file.real_pair("variances")?);
    let labels = file.integers("in.labels")?.to_vec();
    let mut classes = Vec::new();
    for l in &labels {
        classes.push(u32::try_from(*l).map_err(|_| {
            Error::format(&file.path, format!("in.labels holds {l}"), "Labels count from 0; the background has none")
        })?);
    }
    let m = Matcher::new(&priors, threshold, variances).matches(&boxes, &classes)?;
    let named = |loc: Vec<f32>, conf: Vec<i32>| {
        vec![("out.loc".to_string(), Values::F32(loc)), ("out.conf".to_string(), Values::I32(conf))]
    };
    let host = named(flat(&m.loc), m.conf.iter().map(|c| *c as i32).collect());
    let (count, p) = (boxes.len() as u32, priors.len() as u32);
    // Tensors of a plan hold something: an image without objects has room for one and a count of 0.
    let room = rows(count.max(1), 4);
    let padded = |mut v: Vec<f32>, len: u64| {
        v.resize(len as usize, 0.0);
        v
    };
    let inputs = vec![
        dense("boxes", room, Format::Flat, true, padded(flat(&boxes), room.len())),
        dense("labels", room.with_c(1), Format::FlatI32, true, padded(bits(labels), room.with_c(1).len())),
        dense("counts", rows(1, 1), Format::FlatU32, true, bits([count as i32])),
        dense("priors", rows(p, 4), Format::Flat, false, flat(&priors)),
    ];
    let case = forward(&file.name, inputs, MatchPriors { threshold, variances });
    let run = Prepared::device(move |device| {
        let out = case.run(device)?;
        Ok(named(out.outputs[0].clone(), integers(&out.outputs[1])))
    });
    Ok(Prepared { host: Some(host), ..run })
}

fn decoded(file: &CaseFile) -> Result<Prepared> {
    let (loc, priors) = (file.floats("in.loc")?, file.rows("in.priors")?);
    let variances = file.real_pair("variances")?;
    let host = one("out.boxes", Values::F32(flat(&decode_boxes(loc, 4, &priors, variances)?)));
    let shape = rows(priors.len() as u32, 4);
    let inputs = vec![
        dense("loc", shape, Format::Flat, true, loc.to_vec()),
        dense("priors", shape, Format::Flat, false, flat(&priors)),
    ];
    let case = forward(&file.name, inputs, DecodeBoxes { variances });
    let run = Prepared::device(move |d| Ok(one("out.boxes", Values::F32(case.run(d)?.outputs.swap_remove(0)))));
    Ok(Prepared { host: Some(host), ..run })
}

fn kept(file: &CaseFile) -> Result<Prepared> {
    let (boxes, scores) = (file.rows("in.boxes")?, file.floats("in.scores")?.to_vec());
    let (iou_threshold, top_k) = (file.real("iou_threshold")?, file.number("top_k")?);
    let keep = nms(&boxes, &scores, iou_threshold, top_k as usize, false)?;
    let host = one("out.keep", Values::I32(keep.into_iter().map(|i| i as i32).collect()));
    if boxes.is_empty() {
        // Nothing that a plan could hold.
        return Ok(Prepared::host(host));
    }
    let n = boxes.len() as u32;
    let inputs = vec![
        dense("boxes", rows(n, 4), Format::Flat, true, flat(&boxes)),
        dense("scores", rows(n, 1), Format::Flat, true, scores),
    ];
    let op = Nms { score_threshold: f32::MIN, iou_threshold, top_k, first_class: 0 };
    let case = forward(&file.name, inputs, op);
    let run = Prepared::device(move |device| {
        let out = case.run(device)?;
        let count = out.outputs[1][0].to_bits() as usize;
        let keep = integers(&out.outputs[0]).into_iter().take(count).collect();
        Ok(one("out.keep", Values::I32(keep)))
    });
    Ok(Prepared { host: Some(host), ..run })
}

/// Boxes inside the unit square, with corners in order.
fn some_boxes(name: &str, shape: Shape) -> Vec<f32> {
    let rng = Counter::named(5, name);
    let each = |i: u64| {
        let [x, y, w, h] = std::array::from_fn(|k| rng.uniform(4 * i as u32 + k as u32));
        [0.8 * x, 0.8 * y, 0.8 * x + 0.05 + 0.3 * w, 0.8 * y + 0.05 + 0.3 * h]
    };
    (0..shape.pixels()).flat_map(each).collect()
}

fn own() -> Vec<Own> {
    let mut out = Vec::new();
    for (n, p, k) in [(1, 1, 1), (2, 37, 3), (3, 300, 5)] {
        let row = |w, c| Shape::new(n, 1, w, c);
        let boxes = dense("boxes", row(p, 4), Format::Flat, true, some_boxes("boxes", row(p, 4)));
        let priors: Vec<f32> = some_boxes("priors", rows(p, 4))
            .chunks_exact(4)
            .flat_map(|b| [(b[0] + b[2]) / 2.0, (b[1] + b[3]) / 2.0, b[2] - b[0], b[3] - b[1]])
            .collect();
        let priors = dense("priors", rows(p, 4), Format::Flat, false, priors);
        let loc = dense("loc", row(p, 4), Format::Flat, true, TestInput::random(row(p, 4), "loc", 0.5));
        let scores = dense("scores", row(p, k), Format::Flat, true, TestInput::random(row(p, k), "scores", 1.0));
        let labels = (0..n * p).map(|i| (i % 7) as i32);
        let matching = vec![
            boxes.clone(),
            dense("labels", row(p, 1), Format::FlatI32, true, bits(labels)),
            dense("counts", row(1, 1), Format::FlatU32, true, bits((0..n as i32).map(|i| i.min(p as i32)))),
            priors.clone(),
        ];
        let op = Nms { score_threshold: 0.0, iou_threshold: 0.45, top_k: 50.min(p), first_class: 0 };
        let size = format!("{n}x{p}");
        let mut add = |op, case, tolerance| out.push(Own { op, case, tolerance, differences: None });
        add("match_priors", forward(&format!("match_priors {size}"), matching, MatchPriors::default()), 1e-5);
        let inputs = vec![loc, priors];
        add("decode_boxes", forward(&format!("decode_boxes {size}"), inputs, DecodeBoxes::default()), 1e-5);
        add("nms", forward(&format!("nms {size}x{k}"), vec![boxes, scores], op), 0.0);
    }
    out
}
