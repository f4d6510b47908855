//! What the configs of one topic amount to, as numbers.

use super::{ResourceKind, ThrottledReplicas, definition, definition::Value, items};

/// The effective configs of one topic that the broker works with, read and checked.
///
/// Sizes are bytes, times are milliseconds. `None` stands for Kafka's `-1`, no limit; a limit of
/// 2^63-1 is one that is never reached.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy`. Default: delete.
    pub cleanup_policy: CleanupPolicy,
    /// `segment.bytes`. Default 1 GiB, at least 1 MiB.
    pub segment_bytes: u32,
    /// `segment.ms`. Default 7 days.
    pub segment_ms: u64,
    /// `segment.jitter.ms`. Default 0.
    pub segment_jitter_ms: u64,
    /// `segment.index.bytes`. Default 10 MiB.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`. Default 4096.
    pub index_interval_bytes: u32,
    /// `retention.bytes`. Default no limit.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`. Default 7 days.
    pub retention_ms: Option<u64>,
    /// `flush.messages`. Default 2^63-1.
    pub flush_messages: u64,
    /// `flush.ms`. Default 2^63-1.
    pub flush_ms: u64,
    /// `max.message.bytes`. Default 1 MiB and 12 bytes.
    pub max_message_bytes: u32,
    /// `compression.type`. Default: as the producer sent it.
    pub compression_type: CompressionType,
    /// `compression.gzip.level`. Default -1, the codec's own.
    pub compression_gzip_level: i32,
    /// `compression.lz4.level`. Default 9.
    pub compression_lz4_level: i32,
    /// `compression.zstd.level`. Default 3.
    pub compression_zstd_level: i32,
    /// `message.timestamp.type`. Default: create time.
    pub message_timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`. Default 2^63-1.
    pub message_timestamp_before_max_ms: u64,
    /// `message.timestamp.after.max.ms`. Default 1 hour.
    pub message_timestamp_after_max_ms: u64,
    /// `min.insync.replicas`. Default 1.
    pub min_insync_replicas: u32,
    /// `min.cleanable.dirty.ratio`, 0 to 1. Default 0.5.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`. Default 0.
    pub min_compaction_lag_ms: u64,
    /// `max.compaction.lag.ms`. Default 2^63-1.
    pub max_compaction_lag_ms: u64,
    /// `delete.retention.ms`. Default 1 day.
    pub delete_retention_ms: u64,
    /// `file.delete.delay.ms`. Default 1 minute.
    pub file_delete_delay_ms: u64,
    /// `preallocate`. Default false.
    pub preallocate: bool,
    /// `unclean.leader.election.enable`. Default false.
    pub unclean_leader_election: bool,
    /// `record.validation`, our own. Default: auto.
    pub record_validation: RecordValidation,
    /// `leader.replication.throttled.replicas`. Default: none.
    pub leader_throttled: ThrottledReplicas,
    /// `follower.replication.throttled.replicas`. Default: none.
    pub follower_throttled: ThrottledReplicas,
}

/// What happens to old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Records with a newer one of the same key are removed.
    pub compact: bool,
    /// Segments past the retention limits are removed.
    pub delete: bool,
}

/// The codec in which the broker stores batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// As the producer sent them.
    Producer,
    /// Uncompressed.
    Uncompressed,
    /// Gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// What the timestamp of a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// When the producer made the record.
    CreateTime,
    /// When the leader appended it.
    LogAppendTime,
}

/// How closely the leader looks at the records inside compressed batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordValidation {
    /// Only where a check needs it, such as keys on a compacted topic.
    Auto,
    /// Always, as Apache Kafka does.
    Full,
}

