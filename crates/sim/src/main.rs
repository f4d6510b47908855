//! Plays seeded histories: `highwater-sim log --seed N` one of them line by line, `--seeds A..B` many of them.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what this program is for")]

use std::io::IsTerminal;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use highwater_sim::{Trace, World};

/// Plays seeded histories of operations, faults and crashes, and judges every step by a model.
///
/// Exits with 1 at the first history that goes wrong, and prints the command that replays it.
#[derive(Debug, Parser)]
#[command(name = "highwater-sim")]
struct Args {
    /// What the histories are about.
    world: Name,
    /// Plays one history and prints every step.
    #[arg(long, conflicts_with = "seeds", required_unless_present = "seeds")]
    seed: Option<u64>,
    /// With --seed, also prints what the disk was asked to change.
    #[arg(long, requires = "seed")]
    calls: bool,
    /// Plays many histories, for example 0..10000.
    #[arg(long, value_parser = parse_range)]
    seeds: Option<Range<u64>>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// One log on its own.
    Log,
    /// A directory of logs, with its checkpoint files.
    Dir,
    /// A group coordinator with many members.
    Group,
    /// A metadata quorum of several nodes.
    Raft,
    /// A metadata quorum whose voters come and go.
    Voters,
    /// A whole cluster: controllers, brokers, producers.
    Cluster,
    /// A producer before faulty brokers.
    Producer,
}

impl From<Name> for World {
    fn from(name: Name) -> Self {
        match name {
            Name::Log => Self::Log,
            Name::Dir => Self::Dir,
            Name::Group => Self::Group,
            Name::Raft => Self::Raft,
            Name::Voters => Self::Voters,
            Name::Cluster => Self::Cluster,
            Name::Producer => Self::Producer,
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let world = World::from(args.world);
    match (args.seed, args.seeds) {
        (Some(seed), _) => {
            world.run(seed, &mut Trace::to(&mut |line| println!("{line}")).with_calls(args.calls));
            ExitCode::SUCCESS
        }
        (None, seeds) => sweep(world, seeds.unwrap_or_default()),
    }
}

fn sweep(world: World, seeds: Range<u64>) -> ExitCode {
    let started = Instant::now();
    let mut shown = started;
    let is_watched = std::io::stderr().is_terminal();
    for seed in seeds.clone() {
        if catch_unwind(AssertUnwindSafe(|| world.run(seed, &mut Trace::silent()))).is_err() {
            eprintln!("seed {seed} fails; replay it with\n  {}", world.replay_command(seed));
            return ExitCode::FAILURE;
        }
        if is_watched && Duration::from_millis(200) <= shown.elapsed() {
            shown = Instant::now();
            eprint!("\r{} of {} seeds", seed + 1 - seeds.start, seeds.end - seeds.start);
        }
    }
    let count = seeds.end.saturating_sub(seeds.start);
    let begin = if is_watched { "\r" } else { "" };
    eprintln!("{begin}{count} seeds in {:.1} s: nothing went wrong", started.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let (start, end) = text.split_once("..").ok_or("a range is written A..B")?;
    let number = |text: &str| text.parse().map_err(|_| format!("{text} is not a number"));
    let range = number(start)?..number(end)?;
    if range.is_empty() { Err("the range is empty".to_owned()) } else { Ok(range) }
}
