//! Measures what many partitions with a few records each cost: created, closed, opened again, in order and after a kill.
//!
//! ```text
//! cargo run --release -p highwater-benches --bin partitions
//! ```
//!
//! Each step is a process of its own, so that its CPU time and memory are its own too. A process that is to be killed says
//! when it is ready for that, and is killed by its id.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use highwater_benches::machine::Machine;
use highwater_log::{
    AppendOrigin, AppendSet, CachedDisk, CheckedLogConfig, DirOptions, Log, LogDir, OpenCounts, OpenedDir, RealDisk,
};
use highwater_records::{BatchBuilder, BatchOptions};
use highwater_testsupport::heap::{MeasuringAllocator, bytes_in_use};
use highwater_types::{LeaderEpoch, PartitionIndex, TimestampMs, TopicId, TopicName, TopicPartition, Uuid};
use nix::sys::resource::{Resource, UsageWho, getrusage, setrlimit};

#[global_allocator]
static ALLOCATOR: MeasuringAllocator = MeasuringAllocator;

/// Creates many partitions, opens them again in several ways, and prints what each costs, as Markdown.
#[derive(Debug, Parser)]
struct Arguments {
    /// Number of partitions.
    #[arg(long, default_value_t = 100_000)]
    partitions: u32,
    /// Limit of open files for each process.
    #[arg(long, default_value_t = 20_000)]
    limit: u64,
    /// Files that the log keeps open at most.
    #[arg(long, default_value_t = 10_000)]
    descriptors: usize,
    /// Folder for data, on the file system to measure; by default a temporary one in the build folder.
    #[arg(long)]
    data: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

/// The parts of the program that it starts itself.
#[derive(Debug, Subcommand)]
enum Role {
    /// One step.
    #[command(hide = true)]
    Step { dir: PathBuf, begin: Begin, end: End },
}

/// What a step does first, and what is measured of it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Begin {
    /// Creates the partitions with three records each.
    Create,
    /// Opens them.
    Open,
    /// Opens them without the manifest.
    OpenWithoutManifest,
}

/// How a step ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum End {
    /// Closes everything in order, which is measured too.
    Close,
    /// Appends a record to every hundredth partition, and waits to be killed.
    GrowSome,
    /// Appends a record to every partition, and waits to be killed.
    GrowAll,
    /// Anchors what is idle and writes checkpoints, which is measured, and waits to be killed.
    Anchor,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    match &arguments.role {
        Some(Role::Step { dir, begin, end }) => step(&arguments, dir, *begin, *end),
        None => measure(&arguments),
    }
}

