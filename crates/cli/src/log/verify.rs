//! `highwater log verify`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use highwater_log::{Finding, RealDisk, Verification, VerifyOptions, verify_dir, verify_log};
use serde_json::{Value, json};

use super::directory::{Directory, DirectoryKind};
use super::output::{Output, Report};
use crate::error::{CliError, Kind};

/// Arguments of `highwater log verify`.
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// A log directory, or the directory of one partition. No broker may use it meanwhile.
    path: PathBuf,
    /// Look at headers and checksums only, not into compressed batches.
    #[arg(long)]
    no_records: bool,
    #[command(flatten)]
    output: Output,
}

impl Verify {
    /// Checks and prints. Damage is an error; what a crash leaves is not.
    pub(crate) fn run(self) -> Result<(), CliError> {
        let directory = Directory::open(&self.path)?;
        let unreadable = |error: &(dyn std::error::Error + 'static)| {
            CliError::caused(format!("cannot verify {}", self.path.display()), error)
        };
        let total = directory.log_bytes().map_err(|error| unreadable(&error))?;
        let mut progress = self.output.progress("verifying", total);
        let options = VerifyOptions { records: !self.no_records, ..VerifyOptions::default() };
        let verify = match directory.kind {
            DirectoryKind::Partition => verify_log,
            DirectoryKind::Logs => verify_dir,
        };
        let done = verify(&RealDisk, &directory.path, options, &mut |bytes| progress.add(bytes));
        progress.finish();
        let done = done.map_err(|error| unreadable(&error))?;
        self.output.print(&done)?;
        if done.is_sound() {
            return Ok(());
        }
        let what = format!("{} is damaged", self.path.display());
        let why = format!("{} of what was found contradicts its checksum, the format or other files", done.damages);
        Err(CliError::new(Kind::Failed, what, why).hint("restore the partition from another replica or a backup"))
    }
}

impl Report for Verification {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        table(out, self)
    }

    fn json(&self) -> Value {
        to_json(self)
    }
}

fn table(out: &mut dyn Write, done: &Verification) -> io::Result<()> {
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
