//! What a log has to remember of its producers: section 13 of the storage format, written down once more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use highwater_log::{AbortedTxn, ProducerSummary};
use highwater_types::{Offset, ProducerId};

use super::batch::{Batch, Stamp};

/// Batches by which repetitions are recognised.
const REMEMBERED: usize = 5;

/// All producers, and the transactions that hold back the last stable offset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Producers {
    pub(crate) known: BTreeMap<i64, Producer>,
    /// Ended transactions whose marker is not committed: first offset and offset of the marker.
    ended: BTreeSet<(u64, u64)>,
    /// Such transactions that were ended before the log was opened, which it may have forgotten.
    ended_before: BTreeSet<(u64, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) epoch: i16,
    pub(crate) coordinator_epoch: Option<i32>,
    pub(crate) last_timestamp: i64,
    pub(crate) txn_first: Option<u64>,
    pub(crate) batches: VecDeque<Seen>,
}

/// A batch that is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) sequences: (i32, i32),
    pub(crate) offsets: (u64, u64),
}

/// What becomes of a batch that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Duplicate { first: u64, last: u64 },
    OldEpoch,
    OutOfOrder,
    NotInTxn,
    StaleCoordinator,
}

impl Producer {
    fn new(epoch: i16) -> Self {
        Self { epoch, coordinator_epoch: None, last_timestamp: -1, txn_first: None, batches: VecDeque::new() }
    }

    fn enter(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }

    /// The sequence that has to follow.
    pub(crate) fn next_sequence(&self) -> i32 {
        self.batches.back().map_or(0, |seen| if seen.sequences.1 == i32::MAX { 0 } else { seen.sequences.1 + 1 })
    }
}

