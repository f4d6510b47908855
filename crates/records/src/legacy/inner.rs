//! The messages inside a compressed v0 or v1 wrapper.

use super::LegacyMessage;
use crate::codec::decompress_legacy;
use crate::{Codec, DecompressLimit, EntryHead, RecordError, RecordView, TimestampType};

/// The decompressed messages of one wrapper, checked as a sequence.
///
/// Their checksums are not checked here: v2 has one checksum over the compressed bytes, and readers of the
/// older formats look at the wrapper's only. [`InnerMessage::message`] lets validation check each.
#[derive(Debug)]
pub struct InnerMessages {
    payload: Vec<u8>,
    /// End of the last whole message in `payload`: a cut one behind it is ignored.
    end: usize,
    /// What is added to inner offsets. Zero in v0, where they are absolute.
    base: i64,
    /// The wrapper's timestamp, where it overrides the inner ones.
    append_time: Option<i64>,
}

/// One message of a wrapper, with what only the wrapper knows.
#[derive(Clone, Copy, Debug)]
pub struct InnerMessage<'a> {
    /// The message as it lies in the decompressed payload.
    pub message: LegacyMessage<'a>,
    /// Its absolute offset.
    pub offset: i64,
    /// Its effective timestamp in milliseconds.
    pub timestamp: i64,
}

impl<'a> InnerMessage<'a> {
    /// The record.
    ///
    /// # Errors
    ///
    /// [`RecordError::MalformedRecord`] if key or value reach past the message.
    pub fn record(&self) -> Result<RecordView<'a>, RecordError> {
        let record = self.message.record()?;
        Ok(RecordView { offset: self.offset, timestamp: self.timestamp, ..record })
    }
}

impl InnerMessages {
    pub(crate) fn of(wrapper: &LegacyMessage<'_>, limit: DecompressLimit) -> Result<Self, RecordError> {
        let codec = wrapper.codec()?;
        match codec {
            Codec::None => return Err(RecordError::MalformedWrapper { what: "not compressed" }),
            Codec::Zstd => return Err(RecordError::CodecNotAllowed { codec, magic: wrapper.magic() }),
            Codec::Gzip | Codec::Snappy | Codec::Lz4 => {}
        }
        let value = wrapper.value()?.ok_or(RecordError::MalformedWrapper { what: "null value" })?;
        let mut payload = Vec::new();
        decompress_legacy(codec, wrapper.magic(), value, limit, &mut payload)?;

        let mut messages = Self { payload, end: 0, base: 0, append_time: None };
        let last = messages.check()?;
        if wrapper.magic() == 1 {
            messages.base = base_offset(wrapper.offset(), last)?;
            if wrapper.timestamp_type() == Some(TimestampType::LogAppendTime) {
                messages.append_time = Some(wrapper.timestamp());
            }
        }
        Ok(messages)
    }

    /// Walks the messages, finds the end of the last whole one and returns its stored offset.
    fn check(&mut self) -> Result<i64, RecordError> {
        let mut last = None;
        while let Some((message, next)) = self.whole(self.end)? {
            if message.codec()? != Codec::None {
                return Err(RecordError::MalformedWrapper { what: "a message inside is compressed itself" });
            }
            last = Some(message.offset());
            self.end = next;
        }
        last.ok_or(RecordError::MalformedWrapper { what: "no messages inside" })
    }

    /// The message at `position` and the position after it; `None` where no whole one is left.
    fn whole(&self, position: usize) -> Result<Option<(LegacyMessage<'_>, usize)>, RecordError> {
        let rest = &self.payload[position..];
        let Some(head) = EntryHead::peek(rest)? else {
            return Ok(None);
        };
        let Some(bytes) = rest.get(..head.size() as usize) else {
            return Ok(None);
        };
        Ok(Some((LegacyMessage::parse(bytes)?, position + bytes.len())))
    }

    /// The message at `position`, as [`whole`](Self::whole), with its offset and timestamp.
    pub(crate) fn at(&self, position: usize) -> Result<Option<(InnerMessage<'_>, usize)>, RecordError> {
        if position == self.end {
            return Ok(None);
        }
        let Some((message, next)) = self.whole(position)? else {
            return Ok(None);
        };
        let offset = self.base.wrapping_add(message.offset());
        let timestamp = match self.append_time {
            Some(time) if message.magic() == 1 => time,
            _ => message.timestamp(),
        };
        Ok(Some((InnerMessage { message, offset, timestamp }, next)))
    }

    /// The messages one by one.
    pub fn iter(&self) -> impl Iterator<Item = InnerMessage<'_>> {
        let mut position = 0;
        core::iter::from_fn(move || {
            // Construction has walked all of them, so an error cannot come up here.
            let (message, next) = self.at(position).ok()??;
            position = next;
            Some(message)
        })
    }
}

/// Absolute offset of relative offset zero in a v1 wrapper.
fn base_offset(outer: i64, last_inner: i64) -> Result<i64, RecordError> {
    // Old librdkafka leaves the wrapper's offset zero in what it produces, whatever the number of messages.
    if outer == 0 {
        return Ok(0);
    }
    match outer.checked_sub(last_inner) {
        Some(base) if 0 <= base => Ok(base),
        _ => Err(RecordError::MalformedWrapper { what: "its offset is below that of its last message" }),
    }
}
