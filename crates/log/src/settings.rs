//! Settings by the names that Kafka gives them.

use std::str::FromStr;

use highwater_records::validate::Depth;
use highwater_records::{Codec, Compression, TimestampType};

use crate::config::{CleanupPolicy, DirtyRatio, LogConfig};

/// Why a setting was refused. The configuration is as it was before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// No setting of a log has this name.
    #[error("no setting is named {name:?}")]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// The value is not of the setting's kind.
    #[error("{name} is {value:?}, which is not {want}")]
    Value {
        /// The setting.
        name: &'static str,
        /// The value asked for.
        value: String,
        /// What it has to be, as a noun phrase.
        want: &'static str,
    },
}

impl LogConfig {
    /// Changes one setting by Kafka's name for it, such as `segment.bytes`, with a value as in Kafka's files:
    /// `-1` and the largest long stand for "unlimited" where Kafka has it so.
    ///
    /// Limits are checked later, by [`checked`](Self::checked).
    ///
    /// # Errors
    ///
    /// [`SettingError`] for a name that is no setting of a log's storage, and for a value of another kind.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        let setting = SETTINGS.iter().find(|setting| setting.name == name);
        let setting = setting.ok_or_else(|| SettingError::Unknown { name: name.to_owned() })?;
        (setting.apply)(self, value.trim()).ok_or_else(|| SettingError::Value {
            name: setting.name,
            value: value.to_owned(),
            want: setting.want,
        })
    }

    /// The names that [`set`](Self::set) knows.
    pub fn setting_names() -> impl Iterator<Item = &'static str> {
        SETTINGS.iter().map(|setting| setting.name)
    }
}

struct Setting {
    name: &'static str,
    want: &'static str,
    /// Puts a value in; `None` if it cannot be understood.
    apply: fn(&mut LogConfig, &str) -> Option<()>,
}

const SIZE: &str = "a size in bytes";
const TIME: &str = "a time in milliseconds";
const LIMIT: &str = "a number, or -1 for unlimited";

macro_rules! setting {
    ($name:literal, $want:expr, |$value:ident| $parse:expr, $field:ident) => {
        Setting {
            name: $name,
            want: $want,
            apply: |config, $value| {
                config.$field = $parse?;
                Some(())
            },
        }
    };
}

const SETTINGS: &[Setting] = &[
    setting!("cleanup.policy", "a list of delete and compact", |value| cleanup(value), cleanup),
    setting!("compression.type", "producer or a codec's name", |value| compression(value), compression),
    setting!("delete.retention.ms", TIME, |value| number(value), delete_retention_ms),
    setting!("file.delete.delay.ms", TIME, |value| number(value), file_delete_delay_ms),
    setting!("flush.messages", "a number", |value| unless_longest(value), flush_messages),
    setting!("flush.ms", TIME, |value| unless_longest(value), flush_ms),
    setting!("index.interval.bytes", SIZE, |value| number(value), index_interval_bytes),
    setting!("internal.segment.bytes", SIZE, |value| number(value), segment_bytes_max),
    setting!("max.compaction.lag.ms", TIME, |value| unless_longest(value), compaction_lag_ms_max),
    setting!("max.message.bytes", SIZE, |value| number(value), message_bytes_max),
    setting!("message.timestamp.after.max.ms", TIME, |value| number(value), timestamp_after_ms_max),
    setting!("message.timestamp.before.max.ms", TIME, |value| number(value), timestamp_before_ms_max),
    setting!("message.timestamp.type", "CreateTime or LogAppendTime", |value| timestamp_type(value), timestamp_type),
    setting!("min.cleanable.dirty.ratio", "a number from 0 to 1", |value| ratio(value), dirty_ratio_min),
    setting!("min.compaction.lag.ms", TIME, |value| number(value), compaction_lag_ms_min),
    setting!("preallocate", "true or false", |value| truth(value), preallocate),
    setting!("producer.id.expiration.ms", TIME, |value| number(value), producer_expiration_ms),
    setting!("record.validation", "auto or full", |value| depth(value), record_validation),
    setting!("retention.bytes", LIMIT, |value| limit(value), retention_bytes),
    setting!("retention.ms", LIMIT, |value| limit(value), retention_ms),
    setting!("segment.bytes", SIZE, |value| number(value), segment_bytes_max),
    setting!("segment.index.bytes", SIZE, |value| number(value), segment_index_bytes_max),
    setting!("segment.jitter.ms", TIME, |value| number(value), segment_jitter_ms_max),
    setting!("segment.ms", TIME, |value| number(value), segment_ms_max),
];

fn number<T: FromStr>(value: &str) -> Option<T> {
    value.parse().ok()
}

/// `-1` stands for unlimited.
fn limit(value: &str) -> Option<Option<u64>> {
    if value == "-1" { Some(None) } else { number(value).map(Some) }
}

