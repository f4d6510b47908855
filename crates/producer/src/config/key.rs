//! The configs by name: how each is read from text, and what is allowed.

use core::fmt::Display;
use core::str::FromStr;

use highwater_records::Codec;

use super::{Acks, ConfigError, PartitionerKind, ProducerConfig};

/// One config by name.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// Kafka's name.
    pub name: &'static str,
    /// Kafka's default, as text; `None` where there is none.
    pub default: Option<&'static str>,
    /// What is allowed, in words.
    pub allowed: &'static str,
    set: fn(&ConfigKey, &mut ProducerConfig, &str) -> Result<(), ConfigError>,
    /// The value, where its type allows more than Kafka does.
    number: fn(&ProducerConfig) -> Option<i128>,
    least: i128,
    most: i128,
}

impl ConfigKey {
    /// Whether the config's value is in its range.
    pub(super) fn check(&self, config: &ProducerConfig) -> Result<(), ConfigError> {
        match (self.number)(config) {
            Some(number) if number < self.least || self.most < number => Err(self.invalid(number)),
            _ => Ok(()),
        }
    }

    fn invalid(&self, value: impl Display + Copy) -> ConfigError {
        ConfigError::invalid(self.name, &value, self.allowed)
    }

    fn number<T: FromStr + TryFrom<i128>>(&self, text: &str) -> Result<T, ConfigError> {
        let number = text.parse::<i128>().ok().filter(|number| (self.least..=self.most).contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| self.invalid(text))
    }

    fn boolean(&self, text: &str) -> Result<bool, ConfigError> {
        match text {
            _ if text.eq_ignore_ascii_case("true") => Ok(true),
            _ if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(self.invalid(text)),
        }
    }
}

impl ProducerConfig {
    /// Sets the config of that name from a text, with white space around it ignored as Kafka does.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unknown`], and [`ConfigError::Invalid`] for a value that is not allowed whatever the others are.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let found = PRODUCER_CONFIG_KEYS.iter().find(|known| known.name == key);
        let found = found.ok_or_else(|| ConfigError::Unknown { key: key.to_owned() })?;
        (found.set)(found, self, value.trim())
    }
}

const INT_MAX: i128 = i32::MAX as i128;
const LONG_MAX: i128 = i64::MAX as i128;

const fn other(
    name: &'static str,
    default: Option<&'static str>,
    allowed: &'static str,
    set: fn(&ConfigKey, &mut ProducerConfig, &str) -> Result<(), ConfigError>,
) -> ConfigKey {
    ConfigKey { name, default, allowed, set, number: |_| None, least: 0, most: 0 }
}

macro_rules! boolean {
    ($name:literal, $default:literal, $field:ident) => {
        other($name, Some($default), "true or false", |key, config, text| {
            config.$field = key.boolean(text)?.into();
            Ok(())
        })
    };
}

macro_rules! number {
    ($name:literal, $default:literal, $field:ident: $type:ty, $least:expr, $most:expr, $allowed:literal) => {
        ConfigKey {
            name: $name,
            default: Some($default),
            allowed: $allowed,
            set: |key, config, text| {
                config.$field = key.number::<$type>(text)?.into();
                Ok(())
            },
            number: |config| Option::<$type>::from(config.$field).map(i128::from),
            least: $least,
            most: $most,
        }
    };
    (int $name:literal, $default:literal, $field:ident) => {
        number!($name, $default, $field: u32, 0, INT_MAX, "from 0 to 2147483647")
    };
    (long $name:literal, $default:literal, $field:ident) => {
        number!($name, $default, $field: u64, 0, LONG_MAX, "from 0 to 9223372036854775807")
    };
}

/// Every config of a producer's machine, by name in alphabetical order.
pub const PRODUCER_CONFIG_KEYS: &[ConfigKey] = &[
    other("acks", Some("all"), "one of all, -1, 0, 1", |key, config, text| {
        config.acks = match text {
            "all" | "-1" => Acks::All,
            "0" => Acks::Zero,
            "1" => Acks::One,
            _ => return Err(key.invalid(text)),
        };
        Ok(())
    }),
    number!(int "batch.size", "16384", batch_bytes),
    number!(long "buffer.memory", "33554432", buffer_memory_bytes),
    other("client.rack", Some(""), "any text", |_, config, text| {
        config.client_rack = (!text.is_empty()).then(|| text.to_owned());
        Ok(())
    }),
    number!("compression.gzip.level", "-1", gzip_level: i32, -1, 9, "from 1 to 9, or -1"),
    number!("compression.lz4.level", "9", lz4_level: i32, 1, 17, "from 1 to 17"),
    other(
        "compression.type",
        Some("none"),
        "one of none, gzip, snappy, lz4, zstd that this build has",
        |key, config, text| {
            let codec = Codec::from_name(text).filter(|codec| codec.is_built());
            config.codec = codec.ok_or_else(|| key.invalid(text))?;
            Ok(())
        },
    ),
    number!("compression.zstd.level", "3", zstd_level: i32, -131_072, 22, "from -131072 to 22"),
    number!(int "delivery.timeout.ms", "120000", delivery_timeout_ms),
    boolean!("enable.idempotence", "true", enable_idempotence),
    number!(long "linger.ms", "5", linger_ms),
    number!(long "max.block.ms", "60000", max_block_ms),
    number!(
        "max.in.flight.requests.per.connection",
        "5",
        in_flight_requests_max: u32,
        1,
        INT_MAX,
        "from 1 to 2147483647"
    ),
    number!(int "max.request.size", "1048576", request_bytes_max),
    boolean!("partitioner.adaptive.partitioning.enable", "true", adaptive_partitioning),
    number!(long "partitioner.availability.timeout.ms", "0", availability_timeout_ms),
    other("partitioner.class", None, "empty, RoundRobinPartitioner or consistent_random", |key, config, text| {
        config.partitioner = match text {
            "" => PartitionerKind::Default,
            "RoundRobinPartitioner" | "org.apache.kafka.clients.producer.RoundRobinPartitioner" => {
                PartitionerKind::RoundRobin
            }
            "consistent_random" => PartitionerKind::ConsistentRandom,
            _ => return Err(key.invalid(text)),
        };
        Ok(())
    }),
    boolean!("partitioner.ignore.keys", "false", ignore_keys),
    boolean!("partitioner.rack.aware", "false", rack_aware),
    number!(int "request.timeout.ms", "30000", request_timeout_ms),
    number!(int "retries", "2147483647", retries),
    number!(long "retry.backoff.max.ms", "1000", retry_backoff_ms_max),
    number!(long "retry.backoff.ms", "100", retry_backoff_ms),
];
