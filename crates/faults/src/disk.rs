//! Disks that fill up, and disks that do not sync.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{HarnessError, run};

/// Mounts a small file system at an empty directory. It is gone when the suite's mounts are.
pub(crate) fn mount_small(directory: &Path) -> Result<(), HarnessError> {
    let size = format!("size={DISK_MIB}m");
    run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory)).map(drop)
}

/// Gives up what was mounted.
pub(crate) fn unmount(directory: &Path) {
    // If it fails, the mount goes with the namespace.
    let _ = run(Command::new("umount").arg(directory));
}

/// Leaves no space on the file system of a directory.
pub(crate) fn fill(directory: &Path) -> Result<(), HarnessError> {
    let path = directory.join(BALLAST);
    let shown = path.display().to_string();
    let mut file = File::create(&path).map_err(HarnessError::io(shown.clone()))?;
    let mut chunk: &[u8] = &[0; 64 * 1024];
    loop {
        match file.write(chunk) {
            Ok(written) if 0 < written => {}
            Err(error) if error.kind() != ErrorKind::StorageFull => return Err(HarnessError::io(shown)(error)),
            // What is left is less than this, so try less.
            _ if chunk.len() == 1 => return Ok(()),
            _ => chunk = &chunk[..chunk.len() / 2],
        }
    }
}

/// Gives the space back.
pub(crate) fn release(directory: &Path) {
    // It is there only if the disk was filled.
    let _ = fs::remove_file(directory.join(BALLAST));
}

/// A library that lets syncs of a process fail while a file exists.
#[derive(Debug)]
pub(crate) struct FailingSync {
    library: PathBuf,
}

impl FailingSync {
    /// Compiles it into a directory; an error if there is no C compiler.
    pub(crate) fn build(directory: &Path) -> Result<Self, HarnessError> {
        let (source, library) = (directory.join("failing_sync.c"), directory.join("failing_sync.so"));
        fs::write(&source, include_str!("failing_sync.c")).map_err(HarnessError::io(source.display().to_string()))?;
        run(Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source))?;
        Ok(Self { library })
    }

    /// Environment of a process whose syncs fail while `switch` exists.
    pub(crate) fn environment(&self, switch: &Path) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", self.library.clone()), ("HIGHWATER_FAULTS_SYNC", switch.to_owned())]
    }
}

/// What takes the space.
const BALLAST: &str = "ballast";
const DISK_MIB: u32 = 256;
