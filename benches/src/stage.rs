//! What a case needs besides the servers: batches, topics, files, memory.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::batch::{Batch, BatchCodec};
use crate::case::{Case, RawVariant, Work};
use crate::client::Load;
use crate::request::{Fetch, Produce};
use crate::target::Target;

/// What a case needs besides the servers.
#[derive(Debug)]
pub(crate) struct Stage {
    batch: Batch,
    /// For fetching: what is read, and from where.
    source: Option<Source>,
}

#[derive(Debug)]
struct Source {
    topic: String,
    batches_per_step: usize,
    steps: u64,
    file: PathBuf,
}

impl Stage {
    /// Prepares for a case; for fetching, fills a topic and a file for the raw loop.
    pub(crate) fn prepare(target: &mut Target, scratch: &Path, case: &Case) -> io::Result<Self> {
        match case.work {
            Work::Produce { batch_bytes, value_bytes, codec } => {
                Ok(Self { batch: Batch::build(batch_bytes, value_bytes, codec), source: None })
            }
            Work::Fetch { step_bytes, batch_bytes } => {
                let batch = Batch::build(batch_bytes, 1000, BatchCodec::None);
                let batches = SOURCE_BYTES / batch_bytes;
                let topic = target.create_topic()?;
                target.wait_until_served(&Produce::new(&topic, &batch))?;
                let load = Load { address: target.address(), connections: 1, depth: 5, requests: batches as u64 };
                load.run(|| Produce::new(&topic, &batch))?;
                let file = scratch.join("source.log");
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
    pub(crate) fn topic(&self, target: &mut Target) -> io::Result<String> {
        match &self.source {
            None => {
                let topic = target.create_topic()?;
                target.wait_until_served(&Produce::new(&topic, &self.batch))?;
                Ok(topic)
            }
            Some(source) => Ok(source.topic.clone()),
        }
    }

    /// Gives back the topic of a sample.
    pub(crate) fn release(&self, target: &mut Target, topic: &str) -> io::Result<()> {
        match &self.source {
            None => target.delete_topic(topic),
            Some(_) => Ok(()),
        }
    }

    /// Removes what [`prepare`](Self::prepare) made.
    pub(crate) fn tear_down(&self, target: &mut Target) -> io::Result<()> {
        match &self.source {
            None => Ok(()),
            Some(source) => {
                fs::remove_file(&source.file)?;
                target.delete_topic(&source.topic)
            }
        }
    }

    /// Puts the load on a server.
    pub(crate) fn run(&self, load: &Load, topic: &str) -> io::Result<Duration> {
        match &self.source {
            None => load.run(|| Produce::new(topic, &self.batch)),
            Some(source) => load.run(|| self.fetch(source, topic)),
        }
    }

    fn fetch(&self, source: &Source, topic: &str) -> Fetch {
        Fetch::new(topic, &self.batch, source.batches_per_step, source.steps)
    }

    /// Bytes of records in one request or answer, as sent.
    pub(crate) fn request_bytes(&self) -> usize {
        self.batch.bytes.len() * self.source.as_ref().map_or(1, |source| source.batches_per_step)
    }

    /// Touches as much page cache as a sample will fill and gives it back: memory that the host has to find first
    /// costs up to ten times the write itself, and whoever comes first would pay for it.
    pub(crate) fn condition(&self, scratch: &Path, requests: u64) -> io::Result<()> {
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

    /// Tells the raw loop what it serves.
    pub(crate) fn raw_arguments(&self, command: &mut Command, scratch: &Path, variant: RawVariant) {
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

    /// Removes the file that the raw loop wrote.
    pub(crate) fn remove_raw_output(&self, scratch: &Path) -> io::Result<()> {
        if self.source.is_none() { fs::remove_file(scratch.join(RAW_FILE)) } else { Ok(()) }
    }
}

fn thread_cpu() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// Stands for a topic in requests to the raw loop; as long as the others.
pub(crate) const RAW_TOPIC: &str = "load-0000";
const RAW_FILE: &str = "raw.log";
/// Bytes of the partition that is read; it stays in the page cache.
const SOURCE_BYTES: usize = 256 << 20;
/// Writing to memory that was used before costs less than this.
const CONDITIONED_S_PER_GB: f64 = 0.3;
const CONDITION_ROUNDS_MAX: usize = 4;
