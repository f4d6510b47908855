//! What a log should hold, kept as simply as can be.

mod batch;
mod cleaning;
mod producers;
mod segments;

use highwater_log::{AbortedTxn, LogConfig, ProducerSummary};

pub(crate) use batch::{Batch, entries};
pub(crate) use cleaning::Pass;
pub(crate) use producers::{Producers, Verdict};
pub(crate) use segments::Segment;

/// A log without files.
///
/// Batches below the log start are kept, as a crash can bring them back.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) batches: Vec<Batch>,
    /// Batches that were cleaned away, or deleted behind others that a crash has brought back.
    pub(crate) deleted: Vec<Batch>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) log_start: u64,
    pub(crate) log_end: u64,
    pub(crate) high_watermark: u64,
    /// Everything below has been synced, and said to be.
    pub(crate) durable: u64,
    /// Leader epochs and where they begin.
    pub(crate) epochs: Vec<(u32, u64)>,
    /// The log once started here: a crash may bring back some of what lay before, but not its epochs and producers.
    pub(crate) whole_from: u64,
    /// Some of that has come back, and snapshots may tell of it; or batches are gone that had made cleaned ones needless.
    pub(crate) is_partial: bool,
    /// Below, a truncation that was cut short may have cost segments their transaction index.
    pub(crate) indexed_from: u64,
    /// Cleaning has removed batches.
    pub(crate) is_cleaned: bool,
    pub(crate) producers: Producers,
    /// Transactions that were aborted, by ascending offset of their markers.
    pub(crate) aborted: Vec<AbortedTxn>,
    /// What was known of producers, up to which offset, whenever that was loaded: snapshots may still say so.
    pub(crate) loaded: Vec<(u64, Producers)>,
}

/// Loads that are remembered. Snapshots from before are gone, or as good as replaying.
const LOADED_MAX: usize = 12;

/// Where a reader starts and how many bytes it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) offset: Option<u64>,
    pub(crate) bytes: Vec<u8>,
}

impl Model {
    /// An empty log.
    pub(crate) fn new() -> Self {
        Self {
            batches: Vec::new(),
            deleted: Vec::new(),
            segments: vec![Segment::new(0)],
            log_start: 0,
            log_end: 0,
            high_watermark: 0,
            durable: 0,
            epochs: Vec::new(),
            whole_from: 0,
            is_partial: false,
            is_cleaned: false,
            indexed_from: 0,
            producers: Producers::default(),
            aborted: Vec::new(),
            loaded: Vec::new(),
        }
    }

    /// Index of the segment that holds `offset`.
    pub(crate) fn segment_of(&self, offset: u64) -> usize {
        self.segments.partition_point(|segment| segment.base <= offset).saturating_sub(1)
    }

    /// The batches of the segment at `index`.
    pub(crate) fn batches_in(&self, index: usize) -> &[Batch] {
        let base = self.segments[index].base;
        let end = self.segments.get(index + 1).map_or(u64::MAX, |next| next.base);
        let from = self.batches.partition_point(|batch| batch.last < base);
        let to = self.batches.partition_point(|batch| batch.last < end);
        &self.batches[from..to]
    }

    /// The batch is written: everything but the indexes follows.
    pub(crate) fn append(&mut self, batch: Batch) {
        self.aborted.extend(self.producers.apply(&batch));
        self.log_end = batch.last + 1;
        self.batches.push(batch);
    }

    /// A leader epoch begins at `start`.
    pub(crate) fn assign_epoch(&mut self, epoch: u32, start: u64) {
        if self.epochs.last().is_some_and(|last| last.0 == epoch && last.1 <= start) {
            return;
        }
        while self.epochs.last().is_some_and(|last| epoch <= last.0 || start <= last.1) {
            self.epochs.pop();
        }
        self.epochs.push((epoch, start));
    }

