//! How a loop drives one connection through a turn.

use std::net::TcpStream;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use super::conn::Conn;
use super::event_loop::{EventLoop, KEPT_OUT_SIZE_MAX, SPARE_OUTS_MAX, Timer, guard};
use super::input::InputState;
use super::send::{Cursor, Progress, Unsent};
use super::{Context, Frames, Now, Out, Served, Service, Wake};

/// Bytes that one connection may receive in a turn before the others get theirs.
const RECEIVE_BYTES_PER_TURN: usize = 1 << 20;
/// Times that the service may be called for one connection in a turn before the others get theirs.
const SERVES_PER_TURN: u32 = 8;
/// An unsent rest up to this size gets memory of its own size instead of keeping the large output.
const UNSENT_COPY_MAX: usize = 64 << 10;
/// How long the one connection that may exceed the budget may take to complete its request while others wait.
const OVERDRAFT_MS_MAX: u64 = 30_000;

/// What one connection has had of a turn.
#[derive(Default)]
struct Share {
    received: usize,
    served: u32,
}

/// What follows from one step of a connection.
enum Step {
    /// There may be more to do at once.
    Again,
    /// Nothing more until something happens.
    Rest,
    /// There is more to do, after the other connections.
    Later,
    Close,
}

impl<S: Service> EventLoop<S> {
    /// Does everything for one connection that can be done now, then puts it back or closes it.
    pub(super) fn drive(&mut self, mut conn: Box<Conn<S>>) {
        let mut share = Share::default();
        let last = loop {
            match self.step(&mut conn, &mut share) {
                Step::Again => {}
                last => break last,
            }
        };
        if let Step::Close = last {
            self.close(*conn);
            return;
        }
        conn.input.rest(&mut self.pool);
        conn.held_since = conn.input.is_large().then(|| conn.held_since.unwrap_or(self.tick));
        let slot = conn.peer.token.slot();
        self.settle_overdraft(&conn, slot);
        self.conns.put(conn);
        if let Step::Later = last {
            self.enqueue(slot);
        }
    }

    /// Sends, resumes, serves or receives: the first of these that is due.
    fn step(&mut self, conn: &mut Conn<S>, share: &mut Share) -> Step {
        if let Some(unsent) = &mut conn.unsent {
            if !conn.writable {
                return Step::Rest;
            }
            match self.sender.send(&conn.socket, &unsent.out, &mut unsent.cursor, &self.stats) {
                Ok(Progress::Done) => {}
                Ok(Progress::Blocked) => {
                    conn.writable = false;
                    conn.active_at = self.tick;
                    return Step::Rest;
                }
                Err(error) => return self.send_failed(conn, &error),
            }
            if let Some(sent) = conn.unsent.take() {
                self.recycle(sent.out);
            }
        }
        if conn.closing {
            return Step::Close;
        }
        if let Some(parked) = conn.parked.take() {
            return match conn.woken.take() {
                Some(why) => self.resume(conn, parked, why),
                None => {
                    conn.parked = Some(parked);
                    if conn.hung_up { Step::Close } else { Step::Rest }
                }
            };
        }
        if self.stopping {
            return Step::Close;
        }
        match conn.input.state(self.shared.request_bytes_max) {
            Ok(InputState::Complete) if share.served == SERVES_PER_TURN => Step::Later,
            Ok(InputState::Complete) => {
                share.served += 1;
                self.serve(conn)
            }
            Ok(InputState::Partial | InputState::Empty) => self.receive(conn, share),
            Err(fault) => {
                self.stats.bad_frames.add(1);
                tracing::debug!(peer = %conn.peer.peer_addr, ?fault, "closed: not a request");
                Step::Close
            }
        }
    }

