//! The end of a process, and the log that is found afterwards.

use highwater_log::{Log, LogCheckpoint, LogError, LogState};

use super::Partition;
use super::check::{aborted_in, log_file};
use crate::fuzz::env::Env;
use crate::fuzz::model::{Batch, Model, Pass, Segment, entries};

/// What was written to the checkpoint files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) recovery_point: u64,
    pub(crate) log_start: u64,
    pub(crate) high_watermark: u64,
}

impl From<LogCheckpoint> for Saved {
    fn from(checkpoint: LogCheckpoint) -> Self {
        Self {
            recovery_point: checkpoint.recovery_point.value(),
            log_start: checkpoint.log_start.value(),
            high_watermark: checkpoint.high_watermark.value(),
        }
    }
}

/// How a log was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// As closed in order, without checking anything.
    pub(crate) clean: bool,
    /// With these checkpoints.
    pub(crate) saved: Saved,
    /// Beside a manifest, by which indexes are taken as they were instead of being rebuilt.
    pub(crate) may_remember: bool,
}

impl Partition {
    /// Closes the log in order. What is left of a model is one of a log whose active segment is closed.
    pub(crate) fn close(&mut self, env: &Env<'_, '_>) -> Result<Saved, LogError> {
        let now = env.now();
        self.log().close(now)?;
        self.note_closed();
        Ok(self.log().checkpoint().into())
    }

    /// The log has been closed in order: all of it is synced.
    pub(crate) fn note_closed(&mut self) {
        self.model.durable = self.model.log_end;
        if let Some(active) = self.model.segments.last_mut() {
            active.seal();
        }
    }

    /// The log was being closed, and says that it is synced up to here.
    pub(crate) fn note_synced(&mut self, up_to: u64) {
        self.model.durable = self.model.durable.max(up_to.min(self.model.log_end));
    }

    /// Compares a log that was opened with what may be left, and goes on with it.
    pub(crate) fn resume(&mut self, log: Log, loaded: Loaded, env: &mut Env<'_, '_>) {
        self.flush = None;
        self.cleaning = None;
        self.truncations += 1;
        self.log = Some(log);
        let state = self.log().describe().expect("a log that was opened can be described");
        let before = std::mem::replace(&mut self.model, Model::new());
        // Without a call in progress it is what it was.
        let next = self.next.take().unwrap_or_else(|| before.clone());
        let found = self.read_files(&state, env);
        let required_from = next.log_start.max(before.log_start);
        let is_required = |batch: &Batch| batch.last < before.durable && required_from <= batch.last;
        let is_touched = next.batches.len() < before.batches.len() || self.swapping.is_some();
        // A pass of cleaning that was putting segments in place may have got anywhere.
        let cleaned_to = self.swapping.take().max(self.wants_look.take()).unwrap_or(0);
        if 0 < cleaned_to {
            let all: Vec<Batch> = found.iter().flat_map(|(_, batches)| batches.iter().cloned()).collect();
            let aborted = aborted_in(&state);
            let pass = Pass { upto: cleaned_to, now: env.now, from: required_from, durable: before.durable };
            before.check_cleaned(&all, &aborted, &pass);
        }
        Universe::of(&before, &next).check(&found, cleaned_to, is_required);
        let model = self.loaded_model(&before, &next, &state, &found, loaded, cleaned_to);
        env.say(|| {
            format!("  found {}..{} of {}..{}", model.log_start, model.log_end, before.log_start, before.log_end)
        });
        check_epochs(&model);
        self.model = model;
        let known: Vec<_> = self.log().producers().collect();
        // The snapshot is of the log end, which a truncation may have left behind the last batch. An empty log has none.
        if loaded.clean && self.model.log_start < before.log_end && self.model.log_end == before.log_end {
            before.producers.check_kept(&known);
        }
        self.is_unjudgeable |= !self.model.adopt_producers(&[&next, &before], &known);
        if self.is_unjudgeable {
            return;
        }
        self.epoch = self.epoch.max(self.model.epochs.last().map_or(0, |last| last.0));
        let known = next.indexed_from.max(before.indexed_from);
        self.model.indexed_from = if is_touched { u64::MAX } else { known }.min(self.model.log_end);
        self.model.adopt_aborted(aborted_in(&state));
        self.assumed = self.model.log_end;
        // What was saved must not lie above where the log goes on.
        self.wants_checkpoint = self.model.log_end < loaded.saved.recovery_point.max(loaded.saved.log_start);
        self.check(env);
    }

