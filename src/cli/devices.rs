//! `autobidet devices`

use crate::gpu::adapters;
use crate::{Error, Result};

/// List the adapters of this machine.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints them.
pub fn run(args: Args) -> Result<()> {
    let list = adapters();
    if args.json {
        let rows: Vec<_> = list
            .iter()
            .map(|a| {
                serde_json::json!({
                    "index": a.index,
                    "name": a.info.name,
                    "backend": format!("{:?}", a.info.backend),
                    "kind": format!("{:?}", a.info.device_type),
                    "driver": a.info.driver,
                    "driver_info": a.info.driver_info,
                    "max_binding": a.limits.max_storage_buffer_binding_size,
                    "max_buffer": a.limits.max_buffer_size,
                })
            })
            .collect();
        let text = serde_json::to_string_pretty(&rows)
            .map_err(|e| Error::config("--json", e.to_string(), "This is a mistake of ours."))?;
        println!("{text}");
        return Ok(());
    }
    for a in &list {
        println!("{:>3}  {} ({:?}, {:?})", a.index, a.info.name, a.info.backend, a.info.device_type);
        println!(
            "     driver {} {}; bindings up to {} MiB, buffers up to {} MiB",
            a.info.driver,
            a.info.driver_info,
            a.limits.max_storage_buffer_binding_size >> 20,
            a.limits.max_buffer_size >> 20
        );
    }
    println!("cpu  CPU twins ({} threads)", rayon::current_num_threads());
    if list.is_empty() {
        println!(
            "No Vulkan, Metal or DX12 adapter was found. A software one, for testing: apt-get install \
                  mesa-vulkan-drivers (Debian, Ubuntu)."
        );
    }
    Ok(())
}
