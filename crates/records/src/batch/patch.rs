//! Changing a v2 batch where it lies.

use super::{Attributes, BatchHeader, BatchView, ProducerStamp, field};
use crate::crc::crc32c;
use crate::{RecordError, TimestampType};

/// One v2 batch that may be changed in place.
///
/// [`set_base_offset`](Self::set_base_offset) and [`set_leader_epoch`](Self::set_leader_epoch) touch bytes
/// that the checksum does not cover; every other setter recomputes it, which reads the whole batch.
#[derive(Debug)]
pub struct BatchMut<'a> {
    bytes: &'a mut [u8],
}

impl<'a> BatchMut<'a> {
    /// Takes `bytes` as exactly one batch.
    ///
    /// # Errors
    ///
    /// Those of [`BatchView::parse`].
    #[inline]
    pub fn parse(bytes: &'a mut [u8]) -> Result<Self, RecordError> {
        BatchView::parse(bytes)?;
        Ok(Self { bytes })
    }

    /// The batch as it is now.
    #[must_use]
    pub fn view(&self) -> BatchView<'_> {
        BatchView::parse(self.bytes).expect("no setter touches length or magic, which parsing has checked")
    }

    /// The header as it is now.
    #[must_use]
    pub fn header(&self) -> BatchHeader<'_> {
        self.view().header()
    }

    /// Moves the batch to `offset`. Costs eight bytes.
    #[inline]
    pub fn set_base_offset(&mut self, offset: i64) {
        self.put(field::BASE_OFFSET, offset.to_be_bytes());
    }

    /// Stamps the leader epoch. Costs four bytes.
    #[inline]
    pub fn set_leader_epoch(&mut self, epoch: i32) {
        self.put(field::LEADER_EPOCH, epoch.to_be_bytes());
    }

    /// Sets timestamp type and maximum timestamp, and the checksum, if either differs; says whether.
    ///
    /// A change clears the unused attribute bits, as Kafka does.
    pub fn set_max_timestamp(&mut self, timestamp_type: TimestampType, timestamp: i64) -> bool {
        let header = self.header();
        if header.timestamp_type() == timestamp_type && header.max_timestamp() == timestamp {
            return false;
        }
        let attributes = header.attributes().rewritten(timestamp_type);
        self.put(field::ATTRIBUTES, attributes.0.to_be_bytes());
        self.put(field::MAX_TIMESTAMP, timestamp.to_be_bytes());
        self.update_crc();
        true
    }

    /// Sets the producer's fields and the transactional bit, and the checksum.
    pub fn set_producer(&mut self, stamp: ProducerStamp, transactional: bool) {
        let old = self.header().attributes();
        let attributes = Attributes::new(
            // A codec that does not exist has been kept by every other path as well; only its bits move.
            crate::Codec::None,
            old.timestamp_type(),
            transactional,
            old.is_control(),
            old.has_delete_horizon(),
        );
        self.put(field::ATTRIBUTES, (attributes.0 | old.0 & 0b111).to_be_bytes());
        self.put(field::PRODUCER_ID, stamp.producer_id.to_be_bytes());
        self.put(field::PRODUCER_EPOCH, stamp.producer_epoch.to_be_bytes());
        self.put(field::BASE_SEQUENCE, stamp.base_sequence.to_be_bytes());
        self.update_crc();
    }

    /// Computes the checksum over the bytes as they are and stores it.
    pub fn update_crc(&mut self) {
        let crc = crc32c(&self.bytes[field::ATTRIBUTES..]);
        self.put(field::CRC, crc.to_be_bytes());
    }

    #[inline]
    fn put<const N: usize>(&mut self, at: usize, value: [u8; N]) {
        self.bytes[field::range::<N>(at)].copy_from_slice(&value);
    }
}