    /// The entries in the log's files, with the bases of their segments.
    ///
    /// Segments that lie wholly below the log start are never checked and may be damaged; they do not count.
    pub(super) fn read_files(&self, state: &LogState, env: &Env<'_, '_>) -> Vec<(u64, Vec<Batch>)> {
        let mut found = Vec::new();
        for (index, segment) in state.segments.iter().enumerate() {
            let base = segment.base.value();
            let file = env.disk.read(&log_file(&self.dir, base)).expect("a segment has a file");
            let size = usize::try_from(segment.size).expect("segments of a run are small");
            let batches = entries(&file[..size]);
            let read: u64 = batches.iter().map(Batch::size).sum();
            assert_eq!(read, segment.size, "segment {base} holds something else than entries");
            let end = state.segments.get(index + 1).map_or(u64::MAX, |next| next.base.value());
            let is_inside = |batch: &Batch| base <= batch.last && batch.last < end;
            assert!(batches.iter().all(is_inside), "segment {base} holds offsets of another");
            found.push((base, batches));
        }
        found
    }

    /// What the log should say of itself, given what is in its files.
    fn loaded_model(
        &self,
        before: &Model,
        next: &Model,
        state: &LogState,
        found: &[(u64, Vec<Batch>)],
        Loaded { clean, saved, may_remember }: Loaded,
        cleaned_to: u64,
    ) -> Model {
        let first_base = found[0].0;
        let (active_base, active) = found.last().expect("a log has a segment");
        let log_end = active.last().map_or(*active_base, |batch| batch.last + 1);
        let log_start = saved.log_start.max(first_base);
        let recovery_point = if clean { log_end } else { saved.recovery_point.min(log_end) };
        assert_eq!(state.recovery_point.value(), recovery_point, "recovery point after loading");
        // Recovery begins in the segment of the recovery point.
        let recovered = found.iter().map(|(base, _)| *base).take_while(|base| *base <= saved.recovery_point).last();
        let recovered_from = if clean { u64::MAX } else { recovered.unwrap_or(first_base) };
        let segments = found.iter().zip(&state.segments).map(|((base, batches), actual)| {
            let index = before.segments.iter().position(|segment| segment.base == *base);
            let is_deleted =
                |index: &usize| before.segments.get(index + 1).is_some_and(|next_one| next_one.base <= next.log_start);
            // What is being removed or replaced can lose any of its files.
            let is_touched = |index: &usize| {
                let segment = &before.segments[*index];
                let stays = next.segments.iter().any(|other| other.base == segment.base);
                !stays || segment.was_deleted() || (*base < cleaned_to)
            };
            let known = index.filter(|index| !is_deleted(index) && !is_touched(index));
            match known.map(|index| &before.segments[index]) {
                known if recovered_from <= *base => {
                    let rebuilt = Segment::rebuilt(*base, batches.iter(), &self.config);
                    if may_remember { rebuilt.or_remembered(known, actual, batches) } else { rebuilt }
                }
                Some(known) => {
                    let mut kept = known.clone();
                    // A roll in progress has closed it.
                    kept.seal();
                    kept.reopen();
                    kept
                }
                None => Segment::found(actual, batches),
            }
        });
        let mut batches: Vec<Batch> = before.batches.iter().filter(|batch| batch.last < first_base).cloned().collect();
        batches.extend(found.iter().flat_map(|(_, batches)| batches.iter().cloned()));
        // A truncation that was cut short can have taken segments from the middle.
        let is_missing =
            |batch: &Batch| first_base <= batch.last && !batches.iter().any(|other| other.last == batch.last);
        let is_holed = next.batches.len() < before.batches.len()
            && before.batches.iter().any(|batch| batch.last < log_end && is_missing(batch));
        let known_from = next.whole_from.max(before.whole_from).min(log_end);
        let whole_from = if is_holed { log_end } else { known_from };
        let is_deleted = |batch: &&Batch| {
            let is_found = |other: &Batch| other.last == batch.last;
            first_base <= batch.last && batch.last < whole_from.max(cleaned_to) && !batches.iter().any(is_found)
        };
        let mut deleted: Vec<Batch> = before.deleted.iter().filter(|batch| batch.last < log_end).cloned().collect();
        deleted.extend(before.batches.iter().filter(is_deleted).cloned());
        Model {
            segments: segments.collect(),
            deleted,
            batches,
            log_start,
            log_end,
            high_watermark: saved.high_watermark.max(log_start).min(log_end),
            durable: before.durable.min(log_end),
            epochs: state.epochs.iter().map(|entry| (entry.epoch.value(), entry.start.value())).collect(),
            whole_from,
            ..Model::new()
        }
    }
}

