//! The life of a broker in its cluster: it registers, lives, and leaves.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use highwater_metadata::{BrokerHeartbeat, BrokerRegistration};
use highwater_types::{BrokerEpoch, DirectoryId, ErrorCode};
use parking_lot::{Condvar, Mutex};

use super::controller_link::{ControllerLink, LinkError};
use crate::lifecycle::{Event, spawn};
use crate::partition::Directories;
use crate::view::ViewCell;

/// What a broker's life needs.
pub(crate) struct LifeSetup {
    pub(crate) registration: BrokerRegistration,
    pub(crate) link: ControllerLink,
    pub(crate) directories: Directories,
    /// What the broker has applied of the metadata.
    pub(crate) view: Arc<ViewCell>,
    /// The registration of this process, for who has to name it; 0 while it has none.
    pub(crate) broker_epoch: Arc<AtomicU64>,
    /// `broker.heartbeat.interval.ms`.
    pub(crate) heartbeat_ms: u64,
    /// Whether leaderships are handed over before the broker ends (`controlled.shutdown.enable`).
    pub(crate) hands_over: bool,
}

/// The life of this broker, and what others want of it.
#[derive(Default)]
pub(crate) struct BrokerLife {
    state: Mutex<State>,
    changed: Condvar,
    is_ready: AtomicBool,
}

#[derive(Default)]
struct State {
    /// The thread was started: the node is a broker.
    has_begun: bool,
    /// The replicas on this broker follow the metadata.
    is_loaded: bool,
    /// The controller has let the broker in.
    is_unfenced: bool,
    /// The broker wants to end, and when it ends anyway.
    leaves_by: Option<Instant>,
    /// It may end.
    has_left: bool,
    /// Counts what the controller should hear of at once.
    news: u64,
}

impl BrokerLife {
    /// Starts the thread that registers the broker and lets it live.
    pub(crate) fn start(self: &Arc<Self>, setup: LifeSetup, events: Sender<Event>) -> io::Result<JoinHandle<()>> {
        let life = Arc::clone(self);
        self.state.lock().has_begun = true;
        spawn("broker-life".to_owned(), "the thread of heartbeats", events, move || life.live(setup))
    }

    /// Whether the broker was let into its cluster, so that it serves clients: fenced or not, as the metadata says.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// The replicas on this broker follow the metadata.
    pub(crate) fn loaded(&self) {
        let mut state = self.state.lock();
        state.is_loaded = true;
        state.news += 1;
        self.changed.notify_all();
    }

    /// The metadata that this broker has applied has it fenced, or not.
    pub(crate) fn is_fenced(&self, is_fenced: bool) {
        let mut state = self.state.lock();
        if state.is_unfenced == is_fenced {
            if is_fenced && state.leaves_by.is_none() {
                tracing::warn!("the controller has fenced this broker");
            }
            state.is_unfenced = !is_fenced;
            if !is_fenced {
                self.is_ready.store(true, Ordering::Release);
            }
            self.changed.notify_all();
        }
    }

    /// A log directory has failed, which the controller has to know.
    pub(crate) fn hurry(&self) {
        self.state.lock().news += 1;
        self.changed.notify_all();
    }

