//! The `highwater` command: a broker that any Kafka client can use, and tools for its files.
//!
//! Thin on purpose: it parses arguments, starts what the libraries do, and turns their errors into one line of what,
//! one of why and one of what to try. Standard output carries data only; everything else goes to standard error.

mod bench;
mod broker;
mod cluster;
mod compat;
mod completions;
mod config;
mod connection;
mod consume;
mod context;
mod dev;
mod dev_cluster;
mod disk;
mod doctor;
mod error;
mod errors;
mod group;
mod log;
mod logging;
mod outcome;
mod output;
mod partition;
mod plan;
mod produce;
mod progress;
mod selection;
mod server;
mod serving;
mod session;
mod signals;
mod template;
mod timestamp;
mod top;
mod topic;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Allocations and frees happen on different event loops, which this allocator does at a third of the usual cost.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Kafka's job in one small binary.
#[derive(Debug, Parser)]
#[command(name = "highwater", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    connection: connection::Connection,
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
    /// Send records: lines of standard input, of a file, or one that is given.
    Produce(produce::Produce),
    /// Print records.
    Consume(consume::Consume),
    /// Make, see, change and delete topics.
    #[command(subcommand)]
    Topic(topic::Topic),
    /// See groups of consumers, how far they are, and change that.
    #[command(subcommand)]
    Group(group::Group),
    /// See the cluster as a whole.
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    /// See brokers.
    #[command(subcommand)]
    Broker(broker::Broker),
    /// See partitions, move their replicas, and elect their leaders.
    #[command(subcommand)]
    Partition(partition::Partition),
    /// See the directories in which brokers keep logs.
    #[command(subcommand)]
    Disk(disk::Disk),
    /// See and change the configs of whatever has some.
    #[command(subcommand)]
    Config(config::Config),
    /// Measure a cluster. The last line is that of Kafka's own tools.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Look at log files; needs no broker.
    #[command(subcommand)]
    Log(log::Log),
    /// Look for what keeps clients from their brokers: addresses, clocks, limits, disks.
    Doctor(doctor::Doctor),
    /// Watch topics and groups live.
    Top(top::Top),
    /// Name clusters, and choose the one that commands talk to.
    #[command(subcommand)]
    Context(context::Context),
    /// Explain the error codes of Kafka's protocol.
    Errors(errors::Errors),
    /// Print a script with which a shell completes arguments.
    Completions(completions::Completions),
    /// Stand in for Kafka's own tools, which also work as `highwater kafka-…`.
    #[command(subcommand)]
    Compat(compat::Compat),
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = compat::dispatch(&arguments) {
        return code;
    }
    completions::answer();
    let Cli { connection, command } = Cli::parse_from(arguments);
    let outcome = match command {
        Command::Dev(dev) => dev.run(),
        Command::Server(server) => server.run(),
        Command::Format(format) => format.run(),
        Command::Produce(produce) => produce.run(&connection),
        Command::Consume(consume) => consume.run(&connection),
        Command::Topic(topic) => topic.run(&connection),
        Command::Group(group) => group.run(&connection),
        Command::Cluster(cluster) => cluster.run(&connection),
        Command::Broker(broker) => broker.run(&connection),
        Command::Partition(partition) => partition.run(&connection),
        Command::Disk(disk) => disk.run(&connection),
        Command::Config(config) => config.run(&connection),
        Command::Bench(bench) => bench.run(&connection),
        Command::Log(log) => log.run(),
        Command::Doctor(doctor) => doctor.run(&connection),
        Command::Top(top) => top.run(&connection),
        Command::Context(context) => context.run(&connection),
        Command::Errors(errors) => errors.run(),
        Command::Completions(completions) => completions.run(),
        Command::Compat(compat) => compat.run(),
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
