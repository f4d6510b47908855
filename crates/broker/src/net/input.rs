//! Receive buffers: where the bytes of requests arrive, and who holds how much.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::frames::{FrameFault, PREFIX_SIZE, frame_len};

/// Size of an ordinary receive buffer and most bytes of one receive: it stays in the second-level cache.
pub(super) const PIECE_SIZE: usize = 256 << 10;
/// Leftovers up to this size move to memory of their own between turns, so that the piece can serve others.
const STASH_SIZE_MAX: usize = 16 << 10;
/// A buffer grows to at most this many times what has arrived, whatever the length prefix claims.
const GROWTH_MAX: usize = 8;
/// Largest buffer that a connection asks for in advance because its last request was that large.
const HINT_SIZE_MAX: usize = 4 << 20;
/// What a connection may hold although the budget is exhausted: enough for most requests without records.
pub(super) const SMALL_SIZE_MAX: usize = 4 << 10;
/// Memory that the pool of one loop keeps for reuse.
const POOL_BYTES_MAX: usize = 16 << 20;

/// How much receive memory the connections of a server may hold between turns.
///
/// Over the limit, a loop reads no more than [`SMALL_SIZE_MAX`] from its connections but for one at a time, which may go
/// on until its request is whole. So memory is bounded by the limit, plus one request and one buffer per loop and a
/// little per connection, and there is always progress.
pub(crate) struct ReceiveBudget {
    held: AtomicUsize,
    max: usize,
}

impl ReceiveBudget {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), max })
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.max <= self.held.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// Buffers of one loop for reuse. Fresh memory costs ten times what filling it does, so buffers are kept, and the one
/// given back last is given out first.
#[derive(Default)]
pub(super) struct Pool {
    /// By power of two, from [`PIECE_SIZE`].
    classes: [Vec<Vec<u8>>; 16],
    bytes: usize,
}

impl Pool {
    /// A buffer of at least `size` bytes whose length is its capacity; `None` if there is no memory for it.
    fn take(&mut self, size: usize) -> Option<Vec<u8>> {
        let class = Self::class(size);
        let size = PIECE_SIZE << class;
        if let Some(buf) = self.classes.get_mut(class)?.pop() {
            self.bytes -= buf.len();
            return Some(buf);
        }
        // The size follows a peer's wish, so running out of memory must not end the process. Zeroed memory fresh from
        // the operating system is committed page by page as it is written to.
        let layout = std::alloc::Layout::array::<u8>(size).ok()?;
        // SAFETY: `size` is not 0, being at least PIECE_SIZE.
        let start = unsafe { std::alloc::alloc_zeroed(layout) };
        if start.is_null() {
            return None;
        }
        // SAFETY: `start` was just allocated by the global allocator with the layout of `size` bytes, all initialised
        // to zero, and belongs to nobody else.
        Some(unsafe { Vec::from_raw_parts(start, size, size) })
    }

    fn give(&mut self, buf: Vec<u8>) {
        let class = Self::class(buf.len());
        let fits = self.bytes + buf.len() <= POOL_BYTES_MAX;
        if fits
            && buf.len() == PIECE_SIZE << class
            && let Some(buffers) = self.classes.get_mut(class)
        {
            self.bytes += buf.len();
            buffers.push(buf);
        }
    }

    fn class(size: usize) -> usize {
        let size = size.max(PIECE_SIZE).next_power_of_two();
        (size / PIECE_SIZE).trailing_zeros() as usize
    }
}

/// What one connection has received and not yet consumed.
///
/// Holds no memory while it holds no bytes.
pub(super) struct Input {
    buf: Vec<u8>,
    start: usize,
    end: usize,
    /// Size of the last request if that was large, so that the next one like it is received without moving.
    hint: u32,
    /// Bytes counted against the budget.
    counted: usize,
    budget: Arc<ReceiveBudget>,
}

/// Where [`Input::state`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputState {
    /// There is a whole request.
    Complete,
    /// This many bytes of the next request have arrived, but not all.
    Partial,
    /// Between requests.
    Empty,
}

impl Input {
    pub(super) fn new(budget: Arc<ReceiveBudget>) -> Self {
        Self { buf: Vec::new(), start: 0, end: 0, hint: 0, counted: 0, budget }
    }

