//! `highwater log load`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use highwater_log::json::state_json;
use highwater_log::{Log, LogConfig, LogState, OpenOptions, RealDisk};
use highwater_types::Offset;
use serde_json::Value;

use super::copy::copy_partition;
use super::directory::Directory;
use super::output::{Output, Report};
use super::settings::Settings;
use crate::error::CliError;

/// Arguments of `highwater log load`.
#[derive(Args, Debug)]
pub(crate) struct Load {
    /// The directory of one partition, which stays as it is. No broker may use it meanwhile.
    path: PathBuf,
    /// Load it as after a crash: check everything from the recovery point on.
    #[arg(long)]
    unclean: bool,
    /// First offset that may not have been synced.
    #[arg(long, value_name = "OFFSET", default_value_t = 0, requires = "unclean")]
    recovery_point: u64,
    /// The first offset that may be read, if that lies above the first segment's.
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    log_start: u64,
    /// Where to put the copy that is loaded; by default among the system's temporary files.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

impl Load {
    /// Loads a copy, as a broker would at its start, and prints the state.
    pub(crate) fn run(self) -> Result<(), CliError> {
        let config = self.settings.config(LogConfig::default())?;
        let directory = Directory::open(&self.path)?.partition()?;
        let what = || format!("cannot load {}", self.path.display());
        let failed = |error: io::Error| CliError::caused(what(), &error);
        let scratch = match &self.scratch {
            Some(dir) => tempfile::tempdir_in(dir),
            None => tempfile::tempdir(),
        }
        .map_err(failed)?;
        let mut progress = self.output.progress("copying", directory.log_bytes().map_err(failed)?);
        copy_partition(&directory.path, scratch.path(), &mut progress).map_err(failed)?;
        progress.finish();
        let options = OpenOptions {
            clean: !self.unclean,
            recovery_point: Offset::new(self.recovery_point),
            log_start: Offset::new(self.log_start),
            high_watermark: Offset::ZERO,
            now: self.settings.now(),
        };
        let loaded = Log::open(RealDisk::shared(), scratch.path(), config, options);
        let state = loaded.and_then(|log| log.describe()).map_err(|error| CliError::caused(what(), &error))?;
        self.output.print(&state)
    }
}

impl Report for LogState {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        table(out, self)
    }

    fn json(&self) -> Value {
        state_json(self)
    }
}

fn table(out: &mut dyn Write, state: &LogState) -> io::Result<()> {
    writeln!(out, "log start       {}", state.log_start)?;
    writeln!(out, "log end         {}", state.log_end)?;
    writeln!(out, "recovery point  {}", state.recovery_point)?;
    let epochs: Vec<String> =
        state.epochs.iter().map(|entry| format!("{} from {}", entry.epoch, entry.start)).collect();
    writeln!(out, "leader epochs   {}", if epochs.is_empty() { "none".to_owned() } else { epochs.join(", ") })?;
    writeln!(out, "producers       {}", state.producers.len())?;
    writeln!(out)?;
    writeln!(
        out,
        "{:>20} {:>20} {:>12} {:>10} {:>14} {:>10} {:>10}",
        "BASE-OFFSET", "NEXT-OFFSET", "SIZE", "BATCHES", "MAX-TIMESTAMP", "INDEX", "TIMEINDEX"
    )?;
    for segment in &state.segments {
        writeln!(
            out,
            "{:>20} {:>20} {:>12} {:>10} {:>14} {:>10} {:>10}",
            segment.base.value(),
            segment.next_offset.value(),
            segment.size,
            segment.batches.len(),
            segment.max_timestamp.value(),
            segment.offset_index.len(),
            segment.time_index.len(),
        )?;
    }
    Ok(())
}