    /// Waits until the broker is let in, for `timeout` at most.
    pub(crate) fn wait_until_unfenced(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        while !state.is_unfenced && !state.has_left {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.is_unfenced
    }

    /// Leaves the cluster: hands leaderships over, within `timeout`, and ends the thread. A node that is no broker has
    /// nothing to leave.
    pub(crate) fn leave(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        if !state.has_begun {
            return;
        }
        state.leaves_by = Some(deadline);
        state.news += 1;
        self.changed.notify_all();
        // The thread itself gives up at the deadline; a call that is under way may take a little longer.
        while !state.has_left {
            if self.changed.wait_until(&mut state, deadline + CALL_TIMEOUT).timed_out() {
                break;
            }
        }
    }

    fn live(&self, mut setup: LifeSetup) {
        if let Some(epoch) = self.register(&mut setup) {
            setup.broker_epoch.store(epoch.0, Ordering::Release);
            self.beat(&mut setup, epoch);
        }
        let mut state = self.state.lock();
        (state.has_left, state.is_unfenced) = (true, false);
        self.changed.notify_all();
    }

    fn is_over(&self, setup: &LifeSetup) -> bool {
        let state = self.state.lock();
        match state.leaves_by {
            // A broker that was never let in has nothing to hand over.
            Some(deadline) => !setup.hands_over || !state.is_unfenced || deadline <= Instant::now(),
            None => false,
        }
    }

    /// Registers, however often it takes; `None` if the broker is to end.
    fn register(&self, setup: &mut LifeSetup) -> Option<BrokerEpoch> {
        let mut last_error = None;
        let mut pause = RETRY_MIN;
        loop {
            let news = {
                let state = self.state.lock();
                if state.leaves_by.is_some() {
                    return None;
                }
                state.news
            };
            match setup.link.register(&setup.registration) {
                Ok(epoch) => {
                    tracing::info!("registered as broker {} with epoch {}", setup.registration.node, epoch.0);
                    return Some(epoch);
                }
                Err(error) => {
                    let text = error.to_string();
                    if last_error.as_ref() != Some(&text) {
                        match &error {
                            LinkError::Controller(refused) if refused.code() != ErrorCode::NotController => {
                                tracing::warn!("the controller does not register this broker yet: {text}");
                            }
                            _ => tracing::debug!("registration is tried again: {text}"),
                        }
                        last_error = Some(text);
                    }
                    self.pause(pause, news);
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// Sends heartbeats until the broker has left.
    ///
    /// A broker that was unregistered, or whose place another process has taken, goes on like that and is refused each
    /// time: as in Kafka it stays out until it is started again, since whoever did that wanted it gone.
    fn beat(&self, setup: &mut LifeSetup, epoch: BrokerEpoch) {
        let interval = Duration::from_millis(setup.heartbeat_ms);
        let mut is_known = true;
        loop {
            let (is_loaded, is_unfenced, leaves, news) = {
                let state = self.state.lock();
                (state.is_loaded, state.is_unfenced, state.leaves_by.is_some(), state.news)
            };
            if self.is_over(setup) {
                return;
            }
            let heartbeat = BrokerHeartbeat {
                node: setup.registration.node,
                epoch,
                metadata_offset: setup.view.load().metadata_offset,
                want_fence: !is_loaded,
                want_shutdown: leaves,
                offline_log_dirs: offline(&setup.directories),
            };
            let pause = match setup.link.heartbeat(&heartbeat) {
                Ok(pulse) if pulse.should_shut_down => {
                    return self.left();
                }
                Ok(pulse) => match (leaves, is_unfenced || !pulse.is_fenced) {
                    (true, _) => LEAVING_PAUSE,
                    (false, false) if is_loaded => CATCHING_UP_PAUSE,
                    _ => interval,
                },
                Err(error) => {
                    tracing::debug!("a heartbeat was not answered: {error}");
                    let is_stale =
                        matches!(error.code(), ErrorCode::StaleBrokerEpoch | ErrorCode::BrokerIdNotRegistered);
                    if is_stale && std::mem::take(&mut is_known) {
                        tracing::warn!(
                            "the controller does not know broker {} by epoch {} any more: it was unregistered or \
                             replaced, and stays out of the cluster until it is started again",
                            setup.registration.node,
                            epoch.0
                        );
                    }
                    match (leaves, is_stale) {
                        (true, _) => LEAVING_PAUSE,
                        (false, true) => interval,
                        (false, false) => RETRY_MAX.min(interval),
                    }
                }
            };
            self.pause(pause, news);
        }
    }

    fn left(&self) {
        let mut state = self.state.lock();
        state.leaves_by = Some(Instant::now());
        state.is_unfenced = false;
    }

    /// Waits for `pause`, or until there is news since `news`.
    fn pause(&self, pause: Duration, news: u64) {
        let deadline = Instant::now() + pause;
        let mut state = self.state.lock();
        while state.news == news {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }
}

fn offline(directories: &Directories) -> Vec<DirectoryId> {
    directories.iter().filter(|directory| directory.is_offline()).map(|directory| directory.id()).collect()
}

const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_millis(500);
/// Between heartbeats of a broker that waits to be let in or out.
const CATCHING_UP_PAUSE: Duration = Duration::from_millis(5);
const LEAVING_PAUSE: Duration = Duration::from_millis(20);
/// How long a call may take that is under way.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_no_broker_leaves_at_once() {
        // It would not return for longer than any test may run.
        BrokerLife::default().leave(Duration::from_secs(10_000));
    }
}
