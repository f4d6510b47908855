//! Records that wait to be taken.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use highwater_producer::{RecordMetadata, Refusal, SerializedRecord, WaitFor, WaiterId, Wake};
use highwater_types::Ticks;

use super::SendError;
use super::core::{Core, OwnedRecord, Taken, Token, WakeCell};
use super::delivery::Delivery;

/// A record that is being handed to the producer. Ends with its [`Delivery`] when it is taken: at once, unless metadata
/// of its topic or room in `buffer.memory` are missing, for which it waits up to `max.block.ms`.
///
/// Dropped before that, the record is not sent.
#[must_use = "a record that has to wait is not sent unless somebody waits for it"]
#[derive(Debug)]
pub struct Enqueue(Stage);

/// A record that is being sent: [`Enqueue`], and then its [`Delivery`].
#[must_use = "a record that has to wait is not sent unless somebody waits for it"]
#[derive(Debug)]
pub struct Send(SendStage);

#[derive(Debug)]
enum SendStage {
    Enqueue(Enqueue),
    Delivery(Delivery),
}

#[derive(Debug)]
enum Stage {
    Ended(Option<Result<Delivery, SendError>>),
    Waiting(Waiting),
}

/// A record that lacks something.
pub(super) struct Waiting {
    core: Arc<Core>,
    record: OwnedRecord,
    token: Option<Token>,
    delivery: Option<Delivery>,
    what: WaitFor,
    waiter: WaiterId,
    cell: Arc<WakeCell>,
    deadline: Ticks,
    waited_ms: u64,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("what", &self.what).finish_non_exhaustive()
    }
}

impl Enqueue {
    /// Hands a record over; it waits in this if it cannot be taken at once.
    pub(super) fn begin(core: &Arc<Core>, record: &SerializedRecord<'_>) -> Self {
        let mut state = core.state.lock();
        let (token, delivery) = state.ticket();
        let (what, token) = match core.offer(&mut state, record, None, token) {
            Taken::Yes => return Self::ended(Ok(delivery)),
            Taken::No(reason, token) => {
                // Told here; nobody looks at the delivery.
                drop(state);
                drop((token, delivery));
                return Self::ended(Err(SendError::Refused(reason)));
            }
            Taken::Wait(what, token) => (what, token),
        };
        let now = core.io.now();
        let deadline = state.machine.as_ref().map_or(now, |machine| machine.block_deadline(now));
        let Some((waiter, cell)) = core.wait(&mut state, &what, deadline) else {
            return Self::ended(Err(SendError::Refused(Refusal::Closed)));
        };
        drop(state);
        Self(Stage::Waiting(Waiting {
            core: Arc::clone(core),
            record: OwnedRecord::of(record),
            token: Some(token),
            delivery: Some(delivery),
            what,
            waiter,
            cell,
            deadline,
            waited_ms: deadline.ms_since(now),
        }))
    }

    pub(super) fn ended(result: Result<Delivery, SendError>) -> Self {
        Self(Stage::Ended(Some(result)))
    }

    /// What came of it, if it had not to wait.
    pub(super) fn known(&self) -> Option<&SendError> {
        match &self.0 {
            Stage::Ended(Some(Err(error))) => Some(error),
            _ => None,
        }
    }

    /// Blocks the thread until the record is taken, up to `max.block.ms`.
    ///
    /// # Errors
    ///
    /// [`SendError`] if it is not.
    ///
    /// # Panics
    ///
    /// If it was polled to its end before.
    pub fn wait(self) -> Result<Delivery, SendError> {
        let mut stage = self.0;
        loop {
            match stage {
                Stage::Ended(result) => return result.expect("what was polled to its end is not waited for"),
                Stage::Waiting(waiting) => {
                    let wake = waiting.cell.wait();
                    stage = waiting.go_on(wake);
                }
            }
        }
    }
}

impl Waiting {
    fn go_on(mut self, wake: Wake) -> Stage {
        let error = match wake {
            Wake::Ready => return self.try_again(),
            Wake::TimedOut => {
                SendError::TimedOut { missing: Refusal::Wait(self.what.clone()), waited_ms: self.waited_ms }
            }
            Wake::Refused(code) => SendError::Topic { topic: self.record.topic.to_string(), code },
            Wake::Closed => SendError::Refused(Refusal::Closed),
        };
        drop(self.token.take());
        Stage::Ended(Some(Err(error)))
    }

    fn try_again(mut self) -> Stage {
        let core = Arc::clone(&self.core);
        let token = self.token.take().expect("a record that waits has its token");
        let mut state = core.state.lock();
        state.waiters.remove(&self.waiter);
        match core.offer(&mut state, &self.record.view(), Some(self.waiter), token) {
            Taken::Yes => Stage::Ended(self.delivery.take().map(Ok)),
            Taken::No(reason, token) => {
                drop(state);
                drop(token);
                Stage::Ended(Some(Err(SendError::Refused(reason))))
            }
            Taken::Wait(what, token) => {
                self.token = Some(token);
                let Some((waiter, cell)) = core.wait(&mut state, &what, self.deadline) else {
                    return Stage::Ended(Some(Err(SendError::Refused(Refusal::Closed))));
                };
                drop(state);
                (self.what, self.waiter, self.cell) = (what, waiter, cell);
                Stage::Waiting(self)
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.token.is_some() {
            let mut state = self.core.state.lock();
            state.waiters.remove(&self.waiter);
            if let Some(machine) = &mut state.machine {
                machine.cancel(self.waiter);
            }
            self.core.call(&state);
        }
    }
}

impl Future for Enqueue {
    type Output = Result<Delivery, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.0 {
                Stage::Ended(result) => return Poll::Ready(result.take().expect("a future is polled to its end once")),
                Stage::Waiting(waiting) => {
                    let Poll::Ready(wake) = waiting.cell.poll(context) else { return Poll::Pending };
                    let Stage::Waiting(waiting) = std::mem::replace(&mut self.0, Stage::Ended(None)) else { continue };
                    self.0 = waiting.go_on(wake);
                }
            }
        }
    }
}

impl Send {
    pub(super) const fn new(enqueue: Enqueue) -> Self {
        Self(SendStage::Enqueue(enqueue))
    }

    /// Blocks the thread until the record is acknowledged, or will not be.
    ///
    /// # Errors
    ///
    /// [`SendError`]; after [`SendError::Produce`] it may be stored all the same.
    ///
    /// # Panics
    ///
    /// If it was polled to its end before.
    pub fn wait(self) -> Result<RecordMetadata, SendError> {
        match self.0 {
            SendStage::Enqueue(enqueue) => enqueue.wait()?.wait(),
            SendStage::Delivery(delivery) => delivery.wait(),
        }
    }
}

impl Future for Send {
    type Output = Result<RecordMetadata, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.0 {
                SendStage::Enqueue(enqueue) => match Pin::new(enqueue).poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(delivery)) => self.0 = SendStage::Delivery(delivery),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                },
                SendStage::Delivery(delivery) => return Pin::new(delivery).poll(context),
            }
        }
    }
}
