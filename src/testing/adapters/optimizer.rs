//! optimizer: param, grads (steps, n) -> param after the last step.

use std::sync::Arc;

use super::{Adapter, Prepared};
use crate::ops::gradient_norm::add_gradient_norm;
use crate::ops::hyper;
use crate::ops::optimizer::{Optimizer, add_optimizer};
use crate::plan::{Builder, Format, Init, Mode, ParamLayout, Shape};
use crate::testing::TestDevice;
use crate::testing::cases::{CaseFile, Values};
use crate::{Error, Result};

pub static ADAPTER: Adapter = Adapter { ops: &["optimizer"], prepare, own: Vec::new };

fn prepare(file: &CaseFile) -> Result<Prepared> {
    let weight_decay = if file.attrs.contains_key("weight_decay") { file.real("weight_decay")? } else { 0.0 };
    let kind = match file.word("kind")? {
        "adam" => Optimizer::Adam {
            beta1: file.double("beta1")?,
            beta2: file.double("beta2")?,
            eps: file.real("eps")?,
            weight_decay,
        },
        "sgd" => Optimizer::Sgd { momentum: file.real("momentum")?, weight_decay },
        _ => return Err(file.unknown("kind")),
    };
    let [_, n] = file.extents("in.grads")?;
    let (param, grads, lr) = (file.floats("in.param")?.to_vec(), file.floats("in.grads")?.to_vec(), file.real("lr")?);
    if param.len() != n as usize {
        let problem = format!("in.param has {} values and a row of in.grads {n}", param.len());
        return Err(Error::format(&file.path, problem, "They must be as many"));
    }
    Ok(Prepared::device(move |device| {
        Ok(vec![("out.param".to_string(), Values::F32(train(device, kind, lr, &param, &grads)?))])
    }))
}

/// The parameter after one update for each row of `grads`.
fn train(device: &TestDevice, kind: Optimizer, lr: f32, first: &[f32], grads: &[f32]) -> Result<Vec<f32>> {
    let shape = Shape::vector(first.len() as u32);
    let (plan, (numbers, param)) = Builder::build("optimizer", Mode::Train, device.limits(), 1, |b| {
        let numbers = hyper::hyper_input(b);
        let layout = ParamLayout::Planes(vec!["param".to_string()]);
        let param = b.param("group", "param", shape, Format::Map, layout, Init::Zeros);
        let norm = add_gradient_norm(b, "group", numbers, &[])?;
        add_optimizer(b, "group", kind, numbers, &norm)?;
        Ok((numbers, param))
    })?;
    let gradient = plan.tensor("d.param")?;
    let mut e = device.executor(Arc::new(plan))?;
    let mut values = [0f32; hyper::LEN as usize];
    values[hyper::LR as usize] = lr;
    e.write_f32(numbers, &values)?;
    e.write_nchw(param, first)?;
    let all: Vec<usize> = (0..e.plan().steps.len()).collect();
    for g in grads.chunks_exact(first.len()) {
        e.write_nchw(gradient, g)?;
        e.run_steps(&all)?;
    }
    e.read_nchw(param)
}
