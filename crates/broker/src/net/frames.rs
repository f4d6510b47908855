//! The complete requests inside one receive buffer.

use super::Out;

/// Bytes of the length prefix in front of every request.
pub(super) const PREFIX_SIZE: usize = 4;

/// The complete requests that one connection has received, in order.
///
/// Each is a mutable slice of the receive buffer, so that a service can patch offsets in place and hold many at once
/// to write them together. The bytes are gone when [`Service::serve`](super::Service::serve) returns.
#[derive(Debug)]
pub struct Frames<'a> {
    rest: &'a mut [u8],
    consumed: usize,
    taken: u64,
    request_bytes_max: u32,
}

/// Why a length prefix was refused. The connection is closed without an answer, as Kafka does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameFault {
    Negative(i32),
    TooLarge(i32),
}

impl<'a> Frames<'a> {
    /// Finds frames in `received`, which starts at a length prefix.
    pub(super) fn new(received: &'a mut [u8], request_bytes_max: u32) -> Self {
        Self { rest: received, consumed: 0, taken: 0, request_bytes_max }
    }

    /// Takes the next request's bytes, without the length prefix.
    ///
    /// Returns `None` when no complete request is left, and also while `out` is full: the loop then sends it and calls
    /// the service again, so that a client which asks for much and reads little cannot fill the memory.
    pub fn next(&mut self, out: &Out) -> Option<&'a mut [u8]> {
        if out.is_full() {
            return None;
        }
        let size = PREFIX_SIZE + self.complete_len()?;
        let (frame, rest) = std::mem::take(&mut self.rest).split_at_mut(size);
        self.rest = rest;
        self.consumed += size;
        self.taken += 1;
        Some(&mut frame[PREFIX_SIZE..])
    }

    /// Looks at the request that [`next`](Self::next) would take, whether or not the output is full.
    #[must_use]
    pub fn peek(&self) -> Option<&[u8]> {
        let len = self.complete_len()?;
        self.rest.get(PREFIX_SIZE..PREFIX_SIZE + len)
    }

    fn complete_len(&self) -> Option<usize> {
        let len = frame_len(self.rest, self.request_bytes_max).ok()??;
        (len <= self.rest.len() - PREFIX_SIZE).then_some(len)
    }

    /// Bytes taken so far, with their prefixes.
    pub(super) fn consumed(&self) -> usize {
        self.consumed
    }

    /// Requests taken so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }
}

/// Reads the length prefix at the start of `bytes`; `None` while it has not arrived whole.
pub(super) fn frame_len(bytes: &[u8], request_bytes_max: u32) -> Result<Option<usize>, FrameFault> {
    let Some(prefix) = bytes.first_chunk::<PREFIX_SIZE>() else {
        return Ok(None);
    };
    let raw = i32::from_be_bytes(*prefix);
    let len = u32::try_from(raw).map_err(|_| FrameFault::Negative(raw))?;
    if request_bytes_max < len {
        return Err(FrameFault::TooLarge(raw));
    }
    Ok(Some(len as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(bodies: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for body in bodies {
            bytes.extend_from_slice(&i32::try_from(body.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(body);
        }
        bytes
    }

    #[test]
    fn frames_can_be_held_together_and_patched() {
        let mut bytes = stream(&[b"one", b"", b"three"]);
        bytes.extend_from_slice(&[0, 0]);
        let out = Out::default();
        let mut frames = Frames::new(&mut bytes, 100);
        assert_eq!(frames.peek(), Some(&b"one"[..]));
        let mut held = Vec::new();
        while let Some(frame) = frames.next(&out) {
            held.push(frame);
        }
        assert_eq!(frames.consumed(), 12 + 3 + 5);
        assert_eq!(frames.taken(), 3);
        held[2][0] = b'T';
        held[0][0] = b'O';
        assert_eq!(held, [&b"One"[..], b"", b"Three"]);
        assert_eq!(&bytes[4..7], b"One");
    }

    #[test]
    fn a_bad_prefix_ends_the_frames_before_it() {
        for (prefix, fault) in [
            (-1, FrameFault::Negative(-1)),
            (i32::MIN, FrameFault::Negative(i32::MIN)),
            (101, FrameFault::TooLarge(101)),
            (i32::MAX, FrameFault::TooLarge(i32::MAX)),
        ] {
            let mut bytes = stream(&[b"good"]);
            bytes.extend_from_slice(&prefix.to_be_bytes());
            let mut frames = Frames::new(&mut bytes, 100);
            let out = Out::default();
            assert_eq!(frames.next(&out).as_deref(), Some(&b"good"[..]));
            assert!(frames.next(&out).is_none());
            let consumed = frames.consumed();
            assert_eq!(frame_len(&bytes[consumed..], 100), Err(fault));
        }
        // "GET " as a length is 1,195,725,856: text never looks like a frame.
        assert!(frame_len(b"GET / HTTP/1.1", 104_857_600).is_err());
    }

    #[test]
    fn an_incomplete_frame_is_not_given_out() {
        let whole = stream(&[b"abcdef"]);
        for len in 0..whole.len() {
            let mut bytes = whole[..len].to_vec();
            let mut frames = Frames::new(&mut bytes, 100);
            assert!(frames.peek().is_none(), "{len}");
            assert!(frames.next(&Out::default()).is_none(), "{len}");
        }
    }

    #[test]
    fn a_full_output_holds_frames_back() {
        let mut bytes = stream(&[b"x"]);
        let mut out = Out::default();
        out.buf().resize(super::super::out::OUT_BYTES_FULL, 0);
        let mut frames = Frames::new(&mut bytes, 100);
        assert!(frames.next(&out).is_none());
        assert_eq!(frames.peek(), Some(&b"x"[..]));
    }
}
