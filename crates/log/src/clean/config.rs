//! What a cleaner may use.

use highwater_records::DecompressLimit;

use crate::config::ConfigError;

/// Settings of a [`Cleaner`](super::Cleaner): Kafka's `log.cleaner.*` that concern one thread of cleaning.
///
/// Build with `..CleanerConfig::default()`, which has Kafka's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanerConfig {
    /// `log.cleaner.dedupe.buffer.size`: memory for the last offset of each key, in bytes, 24 for a key. What a log
    /// has more keys than fit is cleaned in several passes. At least 48. Default 128 MiB, allocated as needed.
    pub dedupe_bytes_max: usize,
    /// `log.cleaner.io.buffer.load.factor`, in percent: how full that memory may get. Fuller means slower. Default 90.
    pub load_percent_max: u8,
    /// `log.cleaner.io.buffer.size`: bytes that are written at once. A batch that is larger is written alone. Default
    /// 512 KiB.
    pub io_bytes_max: usize,
    /// Bytes that one batch may decompress to. A log with a larger one is not cleaned. Default 128 MiB.
    pub decompress_limit: DecompressLimit,
}

/// Bytes of memory for one key.
pub(super) const SLOT_BYTES: usize = 24;

impl Default for CleanerConfig {
    fn default() -> Self {
        Self {
            dedupe_bytes_max: 128 << 20,
            load_percent_max: 90,
            io_bytes_max: 512 << 10,
            decompress_limit: DecompressLimit::default(),
        }
    }
}

impl CleanerConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let in_range = |field, value: usize, min: u64, max: u64| {
            let value = value as u64;
            if (min..=max).contains(&value) { Ok(()) } else { Err(ConfigError { field, value, min, max }) }
        };
        // The slot of a key is found by 31 bits of its hash.
        let bytes_max = i32::MAX as u64 * SLOT_BYTES as u64;
        in_range("dedupe_bytes_max", self.dedupe_bytes_max, 2 * SLOT_BYTES as u64, bytes_max)?;
        in_range("load_percent_max", self.load_percent_max.into(), 1, 99)?;
        in_range("io_bytes_max", self.io_bytes_max, 1, i32::MAX as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_kafkas_and_pass_the_check() {
        let config = CleanerConfig::default();
        config.check().unwrap();
        assert_eq!(config.dedupe_bytes_max, 134_217_728);
        assert_eq!((config.load_percent_max, config.io_bytes_max), (90, 524_288));
        assert_eq!(config.decompress_limit.bytes(), 134_217_728);
    }

    #[test]
    fn values_out_of_range_are_named() {
        let checked = |config: CleanerConfig| config.check().map_err(|error| error.field);
        let config = CleanerConfig::default();
        assert_eq!(checked(CleanerConfig { dedupe_bytes_max: 47, ..config }), Err("dedupe_bytes_max"));
        assert_eq!(checked(CleanerConfig { load_percent_max: 100, ..config }), Err("load_percent_max"));
        assert_eq!(checked(CleanerConfig { io_bytes_max: 0, ..config }), Err("io_bytes_max"));
    }
}
