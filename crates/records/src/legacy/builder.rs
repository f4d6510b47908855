//! Writing v0 and v1 messages.

use super::message::field;
use crate::batch::BuildError;
use crate::codec::compress_legacy;
use crate::crc::crc32;
use crate::{Codec, Compression, RecordError, TimestampType};

/// The two old formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LegacyMagic {
    /// Without timestamps.
    V0,
    /// With timestamps; offsets inside wrappers are relative.
    V1,
}

impl LegacyMagic {
    /// The magic byte.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::V0 => 0,
            Self::V1 => 1,
        }
    }
}

/// Writes v0 or v1 messages: one after another or, under a codec, inside one wrapper.
///
/// New logs hold v2 only. This serves tests, tools and logs that are kept in an old format.
#[derive(Clone, Debug)]
pub struct LegacyBuilder {
    magic: LegacyMagic,
    compression: Compression,
    append_time: Option<i64>,
    messages: Vec<u8>,
    base_offset: Option<i64>,
    last_offset: i64,
    max_timestamp: i64,
}

impl LegacyBuilder {
    /// An empty message set. With `append_time`, in milliseconds, v1 messages are LogAppendTime.
    #[must_use]
    pub const fn new(magic: LegacyMagic, compression: Compression, append_time: Option<i64>) -> Self {
        Self {
            magic,
            compression,
            append_time,
            messages: Vec::new(),
            base_offset: None,
            last_offset: -1,
            max_timestamp: -1,
        }
    }

    /// Adds a message at `offset`. `timestamp`, in milliseconds, has no place in v0 and is dropped there.
    ///
    /// # Errors
    ///
    /// [`BuildError::Offset`] unless `offset` is after the last one, [`BuildError::TooLarge`] past 2^31-1 bytes.
    pub fn append(
        &mut self,
        offset: i64,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), BuildError> {
        let base = self.base_offset.unwrap_or(offset);
        if self.base_offset.is_some() && offset <= self.last_offset {
            let last_delta = i32::try_from(self.last_offset - base).unwrap_or(i32::MAX);
            return Err(BuildError::Offset { offset, base, last_delta });
        }
        let relative = self.compression.codec().is_compressed() && self.magic == LegacyMagic::V1;
        let stored_offset = if relative { offset.wrapping_sub(base) } else { offset };
        let timestamp = self.append_time.unwrap_or(timestamp);
        self.write(stored_offset, timestamp, Codec::None, key, value)?;
        self.base_offset = Some(base);
        self.last_offset = offset;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        Ok(())
    }

    /// The finished set.
    ///
    /// # Errors
    ///
    /// - [`BuildError::Empty`] without a message.
    /// - [`BuildError::Codec`] for zstd, and if this build lacks the codec.
    /// - [`BuildError::TooLarge`].
    pub fn finish(mut self) -> Result<Vec<u8>, BuildError> {
        let codec = self.compression.codec();
        if self.messages.is_empty() {
            return Err(BuildError::Empty);
        }
        match codec {
            Codec::None => return Ok(self.messages),
            Codec::Zstd => {
                return Err(RecordError::CodecNotAllowed { codec, magic: self.magic.byte() }.into());
            }
            Codec::Gzip | Codec::Snappy | Codec::Lz4 => {}
        }
        let mut value = Vec::new();
        compress_legacy(self.compression, self.magic.byte(), &self.messages, &mut value)?;
        self.messages.clear();
        self.write(self.last_offset, self.max_timestamp, codec, None, Some(&value))?;
        Ok(self.messages)
    }

    fn write(
        &mut self,
        offset: i64,
        timestamp: i64,
        codec: Codec,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), BuildError> {
        let fixed = if self.magic == LegacyMagic::V0 { 14 } else { 22 };
        let size = [key, value].into_iter().flatten().fold(fixed, |sum: usize, bytes| sum.saturating_add(bytes.len()));
        let length = i32::try_from(size).map_err(|_| BuildError::TooLarge)?;
        let timestamp_type = match (self.magic, self.append_time) {
            (LegacyMagic::V1, Some(_)) => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        };
        let out = &mut self.messages;
        let start = out.len();
        out.extend_from_slice(&offset.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        // Three bits of codec and one of timestamp type.
        out.extend_from_slice(&[self.magic.byte(), codec.id() | timestamp_type.bit() as u8]);
        if self.magic == LegacyMagic::V1 {
            out.extend_from_slice(&timestamp.to_be_bytes());
        }
        for bytes in [key, value] {
            // The sum of both fits 31 bits.
            let length = bytes.map_or(-1, |bytes| bytes.len() as i32);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(bytes.unwrap_or_default());
        }
        let message = &mut out[start..];
        let crc = crc32(&message[field::MAGIC..]);
        message[field::CRC..field::MAGIC].copy_from_slice(&crc.to_be_bytes());
        Ok(())
    }
}
