#![doc = include_str!("../README.md")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what this program is for")]

mod client;
mod cluster;
mod disk;
mod error;
mod nemesis;
mod network;
mod node;
mod recorder;
mod replicas;
mod report;
mod run;
mod sandbox;
mod server;
mod stop;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use sandbox::Sandbox;
use server::Kind;

/// Runs a cluster of processes under faults and judges it by what its clients saw.
///
/// Exits with 0 if nothing went wrong, with 1 if the cluster broke a promise, and with 2 if it could not be tried. A
/// failed run keeps its directory, with the logs and data of the nodes and the history.
#[derive(Debug, Parser)]
#[command(name = "highwater-faults")]
struct Args {
    /// Nodes; each is a broker and a controller.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..=9))]
    nodes: u32,
    /// Decides which faults there are, and when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long faults go on. Starting, healing and judging take two minutes more at most.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// What the nodes are.
    #[arg(long, value_enum, default_value_t = Kind::Highwater)]
    server: Kind,
    /// The program `highwater`; without it, the one beside this program.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Only these kinds of faults.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<nemesis::Kind>,
    /// In-sync replicas that an acknowledged batch needs at least. With 1, a promise is not worth much.
    #[arg(long, value_name = "COUNT", default_value_t = run::MIN_INSYNC_REPLICAS)]
    min_insync_replicas: u32,
    /// Settings of every node, as in server.properties; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where a directory for the run is made.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    directory: PathBuf,
    /// Keeps the directory of a good run as well.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let Some(sandbox) = Sandbox::inside() else {
        return sandbox::enter().unwrap_or_else(|error| {
            eprintln!("{error}");
            ExitCode::from(2)
        });
    };
    match run::run(&args, &sandbox) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