/// Every batch has the epoch that the log says it has. Deleted records that have come back may lack it.
fn check_epochs(model: &Model) {
    let from = model.whole_from;
    let visible = model.visible();
    let start = visible.iter().rposition(|batch| batch.epoch.is_none()).map_or(0, |last| last + 1);
    for batch in visible[start..].iter().filter(|batch| from <= batch.last) {
        let at = batch.first.max(from).max(model.log_start);
        let count = model.epochs.partition_point(|(_, start)| *start <= at);
        let found = count.checked_sub(1).map(|index| model.epochs[index].0);
        assert_eq!(found, batch.epoch, "leader epoch at {at}, of {:?}", model.epochs);
    }
}

/// Everything that can be in a log after a call that may or may not have been carried out.
struct Universe {
    batches: Vec<Batch>,
    /// Which of them the log held both before the call and after it.
    is_settled: Vec<bool>,
}

impl Universe {
    fn of(before: &Model, next: &Model) -> Self {
        let has = |model: &Model, batch: &Batch| {
            let index = model.batches.partition_point(|other| other.last < batch.last);
            model.batches.get(index).is_some_and(|other| other.bytes == batch.bytes)
        };
        let mut batches = before.batches.clone();
        let mut is_settled: Vec<bool> = batches.iter().map(|batch| has(next, batch)).collect();
        for batch in next.batches.iter().filter(|batch| !has(before, batch)) {
            batches.push(batch.clone());
            is_settled.push(false);
        }
        Self { batches, is_settled }
    }

    /// Nothing may be invented, nothing required be missing, and within a segment only the end be lost.
    ///
    /// What lies below `cleaned_to` is judged elsewhere.
    fn check(&self, found: &[(u64, Vec<Batch>)], cleaned_to: u64, is_required: impl Fn(&Batch) -> bool) {
        let all = self.batches.iter().zip(&self.is_settled);
        let mut left = all.filter(|(batch, _)| cleaned_to <= batch.last);
        for (base, batches) in found {
            for (index, batch) in batches.iter().enumerate().filter(|(_, batch)| cleaned_to <= batch.last) {
                let mut skipped = 0;
                loop {
                    let Some((expected, is_settled)) = left.next() else {
                        panic!("the batch {}..={} in segment {base} was never written", batch.first, batch.last);
                    };
                    if expected.bytes == batch.bytes {
                        break;
                    }
                    let is_lost = *is_settled && is_required(expected);
                    assert!(!is_lost, "the batch {}..={} is lost, which was synced", expected.first, expected.last);
                    skipped += 1;
                }
                let range = (batch.first, batch.last);
                assert!(skipped == 0 || index == 0, "batches before {range:?} are missing inside segment {base}");
            }
        }
        for (expected, is_settled) in left {
            let is_lost = *is_settled && is_required(expected);
            assert!(!is_lost, "the batch {}..={} is lost, which was synced", expected.first, expected.last);
        }
    }
}
