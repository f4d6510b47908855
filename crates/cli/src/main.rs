//! The `highwater` command: a broker that any Kafka client can use, and tools for its files.
//!
//! Thin on purpose: it parses arguments, starts what the libraries do, and turns their errors into one line of what,
//! one of why and one of what to try. Standard output carries data only; everything else goes to standard error.

mod dev;
mod dev_cluster;
mod error;
mod log;
mod logging;
mod progress;
mod server;
mod serving;
mod signals;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Allocations and frees happen on different event loops, which this allocator does at a third of the usual cost.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Kafka's job in one small binary.
#[derive(Debug, Parser)]
#[command(name = "highwater", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node for development, or several; without --data their files are gone when they end.
    Dev(dev::Dev),
    /// Run a node as its configuration says, with Kafka's own server.properties.
    Server(server::Server),
    /// Prepare the directories of a node that joins a cluster.
    Format(server::Format),
    /// Look at log files; needs no broker.
    #[command(subcommand)]
    Log(log::Log),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Dev(dev) => dev.run(),
        Command::Server(server) => server.run(),
        Command::Format(format) => format.run(),
        Command::Log(log) => log.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
