//! A whole v2 batch, borrowed.

use core::ops::Deref;

use super::BatchHeader;
use crate::crc::crc32c;
use crate::record::{RecordContext, RecordWalk};
use crate::{Codec, DecompressLimit, RecordError, Records};

/// One v2 batch in a byte slice: the [header](BatchHeader), whose fields it derefs to, and the records.
///
/// Making one checks the shape (magic, length) and nothing else: call [`check_crc`](Self::check_crc) for
/// bytes that come from a network or a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchView<'a> {
    header: BatchHeader<'a>,
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// Takes `bytes` as exactly one batch.
    ///
    /// # Errors
    ///
    /// Those of [`BatchHeader::parse`], and [`RecordError::SizeMismatch`] unless the batch fills the slice.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let header = BatchHeader::parse(bytes)?;
        if header.size() != bytes.len() {
            return Err(RecordError::SizeMismatch { size: header.size() as u64, available: bytes.len() as u64 });
        }
        Ok(Self { header, bytes })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> BatchHeader<'a> {
        self.header
    }

    /// The whole batch.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records as stored: compressed, if the codec says so.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[BatchHeader::SIZE..]
    }

    /// Checks the checksum, which reads the whole batch once.
    ///
    /// # Errors
    ///
    /// [`RecordError::Checksum`] if it does not match.
    #[inline]
    pub fn check_crc(&self) -> Result<(), RecordError> {
        let stored = self.header.crc();
        let computed = crc32c(&self.bytes[super::field::ATTRIBUTES..]);
        if stored == computed { Ok(()) } else { Err(RecordError::Checksum { stored, computed }) }
    }

    /// What record fields are relative to.
    #[must_use]
    pub fn context(&self) -> RecordContext {
        RecordContext::of(&self.header)
    }

    /// The records, decompressed on the way where they are compressed, at most `limit` bytes of them.
    ///
    /// Costs no allocation if they are not compressed; otherwise the decoder's state and a window over the
    /// decompressed bytes, which grows to the largest record.
    ///
    /// # Errors
    ///
    /// - [`RecordError::RecordCount`] for a negative count, and for one that the payload or the limit rules out.
    /// - [`RecordError::UnknownCodec`], [`RecordError::CodecNotBuilt`].
    pub fn records(&self, limit: DecompressLimit) -> Result<Records<'a>, RecordError> {
        Records::of_batch(self, limit)
    }

    /// The records of an uncompressed batch, borrowed from it; `None` if the batch is compressed.
    ///
    /// # Errors
    ///
    /// [`RecordError::RecordCount`], [`RecordError::UnknownCodec`] as [`records`](Self::records).
    pub fn records_in_place(&self) -> Result<Option<RecordWalk<'a>>, RecordError> {
        match self.header.codec()? {
            Codec::None => RecordWalk::new(self.context(), self.header.count(), self.payload()).map(Some),
            _ => Ok(None),
        }
    }

    /// The records in `payload`, which must be what [`decompress`](Self::decompress) gave for this batch.
    ///
    /// For readers that keep the decompressed bytes and hand out slices of them.
    ///
    /// # Errors
    ///
    /// [`RecordError::RecordCount`].
    pub fn records_in<'b>(&self, payload: &'b [u8]) -> Result<RecordWalk<'b>, RecordError> {
        RecordWalk::new(self.context(), self.header.count(), payload)
    }

    /// Appends the payload to `out`, decompressed; a plain copy if it is not compressed.
    ///
    /// # Errors
    ///
    /// [`RecordError::LimitExceeded`], [`RecordError::Decompress`], [`RecordError::UnknownCodec`],
    /// [`RecordError::CodecNotBuilt`]. What was decompressed until then stays in `out`.
    pub fn decompress(&self, limit: DecompressLimit, out: &mut Vec<u8>) -> Result<(), RecordError> {
        crate::codec::decompress(self.header.codec()?, self.payload(), limit, out)
    }
}

impl<'a> Deref for BatchView<'a> {
    type Target = BatchHeader<'a>;

    fn deref(&self) -> &Self::Target {
        &self.header
    }
}
