//! Fetched records that wait for the application.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use highwater_records::{
    BatchBuilder, BatchHeader, BatchOptions, BatchView, BuildError, Codec, DecompressLimit, EndTxnMarker, Entry,
    RecordError, RecordSet, RecordWalk, WalkMark,
};
use highwater_types::{LeaderEpoch, Offset, ProducerId, TopicPartition};

use crate::partition::Position;
use crate::record::DecodedBatch;
use crate::{AbortedTransaction, Records};

/// What one fetch brought of a partition, and how much of it has been given out. Batches are decompressed one by one,
/// when their turn comes.
#[derive(Debug)]
pub(crate) struct Buffer {
    rest: Bytes,
    /// Whether a whole batch has been found.
    has_whole: bool,
    open: Option<Open>,
    /// By first offset, the last one first; `None` if they are not to be left out.
    aborted: Option<Vec<AbortedTransaction>>,
    aborting: BTreeSet<ProducerId>,
    /// Bytes that were fetched.
    pub(crate) size: usize,
}

#[derive(Debug)]
struct Open {
    batch: Arc<DecodedBatch>,
    mark: WalkMark,
    next: Offset,
}

/// How a drain ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// There may be more.
    Full,
    /// All has been given.
    Empty,
    /// The first batch did not come whole.
    Cut,
    /// Bytes are not what they should be.
    Corrupt(RecordError),
}

impl Buffer {
    pub(crate) fn new(records: Bytes, aborted: Option<Vec<AbortedTransaction>>) -> Self {
        let aborted = aborted.map(|mut aborted| {
            aborted.sort_unstable_by_key(|aborted| core::cmp::Reverse(aborted.first_offset));
            aborted
        });
        let size = records.len();
        Self { rest: records, has_whole: false, open: None, aborted, aborting: BTreeSet::new(), size }
    }

    /// Gives at most `most` records from `position` on, and moves that past them and whatever is not for applications.
    pub(crate) fn drain(
        &mut self,
        partition: &TopicPartition,
        position: &mut Position,
        check_crcs: bool,
        most: usize,
        out: &mut Records,
    ) -> Drained {
        let full = out.len().saturating_add(most);
        loop {
            if let Some(open) = &mut self.open {
                match open.give(position, full - out.len(), out) {
                    Ok(true) => self.open = None,
                    Ok(false) => return Drained::Full,
                    Err(error) => return Drained::Corrupt(error),
                }
            }
            match self.open_next(partition, position, check_crcs) {
                Ok(true) => {}
                Ok(false) if !self.has_whole && !self.rest.is_empty() => return Drained::Cut,
                Ok(false) => return Drained::Empty,
                Err(error) => return Drained::Corrupt(error),
            }
        }
    }

    /// Takes the next batch. `false` if there is none.
    fn open_next(
        &mut self,
        partition: &TopicPartition,
        position: &mut Position,
        check_crcs: bool,
    ) -> Result<bool, RecordError> {
        let whole = self.rest.clone();
        let Some(entry) = RecordSet::new(&whole).entries().next().transpose()? else { return Ok(false) };
        if check_crcs {
            entry.check_crc()?;
        }
        let next = Offset::from_wire(entry.next_offset()).filter(|next| *next != Offset::ZERO);
        let next = next.ok_or(NEGATIVE)?;
        let bytes = self.rest.split_to(entry.size());
        self.has_whole = true;
        let is_left_out = match &entry {
            Entry::Batch(batch) => self.is_left_out(batch),
            Entry::Legacy(_) => false,
        };
        if next <= position.offset {
            return Ok(true);
        }
        let leader_epoch = LeaderEpoch::from_wire(entry.leader_epoch());
        if is_left_out {
            *position = Position { offset: next, epoch: leader_epoch.or(position.epoch) };
            return Ok(true);
        }
        let timestamp_type = entry.timestamp_type();
        let (context, payload, mark) = match &entry {
            Entry::Batch(batch) => {
                let payload = payload(batch, &bytes)?;
                let mark = batch.records_in(&payload)?.mark();
                (batch.context(), payload, mark)
            }
            Entry::Legacy(_) => {
                let rebuilt = Bytes::from(rebuild(&entry)?);
                let batch = BatchView::parse(&rebuilt)?;
                let payload = rebuilt.slice(BatchHeader::SIZE..);
                (batch.context(), payload, batch.records_in(batch.payload())?.mark())
            }
        };
        let partition = partition.clone();
        let batch = Arc::new(DecodedBatch { partition, leader_epoch, timestamp_type, context, payload });
        self.open = Some(Open { batch, mark, next });
        Ok(true)
    }

