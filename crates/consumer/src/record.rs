//! Records, as the application gets them.

use core::fmt;
use core::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use highwater_records::{Headers, RecordContext, RecordView, RecordWalk, TimestampType, WalkMark};
use highwater_types::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicName, TopicPartition};

use crate::{Decode, DecodeContext, DecodeError, OffsetAndMetadata, Progress, RecordPart};

/// Records of one or more partitions: one event's.
///
/// Shares the bytes that were fetched: to clone it costs a few counters, and keeping a record keeps its batch.
#[derive(Clone, Debug, Default)]
pub struct Records {
    chunks: Vec<Chunk>,
    count: usize,
    /// Where each partition is after these.
    next: Vec<(TopicPartition, OffsetAndMetadata)>,
}

/// Records of one batch that follow each other.
#[derive(Clone, Debug)]
struct Chunk {
    batch: Arc<DecodedBatch>,
    mark: WalkMark,
    count: usize,
}

/// A batch whose records are not compressed.
pub(crate) struct DecodedBatch {
    pub(crate) partition: TopicPartition,
    pub(crate) leader_epoch: Option<LeaderEpoch>,
    pub(crate) timestamp_type: Option<TimestampType>,
    pub(crate) context: RecordContext,
    /// The records alone.
    pub(crate) payload: Bytes,
}

impl fmt::Debug for DecodedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of {}", self.payload.len(), self.partition)
    }
}

impl Records {
    /// Adds `count` records from `mark` on.
    pub(crate) fn push(&mut self, batch: Arc<DecodedBatch>, mark: WalkMark, count: usize) {
        self.count += count;
        self.chunks.push(Chunk { batch, mark, count });
    }

    pub(crate) fn set_next(&mut self, partition: TopicPartition, next: OffsetAndMetadata) {
        self.next.push((partition, next));
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The partitions that they are of.
    pub fn partitions(&self) -> impl ExactSizeIterator<Item = &TopicPartition> {
        self.next.iter().map(|(partition, _)| partition)
    }

    /// How far the consumer is after these: what to commit once they are dealt with.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.next.iter().cloned().collect()
    }

    /// The records one by one, those of a partition in order. Allocates nothing.
    #[must_use]
    pub fn iter(&self) -> RecordsIter<'_> {
        RecordsIter { chunks: self.chunks.iter(), current: None, left: self.count }
    }

    /// Without the records that `keep` refuses. Allocates for what is left, not for its bytes.
    #[must_use]
    pub fn filter(&self, mut keep: impl FnMut(&ConsumerRecord) -> bool) -> Self {
        let mut kept = Self { chunks: Vec::new(), count: 0, next: self.next.clone() };
        for record in self.iter().filter(|record| keep(record)) {
            kept.push(record.batch, record.mark, 1);
        }
        kept
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = ConsumerRecord;
    type IntoIter = RecordsIter<'a>;

    fn into_iter(self) -> RecordsIter<'a> {
        self.iter()
    }
}

/// Iterator over [`Records`].
#[derive(Clone, Debug)]
pub struct RecordsIter<'a> {
    chunks: core::slice::Iter<'a, Chunk>,
    current: Option<(&'a Chunk, RecordWalk<'a>, usize)>,
    left: usize,
}

