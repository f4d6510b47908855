//! Replaying a partition of the offsets topic.

use std::sync::Arc;

use highwater_coordinator::{Entry, ReplayError, TransactionOutcome};
use highwater_group::{Corrupt, GroupRecord};
use highwater_log::ReadBound;
use highwater_records::{DecompressLimit, EndTxnMarker, Entry as LogEntry, RecordError, RecordSet};
use highwater_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

use super::codec::{self, CodecError};
use super::coordinators::Shared;
use super::slot::Slot;
use crate::net::Now;
use crate::partition::PartitionError;

/// Why a partition could not be replayed.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Partition(#[from] PartitionError),
    #[error("read: {0}")]
    Read(#[from] std::io::Error),
    #[error("the batch at offset {at}: {source}")]
    Batch { at: Offset, source: RecordError },
    #[error("the record at offset {at}: {source}")]
    Record { at: Offset, source: CodecError },
    #[error("the record at offset {at}: {source}")]
    Corrupt { at: Offset, source: Corrupt },
    #[error("no whole batch at offset {at}")]
    Stuck { at: Offset },
    /// The term is over.
    #[error("somebody else leads the partition")]
    Stale,
}

/// Replays on another thread; `false` if too many wait for that already.
pub(super) fn start(slot: &Arc<Slot>, shared: &Arc<Shared>, epoch: LeaderEpoch) -> bool {
    let (slot, in_thread) = (Arc::clone(slot), Arc::clone(shared));
    let submitted = shared.loaders.submit(move || {
        let shared = in_thread;
        let began = Now::read();
        match load(&slot, &shared, epoch) {
            Ok(end) => {
                let took_ms = Now::read().instant.saturating_duration_since(began.instant).as_millis();
                tracing::debug!(partition = %slot.partition.name(), %end, took_ms, "groups are loaded");
            }
            Err(LoadError::Stale | LoadError::Partition(PartitionError::Gone | PartitionError::NotLeader)) => {}
            Err(error) => {
                tracing::error!(partition = %slot.partition.name(), "groups cannot be loaded: {error}");
                slot.run(&shared, Now::read(), None, |machine| machine.load_failed(epoch));
            }
        }
    });
    submitted.is_ok()
}

/// Feeds everything up to the end of the log, and then says so.
fn load(slot: &Arc<Slot>, shared: &Arc<Shared>, epoch: LeaderEpoch) -> Result<Offset, LoadError> {
    let mut next = slot.partition.lock_leader()?.log().log_start();
    let mut entries = Vec::new();
    loop {
        let slice = {
            let mut locked = slot.partition.lock_leader()?;
            if locked.leader_epoch() != epoch {
                return Err(LoadError::Stale);
            }
            if locked.log().log_end() <= next {
                break;
            }
            locked.read(next, SLICE_BYTES, true, ReadBound::LogEnd)?
        };
        // The file is read, and its batches decoded, without any lock.
        let bytes = slice.read_to_vec()?;
        let began_at = next;
        for entry in RecordSet::new(&bytes).entries() {
            match entry {
                Ok(entry) => {
                    decode(&entry, next, &mut entries)?;
                    next = Offset::from_wire(entry.next_offset()).unwrap_or(next);
                }
                // The slice ends inside a batch; the next one starts with it.
                Err(_) if began_at < next => break,
                Err(source) => return Err(LoadError::Batch { at: next, source }),
            }
        }
        if next <= began_at {
            return Err(LoadError::Stuck { at: next });
        }
        feed(slot, shared, epoch, &mut entries)?;
    }
    let (end, high_watermark) = {
        let locked = slot.partition.lock_leader()?;
        (next.max(locked.log().log_end()), locked.log().high_watermark())
    };
    slot.loaded(shared, Now::read(), epoch, end, high_watermark);
    Ok(end)
}

/// Decodes the records of one batch that concern groups.
fn decode(entry: &LogEntry<'_>, at: Offset, into: &mut Vec<(Offset, Entry<GroupRecord>)>) -> Result<(), LoadError> {
    let broken = |source| LoadError::Batch { at, source };
    entry.check_crc().map_err(broken)?;
    let header = match entry {
        LogEntry::Batch(batch) => Some(batch.header()),
        _ => None,
    };
    let producer = header.and_then(|header| {
        Some((ProducerId::from_wire(header.producer_id())?, ProducerEpoch::from_wire(header.producer_epoch())?))
    });
    let (is_control, is_transactional) =
        header.map_or((false, false), |header| (header.is_control(), header.is_transactional()));
    let mut records = entry.records(DecompressLimit::default()).map_err(broken)?;
    while let Some(record) = records.next_record().map_err(broken)? {
        let offset = Offset::from_wire(record.offset).unwrap_or(at);
        let (key, value) = (record.key.unwrap_or_default(), record.value);
        if is_control {
            let marker = EndTxnMarker::from_record(key, value.unwrap_or_default());
            if let (Some(marker), Some((producer, epoch))) = (marker, producer) {
                let outcome = if marker.committed { TransactionOutcome::Commit } else { TransactionOutcome::Abort };
                into.push((offset, Entry::Marker { producer, epoch, outcome }));
            }
            continue;
        }
        let Some(record) = codec::decode(key, value).map_err(|source| LoadError::Record { at: offset, source })? else {
            continue;
        };
        let entry = match producer {
            Some((producer, epoch)) if is_transactional => Entry::Transactional { producer, epoch, record },
            _ => Entry::Record(record),
        };
        into.push((offset, entry));
    }
    Ok(())
}

/// Replays entries, some at a time, so that requests are refused without waiting for the whole.
fn feed(
    slot: &Arc<Slot>,
    shared: &Arc<Shared>,
    epoch: LeaderEpoch,
    entries: &mut Vec<(Offset, Entry<GroupRecord>)>,
) -> Result<(), LoadError> {
    let mut entries = entries.drain(..).peekable();
    while entries.peek().is_some() {
        let now = Now::read();
        let mut result = Ok(());
        slot.run(shared, now, None, |machine| {
            let now = shared.coordinator_now(now);
            for (offset, entry) in entries.by_ref().take(ENTRIES_PER_LOCK) {
                result = machine.replay(now, epoch, offset, entry);
                if result.is_err() {
                    return;
                }
            }
        });
        result.map_err(|error| match error {
            ReplayError::Corrupt { offset: at, reason: source } => LoadError::Corrupt { at, source },
            _ => LoadError::Stale,
        })?;
    }
    Ok(())
}

/// What is read at once.
const SLICE_BYTES: u32 = 1 << 20;
/// What is replayed under one lock: about a millisecond.
const ENTRIES_PER_LOCK: usize = 4096;
