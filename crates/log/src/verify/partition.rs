//! One partition's directory.

use std::collections::BTreeSet;
use std::path::Path;

use highwater_types::Offset;

use super::epochs::EpochCheck;
use super::segment::{SegmentPlace, check_segment};
use super::transactions::OpenTxns;
use super::{Check, Expectation, Verification, VerifyOptions};
use crate::disk::Disk;
use crate::epoch_cache::EpochCache;
use crate::error::LogError;
use crate::files::PartitionMetadata;
use crate::names::{CLEANED, DELETED, FileKind, SWAP, file_path, parse_file_name};
use crate::producer::read_snapshot;

/// Checks the directory of one partition. Changes nothing.
///
/// Holds one batch and its decompressed records at a time. `progress` is told from time to time how many bytes of log
/// files have been read since it was told before; they add up to the size of all of them.
///
/// # Errors
///
/// [`LogError::Io`] if the disk fails; what is wrong with the bytes is a finding.
pub fn verify_log(
    disk: &dyn Disk,
    dir: &Path,
    options: VerifyOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<Verification, LogError> {
    let mut check = Check { options, done: Verification::default(), progress };
    check_partition(&mut check, disk, dir, Expectation::default())?;
    Ok(check.done)
}

/// Checks one partition as part of a larger verification.
pub(super) fn check_partition(
    check: &mut Check<'_>,
    disk: &dyn Disk,
    dir: &Path,
    expected: Expectation,
) -> Result<(), LogError> {
    check.done.partitions += 1;
    let names = list_files(check, disk, dir)?;
    let files: BTreeSet<(Offset, FileKind)> = names.iter().filter_map(|name| parse_file_name(name)).collect();
    check_small_files(check, disk, dir, &files)?;
    let epochs = match EpochCache::read(disk, dir) {
        Err(LogError::Malformed { path, reason }) => {
            check.damage(&path, None, reason);
            EpochCache::default()
        }
        other => other?,
    };
    let bases: Vec<Offset> = files.iter().filter(|(_, kind)| *kind == FileKind::Log).map(|(base, _)| *base).collect();
    let mut epoch_check = EpochCheck::new(&epochs);
    let mut open_txns = OpenTxns::new(expected.log_start.unwrap_or_default());
    let mut log_end = Offset::ZERO;
    for (index, &base) in bases.iter().enumerate() {
        let place = SegmentPlace { dir, base, next_base: bases.get(index + 1).copied() };
        log_end = check_segment(check, disk, place, &mut epoch_check, &mut open_txns)?;
    }
    if let Some(recovery_point) = expected.recovery_point
        && log_end < recovery_point
    {
        check.damage(dir, None, format!("ends at {log_end} although it is synced up to {recovery_point}"));
    }
    if let Some(log_start) = expected.log_start
        && log_end < log_start
    {
        check.damage(dir, None, format!("ends at {log_end}, below its start {log_start}"));
    }
    Ok(())
}

/// The names of regular files, with what crashes leave reported.
fn list_files(check: &mut Check<'_>, disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, LogError> {
    let mut names = Vec::new();
    for entry in disk.list(dir).map_err(LogError::io("list", dir))? {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            check.note(&path, None, "a directory that does not belong here");
        } else if entry.name.ends_with(DELETED) {
            check.note(&path, None, "waits for its deletion");
        } else if entry.name.ends_with(CLEANED) || entry.name.ends_with(SWAP) {
            check.note(&path, None, "an unfinished compaction; the next start completes or undoes it");
        }
        names.push(entry.name);
    }
    Ok(names)
}

fn check_small_files(
    check: &mut Check<'_>,
    disk: &dyn Disk,
    dir: &Path,
    files: &BTreeSet<(Offset, FileKind)>,
) -> Result<(), LogError> {
    for &(base, kind) in files {
        let path = file_path(dir, base, kind);
        match kind {
            FileKind::OffsetIndex | FileKind::TimeIndex | FileKind::TxnIndex
                if !files.contains(&(base, FileKind::Log)) =>
            {
                check.note(&path, None, "an index without a log; it is removed at the next start");
            }
            FileKind::Snapshot => match read_snapshot(disk, &path) {
                Err(LogError::Corrupt { what, position, .. }) => {
                    check.damage(&path, position, format!("{what}; an older one is used instead"));
                }
                other => drop(other?),
            },
            _ => {}
        }
    }
    match PartitionMetadata::read(disk, dir) {
        Ok(Some(_)) => {}
        Ok(None) => check.note(dir, None, "no partition.metadata"),
        Err(LogError::Malformed { path, reason }) => check.damage(&path, None, reason),
        Err(other) => return Err(other),
    }
    Ok(())
}