    fn serve(&mut self, conn: &mut Conn<S>) -> Step {
        assert!(self.out.is_empty(), "the output of a step is sent or put aside before the next");
        let mut frames = Frames::new(conn.input.received(), self.shared.request_bytes_max);
        let (service, out) = (&self.service, &mut self.out);
        let mut cx = Context { lp: &mut self.lp, conn: &mut conn.state, peer: &conn.peer, now: Now::read() };
        let served = guard(&self.stats, || service.serve(&mut cx, &mut frames, out));
        let (consumed, taken) = (frames.consumed(), frames.taken());
        conn.input.consume(consumed);
        conn.held_since = None;
        self.stats.requests.add(taken);
        if consumed == 0 && matches!(served, Some(Served::Done)) {
            tracing::error!("the service left all requests alone without parking");
            return Step::Close;
        }
        self.settle(conn, served, None)
    }

    fn resume(&mut self, conn: &mut Conn<S>, parked: S::Parked, why: Wake) -> Step {
        assert!(self.out.is_empty(), "the output of a step is sent or put aside before the next");
        if let Some(timer) = conn.park_timer.take() {
            self.wheel.cancel(timer);
        }
        self.stats.wakes.add(1);
        conn.active_at = self.tick;
        let (service, out) = (&self.service, &mut self.out);
        let mut cx = Context { lp: &mut self.lp, conn: &mut conn.state, peer: &conn.peer, now: Now::read() };
        let served = guard(&self.stats, || service.resume(&mut cx, parked, why, out));
        self.settle(conn, served, Some(why))
    }

    /// Acts on what the service decided, and sends what it wrote.
    fn settle(&mut self, conn: &mut Conn<S>, served: Option<Served<S::Parked>>, why: Option<Wake>) -> Step {
        match served {
            None => {
                self.out.clear();
                return Step::Close;
            }
            Some(Served::Done) => conn.end_wait(),
            Some(Served::Close) => conn.closing = true,
            Some(Served::Park { parked, deadline }) => {
                conn.parked = Some(parked);
                if why == Some(Wake::Stopping) {
                    conn.closing = true;
                } else {
                    self.stats.parks.add(1);
                    conn.park_timer = deadline.map(|deadline| {
                        let due = self.tick_at(deadline, u128::div_ceil);
                        self.wheel.insert(due, Timer::Park(conn.peer.token))
                    });
                    if self.stopping {
                        conn.woken = Some(Wake::Stopping);
                    }
                }
            }
        }
        if self.out.is_empty() {
            return Step::Again;
        }
        let mut cursor = Cursor::default();
        match self.sender.send(&conn.socket, &self.out, &mut cursor, &self.stats) {
            Ok(Progress::Done) => {
                self.out.clear();
                if KEPT_OUT_SIZE_MAX < self.out.bytes.capacity() {
                    self.out.bytes = Vec::new();
                }
                Step::Again
            }
            Ok(Progress::Blocked) => {
                conn.writable = false;
                let fresh = self.spare_outs.pop().unwrap_or_default();
                let out = std::mem::replace(&mut self.out, fresh);
                conn.unsent = Some(Box::new(self.put_aside(out, cursor)));
                Step::Rest
            }
            Err(error) => {
                self.out.clear();
                self.send_failed(conn, &error)
            }
        }
    }

    fn receive(&mut self, conn: &mut Conn<S>, share: &mut Share) -> Step {
        if !conn.readable {
            return Step::Rest;
        }
        if RECEIVE_BYTES_PER_TURN <= share.received {
            return Step::Later;
        }
        let slot = conn.peer.token.slot();
        let mut allowed = usize::MAX;
        if self.shared.budget.is_exhausted() && !self.may_overdraw(slot) {
            // Clients with small requests shall not notice.
            allowed = conn.input.small_room();
            if allowed == 0 {
                if !conn.starved {
                    conn.starved = true;
                    self.starved.push_back(slot);
                }
                return Step::Rest;
            }
        }
        let Some(room) = conn.input.room(&mut self.pool, self.shared.request_bytes_max) else {
            tracing::warn!(peer = %conn.peer.peer_addr, "closed: no memory for its request");
            return Step::Close;
        };
        let wanted = room.len().min(allowed);
        let room = &mut room[..wanted];
        self.stats.receives.add(1);
        match recv_from(&conn.socket, room) {
            Ok(0) => Step::Close,
            Ok(count) => {
                conn.input.received_more(count);
                self.stats.bytes_in.add(count as u64);
                conn.active_at = self.tick;
                share.received += count;
                // A short receive has emptied the socket, and its next edge is still to come; unless the end has been
                // reported already, which only another receive can see.
                conn.readable = count == wanted || conn.hung_up;
                Step::Again
            }
            Err(Errno::EAGAIN) => {
                conn.readable = false;
                Step::Rest
            }
            Err(Errno::EINTR) => Step::Again,
            Err(_) => Step::Close,
        }
    }

