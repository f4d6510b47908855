//! Answers as they arrive.

use bytes::{Bytes, BytesMut};
use highwater_wire::frame::{FrameDecoder, FrameError, FrameStatus, SIZE_BYTES};

/// Cuts a stream of bytes into answers. An answer is not copied: whoever keeps it keeps the memory that it came to.
///
/// Memory grows as bytes arrive, since the size in front of an answer is only a claim.
#[derive(Debug)]
pub(super) struct Frames {
    decoder: FrameDecoder,
    /// What has arrived, then room that has been zeroed.
    bytes: BytesMut,
    filled: usize,
}

impl Frames {
    /// For answers of at most `answer_bytes_max`.
    pub(super) fn new(answer_bytes_max: usize) -> Self {
        Self { decoder: FrameDecoder::new(answer_bytes_max), bytes: BytesMut::new(), filled: 0 }
    }

    /// Where to read more bytes to: at least one, and not more than the answer lacks if it is a large one.
    pub(super) fn room(&mut self) -> &mut [u8] {
        let wanted = match self.decoder.decode(&self.bytes[..self.filled]) {
            // What has arrived at least once more: a claim alone does not make room.
            Ok(FrameStatus::NeedMore(missing)) => missing.clamp(ROOM_BYTES, self.filled.max(ROOM_BYTES)),
            _ => ROOM_BYTES,
        };
        let end = self.filled + wanted;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.filled..end]
    }

    /// Takes note of `count` bytes that were read to the beginning of the [`room`](Self::room).
    pub(super) fn fill(&mut self, count: usize) {
        self.filled = (self.filled + count).min(self.bytes.len());
    }

    /// The next whole answer, without its size.
    ///
    /// # Errors
    ///
    /// If its size is negative or above the limit.
    pub(super) fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        match self.decoder.decode(&self.bytes[..self.filled])? {
            FrameStatus::NeedMore(_) => Ok(None),
            FrameStatus::Frame(size) => {
                let frame = self.bytes.split_to(SIZE_BYTES + size).freeze();
                self.filled -= frame.len();
                Ok(Some(frame.slice(SIZE_BYTES..)))
            }
        }
    }
}

/// Room for at least so much at a time.
const ROOM_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(size: usize, byte: u8) -> Vec<u8> {
        let mut frame = u32::try_from(size).unwrap().to_be_bytes().to_vec();
        frame.resize(SIZE_BYTES + size, byte);
        frame
    }

    /// Everything that comes of `bytes`, at most `step` at a time.
    fn cut(frames: &mut Frames, mut bytes: &[u8], step: usize) -> Vec<Bytes> {
        let mut cut = Vec::new();
        while !bytes.is_empty() {
            let room = frames.room();
            let count = room.len().min(step).min(bytes.len());
            assert!(0 < count);
            room[..count].copy_from_slice(&bytes[..count]);
            frames.fill(count);
            bytes = &bytes[count..];
            while let Some(frame) = frames.next_frame().unwrap() {
                cut.push(frame);
            }
        }
        cut
    }

    #[test]
    fn answers_of_any_size_arrive_in_parts_of_any_size() {
        for step in [1, 7, 16_383, usize::MAX] {
            let mut frames = Frames::new(1 << 20);
            let sizes = [0, 1, 100_000, 5, 16_380, 16_384, 3];
            let stream: Vec<u8> = sizes.iter().zip(1..).flat_map(|(size, byte)| frame(*size, byte)).collect();
            let cut = cut(&mut frames, &stream, step);
            let expected: Vec<Vec<u8>> = sizes.iter().zip(1..).map(|(size, byte)| vec![byte; *size]).collect();
            assert_eq!(cut, expected, "{step} at a time");
        }
    }

    #[test]
    fn a_claim_does_not_take_memory() {
        let mut frames = Frames::new(100 << 20);
        let claim = (100_u32 << 20).to_be_bytes();
        assert!(cut(&mut frames, &claim, 4).is_empty());
        assert!(frames.room().len() <= ROOM_BYTES);
        let mut arrived = claim.len();
        for _ in 0..6 {
            let room = frames.room().len();
            assert!(room <= arrived.max(ROOM_BYTES), "{room} after {arrived}");
            frames.fill(room);
            arrived += room;
        }
    }

    #[test]
    fn a_size_above_the_limit_is_refused() {
        let mut frames = Frames::new(10);
        frames.room()[..4].copy_from_slice(&11_u32.to_be_bytes());
        frames.fill(4);
        frames.next_frame().unwrap_err();
    }
}
