//! How a running broker comes to its end, and how others learn of it.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::partition::Directory;

/// What the housekeeping thread is told.
pub(crate) enum Event {
    /// A write or sync failed in a log directory.
    DirectoryFailed(Arc<Directory>),
    /// A write or sync failed in the metadata log.
    MetadataFailed(String),
    /// The broker is being shut down.
    Stop,
}

/// Why a broker stopped by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// No log directory is left that works.
    #[error("every log directory is offline")]
    NoLogDirectory,
    /// The metadata log cannot be written or synced.
    #[error("the metadata log failed: {reason}")]
    MetadataLog {
        /// What the log said.
        reason: String,
    },
    /// A thread of the broker panicked outside of any request. This is a defect; the panic was logged.
    #[error("{name} panicked")]
    Thread {
        /// Which one.
        name: &'static str,
    },
}

/// Whether the broker has ended, and how.
#[derive(Default)]
pub(crate) struct Lifecycle {
    ended: Mutex<Option<Result<(), BrokerError>>>,
    changed: Condvar,
}

impl Lifecycle {
    /// Notes the end; the first one counts.
    pub(crate) fn end(&self, how: Result<(), BrokerError>) {
        self.ended.lock().get_or_insert(how);
        self.changed.notify_all();
    }

    /// The failure that ended the broker, if one did.
    pub(crate) fn failure(&self) -> Option<BrokerError> {
        self.ended.lock().clone()?.err()
    }

    /// Waits for the end.
    pub(crate) fn wait(&self) -> Result<(), BrokerError> {
        let mut ended = self.ended.lock();
        loop {
            if let Some(how) = &*ended {
                return how.clone();
            }
            self.changed.wait(&mut ended);
        }
    }
}
