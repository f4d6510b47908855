//! Answers as they arrive.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use bytes::{BufMut, Bytes, BytesMut};
use highwater_wire::frame::{FrameDecoder, FrameError, FrameStatus, SIZE_BYTES};
use nix::errno::Errno;
use nix::libc;

/// Cuts a stream of bytes into answers. An answer is not copied: whoever keeps it keeps the memory that it came to.
///
/// Address space is set aside for a whole answer, up to a limit, and memory is used as bytes arrive: the size in front of
/// an answer is only a claim.
#[derive(Debug)]
pub(super) struct Frames {
    decoder: FrameDecoder,
    bytes: BytesMut,
}

impl Frames {
    /// For answers of at most `answer_bytes_max`.
    pub(super) fn new(answer_bytes_max: usize) -> Self {
        Self { decoder: FrameDecoder::new(answer_bytes_max), bytes: BytesMut::new() }
    }

    /// Reads what has arrived. How many bytes were read, and for how many there was room.
    pub(super) fn receive(&mut self, from: BorrowedFd<'_>) -> Result<(usize, usize), Errno> {
        let room = self.room();
        let (start, size) = (room.as_mut_ptr(), room.len());
        // SAFETY: the kernel writes at most `size` bytes to `start`, which are room that nobody else uses meanwhile.
        let count = Errno::result(unsafe { libc::recv(from.as_raw_fd(), start.cast(), size, 0) })?;
        let count = usize::try_from(count).unwrap_or_default().min(size);
        // SAFETY: the kernel has written that many bytes to the beginning of the room.
        unsafe { self.bytes.advance_mut(count) };
        Ok((count, size))
    }

    /// Where to read more bytes to: at least one.
    fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        let missing = match self.decoder.decode(&self.bytes) {
            Ok(FrameStatus::NeedMore(missing)) => missing,
            _ => 0,
        };
        // Of a larger answer that much has to have arrived before there is room for more.
        let reserved = missing.min(self.bytes.len().max(RESERVED_BYTES_MAX));
        if self.bytes.capacity() - self.bytes.len() < reserved.max(ROOM_BYTES_MIN) {
            self.bytes.reserve(reserved.max(ROOM_BYTES));
        }
        self.bytes.spare_capacity_mut()
    }

    /// The next whole answer, without its size.
    ///
    /// # Errors
    ///
    /// If its size is negative or above the limit.
    pub(super) fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        match self.decoder.decode(&self.bytes)? {
            FrameStatus::NeedMore(_) => Ok(None),
            FrameStatus::Frame(size) => {
                let frame = self.bytes.split_to(SIZE_BYTES + size).freeze();
                Ok(Some(frame.slice(SIZE_BYTES..)))
            }
        }
    }
}

/// Room that is made where little is known.
const ROOM_BYTES: usize = 64 * 1024;
/// With less room than this more is made.
const ROOM_BYTES_MIN: usize = 4 * 1024;
/// As much of an answer as its size alone makes room for.
const RESERVED_BYTES_MAX: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    fn frame(size: usize, byte: u8) -> Vec<u8> {
        let mut frame = u32::try_from(size).unwrap().to_be_bytes().to_vec();
        frame.resize(SIZE_BYTES + size, byte);
        frame
    }

    /// Everything that comes of `bytes`, at most `step` at a time.
    fn cut(frames: &mut Frames, bytes: &[u8], step: usize) -> Vec<Bytes> {
        let (mut here, there) = UnixStream::pair().unwrap();
        let mut cut = Vec::new();
        for part in bytes.chunks(step.min(50_000)) {
            here.write_all(part).unwrap();
            let mut left = part.len();
            while 0 < left {
                let (count, room) = frames.receive(there.as_fd()).unwrap();
                assert!(0 < count && count <= room);
                left -= count;
                while let Some(frame) = frames.next_frame().unwrap() {
                    cut.push(frame);
                }
            }
        }
        cut
    }

    #[test]
    fn answers_of_any_size_arrive_in_parts_of_any_size() {
        for step in [7, 16_383, usize::MAX] {
            let mut frames = Frames::new(1 << 20);
            let sizes = [0, 1, 100_000, 5, 16_380, 16_384, 3, 1 << 20];
            let stream: Vec<u8> = sizes.iter().zip(1..).flat_map(|(size, byte)| frame(*size, byte)).collect();
            let cut = cut(&mut frames, &stream, step);
            let expected: Vec<Vec<u8>> = sizes.iter().zip(1..).map(|(size, byte)| vec![byte; *size]).collect();
            assert_eq!(cut, expected, "{step} at a time");
        }
    }

    #[test]
    fn a_claim_makes_room_up_to_a_limit() {
        let mut frames = Frames::new(1 << 30);
        assert!(cut(&mut frames, &(1_u32 << 30).to_be_bytes(), 4).is_empty());
        assert!(frames.room().len() <= 2 * RESERVED_BYTES_MAX, "{}", frames.room().len());
    }

    #[test]
    fn a_size_above_the_limit_is_refused() {
        let mut frames = Frames::new(10);
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(&11_u32.to_be_bytes()).unwrap();
        frames.receive(there.as_fd()).unwrap();
        frames.next_frame().unwrap_err();
    }

    #[test]
    fn the_end_is_no_bytes() {
        let mut frames = Frames::new(10);
        let (here, there) = UnixStream::pair().unwrap();
        drop(here);
        assert_eq!(frames.receive(there.as_fd()).unwrap().0, 0);
    }
}
