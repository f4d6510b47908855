//! Compaction in the background.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use highwater_log::{Blame, CleanStep, CleanTask, Cleanable, Cleaned, Cleaner, CleanerConfig, LogError, dirtiest};
use parking_lot::{Condvar, Mutex};

use super::housekeeping::Deleting;
use super::{Partition, PartitionError};
use crate::net::Now;
use crate::view::ViewCell;

/// How much the cleaner may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CleanerSettings {
    /// `log.cleaner.threads`; 0 for no compaction.
    pub(crate) threads: usize,
    /// `log.cleaner.backoff.ms`: how long a thread waits that has found nothing to clean.
    pub(crate) backoff: Duration,
    /// `log.cleaner.io.max.bytes.per.second`, read and written, of all threads together.
    pub(crate) bytes_per_second_max: f64,
    /// Memory of one thread.
    pub(crate) memory: CleanerConfig,
}

/// Threads that compact the logs of the broker, each time the dirtiest first.
///
/// A partition's lock is taken to measure it, to begin a pass and to put each group of cleaned segments in place. Stops
/// when dropped, in the middle of a pass: what has been put in place stays.
pub(crate) struct CleanerPool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    view: Arc<ViewCell>,
    settings: CleanerSettings,
    deleting: Deleting,
    throttle: Throttle,
    state: Mutex<State>,
    /// Wakes the threads to stop.
    wake: Condvar,
    stopping: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Partitions that a thread is cleaning.
    busy: Vec<Weak<Partition>>,
    /// Partitions whose data cannot be cleaned, until the broker starts again.
    set_aside: Vec<Weak<Partition>>,
}

impl CleanerPool {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// If the system refuses a thread; those that were started stop again.
    pub(crate) fn start(
        view: Arc<ViewCell>,
        settings: CleanerSettings,
        deleting: Deleting,
    ) -> Result<Self, std::io::Error> {
        let shared = Arc::new(Shared {
            view,
            settings,
            deleting,
            throttle: Throttle::new(settings.bytes_per_second_max),
            state: Mutex::default(),
            wake: Condvar::new(),
            stopping: AtomicBool::new(false),
        });
        let mut pool = Self { shared, threads: Vec::new() };
        for index in 0..settings.threads {
            let shared = Arc::clone(&pool.shared);
            let thread = std::thread::Builder::new().name(format!("cleaner-{index}"));
            pool.threads.push(thread.spawn(move || shared.run())?);
        }
        Ok(pool)
    }
}

