//! All producers of a log.

use std::collections::{BTreeMap, HashMap};

use highwater_types::{Offset, ProducerId, TimestampMs};

use super::entry::{BatchFacts, ProducerEntry, ProducerSummary};
use crate::entry::{EntryInfo, Marker, ProducerBatch};
use crate::error::AppendError;
use crate::index::AbortedTxn;

/// Where a batch comes from, which decides how strictly it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A producer: sequences must be gapless, and a repeated batch is recognised.
    Client,
    /// A coordinator of this broker: epochs count, sequences do not.
    Coordinator {
        /// Of the transactions whose markers it writes.
        transaction_version: u16,
    },
    /// The leader, or the log itself: the decision has been made.
    Log,
}

/// Whether a batch is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProducerCheck {
    Accepted,
    /// It is in the log already, with these offsets and timestamp.
    Duplicate {
        first: Offset,
        last: Offset,
        timestamp: TimestampMs,
    },
}

/// The producers of a log, and the transactions that hold back its last stable offset.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    entries: HashMap<ProducerId, ProducerEntry>,
    /// Open transactions by first offset.
    ongoing: BTreeMap<Offset, ProducerId>,
    /// Ended transactions by first offset, with the offset of their marker, until that is committed.
    unreplicated: BTreeMap<Offset, Offset>,
    /// The offset up to which the log has been applied.
    end: Offset,
    /// Offset of the newest snapshot.
    snapshot: Offset,
}

impl Producers {
    /// The offset up to which the log has been applied.
    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    pub(crate) fn set_end(&mut self, end: Offset) {
        self.end = end;
    }

    /// Offset of the newest snapshot file.
    pub(crate) fn snapshot(&self) -> Offset {
        self.snapshot
    }

