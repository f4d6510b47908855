//! From a topic's effective configuration to the log's.

use highwater_log::{CheckedLogConfig, CleanupPolicy, ConfigError, DirtyRatio, LogConfig};
use highwater_metadata::config::{
    CompressionType, ConfigResolver, RecordValidation, TimestampType as TopicTimestampType, TopicConfig,
};
use highwater_records::validate::Depth;
use highwater_records::{Codec, Compression, TimestampType};

/// Translates the effective configuration of a topic, and what the broker adds to it, for the logs of its partitions.
///
/// `jitter_seed` spreads the rolling of partitions with `segment.jitter.ms`.
///
/// # Errors
///
/// If a value passed the controller's checks but not the log's.
pub(crate) fn log_config(
    resolver: &ConfigResolver<'_>,
    topic: &TopicConfig,
    jitter_seed: u64,
) -> Result<CheckedLogConfig, ConfigError> {
    LogConfig {
        segment_bytes_max: topic.segment_bytes,
        segment_ms_max: topic.segment_ms,
        segment_jitter_ms_max: topic.segment_jitter_ms,
        segment_index_bytes_max: topic.segment_index_bytes,
        index_interval_bytes: topic.index_interval_bytes,
        retention_ms: topic.retention_ms,
        retention_bytes: topic.retention_bytes,
        cleanup: CleanupPolicy { delete: topic.cleanup_policy.delete, compact: topic.cleanup_policy.compact },
        file_delete_delay_ms: topic.file_delete_delay_ms,
        message_bytes_max: topic.max_message_bytes,
        timestamp_type: match topic.message_timestamp_type {
            TopicTimestampType::CreateTime => TimestampType::CreateTime,
            TopicTimestampType::LogAppendTime => TimestampType::LogAppendTime,
        },
        timestamp_before_ms_max: topic.message_timestamp_before_max_ms,
        timestamp_after_ms_max: topic.message_timestamp_after_max_ms,
        compression: compression(topic),
        record_validation: match topic.record_validation {
            RecordValidation::Auto => Depth::Opaque,
            RecordValidation::Full => Depth::Full,
        },
        flush_messages: never_is_none(topic.flush_messages),
        flush_ms: never_is_none(topic.flush_ms),
        preallocate: topic.preallocate,
        compaction_lag_ms_max: topic
            .cleanup_policy
            .compact
            .then(|| never_is_none(topic.max_compaction_lag_ms))
            .flatten(),
        compaction_lag_ms_min: topic.min_compaction_lag_ms,
        dirty_ratio_min: DirtyRatio::new(topic.min_cleanable_dirty_ratio).unwrap_or_default(),
        delete_retention_ms: topic.delete_retention_ms,
        producer_expiration_ms: producer_expiration_ms(resolver),
        jitter_seed,
        ..LogConfig::default()
    }
    .checked()
}

fn compression(topic: &TopicConfig) -> Option<Compression> {
    let (codec, level) = match topic.compression_type {
        CompressionType::Producer => return None,
        CompressionType::Uncompressed => (Codec::None, None),
        CompressionType::Gzip => (Codec::Gzip, Some(topic.compression_gzip_level)),
        CompressionType::Snappy => (Codec::Snappy, None),
        CompressionType::Lz4 => (Codec::Lz4, Some(topic.compression_lz4_level)),
        CompressionType::Zstd => (Codec::Zstd, Some(topic.compression_zstd_level)),
    };
    // The controller has checked the level's range when it was set.
    Some(level.and_then(|level| Compression::with_level(codec, level).ok()).unwrap_or(Compression::new(codec)))
}

/// `producer.id.expiration.ms`, which is the broker's and not the topic's.
fn producer_expiration_ms(resolver: &ConfigResolver<'_>) -> u64 {
    let value = resolver.broker_value("producer.id.expiration.ms").and_then(|value| value.parse().ok());
    value.unwrap_or(LogConfig::default().producer_expiration_ms)
}

/// Kafka writes "never" as the largest long.
fn never_is_none(value: u64) -> Option<u64> {
    (value < i64::MAX as u64).then_some(value)
}