impl Drop for CleanerPool {
    fn drop(&mut self) {
        {
            let _state = self.shared.state.lock();
            self.shared.stopping.store(true, Ordering::Relaxed);
        }
        self.shared.wake.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a cleaner thread had panicked");
            }
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut cleaner = self.cleaner();
        while !self.is_stopping() {
            if !self.clean_dirtiest(&mut cleaner) {
                self.wait(self.settings.backoff);
            }
        }
    }

    fn cleaner(&self) -> Cleaner {
        Cleaner::new(self.settings.memory).unwrap_or_else(|error| {
            tracing::error!("the cleaner's settings are not usable, the defaults serve: {error}");
            Cleaner::default()
        })
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Waits, or until the broker stops.
    fn wait(&self, time: Duration) {
        let mut state = self.state.lock();
        if !self.is_stopping() {
            self.wake.wait_for(&mut state, time);
        }
    }

    /// Runs one pass. False if none was due.
    fn clean_dirtiest(&self, cleaner: &mut Cleaner) -> bool {
        let Some((partition, cleanable)) = self.claim() else { return false };
        let pass = catch_unwind(AssertUnwindSafe(|| self.clean(&partition, &cleanable, cleaner)));
        let result = pass.unwrap_or_else(|_| {
            // Nobody knows what has become of the log's segments.
            tracing::error!(partition = %partition.name(), "a pass of compaction panicked");
            partition.directory().fail(&LogError::Poisoned);
            *cleaner = self.cleaner();
            Err(PartitionError::Offline)
        });
        let mut state = self.state.lock();
        state.busy.retain(|busy| !is(busy, &partition));
        match result {
            Ok(cleaned) => report(&partition, &cleaned),
            // Said by the directory, or the partition is no more.
            Err(PartitionError::Offline | PartitionError::Gone) => {}
            Err(PartitionError::Log(error)) if error.blame() == Blame::Host => {}
            Err(error) => {
                tracing::error!(partition = %partition.name(), "not compacted until the broker is restarted: {error}");
                state.set_aside.push(Arc::downgrade(&partition));
            }
        }
        true
    }

    /// The dirtiest partition that no other thread has, now this one's.
    fn claim(&self) -> Option<(Arc<Partition>, Cleanable)> {
        let now = Now::read().wall;
        let view = self.view.load();
        // Held all the while, so that no two threads choose the same.
        let mut state = self.state.lock();
        state.set_aside.retain(|partition| partition.strong_count() > 0);
        let is_free =
            |partition: &&Arc<Partition>| !state.busy.iter().chain(&state.set_aside).any(|other| is(other, partition));
        let measure = |partition: &Arc<Partition>| {
            let mut locked = partition.lock().ok()?;
            if !locked.log().config().cleanup.compact {
                return None;
            }
            Some((Arc::clone(partition), locked.with_log(|log| log.cleanable(now))))
        };
        let mut measured = Vec::new();
        let mut damaged = Vec::new();
        for (partition, cleanable) in view.topics.partitions().filter(is_free).filter_map(measure) {
            match cleanable {
                Ok(cleanable) => measured.push((partition, cleanable)),
                Err(PartitionError::Log(error)) if error.blame() == Blame::Data => damaged.push((partition, error)),
                Err(_) => {}
            }
        }
        for (partition, error) in damaged {
            tracing::error!(partition = %partition.name(), "not compacted until the broker is restarted: {error}");
            state.set_aside.push(Arc::downgrade(&partition));
        }
        let (partition, cleanable) = dirtiest(measured)?;
        state.busy.push(Arc::downgrade(&partition));
        Some((partition, cleanable))
    }

    /// One pass over one log.
    fn clean(
        &self,
        partition: &Arc<Partition>,
        cleanable: &Cleanable,
        cleaner: &mut Cleaner,
    ) -> Result<Option<Cleaned>, PartitionError> {
        let now = Now::read().wall;
        let task = partition.lock()?.with_log(|log| log.clean_task(cleanable, now))?;
        let Some(mut task) = task else { return Ok(None) };
        loop {
            match self.run_step(partition, &mut task, cleaner)? {
                CleanStep::GroupReady => {}
                CleanStep::Finished => break,
                CleanStep::Stopped => return Ok(None),
            }
            let now = Now::read().wall;
            if partition.lock()?.with_log(|log| log.complete_clean(&mut task, now))? {
                self.deleting.lock().push(Arc::clone(partition));
            }
        }
        partition.lock()?.with_log(|log| Ok(log.finish_clean(task))).map(Some)
    }

    /// Reads and writes without the partition's lock, as fast as the throttle allows.
    fn run_step(
        &self,
        partition: &Arc<Partition>,
        task: &mut CleanTask,
        cleaner: &mut Cleaner,
    ) -> Result<CleanStep, PartitionError> {
        let step = task.run(cleaner, &mut |bytes| {
            let pause = self.throttle.spend(bytes, Instant::now());
            if !pause.is_zero() {
                self.wait(pause);
            }
            if self.is_stopping() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        step.map_err(|error: LogError| {
            if error.blame() == Blame::Host {
                partition.directory().fail(&error);
            }
            PartitionError::Log(error)
        })
    }
}

fn is(weak: &Weak<Partition>, partition: &Arc<Partition>) -> bool {
    std::ptr::eq(weak.as_ptr(), Arc::as_ptr(partition))
}

fn report(partition: &Partition, cleaned: &Option<Cleaned>) {
    let Some(Cleaned { first_dirty: Some(first_dirty), stats }) = cleaned else { return };
    tracing::info!(
        partition = %partition.name(),
        %first_dirty,
        bytes_read = stats.bytes_read,
        bytes_written = stats.bytes_written,
        records_read = stats.records_read,
        records_written = stats.records_written,
        "compacted"
    );
}

/// Spreads bytes over time.
struct Throttle {
    bytes_per_second: f64,
    /// When everything spent so far is paid for.
    paid: Mutex<Option<Instant>>,
}

impl Throttle {
    fn new(bytes_per_second: f64) -> Self {
        Self { bytes_per_second, paid: Mutex::new(None) }
    }

    /// How long to wait after `bytes` bytes.
    fn spend(&self, bytes: u64, now: Instant) -> Duration {
        let cost = Duration::try_from_secs_f64(bytes as f64 / self.bytes_per_second.max(1.0)).unwrap_or(PAUSE_MAX);
        if cost.is_zero() {
            return cost;
        }
        let mut paid = self.paid.lock();
        // What was not used before is not saved up.
        let due = paid.map_or(now, |paid| paid.max(now)) + cost.min(PAUSE_MAX);
        *paid = Some(due);
        (due - now).min(PAUSE_MAX)
    }
}

/// The longest pause at once; a lower rate than this allows makes several.
const PAUSE_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_add_up_to_the_rate_and_idleness_saves_nothing_up() {
        let throttle = Throttle::new(1_000.0);
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(throttle.spend(100, at(0)), Duration::from_millis(100));
        assert_eq!(throttle.spend(100, at(50)), Duration::from_millis(150));
        assert_eq!(throttle.spend(100, at(5_000)), Duration::from_millis(100));
        assert_eq!(Throttle::new(f64::MAX).spend(u64::MAX, start), Duration::ZERO);
    }
}
