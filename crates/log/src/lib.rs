#![doc = include_str!("../README.md")]
//!
#![doc = include_str!("../FORMAT.md")]

mod clean;
mod config;
mod dir;
mod disk;
mod entry;
mod epoch_cache;
mod error;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod index;
#[cfg(feature = "json")]
pub mod json;
mod log;
mod names;
mod producer;
mod reader;
mod segment;
mod settings;
mod shared;
mod verify;

pub use clean::{
    CleanProgress, CleanStats, CleanStep, CleanTask, Cleanable, Cleaned, Cleaner, CleanerConfig, dirtiest,
};
pub use config::{CheckedLogConfig, CleanupPolicy, ConfigError, DirtyRatio, LogConfig};
pub use dir::{DirOptions, DirSync, LockedDir, LogDir, OpenCounts, OpenedDir, OpenedLog};
pub use disk::{
    CacheStats, CachedDisk, CrashLoss, Disk, DiskCall, DiskFile, DiskLock, Entry as DirEntry, FileFacts, FileHandle,
    MemDisk, OpenMode, RealDisk, Volume,
};
pub use epoch_cache::{EpochCache, EpochEntry};
pub use error::{AppendError, Blame, LogError};
pub use files::MetaProperties;
pub use index::AbortedTxn;
pub use log::{
    AppendInfo, AppendOrigin, AppendSet, BatchState, DeleteTask, FlushDone, FlushTask, Log, LogCheckpoint, LogState,
    OpenOptions, ReadBound, ReadSlice, SegmentState, TimestampAnswer, TimestampQuery,
};
pub use producer::{ProducerSummary, SequenceRange};
pub use reader::{LogReader, LogSource, ReadError};
pub use settings::SettingError;
pub use shared::SharedLog;
pub use verify::{Finding, Severity, Verification, VerifyOptions, verify_dir, verify_log};
