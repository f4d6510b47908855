//! What is yet to come, for threads that wait and for tasks that are polled.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::ClientError;

/// The answer to something that was asked, once it is there.
///
/// A [`Future`] that needs no particular runtime: the client's own thread completes it. A thread without a runtime calls
/// [`wait`](Self::wait). What was asked goes on whether anybody waits or not.
///
/// It always ends: with an answer, or with an error after `default.api.timeout.ms` at the latest.
#[must_use = "an answer that nobody looks at may be an error"]
#[derive(Debug)]
pub struct Pending<T>(Arc<Shared<T>>);

/// The side that gives the answer. Dropped without one, it answers [`ClientError::Closed`].
#[derive(Debug)]
pub(crate) struct Completer<T>(Option<Arc<Shared<T>>>);

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    is_there: Condvar,
}

#[derive(Debug)]
enum State<T> {
    Waiting(Option<Waker>),
    There(Result<T, ClientError>),
    Taken,
}

impl<T> Pending<T> {
    pub(crate) fn new() -> (Completer<T>, Self) {
        let shared = Arc::new(Shared { state: Mutex::new(State::Waiting(None)), is_there: Condvar::new() });
        (Completer(Some(Arc::clone(&shared))), Self(shared))
    }

    /// One that is there already.
    pub(crate) fn ready(result: Result<T, ClientError>) -> Self {
        Self(Arc::new(Shared { state: Mutex::new(State::There(result)), is_there: Condvar::new() }))
    }

    /// Blocks the thread until the answer is there.
    ///
    /// # Errors
    ///
    /// Those of whatever was asked.
    ///
    /// # Panics
    ///
    /// If it was polled to its end before.
    pub fn wait(self) -> Result<T, ClientError> {
        let mut state = self.0.state.lock();
        while matches!(*state, State::Waiting(_)) {
            self.0.is_there.wait(&mut state);
        }
        take(&mut state)
    }

    /// Blocks the thread for `timeout` at most; gives itself back if the answer is not there by then.
    ///
    /// # Errors
    ///
    /// Itself, to wait on.
    ///
    /// # Panics
    ///
    /// If it was polled to its end before.
    pub fn wait_for(self, timeout: Duration) -> Result<Result<T, ClientError>, Self> {
        let until = Instant::now() + timeout;
        let mut state = self.0.state.lock();
        while matches!(*state, State::Waiting(_)) {
            if self.0.is_there.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        if matches!(*state, State::Waiting(_)) {
            drop(state);
            return Err(self);
        }
        let result = take(&mut state);
        drop(state);
        Ok(result)
    }

    /// Whether the answer is there.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !matches!(*self.0.state.lock(), State::Waiting(_))
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, ClientError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.state.lock();
        match &mut *state {
            State::Waiting(waker) => {
                if waker.as_ref().is_none_or(|known| !known.will_wake(context.waker())) {
                    *waker = Some(context.waker().clone());
                }
                Poll::Pending
            }
            _ => Poll::Ready(take(&mut state)),
        }
    }
}

fn take<T>(state: &mut State<T>) -> Result<T, ClientError> {
    match std::mem::replace(state, State::Taken) {
        State::There(result) => result,
        State::Waiting(_) | State::Taken => panic!("an answer is taken once, when it is there"),
    }
}

impl<T> Completer<T> {
    pub(crate) fn complete(mut self, result: Result<T, ClientError>) {
        if let Some(shared) = self.0.take() {
            shared.complete(result);
        }
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.complete(Err(ClientError::Closed));
        }
    }
}

impl<T> Shared<T> {
    fn complete(&self, result: Result<T, ClientError>) {
        let former = std::mem::replace(&mut *self.state.lock(), State::There(result));
        self.is_there.notify_all();
        if let State::Waiting(Some(waker)) = former {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_thread_waits_for_another() {
        let (completer, pending) = Pending::new();
        assert!(!pending.is_ready());
        let other = thread::spawn(move || completer.complete(Ok(7)));
        assert_eq!(pending.wait().unwrap(), 7);
        other.join().unwrap();
    }

    #[test]
    fn whoever_gives_up_can_go_on() {
        let (completer, pending) = Pending::new();
        let pending = pending.wait_for(Duration::ZERO).unwrap_err();
        completer.complete(Ok("late"));
        assert_eq!(pending.wait_for(Duration::ZERO).unwrap().unwrap(), "late");
    }

    #[test]
    fn an_answer_that_never_comes_is_an_error() {
        let (completer, pending) = Pending::<()>::new();
        drop(completer);
        assert!(matches!(pending.wait(), Err(ClientError::Closed)));
    }

    #[test]
    fn a_task_is_woken() {
        struct Flag(std::sync::atomic::AtomicBool);
        impl std::task::Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let flag = Arc::new(Flag(false.into()));
        let waker = Waker::from(Arc::clone(&flag));
        let mut context = Context::from_waker(&waker);
        let (completer, mut pending) = Pending::new();
        assert!(Pin::new(&mut pending).poll(&mut context).is_pending());
        completer.complete(Ok(1));
        assert!(flag.0.load(std::sync::atomic::Ordering::SeqCst));
        assert!(matches!(Pin::new(&mut pending).poll(&mut context), Poll::Ready(Ok(1))));
    }
}