    /// Whether there is something to serve.
    pub(super) fn state(&self, request_bytes_max: u32) -> Result<InputState, FrameFault> {
        let have = self.end - self.start;
        Ok(match frame_len(&self.buf[self.start..self.end], request_bytes_max)? {
            Some(len) if len <= have - PREFIX_SIZE => InputState::Complete,
            None if have == 0 => InputState::Empty,
            _ => InputState::Partial,
        })
    }

    /// The bytes received, starting at a length prefix.
    pub(super) fn received(&mut self) -> &mut [u8] {
        &mut self.buf[self.start..self.end]
    }

    /// Drops bytes that were served.
    pub(super) fn consume(&mut self, count: usize) {
        assert!(count <= self.end - self.start, "consumed more than was received");
        self.hint = if PIECE_SIZE < count { count.min(HINT_SIZE_MAX) as u32 } else { 0 };
        self.start += count;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Room for the next receive, at most [`PIECE_SIZE`]; `None` if there is no memory.
    pub(super) fn room(&mut self, pool: &mut Pool, request_bytes_max: u32) -> Option<&mut [u8]> {
        let have = self.end - self.start;
        let wanted = match frame_len(&self.buf[self.start..self.end], request_bytes_max) {
            Ok(Some(len)) => PREFIX_SIZE + len,
            _ => self.hint as usize,
        };
        // What has arrived decides how much memory a claim may get.
        let allowed = (have.max(PIECE_SIZE / GROWTH_MAX) * GROWTH_MAX).max(self.hint as usize);
        let size = wanted.clamp(PIECE_SIZE, allowed.max(PIECE_SIZE));
        if self.buf.len() < size {
            let mut buf = pool.take(size)?;
            buf[..have].copy_from_slice(&self.buf[self.start..self.end]);
            pool.give(std::mem::replace(&mut self.buf, buf));
            self.start = 0;
            self.end = have;
        } else if self.start > 0 {
            self.buf.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = have;
        }
        let end = self.buf.len().min(self.end + PIECE_SIZE);
        Some(&mut self.buf[self.end..end])
    }

    /// How many more bytes may be received although the budget is exhausted.
    pub(super) fn small_room(&self) -> usize {
        SMALL_SIZE_MAX.saturating_sub(self.end - self.start)
    }

    /// Whether this holds what would be worth giving back when memory is short.
    pub(super) fn is_large(&self) -> bool {
        SMALL_SIZE_MAX < self.counted
    }

    /// Counts bytes that were received into [`room`](Self::room).
    pub(super) fn received_more(&mut self, count: usize) {
        self.end += count;
        assert!(self.end <= self.buf.len(), "received more than there was room for");
    }

    /// Gives back what is not needed until the next turn, and settles with the budget.
    pub(super) fn rest(&mut self, pool: &mut Pool) {
        let have = self.end - self.start;
        if have == 0 {
            if !self.buf.is_empty() {
                pool.give(std::mem::take(&mut self.buf));
            }
        } else if PIECE_SIZE <= self.buf.len()
            && (have <= STASH_SIZE_MAX || self.budget.is_exhausted() && have <= self.buf.len() / 2)
        {
            let stash = self.buf[self.start..self.end].to_vec();
            pool.give(std::mem::replace(&mut self.buf, stash));
            self.start = 0;
            self.end = have;
        }
        let holds = self.buf.len();
        if holds != self.counted {
            if self.counted < holds {
                self.budget.held.fetch_add(holds - self.counted, Ordering::Relaxed);
            } else {
                self.budget.held.fetch_sub(self.counted - holds, Ordering::Relaxed);
            }
            self.counted = holds;
        }
    }

    /// Bytes of memory held between turns.
    #[cfg(test)]
    fn holds(&self) -> usize {
        self.buf.len()
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u32 = 100 << 20;

    /// Receives `bytes` in turns of `step` bytes, as a socket would bring them.
    fn receive(input: &mut Input, pool: &mut Pool, bytes: &[u8], step: usize) {
        for mut part in bytes.chunks(step) {
            while !part.is_empty() {
                let room = input.room(pool, MAX).unwrap();
                let count = room.len().min(part.len());
                room[..count].copy_from_slice(&part[..count]);
                part = &part[count..];
                input.received_more(count);
            }
            input.rest(pool);
        }
    }

    fn request(len: usize) -> Vec<u8> {
        let mut bytes = i32::try_from(len).unwrap().to_be_bytes().to_vec();
        bytes.extend((0..len).map(|index| (index % 251) as u8));
        bytes
    }

    #[test]
    fn memory_follows_what_arrived_and_not_what_was_claimed() {
        let budget = ReceiveBudget::new(usize::MAX);
        let mut pool = Pool::default();
        let mut input = Input::new(Arc::clone(&budget));
        let bytes = request(60 << 20);
        receive(&mut input, &mut pool, &bytes[..5], 5);
        assert_eq!(input.holds(), 5, "a claim of 60 MiB holds its five bytes");
        receive(&mut input, &mut pool, &bytes[5..70_000], 10_000);
        assert!(input.holds() <= GROWTH_MAX * 70_000, "{}", input.holds());
        assert_eq!(budget.held(), input.holds());
        receive(&mut input, &mut pool, &bytes[70_000..], PIECE_SIZE);
        assert_eq!(input.state(MAX), Ok(InputState::Complete));
        assert_eq!(input.received(), bytes);
        let count = bytes.len();
        input.consume(count);
        input.rest(&mut pool);
        assert_eq!((input.holds(), budget.held()), (0, 0));
        assert!(pool.bytes <= POOL_BYTES_MAX);
    }

    #[test]
    fn every_way_to_tear_the_stream_gives_the_same_requests() {
        let small: &[usize] = &[0, 1, 17, 3000, 5];
        let large: &[usize] = &[0, 1, 17, 16_384, 300_000, 5, 1 << 20, 40];
        for (step, lens) in
            [(1, small), (3, small), (4096, large), (65_537, large), (PIECE_SIZE, large), (3 << 20, large)]
        {
            let stream: Vec<u8> = lens.iter().flat_map(|&len| request(len)).collect();
            let mut pool = Pool::default();
            let mut input = Input::new(ReceiveBudget::new(usize::MAX));
            let mut expected = lens.iter();
            for mut part in stream.chunks(step) {
                while !part.is_empty() {
                    let room = input.room(&mut pool, MAX).unwrap();
                    let count = room.len().min(part.len());
                    assert!(count > 0, "an incomplete request has room");
                    room[..count].copy_from_slice(&part[..count]);
                    part = &part[count..];
                    input.received_more(count);
                    while input.state(MAX) == Ok(InputState::Complete) {
                        let len = *expected.next().unwrap();
                        assert_eq!(input.received()[..PREFIX_SIZE + len], request(len), "step {step}");
                        input.consume(PREFIX_SIZE + len);
                    }
                }
                input.rest(&mut pool);
            }
            assert_eq!(expected.next(), None, "step {step}");
            assert_eq!(input.holds(), 0);
        }
    }

    #[test]
    fn large_requests_reuse_one_buffer_without_moving() {
        let mut pool = Pool::default();
        let mut input = Input::new(ReceiveBudget::new(usize::MAX));
        let bytes = request(1 << 20);
        receive(&mut input, &mut pool, &bytes, bytes.len());
        let first = input.buf.as_ptr();
        input.consume(bytes.len());
        input.rest(&mut pool);
        let room = input.room(&mut pool, MAX).unwrap();
        assert_eq!(room.as_ptr(), first, "the next request starts in the buffer that fits it");
        input.rest(&mut pool);
        receive(&mut input, &mut pool, &request(9), 13);
        input.consume(13);
        input.rest(&mut pool);
        input.room(&mut pool, MAX).unwrap();
        assert_eq!(input.holds(), PIECE_SIZE, "and a small request brings the small buffer back");
    }

    #[test]
    fn an_exhausted_budget_leaves_exact_sizes_and_recovers() {
        let budget = ReceiveBudget::new(100_000);
        let mut pool = Pool::default();
        let mut first = Input::new(Arc::clone(&budget));
        let bytes = request(250_000);
        receive(&mut first, &mut pool, &bytes[..50_000], 50_000);
        assert_eq!(first.holds(), PIECE_SIZE);
        assert!(budget.is_exhausted());
        let mut second = Input::new(Arc::clone(&budget));
        receive(&mut second, &mut pool, &bytes[..60_000], 60_000);
        assert_eq!(second.holds(), 60_000);
        drop(first);
        assert_eq!(budget.held(), 60_000);
        assert!(!budget.is_exhausted());
        receive(&mut second, &mut pool, &bytes[60_000..], 50_000);
        assert_eq!(second.received(), bytes);
    }
}
