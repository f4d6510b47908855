//! One event loop: a thread, its epoll, its connections.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use parking_lot::Mutex;

use super::accept::Acceptor;
use super::conn::{Conn, Slab};
use super::input::{Input, Pool, ReceiveBudget};
use super::send::Sender;
use super::waker::{Accepted, Mail};
use super::{Out, Peer, Service, Stats, Wake, WakeToken, Wakers};
use crate::purgatory::Wheel;

/// Events taken from one wait.
const EVENTS_MAX: usize = 256;
/// Times that connections woken by others of the same loop are served within one turn.
const ROUNDS_PER_TURN: usize = 2;
/// Longest sleep while a connection waits for receive memory, which another loop may have freed.
const STARVED_SLEEP_MS: u64 = 10;
/// How long receive memory may be held without a request being served while others wait for some.
const HELD_MS_MAX: u64 = 5_000;
/// How often to look for those that hold it longer.
const HOARDERS_CHECK_MS: u64 = 500;
/// Outputs kept for connections whose socket is full.
pub(super) const SPARE_OUTS_MAX: usize = 8;
/// Memory of an output above this is given back after use.
pub(super) const KEPT_OUT_SIZE_MAX: usize = 2 << 20;

/// `epoll` data of the mailbox's bell; listeners follow downwards, connections are their slot.
const BELL: u64 = u64::MAX;
const FIRST_LISTENER: u64 = BELL - 1;

/// What all loops of a server share.
pub(crate) struct Shared {
    pub(crate) request_bytes_max: u32,
    /// How long nothing may happen on a connection before it is closed.
    pub(crate) idle_max: Duration,
    pub(crate) budget: Arc<ReceiveBudget>,
    pub(crate) stopping: AtomicBool,
    pub(crate) stop_deadline: Mutex<Option<Instant>>,
}

pub(super) enum Timer {
    Idle(usize),
    Park(WakeToken),
}

/// The state of one loop. How it drives a single connection is in `drive`.
pub(crate) struct EventLoop<S: Service> {
    pub(super) index: usize,
    pub(super) service: Arc<S>,
    pub(super) lp: S::Loop,
    pub(super) shared: Arc<Shared>,
    pub(super) wakers: Arc<Wakers>,
    pub(super) stats: Arc<Stats>,
    epoll: Epoll,
    pub(super) conns: Slab<S>,
    pub(super) wheel: Wheel<Timer>,
    origin: Instant,
    /// Milliseconds since `origin`, read once a turn.
    pub(super) tick: u64,
    pub(super) pool: Pool,
    pub(super) sender: Sender,
    pub(super) out: Out,
    pub(super) spare_outs: Vec<Out>,
    /// Slots to drive in the next round.
    ready: Vec<usize>,
    /// Slots of the round that is being driven; empty between rounds.
    driving: Vec<usize>,
    /// Slots that wait for receive memory.
    pub(super) starved: VecDeque<usize>,
    /// The connection that may exceed the budget, and until when it may while others wait.
    pub(super) overdraft: Option<(usize, u64)>,
    /// When to look again for connections that hold memory for too long.
    hoarders_due: u64,
    acceptor: Option<Acceptor>,
    pub(super) stopping: bool,
}

