//! How a running broker comes to its end, and how others learn of it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex};

use crate::partition::Directory;

/// What the housekeeping thread is told.
pub(crate) enum Event {
    /// A write or sync failed in a log directory.
    DirectoryFailed(Arc<Directory>),
    /// A write or sync failed in the metadata log.
    MetadataFailed(String),
    /// A thread that the broker cannot do without has panicked.
    ThreadPanicked(&'static str),
    /// The broker is being shut down.
    Stop,
}

/// Starts a thread that the broker cannot do without: if it panics, the broker stops and says so.
pub(crate) fn spawn(
    name: String,
    what: &'static str,
    events: Sender<Event>,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(move || {
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            // If the channel is full or closed, the broker is about to end anyway.
            let _ = events.try_send(Event::ThreadPanicked(what));
        }
    })
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
