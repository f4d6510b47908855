//! Appending (storage format, section 10).

use std::io::IoSlice;
use std::path::Path;

use highwater_types::{LeaderEpoch, Offset, TimestampMs};

use super::Log;
use super::append_set::{AppendInfo, AppendSet};
use super::roll::Incoming;
use crate::disk::FileHandle;
use crate::entry::{EntryInfo, check_codec, check_crc, read_marker};
use crate::error::{AppendError, LogError};
use crate::producer::{ProducerCheck, Source};

/// Record sets written with one system call, at most.
const SLICES_MAX: usize = 64;

impl Log {
    /// Appends record sets as the partition's leader: checks them, assigns offsets, writes them together.
    ///
    /// Each set gets its own [result](AppendSet::take_result); one that is refused leaves no trace and does not
    /// affect the others. What is accepted goes to the file in one `pwritev` for each 64 sets, and is readable on
    /// return, but **not durable**: see [`flush_task`](Self::flush_task). Nothing is synced here. Where `flush_messages`
    /// asks for a sync first, [`settled_to`](Self::settled_to) stays behind until [`due_flush`](Self::due_flush) has
    /// been run: acknowledge nothing above it.
    ///
    /// May roll the segment, which creates files, and syncs a small file with the first batch of a leader epoch.
    /// Otherwise allocates nothing for batches that are stored as they come.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`] or [`LogError::Poisoned`]: no set may be acknowledged, whatever was accepted before.
    pub fn append_as_leader(
        &mut self,
        sets: &mut [AppendSet<'_>],
        leader_epoch: LeaderEpoch,
        now: TimestampMs,
    ) -> Result<(), LogError> {
        let appended = self.begin_append(sets, leader_epoch, now).and_then(|staged| {
            let written = staged.write(sets);
            self.finish_append(written)
        });
        if appended.is_err() {
            AppendSet::refuse_all(sets);
        }
        appended
    }

    /// Takes the sets into the state of the log, and says what is left to write.
    pub(super) fn stage_sets(
        &mut self,
        sets: &mut [AppendSet<'_>],
        leader_epoch: LeaderEpoch,
        now: TimestampMs,
    ) -> Result<Pending, LogError> {
        self.cut_torn_tail()?;
        let mut pending = self.nothing_pending(0);
        for index in 0..sets.len() {
            let (before, rest) = sets.split_at_mut(index);
            let set = &mut rest[0];
            if set.is_refused() {
                continue;
            }
            let result = match self.stage(set, before, &mut pending, leader_epoch, now) {
                Err(AppendError::Log(error)) => return Err(error),
                other => other,
            };
            set.set_result(result);
        }
        if pending.first < sets.len() {
            self.segments.active_mut().reserve(0, &self.place.config)?;
        }
        Ok(pending)
    }

    fn nothing_pending(&self, first: usize) -> Pending {
        Pending { first, position: self.segments.active().size(), offset: self.log_end }
    }

    /// Takes one set into the state of the log; its bytes are written with those of its neighbours.
    fn stage(
        &mut self,
        set: &mut AppendSet<'_>,
        before: &[AppendSet<'_>],
        pending: &mut Pending,
        leader_epoch: LeaderEpoch,
        now: TimestampMs,
    ) -> Result<AppendInfo, AppendError> {
        let append_time = set.prepare(&self.place.config, self.log_end, leader_epoch, now)?;
        let bytes = set.prepared();
        let incoming = survey(bytes)?;
        self.begin_epochs(bytes)?;
        let limit = u64::from(self.place.config.segment_bytes_max);
        if limit < incoming.bytes {
            return Err(AppendError::LargerThanSegment { size: incoming.bytes, limit });
        }
        if self.must_roll(&incoming, now)? {
            self.segments.active_mut().reserve(0, &self.place.config)?;
            let active = self.segments.active();
            pending.write(before, active.log(), active.path())?;
            self.roll_to(incoming.segment_base(self.log_end), now)?;
            *pending = self.nothing_pending(before.len());
        }
        if let Some(duplicate) = self.check_producers(bytes, set.source())? {
            return Ok(duplicate);
        }
        let base_offset = self.note_entries(bytes)?;
        set.stage();
        let last_offset = incoming.last;
        Ok(AppendInfo { base_offset, last_offset, append_time, log_start: self.log_start, duplicate: false })
    }

    /// Appends what was fetched from the leader, offsets as they are.
    ///
    /// Takes the whole batches at the front of `records` and ignores a cut one behind them. From the first batch
    /// of a leader epoch above `fetcher_epoch` on, everything is ignored: it belongs to a leader this replica
    /// does not follow yet. `None` if nothing is left to append.
    ///
    /// # Errors
    ///
    /// - [`AppendError::Corrupt`] if a checksum or a length is wrong, or a leader epoch is below one before it; nothing
    ///   is written.
    /// - [`AppendError::UnexpectedOffset`] if the batches do not continue the log; nothing is written.
    /// - [`AppendError::Log`] as for [`append_as_leader`](Self::append_as_leader).
    pub fn append_as_follower(
        &mut self,
        records: &[u8],
        fetcher_epoch: Option<LeaderEpoch>,
        now: TimestampMs,
    ) -> Result<Option<AppendInfo>, AppendError> {
        self.check_open()?;
        let latest = self.epochs.latest().map(|entry| entry.epoch);
        let valid = check_replicated(records, self.log_end, latest, fetcher_epoch)?;
        if valid.is_empty() {
            return Ok(None);
        }
        let appended = self.append_replicated(valid, now);
        if let Err(AppendError::Log(error)) = appended {
            return Err(self.health.watch::<()>(Err(error)).err().map_or(LogError::Poisoned, |error| error).into());
        }
        appended.map(Some)
    }

    fn append_replicated(&mut self, bytes: &[u8], now: TimestampMs) -> Result<AppendInfo, AppendError> {
        self.cut_torn_tail()?;
        let incoming = survey(bytes)?;
        self.begin_epochs(bytes)?;
        if self.must_roll(&incoming, now)? {
            self.roll_to(incoming.segment_base(self.log_end), now)?;
        }
        let position = self.segments.active().size();
        let base_offset = self.note_entries(bytes)?;
        self.segments.active_mut().reserve(0, &self.place.config)?;
        let active = self.segments.active();
        active.log().write_all_at(bytes, position).map_err(LogError::io("append to", active.path()))?;
        self.settle();
        let log_start = self.log_start;
        let append_time = TimestampMs::NONE;
        Ok(AppendInfo { base_offset, last_offset: incoming.last, append_time, log_start, duplicate: false })
    }

    /// Notes the leader epochs that begin in these entries; messages without one end the cache's usefulness.
    fn begin_epochs(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        let mut changed = false;
        for (info, _) in Parsed(bytes) {
            changed |= match info.leader_epoch {
                Some(epoch) => {
                    let start = info.base_or_last();
                    !self.epochs.is_current(epoch, start) && self.epochs.assign(epoch, start)
                }
                None => info.magic < 2 && self.epochs.clear(),
            };
        }
        if changed { self.epochs.write(&*self.place.disk, &self.place.dir) } else { Ok(()) }
    }

    /// Checks every batch against its producer's state. A duplicate stands for the whole set.
    fn check_producers(&self, bytes: &[u8], source: Source) -> Result<Option<AppendInfo>, AppendError> {
        for (info, entry) in Parsed(bytes) {
            if info.producer.is_none() {
                continue;
            }
            let marker = if info.is_control { read_marker(entry) } else { None };
            if let ProducerCheck::Duplicate { first, last, timestamp } = self.producers.check(&info, marker, source)? {
                return Ok(Some(AppendInfo {
                    base_offset: first,
                    last_offset: last,
                    append_time: timestamp,
                    log_start: self.log_start,
                    duplicate: true,
                }));
            }
        }
        Ok(None)
    }

    /// Takes the entries into indexes, producer state and log end. Returns the first offset.
    fn note_entries(&mut self, bytes: &[u8]) -> Result<Offset, LogError> {
        let interval = self.place.config.index_interval_bytes;
        let mut first = None;
        for (info, entry) in Parsed(bytes) {
            self.segments.active_mut().note_appended(&info, interval)?;
            if info.producer.is_some() {
                let marker = if info.is_control { read_marker(entry) } else { None };
                if let Some(aborted) = self.producers.apply(&info, marker) {
                    self.segments.active_mut().append_aborted(&self.place, aborted)?;
                }
            }
            first.get_or_insert(info.base_or_last());
            self.log_end = info.next_offset();
        }
        self.ends_at_truncation = false;
        self.producers.set_end(self.log_end);
        Ok(first.expect("an append has an entry"))
    }

    /// The entry to every change: the log is neither poisoned nor closed.
    pub(super) fn check_open(&self) -> Result<(), LogError> {
        self.health.check()?;
        if self.is_closed { Err(LogError::Closed) } else { Ok(()) }
    }

    /// Cuts what follows the last whole entry, before anything is written behind it.
    ///
    /// A log that was closed in order is opened without looking, and Kafka leaves such bytes where they are.
    pub(super) fn cut_torn_tail(&mut self) -> Result<(), LogError> {
        match self.torn_at.take() {
            Some(end) => self.segments.active_mut().truncate_bytes(end),
            None => Ok(()),
        }
    }
}

/// Which sets have been staged but not written.
#[derive(Debug)]
pub(super) struct Pending {
    /// Index of the first one.
    first: usize,
    /// Where in the active segment it belongs.
    pub(super) position: u64,
    /// Where the log ends without them.
    pub(super) offset: Offset,
}

impl Pending {
    /// Writes what has been staged in `sets` since the last write to the file of the active segment.
    pub(super) fn write(&self, sets: &[AppendSet<'_>], file: &FileHandle, path: &Path) -> Result<(), LogError> {
        let mut staged = sets[self.first..].iter().filter(|set| set.is_staged());
        let mut position = self.position;
        loop {
            let mut slices: [IoSlice<'_>; SLICES_MAX] = std::array::from_fn(|_| IoSlice::new(&[]));
            let (mut count, mut bytes) = (0, 0);
            for (slice, set) in slices.iter_mut().zip(staged.by_ref()) {
                *slice = IoSlice::new(set.prepared());
                count += 1;
                bytes += slice.len() as u64;
            }
            if count == 0 {
                return Ok(());
            }
            let written = file.write_all_vectored_at(&mut slices[..count], position);
            written.map_err(LogError::io("append to", path))?;
            position += bytes;
            if count < SLICES_MAX {
                return Ok(());
            }
        }
    }
}

/// Entries of bytes that have been checked, each with its own bytes.
struct Parsed<'a>(&'a [u8]);

impl<'a> Iterator for Parsed<'a> {
    type Item = (EntryInfo, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let info = EntryInfo::parse(self.0).ok()??;
        let (entry, rest) = self.0.split_at_checked(usize::try_from(info.size).ok()?)?;
        self.0 = rest;
        Some((info, entry))
    }
}

/// What rolling has to know of checked bytes.
fn survey(bytes: &[u8]) -> Result<Incoming, AppendError> {
    let mut incoming: Option<Incoming> = None;
    for (info, _) in Parsed(bytes) {
        let so_far = incoming.get_or_insert(Incoming {
            bytes: bytes.len() as u64,
            max_timestamp: TimestampMs::NONE,
            first: info.base,
            last: info.last,
        });
        so_far.max_timestamp = so_far.max_timestamp.max(info.max_timestamp);
        so_far.last = info.last;
    }
    incoming.ok_or_else(|| AppendError::Corrupt { position: 0, reason: "no whole entry".to_owned() })
}

/// Cuts replicated bytes to the whole entries that may be appended, checking each. `epoch` is the last one of the log.
pub(super) fn check_replicated(
    records: &[u8],
    log_end: Offset,
    mut epoch: Option<LeaderEpoch>,
    fetcher_epoch: Option<LeaderEpoch>,
) -> Result<&[u8], AppendError> {
    let mut valid = 0;
    let mut expected = log_end;
    loop {
        let rest = &records[valid..];
        let corrupt = |reason: &str| AppendError::Corrupt { position: valid, reason: reason.to_owned() };
        let Some(head) = highwater_records::EntryHead::peek(rest).map_err(|e| corrupt(&e.to_string()))? else { break };
        let Some(entry) = usize::try_from(head.size()).ok().and_then(|size| rest.get(..size)) else { break };
        let Some(info) = EntryInfo::parse(entry).map_err(corrupt)? else { return Err(corrupt("cut header")) };
        if fetcher_epoch.is_some() && fetcher_epoch < info.leader_epoch {
            break;
        }
        check_crc(entry).and_then(|()| check_codec(entry)).map_err(corrupt)?;
        // A leader's epochs only rise: what goes back was never in one log with what is before it.
        if info.leader_epoch.is_some() && info.leader_epoch < epoch {
            return Err(corrupt("the leader epoch goes back"));
        }
        epoch = info.leader_epoch.or(epoch);
        let first = info.base_or_last();
        if first < expected {
            return Err(AppendError::UnexpectedOffset { first, expected });
        }
        expected = info.next_offset();
        valid += entry.len();
    }
    Ok(&records[..valid])
}
