//! What a run is like: settings and habits, drawn from the seed so that runs differ in kind.

use highwater_log::{CleanerConfig, CleanupPolicy, LogConfig};
use highwater_records::{Codec, Compression, TimestampType};

use crate::random::Random;

/// How one log is stored and used.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) config: LogConfig,
    pub(crate) cleaner: CleanerConfig,
    /// Producers that send to it.
    pub(crate) producers: u64,
    /// Percent of record sets that have a producer, and of those that are transactional.
    pub(crate) idempotent_percent: u64,
    pub(crate) transactional_percent: u64,
    /// Percent of appends that are replicated.
    pub(crate) follower_percent: u64,
    /// Percent of replicated entries in formats 0 and 1.
    pub(crate) legacy_percent: u64,
    /// Percent of batches that are compressed.
    pub(crate) compressed_percent: u64,
    /// Largest value of a record in bytes.
    pub(crate) value_max: u64,
    /// Percent of batches without timestamps.
    pub(crate) timeless_percent: u64,
    /// How far record timestamps lie in the past, at most.
    pub(crate) age_ms_max: u64,
    /// Percent of steps in which something goes wrong.
    pub(crate) fault_percent: u64,
}

impl Plan {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let segment = random.pick(&[300, 600, 1_200, 3_000, 8_000]);
        let index = random.pick(&[24, 36, 60, 120, 600, 4_096]);
        let small = |value: u64| u32::try_from(value).expect("settings of a run are small");
        let is_compacted = random.chance(30);
        let config = LogConfig {
            segment_bytes_max: small(random.between(segment, segment * 2)),
            segment_ms_max: if random.chance(30) { random.between(1, 20_000) } else { 604_800_000 },
            segment_jitter_ms_max: random.pick(&[0, 0, 5_000]),
            jitter_seed: random.bits(),
            segment_index_bytes_max: small(random.between(index, index * 2)),
            index_interval_bytes: random.pick(&[0, 1, 100, 300, 1_000, 4_096]),
            retention_ms: if random.chance(30) { Some(random.between(1, 60_000)) } else { None },
            retention_bytes: if random.chance(50) { Some(random.between(0, segment * 6)) } else { None },
            cleanup: CleanupPolicy { delete: random.chance(85), compact: is_compacted },
            compaction_lag_ms_min: random.pick(&[0, 0, 2_000]),
            delete_retention_ms: random.pick(&[0, 1_000, 86_400_000]),
            file_delete_delay_ms: random.pick(&[0, 1_000, 60_000]),
            timestamp_type: if random.chance(20) { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
            compression: random.chance(15).then(|| draw_codec(random)),
            flush_messages: if random.chance(25) { Some(random.pick(&[1, 1, 3, 10])) } else { None },
            preallocate: random.chance(25),
            allocation_step_bytes: if random.chance(25) { Some(4_096) } else { None },
            producer_expiration_ms: u64::MAX,
            ..LogConfig::default()
        };
        Self {
            config,
            cleaner: CleanerConfig {
                dedupe_bytes_max: random.pick(&[48, 240, 1 << 20]),
                io_bytes_max: random.pick(&[1, 300, 512 << 10]),
                ..CleanerConfig::default()
            },
            producers: random.between(1, 4),
            idempotent_percent: random.pick(&[0, 30, 60, 90]),
            transactional_percent: random.pick(&[0, 50, 90]),
            follower_percent: random.pick(&[0, 20, 50, 100]),
            legacy_percent: random.pick(&[0, 0, 0, 50, 95]),
            compressed_percent: random.pick(&[0, 10, 50]),
            value_max: random.pick(&[10, 60, 200]),
            timeless_percent: random.pick(&[0, 0, 10, 100]),
            age_ms_max: random.pick(&[1, 5_000, 500_000]),
            fault_percent: random.pick(&[0, 5, 15, 30]),
        }
    }
}

/// Any codec, none included.
pub(crate) fn draw_codec(random: &mut Random) -> Compression {
    let codecs: Vec<Codec> = Codec::ALL.into_iter().filter(|codec| codec.is_built()).collect();
    Compression::new(random.pick(&codecs))
}
