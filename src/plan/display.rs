//! A plan as a table: `autobidet info --plan`.

use std::fmt;

use super::{Groups, Plan, StepKind, View};

impl Plan {
    fn view_name(&self, v: View) -> String {
        let t = self.info(v.tensor);
        if t.sliced && self.slices.len() > 1 { format!("{}[{}]", t.name, v.slice) } else { t.name.clone() }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan {}: batch {}, slices {:?}", self.name, self.batch, self.slices)?;
        writeln!(f, "steps:")?;
        let mut segment = usize::MAX;
        for (i, s) in self.steps.iter().enumerate() {
            if s.segment != segment {
                segment = s.segment;
                writeln!(f, "  segment {}", self.segments[segment])?;
            }
            write!(f, "  {i:>5} {:<56} ", s.label)?;
            match &s.kind {
                StepKind::Clear(v) => writeln!(f, "clear {}", self.view_name(*v))?,
                StepKind::Copy { from, to } => {
                    writeln!(f, "copy {} -> {}", self.view_name(*from), self.view_name(*to))?;
                }
                StepKind::Dispatch { kernel, bindings, groups, constants, .. } => {
                    match groups {
                        Groups::Fixed([x, y, z]) => write!(f, "{x}x{y}x{z}")?,
                        Groups::Indirect(v) => write!(f, "as in {}", self.view_name(*v))?,
                    }
                    for (n, v) in constants {
                        write!(f, " {n}={v}")?;
                    }
                    for (b, v) in kernel.bindings.iter().zip(bindings) {
                        let p = self.memory.of(*v);
                        write!(f, " {}={}@{}", b.name, self.view_name(*v), p.block)?;
                    }
                    writeln!(f)?;
                }
            }
        }
        writeln!(f, "memory: {} bytes in {} buffers", self.memory.bytes(), self.memory.blocks.len())?;
        for (i, b) in self.memory.blocks.iter().enumerate() {
            writeln!(f, "  {i:>5} {:>12} {}", b.bytes, b.name)?;
        }
        Ok(())
    }
}
