//! How a log is stored and what it accepts.

use std::ops::Deref;
use std::sync::Arc;

use highwater_records::validate::Depth;
use highwater_records::{Compression, TimestampType};

/// Settings of one log: Kafka's topic settings that concern storage.
///
/// Build with `..LogConfig::default()`, which has Kafka's defaults, and check with [`checked`](Self::checked).
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`: size at which the active segment is closed. Default 1 GiB, at most 2^31-1, because index
    /// entries hold 32-bit positions.
    pub segment_bytes_max: u32,
    /// `segment.ms`: span of record timestamps after which the active segment is closed. Default 7 days.
    pub segment_ms_max: u64,
    /// `segment.jitter.ms`: upper limit of what is taken off `segment.ms`, by chance, for each segment. Default 0.
    pub segment_jitter_ms_max: u64,
    /// Seed of that chance. Give every log another one, or all roll at once. Default 0.
    pub jitter_seed: u64,
    /// `segment.index.bytes`: size of an index file. Default 10 MiB.
    pub segment_index_bytes_max: u32,
    /// `index.interval.bytes`: log bytes between two index entries. Smaller is faster to seek and larger to keep.
    /// Default 4096.
    pub index_interval_bytes: u32,
    /// `retention.ms`: age at which segments are deleted; `None` for never. Default 7 days.
    pub retention_ms: Option<u64>,
    /// `retention.bytes`: size of the log above which segments are deleted; `None` for unlimited, the default.
    pub retention_bytes: Option<u64>,
    /// `cleanup.policy`. Default: delete.
    pub cleanup: CleanupPolicy,
    /// `file.delete.delay.ms`: how long a removed file stays, for readers that have just found it. Default 60 s.
    pub file_delete_delay_ms: u64,
    /// `max.message.bytes`: size of the largest batch that is accepted from producers. Default 1,048,588.
    pub message_bytes_max: u32,
    /// `message.timestamp.type`. Default create time.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far record timestamps may lie in the past. Default unlimited.
    pub timestamp_before_ms_max: u64,
    /// `message.timestamp.after.max.ms`: how far record timestamps may lie in the future. Default one hour.
    pub timestamp_after_ms_max: u64,
    /// `compression.type`; `None` stands for `producer`, which keeps each batch's own. The default.
    pub compression: Option<Compression>,
    /// `record.validation`: how closely a leader looks into compressed batches. Default [`Depth::Opaque`] (`auto`):
    /// only where another setting needs the records, which are keys on compacted topics and a `compression` other
    /// than the batch's. [`Depth::Full`] (`full`) decompresses every batch and checks each record, as Apache Kafka
    /// does.
    pub record_validation: Depth,
    /// `flush.messages`: fewer than so many records are acknowledged without having been synced, so that 1 stands for
    /// flush before acknowledgement; see [`Log::settled_to`](crate::Log::settled_to). `None`, the default, leaves syncing
    /// to rolls, to the operating system and to replication.
    pub flush_messages: Option<u64>,
    /// `flush.ms`, for the owner of the log, who keeps the time; the log itself does nothing with it. Default
    /// `None`.
    pub flush_ms: Option<u64>,
    /// `preallocate`: whether a new segment's file has its full length from the start. Default no.
    pub preallocate: bool,
    /// Reserve disk space ahead of the end of the log in steps of this many bytes, which makes appends cheaper
    /// and files contiguous; sizes do not change. `None`, the default, reserves nothing.
    pub allocation_step_bytes: Option<u32>,
    /// `max.compaction.lag.ms`: age of a record after which the log is compacted however little there is to gain;
    /// also limits `segment.ms` of compacted topics. Default unlimited.
    pub compaction_lag_ms_max: Option<u64>,
    /// `min.compaction.lag.ms`: age below which a record is not compacted away. Default 0.
    pub compaction_lag_ms_min: u64,
    /// `min.cleanable.dirty.ratio`: share of bytes not compacted yet above which compacting is worth it. Default
    /// 0.5.
    pub dirty_ratio_min: DirtyRatio,
    /// `delete.retention.ms`: how long compaction keeps tombstones and transaction markers once it could have removed
    /// them, for readers that have seen what they end. Default one day.
    pub delete_retention_ms: u64,
    /// `producer.id.expiration.ms`: how long an idle producer is remembered. Default one day.
    pub producer_expiration_ms: u64,
}

/// `cleanup.policy`: what is done about old records. Both, either or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments are deleted.
    pub delete: bool,
    /// Records are removed whose key has a newer one.
    pub compact: bool,
}

/// A share of a log's bytes.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct DirtyRatio(f64);

impl DirtyRatio {
    /// `share`, which must be within 0 and 1.
    #[must_use]
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// The share, within 0 and 1.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0
    }
}

impl Default for DirtyRatio {
    /// Kafka's `min.cleanable.dirty.ratio`: one half.
    fn default() -> Self {
        Self(0.5)
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
        Self {
            segment_bytes_max: 1 << 30,
            segment_ms_max: 7 * DAY_MS,
            segment_jitter_ms_max: 0,
            jitter_seed: 0,
            segment_index_bytes_max: 10 << 20,
            index_interval_bytes: 4_096,
            retention_ms: Some(7 * DAY_MS),
            retention_bytes: None,
            cleanup: CleanupPolicy { delete: true, compact: false },
            file_delete_delay_ms: 60_000,
            message_bytes_max: 1_048_588,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_ms_max: i64::MAX as u64,
            timestamp_after_ms_max: 3_600_000,
            compression: None,
            record_validation: Depth::Opaque,
            flush_messages: None,
            flush_ms: None,
            preallocate: false,
            allocation_step_bytes: None,
            compaction_lag_ms_max: None,
            compaction_lag_ms_min: 0,
            dirty_ratio_min: DirtyRatio::default(),
            delete_retention_ms: DAY_MS,
            producer_expiration_ms: DAY_MS,
        }
    }
}

impl LogConfig {
    /// Checks the limits.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first field that is out of range.
    pub fn checked(self) -> Result<CheckedLogConfig, ConfigError> {
        let in_range = |field, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) { Ok(()) } else { Err(ConfigError { field, value, min, max }) }
        };
        const POSITION_MAX: u64 = i32::MAX as u64;
        in_range("segment_bytes_max", self.segment_bytes_max.into(), 1, POSITION_MAX)?;
        in_range("segment_index_bytes_max", self.segment_index_bytes_max.into(), 24, POSITION_MAX)?;
        in_range("index_interval_bytes", self.index_interval_bytes.into(), 0, POSITION_MAX)?;
        in_range("message_bytes_max", self.message_bytes_max.into(), 0, POSITION_MAX)?;
        in_range("flush_messages", self.flush_messages.unwrap_or(1), 1, i64::MAX as u64)?;
        in_range("segment_ms_max", self.segment_ms_max, 1, i64::MAX as u64)?;
        Ok(CheckedLogConfig(Arc::new(self)))
    }
}

/// [`LogConfig`] whose limits have been checked; the only form in which a log takes it. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedLogConfig(Arc<LogConfig>);

impl Default for CheckedLogConfig {
    /// Kafka's defaults, which are within the limits.
    fn default() -> Self {
        Self(Arc::new(LogConfig::default()))
    }
}

impl Deref for CheckedLogConfig {
    type Target = LogConfig;

    fn deref(&self) -> &LogConfig {
        &self.0
    }
}

/// A field of [`LogConfig`] is out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, which is not within {min}..={max}")]
pub struct ConfigError {
    /// The field.
    pub field: &'static str,
    /// Its value.
    pub value: u64,
    /// The least value allowed.
    pub min: u64,
    /// The largest value allowed.
    pub max: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_kafkas_and_pass_the_check() {
        let config = LogConfig::default().checked().unwrap();
        assert_eq!(config, CheckedLogConfig::default());
        assert_eq!(config.segment_bytes_max, 1_073_741_824);
        assert_eq!(config.segment_ms_max, 604_800_000);
        assert_eq!(config.segment_jitter_ms_max, 0);
        assert_eq!(config.segment_index_bytes_max, 10_485_760);
        assert_eq!(config.index_interval_bytes, 4_096);
        assert_eq!(config.retention_ms, Some(604_800_000));
        assert_eq!(config.retention_bytes, None);
        assert_eq!(config.cleanup, CleanupPolicy { delete: true, compact: false });
        assert_eq!(config.file_delete_delay_ms, 60_000);
        assert_eq!(config.message_bytes_max, 1_048_588);
        assert_eq!(config.timestamp_type, TimestampType::CreateTime);
        assert_eq!(config.timestamp_before_ms_max, 9_223_372_036_854_775_807);
        assert_eq!(config.timestamp_after_ms_max, 3_600_000);
        assert_eq!((config.compression, config.record_validation), (None, Depth::Opaque));
        assert_eq!((config.flush_messages, config.flush_ms), (None, None));
        assert!(!config.preallocate);
        assert_eq!(config.producer_expiration_ms, 86_400_000);
        assert_eq!((config.compaction_lag_ms_min, config.compaction_lag_ms_max), (0, None));
        assert_eq!(config.dirty_ratio_min.value().to_bits(), 0.5f64.to_bits());
        assert_eq!(config.delete_retention_ms, 86_400_000);
    }

    #[test]
    fn a_ratio_is_within_0_and_1() {
        for outside in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(DirtyRatio::new(outside), None, "{outside}");
        }
        assert!(DirtyRatio::new(0.0) < DirtyRatio::new(1.0));
    }

    #[test]
    fn values_out_of_range_are_named() {
        let config = LogConfig { segment_bytes_max: 1 << 31, ..LogConfig::default() };
        let error = config.checked().unwrap_err();
        assert_eq!(error.to_string(), "segment_bytes_max is 2147483648, which is not within 1..=2147483647");
        assert!(LogConfig { flush_messages: Some(0), ..LogConfig::default() }.checked().is_err());
    }
}
