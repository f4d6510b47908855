//! What the application's threads and the I/O thread share of a consumer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use highwater_consumer as machine;
use highwater_consumer::{Interceptors, OffsetAndMetadata};
use highwater_types::{Ticks, TopicPartition};
use parking_lot::{Condvar, Mutex};

use crate::ClientError;
use crate::io::{IoHandle, Notify};
use crate::pending::Completer;

/// Whom the end of a call is told to.
pub(super) enum Token {
    Commit(Completer<()>),
    Committed(Completer<BTreeMap<TopicPartition, Option<OffsetAndMetadata>>>),
}

/// The machine, and whoever waits for it.
pub(super) struct Core {
    pub(super) io: IoHandle,
    pub(super) state: Mutex<State>,
    /// There is an event for a thread that waits.
    pub(super) event: Condvar,
    /// The I/O thread has something to do.
    pub(super) work: Arc<Notify>,
    pub(super) interceptors: Interceptors,
}

pub(super) struct State {
    /// `None` when it has ended.
    pub(super) machine: Option<machine::Consumer<Token>>,
    /// An event may be there for whoever waits.
    pub(super) is_ready: bool,
    /// A task that waits for an event.
    pub(super) waker: Option<Waker>,
    pub(super) closing: Vec<Completer<()>>,
    /// When the I/O thread looks again by itself.
    pub(super) due: Option<Ticks>,
}

impl Core {
    /// Has the machine do something on behalf of the application.
    pub(super) fn with<R>(
        &self,
        act: impl FnOnce(Ticks, &mut machine::Consumer<Token>) -> R,
    ) -> Result<R, ClientError> {
        let mut state = self.state.lock();
        let now = self.io.now();
        let State { machine, due, .. } = &mut *state;
        let machine = machine.as_mut().ok_or(ClientError::Closed)?;
        let result = act(now, machine);
        let has_work = has_work(machine, *due);
        drop(state);
        if has_work {
            self.work.notify();
        }
        Ok(result)
    }

    /// Tells the machine what has happened.
    pub(super) fn input(&self, input: machine::Input) {
        let mut state = self.state.lock();
        let now = self.io.now();
        if let Some(machine) = &mut state.machine {
            machine.handle(now, input);
        }
        drop(state);
        self.work.notify();
    }

    /// Whoever waits for an event asks again.
    pub(super) fn wake(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.is_ready = true;
            state.waker.take()
        };
        self.event.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Nothing is done any more: whoever waits is told so.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        let machine = state.machine.take();
        let closing = std::mem::take(&mut state.closing);
        drop(state);
        closing.into_iter().for_each(|completer| completer.complete(Ok(())));
        // Calls under way are told by dropping them.
        drop(machine);
        self.wake();
    }
}

/// Whether the I/O thread should look before `planned`.
pub(super) fn has_work(machine: &machine::Consumer<Token>, planned: Option<Ticks>) -> bool {
    machine.has_output() || is_earlier(machine.poll_timeout(), planned)
}

fn is_earlier(due: Option<Ticks>, planned: Option<Ticks>) -> bool {
    match (due, planned) {
        (Some(due), Some(planned)) => due < planned,
        (Some(_), None) => true,
        (None, _) => false,
    }
}