    /// Whether a batch is not for applications: a marker, or part of a transaction that was aborted.
    fn is_left_out(&mut self, batch: &BatchView<'_>) -> bool {
        let producer = ProducerId::from_wire(batch.producer_id());
        if let Some(aborted) = &mut self.aborted {
            let last = Offset::from_wire(batch.last_offset());
            while let Some(begun) = aborted.pop_if(|next| Some(next.first_offset) <= last) {
                self.aborting.insert(begun.producer_id);
            }
        }
        if batch.is_control() {
            if let Some(producer) = producer.filter(|_| is_abort(batch)) {
                self.aborting.remove(&producer);
            }
            return true;
        }
        batch.is_transactional() && producer.is_some_and(|producer| self.aborting.contains(&producer))
    }
}

impl Open {
    /// Gives at most `most` records. Whether the batch is done with.
    fn give(&mut self, position: &mut Position, most: usize, out: &mut Records) -> Result<bool, RecordError> {
        let mut walk = RecordWalk::resume(self.batch.context, &self.batch.payload, self.mark);
        let (mut start, mut count) = (self.mark, 0);
        let ended = loop {
            if count == most && !walk.mark().is_end() {
                break Ok(false);
            }
            let offset = match walk.next() {
                None => break Ok(true),
                Some(Err(error)) => break Err(error),
                Some(Ok(record)) => Offset::from_wire(record.offset),
            };
            match offset {
                Some(offset) if position.offset <= offset && offset < self.next => {
                    *position = Position { offset: offset.next(), epoch: self.batch.leader_epoch };
                    count += 1;
                }
                // Brokers give whole batches, whatever was asked for.
                Some(offset) if offset < position.offset && count == 0 => start = walk.mark(),
                Some(_) => break Err(DISORDER),
                None => break Err(NEGATIVE),
            }
        };
        self.mark = walk.mark();
        if 0 < count {
            out.push(Arc::clone(&self.batch), start, count);
        }
        if ended == Ok(true) {
            *position = Position { offset: self.next, epoch: self.batch.leader_epoch.or(position.epoch) };
        }
        ended
    }
}

/// The records of a batch, not compressed.
fn payload(batch: &BatchView<'_>, bytes: &Bytes) -> Result<Bytes, RecordError> {
    if batch.codec()? == Codec::None {
        return Ok(bytes.slice(BatchHeader::SIZE..));
    }
    let mut payload = Vec::new();
    batch.decompress(DecompressLimit::default(), &mut payload)?;
    Ok(payload.into())
}

/// Messages of the old formats, as a batch of today's.
fn rebuild(entry: &Entry<'_>) -> Result<Vec<u8>, RecordError> {
    let limit = DecompressLimit::default();
    let options = BatchOptions { base_offset: entry.base_offset(limit)?, ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options);
    let mut records = entry.records(limit)?;
    let refused = |error| match error {
        BuildError::Codec(error) => error,
        _ => DISORDER,
    };
    while let Some(record) = records.next_record()? {
        builder.append_record(&record).map_err(refused)?;
    }
    builder.finish().map_err(refused)
}

fn is_abort(batch: &BatchView<'_>) -> bool {
    let record = batch.records_in_place().ok().flatten().and_then(|mut records| records.next()?.ok());
    let marker = record.and_then(|record| EndTxnMarker::from_record(record.key?, record.value?));
    marker.is_some_and(|marker| !marker.committed)
}

const DISORDER: RecordError = RecordError::MalformedRecord { index: 0, what: "offsets are not in order" };
const NEGATIVE: RecordError = RecordError::MalformedRecord { index: 0, what: "offset is out of range" };
