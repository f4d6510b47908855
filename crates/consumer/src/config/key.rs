//! The configs by name: how each is read from text, and what is allowed.

use core::fmt::Display;
use core::str::FromStr;

use super::{AssignmentStrategy, ConfigError, ConsumerConfig, GroupProtocol, IsolationLevel, OffsetReset};

/// One config by name.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// Kafka's name; librdkafka's where Kafka has no such config.
    pub name: &'static str,
    /// Its default, as text; `None` where there is none.
    pub default: Option<&'static str>,
    /// What is allowed, in words.
    pub allowed: &'static str,
    set: fn(&ConfigKey, &mut ConsumerConfig, &str) -> Result<(), ConfigError>,
    /// The value, where its type allows more than Kafka does.
    number: fn(&ConsumerConfig) -> Option<i128>,
    least: i128,
    most: i128,
}

impl ConfigKey {
    /// Whether the config's value is in its range.
    pub(super) fn check(&self, config: &ConsumerConfig) -> Result<(), ConfigError> {
        match (self.number)(config) {
            Some(number) if number < self.least || self.most < number => Err(self.invalid(number)),
            _ => Ok(()),
        }
    }

    fn invalid(&self, value: impl Display) -> ConfigError {
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

impl ConsumerConfig {
    /// Sets the config of that name from a text, with white space around it ignored as Kafka does.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unknown`], and [`ConfigError::Invalid`] for a value that is not allowed whatever the others are.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let found = CONSUMER_CONFIG_KEYS.iter().find(|known| known.name == key);
        let found = found.ok_or_else(|| ConfigError::Unknown { key: key.to_owned(), nearest: nearest(key) })?;
        (found.set)(found, self, value.trim())
    }
}

/// The name that takes the fewest edits to become `key`. A key of any length costs little.
fn nearest(key: &str) -> &'static str {
    let key: Vec<u8> = key.bytes().take(KEY_BYTES_COMPARED).collect();
    let names = CONSUMER_CONFIG_KEYS.iter().map(|known| known.name);
    names.min_by_key(|name| edits(name.as_bytes(), &key)).unwrap_or_default()
}

/// Insertions, removals and changes of single bytes between two texts.
fn edits(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, have) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, want) in to.iter().enumerate() {
            let changed = diagonal + usize::from(have != want);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

/// Bytes of an unknown name that are looked at to find what it may have meant.
const KEY_BYTES_COMPARED: usize = 64;
const INT_MAX: i128 = i32::MAX as i128;
const LONG_MAX: i128 = i64::MAX as i128;

const fn other(
    name: &'static str,
    default: Option<&'static str>,
    allowed: &'static str,
    set: fn(&ConfigKey, &mut ConsumerConfig, &str) -> Result<(), ConfigError>,
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

macro_rules! text {
    ($name:literal, $default:expr, $field:ident) => {
        other($name, $default, "any text", |_, config, text| {
            config.$field = (!text.is_empty()).then(|| text.to_owned());
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
                config.$field = key.number::<$type>(text)?;
                Ok(())
            },
            number: |config| Some(i128::from(config.$field)),
            least: $least,
            most: $most,
        }
    };
    (int $name:literal, $default:literal, $field:ident) => {
        number!($name, $default, $field: u32, 0, INT_MAX, "from 0 to 2147483647")
    };
    (positive $name:literal, $default:literal, $field:ident) => {
        number!($name, $default, $field: u32, 1, INT_MAX, "from 1 to 2147483647")
    };
    (long $name:literal, $default:literal, $field:ident) => {
        number!($name, $default, $field: u64, 0, LONG_MAX, "from 0 to 9223372036854775807")
    };
}

/// Every config of a consumer's machine, by name in alphabetical order.
pub const CONSUMER_CONFIG_KEYS: &[ConfigKey] = &[
    number!(int "auto.commit.interval.ms", "5000", auto_commit_interval_ms),
    other(
        "auto.offset.reset",
        Some("latest"),
        "one of latest, earliest, none, by_duration:PnDTnHnMn.nS",
        |key, config, text| {
            config.auto_offset_reset = match text {
                "latest" => OffsetReset::Latest,
                "earliest" => OffsetReset::Earliest,
                "none" => OffsetReset::None,
                _ => {
                    let duration = text.strip_prefix("by_duration:").and_then(super::duration::parse_duration_ms);
                    OffsetReset::ByDuration { ms: duration.ok_or_else(|| key.invalid(text))? }
                }
            };
            Ok(())
        },
    ),
    boolean!("check.crcs", "true", check_crcs),
    text!("client.rack", Some(""), client_rack),
    number!(int "default.api.timeout.ms", "60000", default_api_timeout_ms),
    boolean!("enable.auto.commit", "true", enable_auto_commit),
    boolean!("enable.partition.eof", "false", enable_partition_eof),
    boolean!("exclude.internal.topics", "true", exclude_internal_topics),
    number!(int "fetch.max.bytes", "52428800", fetch_bytes_max),
    number!(int "fetch.max.wait.ms", "500", fetch_wait_ms_max),
    number!(int "fetch.min.bytes", "1", fetch_bytes_min),
    text!("group.id", None, group_id),
    text!("group.instance.id", None, group_instance_id),
    other("group.protocol", Some("classic"), "one of classic, consumer, auto", |key, config, text| {
        config.group_protocol = match text {
            _ if text.eq_ignore_ascii_case("classic") => GroupProtocol::Classic,
            _ if text.eq_ignore_ascii_case("consumer") => GroupProtocol::Consumer,
            _ if text.eq_ignore_ascii_case("auto") => GroupProtocol::Auto,
            _ => return Err(key.invalid(text)),
        };
        Ok(())
    }),
    text!("group.remote.assignor", None, group_remote_assignor),
    number!(positive "heartbeat.interval.ms", "3000", heartbeat_interval_ms),
    other(
        "isolation.level",
        Some("read_uncommitted"),
        "one of read_committed, read_uncommitted",
        |key, config, text| {
            config.isolation_level = match text {
                "read_committed" => IsolationLevel::ReadCommitted,
                "read_uncommitted" => IsolationLevel::ReadUncommitted,
                _ => return Err(key.invalid(text)),
            };
            Ok(())
        },
    ),
    number!(int "max.partition.fetch.bytes", "1048576", partition_fetch_bytes_max),
    number!(positive "max.poll.interval.ms", "300000", poll_interval_ms_max),
    number!(positive "max.poll.records", "500", poll_records_max),
    number!(long "metadata.max.age.ms", "300000", metadata_age_ms_max),
    other(
        "partition.assignment.strategy",
        Some("range,cooperative-sticky"),
        "a list of range, roundrobin, sticky, cooperative-sticky",
        |key, config, text| {
            let strategies = text.split(',').map(|name| AssignmentStrategy::from_name(name.trim()));
            let strategies: Option<Vec<_>> = strategies.collect();
            config.assignment_strategies = strategies.ok_or_else(|| key.invalid(text))?;
            Ok(())
        },
    ),
    number!(int "queued.max.messages.kbytes", "65536", queued_kbytes_max),
    number!(long "retry.backoff.max.ms", "1000", retry_backoff_ms_max),
    number!(long "retry.backoff.ms", "100", retry_backoff_ms),
    number!(positive "session.timeout.ms", "45000", session_timeout_ms),
];
