//! Measures what consumer groups cost. Run it without arguments for the whole table:
//!
//! ```text
//! cargo run --release -p highwater-benches --bin groups
//! ```

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use highwater_benches::binary::build_broker;
use highwater_benches::client::Load;
use highwater_benches::groups::peer::Peer;
use highwater_benches::groups::steady::{Act, PARTITIONS, Protocol, SteadyGroups};
use highwater_benches::groups::{load, rebalance};
use highwater_benches::machine::Machine;
use highwater_benches::process::{Process, Server};

/// Loads the group coordinator of a broker and prints what a call costs, as Markdown.
#[derive(Debug, Parser)]
struct Arguments {
    /// The broker's binary; by default it is built from this workspace.
    #[arg(long)]
    broker: Option<PathBuf>,
    /// A broker that runs already, to be measured instead: its address. It needs `group.initial.rebalance.delay.ms`
    /// of some 500 and `group.consumer.assignment.interval.ms=0`.
    #[arg(long, requires = "pid")]
    address: Option<SocketAddr>,
    /// Process id of that broker, for its CPU time.
    #[arg(long, requires = "address")]
    pid: Option<i32>,
    /// Folder for data, on the file system to measure; by default a temporary one in the build folder.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Groups of ten members that heartbeat and commit.
    #[arg(long, default_value_t = 1000)]
    groups: usize,
    /// Requests of a sample.
    #[arg(long, default_value_t = 400_000)]
    requests: u64,
    /// Thousands of commits in the offsets partition that is loaded.
    #[arg(long, default_value_t = 1000)]
    loaded: usize,
    /// Rebalances to measure of each kind.
    #[arg(long, default_value_t = 5)]
    rebalances: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut out = io::stdout();
    let this = std::env::current_exe()?;
    let build_folder = this.parent().ok_or("this program lies in no folder")?;
    if let (Some(address), Some(pid)) = (arguments.address, arguments.pid) {
        return Ok(measure(&arguments, address, &Process::new(pid)?, &mut out)?);
    }
    let broker = match &arguments.broker {
        Some(path) => path.clone(),
        None => build_broker(build_folder)?,
    };
    let data =
        tempfile::Builder::new().prefix("groups-").tempdir_in(arguments.data.as_deref().unwrap_or(build_folder))?;
    writeln!(out, "{}\n", Machine::describe(data.path()))?;
    let server = Server::start(&mut command(&broker, data.path(), "steady"))?;
    measure(&arguments, server.address(), server.process(), &mut out)?;
    drop(server);
    loading(&arguments, &broker, data.path(), &mut out)?;
    Ok(())
}

fn measure(arguments: &Arguments, address: SocketAddr, process: &Process, out: &mut impl Write) -> io::Result<()> {
    let mut peer = Peer::connect(address)?;
    peer.create_topic("groups", PARTITIONS)?;
    peer.await_coordinator("steady")?;
    steady(arguments, address, process, out)?;
    rebalances(arguments, address, process, out)
}

fn steady(arguments: &Arguments, address: SocketAddr, process: &Process, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "| protocol | call | depth, connections | calls/s | broker us/call |")?;
    writeln!(out, "| --- | --- | --- | ---: | ---: |")?;
    for protocol in [Protocol::Classic, Protocol::Consumer] {
        let groups = SteadyGroups::make(address, protocol, arguments.groups, MEMBERS)?;
        for act in [Act::Heartbeat, Act::Commit, Act::CommitTen] {
            for (depth, connections) in [(1, 4), (16, 4)] {
                let load = Load { address, connections, depth, requests: arguments.requests };
                groups.keep_alive(&load)?;
                groups.run(act, &Load { requests: arguments.requests / 10, ..load })?;
                let before = process.cpu()?;
                let took = groups.run(act, &load)?;
                let cpu = process.cpu()? - before;
                writeln!(
                    out,
                    "| {protocol:?} | {act:?} | {depth}, {connections} | {:.0} | {:.2} |",
                    arguments.requests as f64 / took.as_secs_f64(),
                    cpu.as_secs_f64() * 1e6 / arguments.requests as f64,
                )?;
                out.flush()?;
            }
        }
    }
    writeln!(out)
}

fn rebalances(arguments: &Arguments, address: SocketAddr, process: &Process, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "| rebalance of {REBALANCE_MEMBERS} members, {PARTITIONS} partitions | ms (median) | broker CPU ms | heartbeats |"
    )?;
    writeln!(out, "| --- | ---: | ---: | ---: |")?;
    // As many bytes as ten partitions take.
    let assignment = [0; 64];
    let mut times = Vec::new();
    let before = process.cpu()?;
    for index in 0..arguments.rebalances {
        times.push(rebalance::classic(address, &format!("rebalance-{index}"), REBALANCE_MEMBERS, &assignment)?);
    }
    // All joins of the first generation and the heartbeats between are in this, so it is an upper bound.
    let cpu = (process.cpu()? - before) / arguments.rebalances.max(1) as u32;
    writeln!(out, "| classic | {:.2} | {:.2} | - |", ms(median(times)), ms(cpu))?;
    let (mut times, mut count) = (Vec::new(), 0);
    let before = process.cpu()?;
    for index in 0..arguments.rebalances {
        let group = format!("reconcile-{index}");
        let (took, heartbeats) = rebalance::consumer(address, &group, REBALANCE_MEMBERS, PARTITIONS as usize)?;
        times.push(took);
        count = heartbeats;
    }
    let cpu = (process.cpu()? - before) / arguments.rebalances.max(1) as u32;
    writeln!(out, "| KIP-848 | {:.2} | {:.2} | {count} |", ms(median(times)), ms(cpu))?;
    writeln!(out)
}

fn loading(arguments: &Arguments, broker: &Path, data: &Path, out: &mut impl Write) -> io::Result<()> {
    let start = || {
        let mut command = command(broker, data, "loaded");
        command.args(["--set", "offsets.topic.num.partitions=1"]);
        command
    };
    let server = Server::start(&mut start())?;
    let mut peer = Peer::connect(server.address())?;
    peer.create_topic("groups", PARTITIONS)?;
    peer.await_coordinator("loaded")?;
    load::commit(server.address(), arguments.loaded)?;
    server.stop()?;
    let started = Instant::now();
    let server = Server::start(&mut start())?;
    let ready = started.elapsed();
    load::await_loaded(server.address(), arguments.loaded)?;
    let loaded = started.elapsed();
    writeln!(
        out,
        "Load of one partition with {} commits: ready to serve after {:.0} ms, offsets loaded after {:.0} ms from the start of the \
         process, {:.2} s of CPU in all, {:.0} MB resident.",
        arguments.loaded * PARTITIONS as usize,
        ms(ready),
        ms(loaded),
        server.process().cpu()?.as_secs_f64(),
        server.resident_bytes()? as f64 / 1e6,
    )?;
    Ok(())
}

fn command(broker: &Path, data: &Path, name: &str) -> Command {
    let mut command = Command::new(broker);
    command.arg("server").stderr(Stdio::null());
    for setting in [
        "listeners=PLAINTEXT://127.0.0.1:0",
        "offsets.topic.replication.factor=1",
        "group.initial.rebalance.delay.ms=500",
        "group.consumer.assignment.interval.ms=0",
    ] {
        command.args(["--set", setting]);
    }
    command.arg("--set").arg(format!("log.dirs={}", data.join(name).display()));
    command
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

const MEMBERS: usize = 10;
const REBALANCE_MEMBERS: usize = 100;