/// The largest long stands for never.
fn unless_longest(value: &str) -> Option<Option<u64>> {
    let value: u64 = number(value)?;
    Some((value < i64::MAX as u64).then_some(value))
}

fn ratio(value: &str) -> Option<DirtyRatio> {
    DirtyRatio::new(number(value)?)
}

fn truth(value: &str) -> Option<bool> {
    [("true", true), ("false", false)].into_iter().find(|(word, _)| value.eq_ignore_ascii_case(word)).map(|(_, is)| is)
}

fn cleanup(value: &str) -> Option<CleanupPolicy> {
    let mut policy = CleanupPolicy { delete: false, compact: false };
    for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word {
            "delete" => policy.delete = true,
            "compact" => policy.compact = true,
            _ => return None,
        }
    }
    Some(policy)
}

fn compression(value: &str) -> Option<Option<Compression>> {
    if value == "producer" {
        return Some(None);
    }
    let codec = match value {
        "uncompressed" => Codec::None,
        name => [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd].into_iter().find(|codec| codec.name() == name)?,
    };
    Some(Some(Compression::new(codec)))
}

fn timestamp_type(value: &str) -> Option<TimestampType> {
    match value {
        "CreateTime" => Some(TimestampType::CreateTime),
        "LogAppendTime" => Some(TimestampType::LogAppendTime),
        _ => None,
    }
}

fn depth(value: &str) -> Option<Depth> {
    match value {
        "auto" => Some(Depth::Opaque),
        "full" => Some(Depth::Full),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_takes_kafkas_default_and_is_then_as_by_default() {
        let defaults = [
            ("cleanup.policy", "delete"),
            ("compression.type", "producer"),
            ("delete.retention.ms", "86400000"),
            ("file.delete.delay.ms", "60000"),
            ("flush.messages", "9223372036854775807"),
            ("flush.ms", "9223372036854775807"),
            ("index.interval.bytes", "4096"),
            ("internal.segment.bytes", "1073741824"),
            ("max.compaction.lag.ms", "9223372036854775807"),
            ("max.message.bytes", "1048588"),
            ("message.timestamp.after.max.ms", "3600000"),
            ("message.timestamp.before.max.ms", "9223372036854775807"),
            ("message.timestamp.type", "CreateTime"),
            ("min.cleanable.dirty.ratio", "0.5"),
            ("min.compaction.lag.ms", "0"),
            ("preallocate", "false"),
            ("producer.id.expiration.ms", "86400000"),
            ("record.validation", "auto"),
            ("retention.bytes", "-1"),
            ("retention.ms", "604800000"),
            ("segment.bytes", "1073741824"),
            ("segment.index.bytes", "10485760"),
            ("segment.jitter.ms", "0"),
            ("segment.ms", "604800000"),
        ];
        assert_eq!(LogConfig::setting_names().collect::<Vec<_>>(), defaults.map(|(name, _)| name));
        for (name, value) in defaults {
            let mut config = LogConfig::default();
            config.set(name, value).unwrap();
            assert_eq!(config, LogConfig::default(), "{name}");
            let refused = config.set(name, "certainly").unwrap_err();
            assert!(matches!(refused, SettingError::Value { name: named, .. } if named == name), "{refused}");
            assert_eq!(config, LogConfig::default(), "{name} after a refusal");
        }
    }

    #[test]
    fn values_reach_their_fields() {
        let mut config = LogConfig::default();
        for (name, value) in [
            ("cleanup.policy", "compact, delete"),
            ("compression.type", "zstd"),
            ("message.timestamp.type", "LogAppendTime"),
            ("retention.ms", "-1"),
            ("retention.bytes", "10"),
            ("flush.messages", "1"),
            ("preallocate", "TRUE"),
            ("segment.bytes", "4096"),
        ] {
            config.set(name, value).unwrap();
        }
        let wanted = LogConfig {
            cleanup: CleanupPolicy { delete: true, compact: true },
            compression: Some(Compression::new(Codec::Zstd)),
            timestamp_type: TimestampType::LogAppendTime,
            retention_ms: None,
            retention_bytes: Some(10),
            flush_messages: Some(1),
            preallocate: true,
            segment_bytes_max: 4_096,
            ..LogConfig::default()
        };
        assert_eq!(config, wanted);
    }

    #[test]
    fn unknown_names_are_told() {
        let error = LogConfig::default().set("segment.byte", "1").unwrap_err();
        assert_eq!(error.to_string(), "no setting is named \"segment.byte\"");
        let error = LogConfig::default().set("segment.bytes", "-1").unwrap_err();
        assert_eq!(error.to_string(), "segment.bytes is \"-1\", which is not a size in bytes");
    }
}