    pub(crate) fn set_snapshot(&mut self, snapshot: Offset) {
        self.snapshot = snapshot;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Entries in ascending order of id.
    pub(crate) fn sorted(&self) -> Vec<(ProducerId, &ProducerEntry)> {
        let mut sorted: Vec<_> = self.entries.iter().map(|(&id, entry)| (id, entry)).collect();
        sorted.sort_unstable_by_key(|&(id, _)| id);
        sorted
    }

    pub(crate) fn summaries(&self) -> impl Iterator<Item = ProducerSummary> {
        self.sorted().into_iter().map(|(id, entry)| entry.summary(id))
    }

    /// First offset of the oldest transaction that is open, or whose marker is not committed.
    pub(crate) fn first_unstable(&self) -> Option<Offset> {
        let open = self.ongoing.keys().next();
        let ended = self.unreplicated.keys().next();
        open.into_iter().chain(ended).min().copied()
    }

    /// The high watermark has moved: markers below it are committed.
    pub(crate) fn advance_high_watermark(&mut self, high_watermark: Offset) {
        self.unreplicated.retain(|_, marker| high_watermark <= *marker);
    }

    /// Forgets all producers; the log has been applied up to `end`.
    ///
    /// Markers below `end` stay known until they are committed: no snapshot tells of them.
    pub(crate) fn reset(&mut self, end: Offset) {
        let mut unreplicated = std::mem::take(&mut self.unreplicated);
        unreplicated.retain(|_, marker| *marker < end);
        *self = Self { end, snapshot: end, unreplicated, ..Self::default() };
    }

    /// Puts the entries of a snapshot, except expired ones.
    pub(crate) fn load(&mut self, loaded: Vec<(ProducerId, ProducerEntry)>, now: TimestampMs, expiration_ms: u64) {
        for (id, entry) in loaded {
            if is_expired(&entry, now, expiration_ms) {
                continue;
            }
            let first = entry.txn_first;
            if let Some(twice) = self.entries.insert(id, entry).and_then(|twice| twice.txn_first) {
                // Only the last entry of a producer counts, or its transaction could not be ended.
                self.ongoing.remove(&twice);
            }
            if let Some(first) = first {
                self.ongoing.insert(first, id);
            }
        }
    }

    /// Forgets producers without an open transaction whose last batch is at least `expiration_ms` old.
    pub(crate) fn expire(&mut self, now: TimestampMs, expiration_ms: u64) {
        self.entries.retain(|_, entry| !is_expired(entry, now, expiration_ms));
    }

    /// Decides whether a batch may be written. Changes nothing.
    pub(crate) fn check(
        &self,
        info: &EntryInfo,
        marker: Option<Marker>,
        source: Source,
    ) -> Result<ProducerCheck, AppendError> {
        let (Some(batch), false) = (&info.producer, source == Source::Log) else {
            return Ok(ProducerCheck::Accepted);
        };
        let Some(known) = self.entries.get(&batch.id) else { return Ok(ProducerCheck::Accepted) };
        if info.is_control {
            // Other control records, and what compaction has left of a marker, end no transaction.
            let checked = marker.map_or(Ok(()), |marker| check_marker(known, batch, marker, source));
            return checked.map(|()| ProducerCheck::Accepted);
        }
        if source == Source::Client
            && let Some(facts) = known.find_duplicate(batch)
        {
            let (first, last) = (facts.first_offset(), facts.last_offset);
            return Ok(ProducerCheck::Duplicate { first, last, timestamp: facts.timestamp });
        }
        check_epoch(known, batch)?;
        if source == Source::Client {
            check_sequence(known, batch)?;
        }
        if known.txn_first.is_some() && !batch.is_transactional {
            return Err(AppendError::InvalidTxnState { producer: batch.id });
        }
        Ok(ProducerCheck::Accepted)
    }

    /// Takes a written batch into account. Returns the transaction that it aborted, if that has written records.
    pub(crate) fn apply(&mut self, info: &EntryInfo, marker: Option<Marker>) -> Option<AbortedTxn> {
        let batch = info.producer.as_ref()?;
        if info.is_control {
            return self.apply_marker(batch, marker?, info);
        }
        let base = info.base_or_last();
        let entry = self.entries.entry(batch.id).or_insert_with(|| ProducerEntry::new(batch.epoch));
        if batch.epoch < entry.epoch {
            // Only a leader that had forgotten the producer accepts this; its word counts.
            tracing::warn!(producer = %batch.id, "batch of an old producer epoch");
        }
        entry.set_epoch(batch.epoch);
        entry.last_timestamp = info.max_timestamp;
        if let Some((_, last_sequence)) = batch.sequences {
            let delta = base.records_until(info.last).unwrap_or(0);
            entry.push_batch(BatchFacts {
                last_sequence,
                last_offset: info.last,
                offset_delta: u32::try_from(delta).unwrap_or(u32::MAX),
                timestamp: info.max_timestamp,
            });
        }
        if batch.is_transactional && entry.txn_first.is_none() {
            entry.txn_first = Some(base);
            self.ongoing.insert(base, batch.id);
        }
        None
    }

    fn apply_marker(&mut self, batch: &ProducerBatch, marker: Marker, info: &EntryInfo) -> Option<AbortedTxn> {
        let entry = self.entries.entry(batch.id).or_insert_with(|| ProducerEntry::new(batch.epoch));
        entry.set_epoch(batch.epoch);
        entry.last_timestamp = info.max_timestamp;
        entry.coordinator_epoch = u32::try_from(marker.coordinator_epoch).ok();
        let first = entry.txn_first.take()?;
        self.ongoing.remove(&first);
        self.unreplicated.insert(first, info.last);
        // Only transactions that are still open count, not those whose markers are not committed.
        let last_stable = self.ongoing.keys().next().copied().unwrap_or(info.next_offset());
        marker.is_abort.then_some(AbortedTxn { producer: batch.id, first, last: info.last, last_stable })
    }
}

fn check_epoch(known: &ProducerEntry, batch: &ProducerBatch) -> Result<(), AppendError> {
    if known.epoch <= batch.epoch {
        return Ok(());
    }
    Err(AppendError::InvalidProducerEpoch { producer: batch.id, epoch: batch.epoch, current: known.epoch })
}

fn check_sequence(known: &ProducerEntry, batch: &ProducerBatch) -> Result<(), AppendError> {
    let Some((first, _)) = batch.sequences else { return Ok(()) };
    let same_epoch = batch.epoch == known.epoch;
    let last = known.last_batch().filter(|_| same_epoch);
    // A producer of which only a marker is known starts at 0 too.
    let expected = last.map_or(highwater_types::Sequence::ZERO, |facts| facts.last_sequence.plus(1));
    if first == expected {
        return Ok(());
    }
    Err(AppendError::OutOfOrderSequence { producer: batch.id, sequence: first, expected: Some(expected) })
}

fn check_marker(
    known: &ProducerEntry,
    batch: &ProducerBatch,
    marker: Marker,
    source: Source,
) -> Result<(), AppendError> {
    check_epoch(known, batch)?;
    if let Source::Coordinator { transaction_version: TRANSACTION_VERSION_WITH_EPOCH_BUMPS.. } = source
        && batch.epoch == known.epoch
        && known.txn_first.is_some()
    {
        // The marker of an earlier transaction, too late: this one's would have a higher epoch. With nothing open it
        // is the repetition of a marker that is in the log, and harmless.
        return Err(AppendError::InvalidProducerEpoch { producer: batch.id, epoch: batch.epoch, current: known.epoch });
    }
    let current = known.coordinator_epoch.map_or(-1, |epoch| i32::try_from(epoch).unwrap_or(i32::MAX));
    if current <= marker.coordinator_epoch {
        return Ok(());
    }
    Err(AppendError::StaleCoordinator { epoch: marker.coordinator_epoch, current })
}

fn is_expired(entry: &ProducerEntry, now: TimestampMs, expiration_ms: u64) -> bool {
    let age = now.ms_since(entry.last_timestamp);
    entry.txn_first.is_none() && u64::try_from(age).is_ok_and(|age| expiration_ms <= age)
}

/// From this transaction version on each marker has an epoch above that of its transaction's records (KIP-890).
const TRANSACTION_VERSION_WITH_EPOCH_BUMPS: u16 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_types::ProducerEpoch;

    #[test]
    fn of_a_producer_that_a_snapshot_has_twice_the_last_entry_counts() {
        let id = ProducerId::new(4);
        let open_since = |first| {
            let mut entry = ProducerEntry::new(ProducerEpoch::new(0));
            (entry.txn_first, entry.last_timestamp) = (first, TimestampMs(9));
            (id, entry)
        };
        for last in [None, Some(Offset::new(30)), Some(Offset::new(10))] {
            let mut producers = Producers::default();
            producers.load(vec![open_since(Some(Offset::new(10))), open_since(last)], TimestampMs(10), 1_000);
            assert_eq!(producers.first_unstable(), last);
        }
    }
}