impl Iterator for RecordsIter<'_> {
    type Item = ConsumerRecord;

    fn next(&mut self) -> Option<ConsumerRecord> {
        loop {
            if let Some((chunk, walk, left)) = &mut self.current
                && 0 < *left
            {
                let mark = walk.mark();
                *left -= 1;
                self.left = self.left.saturating_sub(1);
                // Walked before, when they were counted.
                let record = walk.next()?.ok()?;
                return Some(ConsumerRecord::new(&chunk.batch, mark, &record));
            }
            let chunk = self.chunks.next()?;
            let walk = RecordWalk::resume(chunk.batch.context, &chunk.batch.payload, chunk.mark);
            self.current = Some((chunk, walk, chunk.count));
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for RecordsIter<'_> {}

/// One record. Shares the bytes of its batch: to clone it costs a counter, to keep it keeps the batch.
#[derive(Clone)]
pub struct ConsumerRecord {
    batch: Arc<DecodedBatch>,
    mark: WalkMark,
    offset: Offset,
    timestamp: TimestampMs,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
}

impl ConsumerRecord {
    fn new(batch: &Arc<DecodedBatch>, mark: WalkMark, view: &RecordView<'_>) -> Self {
        let range = |part: &[u8]| {
            let start = (part.as_ptr() as usize).saturating_sub(batch.payload.as_ptr() as usize);
            start..start + part.len()
        };
        Self {
            // Below the position of the partition, which never is negative, nothing is given out.
            offset: Offset::from_wire(view.offset).unwrap_or_default(),
            timestamp: TimestampMs(view.timestamp),
            key: view.key.map(range),
            value: view.value.map(range),
            mark,
            batch: Arc::clone(batch),
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &TopicName {
        &self.batch.partition.topic
    }

    /// The partition's number.
    #[must_use]
    pub fn partition_index(&self) -> PartitionIndex {
        self.batch.partition.partition
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> &TopicPartition {
        &self.batch.partition
    }

    /// Where it is in its partition.
    #[must_use]
    pub const fn offset(&self) -> Offset {
        self.offset
    }

    /// Its time; [`TimestampMs::NONE`] for none.
    #[must_use]
    pub const fn timestamp(&self) -> TimestampMs {
        self.timestamp
    }

    /// Whose time that is; `None` if there is none, as in the oldest format.
    #[must_use]
    pub fn timestamp_type(&self) -> Option<TimestampType> {
        self.batch.timestamp_type
    }

    /// Epoch of the leader that appended it, if it says.
    #[must_use]
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.batch.leader_epoch
    }

    /// The key; `None` for null.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.key.clone().and_then(|range| self.batch.payload.get(range))
    }

    /// The value; `None` for null, which in a compacted topic deletes the key.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.value.clone().and_then(|range| self.batch.payload.get(range))
    }

    /// The key, sharing the batch's bytes.
    #[must_use]
    pub fn key_bytes(&self) -> Option<Bytes> {
        self.key().map(|key| self.batch.payload.slice_ref(key))
    }

    /// The value, sharing the batch's bytes.
    #[must_use]
    pub fn value_bytes(&self) -> Option<Bytes> {
        self.value().map(|value| self.batch.payload.slice_ref(value))
    }

    /// The headers, in order. Walks the record again.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        let mut walk = RecordWalk::resume(self.batch.context, &self.batch.payload, self.mark);
        walk.next().and_then(Result::ok).map(|record| record.headers).unwrap_or_default()
    }

    /// What to commit once this record and all before it are dealt with.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let next = OffsetAndMetadata { offset: self.offset.next(), leader_epoch: self.leader_epoch(), metadata: None };
        [(self.partition().clone(), next)].into_iter().collect()
    }

    /// The key as the application wants it; `None` for null.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if it cannot be read so.
    pub fn decode_key<K: Decode>(&self) -> Result<Option<K>, DecodeError> {
        self.decode_part(RecordPart::Key, self.key_bytes())
    }

    /// The value as the application wants it; `None` for null.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if it cannot be read so.
    pub fn decode<V: Decode>(&self) -> Result<Option<V>, DecodeError> {
        self.decode_part(RecordPart::Value, self.value_bytes())
    }

    fn decode_part<T: Decode>(&self, part: RecordPart, bytes: Option<Bytes>) -> Result<Option<T>, DecodeError> {
        let context = DecodeContext { topic: self.topic(), part, headers: self.headers() };
        bytes.map(|bytes| T::decode(&context, bytes)).transpose()
    }
}

impl fmt::Debug for ConsumerRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.batch.partition, self.offset)
    }
}
