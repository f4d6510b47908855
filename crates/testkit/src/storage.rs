//! Where the brokers keep their data.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Where the brokers keep their data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Storage {
    /// In a directory of its own below the system's temporary one (`TMPDIR`), removed at the end. The default.
    #[default]
    Temporary,
    /// In a directory of its own in `/dev/shm`, which is memory, removed at the end: nothing waits for a disk. Where there
    /// is no such place, or it cannot be written to, as [`Temporary`](Self::Temporary). Containers often have no more than
    /// 64 MiB there.
    Memory,
    /// In this directory, one folder a node, which stays. Made if need be. The same number of nodes can be started on it
    /// again.
    Directory(PathBuf),
}

/// The directory while the brokers run.
#[derive(Debug)]
pub(crate) enum Data {
    Removed(TempDir),
    Kept(PathBuf),
}

impl Storage {
    pub(crate) fn open(&self) -> io::Result<Data> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("highwater-testkit-");
        match self {
            Self::Temporary => builder.tempdir().map(Data::Removed),
            Self::Memory => builder.tempdir_in(SHARED_MEMORY).or_else(|_| builder.tempdir()).map(Data::Removed),
            Self::Directory(path) => {
                std::fs::create_dir_all(path)?;
                path.canonicalize().map(Data::Kept)
            }
        }
    }
}

impl Data {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Removed(directory) => directory.path(),
            Self::Kept(path) => path,
        }
    }

    pub(crate) fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }
}

const SHARED_MEMORY: &str = "/dev/shm";
