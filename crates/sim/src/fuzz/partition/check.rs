//! Whether a log is what its model says, judged after every event.

use std::path::{Path, PathBuf};

use highwater_log::{AbortedTxn, LogError, LogState, ReadBound, TimestampQuery};
use highwater_types::TimestampMs;

use super::{Partition, offset};
use crate::fuzz::env::Env;

/// Reads of a random place, per event.
const READS: u64 = 3;

impl Partition {
    /// Compares everything that the log shows. Nothing goes wrong meanwhile.
    pub(crate) fn check(&mut self, env: &mut Env<'_, '_>) {
        if let Some(upto) = self.wants_look.take() {
            self.look_at_cleaned(upto, env);
        }
        let state = self.log().describe().expect("a log whose last call succeeded can be described");
        self.check_offsets(&state);
        self.check_settled();
        self.check_layout(&state);
        let epochs: Vec<(u32, u64)> =
            state.epochs.iter().map(|entry| (entry.epoch.value(), entry.start.value())).collect();
        assert_eq!(epochs, self.model.epochs, "leader epochs");
        self.model.producers.check(&state.producers);
        self.check_aborted(&state, env);
        self.check_whole(env);
        for _ in 0..READS {
            self.check_read(env);
        }
        self.check_timestamps(env);
    }

    fn check_offsets(&self, state: &LogState) {
        let model = &self.model;
        assert_eq!(state.log_start.value(), model.log_start, "log start");
        assert_eq!(state.log_end.value(), model.log_end, "log end");
        assert_eq!(state.high_watermark.value(), model.high_watermark, "high watermark");
        let (least, largest) = model.producers.last_stable(model.high_watermark);
        // Transactions that began in what was deleted hold nobody back there.
        let (least, largest) = (least.max(model.log_start), largest.max(model.log_start));
        let last_stable = state.last_stable.value();
        assert!((least..=largest).contains(&last_stable), "last stable {last_stable} is not in {least}..={largest}");
        let recovery_point = state.recovery_point.value();
        let claimable = model.durable.max(model.log_start);
        assert!(recovery_point <= claimable, "recovery point {recovery_point}, but synced up to {claimable}");
    }

    /// Nothing counts as synced that was not, and with `flush.messages` no more is settled than that allows.
    fn check_settled(&mut self) {
        let (settled, synced) = (self.log().settled_to().value(), self.log().synced_to().value());
        let model = &self.model;
        let claimable = model.durable.max(model.log_start);
        assert!(synced <= claimable, "synced to {synced}, but it was up to {claimable}");
        let allowed = match self.config.flush_messages {
            Some(messages) => (claimable + messages - 1).max(self.assumed).min(model.log_end),
            None => model.log_end,
        };
        assert!(settled <= allowed, "settled to {settled}, which is above {allowed}");
        assert!(self.config.flush_messages.is_some() || settled == model.log_end, "settled to {settled}");
    }

    fn check_layout(&mut self, state: &LogState) {
        let bases: Vec<u64> = state.segments.iter().map(|segment| segment.base.value()).collect();
        self.model.lay_out(&bases, &self.config);
        for (index, actual) in state.segments.iter().enumerate() {
            let is_active = index + 1 == state.segments.len();
            self.model.segments[index].check(actual, is_active);
            let found: Vec<(u64, u64, u64)> = actual
                .batches
                .iter()
                .map(|batch| {
                    let first = batch.base_offset.unwrap_or(batch.last_offset).value();
                    (first, batch.last_offset.value(), batch.size)
                })
                .collect();
            let expected = self.model.batches_in(index);
            let expected: Vec<_> = expected.iter().map(|batch| (batch.first, batch.last, batch.size())).collect();
            assert_eq!(found, expected, "batches of segment {}", actual.base);
        }
    }

    fn check_aborted(&mut self, state: &LogState, env: &mut Env<'_, '_>) {
        let found = aborted_in(state);
        let base = self.model.segments[0].base;
        let expected = self.model.aborted.iter().filter(|aborted| base <= aborted.last.value());
        assert_eq!(found, expected.copied().collect::<Vec<_>>(), "aborted transactions");
        if found.is_empty() {
            return;
        }
        // Of deleted transactions that have come back in part the indexes cannot be right.
        let (start, end) = (self.model.log_start.max(self.model.whole_from), self.model.log_end);
        let start = start + env.random.below(end.saturating_sub(start) + 1);
        let upper = start + env.random.below(end.saturating_sub(start) + 1);
        let answer = self.log().aborted_between(offset(start), offset(upper)).expect("looking transactions up");
        let whole_from = self.model.whole_from;
        let concerned = |aborted: &&AbortedTxn| start <= aborted.last.value() && aborted.first.value() < upper;
        let is_whole = |aborted: &&AbortedTxn| whole_from <= aborted.first.value();
        let answer: Vec<AbortedTxn> = answer.iter().filter(is_whole).copied().collect();
        let expected: Vec<AbortedTxn> = found.iter().filter(concerned).filter(is_whole).copied().collect();
        assert_eq!(answer, expected, "transactions aborted in {start}..{upper}");
    }

