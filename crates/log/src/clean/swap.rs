//! Putting `.cleaned` files in the place of those they replace (storage format, sections 16 and 19.5).
//!
//! A crash must leave the old segments or the new ones. The names alone decide which, as [`leftovers`] reads them at
//! the next start, so their changes must become durable in this order:
//!
//! 1. `.cleaned` becomes `.swap`, the segment with the highest base first. While a `.cleaned` file is left, `.swap`
//!    files with that base or a higher one are removed with it: the old segments stand.
//! 2. With the last `.cleaned` gone the new segments stand. The old ones become `.deleted`.
//! 3. `.swap` becomes the final name, the segment with the lowest base first, and its log before its indexes: the range
//!    of the `.swap` logs that are left covers nothing that is final.
//!
//! A file system may make renames durable in another order than they were made in, so that the directory is synced
//! between those that depend on each other. For a group that becomes one segment, which is nearly every one, that is
//! three syncs.
//!
//! Old segments behind the last record that is kept of a group are not in the range of its `.swap` logs. A crash between
//! 1 and 2 brings them back whole. All of their records have been superseded, as in Kafka.
//!
//! [`leftovers`]: ../log/leftovers.rs

use std::io;
use std::path::Path;

use highwater_types::Offset;

use crate::disk::Disk;
use crate::error::LogError;
use crate::names::{CLEANED, FileKind, SWAP};
use crate::segment::Place;

/// Makes `.swap` files of the `.cleaned` ones: from here on they will replace those they were made of.
pub(crate) fn commit(place: &Place, bases: &[Offset]) -> Result<(), LogError> {
    let (from, to) = (place.with_suffix(CLEANED), place.with_suffix(SWAP));
    for &base in bases.iter().rev() {
        for kind in FileKind::SEGMENT {
            rename(&*place.disk, &from.file(base, kind), &to.file(base, kind))?;
        }
        sync_dir(&*place.disk, &place.dir)?;
    }
    Ok(())
}

/// Gives `.swap` files their final names, as far as there are any. Those that had the names must be gone.
pub(crate) fn complete(place: &Place, bases: &[Offset]) -> Result<(), LogError> {
    let swap = place.with_suffix(SWAP);
    for (index, &base) in bases.iter().enumerate() {
        for kind in FileKind::SEGMENT {
            rename(&*place.disk, &swap.file(base, kind), &place.file(base, kind))?;
            // An index that goes with its log's range is rebuilt, but not a transaction index.
            let is_last = index + 1 == bases.len();
            if kind == FileKind::Log && (!is_last || exists(&*place.disk, &swap.file(base, FileKind::TxnIndex))) {
                sync_dir(&*place.disk, &place.dir)?;
            }
        }
    }
    sync_dir(&*place.disk, &place.dir)
}

pub(crate) fn sync_dir(disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
    disk.sync_dir(dir).map_err(LogError::io("sync", dir))
}

/// Renames a file; one that does not exist has been renamed before, or never was.
fn rename(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), LogError> {
    match disk.rename(from, to) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(LogError::io("rename", from)(e)),
        _ => Ok(()),
    }
}

fn exists(disk: &dyn Disk, path: &Path) -> bool {
    disk.metadata(path).is_ok()
}
