//! The tasks of the I/O thread, and its timers.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::collections::btree_map::OccupiedEntry;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use highwater_types::Ticks;
use parking_lot::Mutex;

use super::doorbell::Doorbell;

/// Runs futures on the thread that owns it. They can be woken from any thread.
pub(super) struct Executor {
    tasks: RefCell<Vec<Slot>>,
    free: RefCell<Vec<usize>>,
    ready: Arc<Ready>,
    timers: RefCell<BTreeMap<(Ticks, u64), Waker>>,
    timers_made: Cell<u64>,
}

#[derive(Default)]
struct Slot {
    task: Option<Task>,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Arc<TaskWaker>,
}

/// The tasks that want to be polled.
#[derive(Debug)]
pub(super) struct Ready {
    queue: Mutex<Vec<usize>>,
    pub(super) doorbell: Doorbell,
}

#[derive(Debug)]
struct TaskWaker {
    index: usize,
    is_queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::SeqCst) {
            self.ready.queue.lock().push(self.index);
            self.ready.doorbell.ring();
        }
    }
}

impl Executor {
    pub(super) fn new() -> io::Result<Self> {
        let ready = Ready { queue: Mutex::new(Vec::new()), doorbell: Doorbell::new()? };
        Ok(Self {
            tasks: RefCell::default(),
            free: RefCell::default(),
            ready: Arc::new(ready),
            timers: RefCell::default(),
            timers_made: Cell::new(0),
        })
    }

    pub(super) fn ready(&self) -> &Arc<Ready> {
        &self.ready
    }

    /// Runs a future until it ends. It is polled for the first time soon.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let mut tasks = self.tasks.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            tasks.push(Slot::default());
            tasks.len() - 1
        });
        let waker = Arc::new(TaskWaker { index, is_queued: AtomicBool::new(false), ready: Arc::clone(&self.ready) });
        tasks[index].task = Some(Task { future: Box::pin(future), waker: Arc::clone(&waker) });
        drop(tasks);
        waker.wake_by_ref();
    }

    /// Polls every task that wants to be, and those that they wake, up to a bound. Whether some are left.
    pub(super) fn run(&self) -> bool {
        let mut queue = Vec::new();
        for _ in 0..ROUNDS_MAX {
            std::mem::swap(&mut queue, &mut *self.ready.queue.lock());
            if queue.is_empty() {
                return false;
            }
            queue.drain(..).for_each(|index| self.poll(index));
        }
        true
    }

    fn poll(&self, index: usize) {
        // Taken out, since it may spawn others. A wake-up of a task that has ended may find another one in its place,
        // which does no harm.
        let Some(mut task) = self.tasks.borrow_mut()[index].task.take() else { return };
        task.waker.is_queued.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&task.waker));
        match task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => self.tasks.borrow_mut()[index].task = Some(task),
            Poll::Ready(()) => self.free.borrow_mut().push(index),
        }
    }

    /// Ends all tasks as they are.
    pub(super) fn clear(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        self.free.borrow_mut().clear();
        // Whatever they wake or complete is not looked at any more.
        drop(tasks);
        self.ready.queue.lock().clear();
        self.timers.borrow_mut().clear();
    }

    pub(super) fn is_idle(&self) -> bool {
        self.ready.queue.lock().is_empty()
    }

    /// Wakes whoever waits for a point in time that has come.
    pub(super) fn fire(&self, now: Ticks) {
        loop {
            let due = {
                let mut timers = self.timers.borrow_mut();
                timers.first_entry().filter(|first| first.key().0 <= now).map(OccupiedEntry::remove)
            };
            let Some(waker) = due else { return };
            waker.wake();
        }
    }

    /// When to call [`fire`](Self::fire).
    pub(super) fn due(&self) -> Option<Ticks> {
        self.timers.borrow().first_key_value().map(|((at, _), _)| *at)
    }

    /// A name for a timer, unique for its time.
    pub(super) fn timer_id(&self) -> u64 {
        self.timers_made.set(self.timers_made.get() + 1);
        self.timers_made.get()
    }

    pub(super) fn set_timer(&self, at: Ticks, id: u64, waker: &Waker) {
        let mut timers = self.timers.borrow_mut();
        let known = timers.entry((at, id)).or_insert_with(|| waker.clone());
        if !known.will_wake(waker) {
            known.clone_from(waker);
        }
    }

    pub(super) fn remove_timer(&self, at: Ticks, id: u64) {
        self.timers.borrow_mut().remove(&(at, id));
    }
}

/// How often tasks are polled before the sockets are looked at again.
const ROUNDS_MAX: usize = 16;

/// Tells one task, from any thread, that something has changed.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    is_set: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Notify {
    /// Wakes the task, now or when it looks.
    pub(crate) fn notify(&self) {
        if !self.is_set.swap(true, Ordering::SeqCst)
            && let Some(waker) = &*self.waker.lock()
        {
            waker.wake_by_ref();
        }
    }

    /// Ready once for any number of notifications since the last time.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        if self.is_set.swap(false, Ordering::SeqCst) {
            return Poll::Ready(());
        }
        {
            let mut waker = self.waker.lock();
            if waker.as_ref().is_none_or(|known| !known.will_wake(context.waker())) {
                *waker = Some(context.waker().clone());
            }
        }
        // Between the first look and the registration somebody may have come.
        if self.is_set.swap(false, Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn tasks_run_and_wake_each_other() {
        let executor = Executor::new().unwrap();
        let (notify, steps) = (Arc::new(Notify::default()), Rc::new(Cell::new(0)));
        let (waited, counted) = (Arc::clone(&notify), Rc::clone(&steps));
        executor.spawn(async move {
            for _ in 0..2 {
                std::future::poll_fn(|context| waited.poll(context)).await;
                counted.set(counted.get() + 1);
            }
        });
        assert!(!executor.run());
        assert_eq!(steps.get(), 0);
        let waker = Arc::clone(&notify);
        executor.spawn(async move { waker.notify() });
        executor.run();
        assert_eq!(steps.get(), 1);
        std::thread::spawn(move || notify.notify()).join().unwrap();
        executor.run();
        assert_eq!(steps.get(), 2);
        assert_eq!(executor.free.borrow().len(), 2, "both have ended");
    }

    #[test]
    fn a_task_that_never_rests_does_not_stop_the_others() {
        let executor = Executor::new().unwrap();
        executor.spawn(std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            Poll::Pending
        }));
        assert!(executor.run());
    }

    #[test]
    fn timers_fire_in_their_order() {
        let executor = Executor::new().unwrap();
        let waker = Waker::noop();
        executor.set_timer(Ticks(7), 1, waker);
        executor.set_timer(Ticks(5), 2, waker);
        assert_eq!(executor.due(), Some(Ticks(5)));
        executor.fire(Ticks(6));
        assert_eq!(executor.due(), Some(Ticks(7)));
        executor.remove_timer(Ticks(7), 1);
        assert_eq!(executor.due(), None);
    }
}
