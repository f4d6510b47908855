//! Interleaved pairs of samples: the broker, and the raw loop with the same load.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::batch::{Batch, BatchCodec};
use crate::case::{Case, RawVariant, Work};
use crate::client::Load;
use crate::process::Server;
use crate::request::{Control, Fetch, Produce};

/// What a server used to answer a load.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Its CPU time, user and system.
    pub cpu: Duration,
    /// The time it took.
    pub wall: Duration,
}

/// The samples of one case.
#[derive(Debug)]
pub struct Measured {
    /// Pairs of a broker's and a raw loop's sample, in the order of measurement.
    pub pairs: Vec<(Sample, Sample)>,
    /// How the raw loop worked, the cheapest way of those tried.
    pub raw: RawVariant,
    /// Requests in each sample.
    pub requests: u64,
    /// Bytes of records in one request or answer, as sent.
    pub request_bytes: usize,
    /// System calls of the broker for one request, if they could be counted.
    pub syscalls: Option<f64>,
}

/// Measures one case after the other on one running broker.
#[derive(Debug)]
pub struct Bench {
    broker: Server,
    control: Control,
    /// The broker's data directory, to see when a deleted topic is gone.
    broker_data: PathBuf,
    /// For the raw loop's files and the conditioning.
    scratch: PathBuf,
    raw_program: PathBuf,
    topics: u32,
}

impl Bench {
    /// Takes over a running broker.
    ///
    /// `raw_program` is this program, which the raw loop is a subcommand of.
    ///
    /// # Errors
    ///
    /// If the broker cannot be reached.
    pub fn new(broker: Server, broker_data: PathBuf, scratch: PathBuf, raw_program: PathBuf) -> io::Result<Self> {
        let control = Control::connect(broker.address())?;
        Ok(Self { broker, control, broker_data, scratch, raw_program, topics: 0 })
    }

    /// Measures `pairs` pairs, with `scale` times the case's usual number of requests.
    ///
    /// # Errors
    ///
    /// If a server fails, or answers anything but success.
    pub fn measure(&mut self, case: &Case, pairs: usize, scale: f64) -> io::Result<Measured> {
        // A multiple of the connections, so that each has the same number.
        let connections = case.connections as u64;
        let requests = ((case.requests as f64 * scale) as u64 / connections).max(1) * connections;
        let mut stage = Stage::prepare(self, case)?;

        // Each variant shows once, briefly, what it costs. That also warms up both sides.
        let brief = (requests / 5).max(connections) / connections * connections;
        self.broker_sample(case, &mut stage, brief)?;
        let mut raw = None;
        for variant in case.work.raw_variants(case.depth) {
            let sample = self.raw_sample(case, &stage, variant, brief)?;
            if raw.is_none_or(|(_, cpu)| sample.cpu < cpu) {
                raw = Some((variant, sample.cpu));
            }
        }
        let (raw, _) = raw.expect("every kind of work has a raw variant");

        let mut measured = Vec::with_capacity(pairs);
        for pair in 0..pairs {
            measured.push(if pair % 2 == 0 {
                let broker = self.broker_sample(case, &mut stage, requests)?;
                (broker, self.raw_sample(case, &stage, raw, requests)?)
            } else {
                let raw = self.raw_sample(case, &stage, raw, requests)?;
                (self.broker_sample(case, &mut stage, requests)?, raw)
            });
        }
        let syscalls = self.count_syscalls(case, &mut stage, brief)?;
        stage.tear_down(self)?;
        Ok(Measured { pairs: measured, raw, requests, request_bytes: stage.request_bytes(), syscalls })
    }

    /// Stops the broker.
    ///
    /// # Errors
    ///
    /// If it cannot be stopped.
    pub fn finish(self) -> io::Result<()> {
        self.broker.stop().map(drop)
    }

    fn broker_sample(&mut self, case: &Case, stage: &mut Stage, requests: u64) -> io::Result<Sample> {
        stage.condition(&self.scratch, requests)?;
        let topic = stage.topic(self)?;
        let (cpu, load) = (self.broker.cpu()?, self.load(case, requests));
        let wall = stage.run(&load, &topic)?;
        let cpu = self.broker.cpu()? - cpu;
        stage.release(self, &topic)?;
        Ok(Sample { cpu, wall })
    }

