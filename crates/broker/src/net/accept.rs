//! Which connections are let in, and which loop gets them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::waker::{Accepted, SLOTS_MAX};
use super::{Stats, Wakers};
use crate::descriptors;

/// How many connections a server accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Most connections at a time (`max.connections`). At the limit new ones wait in the listen queue. Default
    /// 2147483647; the process's limit of open files usually comes first.
    pub total_max: usize,
    /// Most connections from one address (`max.connections.per.ip`). More are closed at once. Default 2147483647.
    pub per_ip_max: u32,
    /// Other limits for some addresses (`max.connections.per.ip.overrides`). Default none.
    pub per_ip_overrides: HashMap<IpAddr, u32>,
    /// Most new connections a second (`max.connection.creation.rate`). More wait in the listen queue. Default 2147483647.
    pub per_second_max: u32,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            total_max: i32::MAX as usize,
            per_ip_max: i32::MAX as u32,
            per_ip_overrides: HashMap::new(),
            per_second_max: i32::MAX as u32,
        }
    }
}

/// Counts the connections of a server.
pub(crate) struct Admission {
    limits: ConnectionLimits,
    /// Counted only if there is a limit per address, since that costs a lock and a map entry.
    per_ip: Option<Mutex<HashMap<IpAddr, u32>>>,
    per_loop: Vec<AtomicUsize>,
}

/// One admitted connection; dropping it makes room for another.
pub(super) struct Admitted {
    admission: Arc<Admission>,
    ip: IpAddr,
    loop_index: usize,
}

impl Admission {
    pub(crate) fn new(limits: ConnectionLimits, loops: usize) -> Arc<Self> {
        let limited = limits.per_ip_max < i32::MAX as u32 || !limits.per_ip_overrides.is_empty();
        Arc::new(Self {
            limits,
            per_ip: limited.then(Mutex::default),
            per_loop: (0..loops).map(|_| AtomicUsize::new(0)).collect(),
        })
    }

    pub(super) fn total(&self) -> usize {
        self.per_loop.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    fn is_full(&self) -> bool {
        self.limits.total_max <= self.total()
    }

    /// Counts a connection from `ip` on a loop; `None` if that address has too many.
    fn admit(self: &Arc<Self>, ip: IpAddr, loop_index: usize) -> Option<Admitted> {
        let ip = ip.to_canonical();
        if let Some(per_ip) = &self.per_ip {
            let mut per_ip = per_ip.lock();
            let count = per_ip.entry(ip).or_insert(0);
            let max = self.limits.per_ip_overrides.get(&ip).copied().unwrap_or(self.limits.per_ip_max);
            if max <= *count {
                if *count == 0 {
                    per_ip.remove(&ip);
                }
                return None;
            }
            *count += 1;
        }
        self.per_loop[loop_index].fetch_add(1, Ordering::Relaxed);
        Some(Admitted { admission: Arc::clone(self), ip, loop_index })
    }

    /// One of the loops with the fewest connections, or one more than those.
    ///
    /// `random` decides between them: strict turns would put the idle bootstrap connections of clients on one loop and
    /// the busy ones on the other.
    fn choose_loop(&self, random: u64) -> usize {
        let counts = self.per_loop.iter().map(|count| count.load(Ordering::Relaxed));
        let fewest = counts.clone().min().unwrap_or(0);
        let fair = |count: &usize| *count <= fewest + 1 && *count < SLOTS_MAX;
        let choices = counts.clone().filter(fair).count().max(1);
        let chosen = (random % choices as u64) as usize;
        counts.enumerate().filter(|(_, count)| fair(count)).nth(chosen).map_or(0, |(index, _)| index)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.per_loop[self.loop_index].fetch_sub(1, Ordering::Relaxed);
        if let Some(per_ip) = &self.admission.per_ip {
            let mut per_ip = per_ip.lock();
            if let Some(count) = per_ip.get_mut(&self.ip) {
                *count -= 1;
                if *count == 0 {
                    per_ip.remove(&self.ip);
                }
            }
        }
    }
}

/// How long accepting pauses when it cannot go on: no descriptors, or a limit reached.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections accepted from one listener before the loop looks at its other work.
const ACCEPT_BURST: usize = 64;

/// Accepts for all listeners of a server, on its first loop.
pub(crate) struct Acceptor {
    listeners: Vec<TcpListener>,
    /// Listeners that may have connections waiting.
    ready: Vec<bool>,
    admission: Arc<Admission>,
    wakers: Arc<Wakers>,
    paused_until: Option<Instant>,
    /// Whether accepting failed the last time, which is logged once.
    failing: bool,
    window_start: Instant,
    window_count: u32,
    random: u64,
    /// Connections with this descriptor number or a higher one are refused: the logs need what is left.
    descriptors_end: i32,
}

impl Acceptor {
    pub(crate) fn new(
        listeners: Vec<TcpListener>,
        admission: Arc<Admission>,
        wakers: Arc<Wakers>,
        now: Instant,
        seed: u64,
    ) -> Self {
        let ready = vec![true; listeners.len()];
        Self {
            listeners,
            ready,
            admission,
            wakers,
            paused_until: None,
            failing: false,
            window_start: now,
            window_count: 0,
            random: seed | 1,
            descriptors_end: descriptors::connections_end(),
        }
    }

