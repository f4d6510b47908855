//! Directories of logs that no broker holds.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use highwater_log::{Disk, DiskLock, RealDisk};

use crate::error::{CliError, Kind};

/// What a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DirectoryKind {
    /// The log of one partition.
    Partition,
    /// A `log.dir` with a directory for each partition.
    Logs,
}

/// A directory whose files stay as they are while this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    pub(crate) kind: DirectoryKind,
    _lock: Option<Box<dyn DiskLock>>,
}

impl Directory {
    /// Finds out what `path` is, and keeps brokers out.
    pub(crate) fn open(path: &Path) -> Result<Self, CliError> {
        let unreadable = |error: io::Error| {
            CliError::caused(format!("cannot read {}", path.display()), &error).hint("give a directory of logs")
        };
        // The parent of `.` or of a link can only be told from the real path.
        let path = fs::canonicalize(path).map_err(unreadable)?;
        let mut holds_segments = false;
        let mut holds_logs = false;
        for entry in fs::read_dir(&path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            holds_segments |= Path::new(&name).extension() == Some(OsStr::new("log"));
            holds_logs |= name == "meta.properties" || name == LOCK;
            holds_logs |= entry.file_type().map_err(unreadable)?.is_dir();
        }
        let kind = match (holds_segments, holds_logs) {
            (true, _) => DirectoryKind::Partition,
            (false, true) => DirectoryKind::Logs,
            (false, false) => {
                let what = format!("no logs in {}", path.display());
                let why = "it holds neither segments nor directories of partitions";
                return Err(CliError::new(Kind::NotFound, what, why)
                    .hint("give a log directory such as DATA, or a partition's such as DATA/my-topic-0"));
            }
        };
        let logs = if kind == DirectoryKind::Logs { Some(path.as_path()) } else { path.parent() };
        let lock = logs.map(keep_brokers_out).transpose()?.flatten();
        Ok(Self { path, kind, _lock: lock })
    }

    /// The directory as that of one partition.
    pub(crate) fn partition(self) -> Result<Self, CliError> {
        if self.kind == DirectoryKind::Partition {
            return Ok(self);
        }
        let what = format!("{} is not the log of one partition", self.path.display());
        Err(CliError::new(Kind::NotFound, what, "there is no file in it whose name ends with .log")
            .hint("give a partition's directory, such as DATA/my-topic-0"))
    }

    /// Bytes of all log files.
    pub(crate) fn log_bytes(&self) -> io::Result<u64> {
        log_bytes(&self.path)
    }
}

/// Takes the lock that brokers take. `None` if there has never been a broker here, or nothing can be written anyway.
fn keep_brokers_out(logs: &Path) -> Result<Option<Box<dyn DiskLock>>, CliError> {
    let lock = logs.join(LOCK);
    if !lock.exists() {
        return Ok(None);
    }
    match RealDisk.lock(&lock) {
        Ok(held) => Ok(Some(held)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let what = format!("{} is in use", logs.display());
            Err(CliError::new(Kind::Conflict, what, "a broker holds its lock").hint("stop the broker, or give a copy"))
        }
        Err(error) => {
            // On a read-only file system no broker can be at work.
            let _ = writeln!(io::stderr(), "note: cannot lock {}: {error}", lock.display());
            Ok(None)
        }
    }
}

fn log_bytes(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let facts = entry.metadata()?;
        if facts.is_dir() {
            bytes += log_bytes(&entry.path())?;
        } else if entry.path().extension() == Some(OsStr::new("log")) {
            bytes += facts.len();
        }
    }
    Ok(bytes)
}

const LOCK: &str = ".lock";
