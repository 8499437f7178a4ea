//! Operations of the host: prior_boxes -> priors; match_priors: boxes, labels, priors -> loc, conf;
//! decode_boxes: loc, priors -> boxes; nms: boxes, scores -> keep.

use super::{Adapter, Prepared};
use crate::detect::{Matcher, PriorSpec, decode_boxes, nms};
use crate::testing::cases::{CaseFile, Values};
use crate::{Error, Result};

pub static ADAPTER: Adapter = Adapter {
    ops: &["prior_boxes", "match_priors", "decode_boxes", "nms"],
    prepare: |file| {
        Ok(Prepared::Host(match file.op.as_str() {
            "prior_boxes" => vec![("out.priors".to_string(), prior_boxes(file)?)],
            "match_priors" => match_priors(file)?,
            "decode_boxes" => vec![("out.boxes".to_string(), decoded(file)?)],
            _ => vec![("out.keep".to_string(), kept(file)?)],
        }))
    },
    own: Vec::new,
};

fn flat(rows: &[[f32; 4]]) -> Values {
    Values::F32(rows.iter().flatten().copied().collect())
}

fn prior_boxes(file: &CaseFile) -> Result<Values> {
    let spec = match file.word("dataset")? {
        "voc" => PriorSpec::ssd300_voc(),
        "coco" => PriorSpec::ssd300_coco(),
        _ => return Err(file.unknown("dataset")),
    };
    Ok(flat(&spec.generate()?))
}

fn match_priors(file: &CaseFile) -> Result<Vec<(String, Values)>> {
    let matcher = Matcher::new(&file.rows("in.priors")?, file.real("threshold")?, file.real_pair("variances")?);
    let mut classes = Vec::new();
    for l in file.integers("in.labels")? {
        classes.push(u32::try_from(*l).map_err(|_| {
            Error::format(&file.path, format!("in.labels holds {l}"), "Labels count from 0; the background has none")
        })?);
    }
    let m = matcher.matches(&file.rows("in.boxes")?, &classes)?;
    let conf = m.conf.iter().map(|c| *c as i32).collect();
    Ok(vec![("out.loc".to_string(), flat(&m.loc)), ("out.conf".to_string(), Values::I32(conf))])
}

fn decoded(file: &CaseFile) -> Result<Values> {
    let (loc, priors) = (file.floats("in.loc")?, file.rows("in.priors")?);
    Ok(flat(&decode_boxes(loc, 4, &priors, file.real_pair("variances")?)?))
}

fn kept(file: &CaseFile) -> Result<Values> {
    let (boxes, scores) = (file.rows("in.boxes")?, file.floats("in.scores")?);
    let keep = nms(&boxes, scores, file.real("iou_threshold")?, file.number("top_k")? as usize, false)?;
    Ok(Values::I32(keep.into_iter().map(|i| i as i32).collect()))
}
