//! Threads for work that could block.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, TrySendError, bounded};
use parking_lot::Mutex;

use crate::net::{WakeToken, Wakers};

type Task = Box<dyn FnOnce() + Send>;

/// A small pool of threads for work that an event loop must not do itself: creating and deleting files, syncs, cold
/// reads.
///
/// The queue is bounded; a full one is reported to the caller, which answers the client with a retriable error.
/// Dropping the pool finishes what is queued and joins the threads.
pub struct Workers {
    queue: Option<Sender<Task>>,
    wakers: Arc<Wakers>,
    threads: Vec<JoinHandle<()>>,
}

/// The result of one piece of work, for the request that parked for it.
#[derive(Debug)]
pub struct Job<R>(Arc<Mutex<State<R>>>);

#[derive(Debug)]
enum State<R> {
    Running,
    Finished(R),
    Lost,
}

/// The queue of the pool is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much background work is waiting")]
pub struct WorkersBusy;

/// The work panicked, or its result was taken before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the background work has no result")]
pub struct JobLost;

impl Workers {
    /// Starts `threads` threads with a queue of `queue_max` pieces of work.
    ///
    /// # Errors
    ///
    /// If the operating system refuses a thread.
    pub fn start(threads: usize, queue_max: usize, wakers: Arc<Wakers>) -> io::Result<Self> {
        let (queue, tasks) = bounded::<Task>(queue_max);
        let threads = (0..threads)
            .map(|index| {
                let tasks = tasks.clone();
                let run = move || tasks.iter().for_each(run_task);
                std::thread::Builder::new().name(format!("worker-{index}")).spawn(run)
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { queue: Some(queue), wakers, threads })
    }

    /// Runs `work` on a worker and wakes `token` when it has finished, also if it panicked.
    ///
    /// # Errors
    ///
    /// [`WorkersBusy`] if the queue is full; `work` has not run and will not.
    pub fn submit_for<R: Send + 'static>(
        &self,
        token: WakeToken,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<Job<R>, WorkersBusy> {
        let state = Arc::new(Mutex::new(State::Running));
        let shared = Arc::clone(&state);
        let wakers = Arc::clone(&self.wakers);
        self.submit(move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            let panicked = result.is_err();
            *shared.lock() = result.map_or(State::Lost, State::Finished);
            wakers.wake(token);
            if panicked {
                tracing::error!("background work panicked");
            }
        })?;
        Ok(Job(state))
    }

    /// Runs `work` on a worker, for nobody in particular.
    ///
    /// # Errors
    ///
    /// [`WorkersBusy`] if the queue is full; `work` has not run and will not.
    pub fn submit(&self, work: impl FnOnce() + Send + 'static) -> Result<(), WorkersBusy> {
        let queue = self.queue.as_ref().expect("the queue is there until the pool is dropped");
        queue.try_send(Box::new(work)).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => WorkersBusy,
        })
    }
}

/// The other end of a [`Job`]: who holds it owes the result.
///
/// Dropped without one, the job is lost, and who waits for it is woken all the same.
#[derive(Debug)]
pub struct Promise<R> {
    state: Arc<Mutex<State<R>>>,
    wakers: Arc<Wakers>,
    token: WakeToken,
}

impl<R> Promise<R> {
    /// A promise to `token`, and the job by which it is kept.
    #[must_use]
    pub fn new(wakers: &Arc<Wakers>, token: WakeToken) -> (Self, Job<R>) {
        let state = Arc::new(Mutex::new(State::Running));
        let job = Job(Arc::clone(&state));
        (Self { state, wakers: Arc::clone(wakers), token }, job)
    }

    /// Gives the result and wakes who waits for it.
    pub fn keep(self, result: R) {
        *self.state.lock() = State::Finished(result);
    }
}

impl<R> Drop for Promise<R> {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if let State::Running = *state {
            *state = State::Lost;
        }
        drop(state);
        self.wakers.wake(self.token);
    }
}

impl<R> Job<R> {
    /// Takes the result; `None` while the work has not finished.
    pub fn take(&self) -> Option<Result<R, JobLost>> {
        let mut state = self.0.lock();
        if let State::Running = *state {
            return None;
        }
        match std::mem::replace(&mut *state, State::Lost) {
            State::Finished(result) => Some(Ok(result)),
            State::Running | State::Lost => Some(Err(JobLost)),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its work, so it ends only when the queue does.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

fn run_task(task: Task) {
    if catch_unwind(AssertUnwindSafe(task)).is_err() {
        tracing::error!("background work panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait<R>(job: &Job<R>) -> Result<R, JobLost> {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            if let Some(result) = job.take() {
                return result;
            }
            assert!(std::time::Instant::now() < deadline, "the job never finished");
            std::thread::yield_now();
        }
    }

    #[test]
    fn work_survives_a_panic_and_a_full_queue_says_so() {
        let workers = Workers::start(1, 1, Wakers::new(1).unwrap()).unwrap();
        let token = WakeToken::for_test(0, 0, 0);
        let bad: Job<()> = workers.submit_for(token, || panic!("expected by the test")).unwrap();
        assert_eq!(wait(&bad), Err(JobLost));

        let (release, gate) = bounded::<()>(0);
        let running = workers.submit_for(token, move || gate.recv().is_ok()).unwrap();
        // The worker may not have taken the first piece off the queue yet, so fill it until it refuses.
        let mut queued = Vec::new();
        let refused = loop {
            match workers.submit_for(token, || 7) {
                Ok(job) => queued.push(job),
                Err(refused) => break refused,
            }
            assert!(queued.len() < 3, "a queue of one took three");
        };
        assert_eq!(refused, WorkersBusy);
        assert!(running.take().is_none());
        release.send(()).unwrap();
        assert_eq!(wait(&running), Ok(true));
        assert_eq!(running.take(), Some(Err(JobLost)));
        for job in &queued {
            assert_eq!(wait(job), Ok(7));
        }
    }

    #[test]
    fn a_promise_is_kept_or_the_job_is_lost() {
        let wakers = Wakers::new(1).unwrap();
        let (promise, job) = Promise::new(&wakers, WakeToken::for_test(0, 1, 0));
        assert_eq!(job.take(), None);
        promise.keep(7);
        assert_eq!(job.take(), Some(Ok(7)));
        let (promise, job) = Promise::<u8>::new(&wakers, WakeToken::for_test(0, 1, 0));
        drop(promise);
        assert_eq!(job.take(), Some(Err(JobLost)));
    }
}