    /// Whether the connection in `slot` is, or now becomes, the one that may exceed the budget.
    fn may_overdraw(&mut self, slot: usize) -> bool {
        let (holder, _) = *self.overdraft.get_or_insert((slot, self.tick + OVERDRAFT_MS_MAX));
        holder == slot
    }

    /// Ends the exception for a connection that is not in the middle of a request any more.
    fn settle_overdraft(&mut self, conn: &Conn<S>, slot: usize) {
        if self.overdraft.is_some_and(|(holder, _)| holder == slot) {
            let state = conn.input.state(self.shared.request_bytes_max);
            let in_a_request = state == Ok(InputState::Partial) && conn.parked.is_none();
            if !in_a_request || !self.shared.budget.is_exhausted() {
                self.overdraft = None;
            }
        }
    }

    fn put_aside(&mut self, mut out: Out, cursor: Cursor) -> Unsent {
        let rest = out.bytes.len() - cursor.bytes_sent();
        if rest <= UNSENT_COPY_MAX && UNSENT_COPY_MAX < out.bytes.capacity() {
            let sent = cursor.bytes_sent();
            let mut small = Out { bytes: out.bytes[sent..].to_vec(), ..Out::default() };
            for mut slice in out.slices.drain(cursor.slices_sent()..) {
                slice.at -= sent;
                small.slice_bytes += u64::from(slice.length);
                small.slices.push(slice);
            }
            self.recycle(out);
            return Unsent { out: small, cursor: cursor.rebased() };
        }
        Unsent { out, cursor }
    }

    fn recycle(&mut self, mut out: Out) {
        out.clear();
        let worth_keeping = UNSENT_COPY_MAX < out.bytes.capacity() && out.bytes.capacity() <= KEPT_OUT_SIZE_MAX;
        if worth_keeping && self.spare_outs.len() < SPARE_OUTS_MAX {
            self.spare_outs.push(out);
        }
    }

    fn send_failed(&self, conn: &Conn<S>, error: &std::io::Error) -> Step {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset => {}
            _ => tracing::warn!(peer = %conn.peer.peer_addr, %error, "closed: an answer could not be sent"),
        }
        Step::Close
    }

    /// Ends a connection that has been taken out of the slab.
    pub(super) fn close(&mut self, mut conn: Conn<S>) {
        let token = conn.peer.token;
        self.wheel.cancel(conn.idle_timer);
        if let Some(timer) = conn.park_timer.take() {
            self.wheel.cancel(timer);
        }
        if self.overdraft.is_some_and(|(holder, _)| holder == token.slot()) {
            self.overdraft = None;
        }
        let (service, lp) = (&self.service, &mut self.lp);
        if let Some(parked) = conn.parked.take() {
            guard(&self.stats, || service.cancel(lp, parked));
        }
        let state = std::mem::take(&mut conn.state);
        guard(&self.stats, || service.closed(lp, state));
        // Its place under the limits is free before anyone can see that it is closed.
        drop(conn);
        self.conns.release(token);
        self.stats.connections_closed.add(1);
    }
}

fn recv_from(socket: &TcpStream, room: &mut [u8]) -> Result<usize, Errno> {
    recv(socket.as_raw_fd(), room, MsgFlags::empty())
}
