//! When snapshots of the metadata are taken, and how much of the log is kept.

use std::collections::VecDeque;

use highwater_raft::SnapshotId;
use highwater_types::Ticks;

/// How often snapshots are taken, and what is kept. The defaults are Kafka's.
#[derive(Clone, Copy, Debug)]
pub(super) struct SnapshotConfig {
    /// `metadata.log.max.record.bytes.between.snapshots`.
    pub(super) bytes_between: u64,
    /// `metadata.log.max.snapshot.interval.ms`; 0 for never by time.
    pub(super) interval_ms: u64,
    /// `metadata.max.retention.bytes`; `None` for no bound.
    pub(super) retention_bytes: Option<u64>,
    /// `metadata.max.retention.ms`; `None` for no bound.
    pub(super) retention_ms: Option<u64>,
}

/// Decides when a snapshot is due.
#[derive(Debug)]
pub(super) struct SnapshotSchedule {
    config: SnapshotConfig,
    next_check: Ticks,
    taken_at: Ticks,
    /// Size of the log when the last one was taken.
    size_then: u64,
    /// Those taken since the start and still there, with when.
    taken: VecDeque<(SnapshotId, Ticks)>,
    is_writing: bool,
}

impl SnapshotSchedule {
    pub(super) fn new(config: SnapshotConfig, log_size: u64, now: Ticks) -> Self {
        Self {
            config,
            next_check: now.plus_ms(CHECK_MS),
            taken_at: now,
            size_then: log_size,
            taken: VecDeque::new(),
            is_writing: false,
        }
    }

    pub(super) fn next_check(&self) -> Ticks {
        self.next_check
    }

    /// There was nothing to be taken.
    pub(super) fn checked(&mut self, now: Ticks) {
        self.next_check = now.plus_ms(CHECK_MS);
    }

    /// Whether the snapshot that could be taken now should be. If so it counts as being written.
    pub(super) fn is_due(&mut self, now: Ticks, id: SnapshotId, log_size: u64) -> bool {
        self.checked(now);
        let is_newest = self.taken.back().is_some_and(|(taken, _)| taken.end >= id.end);
        let has_grown = self.size_then.saturating_add(self.config.bytes_between) <= log_size;
        let has_aged = self.config.interval_ms != 0 && self.config.interval_ms <= now.ms_since(self.taken_at);
        let is_due = !self.is_writing && !is_newest && (has_grown || has_aged);
        self.is_writing |= is_due;
        is_due
    }

    /// A snapshot could not be written.
    pub(super) fn failed(&mut self, now: Ticks) {
        self.is_writing = false;
        self.next_check = now.plus_ms(RETRY_MS);
    }

    /// A snapshot is there. The one where the log is to begin, if it holds more than it should.
    pub(super) fn taken(&mut self, now: Ticks, id: SnapshotId, log_size: u64) -> Option<SnapshotId> {
        self.is_writing = false;
        self.taken_at = now;
        self.size_then = log_size;
        self.taken.push_back((id, now));
        let SnapshotConfig { retention_bytes, retention_ms, .. } = self.config;
        if retention_bytes.is_some_and(|limit| limit < log_size) {
            self.taken.retain(|(taken, _)| *taken == id);
            return Some(id);
        }
        let is_old = |at: Ticks| retention_ms.is_some_and(|limit| limit < now.ms_since(at));
        let old = self.taken.iter().filter(|(_, at)| is_old(*at)).count();
        if old == 0 {
            return None;
        }
        self.taken.drain(..old);
        self.taken.front().map(|(first, _)| *first)
    }
}

const CHECK_MS: u64 = 1000;
const RETRY_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use highwater_types::{LeaderEpoch, Offset};

    use super::*;

    const CONFIG: SnapshotConfig = SnapshotConfig {
        bytes_between: 100,
        interval_ms: 50_000,
        retention_bytes: Some(1000),
        retention_ms: Some(70_000),
    };

    fn id(end: u64) -> SnapshotId {
        SnapshotId { end: Offset::new(end), epoch: LeaderEpoch::new(1) }
    }

    #[test]
    fn one_is_due_when_the_log_has_grown_or_time_has_passed() {
        let mut schedule = SnapshotSchedule::new(CONFIG, 10, Ticks(0));
        assert!(!schedule.is_due(Ticks(1000), id(5), 109));
        assert!(schedule.is_due(Ticks(2000), id(6), 110));
        assert!(!schedule.is_due(Ticks(3000), id(9), 900), "one is being written");
        assert_eq!(schedule.taken(Ticks(3000), id(6), 110), None);
        assert!(!schedule.is_due(Ticks(60_000), id(6), 110), "there is nothing new");
        assert!(schedule.is_due(Ticks(60_000), id(7), 111));
        schedule.failed(Ticks(60_000));
        assert_eq!(schedule.next_check(), Ticks(120_000));
        assert!(schedule.is_due(Ticks(120_000), id(7), 111));
    }

    #[test]
    fn the_log_begins_behind_what_is_too_much_or_too_old() {
        let mut schedule = SnapshotSchedule::new(CONFIG, 0, Ticks(0));
        assert_eq!(schedule.taken(Ticks(0), id(1), 100), None);
        assert_eq!(schedule.taken(Ticks(60_000), id(2), 200), None);
        assert_eq!(schedule.taken(Ticks(80_000), id(3), 300), Some(id(2)), "the first one is too old");
        assert_eq!(schedule.taken(Ticks(90_000), id(4), 1001), Some(id(4)), "the log is too long");
    }
}