    fn raw_sample(&self, case: &Case, stage: &Stage, variant: RawVariant, requests: u64) -> io::Result<Sample> {
        stage.condition(&self.scratch, requests)?;
        let mut command = Command::new(&self.raw_program);
        stage.raw_arguments(&mut command, &self.scratch, variant);
        command.arg("--connections").arg(case.connections.to_string());
        let server = Server::start(&mut command)?;
        let load = Load { address: server.address(), ..self.load(case, requests) };
        // The raw loop ends once all its connections are closed: its clock has to be read before that.
        let cpu = server.cpu()?;
        let wall = stage.run(&load, RAW_TOPIC)?;
        let cpu = server.cpu()? - cpu;
        drop(server);
        stage.remove_raw_output(&self.scratch)?;
        Ok(Sample { cpu, wall })
    }

    fn count_syscalls(&mut self, case: &Case, stage: &mut Stage, requests: u64) -> io::Result<Option<f64>> {
        let topic = stage.topic(self)?;
        let load = self.load(case, requests);
        let calls = crate::syscalls::count(self.broker.id(), &self.scratch, || stage.run(&load, &topic).map(drop))?;
        stage.release(self, &topic)?;
        Ok(calls.map(|calls| calls as f64 / requests as f64))
    }

    fn load(&self, case: &Case, requests: u64) -> Load {
        Load { address: self.broker.address(), connections: case.connections, depth: case.depth, requests }
    }

    fn create_topic(&mut self) -> io::Result<String> {
        self.topics += 1;
        // Fixed width, as the raw loop's topic, so that all requests have the same length.
        let topic = format!("load-{:04}", self.topics);
        self.control.create_topic(&topic, &[("file.delete.delay.ms", "1")])?;
        Ok(topic)
    }

