//! The seam between the event loops and what the broker does with a request.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Instant;

use highwater_types::{Ticks, TimestampMs};

use super::{Frames, Out, WakeToken};

/// What a server does with the requests that its event loops receive.
///
/// One value serves every connection. All methods run on a loop thread, to completion, so they must not block:
/// work that could (a cold read, a sync, creating or deleting files) goes to
/// [`Workers`](crate::purgatory::Workers), and the connection parks until it is done. A panic in any method is
/// caught at the loop's boundary, logged and closes the connection it happened for; the loop goes on.
///
/// # The order of calls for one connection
///
/// 1. [`serve`](Self::serve) with every complete frame that has arrived. It takes frames in order and writes the
///    answers, in the same order, to `out`.
/// 2. If it returned [`Served::Park`], the connection's later frames wait, and exactly one of
///    [`resume`](Self::resume) and [`cancel`](Self::cancel) follows. `resume` may park again.
/// 3. [`closed`](Self::closed) once, last.
///
/// # Waiting without losing a wake-up
///
/// First register [`Context::peer`]'s token where the event will be reported (for instance
/// [`WaitList::watch`](crate::purgatory::WaitList::watch)), then check the condition once more, then return
/// [`Served::Park`]. An event between registering and parking is delivered after the park. Events may be spurious, so
/// `resume` checks its condition again. A wait goes on when `resume` parks again: the token stays the same, so lists
/// that have not fired since still hold it, and the one that did must be watched again.
pub trait Service: Send + Sync + Sized + 'static {
    /// State of one event loop: reused vectors, caches, counters. Never leaves its thread.
    type Loop;
    /// State of one connection, such as the client's software name. Never leaves its loop's thread. Ten thousand idle
    /// connections each hold one, so anything large belongs behind an `Option<Box<_>>`.
    type Conn: Default;
    /// What a connection is waiting for. Owns its data, since the frames' bytes are gone by then, and may stand for
    /// several pipelined requests.
    type Parked;

    /// Builds the state of loop number `index`, on that loop's thread.
    fn new_loop(&self, index: usize) -> Self::Loop;

    /// Serves the complete frames of one readiness event.
    ///
    /// A frame counts as consumed once [`Frames::next`] returned it. Frames left over are offered again: after the
    /// park if this call parks, otherwise after `out` has been sent.
    fn serve(&self, cx: &mut Context<'_, Self>, frames: &mut Frames<'_>, out: &mut Out) -> Served<Self::Parked>;

    /// Goes on with a parked connection whose token was woken, whose deadline passed, or whose server is stopping.
    fn resume(
        &self,
        cx: &mut Context<'_, Self>,
        parked: Self::Parked,
        why: Wake,
        out: &mut Out,
    ) -> Served<Self::Parked>;

    /// Drops what a connection waited for, because it was closed. The place to leave wait lists.
    fn cancel(&self, lp: &mut Self::Loop, parked: Self::Parked) {
        let _ = lp;
        drop(parked);
    }

    /// Takes leave of a closed connection.
    fn closed(&self, lp: &mut Self::Loop, conn: Self::Conn) {
        let _ = lp;
        drop(conn);
    }

    /// Runs once at the end of every turn of a loop, before it sleeps.
    fn turn_end(&self, lp: &mut Self::Loop, now: Now) {
        let _ = (lp, now);
    }
}

/// What [`Service::serve`] and [`Service::resume`] decided about the connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Served<P> {
    /// Every frame taken has been answered.
    Done,
    /// The frames taken last wait for an event. Answers before theirs are already in the output and leave now.
    Park {
        /// Handed back to [`Service::resume`] or [`Service::cancel`].
        parked: P,
        /// When to resume with [`Wake::Timeout`], rounded up to a millisecond; `None` waits for the event alone.
        deadline: Option<Instant>,
    },
    /// The connection ends. What is already in the output is sent first.
    Close,
}

/// Why a parked connection is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Its token was woken. May be spurious.
    Ready,
    /// Its deadline passed.
    Timeout,
    /// The server stops: answer with what there is, or close. Parking again closes the connection.
    Stopping,
}

/// What a call of the [`Service`] may use besides the frames and the output.
pub struct Context<'a, S: Service> {
    /// State of the loop that this call runs on.
    pub lp: &'a mut S::Loop,
    /// State of the connection.
    pub conn: &'a mut S::Conn,
    /// Who is at the other end, and how to wake this connection.
    pub peer: &'a Peer,
    /// The time, read once for this call.
    pub now: Now,
}

/// Both clocks, read together.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For deadlines; never goes backwards.
    pub instant: Instant,
    /// For record timestamps; may jump.
    pub wall: TimestampMs,
}

impl Now {
    /// Reads the clocks: two calls without a system call, about 50 ns.
    #[must_use]
    pub fn read() -> Self {
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        Self { instant: Instant::now(), wall: TimestampMs(wall) }
    }

    /// For state machines: milliseconds since some moment at the start of this process.
    #[must_use]
    pub fn ticks(self) -> Ticks {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        // Never zero, which machines take for long ago.
        let since = self.instant.saturating_duration_since(*START).as_millis();
        Ticks(u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1))
    }
}

/// The two ends of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    pub(super) token: WakeToken,
    pub(super) local_addr: SocketAddr,
    pub(super) peer_addr: SocketAddr,
    pub(super) listener: usize,
}

impl Peer {
    /// Names the wait that this call may begin. Void once that wait has ended, so a late wake-up does no harm.
    #[must_use]
    pub fn token(&self) -> WakeToken {
        self.token
    }

    /// Our address as the client reached it, which is what to advertise when a listener is bound to a wildcard.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The client's address.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer_addr
    }

    /// Index, in the server's list of listeners, of the one that accepted this connection.
    #[must_use]
    pub fn listener(&self) -> usize {
        self.listener
    }
}