    /// Brings segments and indexes up to date after batches were appended, given where segments begin now.
    pub(crate) fn lay_out(&mut self, bases: &[u64], config: &LogConfig) {
        let last = self.segments.last().map_or(0, |segment| segment.base);
        let mut appended = self.batches.partition_point(|batch| batch.last < last);
        let mut laid_out = 0;
        let active = self.segments.last_mut().expect("a log has a segment");
        // Those of the active segment that are in it already.
        while laid_out < active.size {
            laid_out += self.batches[appended].size();
            appended += 1;
        }
        let mut fresh = bases.iter().copied().filter(|base| last < *base).peekable();
        for batch in &self.batches[appended..] {
            while fresh.peek().is_some_and(|base| *base <= batch.last) {
                self.segments.last_mut().expect("a log has a segment").seal();
                self.segments.extend(fresh.next().map(Segment::new));
            }
            self.segments.last_mut().expect("a log has a segment").append(batch, config);
        }
        for base in fresh {
            self.segments.last_mut().expect("a log has a segment").seal();
            self.segments.push(Segment::new(base));
        }
        let first = bases.first().copied().unwrap_or(0);
        self.segments.retain(|segment| first <= segment.base);
        let left: Vec<u64> = self.segments.iter().map(|segment| segment.base).collect();
        assert_eq!(left, bases, "where segments begin");
    }

    pub(crate) fn advance_high_watermark(&mut self, to: u64) {
        let to = to.min(self.log_end);
        if self.high_watermark < to {
            self.high_watermark = to;
            self.producers.advance_high_watermark(to);
        }
    }

    pub(crate) fn raise_log_start(&mut self, to: u64) {
        if to <= self.log_start {
            return;
        }
        self.log_start = to;
        self.whole_from = self.whole_from.max(to);
        self.advance_high_watermark(to);
        let at_or_below = self.epochs.partition_point(|(_, start)| *start <= to);
        if let Some(containing) = at_or_below.checked_sub(1) {
            self.epochs.drain(..containing);
            self.epochs[0].1 = to;
        }
    }

    /// Cuts everything from `to` on; producers are left to be [adopted](Producers::adopt).
    pub(crate) fn truncate(&mut self, to: u64) {
        self.batches.retain(|batch| batch.last < to);
        self.deleted.retain(|batch| batch.last < to);
        self.aborted.retain(|aborted| aborted.last.value() < to);
        let kept = self.segment_of(to) + 1;
        self.segments.truncate(kept);
        let left: Vec<Batch> = self.batches_in(kept - 1).to_vec();
        self.segments[kept - 1].truncate(to, left.iter());
        self.epochs.retain(|(_, start)| *start < to);
        self.log_end = to;
        self.log_start = self.log_start.min(to);
        self.high_watermark = self.high_watermark.min(to);
        self.durable = self.durable.min(to);
        self.whole_from = self.whole_from.min(to);
        self.indexed_from = self.indexed_from.min(to);
    }

    /// Empties the log.
    pub(crate) fn restart(&mut self, at: u64) {
        *self = Self { segments: vec![Segment::new(at)], ..Self::new() };
        (self.log_start, self.log_end, self.high_watermark, self.durable) = (at, at, at, at);
    }

