//! One v0 or v1 message, borrowed.

use super::InnerMessages;
use crate::crc::crc32;
use crate::record::Headers;
use crate::{Codec, DecompressLimit, EntryHead, RecordError, RecordView, Records, TimestampType};

/// Where the fields lie that have fixed places. The checksum covers everything from the magic on.
pub(super) mod field {
    pub(in crate::legacy) const CRC: usize = 12;
    pub(in crate::legacy) const MAGIC: usize = 16;
    pub(in crate::legacy) const ATTRIBUTES: usize = 17;
    pub(in crate::legacy) const TIMESTAMP: usize = 18;
}

/// The smallest v0 message, with null key and null value.
const SIZE_MIN_V0: usize = 26;
/// The smallest v1 message: a v0 one and its timestamp.
const SIZE_MIN_V1: usize = 34;

/// One v0 or v1 message in a byte slice, which may be a wrapper around compressed messages.
///
/// Making one checks the shape (magic, least length) and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegacyMessage<'a> {
    /// At least as long as the format's smallest message.
    bytes: &'a [u8],
}

impl<'a> LegacyMessage<'a> {
    /// Takes `bytes` as exactly one message.
    ///
    /// # Errors
    ///
    /// - [`RecordError::EntryTooShort`] if the length field is below 14 in v0 or 22 in v1.
    /// - [`RecordError::SizeMismatch`] unless the message fills the slice.
    /// - [`RecordError::OtherMagic`] for a v2 batch, [`RecordError::UnknownMagic`] above that.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let available = bytes.len() as u64;
        let Some(head) = EntryHead::peek(bytes)? else {
            return Err(RecordError::SizeMismatch { size: SIZE_MIN_V0 as u64, available });
        };
        let min = match head.magic() {
            0 => SIZE_MIN_V0,
            1 => SIZE_MIN_V1,
            magic => return Err(RecordError::OtherMagic { magic, expected: "0 or 1" }),
        };
        let size = head.size();
        if (size as usize) < min {
            // Both are small here.
            return Err(RecordError::EntryTooShort { length: size as i32 - 12, min: min as i32 - 12 });
        }
        if u64::from(size) != available {
            return Err(RecordError::SizeMismatch { size: size.into(), available });
        }
        Ok(Self { bytes })
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[at..at + N]);
        array
    }

    /// The whole message.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The format, 0 or 1.
    #[must_use]
    pub const fn magic(&self) -> u8 {
        self.bytes[field::MAGIC]
    }

    /// The offset field: of this message or, in a wrapper, of its last inner message.
    #[must_use]
    pub fn offset(&self) -> i64 {
        i64::from_be_bytes(self.array(0))
    }

    /// The stored field::CRC-32.
    #[must_use]
    pub fn crc(&self) -> u32 {
        u32::from_be_bytes(self.array(field::CRC))
    }

    /// Checks the checksum, which reads the whole message once.
    ///
    /// # Errors
    ///
    /// [`RecordError::Checksum`] if it does not match.
    pub fn check_crc(&self) -> Result<(), RecordError> {
        let stored = self.crc();
        let computed = crc32(&self.bytes[field::MAGIC..]);
        if stored == computed { Ok(()) } else { Err(RecordError::Checksum { stored, computed }) }
    }

    /// The attribute byte, in the lower half.
    #[must_use]
    pub fn attributes(&self) -> u16 {
        self.bytes[field::ATTRIBUTES].into()
    }

    /// The codec of the messages inside, [`Codec::None`] if this is no wrapper.
    ///
    /// # Errors
    ///
    /// [`RecordError::UnknownCodec`] for numbers 5, 6 and 7. Zstd is told here, and refused by [`inner`](Self::inner).
    pub fn codec(&self) -> Result<Codec, RecordError> {
        Codec::from_attributes(self.attributes())
    }

    /// Who set the timestamp; `None` in v0, which has none.
    #[must_use]
    pub fn timestamp_type(&self) -> Option<TimestampType> {
        (self.magic() == 1).then(|| TimestampType::from_attributes(self.attributes()))
    }

    /// The timestamp in milliseconds; `-1` for none, as always in v0.
    #[must_use]
    pub fn timestamp(&self) -> i64 {
        match self.magic() {
            0 => -1,
            _ => i64::from_be_bytes(self.array(field::TIMESTAMP)),
        }
    }

    /// The key, null in a wrapper.
    ///
    /// # Errors
    ///
    /// [`RecordError::MalformedRecord`] if key or value reach past the message. Bytes behind the value are
    /// ignored.
    pub fn key(&self) -> Result<Option<&'a [u8]>, RecordError> {
        self.key_and_value().map(|[key, _]| key)
    }

    /// The value: in a wrapper the compressed messages.
    ///
    /// # Errors
    ///
    /// As [`key`](Self::key).
    pub fn value(&self) -> Result<Option<&'a [u8]>, RecordError> {
        self.key_and_value().map(|[_, value]| value)
    }

    fn key_and_value(&self) -> Result<[Option<&'a [u8]>; 2], RecordError> {
        let start = if self.magic() == 0 { field::TIMESTAMP } else { field::TIMESTAMP + 8 };
        let mut rest = &self.bytes[start..];
        let mut read = |what| read_nullable(&mut rest).ok_or(RecordError::MalformedRecord { index: 0, what });
        Ok([read("key reaches past the message")?, read("value reaches past the message")?])
    }

    /// This message as a record, as if it were no wrapper.
    pub(crate) fn record(&self) -> Result<RecordView<'a>, RecordError> {
        let [key, value] = self.key_and_value()?;
        let (offset, timestamp) = (self.offset(), self.timestamp());
        Ok(RecordView { offset, timestamp, sequence: -1, key, value, headers: Headers::default() })
    }

    /// The messages inside a wrapper, decompressed to at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// - [`RecordError::MalformedWrapper`] if this is no wrapper, or breaks a rule of wrappers.
    /// - [`RecordError::CodecNotAllowed`] for zstd, [`RecordError::CodecNotBuilt`].
    /// - [`RecordError::Decompress`], [`RecordError::LimitExceeded`].
    pub fn inner(&self, limit: DecompressLimit) -> Result<InnerMessages, RecordError> {
        InnerMessages::of(self, limit)
    }

    /// The record, or the records inside the wrapper.
    ///
    /// # Errors
    ///
    /// Those of [`inner`](Self::inner) and [`value`](Self::value).
    pub fn records(&self, limit: DecompressLimit) -> Result<Records<'a>, RecordError> {
        Records::of_message(self, limit)
    }
}

/// A 32-bit length, where any negative one means null, and that many bytes.
fn read_nullable<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (length, after) = rest.split_first_chunk()?;
    let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
        *rest = after;
        return Some(None);
    };
    let (bytes, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(Some(bytes))
}
