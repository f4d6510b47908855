//! `highwater log verify`.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use highwater_log::{Finding, RealDisk, Verification, VerifyOptions, verify_dir, verify_log};
use serde_json::{Value, json};

use super::directory::{Directory, DirectoryKind};
use crate::error::{CliError, Kind};
use crate::progress::{Progress, Style};

/// Arguments of `highwater log verify`.
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// A log directory, or the directory of one partition. No broker may use it meanwhile.
    path: PathBuf,
    /// How to print.
    #[arg(short = 'o', long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Look at headers and checksums only, not into compressed batches.
    #[arg(long)]
    no_records: bool,
    /// How to show progress.
    #[arg(long, value_enum, default_value_t = Style::Auto)]
    progress: Style,
}

/// Forms of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One finding a line, and a summary.
    Table,
    /// One JSON object.
    Json,
}

impl Verify {
    /// Checks and prints. Damage is an error; what a crash leaves is not.
    pub(crate) fn run(self) -> Result<(), CliError> {
        let directory = Directory::open(&self.path)?;
        let unreadable = |error: &(dyn std::error::Error + 'static)| {
            CliError::caused(format!("cannot verify {}", self.path.display()), error)
        };
        let total = directory.log_bytes().map_err(|error| unreadable(&error))?;
        let mut progress = Progress::bytes(self.progress, "verifying", total);
        let options = VerifyOptions { records: !self.no_records, ..VerifyOptions::default() };
        let verify = match directory.kind {
            DirectoryKind::Partition => verify_log,
            DirectoryKind::Logs => verify_dir,
        };
        let done = verify(&RealDisk, &directory.path, options, &mut |bytes| progress.add(bytes));
        progress.finish();
        let done = done.map_err(|error| unreadable(&error))?;
        match self.print(&done) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(CliError::caused("cannot print", &error));
            }
            _ => {}
        }
        if done.is_sound() {
            return Ok(());
        }
        let what = format!("{} is damaged", self.path.display());
        let why = format!("{} of what was found contradicts its checksum, the format or other files", done.damages);
        Err(CliError::new(Kind::Failed, what, why).hint("restore the partition from another replica or a backup"))
    }

    fn print(&self, done: &Verification) -> io::Result<()> {
        let mut out = BufWriter::new(io::stdout().lock());
        match self.output {
            Format::Table => table(&mut out, done)?,
            Format::Json => writeln!(out, "{}", to_json(done))?,
        }
        out.flush()
    }
}

fn table(out: &mut impl Write, done: &Verification) -> io::Result<()> {
    for finding in &done.findings {
        writeln!(out, "{finding}")?;
    }
    if done.findings_dropped > 0 {
        writeln!(out, "… and {} more", done.findings_dropped)?;
    }
    let notes = done.findings.len() as u64 + done.findings_dropped - done.damages;
    writeln!(
        out,
        "{}: {} partitions, {} segments, {} bytes, {} batches, {} records, {} index entries; {} damaged, {notes} notes",
        if done.is_sound() { "sound" } else { "damaged" },
        done.partitions,
        done.segments,
        done.bytes,
        done.batches,
        done.records,
        done.index_entries,
        done.damages,
    )
}

fn to_json(done: &Verification) -> Value {
    json!({
        "sound": done.is_sound(),
        "partitions": done.partitions,
        "segments": done.segments,
        "bytes": done.bytes,
        "batches": done.batches,
        "records": done.records,
        "index_entries": done.index_entries,
        "damages": done.damages,
        "findings": done.findings.iter().map(finding).collect::<Vec<_>>(),
        "findings_dropped": done.findings_dropped,
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "severity": finding.severity.to_string(),
        "path": finding.path.to_string_lossy(),
        "position": finding.position,
        "what": finding.what,
    })
}