impl Producers {
    /// Those that the batches tell of, by themselves.
    pub(crate) fn replay<'a>(batches: impl Iterator<Item = &'a Batch>) -> Self {
        let mut producers = Self::default();
        batches.for_each(|batch| _ = producers.apply(batch));
        producers
    }

    /// What a leader does with a batch of a client, or of a coordinator.
    pub(crate) fn judge(&self, batch: &Batch, is_client: bool) -> Verdict {
        let Some(stamp) = &batch.producer else { return Verdict::Accepted };
        let Some(known) = self.known.get(&stamp.id) else { return Verdict::Accepted };
        if batch.is_control {
            let epoch = batch.marker.map(|marker| marker.coordinator_epoch);
            return match known.coordinator_epoch.zip(epoch) {
                _ if stamp.epoch < known.epoch => Verdict::OldEpoch,
                Some((known, offered)) if offered < known => Verdict::StaleCoordinator,
                _ => Verdict::Accepted,
            };
        }
        if is_client {
            let same = |seen: &&Seen| stamp.epoch == known.epoch && stamp.sequences == Some(seen.sequences);
            if let Some(seen) = known.batches.iter().find(same) {
                return Verdict::Duplicate { first: seen.offsets.0, last: seen.offsets.1 };
            }
        }
        if stamp.epoch < known.epoch {
            return Verdict::OldEpoch;
        }
        let expected = if stamp.epoch == known.epoch { known.next_sequence() } else { 0 };
        if is_client && stamp.sequences.is_some_and(|(first, _)| first != expected) {
            return Verdict::OutOfOrder;
        }
        if known.txn_first.is_some() && !stamp.is_transactional { Verdict::NotInTxn } else { Verdict::Accepted }
    }

    /// Takes a written batch into account. Returns the transaction that it aborts.
    pub(crate) fn apply(&mut self, batch: &Batch) -> Option<AbortedTxn> {
        let stamp = batch.producer.as_ref()?;
        if !batch.is_control {
            self.apply_data(stamp, batch);
            return None;
        }
        let marker = batch.marker?;
        let first = self.apply_marker(stamp, marker.coordinator_epoch, batch).filter(|_| !marker.committed)?;
        // The oldest transaction that is still open.
        let open = self.known.values().filter_map(|known| known.txn_first).min();
        Some(AbortedTxn {
            producer: ProducerId::from_wire(stamp.id)?,
            first: Offset::new(first),
            last: Offset::new(batch.last),
            last_stable: Offset::new(open.unwrap_or(batch.last + 1)),
        })
    }

    fn apply_data(&mut self, stamp: &Stamp, batch: &Batch) {
        let known = self.known.entry(stamp.id).or_insert_with(|| Producer::new(stamp.epoch));
        known.enter(stamp.epoch);
        known.last_timestamp = batch.max_timestamp;
        if let Some(sequences) = stamp.sequences {
            known.batches.push_back(Seen { sequences, offsets: (batch.first, batch.last) });
            if REMEMBERED < known.batches.len() {
                known.batches.pop_front();
            }
        }
        if stamp.is_transactional && known.txn_first.is_none() {
            known.txn_first = Some(batch.first);
        }
    }

    fn apply_marker(&mut self, stamp: &Stamp, coordinator_epoch: i32, batch: &Batch) -> Option<u64> {
        let known = self.known.entry(stamp.id).or_insert_with(|| Producer::new(stamp.epoch));
        known.enter(stamp.epoch);
        known.last_timestamp = batch.max_timestamp;
        known.coordinator_epoch = Some(coordinator_epoch);
        let first = known.txn_first.take()?;
        self.ended.insert((first, batch.last));
        Some(first)
    }

    pub(crate) fn advance_high_watermark(&mut self, to: u64) {
        self.ended.retain(|(_, marker)| to <= *marker);
        self.ended_before.retain(|(_, marker)| to <= *marker);
    }

    /// The least and the largest last stable offset that are right; the same unless the log was opened while ended
    /// transactions were not committed, which no snapshot tells of.
    pub(crate) fn last_stable(&self, high_watermark: u64) -> (u64, u64) {
        let open = self.known.values().filter_map(|producer| producer.txn_first).min();
        let first = |ended: &BTreeSet<(u64, u64)>| ended.first().map(|(first, _)| *first);
        let largest = [open, first(&self.ended)].into_iter().flatten().fold(high_watermark, u64::min);
        (first(&self.ended_before).map_or(largest, |before| before.min(largest)), largest)
    }

    /// Whether a log that has gone on with the same producers says so.
    pub(crate) fn check(&self, actual: &[ProducerSummary]) {
        let ids: Vec<i64> = actual.iter().map(|summary| summary.producer_id.to_wire()).collect();
        let expected: Vec<i64> = self.known.keys().copied().collect();
        assert_eq!(ids, expected, "known producers");
        for (summary, (id, known)) in actual.iter().zip(&self.known) {
            let sequences = known.batches.front().zip(known.batches.back());
            let sequences = sequences.map(|(first, last)| (first.sequences.0, last.sequences.1));
            assert_eq!(Facts::of(summary), Facts::expected(known), "producer {id}");
            let actual = summary.sequences.map(|range| (range.first.to_wire(), range.last.to_wire()));
            assert_eq!(actual, sequences, "sequences of producer {id}");
        }
    }

    /// Whether a log that was closed in order still knows everybody, if only by the last batch.
    pub(crate) fn check_kept(&self, actual: &[ProducerSummary]) {
        let actual: BTreeMap<i64, Facts> =
            actual.iter().map(|summary| (summary.producer_id.to_wire(), Facts::of(summary))).collect();
        let expected: BTreeMap<i64, Facts> =
            self.known.iter().map(|(id, known)| (*id, Facts::expected(known))).collect();
        assert_eq!(actual, expected, "producers after an orderly close");
    }

    /// What a log knows that has loaded its producers anew, if that is right.
    ///
    /// It may come from a snapshot, which knows what the log did but only each producer's last batch, or from the batches
    /// that are still there (`left`). So producers and facts from before the log start may be forgotten. `sources` are
    /// all that they can come from.
    ///
    /// With `is_partial`, records that had been deleted have come back, but not all of them: what snapshots and records
    /// then say together of producers that are not in `left` is anybody's guess, and `None` stands for a wrong one.
    pub(crate) fn adopted(
        actual: &[ProducerSummary],
        left: &Self,
        sources: &[Self],
        high_watermark: u64,
        is_partial: bool,
    ) -> Option<Self> {
        let mut adopted = Self::default();
        for id in left.known.keys() {
            let is_there = actual.iter().any(|summary| summary.producer_id.to_wire() == *id);
            assert!(is_there, "producer {id} is forgotten, whose batches are in the log");
        }
        for summary in actual {
            let id = summary.producer_id.to_wire();
            let all = sources.iter().chain([left]);
            let known_as: Vec<&Producer> = all.filter_map(|source| source.known.get(&id)).collect();
            assert!(!known_as.is_empty(), "producer {id} was never there");
            let actual = Facts::of(summary);
            let known = known_as.iter().map(|known| Facts::expected(known));
            let known: Vec<Facts> = known.collect();
            let agree = |field: fn(&Facts) -> i64| known.iter().any(|facts| field(facts) == field(&actual));
            let all_agree = agree(|facts| facts.epoch.into())
                && agree(|facts| facts.last_sequence.into())
                && agree(|facts| facts.last_offset)
                && agree(|facts| facts.last_timestamp)
                && agree(|facts| facts.coordinator_epoch.into())
                && agree(|facts| facts.txn_first);
            if !all_agree && is_partial {
                return None;
            }
            assert!(all_agree, "producer {id} is {actual:?}, which is none of {known:?}");
            if let Some(left) = left.known.get(&id) {
                let left = Facts::expected(left);
                assert_eq!(actual.epoch, left.epoch, "epoch of producer {id}: {actual:?}, not {left:?}");
                assert!(left.last_offset <= actual.last_offset, "producer {id} has lost its last batch: {actual:?}");
                assert!(left.txn_first == -1 || actual.txn_first != -1, "producer {id} has lost its transaction");
            }
            let batches = Self::remembered(summary, &known_as);
            if batches.is_none() && is_partial {
                return None;
            }
            let batches = batches.unwrap_or_else(|| panic!("{summary:?} is of no known batches: {known_as:?}"));
            let coordinator_epoch = summary.coordinator_epoch.and_then(|epoch| i32::try_from(epoch).ok());
            let producer = Producer {
                epoch: summary.epoch.to_wire(),
                coordinator_epoch,
                last_timestamp: summary.last_timestamp.value(),
                txn_first: summary.txn_first_offset.map(Offset::value),
                batches,
            };
            adopted.known.insert(id, producer);
        }
        for source in sources.iter().chain([left]) {
            adopted.ended_before.extend(&source.ended);
            adopted.ended_before.extend(&source.ended_before);
        }
        adopted.advance_high_watermark(high_watermark);
        Some(adopted)
    }

    /// Those of the known batches that a log says it remembers of a producer.
    fn remembered(summary: &ProducerSummary, sources: &[&Producer]) -> Option<VecDeque<Seen>> {
        let Some(range) = summary.sequences else { return Some(VecDeque::new()) };
        let (first, last) = (range.first.to_wire(), range.last.to_wire());
        let last_offset = summary.last_offset.map(Offset::value);
        // The fewest that fit: whoever started anew has sent the same sequences before.
        let fitting = sources.iter().filter_map(|known| {
            let is_last = |seen: &Seen| seen.sequences.1 == last && Some(seen.offsets.1) == last_offset;
            let end = known.batches.iter().position(is_last)?;
            let start = known.batches.range(..=end).rposition(|seen| seen.sequences.0 == first)?;
            Some(known.batches.range(start..=end).copied().collect::<VecDeque<Seen>>())
        });
        fitting.min_by_key(VecDeque::len)
    }
}

