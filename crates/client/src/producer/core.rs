//! What the application's threads and the I/O thread share of a producer.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_producer as machine;
use highwater_producer::{
    FlushId, Header, ProduceError, RecordMetadata, Refusal, SendError as Refused, SerializedRecord, WaitFor, WaiterId,
    Wake,
};
use highwater_types::{PartitionIndex, Ticks, TimestampMs, TopicName};
use parking_lot::{Condvar, Mutex};

use super::SendError;
use super::delivery::{Cells, Delivery, Ticket};
use crate::io::{IoHandle, Notify};
use crate::pending::Completer;

/// Whom the end of a record is told to.
pub(super) enum Token {
    Ticket(Ticket),
    Callback(Callback),
    Nobody,
}

/// Called once, also if it is dropped.
pub(super) struct Callback(Option<Box<CallbackFn>>);

pub(super) type CallbackFn = dyn FnOnce(Result<RecordMetadata, SendError>) + Send;

impl Callback {
    pub(super) fn new(call: Box<CallbackFn>) -> Self {
        Self(Some(call))
    }

    pub(super) fn call(mut self, result: Result<RecordMetadata, SendError>) {
        if let Some(call) = self.0.take() {
            call(result);
        }
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call(Err(SendError::Produce(ProduceError::Closed)));
        }
    }
}

impl Token {
    pub(super) fn tell(self, result: Result<RecordMetadata, ProduceError>) {
        match self {
            Self::Ticket(ticket) => ticket.tell(result),
            Self::Callback(callback) => callback.call(result.map_err(SendError::Produce)),
            Self::Nobody => {}
        }
    }
}

/// The machine, and whoever waits for it.
pub(super) struct Core {
    pub(super) io: IoHandle,
    pub(super) state: Mutex<State>,
    /// The I/O thread has something to do.
    pub(super) work: Arc<Notify>,
}

pub(super) struct State {
    /// `None` when the I/O thread has ended.
    pub(super) machine: Option<machine::Producer<Token>>,
    pub(super) cells: Cells,
    pub(super) waiters: BTreeMap<WaiterId, Arc<WakeCell>>,
    pub(super) flushes: BTreeMap<FlushId, Completer<()>>,
    pub(super) closing: Vec<Completer<()>>,
    pub(super) is_closed: bool,
    /// The latest time that the machine was told.
    pub(super) seen: Ticks,
    /// When the I/O thread looks again by itself.
    pub(super) due: Option<Ticks>,
}

/// A record that cannot be taken yet.
#[derive(Debug)]
pub(super) struct OwnedRecord {
    pub(super) topic: TopicName,
    partition: Option<PartitionIndex>,
    timestamp: TimestampMs,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
}

impl OwnedRecord {
    pub(super) fn of(record: &SerializedRecord<'_>) -> Self {
        Self {
            topic: record.topic.clone(),
            partition: record.partition,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.to_vec(),
        }
    }

    pub(super) fn view(&self) -> SerializedRecord<'_> {
        SerializedRecord {
            topic: &self.topic,
            partition: self.partition,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &self.headers,
        }
    }
}

/// What came of handing a record to the machine.
pub(super) enum Taken {
    Yes,
    /// It has to wait for this; the token comes back.
    Wait(WaitFor, Token),
    No(Refusal, Token),
}

impl Core {
    /// Hands a record to the machine, and has the I/O thread look if there is something for it to do.
    pub(super) fn offer(
        &self,
        state: &mut State,
        record: &SerializedRecord<'_>,
        after: Option<WaiterId>,
        token: Token,
    ) -> Taken {
        // No record has to be on time to the millisecond, but time must not go back.
        let now = self.io.now_coarse().max(state.seen);
        let Some(machine) = &mut state.machine else { return Taken::No(Refusal::Closed, token) };
        let sent = match after {
            None => machine.send(now, record, token),
            Some(waiter) => machine.send_after(now, waiter, record, token),
        };
        self.call(state);
        match sent {
            Ok(()) => Taken::Yes,
            Err(Refused { token, reason: Refusal::Wait(what) }) => Taken::Wait(what, token),
            Err(Refused { token, reason }) => Taken::No(reason, token),
        }
    }

    /// Waits for what a record is missing.
    pub(super) fn wait(&self, state: &mut State, what: &WaitFor, deadline: Ticks) -> Option<(WaiterId, Arc<WakeCell>)> {
        let now = state.now(&self.io);
        let waiter = state.machine.as_mut()?.wait(now, what, deadline);
        let cell = Arc::new(WakeCell::default());
        state.waiters.insert(waiter, Arc::clone(&cell));
        self.call(state);
        Some((waiter, cell))
    }

    /// Has the I/O thread look if it would not by itself.
    pub(super) fn call(&self, state: &State) {
        let Some(machine) = &state.machine else { return };
        let is_earlier = match (machine.poll_timeout(), state.due) {
            (Some(now), Some(planned)) => now < planned,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if machine.has_output() || is_earlier {
            self.work.notify();
        }
    }

    /// Tells the machine what has happened.
    pub(super) fn input(&self, input: machine::Input) {
        let mut state = self.state.lock();
        let now = state.now(&self.io);
        if let Some(machine) = &mut state.machine {
            machine.handle(now, input);
        }
        drop(state);
        self.work.notify();
    }

    /// Nothing is done any more: whoever waits is told so.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let machine = state.machine.take();
        let waiters = std::mem::take(&mut state.waiters);
        let told = (std::mem::take(&mut state.flushes), std::mem::take(&mut state.closing));
        drop(state);
        waiters.into_values().for_each(|cell| cell.wake(Wake::Closed));
        // Their ends are told by dropping them.
        drop((machine, told));
    }
}

impl State {
    pub(super) fn new(machine: machine::Producer<Token>) -> Self {
        Self {
            machine: Some(machine),
            cells: Cells::default(),
            waiters: BTreeMap::new(),
            flushes: BTreeMap::new(),
            closing: Vec::new(),
            is_closed: false,
            seen: Ticks(0),
            due: None,
        }
    }

    /// The time, for the machine.
    pub(super) fn now(&mut self, io: &IoHandle) -> Ticks {
        self.seen = self.seen.max(io.now());
        self.seen
    }

    pub(super) fn ticket(&mut self) -> (Token, Delivery) {
        let (ticket, delivery) = self.cells.next();
        (Token::Ticket(ticket), delivery)
    }
}

/// Where a sender that waits is woken.
#[derive(Debug, Default)]
pub(super) struct WakeCell {
    state: Mutex<(Option<Wake>, Option<std::task::Waker>)>,
    changed: Condvar,
}

impl WakeCell {
    pub(super) fn wake(&self, wake: Wake) {
        let mut state = self.state.lock();
        state.0 = Some(wake);
        let waker = state.1.take();
        drop(state);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn wait(&self) -> Wake {
        let mut state = self.state.lock();
        loop {
            if let Some(wake) = state.0 {
                return wake;
            }
            self.changed.wait(&mut state);
        }
    }

    pub(super) fn poll(&self, context: &std::task::Context<'_>) -> std::task::Poll<Wake> {
        let mut state = self.state.lock();
        match state.0 {
            Some(wake) => std::task::Poll::Ready(wake),
            None => {
                state.1 = Some(context.waker().clone());
                std::task::Poll::Pending
            }
        }
    }
}
