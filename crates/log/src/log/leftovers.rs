//! What a crash leaves of deletions and of compaction (storage format, sections 16.1 and 16.2).

use std::collections::BTreeSet;
use std::path::Path;

use highwater_types::Offset;

use crate::clean::{complete, sync_dir};
use crate::disk::{Disk, OpenMode};
use crate::error::LogError;
use crate::names::{CLEANED, DELETED, FileKind, SWAP, parse_file_name};
use crate::segment::{EntryScan, Place};

/// A producer snapshot that has not got its name yet.
const SNAPSHOT_TEMPORARY: &str = ".snapshot.tmp";

/// Finishes what was interrupted: deletions are completed, compaction is completed or undone.
///
/// May itself be interrupted anywhere, and be repeated.
pub(super) fn remove_leftovers(place: &Place) -> Result<(), LogError> {
    let (disk, dir) = (&*place.disk, place.dir.as_path());
    let names: Vec<String> = list(disk, dir)?;
    let remove = |name: &str| {
        let path = dir.join(name);
        disk.remove_file(&path).map_err(LogError::io("remove", &path))
    };
    let is_deleted = |name: &&String| name.ends_with(DELETED) && !name.contains(".checkpoint");
    // Snapshots are not synced before they get their name. Written into a file that is left from before, one could have
    // that one's bytes after a crash, which nothing tells from its own.
    let is_unfinished = |name: &&String| name.ends_with(SNAPSHOT_TEMPORARY);
    for name in names.iter().filter(|name| is_deleted(name) || is_unfinished(name)) {
        remove(name)?;
    }
    if names.iter().any(|name| is_deleted(&name)) {
        // Whoever renamed them may not have lived to sync that: what the log is without them it has to stay.
        sync_dir(disk, dir)?;
    }
    let cleaned: Vec<(&str, Offset)> =
        names.iter().filter_map(|name| Some((name.as_str(), base_of(name, CLEANED)?.0))).collect();
    let unfinished = cleaned.iter().map(|&(_, base)| base).min();
    let swap = names.iter().filter_map(|name| Some((name.as_str(), base_of(name, SWAP)?)));
    // The originals of the first kind are still there: renaming goes from the highest base down.
    let (undone, swap): (Vec<_>, Vec<_>) =
        swap.partition(|(_, (base, _))| unfinished.is_some_and(|unfinished| unfinished <= *base));
    for (name, _) in &undone {
        remove(name)?;
    }
    if !undone.is_empty() {
        // Without the `.cleaned` files these would be taken for complete.
        sync_dir(disk, dir)?;
    }
    for (name, _) in cleaned {
        remove(name)?;
    }
    complete_swap(place, &names, &swap)
}

/// Puts complete `.swap` files in the place of those they replace.
fn complete_swap(place: &Place, names: &[String], swap: &[(&str, (Offset, FileKind))]) -> Result<(), LogError> {
    let (disk, dir) = (&*place.disk, place.dir.as_path());
    let mut replaced: Option<(Offset, Offset)> = None;
    for (name, (base, _)) in swap.iter().filter(|(_, (_, kind))| *kind == FileKind::Log) {
        let next = next_offset(disk, &dir.join(name), *base)?;
        let (first, end) = replaced.unwrap_or((*base, next));
        replaced = Some((first.min(*base), end.max(next)));
    }
    if let Some((first, end)) = replaced {
        let is_replaced =
            |name: &&String| parse_file_name(name).is_some_and(|(offset, _)| first <= offset && offset < end);
        for name in names.iter().filter(is_replaced) {
            let path = dir.join(name);
            disk.remove_file(&path).map_err(LogError::io("remove", &path))?;
        }
    }
    if swap.is_empty() {
        return Ok(());
    }
    sync_dir(disk, dir)?;
    let bases: BTreeSet<Offset> = swap.iter().map(|(_, (base, _))| *base).collect();
    complete(place, &Vec::from_iter(bases))
}

fn base_of(name: &str, suffix: &str) -> Option<(Offset, FileKind)> {
    parse_file_name(name.strip_suffix(suffix)?)
}

fn next_offset(disk: &dyn Disk, path: &Path, base: Offset) -> Result<Offset, LogError> {
    let file = disk.open(path, OpenMode::Read).map_err(LogError::io("open", path))?;
    let size = file.size().map_err(LogError::io("inspect", path))?;
    let mut next = base;
    for entry in EntryScan::new(&file, path, 0, size) {
        next = entry?.1.next_offset();
    }
    Ok(next)
}

fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, LogError> {
    let entries = disk.list(dir).map_err(LogError::io("list", dir))?;
    Ok(entries.into_iter().filter(|entry| !entry.is_dir).map(|entry| entry.name).collect())
}
