//! Reading the 61 bytes in front of every v2 batch.

use core::ops::Range;

use crate::{Codec, EntryHead, RecordError, TimestampType};

/// Where each field lies. The checksum covers everything from the attributes to the end of the batch.
pub(crate) mod field {
    use super::Range;

    pub(crate) const BASE_OFFSET: usize = 0;
    pub(crate) const LENGTH: usize = 8;
    pub(crate) const LEADER_EPOCH: usize = 12;
    pub(crate) const MAGIC: usize = 16;
    pub(crate) const CRC: usize = 17;
    pub(crate) const ATTRIBUTES: usize = 21;
    pub(crate) const LAST_OFFSET_DELTA: usize = 23;
    pub(crate) const BASE_TIMESTAMP: usize = 27;
    pub(crate) const MAX_TIMESTAMP: usize = 35;
    pub(crate) const PRODUCER_ID: usize = 43;
    pub(crate) const PRODUCER_EPOCH: usize = 51;
    pub(crate) const BASE_SEQUENCE: usize = 53;
    pub(crate) const COUNT: usize = 57;
    pub(crate) const END: usize = 61;

    pub(crate) const fn range<const N: usize>(start: usize) -> Range<usize> {
        start..start + N
    }
}

/// The 16-bit attributes of a v2 batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(pub u16);

impl Attributes {
    const TRANSACTIONAL: u16 = 1 << 4;
    const CONTROL: u16 = 1 << 5;
    const DELETE_HORIZON: u16 = 1 << 6;

    /// The attributes with these meanings, and every unused bit clear.
    #[must_use]
    pub const fn new(
        codec: Codec,
        timestamp_type: TimestampType,
        transactional: bool,
        control: bool,
        delete_horizon: bool,
    ) -> Self {
        let mut bits = codec.id() as u16 | timestamp_type.bit();
        if transactional {
            bits |= Self::TRANSACTIONAL;
        }
        if control {
            bits |= Self::CONTROL;
        }
        if delete_horizon {
            bits |= Self::DELETE_HORIZON;
        }
        Self(bits)
    }

    /// Bits 0 to 2: the codec.
    ///
    /// # Errors
    ///
    /// [`RecordError::UnknownCodec`] for 5, 6 and 7.
    #[inline]
    pub const fn codec(self) -> Result<Codec, RecordError> {
        Codec::from_attributes(self.0)
    }

    /// Bit 3: who set the timestamps.
    #[inline]
    #[must_use]
    pub const fn timestamp_type(self) -> TimestampType {
        TimestampType::from_attributes(self.0)
    }

    /// Bit 4: the batch is part of a transaction.
    #[inline]
    #[must_use]
    pub const fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Bit 5: the records are for the brokers and clients, not for applications.
    #[inline]
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Bit 6: the base timestamp holds a delete horizon.
    #[inline]
    #[must_use]
    pub const fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// These attributes with another timestamp type, and with the unused bits 7 to 15 cleared, as every
    /// rewrite by a broker does.
    #[must_use]
    pub(crate) const fn rewritten(self, timestamp_type: TimestampType) -> Self {
        Self(self.0 & 0b0111_0111 | timestamp_type.bit())
    }
}

/// Who produced a batch, and which of its batches this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProducerStamp {
    /// Id of the idempotent or transactional producer, `-1` for none.
    pub producer_id: i64,
    /// Epoch of that id, `-1` for none.
    pub producer_epoch: i16,
    /// Sequence number of the first record, `-1` for none.
    pub base_sequence: i32,
}

impl ProducerStamp {
    /// No producer: all three fields `-1`.
    pub const NONE: Self = Self { producer_id: -1, producer_epoch: -1, base_sequence: -1 };
}

impl Default for ProducerStamp {
    fn default() -> Self {
        Self::NONE
    }
}

/// The header of a v2 batch, without its records.
///
/// Fields are the raw integers of the file: a header may hold anything. Offsets computed from them wrap
/// instead of overflowing, so a caller that has not checked the batch gets nonsense but no panic;
/// [`check_offsets`](Self::check_offsets) is the check. Copying this copies a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader<'a> {
    bytes: &'a [u8; field::END],
}

impl<'a> BatchHeader<'a> {
    /// Size of the header, and so of the smallest batch, in bytes.
    pub const SIZE: usize = field::END;
    /// The length field of a batch without records.
    const LENGTH_MIN: i32 = (field::END - 12) as i32;