impl<S: Service> EventLoop<S> {
    /// Builds a loop; call on the thread that will [`run`](Self::run) it.
    ///
    /// # Errors
    ///
    /// If the operating system refuses the epoll descriptor or a registration.
    pub(crate) fn new(
        index: usize,
        service: Arc<S>,
        shared: Arc<Shared>,
        wakers: Arc<Wakers>,
        stats: Arc<Stats>,
        acceptor: Option<Acceptor>,
    ) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let edge = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        epoll.add(wakers.bell(index), EpollEvent::new(edge, BELL))?;
        for (listener, socket) in acceptor.iter().flat_map(Acceptor::listeners).enumerate() {
            epoll.add(socket, EpollEvent::new(edge, FIRST_LISTENER - listener as u64))?;
        }
        Ok(Self {
            index,
            lp: service.new_loop(index),
            service,
            shared,
            wakers,
            stats,
            epoll,
            conns: Slab::new(index),
            wheel: Wheel::new(0),
            origin: Instant::now(),
            tick: 0,
            pool: Pool::default(),
            sender: Sender::new(),
            out: Out::default(),
            spare_outs: Vec::new(),
            ready: Vec::new(),
            driving: Vec::new(),
            starved: VecDeque::new(),
            overdraft: None,
            hoarders_due: 0,
            acceptor,
            stopping: false,
        })
    }

    /// Runs until the server stops and every connection is closed.
    pub(crate) fn run(mut self) {
        self.wakers.enter(self.index);
        let mut events = vec![EpollEvent::empty(); EVENTS_MAX];
        let mut mail = Mail::default();
        while self.turn(&mut events, &mut mail) {}
        for slot in 0..self.conns.slots() {
            if let Some(conn) = self.conns.take(slot) {
                self.close(*conn);
            }
        }
        self.wakers.flush_foreign();
        self.wakers.leave();
    }

    /// One wait for events and everything that follows from them; `false` if it was the last.
    fn turn(&mut self, events: &mut [EpollEvent], mail: &mut Mail) -> bool {
        let count = self.sleep(events);
        self.stats.turns.add(1);
        self.tick = self.tick_at(Instant::now(), u128::div_euclid);
        for event in &events[..count] {
            self.note(*event);
        }
        self.accept();
        self.wakers.take_mail(self.index, mail);
        for accepted in mail.sockets.drain(..) {
            self.adopt(accepted);
        }
        for token in mail.wakes.drain(..) {
            self.wake(token, Wake::Ready);
        }
        self.fire_timers();
        if self.shared.stopping.load(Ordering::Acquire) && !self.stopping {
            self.begin_stop();
        }
        self.feed_starved();
        for _ in 0..ROUNDS_PER_TURN {
            self.drive_ready();
            self.wakers.take_own(&mut mail.wakes);
            for token in mail.wakes.drain(..) {
                self.wake(token, Wake::Ready);
            }
        }
        self.end_turn(mail);
        !self.stopping || (self.conns.len() > 0 && !self.stop_is_overdue())
    }

    fn end_turn(&mut self, mail: &mut Mail) {
        let (service, lp) = (&self.service, &mut self.lp);
        guard(&self.stats, || service.turn_end(lp, super::Now::read()));
        self.wakers.take_own(&mut mail.wakes);
        for token in mail.wakes.drain(..) {
            self.wake(token, Wake::Ready);
        }
        self.wakers.flush_foreign();
    }

    /// Waits for events, not at all if there is work left.
    fn sleep(&mut self, events: &mut [EpollEvent]) -> usize {
        let timeout_ms = self.sleep_ms_max();
        let asleep = timeout_ms != Some(0) && self.wakers.fall_asleep(self.index);
        let timeout = match timeout_ms {
            _ if !asleep => EpollTimeout::ZERO,
            None => EpollTimeout::NONE,
            Some(ms) => EpollTimeout::try_from(ms.min(1 << 30)).unwrap_or(EpollTimeout::ZERO),
        };
        let count = self.epoll.wait(events, timeout);
        if asleep {
            self.wakers.wake_up(self.index);
        }
        // Interrupted by a signal, which is not ours to handle; the loop simply goes round.
        count.unwrap_or(0)
    }

    fn sleep_ms_max(&self) -> Option<u64> {
        if !self.ready.is_empty() {
            return Some(0);
        }
        let now = self.tick_at(Instant::now(), u128::div_euclid);
        let timer = self.wheel.next_due();
        let accept = self.acceptor.as_ref().and_then(Acceptor::due).map(|at| self.tick_at(at, u128::div_ceil));
        let starved = (!self.starved.is_empty() || self.stopping).then_some(now + STARVED_SLEEP_MS);
        [timer, accept, starved].into_iter().flatten().min().map(|due| due.saturating_sub(now))
    }

    fn note(&mut self, event: EpollEvent) {
        let data = event.data();
        if let Some(conn) = usize::try_from(data).ok().and_then(|slot| self.conns.get_mut(slot)) {
            let flags = event.events();
            let ended = EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
            if flags.intersects(ended) {
                conn.hung_up = true;
            }
            conn.readable |= flags.intersects(EpollFlags::EPOLLIN | ended);
            conn.writable |= flags.intersects(EpollFlags::EPOLLOUT | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
            self.enqueue(data as usize);
        } else if data != BELL
            && let Some(acceptor) = &mut self.acceptor
        {
            acceptor.set_ready((FIRST_LISTENER - data) as usize);
        }
    }

    fn accept(&mut self) {
        if let Some(acceptor) = &mut self.acceptor
            && acceptor.due().is_some()
        {
            acceptor.accept(Instant::now(), &self.stats);
        }
    }

    fn adopt(&mut self, accepted: Accepted) {
        if self.stopping {
            return;
        }
        let Some(token) = self.conns.reserve() else { return };
        if let Err(error) = self.open(token, accepted) {
            tracing::debug!(%error, "a new connection ended before it began");
            self.conns.release(token);
        }
    }

    fn open(&mut self, token: WakeToken, accepted: Accepted) -> io::Result<()> {
        let Accepted { stream, peer_addr, listener, admission } = accepted;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let peer =
            Peer { token, local_addr: canonical(stream.local_addr()?), peer_addr: canonical(peer_addr), listener };
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        self.epoll.add(stream.as_fd(), EpollEvent::new(flags, token.slot() as u64))?;
        let idle_timer = self.set_idle_timer(token.slot(), self.tick);
        let input = Input::new(Arc::clone(&self.shared.budget));
        self.conns.put(Box::new(Conn::new(stream, peer, input, idle_timer, self.tick, admission)));
        self.stats.connections_accepted.add(1);
        Ok(())
    }

    pub(super) fn enqueue(&mut self, slot: usize) {
        if let Some(conn) = self.conns.get_mut(slot)
            && !conn.queued
        {
            conn.queued = true;
            self.ready.push(slot);
        }
    }

    /// Schedules the connection that waits under `token`, if it still does.
    fn wake(&mut self, token: WakeToken, why: Wake) {
        let slot = token.slot();
        if let Some(conn) = self.conns.get_mut(slot)
            && conn.peer.token == token
            && conn.parked.is_some()
        {
            conn.woken = Some(why);
            self.enqueue(slot);
        }
    }

    fn drive_ready(&mut self) {
        std::mem::swap(&mut self.ready, &mut self.driving);
        for index in 0..self.driving.len() {
            if let Some(mut conn) = self.conns.take(self.driving[index]) {
                conn.queued = false;
                self.drive(conn);
            }
        }
        self.driving.clear();
    }

    fn fire_timers(&mut self) {
        if self.wheel.next_due().is_none_or(|due| self.tick < due) {
            return;
        }
        let mut fired = Vec::new();
        self.wheel.advance(self.tick, |timer| fired.push(timer));
        for timer in fired {
            match timer {
                Timer::Park(token) => self.wake(token, Wake::Timeout),
                Timer::Idle(slot) => self.close_if_idle(slot),
            }
        }
    }

    fn close_if_idle(&mut self, slot: usize) {
        let (tick, idle_ms) = (self.tick, millis(self.shared.idle_max));
        let Some(conn) = self.conns.get_mut(slot) else { return };
        if conn.parked.is_some() {
            conn.active_at = tick;
        }
        let active_at = conn.active_at;
        if idle_ms <= tick - active_at {
            if let Some(conn) = self.conns.take(slot) {
                self.stats.idle_closed.add(1);
                self.close(*conn);
            }
            return;
        }
        let timer = self.set_idle_timer(slot, active_at);
        if let Some(conn) = self.conns.get_mut(slot) {
            conn.idle_timer = timer;
        }
    }

    /// The timer is not moved when bytes do: it fires, looks, and is set again.
    fn set_idle_timer(&mut self, slot: usize, active_at: u64) -> crate::purgatory::TimerKey {
        self.wheel.insert(active_at.saturating_add(millis(self.shared.idle_max)), Timer::Idle(slot))
    }

    /// Lets connections receive that had to wait for memory.
    fn feed_starved(&mut self) {
        if self.starved.is_empty() {
            return;
        }
        self.close_hoarders();
        if let Some((slot, until)) = self.overdraft {
            let stuck = until <= self.tick;
            if stuck && let Some(conn) = self.conns.take(slot) {
                tracing::warn!(peer = %conn.peer.peer_addr, "closed: its request took too long while memory was short");
                self.close(*conn);
            }
        }
        let fed =
            if !self.shared.budget.is_exhausted() { self.starved.len() } else { usize::from(self.overdraft.is_none()) };
        for _ in 0..fed {
            let Some(slot) = self.starved.pop_front() else { break };
            if let Some(conn) = self.conns.get_mut(slot) {
                conn.starved = false;
                self.enqueue(slot);
            }
        }
    }

    /// While connections wait for memory: closes those that have held some for too long. The one that
    /// may exceed the budget has a time limit of its own.
    fn close_hoarders(&mut self) {
        if !self.shared.budget.is_exhausted() || self.tick < self.hoarders_due {
            return;
        }
        self.hoarders_due = self.tick + HOARDERS_CHECK_MS;
        let holder = self.overdraft.map(|(slot, _)| slot);
        let mut closed = 0;
        for slot in 0..self.conns.slots() {
            let since = self.conns.get_mut(slot).and_then(|conn| conn.held_since);
            if since.is_some_and(|since| since + HELD_MS_MAX <= self.tick)
                && Some(slot) != holder
                && let Some(conn) = self.conns.take(slot)
            {
                self.close(*conn);
                closed += 1;
            }
        }
        if 0 < closed {
            tracing::warn!(closed, "closed connections that held memory for too long while others waited for it");
        }
    }

    fn begin_stop(&mut self) {
        self.stopping = true;
        self.acceptor = None;
        for slot in 0..self.conns.slots() {
            if let Some(conn) = self.conns.get_mut(slot) {
                if conn.parked.is_some() {
                    conn.woken = Some(Wake::Stopping);
                }
                self.enqueue(slot);
            }
        }
    }

    fn stop_is_overdue(&self) -> bool {
        self.shared.stop_deadline.lock().is_some_and(|deadline| deadline <= Instant::now())
    }

    /// The tick of an instant, rounded by `divide`.
    pub(super) fn tick_at(&self, instant: Instant, divide: fn(u128, u128) -> u128) -> u64 {
        let since = instant.saturating_duration_since(self.origin);
        u64::try_from(divide(since.as_nanos(), 1_000_000)).unwrap_or(u64::MAX)
    }
}

/// An IPv4 address as such, also when it came through a socket for both families.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Calls into the service; a panic is logged and counted, and gives `None`.
pub(super) fn guard<R>(stats: &Stats, call: impl FnOnce() -> R) -> Option<R> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)) {
        Ok(result) => Some(result),
        Err(panic) => {
            stats.panics.add(1);
            let message = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no message");
            tracing::error!(message, "the service panicked");
            None
        }
    }
}
