//! Replacing a small file so that a crash leaves either the old or the new one.

use std::io;
use std::path::Path;

use crate::disk::{Disk, OpenMode};
use crate::error::LogError;
use crate::names::with_suffix;

/// Larger files than this are not what they claim to be. A checkpoint of 100,000 partitions with the longest
/// names takes 28 MB.
const SIZE_MAX: u64 = 64 << 20;

/// Writes `bytes` to `<path>.tmp`, syncs it, renames it over `path` and syncs the directory.
pub(crate) fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), LogError> {
    write_and_rename(disk, path, bytes, true)?;
    let parent = path.parent().unwrap_or(Path::new("."));
    disk.sync_dir(parent).map_err(LogError::io("sync", parent))
}

/// The same without syncing the directory: a crash may bring back the old file, but no damaged one.
pub(crate) fn replace_file_lazily(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), LogError> {
    write_and_rename(disk, path, bytes, true)
}

/// The same without syncing at all, for files with a checksum that are made again when a crash damages them.
pub(crate) fn replace_file_unsynced(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), LogError> {
    write_and_rename(disk, path, bytes, false)
}

fn write_and_rename(disk: &dyn Disk, path: &Path, bytes: &[u8], sync: bool) -> Result<(), LogError> {
    let temporary = with_suffix(path, ".tmp");
    let file = disk.open(&temporary, OpenMode::Create).map_err(LogError::io("create", &temporary))?;
    file.set_len(0).map_err(LogError::io("truncate", &temporary))?;
    file.write_all_at(bytes, 0).map_err(LogError::io("write", &temporary))?;
    if sync {
        file.sync_data().map_err(LogError::io("sync", &temporary))?;
    }
    disk.rename(&temporary, path).map_err(LogError::io("rename", &temporary))
}

/// Reads a small file whole; `None` if there is none.
pub(crate) fn read_small_file(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, LogError> {
    read_file(disk, path, SIZE_MAX)
}

/// Reads a file whole, which must not be larger than `size_max` bytes; `None` if there is none.
///
/// # Errors
///
/// [`LogError::Io`], with [`io::ErrorKind::InvalidData`] for a larger file.
pub(crate) fn read_file(disk: &dyn Disk, path: &Path, size_max: u64) -> Result<Option<Vec<u8>>, LogError> {
    let file = match disk.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(LogError::io("open", path)(e)),
    };
    file.read_all(size_max).map(Some).map_err(LogError::io("read", path))
}
