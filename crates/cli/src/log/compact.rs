//! `highwater log compact`.

use std::fs;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use highwater_log::{CleanStats, CleanStep, Cleaned, Cleaner, CleanupPolicy, Log, LogConfig, OpenOptions, RealDisk};
use highwater_types::{Offset, TimestampMs};
use serde_json::{Value, json};

use super::copy::copy_partition;
use super::directory::Directory;
use super::output::{Output, Report};
use super::settings::Settings;
use crate::error::{CliError, Kind};

/// Arguments of `highwater log compact`.
#[derive(Args, Debug)]
pub(crate) struct Compact {
    /// The directory of one partition, which stays as it is. No broker may use it meanwhile.
    path: PathBuf,
    /// Where to put the compacted copy; created, and has to be empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Everything below this offset has been compacted before.
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    first_dirty: u64,
    /// Close the last segment first, so that it is compacted too.
    #[arg(long)]
    roll: bool,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

impl Compact {
    /// Copies the partition and makes one pass over the copy, however little of it is dirty.
    pub(crate) fn run(self) -> Result<(), CliError> {
        let compacted = LogConfig { cleanup: CleanupPolicy { delete: false, compact: true }, ..LogConfig::default() };
        let config = self.settings.config(compacted)?;
        let directory = Directory::open(&self.path)?.partition()?;
        let failed = |error: &(dyn std::error::Error + 'static)| {
            CliError::caused(format!("cannot compact {} into {}", self.path.display(), self.out.display()), error)
        };
        make_empty(&self.out)?;
        let bytes = directory.log_bytes().map_err(|error| failed(&error))?;
        let mut progress = self.output.progress("copying", bytes);
        copy_partition(&directory.path, &self.out, &mut progress).map_err(|error| failed(&error))?;
        progress.finish();

        let now = self.settings.now();
        let options = OpenOptions { clean: true, high_watermark: Offset::MAX, ..OpenOptions::unclean(now) };
        let log = Log::open(RealDisk::shared(), &self.out, config, options);
        let mut log = log.map_err(|error| failed(&error))?;
        let bytes_before = log.size_bytes();
        let cleaned = self.pass(&mut log, now).map_err(|error| failed(&error))?;
        let outcome = Outcome { cleaned, bytes_before, bytes_after: log.size_bytes() };
        log.close(now).map_err(|error| failed(&error))?;
        // What was replaced would otherwise be removed a minute later.
        if let Some(task) = log.due_deletions(TimestampMs(i64::MAX)) {
            task.run().map_err(|error| failed(&error))?;
        }
        self.output.print(&outcome)
    }

    /// One pass; `None` if there is nothing that may be compacted.
    fn pass(&self, log: &mut Log, now: TimestampMs) -> Result<Option<Cleaned>, highwater_log::LogError> {
        if self.roll {
            log.roll(now)?;
        }
        log.set_clean_checkpoint(Some(Offset::new(self.first_dirty)));
        let cleanable = log.cleanable(now)?;
        let Some(mut task) = log.clean_task(&cleanable, now)? else { return Ok(None) };
        // Read for the keys, read again, and as much written at the most.
        let total = cleanable.cleanable_bytes * 3 + cleanable.clean_bytes * 2;
        let mut progress = self.output.progress("compacting", total);
        let mut cleaner = Cleaner::default();
        let mut step = |bytes| {
            progress.add(bytes);
            ControlFlow::Continue(())
        };
        while task.run(&mut cleaner, &mut step)? == CleanStep::GroupReady {
            log.complete_clean(&mut task, now)?;
        }
        progress.finish();
        Ok(Some(log.finish_clean(task)))
    }
}

/// What is printed.
struct Outcome {
    cleaned: Option<Cleaned>,
    bytes_before: u64,
    bytes_after: u64,
}

impl Report for Outcome {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some(Cleaned { first_dirty, stats }) = &self.cleaned else {
            return writeln!(out, "nothing to compact: only closed segments are, and there is no dirty one");
        };
        writeln!(out, "keys      {}", stats.keys)?;
        writeln!(out, "records   {} -> {}", stats.records_read, stats.records_written)?;
        writeln!(out, "segments  {} -> {}", stats.segments_read, stats.segments_written)?;
        writeln!(out, "bytes     {} -> {}", self.bytes_before, self.bytes_after)?;
        if let Some(first_dirty) = first_dirty {
            writeln!(out, "clean up to offset {first_dirty}")?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let stats = self.cleaned.map_or(CleanStats::default(), |cleaned| cleaned.stats);
        json!({
            "first_dirty": self.cleaned.and_then(|cleaned| cleaned.first_dirty).map(Offset::value),
            "keys": stats.keys,
            "records_read": stats.records_read,
            "records_written": stats.records_written,
            "segments_read": stats.segments_read,
            "segments_written": stats.segments_written,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
        })
    }
}

fn make_empty(dir: &Path) -> Result<(), CliError> {
    let what = || format!("cannot write to {}", dir.display());
    fs::create_dir_all(dir).map_err(|error| CliError::caused(what(), &error))?;
    match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(CliError::new(Kind::Conflict, what(), "it is not empty").hint("give a new directory")),
        Err(error) => Err(CliError::caused(what(), &error)),
    }
}
