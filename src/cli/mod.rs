//! The command line: one file a subcommand.

mod bench;
mod compare;
mod detect;
mod devices;
mod eval;
mod export;
mod import;
mod info;
mod open;
mod quickstart;
mod reproduce;
mod scenes;
mod selftest;
mod serve;
mod shaders;
mod trace;
mod train;

use clap::{Parser, Subcommand};

use crate::gpu::POLL_PANIC;
use crate::{Error, Result};

/// Trains and runs binarized object detectors through WGSL compute shaders: Vulkan, Metal and DX12 from one source.
///
/// Without a command: trains a small binarized detector on drawn scenes for a few minutes, evaluates it, and leaves a
/// report with pictures in runs/quickstart-<n>.
#[derive(Debug, Parser)]
#[command(
    name = "autobidet",
    version,
    about,
    max_term_width = 110,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    quickstart: quickstart::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a detector on a VOC folder, a COCO json, or the embedded scenes.
    Train(Box<train::Args>),
    /// Measure a detector, or a file of detections, on annotated images.
    Eval(eval::Args),
    /// Compare two detectors: accuracy with the interval of the difference, false positives over priors.
    Compare(compare::Args),
    /// Make a table or figure of the paper: train its grid, and set the numbers beside the paper's.
    Reproduce(reproduce::Args),
    /// Find objects in images and draw them.
    Detect(detect::Args),
    /// Make a weight file from a PyTorch checkpoint or safetensors of another program.
    Import(import::Args),
    /// Write a trained detector as one small file for use.
    Export(export::Args),
    /// List the adapters of this machine.
    Devices(devices::Args),
    /// Show a network: layers, shapes, parameters, operations, memory.
    Info(info::Args),
    /// Run every step of a network on a device and on the CPU twins, and name the first that differs.
    Trace(trace::Args),
    /// Check that this machine's driver computes right.
    Selftest(selftest::Args),
    /// Show the detector page and live dashboards of runs in a browser.
    Serve(serve::Args),
    /// Write the shaders as SPIR-V, MSL, HLSL or GLSL.
    Shaders(shaders::Args),
    /// Write the embedded data set as a VOC folder.
    Scenes(scenes::Args),
    /// Measure kernels, training steps, inference and the loader on this machine.
    Bench(bench::Args),
}

/// Ends the program when what it prints has no reader any more (`autobidet info tiny | head`) or nowhere to go. The standard
/// library's print macros panic then. wgpu panics where a device is lost; that is told as an error.
fn end_with_the_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        match said.strip_prefix("failed printing to ") {
            Some(why) if why.contains("Broken pipe") || why.contains("os error 32") => std::process::exit(0),
            Some(why) => {
                use std::io::Write;
                let _ = writeln!(std::io::stderr(), "error: cannot print to {why}");
                std::process::exit(1)
            }
            // Waiting for a device that is lost: `gpu` makes an error of it, which is told.
            None if said.starts_with(POLL_PANIC) => {}
            None => usual(panic),
        }
    }));
}

/// Runs the program with the process's arguments; the value is its exit code.
pub fn run() -> u8 {
    end_with_the_reader();
    let cli = Cli::parse();
    let result: Result<()> = match cli.command {
        None => quickstart::run(cli.quickstart),
        Some(Command::Train(a)) => train::run(*a),
        Some(Command::Eval(a)) => eval::run(a),
        Some(Command::Compare(a)) => compare::run(a),
        Some(Command::Reproduce(a)) => reproduce::run(a),
        Some(Command::Detect(a)) => detect::run(a),
        Some(Command::Import(a)) => import::run(a),
        Some(Command::Export(a)) => export::run(a),
        Some(Command::Devices(a)) => devices::run(a),
        Some(Command::Info(a)) => info::run(a),
        Some(Command::Trace(a)) => trace::run(a),
        Some(Command::Selftest(a)) => selftest::run(a),
        Some(Command::Serve(a)) => serve::run(a),
        Some(Command::Shaders(a)) => shaders::run(a),
        Some(Command::Scenes(a)) => scenes::run(a),
        Some(Command::Bench(a)) => bench::run(a),
    };
    match result {
        Ok(()) => 0,
        // The last line of its report has said so.
        Err(Error::SelfTest { .. }) => 1,
        Err(e) => {
            eprintln!("error: {e}");
            e.exit_code()
        }
    }
}

/// Says something to the user beside the results: on stderr, so that stdout holds results only.
fn say(message: impl std::fmt::Display) {
    eprintln!("{message}");
}
