//! A private copy of a partition's directory.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::progress::Progress;

/// Copies the files of `from` into the directory `to`, with the times of their last writes, by which records without
/// timestamps age.
pub(super) fn copy_partition(from: &Path, to: &Path, progress: &mut Progress) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let facts = entry.metadata()?;
        if !facts.is_file() {
            continue;
        }
        let target = to.join(entry.file_name());
        let is_log = target.extension().is_some_and(|extension| extension == "log");
        // Not fs::copy, which would copy read-only permissions too.
        let mut copy = File::create(&target)?;
        io::copy(&mut File::open(entry.path())?, &mut copy)?;
        copy.set_modified(facts.modified()?)?;
        if is_log {
            progress.add(facts.len());
        }
    }
    Ok(())
}