    /// The log has loaded its producers anew: takes over what it knows, if that is right. `before` are the models that the
    /// log may have followed until then. False if nobody can say what is right.
    #[must_use]
    pub(crate) fn adopt_producers(&mut self, before: &[&Self], known: &[ProducerSummary]) -> bool {
        let left = Producers::replay(self.visible().iter().filter(|batch| self.whole_from <= batch.last));
        let found = Producers::replay(self.visible().iter());
        // Recovery goes through whole segments, also where the log starts inside one.
        let base = self.segment_of(self.log_start);
        let base = self.segments[base].base;
        let whole = Producers::replay(self.batches.iter().filter(|batch| base <= batch.last));
        let mut all: Vec<&Batch> = self.deleted.iter().chain(&self.batches).collect();
        all.sort_by_key(|batch| batch.last);
        let mut sources = vec![Producers::replay(all.iter().copied()), whole, found];
        let mut loaded: Vec<(u64, Producers)> =
            before.iter().max_by_key(|model| model.loaded.len()).map_or(Vec::new(), |model| model.loaded.clone());
        loaded.retain(|(end, _)| *end <= self.log_end);
        for (end, producers) in &loaded {
            let mut producers = producers.clone();
            all.iter().filter(|batch| *end <= batch.first).for_each(|batch| _ = producers.apply(batch));
            sources.push(producers);
        }
        sources.extend(before.iter().map(|model| model.producers.clone()));
        // What was loaded then stays in snapshots.
        let was_partial = before.iter().any(|model| model.is_partial);
        let is_cut = before.iter().any(|model| model.is_cleaned && self.log_end < model.log_end);
        self.is_cleaned = before.iter().any(|model| model.is_cleaned);
        self.is_partial = was_partial || is_cut || self.segments[0].base < self.whole_from;
        let is_partial = self.is_partial;
        let adopted = Producers::adopted(known, &left, &sources, self.high_watermark, is_partial);
        let Some(adopted) = adopted else { return false };
        self.producers = adopted;
        loaded.push((self.log_end, self.producers.clone()));
        self.loaded = loaded.split_off(loaded.len().saturating_sub(LOADED_MAX));
        true
    }

    /// The log has rebuilt its transaction indexes: takes them over, if they are right.
    ///
    /// Of transactions that began before the log did, or whose producer was forgotten, it knows no more than it found.
    pub(crate) fn adopt_aborted(&mut self, found: Vec<AbortedTxn>) {
        let marker_at = |offset: u64| {
            let index = self.batches.partition_point(|batch| batch.last < offset);
            let batch = self.batches.get(index).filter(|batch| batch.last == offset)?;
            let is_abort = batch.marker.is_some_and(|marker| !marker.committed);
            batch.producer.filter(|_| is_abort)
        };
        for aborted in &found {
            let marker = marker_at(aborted.last.value());
            let id = marker.map(|stamp| stamp.id);
            assert_eq!(id, Some(aborted.producer.to_wire()), "the abort marker of {aborted:?}");
        }
        let mut known = Producers::default();
        let from = self.whole_from.max(self.log_start).max(self.indexed_from);
        for batch in self.visible().iter().filter(|batch| from <= batch.first) {
            let Some(expected) = known.apply(batch) else { continue };
            let same = |aborted: &&AbortedTxn| aborted.last == expected.last && aborted.first <= expected.first;
            assert!(found.iter().any(|aborted| same(&aborted)), "{expected:?} is in no transaction index: {found:?}");
        }
        self.aborted = found;
    }

    /// Batches that are in the log and not below its start.
    pub(crate) fn visible(&self) -> &[Batch] {
        let from = self.batches.partition_point(|batch| batch.last < self.log_start);
        &self.batches[from..]
    }

    /// Index of the first batch that ends at or after `offset`.
    fn find(&self, offset: u64) -> Option<usize> {
        // What lies below the first segment has been deleted.
        let first = self.segments[0].base.max(offset);
        let index = self.batches.partition_point(|batch| batch.last < first);
        (index < self.batches.len()).then_some(index)
    }

    /// Segment and position of a batch.
    fn position(&self, index: usize) -> (usize, u64) {
        let segment = self.segment_of(self.batches[index].last);
        let start = self.batches.partition_point(|batch| batch.last < self.segments[segment].base);
        (segment, self.batches[start..index].iter().map(Batch::size).sum())
    }