fn measure(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    let this = std::env::current_exe()?;
    let build_folder = this.parent().ok_or("this program lies in no folder")?;
    let data =
        tempfile::Builder::new().prefix("partitions-").tempdir_in(arguments.data.as_deref().unwrap_or(build_folder))?;
    writeln!(out, "{}\n", Machine::describe(data.path()))?;
    writeln!(
        out,
        "{} partitions, at most {} open files of them, limit {}\n",
        arguments.partitions, arguments.descriptors, arguments.limit
    )?;
    writeln!(
        out,
        "| step | wall s | CPU s | RSS MB | heap B/partition | descriptors | remembered | resumed | loaded |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    )?;
    let dir = data.path().join("logs");
    let steps: [(&str, Begin, End); 7] = [
        ("create, three records each", Begin::Create, End::Close),
        ("open after closing in order", Begin::Open, End::GrowSome),
        ("open after SIGKILL, 1 % had grown", Begin::Open, End::GrowAll),
        ("open after SIGKILL, all had grown", Begin::Open, End::Anchor),
        ("open after SIGKILL, all anchored", Begin::Open, End::GrowSome),
        ("open after SIGKILL, no manifest", Begin::OpenWithoutManifest, End::Close),
        ("open after closing in order, no manifest", Begin::OpenWithoutManifest, End::Close),
    ];
    for (name, begin, end) in steps {
        let mut child = Command::new(&this)
            .args(["--partitions", &arguments.partitions.to_string(), "--limit", &arguments.limit.to_string()])
            .args(["--descriptors", &arguments.descriptors.to_string(), "step"])
            .arg(&dir)
            .arg(begin.to_possible_value().expect("no value is skipped").get_name())
            .arg(end.to_possible_value().expect("no value is skipped").get_name())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut is_ready = false;
        for line in BufReader::new(child.stdout.take().ok_or("standard output is a pipe")?).lines() {
            let line = line?;
            match line.strip_prefix("| ") {
                Some(figures) => writeln!(out, "| {}", figures.replacen('*', name, 1))?,
                None if line == "ready" => {
                    is_ready = true;
                    child.kill()?;
                }
                None => writeln!(out, "{line}")?,
            }
            out.flush()?;
        }
        let status = child.wait()?;
        if !is_ready && !status.success() {
            return Err(format!("{name}: {status}").into());
        }
    }
    Ok(())
}

/// Figures of this process.
struct Meter {
    start: Instant,
    cpu: Duration,
    heap: usize,
}

impl Meter {
    fn start() -> Result<Self, Box<dyn Error>> {
        Ok(Self { start: Instant::now(), cpu: cpu()?, heap: bytes_in_use() })
    }

    fn print(&self, name: &str, partitions: u32, counts: OpenCounts) -> Result<(), Box<dyn Error>> {
        let OpenCounts { remembered, resumed, loaded } = counts;
        let wall = self.start.elapsed().as_secs_f64();
        let cpu = (cpu()? - self.cpu).as_secs_f64();
        let heap = bytes_in_use().saturating_sub(self.heap) / partitions as usize;
        let status = std::fs::read_to_string("/proc/self/status")?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        let rss = rss.ok_or("no VmRSS in /proc")?.parse::<f64>()? / 1024.0;
        let open = std::fs::read_dir("/proc/self/fd")?.count();
        writeln!(
            io::stdout(),
            "| {name} | {wall:.2} | {cpu:.2} | {rss:.0} | {heap} | {open} | {remembered} | {resumed} | {loaded} |"
        )?;
        Ok(())
    }
}

fn step(arguments: &Arguments, path: &Path, begin: Begin, end: End) -> Result<(), Box<dyn Error>> {
    setrlimit(Resource::RLIMIT_NOFILE, arguments.limit, arguments.limit)?;
    let count = arguments.partitions;
    let disk = CachedDisk::new(RealDisk::shared(), arguments.descriptors);
    if let Begin::OpenWithoutManifest = begin {
        std::fs::remove_file(path.join("highwater-manifest"))?;
    }
    let config = CheckedLogConfig::default();
    let options = DirOptions { recovery_threads: 2, now: NOW };
    let meter = Meter::start()?;
    let OpenedDir { dir, logs } = LogDir::open(disk.shared(), path, options, &|_| config.clone())?;
    let mut logs: Vec<Log> = logs.into_iter().map(|found| found.log).collect();
    let counts = dir.open_counts();
    if let Begin::Create = begin {
        logs = create(&dir, count)?;
    }
    assert!(logs.len() == count as usize, "every partition is there");
    meter.print("*", count, counts)?;

    match end {
        End::Close => {
            let meter = Meter::start()?;
            dir.close_clean(logs, None, NOW)?;
            meter.print("closing in order", count, OpenCounts::default())?;
            return Ok(());
        }
        End::GrowSome => logs.iter_mut().step_by(100).try_for_each(append)?,
        End::GrowAll => logs.iter_mut().try_for_each(append)?,
        End::Anchor => {
            let meter = Meter::start()?;
            anchor(&dir, &mut logs)?;
            meter.print("anchoring and checkpoints", count, OpenCounts::default())?;
            let meter = Meter::start()?;
            checkpoint(&dir, &logs)?;
            meter.print("the next checkpoints", count, OpenCounts::default())?;
            let meter = Meter::start()?;
            checkpoint(&dir, &logs)?;
            meter.print("and those after, with nothing to do", count, OpenCounts::default())?;
        }
    }
    writeln!(io::stdout(), "ready")?;
    // For the kill, which comes at once; and an end, should nobody be there to do it.
    thread::sleep(Duration::from_secs(60));
    Err("nobody has killed this process".into())
}

/// Creates the partitions on several threads, whose syncs the file system does together.
fn create(dir: &LogDir, count: u32) -> Result<Vec<Log>, Box<dyn Error>> {
    let next = AtomicU32::new(0);
    let created = Mutex::new(Vec::new());
    let work = || -> Result<(), String> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if count <= index {
                return Ok(());
            }
            let topic = TopicName::new("events").expect("a legal name");
            let partition = TopicPartition::new(topic, PartitionIndex::new(index));
            let id = Some(TopicId(Uuid::METADATA_TOPIC));
            let log = dir.create_log(&partition, id, CheckedLogConfig::default(), NOW);
            let mut log = log.map_err(|error| error.to_string())?;
            for _ in 0..3 {
                append(&mut log).map_err(|error| error.to_string())?;
            }
            created.lock().map_err(|error| error.to_string())?.push(log);
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread has panicked".to_owned())?)
    })?;
    Ok(created.into_inner()?)
}

fn append(log: &mut Log) -> Result<(), Box<dyn Error>> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(NOW.value(), Some(b"key"), Some(&[7; 100]), &[])?;
    let mut batch = builder.finish()?;
    let mut sets = [AppendSet::new(&mut batch, AppendOrigin::Client)];
    log.append_as_leader(&mut sets, LeaderEpoch::ZERO, NOW)?;
    sets[0].take_result()?;
    Ok(())
}

fn anchor(dir: &LogDir, logs: &mut [Log]) -> Result<(), Box<dyn Error>> {
    let mut anchoring = Vec::new();
    let mut tasks = Vec::new();
    for log in &mut *logs {
        if let Some(task) = log.anchor_task()? {
            tasks.push(task);
            anchoring.push(log);
        }
    }
    for (log, done) in anchoring.into_iter().zip(dir.sync().run(tasks)?) {
        log.complete_flush(done);
    }
    checkpoint(dir, logs)
}

fn checkpoint(dir: &LogDir, logs: &[Log]) -> Result<(), Box<dyn Error>> {
    let checkpoints: Vec<_> = logs.iter().map(Log::checkpoint).collect();
    Ok(dir.write_checkpoints(&checkpoints)?)
}

/// CPU time of this process, user and system.
fn cpu() -> Result<Duration, Box<dyn Error>> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let time = |value: nix::sys::time::TimeVal| -> Result<Duration, Box<dyn Error>> {
        Ok(Duration::from_secs(value.tv_sec().try_into()?) + Duration::from_micros(value.tv_usec().try_into()?))
    };
    Ok(time(usage.user_time())? + time(usage.system_time())?)
}

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
const THREADS: usize = 8;
