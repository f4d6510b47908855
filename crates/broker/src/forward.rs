//! What this node asks of the active controller on behalf of its clients, on threads of its own.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use highwater_metadata::CreateTopics;
use highwater_types::ErrorCode;
use parking_lot::Mutex;

use crate::net::{WakeToken, Wakers};
use crate::purgatory::{Job, Workers, WorkersBusy};
use crate::replica::{ControllerLink, LinkError, LinkSetup};

/// Asks the active controller for clients.
pub(crate) struct Forwarder {
    workers: Workers,
    links: Arc<Links>,
}

/// Links that no worker uses at present.
struct Links {
    setup: LinkSetup,
    idle: Mutex<Vec<ControllerLink>>,
}

impl Forwarder {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// If the operating system refuses a thread.
    pub(crate) fn start(setup: LinkSetup, wakers: &Arc<Wakers>) -> io::Result<Self> {
        let links = Arc::new(Links { setup, idle: Mutex::default() });
        Ok(Self { workers: Workers::start(THREADS, REQUESTS_MAX, Arc::clone(wakers))?, links })
    }

    /// Runs `work` with a link to the controller and wakes `token` when it is done.
    ///
    /// # Errors
    ///
    /// [`WorkersBusy`] if too many requests wait already.
    pub(crate) fn submit_for<R: Send + 'static>(
        &self,
        token: WakeToken,
        work: impl FnOnce(&mut ControllerLink) -> R + Send + 'static,
    ) -> Result<Job<R>, WorkersBusy> {
        let links = Arc::clone(&self.links);
        self.workers.submit_for(token, move || links.with(work))
    }

    /// Forwards a request, with its header, as it came from a client at `address`; the answer with its header comes
    /// back, or `None` if this node has become the active controller, or nobody is it for a while.
    ///
    /// # Errors
    ///
    /// [`WorkersBusy`] if too many requests wait already.
    pub(crate) fn forward(
        &self,
        token: WakeToken,
        request: Vec<u8>,
        address: IpAddr,
    ) -> Result<Job<Option<Vec<u8>>>, WorkersBusy> {
        let deadline = Instant::now() + PATIENCE;
        self.submit_for(token, move |link| {
            loop {
                match link.envelope(&request, address) {
                    Ok(answer) => return answer,
                    Err(error) if !is_passing(&error) || deadline <= Instant::now() => {
                        tracing::info!("a request could not be forwarded to the controller: {error}");
                        return None;
                    }
                    Err(_) => thread::sleep(PAUSE),
                }
            }
        })
    }

    /// Asks for topics, for nobody who waits: clients ask again until they are there.
    pub(crate) fn create_topics(&self, create: CreateTopics) {
        let links = Arc::clone(&self.links);
        // If too many wait already, or the topic is there by now, the client's next request settles it.
        let _ = self.workers.submit(move || {
            let names: Vec<String> = create.topics.iter().map(|topic| topic.name.clone()).collect();
            match links.with(|link| link.create_topics(&create)) {
                Ok(results) => {
                    for (name, code) in names.iter().zip(results) {
                        if !matches!(code, ErrorCode::None | ErrorCode::TopicAlreadyExists) {
                            tracing::warn!("topic {name} could not be created: {code}");
                        }
                    }
                }
                Err(error) => tracing::info!("topics could not be created: {error}"),
            }
        });
    }
}

/// Whether it may work the next time.
fn is_passing(error: &LinkError) -> bool {
    match error {
        LinkError::Controller(error) => matches!(error.code(), ErrorCode::NotController | ErrorCode::RequestTimedOut),
        LinkError::Peer(_) | LinkError::Nobody => true,
    }
}

impl Links {
    fn with<R>(&self, work: impl FnOnce(&mut ControllerLink) -> R) -> R {
        let mut link = self.idle.lock().pop().unwrap_or_else(|| ControllerLink::new(self.setup.clone()));
        let result = work(&mut link);
        self.idle.lock().push(link);
        result
    }
}

/// Requests that are forwarded side by side.
const THREADS: usize = 4;
/// Requests that may wait to be forwarded; the next one is refused with a retriable error.
const REQUESTS_MAX: usize = 1000;
/// How long a request waits for a controller.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(50);
