//! `autobidet serve`

use std::path::PathBuf;

use super::say;
use crate::serve::{Options, serve};
use crate::{Error, Result};

/// Show the detector page and live dashboards of runs in a browser.
///
/// A dashboard reads the run's folder, also while `train` writes it. Only this machine can reach it unless --host says
/// otherwise; nothing can be changed through it, and there is no password.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs to show, also such as do not exist yet [default: those in --folder].
    #[arg(value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// A folder of runs to show [default: runs, where no RUN is given].
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Folder of the detector page, as `bash assets/web/build` leaves it.
    #[arg(long, value_name = "DIR", default_value = "target/web")]
    page: PathBuf,
    /// Port; 0 for any that is free.
    #[arg(long, default_value_t = 7878)]
    port: u16,
    /// Address to listen on, or a name of it; 0.0.0.0 lets everyone on the network in.
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDR")]
    host: String,
    /// How many browser tabs may watch runs at once.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=200))]
    watchers: u16,
}

/// Serves.
pub fn run(args: Args) -> Result<()> {
    let given = args.page.as_os_str() != "target/web";
    if given && !args.page.join("index.html").is_file() {
        let problem = format!("{} has no index.html", args.page.display());
        return Err(Error::config("--page", problem, "Give the folder that `bash assets/web/build` wrote."));
    }
    for path in args.runs.iter().chain(&args.folder).filter(|p| !p.exists()) {
        say(format!("note: {} does not exist yet; it is shown when it does", path.display()));
    }
    let folder = match (args.folder, args.runs.is_empty()) {
        (None, true) => Some(PathBuf::from("runs")),
        (folder, _) => folder,
    };
    let options = Options {
        runs: args.runs,
        folder,
        page: args.page,
        host: args.host,
        port: args.port,
        watchers: args.watchers.into(),
    };
    serve(&options, |at| {
        let note = if at.page { "" } else { "  (not built yet: bash assets/web/build)" };
        println!("dashboard  {}", at.dashboard);
        println!("page       {}{note}", at.url);
        if at.open {
            say("note: whoever reaches this address on the network sees these runs; there is no password");
        }
        say("Ctrl-C ends it");
    })
}