/// What a snapshot holds of a producer, as it holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    epoch: i16,
    last_sequence: i32,
    last_offset: i64,
    offset_delta: u64,
    last_timestamp: i64,
    coordinator_epoch: i32,
    txn_first: i64,
}

impl Facts {
    fn of(summary: &ProducerSummary) -> Self {
        Self {
            epoch: summary.epoch.to_wire(),
            last_sequence: summary.sequences.map_or(-1, |range| range.last.to_wire()),
            last_offset: summary.last_offset.map_or(-1, Offset::to_wire),
            offset_delta: summary.last_offset_delta.into(),
            last_timestamp: summary.last_timestamp.value(),
            coordinator_epoch: summary.coordinator_epoch.and_then(|epoch| i32::try_from(epoch).ok()).unwrap_or(-1),
            txn_first: summary.txn_first_offset.map_or(-1, Offset::to_wire),
        }
    }

    fn expected(known: &Producer) -> Self {
        let last = known.batches.back();
        Self {
            epoch: known.epoch,
            last_sequence: last.map_or(-1, |seen| seen.sequences.1),
            last_offset: last.map_or(-1, |seen| seen.offsets.1.cast_signed()),
            offset_delta: last.map_or(0, |seen| seen.offsets.1 - seen.offsets.0),
            last_timestamp: known.last_timestamp,
            coordinator_epoch: known.coordinator_epoch.unwrap_or(-1),
            txn_first: known.txn_first.map_or(-1, u64::cast_signed),
        }
    }
}
