//! Sending records.

mod builder;
mod core;
mod delivery;
mod driver;
mod enqueue;
mod error;
mod wire;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use highwater_producer::{
    Encode, Interceptors, PrepareError, ProducerRecord, RecordEncoder, RecordMetadata, Refusal, SerializedRecord, Stats,
};
use highwater_types::{PartitionIndex, TimestampMs, TopicPartition};

pub use builder::ProducerBuilder;
pub use delivery::Delivery;
pub use enqueue::{Enqueue, Send};
pub use error::SendError;

use self::core::{Callback, Core, Taken, Token};
use crate::ClientError;
use crate::pending::Pending;

/// Sends records to the leaders of their partitions. Made by [`Client::producer`](crate::Client::producer).
///
/// Cheap to clone, and to be used by many threads at once. Records of one partition keep the order in which they are
/// taken.
///
/// Dropping the last clone never blocks: what has been taken is still sent in the background, for as long as the process
/// lives. [`close`](Self::close) waits for that.
#[derive(Debug)]
pub struct Producer<K, V>(Arc<Inner<K, V>>);

struct Inner<K, V> {
    core: Arc<Core>,
    interceptors: Option<Arc<Interceptors<K, V>>>,
}

impl<K, V> std::fmt::Debug for Inner<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

impl<K, V> Clone for Producer<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> Drop for Inner<K, V> {
    fn drop(&mut self) {
        let mut state = self.core.state.lock();
        let now = state.now(&self.core.io);
        if let Some(machine) = &mut state.machine {
            machine.close(now, None);
        }
        drop(state);
        self.core.work.notify();
    }
}

impl<K: Encode, V: Encode> Producer<K, V> {
    /// Sends a record: ends when it is acknowledged. It goes out whether anybody waits or not, unless it had to wait for
    /// metadata or room: see [`enqueue`](Self::enqueue).
    pub fn send(&self, record: ProducerRecord<K, V>) -> Send {
        Send::new(self.enqueue(record))
    }

    /// Hands a record over: ends when it is taken, in most cases at once. What becomes of it then, its [`Delivery`] tells.
    pub fn enqueue(&self, mut record: ProducerRecord<K, V>) -> Enqueue {
        self.intercept(&mut record);
        let enqueue = encoded(&mut record, |encoded| Enqueue::begin(&self.0.core, encoded));
        let enqueue = enqueue.unwrap_or_else(|error| Enqueue::ended(Err(SendError::Prepare(Arc::new(error)))));
        if let Some(error) = enqueue.known() {
            self.refused(&record, error);
        }
        enqueue
    }

    /// Hands a record over if it can be taken at once. Never waits.
    ///
    /// # Errors
    ///
    /// [`TrySendError::Full`] gives the record back, as interceptors have changed it, when metadata of its topic or room
    /// are missing; the metadata are asked for. Any other error is final.
    pub fn try_enqueue(&self, mut record: ProducerRecord<K, V>) -> Result<Delivery, TrySendError<K, V>> {
        self.intercept(&mut record);
        let core = &self.0.core;
        let taken = encoded(&mut record, |encoded| {
            let mut state = core.state.lock();
            let (token, delivery) = state.ticket();
            let taken = core.offer(&mut state, encoded, None, token);
            if let Taken::Wait(what, _) = &taken {
                // Asks for metadata, and waits for nothing.
                if let Some((waiter, _)) = core.wait(&mut state, what, core.io.now()) {
                    state.waiters.remove(&waiter);
                    if let Some(machine) = &mut state.machine {
                        machine.cancel(waiter);
                    }
                }
            }
            drop(state);
            (taken, delivery)
        });
        let error = match taken {
            Ok((Taken::Yes, delivery)) => return Ok(delivery),
            Ok((Taken::Wait(..), _)) => return Err(TrySendError::Full(record)),
            Ok((Taken::No(reason, _), _)) => SendError::Refused(reason),
            Err(error) => SendError::Prepare(Arc::new(error)),
        };
        self.refused(&record, &error);
        Err(TrySendError::Failed(error))
    }

    /// Sends a record and has `callback` called with its end, on the client's own thread: it should be quick, and must not
    /// block. Blocks up to `max.block.ms` while metadata or room are missing, as Kafka's producer does; the callback is
    /// also told if that is not enough.
    pub fn send_with(
        &self,
        mut record: ProducerRecord<K, V>,
        callback: impl FnOnce(Result<RecordMetadata, SendError>) + std::marker::Send + 'static,
    ) {
        self.intercept(&mut record);
        let callback = Callback::new(Box::new(callback));
        let refused = match encoded(&mut record, |encoded| self.0.core.block_on(encoded, Token::Callback(callback))) {
            Ok(Ok(())) => return,
            Ok(Err((error, Token::Callback(callback)))) => {
                callback.call(Err(error.clone()));
                error
            }
            Ok(Err((error, _))) => error,
            // The callback went with the closure, and was told.
            Err(error) => SendError::Prepare(Arc::new(error)),
        };
        self.refused(&record, &refused);
    }

    fn intercept(&self, record: &mut ProducerRecord<K, V>) {
        if let Some(interceptors) = &self.0.interceptors {
            interceptors.on_send(record);
        }
    }

    fn refused(&self, record: &ProducerRecord<K, V>, error: &SendError) {
        if let Some(interceptors) = &self.0.interceptors {
            let partition = record.partition.unwrap_or(PartitionIndex::ZERO);
            let at = TopicPartition { topic: record.topic.clone(), partition };
            interceptors.on_acknowledgement(&at, &Err(error.to_produce_error()));
        }
    }
}

