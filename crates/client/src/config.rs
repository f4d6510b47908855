//! How a client reaches its cluster.

use std::time::Duration;

/// How a client reaches its cluster. Field for field configs of Kafka's clients, with their defaults.
///
/// Build with `..ClientConfig::default()`, or from texts with [`set`](Self::set).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// `bootstrap.servers`: `host:port` of some brokers, of which one has to be up. Default `localhost:9092`.
    pub bootstrap_servers: Vec<String>,
    /// `client.id`: the name that the client gives itself, for logs and quotas. Default `highwater`.
    pub client_id: String,
    /// `request.timeout.ms`: how long a broker may take to answer. Default 30 seconds.
    pub request_timeout: Duration,
    /// `default.api.timeout.ms`: how long a call may take with all its attempts. Default 60 seconds.
    pub default_api_timeout: Duration,
    /// `metadata.max.age.ms`: after which time topics and brokers are looked up anew. Default 5 minutes.
    pub metadata_age_max: Duration,
    /// `retry.backoff.ms`: how long the first new attempt waits. Every further one waits twice as long. Default 100 ms.
    pub retry_backoff: Duration,
    /// `retry.backoff.max.ms`: the longest such wait. Default one second.
    pub retry_backoff_max: Duration,
    /// `reconnect.backoff.ms`: how long a broker is left alone that could not be reached. Every further time twice as
    /// long. Default 50 ms.
    pub reconnect_backoff: Duration,
    /// `reconnect.backoff.max.ms`: the longest such wait. Default one second.
    pub reconnect_backoff_max: Duration,
    /// `socket.connection.setup.timeout.ms`: how long connecting may take. Default 10 seconds.
    pub connection_setup_timeout: Duration,
    /// `connections.max.idle.ms`: after which time an unused connection is closed. Default 9 minutes.
    pub connection_idle_max: Duration,
    /// Largest answer that is accepted, in bytes. Kafka has no such config; its clients accept any. Default 256 MiB.
    pub answer_bytes_max: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            bootstrap_servers: vec!["localhost:9092".to_owned()],
            client_id: "highwater".to_owned(),
            request_timeout: Duration::from_secs(30),
            default_api_timeout: Duration::from_secs(60),
            metadata_age_max: Duration::from_secs(300),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_secs(1),
            connection_setup_timeout: Duration::from_secs(10),
            connection_idle_max: Duration::from_secs(540),
            answer_bytes_max: 256 << 20,
        }
    }
}

/// A config that no client takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The value is not allowed.
    #[error("invalid value {value} for configuration {key}: allowed is {allowed}")]
    Invalid {
        /// Kafka's name.
        key: String,
        /// The value.
        value: String,
        /// What it could be.
        allowed: String,
    },
    /// There is no such config.
    #[error("unknown configuration {key}{}", nearest.map(|nearest| format!(", did you mean {nearest}?")).unwrap_or_default())]
    Unknown {
        /// The name.
        key: String,
        /// The name among those known that is most like it.
        nearest: Option<&'static str>,
    },
}

impl ClientConfig {
    /// Sets the config of that name from a text.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a name that is not known, and for a value that is not allowed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let value = value.trim();
        let invalid = |allowed: &str| ConfigError::Invalid {
            key: key.to_owned(),
            value: value.to_owned(),
            allowed: allowed.to_owned(),
        };
        let time = match key {
            "bootstrap.servers" => {
                self.bootstrap_servers =
                    servers(value).map_err(|()| invalid("host:port, several of them with commas"))?;
                return Ok(());
            }
            "client.id" => {
                value.clone_into(&mut self.client_id);
                return Ok(());
            }
            "security.protocol" => {
                let is_plain = value.eq_ignore_ascii_case("PLAINTEXT");
                return if is_plain { Ok(()) } else { Err(invalid("PLAINTEXT, until this client encrypts")) };
            }
            "request.timeout.ms" => &mut self.request_timeout,
            "default.api.timeout.ms" => &mut self.default_api_timeout,
            "metadata.max.age.ms" => &mut self.metadata_age_max,
            "retry.backoff.ms" => &mut self.retry_backoff,
            "retry.backoff.max.ms" => &mut self.retry_backoff_max,
            "reconnect.backoff.ms" => &mut self.reconnect_backoff,
            "reconnect.backoff.max.ms" => &mut self.reconnect_backoff_max,
            "socket.connection.setup.timeout.ms" => &mut self.connection_setup_timeout,
            "connections.max.idle.ms" => &mut self.connection_idle_max,
            _ => return Err(ConfigError::Unknown { key: key.to_owned(), nearest: nearest(key, CLIENT_CONFIG_KEYS) }),
        };
        let ms: u32 = value.parse().map_err(|_| invalid("milliseconds, from 0 to 4294967295"))?;
        *time = Duration::from_millis(u64::from(ms));
        Ok(())
    }

    /// The config, if it can work.
    pub(crate) fn check(self) -> Result<Self, ConfigError> {
        let joined = self.bootstrap_servers.join(",");
        if servers(&joined).is_err() {
            let allowed = "host:port, several of them with commas".to_owned();
            return Err(ConfigError::Invalid { key: "bootstrap.servers".to_owned(), value: joined, allowed });
        }
        Ok(self)
    }
}

