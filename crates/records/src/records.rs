//! The records of any entry, decompressed on the way.

use crate::batch::BatchView;
use crate::codec::Decoder;
use crate::legacy::{InnerMessages, LegacyMessage};
use crate::record::{RecordContext, RecordWalk, bad_length, check_count, parse_record};
use crate::varint::split_i32;
use crate::{Codec, DecompressLimit, RecordError, RecordView};

/// The records of one entry, of whatever format and codec.
///
/// A lending iterator: a record may lie in a window over the decompressed bytes, which moves on with the next
/// call. Not an [`Iterator`] for that reason; use `while let Some(record) = records.next_record()? { .. }`.
///
/// Compressed v2 batches are decompressed as a stream, so that memory is bounded by their largest record;
/// compressed v0 and v1 messages are decompressed as a whole, because offsets need the last inner message.
#[derive(Debug)]
pub struct Records<'a>(Source<'a>);

#[derive(Debug)]
enum Source<'a> {
    Walk(RecordWalk<'a>),
    Stream(Box<StreamWalk<'a>>),
    Single(Option<RecordView<'a>>),
    Inner { messages: InnerMessages, position: usize },
}

impl<'a> Records<'a> {
    pub(crate) fn of_batch(batch: &BatchView<'a>, limit: DecompressLimit) -> Result<Self, RecordError> {
        let codec = batch.codec()?;
        if codec == Codec::None || batch.count() == 0 {
            return RecordWalk::new(batch.context(), batch.count(), batch.payload())
                .map(|walk| Self(Source::Walk(walk)));
        }
        let walk = StreamWalk::new(batch.context(), batch.count(), codec, batch.payload(), limit)?;
        Ok(Self(Source::Stream(Box::new(walk))))
    }

    pub(crate) fn of_message(message: &LegacyMessage<'a>, limit: DecompressLimit) -> Result<Self, RecordError> {
        if message.codec()? == Codec::None {
            return message.record().map(|record| Self(Source::Single(Some(record))));
        }
        message.inner(limit).map(|messages| Self(Source::Inner { messages, position: 0 }))
    }

    /// The next record; `None` after the last one, and after an error.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the record or with the compressed bytes it comes from; see [`RecordError`].
    /// With the last record the end of the payload is checked as well, so an error there replaces it.
    #[inline]
    pub fn next_record(&mut self) -> Result<Option<RecordView<'_>>, RecordError> {
        match &mut self.0 {
            Source::Walk(walk) => walk.next().transpose(),
            Source::Stream(walk) => walk.next_record(),
            Source::Single(record) => Ok(record.take()),
            Source::Inner { messages, position } => {
                let Some((message, next)) = messages.at(*position)? else {
                    return Ok(None);
                };
                *position = next;
                message.record().map(Some)
            }
        }
    }
}

/// The walk over a compressed v2 payload: a window over the decompressed bytes, refilled as records need it.
#[derive(Debug)]
struct StreamWalk<'a> {
    decoder: Decoder<'a>,
    window: Vec<u8>,
    /// Start of the bytes in `window` that no record has taken yet.
    start: usize,
    /// Decompressed bytes that the limit still allows.
    budget: usize,
    limit: DecompressLimit,
    context: RecordContext,
    index: u32,
    count: u32,
    /// Whether an error has ended the walk.
    ended: bool,
}

/// Taken bytes are dropped from the window's front only when at least this many have gathered.
const WINDOW_SLACK: usize = 64 << 10;
/// A varint of 32 bits has at most this many bytes.
const LENGTH_SIZE_MAX: usize = 5;

impl<'a> StreamWalk<'a> {
    fn new(
        context: RecordContext,
        count: i32,
        codec: Codec,
        payload: &'a [u8],
        limit: DecompressLimit,
    ) -> Result<Self, RecordError> {
        let count = check_count(count, limit.bytes())?;
        let decoder = Decoder::new(codec, payload)?;
        Ok(Self {
            decoder,
            window: Vec::new(),
            start: 0,
            budget: limit.bytes(),
            limit,
            context,
            index: 0,
            count,
            ended: false,
        })
    }

    fn next_record(&mut self) -> Result<Option<RecordView<'_>>, RecordError> {
        if self.ended || self.index == self.count {
            return Ok(None);
        }
        // Any error below is final: only success takes this back.
        self.ended = true;
        // Moving what is left only when it is the smaller part keeps the whole walk linear.
        if WINDOW_SLACK <= self.start && self.window.len() - self.start <= self.start {
            self.window.drain(..self.start);
            self.start = 0;
        }
        let (body, end) = self.fill_record()?;
        let (context, index, count) = (self.context, self.index, self.count);
        if index + 1 == count {
            // Parsed twice, as looking for more bytes may move the window: its own faults come first.
            parse_record(&context, index, &self.window[body..end])?;
            if end < self.window.len() || self.fill()? {
                return Err(RecordError::BytesAfterRecords { count });
            }
        }
        let record = parse_record(&context, index, &self.window[body..end])?;
        self.start = end;
        self.index += 1;
        self.ended = false;
        Ok(Some(record))
    }

    /// Has the window hold one whole record, and says where its body lies.
    fn fill_record(&mut self) -> Result<(usize, usize), RecordError> {
        let missing = RecordError::RecordsMissing { index: self.index, count: self.count };
        let (length, prefix) = loop {
            let bytes = &self.window[self.start..];
            let before = bytes.len();
            match split_i32(bytes).map(|(length, rest)| (length, before - rest.len())) {
                Some((length, prefix)) => {
                    let length =
                        usize::try_from(length).map_err(|_| bad_length(self.index, self.count, Some(length)))?;
                    break (length, prefix);
                }
                None if before < LENGTH_SIZE_MAX && self.fill()? => {}
                None => return Err(missing),
            }
        };
        while self.window.len() - self.start - prefix < length {
            // A declared length costs nothing until bytes for it have arrived.
            if !self.fill()? {
                return Err(missing);
            }
        }
        let body = self.start + prefix;
        Ok((body, body + length))
    }

    /// Adds decompressed bytes to the window; `false` at their end.
    fn fill(&mut self) -> Result<bool, RecordError> {
        let before = self.window.len();
        self.decoder.read_chunk(&mut self.window, self.budget, self.limit)?;
        let added = self.window.len() - before;
        self.budget -= added;
        Ok(added != 0)
    }
}