impl<K, V> Producer<K, V> {
    /// Sends bytes as they are, without interceptors, and without telling anybody what becomes of them but
    /// [`stats`](Self::stats). Blocks up to `max.block.ms` while metadata or room are missing. Allocates nothing, in the
    /// long run.
    ///
    /// # Errors
    ///
    /// [`SendError`] if it was not taken.
    pub fn send_and_forget(&self, record: &SerializedRecord<'_>) -> Result<(), SendError> {
        self.0.core.block_on(record, Token::Nobody).map_err(|(error, _)| error)
    }

    /// Sends bytes as they are, without interceptors.
    pub fn send_bytes(&self, record: &SerializedRecord<'_>) -> Send {
        Send::new(Enqueue::begin(&self.0.core, record))
    }

    /// Sends bytes as they are, without interceptors; ends when they are taken.
    pub fn enqueue_bytes(&self, record: &SerializedRecord<'_>) -> Enqueue {
        Enqueue::begin(&self.0.core, record)
    }

    /// Sends everything that was taken without lingering. Ends when all of it has ended, well or not.
    pub fn flush(&self) -> Pending<()> {
        let (completer, pending) = Pending::new();
        let mut state = self.0.core.state.lock();
        let now = state.now(&self.0.core.io);
        if let Some(machine) = &mut state.machine {
            let id = machine.flush(now);
            state.flushes.insert(id, completer);
        }
        drop(state);
        self.0.core.work.notify();
        pending
    }

    /// Takes no more records, in all clones, and sends what there is; gives up after `timeout` what is left then, and
    /// tells so whoever has sent it. Ends when that is done.
    pub fn close(&self, timeout: Duration) -> Pending<()> {
        let (completer, pending) = Pending::new();
        let mut state = self.0.core.state.lock();
        if state.is_closed {
            return Pending::ready(Ok(()));
        }
        let now = state.now(&self.0.core.io);
        let deadline = now.plus_ms(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        if let Some(machine) = &mut state.machine {
            machine.close(now, Some(deadline));
        }
        state.closing.push(completer);
        drop(state);
        self.0.core.work.notify();
        pending
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let state = self.0.core.state.lock();
        state.machine.as_ref().map(highwater_producer::Producer::stats).unwrap_or_default()
    }
}

impl Core {
    /// Hands a record over, and waits while it cannot be taken. The token comes back if it is not.
    fn block_on(self: &Arc<Self>, record: &SerializedRecord<'_>, token: Token) -> Result<(), (SendError, Token)> {
        let mut token = token;
        let mut waited: Option<(highwater_producer::WaiterId, highwater_types::Ticks, u64)> = None;
        loop {
            let mut state = self.state.lock();
            let after = waited.map(|(waiter, ..)| waiter);
            let what = match self.offer(&mut state, record, after, token) {
                Taken::Yes => return Ok(()),
                Taken::No(reason, back) => return Err((SendError::Refused(reason), back)),
                Taken::Wait(what, back) => {
                    token = back;
                    what
                }
            };
            let now = self.io.now();
            let (deadline, waited_ms) = match waited {
                Some((_, deadline, waited_ms)) => (deadline, waited_ms),
                None => {
                    let deadline = state.machine.as_ref().map_or(now, |machine| machine.block_deadline(now));
                    (deadline, deadline.ms_since(now))
                }
            };
            let Some((waiter, cell)) = self.wait(&mut state, &what, deadline) else {
                return Err((SendError::Refused(Refusal::Closed), token));
            };
            drop(state);
            waited = Some((waiter, deadline, waited_ms));
            let error = match cell.wait() {
                highwater_producer::Wake::Ready => continue,
                highwater_producer::Wake::TimedOut => SendError::TimedOut { missing: Refusal::Wait(what), waited_ms },
                highwater_producer::Wake::Refused(code) => SendError::Topic { topic: record.topic.to_string(), code },
                highwater_producer::Wake::Closed => SendError::Refused(Refusal::Closed),
            };
            return Err((error, token));
        }
    }
}

/// Why a record was not taken at once.
#[derive(Debug, thiserror::Error)]
pub enum TrySendError<K, V> {
    /// Metadata of its topic, or room in `buffer.memory`, are missing. The record comes back.
    #[error("the record cannot be taken at once")]
    Full(ProducerRecord<K, V>),
    /// It will not be taken later either.
    #[error(transparent)]
    Failed(SendError),
}

/// Encodes a record in buffers that the thread keeps, and lends it to `use_it`.
fn encoded<K: Encode, V: Encode, R>(
    record: &mut ProducerRecord<K, V>,
    use_it: impl FnOnce(&SerializedRecord<'_>) -> R,
) -> Result<R, PrepareError> {
    thread_local! {
        static ENCODER: RefCell<RecordEncoder> = RefCell::new(RecordEncoder::new());
    }
    ENCODER.with(|encoder| match encoder.try_borrow_mut() {
        Ok(mut encoder) => Ok(use_it(&encoder.encode(record, now())?)),
        // An encoder or a callback that sends records itself.
        Err(_) => Ok(use_it(&RecordEncoder::new().encode(record, now())?)),
    })
}

pub(crate) fn now() -> TimestampMs {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampMs(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}

impl From<SendError> for ClientError {
    fn from(error: SendError) -> Self {
        match error.code() {
            Some(code) => Self::Broker { code, message: Some(error.to_string().into()) },
            None => Self::Invalid(error.to_string()),
        }
    }
}
