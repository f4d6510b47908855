//! Which broker configs stand in for a config that is not set.

/// How a broker config's value becomes the value of the config it stands in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// It is the value.
    Same,
    /// It counts minutes where milliseconds are wanted; negative stays -1, unlimited.
    Minutes,
    /// It counts hours where milliseconds are wanted; negative stays -1, unlimited.
    Hours,
}

impl Unit {
    /// Translates a value that was already checked; too large a number of hours becomes the largest number.
    pub(super) fn translate(self, value: &str) -> String {
        let factor: i64 = match self {
            Self::Same => return value.to_owned(),
            Self::Minutes => 60_000,
            Self::Hours => 3_600_000,
        };
        match value.trim().parse::<i64>() {
            Ok(n) if n < 0 => "-1".to_owned(),
            Ok(n) => n.saturating_mul(factor).to_string(),
            Err(_) => value.to_owned(),
        }
    }
}

/// The broker configs that hold for a topic on which `name` is not set, the strongest first.
pub(super) fn topic_synonyms(name: &str) -> &'static [(&'static str, Unit)] {
    use Unit::{Hours, Minutes, Same};
    match name {
        "cleanup.policy" => &[("log.cleanup.policy", Same)],
        "compression.gzip.level" => &[("compression.gzip.level", Same)],
        "compression.lz4.level" => &[("compression.lz4.level", Same)],
        "compression.type" => &[("compression.type", Same)],
        "compression.zstd.level" => &[("compression.zstd.level", Same)],
        "delete.retention.ms" => &[("log.cleaner.delete.retention.ms", Same)],
        "file.delete.delay.ms" => &[("log.segment.delete.delay.ms", Same)],
        "flush.messages" => &[("log.flush.interval.messages", Same)],
        "flush.ms" => &[("log.flush.interval.ms", Same), ("log.flush.scheduler.interval.ms", Same)],
        "index.interval.bytes" => &[("log.index.interval.bytes", Same)],
        "local.retention.bytes" => &[("log.local.retention.bytes", Same)],
        "local.retention.ms" => &[("log.local.retention.ms", Same)],
        "max.compaction.lag.ms" => &[("log.cleaner.max.compaction.lag.ms", Same)],
        "max.message.bytes" => &[("message.max.bytes", Same)],
        "message.timestamp.after.max.ms" => &[("log.message.timestamp.after.max.ms", Same)],
        "message.timestamp.before.max.ms" => &[("log.message.timestamp.before.max.ms", Same)],
        "message.timestamp.type" => &[("log.message.timestamp.type", Same)],
        "min.cleanable.dirty.ratio" => &[("log.cleaner.min.cleanable.ratio", Same)],
        "min.compaction.lag.ms" => &[("log.cleaner.min.compaction.lag.ms", Same)],
        "min.insync.replicas" => &[("min.insync.replicas", Same)],
        "preallocate" => &[("log.preallocate", Same)],
        "record.validation" => &[("record.validation", Same)],
        "remote.copy.lag.bytes" => &[("log.remote.copy.lag.bytes", Same)],
        "remote.copy.lag.ms" => &[("log.remote.copy.lag.ms", Same)],
        "retention.bytes" => &[("log.retention.bytes", Same)],
        "retention.ms" => {
            &[("log.retention.ms", Same), ("log.retention.minutes", Minutes), ("log.retention.hours", Hours)]
        }
        "segment.bytes" => &[("log.segment.bytes", Same)],
        "segment.index.bytes" => &[("log.index.size.max.bytes", Same)],
        "segment.jitter.ms" => &[("log.roll.jitter.ms", Same), ("log.roll.jitter.hours", Hours)],
        "segment.ms" => &[("log.roll.ms", Same), ("log.roll.hours", Hours)],
        "unclean.leader.election.enable" => &[("unclean.leader.election.enable", Same)],
        _ => &[],
    }
}

/// The broker configs that mean the same as the broker config `name`, the strongest first; at least itself.
///
/// Setting a stronger one hides the weaker: `log.retention.ms` wins over `log.retention.hours`.
#[must_use]
pub fn broker_synonyms(name: &str) -> Vec<&str> {
    for family in BROKER_FAMILIES {
        if let Some(at) = family.iter().position(|member| *member == name) {
            return family[at..].to_vec();
        }
    }
    vec![name]
}

const BROKER_FAMILIES: &[&[&str]] = &[
    &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
    &["log.roll.ms", "log.roll.hours"],
    &["log.roll.jitter.ms", "log.roll.jitter.hours"],
    &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
];
