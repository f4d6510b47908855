//! Remembering that a write or sync failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::LogError;

/// Whether a log directory still works. Shared by the directory and all its logs.
#[derive(Clone, Debug, Default)]
pub(crate) struct DirHealth(Arc<AtomicBool>);

impl DirHealth {
    pub(crate) fn is_offline(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Hands `result` on, taking the directory offline if it is a failure of the host.
    pub(crate) fn watch<T>(&self, result: Result<T, LogError>) -> Result<T, LogError> {
        if let Err(LogError::Io { .. }) = &result {
            self.0.store(true, Ordering::Release);
        }
        result
    }
}

/// Whether one log still works. After a failed write memory and disk may disagree, so nothing more is done.
#[derive(Clone, Debug)]
pub(crate) struct LogHealth {
    poisoned: Arc<AtomicBool>,
    dir: DirHealth,
}

impl LogHealth {
    pub(crate) fn new(dir: DirHealth) -> Self {
        Self { poisoned: Arc::default(), dir }
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire) || self.dir.is_offline()
    }

    /// The entry to every operation.
    pub(crate) fn check(&self) -> Result<(), LogError> {
        if self.is_poisoned() { Err(LogError::Poisoned) } else { Ok(()) }
    }

    /// Hands the result of a change on, poisoning the log if it failed, and its directory if the host did.
    pub(crate) fn watch<T>(&self, result: Result<T, LogError>) -> Result<T, LogError> {
        if result.is_err() {
            self.poisoned.store(true, Ordering::Release);
        }
        self.dir.watch(result)
    }
}
