//! The thread itself.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use highwater_types::Ticks;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::time::{ClockId, clock_gettime};
use parking_lot::Mutex;

use super::executor::{Executor, Ready};
use super::network::{Lane, Network, Peer};
use crate::ClientError;
use crate::config::ClientConfig;
use crate::metadata::Cluster;
use crate::pending::{Completer, Pending};

/// What the thread has: its tasks share it.
pub(crate) struct Io {
    pub(crate) config: ClientConfig,
    pub(crate) cluster: RefCell<Cluster>,
    pub(super) network: RefCell<Network>,
    pub(super) epoll: Epoll,
    executor: Executor,
    remote: Arc<Remote>,
    random: Cell<u64>,
    lanes: Cell<u64>,
}

/// What other threads reach it by.
#[derive(Clone, Debug)]
pub(crate) struct IoHandle(Arc<Remote>);

struct Remote {
    origin: Instant,
    /// The same moment by the coarse clock, in milliseconds.
    coarse_origin_ms: u64,
    ready: Arc<Ready>,
    /// `None` when the thread has ended.
    jobs: Mutex<Option<Vec<Job>>>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}

type Work = dyn FnOnce(&Rc<Io>) + Send;

enum Job {
    Run(Box<Work>),
    Stop(Completer<()>),
}

impl IoHandle {
    /// Starts the thread. It ends when it is told to.
    pub(crate) fn start(config: ClientConfig) -> io::Result<Self> {
        let (told, ready) = crossing();
        let thread = thread::Builder::new().name("highwater-client".to_owned());
        thread.spawn(move || match Io::new(config) {
            Ok(io) => {
                told(Ok(Self(Arc::clone(&io.remote))));
                run(&Rc::new(io));
            }
            Err(error) => told(Err(error)),
        })?;
        ready()
    }

    pub(crate) fn now(&self) -> Ticks {
        ticks(self.0.origin)
    }

    /// The time as it was at the last tick of the kernel, some milliseconds ago: costs a tenth of [`now`](Self::now).
    pub(crate) fn now_coarse(&self) -> Ticks {
        Ticks(coarse_ms().saturating_sub(self.0.coarse_origin_ms))
    }

    /// Has the thread do something. Nothing happens if it has ended.
    pub(crate) fn run(&self, job: impl FnOnce(&Rc<Io>) + Send + 'static) {
        self.push(Job::Run(Box::new(job)));
    }

    /// Has the thread run a future, and tells what comes of it, within the time that a call may take.
    pub(crate) fn call<T, F>(
        &self,
        timeout: Option<Duration>,
        what: &'static str,
        job: impl FnOnce(Rc<Io>, Deadline) -> F + Send + 'static,
    ) -> Pending<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ClientError>> + 'static,
    {
        let (completer, pending) = Pending::new();
        self.run(move |io| {
            let deadline = io.within(timeout.unwrap_or(io.config.default_api_timeout));
            let future = job(Rc::clone(io), deadline);
            let task = Rc::clone(io);
            io.spawn(async move {
                let result = task.until(deadline.at, future).await;
                completer.complete(result.unwrap_or_else(|| Err(deadline.missed(what.to_owned(), None))));
            });
        });
        pending
    }

    /// Ends the thread, with whatever is under way.
    pub(crate) fn stop(&self) -> Pending<()> {
        let (completer, pending) = Pending::new();
        self.push(Job::Stop(completer));
        pending
    }

    fn push(&self, job: Job) {
        let mut jobs = self.0.jobs.lock();
        match &mut *jobs {
            Some(jobs) => jobs.push(job),
            // Dropping it tells whoever waits.
            None => return drop(jobs),
        }
        drop(jobs);
        self.0.ready.doorbell.ring();
    }
}

impl Io {
    fn new(config: ClientConfig) -> io::Result<Self> {
        let executor = Executor::new()?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(executor.ready().doorbell.fd(), EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        let ready = Arc::clone(executor.ready());
        let remote =
            Remote { coarse_origin_ms: coarse_ms(), origin: Instant::now(), ready, jobs: Mutex::new(Some(Vec::new())) };
        let seed = getrandom::u64().map_err(io::Error::other)?;
        Ok(Self {
            config,
            cluster: RefCell::default(),
            network: RefCell::default(),
            epoll,
            executor,
            remote: Arc::new(remote),
            random: Cell::new(seed | 1),
            lanes: Cell::new(0),
        })
    }

    /// The time, of a clock that never goes back.
    pub(crate) fn now(&self) -> Ticks {
        ticks(self.remote.origin)
    }

    /// The time in `duration` from now.
    pub(crate) fn after(&self, duration: Duration) -> Ticks {
        self.now().plus_ms(ms(duration))
    }

    /// For something that may take `duration` from now.
    pub(crate) fn within(&self, duration: Duration) -> Deadline {
        Deadline { at: self.after(duration), allowed_ms: ms(duration) }
    }

    /// For one request of something that may take until `deadline` as a whole.
    pub(crate) fn request_deadline(&self, deadline: Deadline) -> Deadline {
        let request = self.within(self.config.request_timeout);
        if deadline.at < request.at { deadline } else { request }
    }

    /// Runs a future to its end.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.executor.spawn(future);
    }

