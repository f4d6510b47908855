//! Random operations with crashes, against a model in memory.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use highwater_log::{CrashLoss, Log, LogConfig, MemDisk, OpenOptions};
use highwater_types::Offset;
use support::*;

/// What the log should hold: its batches as `(base, last, bytes)`. Those below the log start are kept, as a crash
/// can bring them back.
struct World {
    disk: MemDisk,
    log: Log,
    config: LogConfig,
    batches: Vec<(u64, u64, Vec<u8>)>,
    log_start: u64,
    log_end: u64,
    high_watermark: u64,
    /// Everything below was synced.
    durable: u64,
    epoch: u32,
    /// As last written to the checkpoint files.
    checkpoint: (Offset, Offset),
    random: Random,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let config = LogConfig {
            segment_bytes_max: 400 + u32::try_from(random.below(3_000)).unwrap(),
            segment_index_bytes_max: 24 + u32::try_from(random.below(400)).unwrap(),
            index_interval_bytes: u32::try_from(random.below(500)).unwrap(),
            preallocate: random.below(4) == 0,
            allocation_step_bytes: (random.below(4) == 0).then_some(4_096),
            retention_bytes: (random.below(2) == 0).then_some(4_000),
            ..LogConfig::default()
        };
        let (disk, log) = new_log(config.clone());
        Self {
            disk,
            log,
            config,
            batches: Vec::new(),
            log_start: 0,
            log_end: 0,
            high_watermark: 0,
            durable: 0,
            epoch: 0,
            checkpoint: (offset(0), offset(0)),
            random,
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..55 => self.append(),
            55..63 => self.advance_high_watermark(),
            63..70 => self.flush(),
            70..75 => self.truncate(),
            75..79 => self.delete_records(),
            79..84 => self.apply_retention(),
            84..87 => self.log.roll(NOW).unwrap(),
            87..90 => self.checkpoint = (self.log.recovery_point(), self.log.log_start()),
            90..93 => self.close_and_reopen(),
            93..99 => self.crash(),
            _ => self.restart_at_a_later_offset(),
        }
        self.check();
    }

    fn append(&mut self) {
        let records = 1 + self.random.below(4);
        let size = usize::try_from(self.random.below(60)).unwrap();
        let mut bytes = batch(usize::try_from(records).unwrap(), size);
        if self.random.below(20) == 0 {
            self.epoch += 1;
        }
        let (base, last) = (self.log_end, self.log_end + records - 1);
        if self.random.below(3) == 0 {
            // As a follower, sometimes behind a gap.
            let base = base + self.random.below(3);
            highwater_records::validate::assign(&mut bytes, offset(base), epoch(self.epoch)).unwrap();
            self.log.append_as_follower(&bytes, Some(epoch(self.epoch)), NOW).unwrap().unwrap();
            self.log_end = base + records;
            self.batches.push((base, base + records - 1, bytes));
            return;
        }
        let info = append_in(&mut self.log, &bytes, self.epoch).unwrap();
        assert_eq!((info.base_offset, info.last_offset), (offset(base), offset(last)));
        highwater_records::validate::assign(&mut bytes, offset(base), epoch(self.epoch)).unwrap();
        self.log_end = last + 1;
        self.batches.push((base, last, bytes));
    }

    fn advance_high_watermark(&mut self) {
        let to = self.high_watermark + self.random.below(self.log_end - self.high_watermark + 2);
        self.high_watermark = to.min(self.log_end);
        assert_eq!(self.log.advance_high_watermark(offset(to)), offset(self.high_watermark));
    }

    fn flush(&mut self) {
        if self.random.below(2) == 0 {
            self.log.flush().unwrap();
            self.durable = self.log_end;
        } else if let Some(task) = self.log.due_flush() {
            self.durable = self.durable.max(task.up_to().value());
            let done = task.run().unwrap();
            self.log.complete_flush(done);
        }
    }

    fn truncate(&mut self) {
        let back = self.random.below(12).min(self.log_end);
        let to = self.log_end - back;
        self.log.truncate_to(offset(to), NOW).unwrap();
        if back == 0 {
            return;
        }
        self.batches.retain(|(_, last, _)| *last < to);
        self.log_end = to;
        self.log_start = self.log_start.min(to);
        self.high_watermark = self.high_watermark.min(to);
        self.durable = self.durable.min(to);
        // A truncation to below the first segment starts the log anew.
        if self.log.log_start() == offset(to) {
            self.log_start = to;
        }
    }

    fn restart_at_a_later_offset(&mut self) {
        let at = self.log_end + self.random.below(50);
        self.log.truncate_fully_and_start_at(offset(at), None, NOW).unwrap();
        self.batches.clear();
        (self.log_start, self.log_end, self.high_watermark, self.durable) = (at, at, at, at);
        self.checkpoint = (offset(at), offset(at));
    }

    fn delete_records(&mut self) {
        let before = self.log_start + self.random.below(self.high_watermark - self.log_start + 1);
        assert_eq!(self.log.delete_records(offset(before)).unwrap(), offset(before.max(self.log_start)));
        self.log_start = self.log_start.max(before);
    }

    fn apply_retention(&mut self) {
        self.log.apply_retention(NOW).unwrap();
        let start = self.log.log_start().value();
        assert!(self.log_start <= start && start <= self.high_watermark, "retention took what is not committed");
        self.log_start = start;
        if let Some(task) = self.log.due_deletions(NOW.plus_ms(60_000)) {
            task.run().unwrap();
        }
    }

    fn close_and_reopen(&mut self) {
        self.log.close(NOW).unwrap();
        let clean = OpenOptions {
            clean: true,
            recovery_point: self.log.recovery_point(),
            log_start: self.log.log_start(),
            high_watermark: self.log.high_watermark(),
            now: NOW,
        };
        self.log = open(&self.disk, self.config.clone(), clean);
        assert_eq!(self.log.recovery_point(), self.log.log_end());
        self.durable = self.log.log_end().value();
        self.checkpoint = (self.log.recovery_point(), self.log.log_start());
        self.follow_log_end();
        assert_eq!(self.log.high_watermark(), offset(self.high_watermark));
    }

    fn crash(&mut self) {
        let per_256 = u8::try_from(self.random.below(256)).unwrap();
        let loss = if per_256 < 60 { CrashLoss::Nothing } else { CrashLoss::Tail { per_256 } };
        self.disk.crash(loss);
        let options = OpenOptions {
            clean: false,
            recovery_point: self.checkpoint.0.min(offset(self.durable)),
            log_start: self.checkpoint.1.min(offset(self.log_start)),
            high_watermark: offset(0),
            now: NOW,
        };
        self.log = open(&self.disk, self.config.clone(), options);
        let end = self.log.log_end().value();
        let mut synced = self.batches.iter().filter(|(_, last, _)| *last < self.durable);
        assert!(synced.all(|(_, last, _)| *last < end), "the log ends at {end}, but {} is synced", self.durable);
        self.forget_holes();
        self.follow_log_end();
        // Records below the start may come back until a checkpoint holds it.
        self.log_start = self.log.log_start().value();
        self.high_watermark = self.log.high_watermark().value();
        self.durable = self.durable.min(self.log_end);
    }

    /// A crash may cost an unsynced segment its last batches exactly while a later one keeps its own. As offsets may
    /// have gaps, that does not show, here as in Kafka. It never concerns what was synced.
    fn forget_holes(&mut self) {
        let kept = ranges(&read_all(&self.log, self.log.log_start()));
        let start = self.log.log_start().value();
        let durable = self.durable;
        self.batches.retain(|(base, last, _)| {
            *last < durable
                || *last < start
                || kept.binary_search_by_key(base, |(base, _)| base.cast_unsigned()).is_ok()
        });
    }

    /// A log that is opened again ends with its last batch, whatever was truncated behind it.
    fn follow_log_end(&mut self) {
        let end = self.log.log_end().value();
        assert!(end <= self.log_end, "invented records");
        let last = self.batches.iter().map(|(_, last, _)| last + 1).max();
        assert!(last.is_none_or(|last| last <= end));
        self.log_end = end;
        self.high_watermark = self.high_watermark.min(end);
        self.durable = self.durable.min(end);
    }

    /// Everything the log shows is what the model holds, from every offset on.
    fn check(&mut self) {
        assert_eq!(self.log.log_start(), offset(self.log_start));
        assert_eq!(self.log.log_end(), offset(self.log_end));
        let from = self.log_start + self.random.below(self.log_end - self.log_start + 1);
        let expected: Vec<&[u8]> =
            self.batches.iter().filter(|(_, last, _)| from <= *last).map(|(_, _, bytes)| bytes.as_slice()).collect();
        let actual = read_all(&self.log, offset(from));
        assert_eq!(ranges(&actual), ranges(&expected.concat()), "from {from}");
        assert_eq!(actual, expected.concat(), "from {from}");
    }
}

fn epoch(value: u32) -> highwater_types::LeaderEpoch {
    highwater_types::LeaderEpoch::new(value)
}

#[test]
fn random_operations_and_crashes_agree_with_a_model() {
    for_seeds("random_operations_and_crashes_agree_with_a_model", 0..300, |seed| {
        let mut world = World::new(seed);
        for _ in 0..120 {
            world.step();
        }
    });
}
