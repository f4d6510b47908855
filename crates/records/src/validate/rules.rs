//! The rules of a topic that its records are checked against.

use crate::{Codec, Compression, DecompressLimit, TimestampType};

/// What a partition's leader demands of a batch and makes of it.
///
/// `Default` holds the defaults of Kafka's topic configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderRules {
    /// How the batch is to be stored (`compression.type`). Default [`TargetCodec::Producer`].
    pub codec: TargetCodec,
    /// Who sets the time of records (`message.timestamp.type`). Default CreateTime.
    pub timestamp_type: TimestampType,
    /// How far before `now` a record's timestamp may lie, in milliseconds
    /// (`message.timestamp.before.max.ms`). Default 2^63-1. Not looked at on LogAppendTime topics.
    pub before_max_ms: i64,
    /// How far after `now` a record's timestamp may lie, in milliseconds
    /// (`message.timestamp.after.max.ms`). Default one hour. Not looked at on LogAppendTime topics.
    pub after_max_ms: i64,
    /// Whether every record needs a key, because the topic is compacted. Default `false`.
    pub compacted: bool,
    /// Largest entry in bytes, its offset and length included (`max.message.bytes`). Default 1 048 588.
    pub size_max: usize,
    /// Who sent the batch. Default [`Origin::Client`].
    pub origin: Origin,
    /// How closely compressed batches are looked at. Default [`Depth::Opaque`].
    pub depth: Depth,
    /// Whether v0 and v1 messages are taken, and converted: true for Produce requests before version 3.
    /// From that version on a request holds exactly one v2 batch. Default `false`.
    pub legacy_allowed: bool,
    /// Whether zstd is taken: true for Produce requests from version 7 on. Default `true`.
    pub zstd_allowed: bool,
    /// Whether the caller has checked the checksums, as it received the bytes. Default `false`.
    pub crc_checked: bool,
    /// How far a batch may expand where it has to be decompressed.
    pub decompress_limit: DecompressLimit,
}

impl Default for LeaderRules {
    fn default() -> Self {
        Self {
            codec: TargetCodec::Producer,
            timestamp_type: TimestampType::CreateTime,
            before_max_ms: i64::MAX,
            after_max_ms: 3_600_000,
            compacted: false,
            size_max: 1_048_588,
            origin: Origin::Client,
            depth: Depth::Opaque,
            legacy_allowed: false,
            zstd_allowed: true,
            crc_checked: false,
            decompress_limit: DecompressLimit::default(),
        }
    }
}

/// How a topic stores batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TargetCodec {
    /// As the producer compressed them.
    #[default]
    Producer,
    /// Always so; batches that come otherwise are decompressed and written anew.
    Fixed(Compression),
}

impl TargetCodec {
    /// What a batch that comes under `source` is stored under.
    #[must_use]
    pub fn of(self, source: Codec) -> Compression {
        match self {
            Self::Producer => Compression::new(source),
            Self::Fixed(compression) => compression,
        }
    }
}

/// Who sent a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A client, which is not trusted to count and may not write control records.
    #[default]
    Client,
    /// A coordinator of this cluster, which writes transaction markers as well.
    Coordinator,
}

/// How closely compressed batches are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Depth {
    /// By their header only, unless a rule needs the records: a compacted topic or a conversion does.
    ///
    /// The largest timestamp is then the one that the producer has written into the header, and a payload
    /// that does not decompress is found by consumers.
    #[default]
    Opaque,
    /// Every record is decompressed and checked, as Kafka does.
    Full,
}

#[cfg(test)]
mod tests {
    use super::{Depth, LeaderRules, Origin, TargetCodec};
    use crate::{DecompressLimit, TimestampType};

    #[test]
    fn defaults_are_the_documented_ones() {
        let rules = LeaderRules::default();
        let expected = LeaderRules {
            codec: TargetCodec::Producer,
            timestamp_type: TimestampType::CreateTime,
            before_max_ms: 9_223_372_036_854_775_807,
            after_max_ms: 60 * 60 * 1000,
            compacted: false,
            size_max: (1 << 20) + 12,
            origin: Origin::Client,
            depth: Depth::Opaque,
            legacy_allowed: false,
            zstd_allowed: true,
            crc_checked: false,
            decompress_limit: DecompressLimit::new(128 << 20),
        };
        assert_eq!(rules, expected);
    }
}