    /// A lane that nobody else uses.
    pub(crate) fn new_lane(&self) -> Lane {
        self.lanes.set(self.lanes.get() + 1);
        Lane(self.lanes.get())
    }

    /// A number that cannot be foreseen.
    pub(crate) fn random(&self) -> u64 {
        let mut value = self.random.get();
        value ^= value << 13;
        value ^= value >> 7;
        value ^= value << 17;
        self.random.set(value);
        value
    }

    /// How long to wait after `failures` in a row: twice as long after each, and a fifth more or less by chance.
    pub(crate) fn backoff_ms(&self, failures: u32, first: Duration, longest: Duration) -> u64 {
        let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
        let ms = ms(doubled);
        ms - ms / 5 + self.random() % (ms / 5 * 2 + 1)
    }

    /// Waits. Not at all if that time has come.
    pub(crate) async fn sleep_until(&self, at: Ticks) {
        self.until(at, std::future::pending::<()>()).await;
    }

    /// What comes of `future`, if it comes before `at`.
    pub(crate) async fn until<T>(&self, at: Ticks, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let timer = Timer { io: self, at, id: self.executor.timer_id() };
        std::future::poll_fn(|context| {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                return Poll::Ready(Some(value));
            }
            if at <= self.now() {
                return Poll::Ready(None);
            }
            self.executor.set_timer(timer.at, timer.id, context.waker());
            Poll::Pending
        })
        .await
    }

    /// Host and port of a broker; `None` for one that nothing is known of.
    pub(crate) fn address_of(&self, peer: Peer) -> Option<String> {
        match peer {
            Peer::Node(id) => self.cluster.borrow().address(id),
            Peer::Bootstrap(index) => self.config.bootstrap_servers.get(index).cloned(),
        }
    }
}

/// Until when something may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub(crate) at: Ticks,
    allowed_ms: u64,
}

impl Deadline {
    /// That `what` was not done in time.
    pub(crate) fn missed(self, what: String, last: Option<ClientError>) -> ClientError {
        ClientError::Timeout { what, timeout_ms: self.allowed_ms, last: last.map(Box::new) }
    }
}

struct Timer<'a> {
    io: &'a Io,
    at: Ticks,
    id: u64,
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.io.executor.remove_timer(self.at, self.id);
    }
}

fn run(io: &Rc<Io>) {
    let mut events = [EpollEvent::empty(); EVENTS_MAX];
    let keeper = Rc::clone(io);
    io.spawn(async move { keeper.keep_fresh().await });
    let sweeper = Rc::clone(io);
    io.spawn(async move {
        loop {
            sweeper.sleep_until(sweeper.after(SWEEP_EVERY)).await;
            sweeper.close_idle();
        }
    });
    loop {
        io.remote.ready.doorbell.get_up();
        io.executor.fire(io.now());
        let jobs = io.remote.jobs.lock().as_mut().map(std::mem::take).unwrap_or_default();
        for job in jobs {
            match job {
                Job::Run(job) => job(io),
                Job::Stop(completer) => return end(io, completer),
            }
        }
        let is_more = io.executor.run();
        io.flush();
        let timeout = match io.executor.due() {
            _ if is_more || !io.executor.is_idle() || !io.remote.ready.doorbell.lie_down() => EpollTimeout::ZERO,
            None => EpollTimeout::NONE,
            Some(due) => {
                let ms = i32::try_from(due.ms_since(io.now())).unwrap_or(i32::MAX);
                EpollTimeout::try_from(ms).unwrap_or(EpollTimeout::ZERO)
            }
        };
        let count = match io.epoll.wait(&mut events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => {
                tracing::error!(%errno, "the client's thread cannot wait for its sockets and ends");
                let (completer, _) = Pending::new();
                return end(io, completer);
            }
        };
        for event in events.iter().take(count).filter(|event| event.data() != BELL) {
            io.handle_event(event.data(), event.events());
        }
    }
}

/// Nothing is taken any more, and whoever waits is told so.
fn end(io: &Rc<Io>, completer: Completer<()>) {
    let left = io.remote.jobs.lock().take();
    drop(left);
    io.executor.clear();
    io.disconnect_all();
    io.executor.clear();
    completer.complete(Ok(()));
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Zero, and so no help, where there is no such clock.
fn coarse_ms() -> u64 {
    let since = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map(Duration::from).unwrap_or_default();
    ms(since)
}

fn ticks(origin: Instant) -> Ticks {
    Ticks(u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// Hands one value from one thread to another.
fn crossing<T: Send + 'static>() -> (impl FnOnce(io::Result<T>) + Send, impl FnOnce() -> io::Result<T>) {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let send = move |value| {
        // Whoever waits for it is still there.
        let _ = sender.send(value);
    };
    (send, move || receiver.recv().unwrap_or_else(|_| Err(io::Error::other("the client's thread could not start"))))
}

/// What the doorbell is called among the sockets, which are counted from one.
const BELL: u64 = 0;
const EVENTS_MAX: usize = 64;
const SWEEP_EVERY: Duration = Duration::from_secs(10);
