//! The bytes of one answer as they arrive.

use highwater_wire::frame::{FrameDecoder, FrameError, FrameStatus, SIZE_BYTES};

/// Memory for one answer at a time, kept for the next one.
///
/// It grows as bytes arrive, since the size in front of an answer is only a claim. What has been grown is zeroed once,
/// not for every answer.
#[derive(Debug)]
pub(super) struct AnswerBuffer {
    decoder: FrameDecoder,
    bytes: Vec<u8>,
    /// How many of them have arrived.
    filled: usize,
    /// Size of the answer, once that has arrived.
    size: Option<usize>,
}

impl AnswerBuffer {
    /// For answers of at most `answer_bytes_max`.
    pub(super) fn new(answer_bytes_max: usize) -> Self {
        Self { decoder: FrameDecoder::new(answer_bytes_max), bytes: Vec::new(), filled: 0, size: None }
    }

    /// Makes room for the next answer. What has arrived behind the last one stays, as the beginning of it.
    pub(super) fn begin(&mut self) {
        let end = self.end().map_or(0, |end| end.min(self.filled));
        self.bytes.copy_within(end..self.filled, 0);
        self.filled -= end;
        self.size = None;
    }

    /// Whether the answer has arrived whole.
    ///
    /// # Errors
    ///
    /// If its size is negative or above the limit.
    pub(super) fn is_complete(&mut self) -> Result<bool, FrameError> {
        if self.size.is_none()
            && let Some(prefix) = self.bytes[..self.filled].first_chunk::<SIZE_BYTES>()
        {
            self.size = Some(match self.decoder.decode(prefix)? {
                FrameStatus::Frame(size) | FrameStatus::NeedMore(size) => size,
            });
        }
        Ok(self.end().is_some_and(|end| end <= self.filled))
    }

    /// Where to read more bytes to, at least one; and whether all of it belongs to the answer.
    pub(super) fn room(&mut self) -> (&mut [u8], bool) {
        let wanted = self.end().unwrap_or(GROWTH_BYTES).max(self.filled + 1);
        // Never more than twice what is there.
        let grown = wanted.min(self.filled + self.filled.max(GROWTH_BYTES));
        if self.bytes.len() < grown {
            self.bytes.resize(grown, 0);
        }
        let end = self.end();
        let room = match end {
            Some(end) => end.min(self.bytes.len()),
            None => self.bytes.len(),
        };
        (&mut self.bytes[self.filled..room], end.is_some())
    }

    /// Takes note of `count` bytes that were read to the beginning of the [`room`](Self::room).
    pub(super) fn fill(&mut self, count: usize) {
        self.filled = (self.filled + count).min(self.bytes.len());
    }

    /// The answer, without its size. Empty if it has not arrived.
    pub(super) fn answer(&self) -> &[u8] {
        self.end().and_then(|end| self.bytes[..self.filled].get(SIZE_BYTES..end)).unwrap_or_default()
    }

    fn end(&self) -> Option<usize> {
        self.size.map(|size| SIZE_BYTES + size)
    }
}

/// What is read at once when nothing is known of an answer, and the least by which the memory grows.
const GROWTH_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives the buffer these bytes, at most `step` at a time, until it holds an answer. What it did not take.
    fn feed<'a>(buffer: &mut AnswerBuffer, mut bytes: &'a [u8], step: usize) -> &'a [u8] {
        buffer.begin();
        while !buffer.is_complete().unwrap() {
            let (room, _) = buffer.room();
            let count = room.len().min(step).min(bytes.len());
            assert!(0 < count, "there is room, and the answer is not longer than what is there");
            room[..count].copy_from_slice(&bytes[..count]);
            buffer.fill(count);
            bytes = &bytes[count..];
        }
        bytes
    }

    fn frame(size: usize, byte: u8) -> Vec<u8> {
        let mut frame = u32::try_from(size).unwrap().to_be_bytes().to_vec();
        frame.resize(SIZE_BYTES + size, byte);
        frame
    }

    #[test]
    fn answers_of_any_size_arrive_in_parts_of_any_size() {
        let mut buffer = AnswerBuffer::new(1 << 20);
        for (size, step) in [(0, 1), (10, 1), (10, 7), (200_000, 30_000), (5, 100_000), (1 << 20, usize::MAX)] {
            let bytes = frame(size, 7);
            assert!(feed(&mut buffer, &bytes, step).is_empty());
            assert_eq!(buffer.answer(), &bytes[SIZE_BYTES..], "{size} bytes, {step} at a time");
        }
    }

    #[test]
    fn what_arrives_behind_an_answer_begins_the_next() {
        let mut buffer = AnswerBuffer::new(1 << 20);
        let (first, second) = (frame(10, 1), frame(20, 2));
        assert!(feed(&mut buffer, &[first.as_slice(), &second[..6]].concat(), usize::MAX).is_empty());
        assert_eq!(buffer.answer(), [1; 10]);
        assert!(feed(&mut buffer, &second[6..], usize::MAX).is_empty());
        assert_eq!(buffer.answer(), [2; 20]);
    }

    #[test]
    fn memory_is_taken_as_bytes_arrive() {
        let mut buffer = AnswerBuffer::new(100 << 20);
        buffer.begin();
        let claim = frame(0, 0).len();
        let (room, _) = buffer.room();
        room[..claim].copy_from_slice(&(100_u32 << 20).to_be_bytes());
        buffer.fill(claim);
        assert!(!buffer.is_complete().unwrap());
        let mut filled = claim;
        for _ in 0..4 {
            let (room, is_all_of_it) = buffer.room();
            assert!(is_all_of_it && room.len() <= filled.max(GROWTH_BYTES), "{} after {filled}", room.len());
            let count = room.len();
            buffer.fill(count);
            filled += count;
        }
    }

    #[test]
    fn a_size_above_the_limit_is_refused() {
        let mut buffer = AnswerBuffer::new(10);
        buffer.begin();
        let (room, is_all_of_it) = buffer.room();
        assert!(!is_all_of_it);
        room[..SIZE_BYTES].copy_from_slice(&11_u32.to_be_bytes());
        buffer.fill(SIZE_BYTES);
        buffer.is_complete().unwrap_err();
    }
}
