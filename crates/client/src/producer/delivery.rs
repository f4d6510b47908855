//! How senders hear what has become of their records.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use highwater_producer::{ProduceError, RecordMetadata};
use parking_lot::{Condvar, Mutex};

use super::SendError;

/// A record that was taken, on its way to the brokers.
///
/// A [`Future`] that needs no particular runtime; a thread without one calls [`wait`](Self::wait). The record is sent
/// whether anybody waits or not, and the end always comes, within `delivery.timeout.ms`.
#[must_use = "whether a record was stored is known only here"]
#[derive(Debug)]
pub struct Delivery {
    chunk: Arc<Chunk>,
    index: usize,
}

/// The side that tells. Dropped without a word, it tells that the producer is closed.
#[derive(Debug)]
pub(super) struct Ticket {
    chunk: Arc<Chunk>,
    index: usize,
    is_told: bool,
}

/// Cells for some records in a row: one allocation for all of them.
#[derive(Debug)]
struct Chunk {
    cells: [Mutex<Cell>; CELLS],
    changed: Condvar,
}

#[derive(Debug, Default)]
enum Cell {
    /// Nothing is known. Whether a thread waits, and which task.
    #[default]
    Open,
    Awaited {
        waker: Option<Waker>,
    },
    Told(Result<RecordMetadata, ProduceError>),
    Taken,
}

impl Delivery {
    /// Blocks the thread until the record is acknowledged, or will not be.
    ///
    /// # Errors
    ///
    /// [`SendError::Produce`] if it was not acknowledged. It may be stored all the same.
    ///
    /// # Panics
    ///
    /// If it was polled to its end before.
    pub fn wait(self) -> Result<RecordMetadata, SendError> {
        let mut cell = self.chunk.cells[self.index].lock();
        loop {
            match &*cell {
                Cell::Open => *cell = Cell::Awaited { waker: None },
                Cell::Awaited { .. } => self.chunk.changed.wait(&mut cell),
                Cell::Told(_) | Cell::Taken => return take(&mut cell),
            }
        }
    }

    /// Whether the end is known.
    #[must_use]
    pub fn is_done(&self) -> bool {
        !matches!(&*self.chunk.cells[self.index].lock(), Cell::Open | Cell::Awaited { .. })
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, SendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut cell = self.chunk.cells[self.index].lock();
        match &mut *cell {
            Cell::Told(_) | Cell::Taken => Poll::Ready(take(&mut cell)),
            Cell::Open | Cell::Awaited { .. } => {
                *cell = Cell::Awaited { waker: Some(context.waker().clone()) };
                Poll::Pending
            }
        }
    }
}

fn take(cell: &mut Cell) -> Result<RecordMetadata, SendError> {
    match std::mem::replace(cell, Cell::Taken) {
        Cell::Told(result) => result.map_err(SendError::Produce),
        Cell::Open | Cell::Awaited { .. } | Cell::Taken => panic!("a delivery is taken once, when it is there"),
    }
}

impl Ticket {
    pub(super) fn tell(mut self, result: Result<RecordMetadata, ProduceError>) {
        self.is_told = true;
        self.chunk.tell(self.index, result);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_told {
            self.chunk.tell(self.index, Err(ProduceError::Closed));
        }
    }
}

impl Chunk {
    fn tell(&self, index: usize, result: Result<RecordMetadata, ProduceError>) {
        let former = std::mem::replace(&mut *self.cells[index].lock(), Cell::Told(result));
        match former {
            Cell::Awaited { waker: Some(waker) } => waker.wake(),
            Cell::Awaited { waker: None } => {
                self.changed.notify_all();
            }
            Cell::Open | Cell::Told(_) | Cell::Taken => {}
        }
    }
}

/// Makes cells, and uses those again that nobody looks at any more.
#[derive(Debug, Default)]
pub(super) struct Cells {
    current: Option<(Arc<Chunk>, usize)>,
    used: VecDeque<Arc<Chunk>>,
}

impl Cells {
    pub(super) fn next(&mut self) -> (Ticket, Delivery) {
        let (chunk, index) = match self.current.take() {
            Some((chunk, index)) => (chunk, index),
            None => (self.fresh(), 0),
        };
        if index + 1 < CELLS {
            self.current = Some((Arc::clone(&chunk), index + 1));
        } else {
            self.used.push_back(Arc::clone(&chunk));
            if CHUNKS_KEPT_MAX < self.used.len() {
                self.used.pop_front();
            }
        }
        let ticket = Ticket { chunk: Arc::clone(&chunk), index, is_told: false };
        (ticket, Delivery { chunk, index })
    }

    fn fresh(&mut self) -> Arc<Chunk> {
        if let Some(mut oldest) = self.used.pop_front() {
            if let Some(chunk) = Arc::get_mut(&mut oldest) {
                chunk.cells.iter_mut().for_each(|cell| *cell.get_mut() = Cell::Open);
                return oldest;
            }
            self.used.push_back(oldest);
        }
        Arc::new(Chunk { cells: std::array::from_fn(|_| Mutex::default()), changed: Condvar::new() })
    }
}

/// Cells in a chunk.
const CELLS: usize = 64;
/// Chunks that are kept to be used again.
const CHUNKS_KEPT_MAX: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_types::{PartitionIndex, TimestampMs};

    fn metadata() -> RecordMetadata {
        RecordMetadata {
            partition: PartitionIndex::ZERO,
            offset: None,
            timestamp: TimestampMs(1),
            key_bytes: None,
            value_bytes: None,
        }
    }

    #[test]
    fn a_thread_waits_for_the_end() {
        let mut cells = Cells::default();
        let (ticket, delivery) = cells.next();
        assert!(!delivery.is_done());
        let other = std::thread::spawn(move || ticket.tell(Ok(metadata())));
        assert_eq!(delivery.wait().unwrap(), metadata());
        other.join().unwrap();
    }

    #[test]
    fn a_ticket_that_is_lost_is_an_error() {
        let (ticket, delivery) = Cells::default().next();
        drop(ticket);
        assert!(delivery.is_done());
        assert!(matches!(delivery.wait(), Err(SendError::Produce(ProduceError::Closed))));
    }

    #[test]
    fn a_task_is_woken() {
        let (ticket, mut delivery) = Cells::default().next();
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut delivery).poll(&mut context).is_pending());
        ticket.tell(Ok(metadata()));
        assert!(matches!(Pin::new(&mut delivery).poll(&mut context), Poll::Ready(Ok(_))));
    }

    #[test]
    fn chunks_are_used_again_once_nobody_looks() {
        let mut cells = Cells::default();
        let kept: Vec<(Ticket, Delivery)> = (0..CELLS).map(|_| cells.next()).collect();
        let first = Arc::as_ptr(&kept[0].1.chunk);
        let (_ticket, other) = cells.next();
        assert_ne!(Arc::as_ptr(&other.chunk), first, "somebody still looks");
        drop(kept);
        let all: Vec<(Ticket, Delivery)> = (0..2 * CELLS).map(|_| cells.next()).collect();
        assert!(all.iter().any(|(_, delivery)| Arc::as_ptr(&delivery.chunk) == first));
        assert!(all.iter().all(|(_, delivery)| !delivery.is_done()));
    }
}