    /// Deletes a topic and waits until its files are gone, so that unlinking does not fall into the next sample.
    fn delete_topic(&mut self, topic: &str) -> io::Result<()> {
        self.control.delete_topic(topic)?;
        let deadline = Instant::now() + DELETION_TIME_MAX;
        while Instant::now() < deadline {
            let left = fs::read_dir(&self.broker_data)?
                .filter_map(Result::ok)
                .any(|entry| entry.file_name().to_string_lossy().starts_with(topic));
            if !left {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// What a case needs besides the servers.
struct Stage {
    batch: Batch,
    /// For fetching: what is read, and from where.
    source: Option<Source>,
}

struct Source {
    topic: String,
    batches_per_step: usize,
    steps: u64,
    file: PathBuf,
}

impl Stage {
    fn prepare(bench: &mut Bench, case: &Case) -> io::Result<Self> {
        match case.work {
            Work::Produce { batch_bytes, value_bytes, codec } => {
                Ok(Self { batch: Batch::build(batch_bytes, value_bytes, codec), source: None })
            }
            Work::Fetch { step_bytes, batch_bytes } => {
                let batch = Batch::build(batch_bytes, 1000, BatchCodec::None);
                let batches = SOURCE_BYTES / batch_bytes;
                let topic = bench.create_topic()?;
                bench.control.wait_until_served(&Produce::new(&topic, &batch))?;
                let load = Load { address: bench.broker.address(), connections: 1, depth: 5, requests: batches as u64 };
                load.run(|| Produce::new(&topic, &batch))?;
                let file = bench.scratch.join("source.log");
                let mut out = io::BufWriter::with_capacity(256 << 10, File::create(&file)?);
                for _ in 0..batches {
                    out.write_all(&batch.bytes)?;
                }
                out.flush()?;
                let steps = (SOURCE_BYTES / step_bytes) as u64;
                let source = Source { topic, batches_per_step: step_bytes / batch_bytes, steps, file };
                Ok(Self { batch, source: Some(source) })
            }
        }
    }

    /// The topic of the next sample: a new one to produce to, or the one to read from.
    fn topic(&self, bench: &mut Bench) -> io::Result<String> {
        match &self.source {
            None => {
                let topic = bench.create_topic()?;
                bench.control.wait_until_served(&Produce::new(&topic, &self.batch))?;
                Ok(topic)
            }
            Some(source) => Ok(source.topic.clone()),
        }
    }

    fn release(&self, bench: &mut Bench, topic: &str) -> io::Result<()> {
        match &self.source {
            None => bench.delete_topic(topic),
            Some(_) => Ok(()),
        }
    }

    fn tear_down(&self, bench: &mut Bench) -> io::Result<()> {
        match &self.source {
            None => Ok(()),
            Some(source) => {
                fs::remove_file(&source.file)?;
                bench.delete_topic(&source.topic)
            }
        }
    }

    fn run(&self, load: &Load, topic: &str) -> io::Result<Duration> {
        match &self.source {
            None => load.run(|| Produce::new(topic, &self.batch)),
            Some(source) => load.run(|| self.fetch(source, topic)),
        }
    }

    fn fetch(&self, source: &Source, topic: &str) -> Fetch {
        Fetch::new(topic, &self.batch, source.batches_per_step, source.steps)
    }

    fn request_bytes(&self) -> usize {
        self.batch.bytes.len() * self.source.as_ref().map_or(1, |source| source.batches_per_step)
    }

    /// Touches as much page cache as a sample will fill and gives it back: memory that the host has to find first
    /// costs up to ten times the write itself, and whoever comes first would pay for it.
    fn condition(&self, scratch: &Path, requests: u64) -> io::Result<()> {
        if self.source.is_some() {
            return Ok(());
        }
        let path = scratch.join("condition");
        let bytes = requests * self.batch.bytes.len() as u64;
        for _ in 0..CONDITION_ROUNDS_MAX {
            let cpu = thread_cpu()?;
            let mut file = File::create(&path)?;
            let block = vec![0x5a; 256 << 10];
            let mut left = bytes;
            while left > 0 {
                let part = left.min(block.len() as u64);
                file.write_all(&block[..part as usize])?;
                left -= part;
            }
            let spent = (thread_cpu()? - cpu).as_secs_f64();
            drop(file);
            fs::remove_file(&path)?;
            if spent * 1e9 <= CONDITIONED_S_PER_GB * bytes as f64 {
                break;
            }
        }
        Ok(())
    }

    fn raw_arguments(&self, command: &mut Command, scratch: &Path, variant: RawVariant) {
        match (variant, &self.source) {
            (RawVariant::Produce(pattern), _) => {
                let produce = Produce::new(RAW_TOPIC, &self.batch);
                command.arg("raw-produce").arg("--file").arg(scratch.join(RAW_FILE));
                command.arg("--records-at").arg(produce.records_at().to_string());
                command.arg("--batch-bytes").arg(self.batch.bytes.len().to_string());
                command.arg("--answer-bytes").arg(produce.answer_bytes().to_string());
                command.arg("--pattern").arg(format!("{pattern:?}").to_lowercase());
            }
            (RawVariant::Fetch(sending), Some(source)) => {
                let fetch = self.fetch(source, RAW_TOPIC);
                command.arg("raw-fetch").arg("--file").arg(&source.file);
                command.arg("--request-bytes").arg(fetch.request_bytes().to_string());
                command.arg("--head-bytes").arg(fetch.answer_head_bytes().to_string());
                command.arg("--step-bytes").arg(self.request_bytes().to_string());
                command.arg("--sending").arg(format!("{sending:?}").to_lowercase());
            }
            (RawVariant::Fetch(_), None) => unreachable!("only work that fetches has a fetching variant"),
        }
    }

    fn remove_raw_output(&self, scratch: &Path) -> io::Result<()> {
        if self.source.is_none() { fs::remove_file(scratch.join(RAW_FILE)) } else { Ok(()) }
    }
}

fn thread_cpu() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// Stands for a topic in requests to the raw loop; as long as the others.
const RAW_TOPIC: &str = "load-0000";
const RAW_FILE: &str = "raw.log";
/// Bytes of the partition that is read; it stays in the page cache.
const SOURCE_BYTES: usize = 256 << 20;
/// Writing to memory that was used before costs less than this.
const CONDITIONED_S_PER_GB: f64 = 0.3;
const CONDITION_ROUNDS_MAX: usize = 4;
const DELETION_TIME_MAX: Duration = Duration::from_secs(5);
