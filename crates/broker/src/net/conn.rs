//! One connection, and the slab that a loop keeps its connections in.

use std::net::TcpStream;

use super::accept::Admitted;
use super::input::Input;
use super::send::Unsent;
use super::waker::SLOTS_MAX;
use super::{Peer, Service, Wake, WakeToken};
use crate::purgatory::TimerKey;

/// One connection of one loop.
///
/// Holds no buffers between requests: an idle connection is this struct, about 300 bytes with the service's state.
pub(super) struct Conn<S: Service> {
    pub(super) socket: TcpStream,
    pub(super) peer: Peer,
    pub(super) state: S::Conn,
    pub(super) input: Input,
    /// Answers that the socket did not take yet. While there are any, no request is served.
    pub(super) unsent: Option<Box<Unsent>>,
    pub(super) parked: Option<S::Parked>,
    pub(super) park_timer: Option<TimerKey>,
    /// Why the parked request is to be resumed, once that has been decided.
    pub(super) woken: Option<Wake>,
    pub(super) idle_timer: TimerKey,
    /// Tick of the last byte that moved.
    pub(super) active_at: u64,
    /// Since when the connection has held much receive memory without a request being served.
    pub(super) held_since: Option<u64>,
    /// The socket may have bytes for us: set by its edge, cleared by a receive that took less than it could.
    pub(super) readable: bool,
    /// The socket may take bytes: set by its edge, cleared by a send that was not taken whole.
    pub(super) writable: bool,
    /// The client will send nothing more, so receiving goes on until it says so.
    pub(super) hung_up: bool,
    /// The connection ends once its answers are sent.
    pub(super) closing: bool,
    /// In the queue of the loop's turn.
    pub(super) queued: bool,
    /// In the queue for receive memory.
    pub(super) starved: bool,
    _admission: Admitted,
}

impl<S: Service> Conn<S> {
    pub(super) fn new(
        socket: TcpStream,
        peer: Peer,
        input: Input,
        idle_timer: TimerKey,
        active_at: u64,
        admission: Admitted,
    ) -> Self {
        Self {
            socket,
            peer,
            state: S::Conn::default(),
            input,
            unsent: None,
            parked: None,
            park_timer: None,
            woken: None,
            idle_timer,
            active_at,
            held_since: None,
            readable: false,
            writable: true,
            hung_up: false,
            closing: false,
            queued: false,
            starved: false,
            _admission: admission,
        }
    }

    /// Ends the current wait: tokens given out for it become void.
    pub(super) fn end_wait(&mut self) {
        self.peer.token = self.peer.token.next_wait();
        self.woken = None;
    }
}

/// The connections of one loop, by slot.
///
/// A connection is taken out while it is driven and put back after.
pub(super) struct Slab<S: Service> {
    loop_index: usize,
    places: Vec<Place<S>>,
    free: Vec<u32>,
    open: usize,
}

struct Place<S: Service> {
    conn: Option<Box<Conn<S>>>,
    /// The first token of the next connection in this place.
    token: WakeToken,
}

impl<S: Service> Slab<S> {
    pub(super) fn new(loop_index: usize) -> Self {
        Self { loop_index, places: Vec::new(), free: Vec::new(), open: 0 }
    }

    /// Number of connections, those being driven included.
    pub(super) fn len(&self) -> usize {
        self.open
    }

    /// Number of slots, free ones included.
    pub(super) fn slots(&self) -> usize {
        self.places.len()
    }

    /// Reserves a place; the caller puts a connection with this token there, or releases it.
    pub(super) fn reserve(&mut self) -> Option<WakeToken> {
        let slot = match self.free.pop() {
            Some(slot) => slot as usize,
            None if self.places.len() == SLOTS_MAX => return None,
            None => {
                let slot = self.places.len();
                self.places.push(Place { conn: None, token: WakeToken::new(self.loop_index, slot, 0) });
                slot
            }
        };
        self.open += 1;
        Some(self.places[slot].token)
    }

    /// Frees the place of a connection that was taken out, or never put in.
    pub(super) fn release(&mut self, last: WakeToken) {
        let slot = last.slot();
        assert!(self.places[slot].conn.is_none(), "a place is freed after its connection left");
        self.places[slot].token = last.next_wait();
        self.free.push(slot as u32);
        self.open -= 1;
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Conn<S>> {
        self.places.get_mut(slot)?.conn.as_deref_mut()
    }

    pub(super) fn take(&mut self, slot: usize) -> Option<Box<Conn<S>>> {
        self.places.get_mut(slot)?.conn.take()
    }

    pub(super) fn put(&mut self, conn: Box<Conn<S>>) {
        let slot = conn.peer.token.slot();
        self.places[slot].conn = Some(conn);
    }
}
