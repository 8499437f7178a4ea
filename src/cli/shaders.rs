//! `autobidet shaders`

use std::path::PathBuf;

use crate::ops;
use crate::testing::portable::{Target, emit, file_stem, portability_table};
use crate::{Error, Result};

/// Print the table of kernels, or write every kernel, with every set of constants that the product uses, for other
/// platforms.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// spirv, msl, hlsl or glsl; may be given more than once
    #[arg(long, value_name = "LANGUAGE", requires = "out")]
    pub emit: Vec<Target>,
    /// The folder to write to; it is made if it does not exist
    #[arg(long, value_name = "DIR", requires = "emit")]
    pub out: Option<PathBuf>,
}

/// Writes the files, or prints the table.
///
/// # Errors
/// [`Error::Shader`] for a kernel that cannot be written, [`Error::Io`] for the folder.
pub fn run(args: Args) -> Result<()> {
    let Some(out) = &args.out else {
        print!("{}", portability_table()?);
        return Ok(());
    };
    std::fs::create_dir_all(out).map_err(|e| Error::io("create", out, e))?;
    let mut files = 0;
    for (kernel, sets) in ops::variants() {
        for constants in sets {
            for target in &args.emit {
                let path = out.join(format!("{}.{}", file_stem(kernel, &constants), target.extension()));
                let text = emit(kernel, &constants, *target)?;
                std::fs::write(&path, text).map_err(|e| Error::io("write", &path, e))?;
                files += 1;
            }
        }
    }
    println!("{files} files in {}", out.display());
    Ok(())
}
