//! Where the brokers keep their data.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Where the brokers keep their data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Storage {
    /// In a directory of its own in `/dev/shm`, which is memory, removed at the end: nothing waits for a disk. Where there
    /// is no such place, it cannot be written to, or less than 256 MiB are free, as [`Temporary`](Self::Temporary):
    /// containers often have no more than 64 MiB there. The default.
    #[default]
    Memory,
    /// In a directory of its own below the system's temporary one (`TMPDIR`), removed at the end.
    Temporary,
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
            Self::Memory if has_shared_memory() => {
                builder.tempdir_in(SHARED_MEMORY).or_else(|_| builder.tempdir()).map(Data::Removed)
            }
            Self::Memory => builder.tempdir().map(Data::Removed),
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

fn has_shared_memory() -> bool {
    nix::sys::statvfs::statvfs(SHARED_MEMORY)
        .is_ok_and(|stats| SHARED_MEMORY_MIN <= stats.blocks_available().saturating_mul(stats.fragment_size()))
}

/// Bytes that have to be free there.
const SHARED_MEMORY_MIN: u64 = 256 << 20;
const SHARED_MEMORY: &str = "/dev/shm";
