//! softmax, log_softmax: x -> y, over the last extent (axis -1 or 3) or the channels (axis 1).

use super::{Adapter, Inputs, Prepared, own_unary};
use crate::Result;
use crate::ops::softmax::{LogSoftmax, Softmax};
use crate::testing::cases::CaseFile;

pub static ADAPTER: Adapter = Adapter {
    ops: &["softmax", "log_softmax"],
    prepare,
    own: || {
        let mut out = own_unary("softmax", Softmax, 1e-5, 1e-2);
        out.extend(own_unary("log_softmax", LogSoftmax, 1e-5, 1e-2));
        out
    },
};

fn prepare(file: &CaseFile) -> Result<Prepared> {
    let inputs = Inputs::new(file, "x")?;
    let last = file.tensor("in.x")?.shape.len() as f64 - 1.0;
    // N,C,H,W is N,H,W,C to the engine: the last extent of the file is the last of a dense tensor, the second that of a
    // map.
    let inputs = match file.double("axis")? {
        a if a == -1.0 || a == last => inputs.flat(&["x"])?,
        1.0 => inputs.map(&["x"])?,
        _ => return Err(file.unknown("axis")),
    };
    let log = file.op == "log_softmax";
    inputs.run(&[&["y"]], move |b, t| if log { b.apply(LogSoftmax, "op", t) } else { b.apply(Softmax, "op", t) })
}