    /// What a reader gets (section 11).
    pub(crate) fn read(&self, start: u64, max_bytes: u32, min_one: bool, bound: u64) -> Expected {
        let nothing = Expected { offset: None, bytes: Vec::new() };
        if bound <= start {
            return nothing;
        }
        let Some(index) = self.find(start) else { return nothing };
        let (segment, position) = self.position(index);
        let size = self.segments[segment].size;
        let end = match self.find(bound) {
            Some(bound) if bound < self.batches.len() => match self.position(bound) {
                (at, _) if segment < at => size,
                (at, position) if segment == at => position,
                _ => 0,
            },
            _ => size,
        };
        let first = &self.batches[index];
        let limit = if min_one { u64::from(max_bytes).max(first.size()) } else { u64::from(max_bytes) };
        let length = limit.min(end.saturating_sub(position));
        if length == 0 {
            return nothing;
        }
        let length = usize::try_from(length).expect("logs of a run are small");
        let mut bytes = Vec::with_capacity(length);
        for batch in &self.batches[index..] {
            let left = length - bytes.len();
            bytes.extend_from_slice(&batch.bytes[..batch.bytes.len().min(left)]);
            if left == 0 {
                break;
            }
        }
        Expected { offset: Some(first.base()), bytes }
    }

    /// The first record of at least this time in the first segment that reaches it (section 12). `modified` is when
    /// a segment's file was written.
    pub(crate) fn find_timestamp(&self, target: i64, modified: impl Fn(u64) -> i64) -> Option<(u64, i64)> {
        let reaches = |segment: &Segment| match segment.max_timestamp() {
            none if none < 0 => target <= modified(segment.base),
            largest => target <= largest,
        };
        let index = self.segments.iter().position(reaches)?;
        let records = self.batches_in(index).iter().filter(|batch| target <= batch.max_timestamp);
        let mut records = records.flat_map(|batch| batch.records.iter());
        let found = records.find(|record| target <= record.timestamp && self.log_start <= record.offset)?;
        Some((found.offset, found.timestamp))
    }

    /// The first record that has the largest timestamp of all (section 12).
    pub(crate) fn find_max_timestamp(&self) -> Option<(u64, i64)> {
        let largest = self.segments.iter().map(Segment::max_timestamp).max().filter(|largest| 0 <= *largest)?;
        let index = self.segments.iter().position(|segment| segment.max_timestamp() == largest)?;
        let batches = self.batches_in(index).iter().filter(|batch| batch.max_timestamp == largest);
        let found = batches.flat_map(|batch| batch.records.iter()).find(|record| record.timestamp == largest)?;
        Some((found.offset, found.timestamp))
    }

    /// Where the log starts after retention (section 18). `modified` as above.
    pub(crate) fn retained_from(&self, config: &LogConfig, now: i64, modified: impl Fn(u64) -> i64) -> u64 {
        let mut first = 0;
        let mut log_start = self.log_start;
        let total = |first: usize| -> u64 { self.segments[first..].iter().map(|segment| segment.size).sum() };
        let count = |first: usize, qualifies: &dyn Fn(&Segment, Option<u64>, u64) -> bool| {
            let mut freed = 0;
            let mut index = first;
            while let Some(segment) = self.segments.get(index) {
                let next = self.segments.get(index + 1).map(|next| next.base);
                let is_committed = next.unwrap_or(self.log_end) <= self.high_watermark;
                let is_empty_active = next.is_none() && segment.size == 0;
                if !is_committed || is_empty_active || !qualifies(segment, next, freed) {
                    break;
                }
                freed += segment.size;
                index += 1;
            }
            index
        };
        let mut delete = |first: &mut usize, end: usize| {
            if *first < end {
                *first = end;
                log_start = log_start.max(self.segments.get(end).map_or(self.log_end, |segment| segment.base));
            }
        };
        let start = self.log_start;
        let end = count(first, &|_, next, _| next.is_some_and(|next| next <= start));
        delete(&mut first, end);
        if config.cleanup.delete {
            if let Some(excess) = config.retention_bytes.and_then(|limit| total(first).checked_sub(limit)) {
                let end = count(first, &|segment, _, freed| freed + segment.size <= excess);
                delete(&mut first, end);
            }
            if let Some(retention_ms) = config.retention_ms {
                let age = |segment: &Segment| match segment.max_timestamp() {
                    none if none < 0 => now - modified(segment.base),
                    largest => now - largest,
                };
                let end =
                    count(first, &|segment, _, _| u64::try_from(age(segment)).is_ok_and(|age| retention_ms < age));
                delete(&mut first, end);
            }
        }
        log_start
    }
}