    /// Reads the header at the start of `bytes`, which may end anywhere behind it.
    ///
    /// # Errors
    ///
    /// - [`RecordError::SizeMismatch`] if fewer than 61 bytes are given.
    /// - [`RecordError::OtherMagic`] unless the magic is 2.
    /// - [`RecordError::EntryTooShort`] if the length field says less than 61 bytes in all.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let Some(header) = bytes.first_chunk() else {
            return Err(Self::cut(bytes));
        };
        let header = Self { bytes: header };
        let magic = header.bytes[field::MAGIC];
        if magic != 2 {
            return Err(RecordError::OtherMagic { magic, expected: "2" });
        }
        let length = i32::from_be_bytes(header.array(field::LENGTH));
        if length < Self::LENGTH_MIN {
            return Err(RecordError::EntryTooShort { length, min: Self::LENGTH_MIN });
        }
        Ok(header)
    }

    /// The error for fewer bytes than a header, naming the length field's fault where it can be read.
    #[cold]
    fn cut(bytes: &[u8]) -> RecordError {
        match EntryHead::peek(bytes) {
            Err(error) => error,
            Ok(Some(head)) if head.magic() == 2 && (head.size() as usize) < Self::SIZE => {
                RecordError::EntryTooShort { length: head.size() as i32 - 12, min: Self::LENGTH_MIN }
            }
            Ok(_) => RecordError::SizeMismatch { size: Self::SIZE as u64, available: bytes.len() as u64 },
        }
    }

    #[inline]
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[field::range::<N>(at)]);
        array
    }

    /// The 61 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8; field::END] {
        self.bytes
    }

    /// Size of the whole batch in bytes, header included: at least 61, at most 2^31+11.
    #[inline]
    #[must_use]
    pub fn size(&self) -> usize {
        // Parsing has seen that the field is positive.
        u32::from_be_bytes(self.array(field::LENGTH)) as usize + 12
    }

    /// Offset of the first record the batch was written with. Not covered by the checksum.
    #[inline]
    #[must_use]
    pub fn base_offset(&self) -> i64 {
        i64::from_be_bytes(self.array(field::BASE_OFFSET))
    }

    /// Epoch of the leader that appended the batch, `-1` if unknown. Not covered by the checksum.
    #[inline]
    #[must_use]
    pub fn leader_epoch(&self) -> i32 {
        i32::from_be_bytes(self.array(field::LEADER_EPOCH))
    }

    /// The stored CRC-32C.
    #[inline]
    #[must_use]
    pub fn crc(&self) -> u32 {
        u32::from_be_bytes(self.array(field::CRC))
    }

    /// Codec, timestamp type and the flags.
    #[inline]
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        Attributes(u16::from_be_bytes(self.array(field::ATTRIBUTES)))
    }

    /// The codec of the records.
    ///
    /// # Errors
    ///
    /// [`RecordError::UnknownCodec`] for numbers 5, 6 and 7.
    #[inline]
    pub fn codec(&self) -> Result<Codec, RecordError> {
        self.attributes().codec()
    }

    /// Who set the timestamps.
    #[inline]
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        self.attributes().timestamp_type()
    }

    /// Whether the batch is part of a transaction.
    #[inline]
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes().is_transactional()
    }

    /// Whether the records are markers for brokers and clients.
    #[inline]
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes().is_control()
    }

    /// Offset of the last record minus base offset. Compaction keeps it, whichever records it removes.
    #[inline]
    #[must_use]
    pub fn last_offset_delta(&self) -> i32 {
        i32::from_be_bytes(self.array(field::LAST_OFFSET_DELTA))
    }

    /// Offset of the last record the batch was written with.
    #[inline]
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.base_offset().wrapping_add(self.last_offset_delta().into())
    }

    /// The offset after this batch, which the next batch has or exceeds.
    ///
    /// Computed from the header: a compacted batch may have lost its last records, or all of them.
    #[inline]
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    /// Whether base offset and delta are not negative and their sum, plus one, is an offset.
    ///
    /// Returns the range of offsets as `(base, last)`.
    #[must_use]
    pub fn check_offsets(&self) -> Option<(u64, u64)> {
        let base = u64::try_from(self.base_offset()).ok()?;
        let delta = u32::try_from(self.last_offset_delta()).ok()?;
        let last = base + u64::from(delta);
        (last < i64::MAX as u64).then_some((base, last))
    }

    /// Milliseconds that record timestamps are relative to; the delete horizon if that bit is set.
    #[inline]
    #[must_use]
    pub fn base_timestamp(&self) -> i64 {
        i64::from_be_bytes(self.array(field::BASE_TIMESTAMP))
    }

    /// When the cleaner may drop tombstones and markers of this batch, in milliseconds; `None` if unset.
    #[must_use]
    pub fn delete_horizon(&self) -> Option<i64> {
        self.attributes().has_delete_horizon().then(|| self.base_timestamp())
    }

    /// Largest timestamp of the records in milliseconds, or the time of append. `-1` if none has one.
    #[inline]
    #[must_use]
    pub fn max_timestamp(&self) -> i64 {
        i64::from_be_bytes(self.array(field::MAX_TIMESTAMP))
    }

    /// Producer id, `-1` if the producer is neither idempotent nor transactional.
    #[inline]
    #[must_use]
    pub fn producer_id(&self) -> i64 {
        i64::from_be_bytes(self.array(field::PRODUCER_ID))
    }

    /// Producer epoch, `-1` for none.
    #[inline]
    #[must_use]
    pub fn producer_epoch(&self) -> i16 {
        i16::from_be_bytes(self.array(field::PRODUCER_EPOCH))
    }

    /// Sequence number of the first record, `-1` for none.
    #[inline]
    #[must_use]
    pub fn base_sequence(&self) -> i32 {
        i32::from_be_bytes(self.array(field::BASE_SEQUENCE))
    }

    /// Sequence number of the last record, `-1` for none. Numbers wrap from 2^31-1 to 0.
    #[inline]
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        sequence_plus(self.base_sequence(), self.last_offset_delta())
    }

    /// The three producer fields.
    #[must_use]
    pub fn producer(&self) -> ProducerStamp {
        ProducerStamp {
            producer_id: self.producer_id(),
            producer_epoch: self.producer_epoch(),
            base_sequence: self.base_sequence(),
        }
    }

    /// Declared number of records. Compaction lowers it, down to 0; a negative one is invalid.
    #[inline]
    #[must_use]
    pub fn count(&self) -> i32 {
        i32::from_be_bytes(self.array(field::COUNT))
    }
}