    /// Reads from a random offset to the end, slice by slice.
    fn check_whole(&mut self, env: &mut Env<'_, '_>) {
        let (start, end) = (self.model.log_start, self.model.log_end);
        let mut at = start + env.random.below(end - start + 1);
        let from = at;
        let mut found = Vec::new();
        while at < end {
            let slice = self.log().read(offset(at), u32::MAX, true, ReadBound::LogEnd).expect("reading");
            let bytes = slice.read_to_vec().expect("reading");
            let Some(last) = crate::fuzz::model::entries(&bytes).pop() else { break };
            found.extend(bytes);
            at = last.last + 1;
        }
        let base = self.model.segments[0].base;
        let expected = self.model.batches.iter().filter(|batch| from.max(base) <= batch.last);
        let expected: Vec<u8> = expected.flat_map(|batch| batch.bytes.iter().copied()).collect();
        assert!(found == expected, "everything from {from} on: {} bytes, not {}", found.len(), expected.len());
    }

    /// One read with random bounds.
    fn check_read(&mut self, env: &mut Env<'_, '_>) {
        let model = &self.model;
        let random = &mut env.random;
        let start =
            (model.log_start + random.below(model.log_end - model.log_start + 3)).saturating_sub(random.below(2));
        let max_bytes = u32::try_from(random.pick(&[0, 1, 100, 1_000, 100_000])).unwrap_or(0);
        let min_one = random.chance(50);
        let bound = random.pick(&[ReadBound::LogEnd, ReadBound::HighWatermark, ReadBound::LastStable]);
        let result = self.log().read(offset(start), max_bytes, min_one, bound);
        let model = &self.model;
        if start < model.log_start || model.log_end < start {
            assert!(matches!(result, Err(LogError::OutOfRange { .. })), "{start} is out of range: {result:?}");
            return;
        }
        let slice = result.expect("reading");
        let upper = match bound {
            ReadBound::LogEnd => model.log_end,
            ReadBound::HighWatermark => model.high_watermark,
            ReadBound::LastStable => slice.last_stable.value(),
        };
        let expected = model.read(start, max_bytes, min_one, upper);
        let found = slice.read_to_vec().expect("reading");
        let what = format!("read from {start}, {max_bytes} bytes, at least one {min_one}, {bound:?} {upper}");
        assert!(found == expected.bytes, "{what}: {} bytes, not {}", found.len(), expected.bytes.len());
        if let Some(first) = expected.offset {
            assert_eq!(slice.offset.value(), first, "{what}: where it starts");
        }
    }

    fn check_timestamps(&mut self, env: &mut Env<'_, '_>) {
        let age = env.random.below(self.plan.age_ms_max * 2 + 2_000).cast_signed();
        let target = env.now + 1_000 - age;
        let modified = self.modified(env);
        let ask = |log: &highwater_log::Log, query| {
            let answer = log.offset_for_timestamp(query).expect("looking a timestamp up");
            answer.map(|answer| (answer.offset.value(), answer.timestamp.value()))
        };
        let found = ask(self.log(), TimestampQuery::At(TimestampMs(target)));
        assert_eq!(found, self.model.find_timestamp(target, modified), "first record at or after {target}");
        let found = ask(self.log(), TimestampQuery::MaxTimestamp);
        assert_eq!(found, self.model.find_max_timestamp(), "record with the largest timestamp");
    }

    /// After a failed write or sync nothing is accepted any more.
    pub(crate) fn check_poisoned(&mut self, env: &Env<'_, '_>) {
        let now = env.now();
        let log = self.log();
        assert!(log.is_poisoned(), "a failed change does not poison the log");
        let is_poisoned = |result: Result<(), LogError>| matches!(result, Err(LogError::Poisoned));
        assert!(is_poisoned(log.append_as_leader(&mut [], highwater_types::LeaderEpoch::ZERO, now)));
        assert!(is_poisoned(log.flush()));
        assert!(is_poisoned(log.roll(now)));
        assert!(is_poisoned(log.close(now)));
        assert!(is_poisoned(log.read(offset(0), 1, true, ReadBound::LogEnd).map(drop)));
        assert!(is_poisoned(log.truncate_to(offset(0), now).map(drop)));
        assert!(is_poisoned(log.apply_retention(now).map(drop)));
    }
}

/// The file of a segment.
pub(super) fn log_file(dir: &Path, base: u64) -> PathBuf {
    dir.join(format!("{base:020}.log"))
}

/// Everything in the transaction indexes.
pub(super) fn aborted_in(state: &LogState) -> Vec<AbortedTxn> {
    state.segments.iter().flat_map(|segment| segment.aborted.iter().copied()).collect()
}