    pub(super) fn listeners(&self) -> &[TcpListener] {
        &self.listeners
    }

    pub(super) fn set_ready(&mut self, listener: usize) {
        self.ready[listener] = true;
    }

    /// When [`accept`](Self::accept) must run although no listener reports anything; `None` if it need not.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.paused_until {
            Some(until) => Some(until),
            None => self.ready.contains(&true).then_some(self.window_start),
        }
    }

    /// Accepts what waits, up to a bound, and hands each socket to a loop.
    pub(super) fn accept(&mut self, now: Instant, stats: &Stats) {
        if self.paused_until.is_some_and(|until| now < until) {
            return;
        }
        self.paused_until = None;
        for listener in 0..self.listeners.len() {
            for _ in 0..ACCEPT_BURST {
                if !self.ready[listener] {
                    break;
                }
                if self.admission.is_full() || !self.within_rate(now) {
                    self.paused_until = Some(now + ACCEPT_PAUSE);
                    return;
                }
                match self.listeners[listener].accept() {
                    Ok((stream, _)) if self.descriptors_end <= stream.as_raw_fd() => {
                        stats.connections_refused.add(1);
                        self.pause(now, &"the connections have used their share of the open files");
                        return;
                    }
                    Ok((stream, peer_addr)) => {
                        self.failing = false;
                        self.hand_over(stream, peer_addr, listener, stats);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.ready[listener] = false,
                    Err(error) if is_about_the_peer(&error) => {}
                    Err(error) => {
                        stats.accept_errors.add(1);
                        self.pause(now, &error);
                        return;
                    }
                }
            }
        }
    }

    /// Leaves new connections to wait for a while, which is logged once.
    fn pause(&mut self, now: Instant, why: &dyn std::fmt::Display) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!("no connections are accepted until this is over: {why}");
        }
        self.paused_until = Some(now + ACCEPT_PAUSE);
    }

    fn hand_over(&mut self, stream: TcpStream, peer_addr: SocketAddr, listener: usize, stats: &Stats) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let loop_index = self.admission.choose_loop(self.random >> 32);
        match self.admission.admit(peer_addr.ip(), loop_index) {
            Some(admission) => {
                self.wakers.adopt(loop_index, Accepted { stream, peer_addr, listener, admission });
            }
            None => stats.connections_refused.add(1),
        }
    }

    fn within_rate(&mut self, now: Instant) -> bool {
        if Duration::from_secs(1) <= now.saturating_duration_since(self.window_start) {
            self.window_start = now;
            self.window_count = 0;
        }
        self.window_count += 1;
        self.window_count <= self.admission.limits.per_second_max
    }
}

/// Errors of `accept` that concern the one connection, which is gone; the next may be fine.
fn is_about_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_per_address_count_and_release() {
        let v4 = |last| IpAddr::from([10, 0, 0, last]);
        let limits = ConnectionLimits {
            per_ip_max: 2,
            per_ip_overrides: HashMap::from([(v4(9), 0), (v4(8), 3)]),
            ..ConnectionLimits::default()
        };
        let admission = Admission::new(limits, 1);
        let first = admission.admit(v4(1), 0).unwrap();
        // The same address seen through a dual-stack listener.
        let mapped = IpAddr::V6(std::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        let _second = admission.admit(mapped, 0).unwrap();
        assert!(admission.admit(v4(1), 0).is_none());
        assert!(admission.admit(v4(9), 0).is_none());
        let _others: Vec<_> = (0..3).map(|_| admission.admit(v4(8), 0).unwrap()).collect();
        assert!(admission.admit(v4(8), 0).is_none());
        assert_eq!(admission.total(), 5);
        drop(first);
        assert!(admission.admit(v4(1), 0).is_some());
    }

    #[test]
    fn loops_fill_evenly_and_not_in_strict_turns() {
        let admission = Admission::new(ConnectionLimits::default(), 4);
        let mut random = 88_172_645_463_325_252_u64;
        let mut held = Vec::new();
        for _ in 0..1000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let chosen = admission.choose_loop(random >> 32);
            held.push(admission.admit(IpAddr::from([127, 0, 0, 1]), chosen).unwrap());
        }
        let counts: Vec<_> = admission.per_loop.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
        assert!(spread <= 2, "{counts:?}");
        let turns = held.windows(5).filter(|five| five[0].loop_index == five[4].loop_index).count();
        assert!(turns < 700, "every fifth connection came back to the same loop {turns} times");
    }
}
