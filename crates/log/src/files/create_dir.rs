//! Creating a directory so that a crash does not lose it.

use std::io;
use std::path::Path;

use crate::disk::Disk;
use crate::error::LogError;

/// Creates a directory and its parents, and makes the names of those it created durable.
///
/// Syncing what is in a directory does not save the directory itself.
pub(crate) fn create_dir(disk: &dyn Disk, path: &Path) -> Result<(), LogError> {
    let mut missing = Vec::new();
    // A root is always there.
    for above in path.ancestors().filter(|above| above.file_name().is_some()) {
        match disk.metadata(above) {
            Ok(_) => break,
            Err(e) if e.kind() == io::ErrorKind::NotFound => missing.push(above),
            Err(e) => return Err(LogError::io("inspect", above)(e)),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    disk.create_dir_all(path).map_err(LogError::io("create", path))?;
    for created in missing.into_iter().rev() {
        let parent = created.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        disk.sync_dir(parent).map_err(LogError::io("sync", parent))?;
    }
    Ok(())
}
