//! One stored entry, read without the help of the log.

use std::sync::Arc;

use highwater_records::{BatchView, DecompressLimit, EndTxnMarker, Entry};

/// An entry of the log: a batch of format 2, or a message of format 0 or 1.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) bytes: Arc<[u8]>,
    /// The offset by which the log files it: the first one, for old formats the last one, as finding the first would
    /// cost decompression.
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) is_legacy: bool,
    pub(crate) max_timestamp: i64,
    pub(crate) epoch: Option<u32>,
    pub(crate) producer: Option<Stamp>,
    pub(crate) is_control: bool,
    pub(crate) marker: Option<EndTxnMarker>,
    /// When the cleaner may drop tombstones and markers.
    pub(crate) delete_horizon: Option<i64>,
    pub(crate) records: Arc<[Record]>,
}

/// One record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) offset: u64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
}

/// Which producer a batch is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    /// First and last sequence, of data batches.
    pub(crate) sequences: Option<(i32, i32)>,
    pub(crate) is_transactional: bool,
}

impl Batch {
    /// Reads an entry that is known to be good.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let entry = Entry::parse(bytes).expect("entries of a run are well formed");
        let limit = DecompressLimit::default();
        let mut walk = entry.records(limit).expect("entries of a run are well formed");
        let mut records = Vec::new();
        let mut marker = None;
        let batch = if entry.magic() == 2 { BatchView::parse(bytes).ok() } else { None };
        let is_control = batch.is_some_and(|batch| batch.is_control());
        while let Some(record) = walk.next_record().expect("entries of a run are well formed") {
            records.push(Record {
                offset: record.offset.cast_unsigned(),
                timestamp: record.timestamp,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
            });
            if is_control && let Some((key, value)) = record.key.zip(record.value) {
                marker = marker.or(EndTxnMarker::from_record(key, value));
            }
        }
        let last = entry.last_offset().cast_unsigned();
        Self {
            bytes: bytes.into(),
            first: batch.map_or(last, |batch| batch.base_offset().cast_unsigned()),
            last,
            is_legacy: entry.magic() < 2,
            max_timestamp: if entry.magic() == 0 { -1 } else { entry.max_timestamp() },
            epoch: u32::try_from(entry.leader_epoch()).ok(),
            producer: batch.and_then(|batch| Stamp::of(&batch)),
            is_control,
            marker,
            delete_horizon: batch.and_then(|batch| batch.delete_horizon()),
            records: records.into(),
        }
    }

    /// The first offset, also where finding it takes decompression.
    pub(crate) fn base(&self) -> u64 {
        if self.is_legacy { self.records.first().map_or(self.first, |record| record.offset) } else { self.first }
    }

    pub(crate) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl Stamp {
    fn of(batch: &BatchView<'_>) -> Option<Self> {
        let has_sequence = batch.base_sequence() >= 0;
        (batch.producer_id() >= 0).then(|| Self {
            id: batch.producer_id(),
            epoch: batch.producer_epoch(),
            sequences: has_sequence.then(|| (batch.base_sequence(), batch.last_sequence())),
            is_transactional: batch.is_transactional(),
        })
    }
}

/// The whole entries at the front of `bytes`.
pub(crate) fn entries(bytes: &[u8]) -> Vec<Batch> {
    let walk = highwater_records::RecordSet::new(bytes).entries();
    walk.map_while(Result::ok).map(|entry| Batch::parse(entry.bytes())).collect()
}
