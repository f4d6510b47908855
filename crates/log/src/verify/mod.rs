//! Checking files against the format and against each other, changing nothing.
//!
//! [`verify_log`] reads every byte of a partition's directory, [`verify_dir`] of all partitions of a log directory.
//! Unlike recovery they look at all segments, into compressed batches, and at every index entry; and they only
//! report. They do not take the directory's lock: what a running broker is writing looks like a crash.

mod cursor;
mod dir;
mod epochs;
mod indexes;
mod partition;
mod segment;
mod transactions;

use std::fmt;
use std::path::{Path, PathBuf};

use highwater_types::Offset;

pub use dir::verify_dir;
pub use partition::verify_log;

/// How thoroughly to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Whether to decode every record, which decompresses batches. Default yes.
    pub records: bool,
    /// Decompressed bytes of one batch, at most; a batch with more is reported. Default 1 GiB.
    pub decompressed_bytes_max: usize,
    /// Findings that are kept; the rest is counted. Default 1000.
    pub findings_max: usize,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { records: true, decompressed_bytes_max: 1 << 30, findings_max: 1_000 }
    }
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// What a crash leaves and the next start repairs without losing anything that was synced.
    Note,
    /// Bytes that contradict their checksum, the format or each other.
    Damage,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Damage => "damage",
        })
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// In which file or directory.
    pub path: PathBuf,
    /// Where in the file, in bytes.
    pub position: Option<u64>,
    /// What is wrong, in words.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.path.display())?;
        match self.position {
            Some(position) => write!(f, " at byte {position}: {}", self.what),
            None => write!(f, ": {}", self.what),
        }
    }
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Partitions looked at.
    pub partitions: u64,
    /// Segments looked at.
    pub segments: u64,
    /// Bytes of log files read.
    pub bytes: u64,
    /// Batches, and messages of the formats before them.
    pub batches: u64,
    /// Records decoded; 0 if they were not asked for.
    pub records: u64,
    /// Entries of indexes compared with the log.
    pub index_entries: u64,
    /// What is wrong, in the order in which it was found; at most [`VerifyOptions::findings_max`].
    pub findings: Vec<Finding>,
    /// Findings that were not kept.
    pub findings_dropped: u64,
    /// Findings that are damage, kept or not.
    pub damages: u64,
}

impl Verification {
    /// Whether nothing is damaged. Notes do not count.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damages == 0
    }
}

/// A verification under way.
struct Check<'a> {
    options: VerifyOptions,
    done: Verification,
    /// Is told how many bytes of log files have been read since the last call.
    progress: &'a mut dyn FnMut(u64),
}

impl Check<'_> {
    fn damage(&mut self, path: &Path, position: impl Into<Option<u64>>, what: impl Into<String>) {
        self.done.damages += 1;
        self.report(Severity::Damage, path, position.into(), what.into());
    }

    fn note(&mut self, path: &Path, position: impl Into<Option<u64>>, what: impl Into<String>) {
        self.report(Severity::Note, path, position.into(), what.into());
    }

    /// What a crash may leave at the end of a log, and nowhere else.
    fn unfinished(&mut self, is_last: bool, path: &Path, position: impl Into<Option<u64>>, what: impl Into<String>) {
        if is_last {
            self.note(path, position, what);
        } else {
            self.damage(path, position, what);
        }
    }

    fn report(&mut self, severity: Severity, path: &Path, position: Option<u64>, what: String) {
        if self.options.findings_max <= self.done.findings.len() {
            self.done.findings_dropped += 1;
            return;
        }
        self.done.findings.push(Finding { severity, path: path.to_owned(), position, what });
    }
}

/// Facts about a partition that its directory has to agree with.
#[derive(Clone, Copy, Debug, Default)]
struct Expectation {
    recovery_point: Option<Offset>,
    log_start: Option<Offset>,
}
