//! What the log needs to know of a stored entry, whatever its format.

use highwater_records::{BatchHeader, BatchView, EndTxnMarker, EntryHead, LegacyMessage};
use highwater_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Bytes that [`EntryInfo::parse`] needs at most.
pub(crate) const HEADER_MAX: usize = BatchHeader::SIZE;

/// Facts from an entry's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryInfo {
    /// Size of the whole entry in bytes.
    pub(crate) size: u64,
    pub(crate) magic: u8,
    /// First offset; unknown for v0 and v1, where only decompression would tell.
    pub(crate) base: Option<Offset>,
    pub(crate) last: Offset,
    pub(crate) max_timestamp: TimestampMs,
    pub(crate) leader_epoch: Option<LeaderEpoch>,
    pub(crate) producer: Option<ProducerBatch>,
    pub(crate) is_control: bool,
}

/// Facts about a batch of an idempotent or transactional producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerBatch {
    pub(crate) id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
    /// First and last sequence; `None` for markers and for batches that lost it.
    pub(crate) sequences: Option<(Sequence, Sequence)>,
    pub(crate) is_transactional: bool,
}

/// A transaction marker (storage format, section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) is_abort: bool,
    pub(crate) coordinator_epoch: i32,
}

impl EntryInfo {
    /// Reads the entry that starts at `bytes[0]`; only its header need be there.
    ///
    /// `Ok(None)` if the bytes end inside the header.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, &'static str> {
        let Some(head) = EntryHead::peek(bytes).map_err(|_| "entry header")? else { return Ok(None) };
        if head.magic() == 2 { Self::parse_batch(bytes, head) } else { Self::parse_legacy(bytes, head) }
    }

    fn parse_batch(bytes: &[u8], head: EntryHead) -> Result<Option<Self>, &'static str> {
        if bytes.len() < BatchHeader::SIZE {
            return if (head.size() as usize) < BatchHeader::SIZE {
                Err("batch shorter than its header")
            } else {
                Ok(None)
            };
        }
        let header = BatchHeader::parse(bytes).map_err(|_| "batch header")?;
        let (base, last) = header.check_offsets().ok_or("batch offsets")?;
        Ok(Some(Self {
            size: u64::from(head.size()),
            magic: 2,
            base: Some(Offset::new(base)),
            last: Offset::new(last),
            max_timestamp: TimestampMs(header.max_timestamp()),
            leader_epoch: LeaderEpoch::from_wire(header.leader_epoch()),
            producer: ProducerBatch::of(&header),
            is_control: header.is_control(),
        }))
    }

    fn parse_legacy(bytes: &[u8], head: EntryHead) -> Result<Option<Self>, &'static str> {
        // v1 has its timestamp right behind the attributes; v0 has none.
        let max_timestamp = match (head.magic(), bytes.get(18..26)) {
            (0, _) => TimestampMs::NONE,
            (_, Some(field)) => TimestampMs(i64::from_be_bytes(field.try_into().expect("eight bytes were cut"))),
            (_, None) => return Ok(None),
        };
        let last = Offset::from_wire(head.offset()).filter(|&offset| offset < Offset::MAX).ok_or("message offset")?;
        Ok(Some(Self {
            size: u64::from(head.size()),
            magic: head.magic(),
            base: None,
            last,
            max_timestamp,
            leader_epoch: None,
            producer: None,
            is_control: false,
        }))
    }

    /// The offset after the entry.
    pub(crate) fn next_offset(&self) -> Offset {
        self.last.next()
    }

    /// The first offset, or for v0 and v1 the last, as Kafka does where the first would cost decompression.
    pub(crate) fn base_or_last(&self) -> Offset {
        self.base.unwrap_or(self.last)
    }
}

impl ProducerBatch {
    fn of(header: &BatchHeader<'_>) -> Option<Self> {
        let first = Sequence::from_wire(header.base_sequence());
        Some(Self {
            id: ProducerId::from_wire(header.producer_id())?,
            epoch: ProducerEpoch::from_wire(header.producer_epoch())?,
            sequences: first.zip(Sequence::from_wire(header.last_sequence())),
            is_transactional: header.is_transactional(),
        })
    }
}

/// Checks the checksum of a whole entry.
pub(crate) fn check_crc(entry: &[u8]) -> Result<(), &'static str> {
    let matches = match entry.get(16) {
        Some(2) => BatchView::parse(entry).and_then(|batch| batch.check_crc()),
        _ => LegacyMessage::parse(entry).and_then(|message| message.check_crc()),
    };
    matches.map_err(|_| "entry checksum")
}

/// Checks that a whole entry's codec exists, which replicas do although they decompress nothing.
pub(crate) fn check_codec(entry: &[u8]) -> Result<(), &'static str> {
    let codec = match entry.get(16) {
        Some(2) => BatchHeader::parse(entry).and_then(|header| header.codec()),
        _ => LegacyMessage::parse(entry).and_then(|message| message.codec()),
    };
    codec.map(drop).map_err(|_| "entry codec")
}

/// The transaction marker in a whole control batch; `None` for other control records, and for a batch whose
/// marker compaction has removed.
pub(crate) fn read_marker(entry: &[u8]) -> Option<Marker> {
    let batch = BatchView::parse(entry).ok()?;
    if !batch.is_control() || !batch.is_transactional() {
        return None;
    }
    let record = batch.records_in_place().ok()??.next()?.ok()?;
    let marker = EndTxnMarker::from_record(record.key?, record.value?)?;
    Some(Marker { is_abort: !marker.committed, coordinator_epoch: marker.coordinator_epoch })
}
