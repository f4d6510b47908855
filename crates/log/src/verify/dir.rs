//! A whole log directory.

use std::path::Path;

use highwater_types::TopicPartition;

use super::partition::check_partition;
use super::{Check, Expectation, Verification, VerifyOptions};
use crate::dir::OTHER_DIRECTORIES;
use crate::disk::Disk;
use crate::error::LogError;
use crate::files::{MetaProperties, OffsetCheckpoint, PartitionOffsets};
use crate::names::DirName;

/// Checks a log directory: its own files, and the directory of each partition. Changes nothing.
///
/// See [`verify_log`](super::verify_log).
///
/// # Errors
///
/// [`LogError::Io`] if the disk fails; what is wrong with the bytes is a finding.
pub fn verify_dir(
    disk: &dyn Disk,
    dir: &Path,
    options: VerifyOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<Verification, LogError> {
    let mut check = Check { options, done: Verification::default(), progress };
    match MetaProperties::read(disk, dir) {
        Ok(Some(_)) => {}
        Ok(None) => check.note(dir, None, "no meta.properties"),
        Err(error) => malformed(&mut check, error)?,
    }
    let recovery_points = offsets(&mut check, disk, dir, OffsetCheckpoint::RECOVERY_POINT)?;
    let log_starts = offsets(&mut check, disk, dir, OffsetCheckpoint::LOG_START)?;
    offsets(&mut check, disk, dir, OffsetCheckpoint::REPLICATION)?;
    let mut entries = disk.list(dir).map_err(LogError::io("list", dir))?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    for entry in entries.into_iter().filter(|entry| entry.is_dir) {
        let path = dir.join(&entry.name);
        match DirName::parse(&entry.name) {
            DirName::Partition(partition) => {
                let expected = expectation(&partition, &recovery_points, &log_starts);
                check_partition(&mut check, disk, &path, expected)?;
            }
            DirName::Deleted => check.note(&path, None, "waits for its deletion"),
            DirName::Stray => check.note(&path, None, "belongs to no known partition"),
            DirName::Future => check_partition(&mut check, disk, &path, Expectation::default())?,
            DirName::Other if OTHER_DIRECTORIES.contains(&entry.name.as_str()) => {}
            DirName::Other => check.damage(&path, None, "not the directory of a partition; a broker refuses to start"),
        }
    }
    Ok(check.done)
}

fn expectation(partition: &TopicPartition, recovery: &PartitionOffsets, starts: &PartitionOffsets) -> Expectation {
    Expectation { recovery_point: recovery.get(partition).copied(), log_start: starts.get(partition).copied() }
}

fn offsets(check: &mut Check<'_>, disk: &dyn Disk, dir: &Path, name: &str) -> Result<PartitionOffsets, LogError> {
    OffsetCheckpoint::new(dir.join(name)).read(disk).or_else(|error| {
        malformed(check, error)?;
        Ok(PartitionOffsets::new())
    })
}

fn malformed(check: &mut Check<'_>, error: LogError) -> Result<(), LogError> {
    match error {
        LogError::Malformed { path, reason } => {
            check.damage(&path, None, reason);
            Ok(())
        }
        other => Err(other),
    }
}
