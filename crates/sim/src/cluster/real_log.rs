//! The real log of a replica, on a faulty disk, beside the one in memory that the judge reads.

use std::path::Path;
use std::sync::Arc;

use highwater_log::{AppendError, AppendOrigin, AppendSet, Log, LogCheckpoint, LogConfig, OpenOptions, ReadBound};
use highwater_records::{BatchBuilder, BatchHeader, BatchOptions, validate};
use highwater_types::{LeaderEpoch, Offset, TimestampMs};

use super::log::Record;
use crate::SimDisk;

/// A log in files. Whatever is done to the one in memory is done to it too, and must have the same outcome.
#[derive(Debug)]
pub(super) struct RealLog {
    disk: SimDisk,
    /// `None` only while it is opened anew.
    log: Option<Log>,
    /// As a log directory keeps it, in files that are synced.
    checkpoint: Option<LogCheckpoint>,
}

impl RealLog {
    pub(super) fn new(seed: u64) -> Self {
        let mut log = Self { disk: SimDisk::new(seed), log: None, checkpoint: None };
        log.open(false);
        log
    }

    fn open(&mut self, clean: bool) {
        let mut options = OpenOptions { clean, ..OpenOptions::unclean(NOW) };
        if let Some(LogCheckpoint { recovery_point, log_start, high_watermark, .. }) = self.checkpoint {
            options = OpenOptions { recovery_point, log_start, high_watermark, ..options };
        }
        // So short that a log of some dozens of records has several segments.
        let config = LogConfig {
            segment_bytes_max: 3_000,
            index_interval_bytes: 200,
            segment_index_bytes_max: 400,
            ..LogConfig::default()
        };
        let config = config.checked().expect("valid");
        let opened = Log::open(Arc::new(self.disk.clone()), Path::new("/logs/t-0"), config, options);
        self.log = Some(opened.expect("a log can be opened whatever has happened to it"));
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().expect("it is open")
    }

    pub(super) fn assign(&mut self, epoch: LeaderEpoch) {
        let end = self.log().log_end();
        self.log().assign_epoch(epoch, end).expect("nothing fails");
    }

    pub(super) fn append(&mut self, record: Record) {
        let mut bytes = batch(record);
        let mut sets = [AppendSet::new(&mut bytes, AppendOrigin::Client)];
        let log = self.log.as_mut().expect("it is open");
        log.append_as_leader(&mut sets, record.epoch, NOW).expect("nothing fails");
        sets[0].take_result().expect("a proper batch");
        self.sync_what_was_rolled();
    }

    /// Whether the records were taken.
    pub(super) fn append_fetched(&mut self, from: u64, records: &[Record], epoch_max: LeaderEpoch) -> bool {
        let mut bytes = Vec::new();
        for (offset, record) in (from..).zip(records) {
            let mut batch = batch(*record);
            validate::assign(&mut batch, Offset::new(offset), record.epoch).expect("a proper batch");
            bytes.append(&mut batch);
        }
        let appended = self.log().append_as_follower(&bytes, Some(epoch_max), NOW);
        self.sync_what_was_rolled();
        match appended {
            Ok(_) => true,
            Err(AppendError::Corrupt { .. }) => false,
            Err(error) => panic!("nothing fails: {error}"),
        }
    }

    pub(super) fn truncate(&mut self, to: u64) {
        self.log().truncate_to(Offset::new(to), NOW).expect("nothing fails");
        self.save();
    }

    pub(super) fn start_over(&mut self, at: u64) {
        self.log().truncate_fully_and_start_at(Offset::new(at), None, NOW).expect("nothing fails");
        self.save();
    }

    pub(super) fn delete_before(&mut self, start: u64) {
        let log = self.log();
        log.advance_high_watermark(Offset::new(start));
        log.delete_records(Offset::new(start)).expect("what is deleted is committed");
        self.save();
    }

    pub(super) fn sync(&mut self) {
        self.log().flush().expect("nothing fails");
        self.save();
    }

    /// The process ends: in order, or by a kill, or with the power. Starts again with what is there.
    pub(super) fn restart(&mut self, end: End) {
        if end == End::Clean {
            self.log().close(NOW).expect("nothing fails");
            self.save();
        }
        drop(self.log.take());
        match end {
            End::Clean | End::Killed => self.disk.kill(),
            End::PowerLoss => self.disk.crash(),
        }
        self.open(end == End::Clean);
    }

    /// Start, epochs, offset of the first record from the start on, and the records.
    pub(super) fn content(&mut self) -> (u64, Vec<(LeaderEpoch, u64)>, u64, Vec<Record>) {
        let log = self.log();
        let (start, end) = (log.log_start(), log.log_end());
        let epochs = log.epochs().entries().iter().map(|entry| (entry.epoch, entry.start.value())).collect();
        let mut records = Vec::new();
        let mut next = start;
        while next < end {
            let slice = log.read(next, 1 << 20, true, ReadBound::LogEnd).expect("it is within the log");
            let bytes = slice.read_to_vec().expect("nothing fails");
            let mut rest = bytes.as_slice();
            assert!(!rest.is_empty(), "there is nothing from {next} on, before {end}");
            while let Ok(header) = BatchHeader::parse(rest) {
                assert_eq!(header.base_offset(), next.to_wire(), "batches follow one another");
                let epoch = LeaderEpoch::from_wire(header.leader_epoch()).expect("a leader has appended it");
                records.push(Record { epoch, value: header.base_timestamp().cast_unsigned() });
                next = next.next();
                rest = &rest[header.size()..];
            }
        }
        (start.value(), epochs, start.value(), records)
    }

    /// Start, end and epochs.
    pub(super) fn shape(&mut self) -> (u64, u64, Vec<(LeaderEpoch, u64)>) {
        let log = self.log();
        let epochs = log.epochs().entries().iter().map(|entry| (entry.epoch, entry.start.value())).collect();
        (log.log_start().value(), log.log_end().value(), epochs)
    }

    fn save(&mut self) {
        self.checkpoint = Some(self.log().checkpoint());
    }

    /// As a broker does in the background.
    fn sync_what_was_rolled(&mut self) {
        if let Some(task) = self.log().due_flush() {
            let done = task.run().expect("nothing fails");
            self.log().complete_flush(done);
        }
    }
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Clean,
    Killed,
    PowerLoss,
}

/// One record, whose time is its value.
fn batch(record: Record) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(record.value.cast_signed(), None, Some(b"v"), &[]).expect("small records fit");
    builder.finish().expect("there is a record")
}

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