impl TopicConfig {
    /// Reads every field through `text`, which returns a value that its config takes.
    pub(super) fn read(text: impl Fn(&str) -> Option<String>) -> Self {
        let reader = Reader { text };
        let policy = reader.list("cleanup.policy");
        Self {
            cleanup_policy: CleanupPolicy {
                compact: policy.iter().any(|item| item == "compact"),
                delete: policy.iter().any(|item| item == "delete"),
            },
            segment_bytes: reader.u32("segment.bytes"),
            segment_ms: reader.u64("segment.ms"),
            segment_jitter_ms: reader.u64("segment.jitter.ms"),
            segment_index_bytes: reader.u32("segment.index.bytes"),
            index_interval_bytes: reader.u32("index.interval.bytes"),
            retention_bytes: reader.limit("retention.bytes"),
            retention_ms: reader.limit("retention.ms"),
            flush_messages: reader.u64("flush.messages"),
            flush_ms: reader.u64("flush.ms"),
            max_message_bytes: reader.u32("max.message.bytes"),
            compression_type: match reader.word("compression.type").as_str() {
                "uncompressed" => CompressionType::Uncompressed,
                "gzip" => CompressionType::Gzip,
                "snappy" => CompressionType::Snappy,
                "lz4" => CompressionType::Lz4,
                "zstd" => CompressionType::Zstd,
                _ => CompressionType::Producer,
            },
            compression_gzip_level: reader.i32("compression.gzip.level"),
            compression_lz4_level: reader.i32("compression.lz4.level"),
            compression_zstd_level: reader.i32("compression.zstd.level"),
            message_timestamp_type: match reader.word("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            message_timestamp_before_max_ms: reader.u64("message.timestamp.before.max.ms"),
            message_timestamp_after_max_ms: reader.u64("message.timestamp.after.max.ms"),
            min_insync_replicas: reader.u32("min.insync.replicas"),
            min_cleanable_dirty_ratio: reader.f64("min.cleanable.dirty.ratio"),
            min_compaction_lag_ms: reader.u64("min.compaction.lag.ms"),
            max_compaction_lag_ms: reader.u64("max.compaction.lag.ms"),
            delete_retention_ms: reader.u64("delete.retention.ms"),
            file_delete_delay_ms: reader.u64("file.delete.delay.ms"),
            preallocate: reader.bool("preallocate"),
            unclean_leader_election: reader.bool("unclean.leader.election.enable"),
            record_validation: match reader.word("record.validation").as_str() {
                "full" => RecordValidation::Full,
                _ => RecordValidation::Auto,
            },
            leader_throttled: ThrottledReplicas::parse(&reader.word("leader.replication.throttled.replicas")),
            follower_throttled: ThrottledReplicas::parse(&reader.word("follower.replication.throttled.replicas")),
        }
    }
}

impl Default for TopicConfig {
    /// What holds where nothing is set.
    fn default() -> Self {
        Self::read(|name| definition(ResourceKind::Topic, name).and_then(|found| found.default).map(str::to_owned))
    }
}

/// Turns checked texts into numbers.
struct Reader<F> {
    text: F,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    fn integer(&self, name: &str) -> i64 {
        let definition = definition(ResourceKind::Topic, name).expect("TopicConfig reads only configs in the table");
        match (self.text)(name).as_deref().map(|text| definition.parse(text)) {
            Some(Ok(Value::Integer(n))) => n,
            other => panic!("{name} was checked to be a whole number, not {other:?}"),
        }
    }

    fn i32(&self, name: &str) -> i32 {
        i32::try_from(self.integer(name)).expect("the table says INT")
    }

    fn u32(&self, name: &str) -> u32 {
        u32::try_from(self.integer(name)).expect("the table says INT and at least 0")
    }

    fn u64(&self, name: &str) -> u64 {
        u64::try_from(self.integer(name)).expect("the table says at least 0")
    }

    fn limit(&self, name: &str) -> Option<u64> {
        u64::try_from(self.integer(name)).ok()
    }

    fn f64(&self, name: &str) -> f64 {
        self.word(name).parse().expect("the table says DOUBLE")
    }

    fn bool(&self, name: &str) -> bool {
        self.word(name).eq_ignore_ascii_case("true")
    }

    fn word(&self, name: &str) -> String {
        (self.text)(name).map(|text| text.trim().to_owned()).unwrap_or_default()
    }

    fn list(&self, name: &str) -> Vec<String> {
        items(&self.word(name)).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every default that the fields' documentation states.
    #[test]
    fn defaults_are_the_documented_ones() {
        const DAY_MS: u64 = 86_400_000;
        const NEVER: u64 = i64::MAX as u64;
        let documented = TopicConfig {
            cleanup_policy: CleanupPolicy { compact: false, delete: true },
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY_MS,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            retention_bytes: None,
            retention_ms: Some(7 * DAY_MS),
            flush_messages: NEVER,
            flush_ms: NEVER,
            max_message_bytes: (1 << 20) + 12,
            compression_type: CompressionType::Producer,
            compression_gzip_level: -1,
            compression_lz4_level: 9,
            compression_zstd_level: 3,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: NEVER,
            message_timestamp_after_max_ms: 3_600_000,
            min_insync_replicas: 1,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: NEVER,
            delete_retention_ms: DAY_MS,
            file_delete_delay_ms: 60_000,
            preallocate: false,
            unclean_leader_election: false,
            record_validation: RecordValidation::Auto,
            leader_throttled: ThrottledReplicas::None,
            follower_throttled: ThrottledReplicas::None,
        };
        assert_eq!(TopicConfig::default(), documented);
    }
}
