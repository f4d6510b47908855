//! The metadata quorum and the controller on this node: one thread owns both.
//!
//! A request that changes metadata runs as one piece of work on that thread: decide, append the records and sync them,
//! apply them, create or delete local logs, publish the new view. Only then is the request answered.

mod driver;
mod local;
mod metadata_log;
mod quorum_state;
mod translate;

pub(crate) use driver::{ControllerDriver, ControllerError, ControllerStartError, QuorumInfo};
pub(crate) use local::{FoundLog, LocalPartitions};
pub(crate) use metadata_log::{MetadataLog, MetadataLogError};

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::net::{WakeToken, Wakers};
use crate::purgatory::{Job, Workers, WorkersBusy};

/// The way to the controller's thread.
pub(crate) struct ControllerHandle {
    driver: Arc<Mutex<ControllerDriver>>,
    thread: Workers,
}

impl ControllerHandle {
    pub(crate) fn start(driver: ControllerDriver, wakers: Arc<Wakers>) -> io::Result<Self> {
        Ok(Self { driver: Arc::new(Mutex::new(driver)), thread: Workers::start(1, QUEUED_REQUESTS_MAX, wakers)? })
    }

    /// Runs `work` on the controller's thread and wakes `token` when it is done.
    ///
    /// # Errors
    ///
    /// [`WorkersBusy`] if [`QUEUED_REQUESTS_MAX`] requests wait already.
    pub(crate) fn submit_for<R: Send + 'static>(
        &self,
        token: WakeToken,
        work: impl FnOnce(&mut ControllerDriver) -> R + Send + 'static,
    ) -> Result<Job<R>, WorkersBusy> {
        let driver = Arc::clone(&self.driver);
        self.thread.submit_for(token, move || work(&mut driver.lock()))
    }

    /// Runs `work` on this thread, before or after all requests.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut ControllerDriver) -> R) -> R {
        work(&mut self.driver.lock())
    }

    /// Runs `work` on the controller's thread, for nobody in particular.
    ///
    /// # Errors
    ///
    /// [`WorkersBusy`] if [`QUEUED_REQUESTS_MAX`] requests wait already.
    pub(crate) fn submit(&self, work: impl FnOnce(&mut ControllerDriver) + Send + 'static) -> Result<(), WorkersBusy> {
        let driver = Arc::clone(&self.driver);
        self.thread.submit(move || work(&mut driver.lock()))
    }
}

/// Requests that may wait for the controller; the next one is refused with a retriable error.
const QUEUED_REQUESTS_MAX: usize = 1000;
