//! Registers this node as a controller, so that others learn where it is reached.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use highwater_metadata::RegisterController;
use highwater_types::ErrorCode;

use super::controller_link::{ControllerLink, LinkError};
use crate::lifecycle::{Event, spawn};

/// The thread that registers a controller. It ends when that is done.
pub(crate) struct ControllerRegistrar {
    pub(crate) registration: RegisterController,
    pub(crate) link: ControllerLink,
    /// Ends the thread when the other end is gone.
    pub(crate) stopped: Receiver<()>,
}

impl ControllerRegistrar {
    pub(crate) fn start(self, events: Sender<Event>) -> io::Result<JoinHandle<()>> {
        spawn("registrar".to_owned(), "the thread that registers this controller", events, move || self.run())
    }

    fn run(mut self) {
        let mut pause = RETRY_MIN;
        loop {
            // At once, if the node has stopped meanwhile.
            match self.stopped.recv_timeout(Duration::ZERO) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
            match self.link.register_controller(&self.registration) {
                Ok(()) => {
                    tracing::info!("registered as controller {}", self.registration.node);
                    return;
                }
                Err(LinkError::Controller(refused)) if refused.code() != ErrorCode::NotController => {
                    tracing::warn!("the active controller does not register this one yet: {refused}");
                }
                Err(error) => tracing::debug!("the registration as a controller is tried again: {error}"),
            }
            match self.stopped.recv_timeout(pause) {
                Err(RecvTimeoutError::Timeout) => pause = (pause * 2).min(RETRY_MAX),
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

const RETRY_MIN: Duration = Duration::from_millis(50);
/// As long as Kafka's.
const RETRY_MAX: Duration = Duration::from_secs(60);
