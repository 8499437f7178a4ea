//! `autobidet selftest`

use std::path::PathBuf;

use crate::device::Device;
use crate::gpu::{DeviceChoice, Gpu, LimitsChoice, adapters};
use crate::testing::selftest::{Line, SelfTest};
use crate::{Error, Result};

/// Test whether this machine computes right: every operation on the device against the CPU twins, and conformance
/// cases from files. Exit code 1 when a case fails, 3 when there is no adapter (so that no shader was tested).
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// auto, cpu, an index or a part of a name (`autobidet devices`); auto takes the first adapter, also a software one
    #[arg(long, default_value = "auto")]
    pub device: DeviceChoice,
    /// A folder of conformance cases (*.safetensors)
    #[arg(long, value_name = "DIR")]
    pub cases: Option<PathBuf>,
    /// One JSON object a line instead of text; the last one is the sum
    #[arg(long)]
    pub json: bool,
}

/// Runs the tests and prints a line an operation.
///
/// # Errors
/// [`Error::SelfTest`] when a case failed (exit code 1); [`Error::NoAdapter`] when none did, but there was no adapter and
/// the twins alone were not asked for (3); others when nothing could be tested.
pub fn run(args: Args) -> Result<()> {
    // Software adapters count here: the point is to run the shaders, not to be fast.
    let device = match &args.device {
        DeviceChoice::Cpu => None,
        DeviceChoice::Auto if adapters().is_empty() => None,
        choice => Some(Device::Gpu(Gpu::open(choice, LimitsChoice::Floor)?)),
    };
    if !args.json {
        match (&device, &args.device) {
            (Some(d), _) => println!("device: {}, beside the CPU twins", d.name()),
            (None, DeviceChoice::Cpu) => println!("device: {} alone", Device::Cpu.name()),
            (None, _) => println!(
                "device: no Vulkan, Metal or DX12 adapter was found, so NO SHADER IS TESTED, only {}",
                Device::Cpu.name()
            ),
        }
    }
    let device_found = device.is_some();
    let test = SelfTest { device, cases: args.cases.clone() };
    let mut unprinted = None;
    let mut source = "";
    let summary = test.run(&mut |line| {
        if args.json {
            match serde_json::to_string(line) {
                Ok(text) => println!("{text}"),
                Err(e) => unprinted = Some(e.to_string()),
            }
            return;
        }
        if line.source != source {
            source = line.source;
            println!("{}", if source == "own" { "own cases, device against twins:" } else { "case files:" });
        }
        print_line(line);
    })?;
    if let Some(e) = unprinted {
        return Err(Error::config("--json", format!("a result cannot be written: {e}"), "Leave --json out."));
    }
    if args.json {
        let (passed, failed, later) = (summary.passed, summary.failed, summary.later);
        println!("{{\"passed\":{passed},\"failed\":{failed},\"later\":{later}}}");
    } else {
        if summary.later > 0 {
            println!("{} cases of operations that autobidet does not have (docs/testing.md)", summary.later);
        }
        println!("{} passed, {} failed", summary.passed, summary.failed);
    }
    match (device_found, &args.device) {
        _ if summary.failed > 0 => Err(Error::SelfTest { failed: summary.failed }),
        (false, choice) if *choice != DeviceChoice::Cpu => Err(Error::NoAdapter),
        _ => Ok(()),
    }
}

fn print_line(line: &Line) {
    let verdict = match (line.cases, line.problems.len()) {
        (0, _) => "not part of autobidet".to_string(),
        (_, 0) => "passed".to_string(),
        (_, n) => format!("{n} FAILED"),
    };
    let cases = line.cases + line.later;
    println!(
        "  {:<22} {cases:>3} case{} largest error {:>8.1e}  {:>6.2} s  {verdict}",
        line.op,
        if cases == 1 { ", " } else { "s," },
        line.largest_error,
        line.seconds
    );
    for p in &line.problems {
        println!("      {}", p.replace('\n', "\n      "));
    }
}
