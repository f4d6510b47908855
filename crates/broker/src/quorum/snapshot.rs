//! Snapshots of the metadata (KIP-630): files `<end offset>-<epoch>.checkpoint` beside the log.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use highwater_metadata::MetadataRecord;
use highwater_raft::{Membership, SnapshotId};
use highwater_records::ControlType;
use highwater_types::{LeaderEpoch, Offset, TimestampMs};
use highwater_wire::records_schema::control::snapshot_footer_record::SnapshotFooterRecord;
use highwater_wire::records_schema::control::snapshot_header_record::SnapshotHeaderRecord;

use super::control;
use super::log::{MetadataLogError, encode_batch};

/// Where the file of a snapshot is.
pub(super) fn path(directory: &Path, id: SnapshotId) -> PathBuf {
    directory.join(format!("{id}{SUFFIX}"))
}

/// Where a snapshot is put together that is being fetched.
pub(super) fn part_path(directory: &Path, id: SnapshotId) -> PathBuf {
    directory.join(format!("{id}{SUFFIX}{PART}"))
}

/// The complete snapshots in a directory, rising.
pub(super) fn list(directory: &Path) -> Result<Vec<SnapshotId>, MetadataLogError> {
    let mut ids: Vec<SnapshotId> = names(directory)?.iter().filter_map(|name| parse(name)).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Removes what an earlier process left half done.
pub(super) fn remove_leftovers(directory: &Path) -> Result<(), MetadataLogError> {
    for name in names(directory)? {
        if name.contains(SUFFIX) && (name.ends_with(PART) || name.ends_with(DELETED)) {
            let path = directory.join(name);
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
    }
    Ok(())
}

pub(super) fn remove(directory: &Path, id: SnapshotId) -> Result<(), MetadataLogError> {
    let path = path(directory, id);
    fs::remove_file(&path).map_err(failed("remove", &path))
}

/// Writes a snapshot of `records`, and of who decides. It is complete and on the disk when this returns.
///
/// Its offsets begin at zero, and its epoch is that of its last record.
pub(super) fn write(
    directory: &Path,
    id: SnapshotId,
    membership: &Membership,
    records: &mut dyn Iterator<Item = MetadataRecord>,
    now: TimestampMs,
) -> Result<(), MetadataLogError> {
    let part = directory.join(format!("{id}{SUFFIX}.own{PART}"));
    let mut file = File::create(&part).map_err(failed("create", &part))?;
    let mut put = |bytes: &[u8]| file.write_all(bytes).map_err(failed("write", &part));
    let mut next = Offset::ZERO;
    let header = SnapshotHeaderRecord { last_contained_log_timestamp: now.value(), ..Default::default() };
    let mut head = vec![control::encode(ControlType::SnapshotHeader, &header)?];
    head.extend(control::of_membership(membership)?);
    put(&control::batch(next, id.epoch, &head, now)?)?;
    next = next.plus(head.len() as u64);
    loop {
        let batch: Vec<MetadataRecord> = records.take(RECORDS_PER_BATCH).collect();
        if batch.is_empty() {
            break;
        }
        put(&encode_batch(&batch, next, id.epoch, now)?)?;
        next = next.plus(batch.len() as u64);
    }
    let footer = control::encode(ControlType::SnapshotFooter, &SnapshotFooterRecord::default())?;
    put(&control::batch(next, id.epoch, &[footer], now)?)?;
    finish(directory, &part, id)
}

/// Makes a file that is complete the snapshot `id`.
pub(super) fn finish(directory: &Path, part: &Path, id: SnapshotId) -> Result<(), MetadataLogError> {
    File::open(part).and_then(|file| file.sync_all()).map_err(failed("sync", part))?;
    fs::rename(part, path(directory, id)).map_err(failed("rename", part))?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed("sync", directory))
}

fn names(directory: &Path) -> Result<Vec<String>, MetadataLogError> {
    let entries = fs::read_dir(directory).map_err(failed("list", directory))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("list", directory))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

fn parse(name: &str) -> Option<SnapshotId> {
    let (end, epoch) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    let is_number = |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(end, 20) || !is_number(epoch, 10) {
        return None;
    }
    Some(SnapshotId { end: Offset::from_wire(end.parse().ok()?)?, epoch: LeaderEpoch::from_wire(epoch.parse().ok()?)? })
}

fn failed(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> MetadataLogError {
    let path = path.to_owned();
    move |source| MetadataLogError::Io { op, path, source }
}

const SUFFIX: &str = ".checkpoint";
const PART: &str = ".part";
const DELETED: &str = ".deleted";
const RECORDS_PER_BATCH: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_are_snapshots() {
        let directory = tempfile::tempdir().unwrap();
        let id = |end, epoch| SnapshotId { end: Offset::new(end), epoch: LeaderEpoch::new(epoch) };
        for name in [
            "00000000000000000012-0000000003.checkpoint",
            "00000000000000000007-0000000001.checkpoint",
            "00000000000000000099-0000000001.checkpoint.part",
            "00000000000000000098-0000000001.checkpoint.deleted",
            "0000000000000000009-00000000012.checkpoint",
            "bootstrap.checkpoint",
            "00000000000000000000.log",
        ] {
            fs::write(directory.path().join(name), []).unwrap();
        }
        assert_eq!(list(directory.path()).unwrap(), [id(7, 1), id(12, 3)]);
        remove_leftovers(directory.path()).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 5, "half files are gone");
        remove(directory.path(), id(7, 1)).unwrap();
        assert_eq!(list(directory.path()).unwrap(), [id(12, 3)]);
    }
}
