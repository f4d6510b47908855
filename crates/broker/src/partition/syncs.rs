//! Syncing logs on threads of their own.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};
use highwater_log::{FlushTask, LogError};
use parking_lot::Mutex;

use super::Partition;
use crate::net::Wakers;

/// A few threads that do nothing but sync logs.
///
/// A partition hands out one flush at a time. When that is complete, whoever waited for it is woken, and what has been
/// appended meanwhile is the next flush, behind those of the other partitions: so all appends of a partition that come
/// during a sync share one, and the syncs of several partitions run side by side.
///
/// The queue holds one flush for each partition at most.
pub(crate) struct SyncThreads {
    queue: Sender<Order>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

enum Order {
    Sync(Arc<Partition>, FlushTask),
    /// Ends the thread that takes it.
    Stop,
}

impl SyncThreads {
    /// Starts `count` threads.
    ///
    /// # Errors
    ///
    /// If the operating system refuses a thread.
    pub(crate) fn start(count: usize, wakers: &Arc<Wakers>) -> io::Result<Self> {
        let (queue, orders) = unbounded();
        let threads = (0..count)
            .map(|index| {
                let thread = SyncThread { queue: queue.clone(), orders: orders.clone(), wakers: Arc::clone(wakers) };
                std::thread::Builder::new().name(format!("sync-{index}")).spawn(move || thread.run())
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { queue, threads: Mutex::new(threads) })
    }

    /// Runs the flush that `partition` has handed out.
    pub(crate) fn submit(&self, partition: &Arc<Partition>, task: FlushTask) {
        // After the end of the threads nobody waits any more, and the logs are synced when they are closed.
        let _ = self.queue.send(Order::Sync(Arc::clone(partition), task));
    }

    /// Ends the threads, after what they are at. Nothing is synced afterwards.
    pub(crate) fn stop(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        for _ in &threads {
            let _ = self.queue.send(Order::Stop);
        }
        for thread in threads {
            // A thread catches the panics of its work, so it ends by order only.
            let _ = thread.join();
        }
    }
}

impl Drop for SyncThreads {
    fn drop(&mut self) {
        self.stop();
    }
}

struct SyncThread {
    queue: Sender<Order>,
    orders: Receiver<Order>,
    wakers: Arc<Wakers>,
}

impl SyncThread {
    fn run(self) {
        for order in &self.orders {
            let Order::Sync(partition, task) = order else { return };
            if catch_unwind(AssertUnwindSafe(|| self.sync(&partition, task))).is_err() {
                tracing::error!(partition = %partition.name(), "a sync panicked");
                partition.directory().fail(&LogError::Poisoned);
            }
        }
    }

    fn sync(&self, partition: &Arc<Partition>, task: FlushTask) {
        match task.run() {
            Ok(done) => {
                // If the partition is gone or offline, whoever waits for it finds that out by itself.
                let next = partition.lock().ok().and_then(|mut locked| locked.complete_flush(done));
                partition.wake(&self.wakers);
                if let Some(task) = next {
                    let _ = self.queue.send(Order::Sync(Arc::clone(partition), task));
                }
            }
            // Housekeeping wakes those who wait for the directory's partitions.
            Err(error) => partition.directory().fail(&error),
        }
    }
}