/// `delta` sequence numbers after `base`, where `-1` stays `-1`.
#[inline]
pub(crate) const fn sequence_plus(base: i32, delta: i32) -> i32 {
    if base == -1 { -1 } else { base.wrapping_add(delta) & i32::MAX }
}

#[cfg(test)]
mod tests {
    use super::{Attributes, BatchHeader, sequence_plus};
    use crate::{Codec, RecordError, TimestampType};

    #[test]
    fn sequences_wrap_to_zero_and_none_stays_none() {
        assert_eq!(sequence_plus(i32::MAX, 1), 0);
        assert_eq!(sequence_plus(i32::MAX - 1, 3), 1);
        assert_eq!(sequence_plus(5, 2), 7);
        assert_eq!(sequence_plus(-1, 2), -1);
    }

    #[test]
    fn attributes_hold_their_bits() {
        let all = Attributes::new(Codec::Zstd, TimestampType::LogAppendTime, true, true, true);
        assert_eq!(all.0, 0b111_1100);
        assert_eq!(Attributes(0xff8c).rewritten(TimestampType::CreateTime).0, 0b100);
        assert_eq!(Attributes(0x70).rewritten(TimestampType::LogAppendTime).0, 0x78);
    }

    #[test]
    fn short_and_foreign_headers_are_refused() {
        let mut bytes = [0u8; 61];
        bytes[11] = 48;
        bytes[16] = 2;
        assert_eq!(BatchHeader::parse(&bytes), Err(RecordError::EntryTooShort { length: 48, min: 49 }));
        assert_eq!(BatchHeader::parse(&bytes[..60]), Err(RecordError::EntryTooShort { length: 48, min: 49 }));
        bytes[11] = 49;
        assert_eq!(BatchHeader::parse(&bytes[..60]), Err(RecordError::SizeMismatch { size: 61, available: 60 }));
        assert_eq!(BatchHeader::parse(&bytes).map(|header| header.size()), Ok(61));
        bytes[16] = 1;
        assert_eq!(BatchHeader::parse(&bytes), Err(RecordError::OtherMagic { magic: 1, expected: "2" }));
    }

    #[test]
    fn offsets_that_overflow_are_told() {
        let mut bytes = [0u8; 61];
        bytes[11] = 49;
        bytes[16] = 2;
        bytes[23..27].copy_from_slice(&3i32.to_be_bytes());
        assert_eq!(BatchHeader::parse(&bytes).unwrap().check_offsets(), Some((0, 3)));
        bytes[..8].copy_from_slice(&(i64::MAX - 3).to_be_bytes());
        let header = BatchHeader::parse(&bytes).unwrap();
        assert_eq!(header.check_offsets(), None);
        assert_eq!(header.next_offset(), i64::MIN);
        bytes[..8].copy_from_slice(&(-1i64).to_be_bytes());
        assert_eq!(BatchHeader::parse(&bytes).unwrap().check_offsets(), None);
    }
}