/// Every config that [`ClientConfig::set`] knows, in alphabetical order.
pub const CLIENT_CONFIG_KEYS: &[&str] = &[
    "bootstrap.servers",
    "client.id",
    "connections.max.idle.ms",
    "default.api.timeout.ms",
    "metadata.max.age.ms",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "security.protocol",
    "socket.connection.setup.timeout.ms",
];

fn servers(text: &str) -> Result<Vec<String>, ()> {
    let servers: Vec<String> =
        text.split(',').map(str::trim).filter(|server| !server.is_empty()).map(str::to_owned).collect();
    let is_valid = !servers.is_empty() && servers.iter().all(|server| split_address(server).is_some());
    if is_valid { Ok(servers) } else { Err(()) }
}

/// Host and port of `host:port` or `[v6]:port`.
pub(crate) fn split_address(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty() && port != 0).then_some((host, port))
}

/// The one of `known` that is most like `key`, if any is.
pub(crate) fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let closest = known.iter().map(|name| (distance(key, name), *name)).min()?;
    (closest.0 <= key.len().max(3) / 3).then_some(closest.1)
}

/// Letters to insert, remove or change to make one text of the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().take(KEY_CHARS_MAX).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().take(KEY_CHARS_MAX).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

/// As much of a key as is compared with those known.
const KEY_CHARS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_known_and_in_order() {
        assert!(CLIENT_CONFIG_KEYS.is_sorted());
        for key in CLIENT_CONFIG_KEYS {
            let value = match *key {
                "bootstrap.servers" => "a:1,[::1]:2",
                "security.protocol" => "plaintext",
                _ => "1234",
            };
            let mut config = ClientConfig::default();
            config.set(key, value).unwrap();
            assert!(*key == "security.protocol" || config != ClientConfig::default(), "{key} changes something");
        }
    }

    #[test]
    fn errors_name_key_value_and_what_is_allowed() {
        let mut config = ClientConfig::default();
        let error = config.set("request.timeout.ms", "soon").unwrap_err().to_string();
        assert_eq!(
            error,
            "invalid value soon for configuration request.timeout.ms: allowed is milliseconds, from 0 to 4294967295"
        );
        let error = config.set("request.timout.ms", "1").unwrap_err().to_string();
        assert_eq!(error, "unknown configuration request.timout.ms, did you mean request.timeout.ms?");
        let error = config.set("colour", "red").unwrap_err().to_string();
        assert_eq!(error, "unknown configuration colour");
        for servers in ["", "nowhere", "host:", ":9092", "host:99999", "host:0", "a:1,b"] {
            config.set("bootstrap.servers", servers).unwrap_err();
        }
        let config = ClientConfig { bootstrap_servers: Vec::new(), ..ClientConfig::default() };
        config.check().unwrap_err();
    }

    #[test]
    fn defaults_are_kafkas() {
        let config = ClientConfig::default();
        assert_eq!(config.request_timeout, Duration::from_millis(30_000));
        assert_eq!(config.default_api_timeout, Duration::from_millis(60_000));
        assert_eq!(config.metadata_age_max, Duration::from_millis(300_000));
        assert_eq!((config.retry_backoff.as_millis(), config.retry_backoff_max.as_millis()), (100, 1000));
        assert_eq!((config.reconnect_backoff.as_millis(), config.reconnect_backoff_max.as_millis()), (50, 1000));
        assert_eq!(config.connection_setup_timeout, Duration::from_millis(10_000));
        assert_eq!(config.connection_idle_max, Duration::from_millis(540_000));
    }
}
