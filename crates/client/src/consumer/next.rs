//! Waiting for an event.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::core::{Core, State, has_work};
use super::event::Event;
use crate::ClientError;

/// The next event of a consumer, once there is one: a [`Future`] that needs no particular runtime, with
/// [`wait`](Self::wait) for threads that have none. Dropping it loses nothing.
#[must_use = "a consumer does nothing for an application that does not ask"]
#[derive(Debug)]
pub struct Next<'a> {
    core: &'a Arc<Core>,
    is_waiting: bool,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").finish_non_exhaustive()
    }
}

impl<'a> Next<'a> {
    pub(super) const fn new(core: &'a Arc<Core>) -> Self {
        Self { core, is_waiting: false }
    }

    /// Blocks the thread until there is one.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`].
    pub fn wait(mut self) -> Result<Event, ClientError> {
        loop {
            if let Some(event) = self.ask(None)? {
                return Ok(event);
            }
            let mut state = self.core.state.lock();
            if !state.is_ready {
                self.core.event.wait(&mut state);
            }
        }
    }

    /// Blocks the thread for `timeout` at most; `None` if there is no event by then.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`].
    pub fn wait_for(mut self, timeout: Duration) -> Result<Option<Event>, ClientError> {
        let until = Instant::now() + timeout;
        loop {
            if let Some(event) = self.ask(None)? {
                return Ok(Some(event));
            }
            let mut state = self.core.state.lock();
            if !state.is_ready && self.core.event.wait_until(&mut state, until).timed_out() {
                drop(state);
                return self.ask(None);
            }
        }
    }

    /// The next event. If there is none the task of `context` is woken when it should ask again.
    fn ask(&mut self, context: Option<&Context<'_>>) -> Result<Option<Event>, ClientError> {
        let mut state = self.core.state.lock();
        let now = self.core.io.now();
        let State { machine, is_ready, waker, due, .. } = &mut *state;
        let machine = machine.as_mut().ok_or(ClientError::Closed)?;
        *is_ready = false;
        let event = machine.poll_event(now);
        self.is_waiting = event.is_none();
        *waker = context.filter(|_| event.is_none()).map(|context| context.waker().clone());
        let has_work = has_work(machine, *due);
        drop(state);
        if has_work {
            self.core.work.notify();
        }
        Ok(event.map(|event| Event::of(self.core, event)))
    }
}

impl Future for Next<'_> {
    type Output = Result<Event, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.ask(Some(context)) {
            Err(error) => Poll::Ready(Err(error)),
            Ok(Some(event)) => Poll::Ready(Ok(event)),
            Ok(None) => Poll::Pending,
        }
    }
}

impl Drop for Next<'_> {
    fn drop(&mut self) {
        if self.is_waiting {
            // Nobody waits if it is closed.
            let _ = self.core.with(|now, machine| machine.stop_waiting(now));
        }
    }
}
