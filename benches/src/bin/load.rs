//! Measures what the broker costs, beside the raw loop. Run it without arguments for the whole table:
//!
//! ```text
//! cargo run --release -p highwater-benches --bin load
//! ```

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::{Parser, Subcommand};
use highwater_benches::allocations::CountingAllocator;
use highwater_benches::binary::build_broker;
use highwater_benches::case::{self, Case};
use highwater_benches::embedded;
use highwater_benches::idle::Idle;
use highwater_benches::machine::Machine;
use highwater_benches::measure::Bench;
use highwater_benches::process::Server;
use highwater_benches::raw::fetch::RawFetch;
use highwater_benches::raw::produce::RawProduce;
use highwater_benches::report;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Loads a highwater broker with prebuilt batches and prints its CPU cost beside the raw loop's, as Markdown.
#[derive(Debug, Parser)]
struct Arguments {
    /// The broker's binary; by default it is built from this workspace.
    #[arg(long)]
    broker: Option<PathBuf>,
    /// Folder for data, on the file system to measure; by default a temporary one in the build folder.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Pairs of samples for each case.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Times the usual number of requests; 1 makes a sample take about one CPU second.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Measure only cases whose name contains this; may be given several times.
    #[arg(long)]
    only: Vec<String>,
    /// Print the names of the cases and end.
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// The parts of the program that it starts itself.
#[derive(Debug, Subcommand)]
enum Role {
    /// The raw loop for producing.
    #[command(hide = true)]
    RawProduce(RawProduce),
    /// The raw loop for fetching.
    #[command(hide = true)]
    RawFetch(RawFetch),
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    match &arguments.role {
        Some(Role::RawProduce(raw)) => Ok(raw.run()?),
        Some(Role::RawFetch(raw)) => Ok(raw.run()?),
        None => load(&arguments),
    }
}

fn load(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    let chosen = |case: &Case| {
        arguments.only.is_empty() || arguments.only.iter().any(|part| case.name().contains(part.as_str()))
    };
    let cases: Vec<_> = case::all().into_iter().filter(chosen).collect();
    if arguments.list {
        cases.iter().try_for_each(|case| writeln!(out, "{}", case.name()))?;
        return Ok(());
    }

    let this = std::env::current_exe()?;
    let build_folder = this.parent().ok_or("this program lies in no folder")?;
    let broker = match &arguments.broker {
        Some(path) => path.clone(),
        None => build_broker(build_folder)?,
    };
    let data =
        tempfile::Builder::new().prefix("load-").tempdir_in(arguments.data.as_deref().unwrap_or(build_folder))?;
    writeln!(out, "{}\n", Machine::describe(data.path()))?;

    let start = |name: &str| broker_command(&broker, &data.path().join(name));
    let idle = Idle::measure(|number| start(&format!("idle-{number}")), STARTS, IDLE_TIME)?;
    report::idle(&mut out, &idle)?;
    writeln!(out)?;

    let broker_data = data.path().join("broker");
    let server = Server::start(&mut start("broker"))?;
    let mut bench = Bench::new(server, broker_data, data.path().to_owned(), this.clone())?;
    report::head(&mut out)?;
    for case in &cases {
        let measured = bench.measure(case, arguments.pairs, arguments.scale)?;
        let brief = (measured.requests / ALLOCATIONS_SHARE / case.connections as u64).max(1) * case.connections as u64;
        let allocations = embedded::allocations_per_request(case, data.path(), brief)?;
        report::line(&mut out, case, &measured, allocations)?;
        out.flush()?;
    }
    bench.finish()?;
    Ok(())
}

fn broker_command(broker: &Path, data: &Path) -> Command {
    let mut command = Command::new(broker);
    command.args(["dev", "--port", "0", "--data"]).arg(data).stderr(Stdio::null());
    command
}

const STARTS: usize = 7;
const IDLE_TIME: Duration = Duration::from_secs(10);
/// Allocations are the same for every request: counting them over a part of a sample's requests is enough.
const ALLOCATIONS_SHARE: u64 = 10;
