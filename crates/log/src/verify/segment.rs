//! One segment: every batch of the log file, and with it the indexes.

use std::path::Path;

use highwater_records::{DecompressLimit, Entry, RecordError};
use highwater_types::Offset;

use super::Check;
use super::epochs::EpochCheck;
use super::indexes::IndexChecks;
use super::transactions::{OpenTxns, TxnCheck};
use crate::disk::{Disk, FileHandle, OpenMode};
use crate::entry::{EntryInfo, check_codec, check_crc};
use crate::error::LogError;
use crate::index::relative_offset;
use crate::names::{FileKind, file_path};
use crate::segment::WholeEntries;

/// Bytes between two reports of progress.
const PROGRESS_BYTES: u64 = 8 << 20;

/// Where a segment stands in its log.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentPlace<'a> {
    pub(super) dir: &'a Path,
    pub(super) base: Offset,
    /// Base of the segment after it; `None` for the last.
    pub(super) next_base: Option<Offset>,
}

/// Checks one segment. Returns the offset after its last whole batch.
pub(super) fn check_segment(
    check: &mut Check<'_>,
    disk: &dyn Disk,
    place: SegmentPlace<'_>,
    epochs: &mut EpochCheck<'_>,
    open_txns: &mut OpenTxns,
) -> Result<Offset, LogError> {
    let path = file_path(place.dir, place.base, FileKind::Log);
    let file = disk.open(&path, OpenMode::Read).map_err(LogError::io("open", &path))?;
    let size = file.size().map_err(LogError::io("inspect", &path))?;
    let mut indexes = IndexChecks::open(check, disk, place.dir, place.base)?;
    let mut transactions = TxnCheck::open(disk, place.dir, place.base, open_txns)?;
    let mut next_offset = place.base;
    let mut entries = WholeEntries::new(&file, &path, 0, size);
    let (mut position, mut reported) = (0, 0);
    loop {
        let (info, bytes) = match entries.next_unchecked() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(LogError::Corrupt { what, .. }) => {
                check_end(check, &file, &path, position, size, place.next_base.is_none(), Some(what))?;
                check.done.bytes += size - reported;
                (check.progress)(size - reported);
                check.done.segments += 1;
                return Ok(next_offset);
            }
            Err(other) => return Err(other),
        };
        check_batch(check, &path, position, &info, bytes, place, next_offset);
        epochs.batch(check, &path, position, &info);
        indexes.batch(check, position, &info)?;
        transactions.batch(check, &path, position, &info, bytes)?;
        check.done.batches += 1;
        next_offset = next_offset.max(info.next_offset());
        position += info.size;
        if PROGRESS_BYTES <= position - reported {
            check.done.bytes += position - reported;
            (check.progress)(position - reported);
            reported = position;
        }
    }
    check_end(check, &file, &path, position, size, place.next_base.is_none(), None)?;
    indexes.finish(check, place.next_base.is_none())?;
    transactions.finish(check, place.next_base.is_none())?;
    check.done.bytes += size - reported;
    (check.progress)(size - reported);
    check.done.segments += 1;
    Ok(next_offset)
}

fn check_batch(
    check: &mut Check<'_>,
    path: &Path,
    position: u64,
    info: &EntryInfo,
    bytes: &[u8],
    place: SegmentPlace<'_>,
    next_offset: Offset,
) {
    let first = info.base_or_last();
    if first < next_offset {
        check.damage(
            path,
            position,
            format!("batch begins with offset {first} where {next_offset} is the least possible"),
        );
    } else if relative_offset(place.base, info.last).is_none() {
        check.damage(path, position, format!("offset {} is too far from the segment's base {}", info.last, place.base));
    } else if let Some(next_base) = place.next_base
        && next_base <= info.last
    {
        check.damage(path, position, format!("offset {} belongs to the segment at {next_base}", info.last));
    }
    if let Err(what) = check_crc(bytes).and_then(|()| check_codec(bytes)) {
        check.damage(path, position, format!("wrong {what}"));
    } else if check.options.records
        && let Err(error) = check_records(check, info, bytes)
    {
        check.damage(path, position, format!("records: {error}"));
    }
}

/// Decodes every record of a batch, which counts them and reads each to its end.
fn check_records(check: &mut Check<'_>, info: &EntryInfo, bytes: &[u8]) -> Result<(), RecordFault> {
    let limit = DecompressLimit::new(check.options.decompressed_bytes_max);
    let mut records = Entry::parse(bytes)?.records(limit)?;
    let mut least = info.base.map_or(0, Offset::to_wire);
    while let Some(record) = records.next_record()? {
        check.done.records += 1;
        if record.offset < least || info.last.to_wire() < record.offset {
            return Err(RecordFault::Offset { offset: record.offset, least, last: info.last });
        }
        least = record.offset.saturating_add(1);
    }
    Ok(())
}

/// Why the records of a batch are not as its header says.
#[derive(Debug, thiserror::Error)]
enum RecordFault {
    #[error(transparent)]
    Format(#[from] RecordError),
    #[error("offset {offset} is not within {least}..={last}")]
    Offset { offset: i64, least: i64, last: Offset },
}

/// What follows the last whole batch: nothing, zeros of preallocation, or an unfinished write.
fn check_end(
    check: &mut Check<'_>,
    file: &FileHandle,
    path: &Path,
    position: u64,
    size: u64,
    is_last: bool,
    broken: Option<&'static str>,
) -> Result<(), LogError> {
    if position == size {
        return Ok(());
    }
    let left = size - position;
    let what = if is_zero(file, path, position, size)? {
        format!("ends with {left} bytes of zeros")
    } else if let Some(what) = broken {
        check.damage(path, position, format!("{what}; {left} bytes from here on were not looked at"));
        return Ok(());
    } else {
        format!("ends with {left} bytes that are no whole batch")
    };
    check.unfinished(is_last, path, position, what);
    Ok(())
}

fn is_zero(file: &FileHandle, path: &Path, mut position: u64, size: u64) -> Result<bool, LogError> {
    let mut chunk = vec![0; 64 << 10];
    while position < size {
        let length = usize::try_from(size - position).map_or(chunk.len(), |left| left.min(chunk.len()));
        let read = file.read_at(&mut chunk[..length], position).map_err(LogError::io("read", path))?;
        if read == 0 || chunk[..read].iter().any(|&byte| byte != 0) {
            return Ok(read == 0);
        }
        position += read as u64;
    }
    Ok(true)
}
