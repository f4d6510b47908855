//! How a consumer is made.

use std::sync::Arc;
use std::time::Duration;

use highwater_consumer as machine;
use highwater_consumer::{
    CONSUMER_CONFIG_KEYS, ConsumerConfig, GroupProtocol, Interceptor, Interceptors, IsolationLevel, OffsetReset,
};
use highwater_types::{TopicName, TopicPartition};
use parking_lot::{Condvar, Mutex};

use super::Consumer;
use super::core::{Core, State};
use super::driver::Driver;
use crate::client::Client;
use crate::config::nearest;
use crate::io::Notify;
use crate::{ClientError, ConfigError};

/// Makes a [`Consumer`]. What is not set is as in Kafka.
pub struct ConsumerBuilder {
    client: Client,
    config: ConsumerConfig,
    start: Option<Start>,
    interceptors: Vec<Box<dyn Interceptor + Send + Sync>>,
    error: Option<ConfigError>,
}

#[derive(Debug)]
enum Start {
    Topics(Vec<TopicName>),
    Pattern(String),
    Partitions(Vec<TopicPartition>),
}

impl std::fmt::Debug for ConsumerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsumerBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Client {
    /// What makes a consumer that is a member of `group`.
    #[must_use]
    pub fn consumer(&self, group: &str) -> ConsumerBuilder {
        let mut builder = self.reader();
        builder.config.group_id = Some(group.to_owned());
        builder
    }

    /// What makes a consumer without a group: it reads the partitions that it is told to.
    #[must_use]
    pub fn reader(&self) -> ConsumerBuilder {
        let timeout = self.config().default_api_timeout.as_millis();
        let config = ConsumerConfig {
            default_api_timeout_ms: u32::try_from(timeout).unwrap_or(u32::MAX),
            ..ConsumerConfig::default()
        };
        ConsumerBuilder { client: self.clone(), config, start: None, interceptors: Vec::new(), error: None }
    }
}

impl ConsumerBuilder {
    /// Reads these topics as a member of the group.
    #[must_use]
    pub fn topics(self, topics: impl IntoIterator<Item = TopicName>) -> Self {
        Self { start: Some(Start::Topics(topics.into_iter().collect())), ..self }
    }

    /// Reads the topics whose whole name matches, as a member of the group.
    #[must_use]
    pub fn pattern(self, pattern: &str) -> Self {
        Self { start: Some(Start::Pattern(pattern.to_owned())), ..self }
    }

    /// Reads these partitions, without any group deciding so.
    #[must_use]
    pub fn partitions(self, partitions: impl IntoIterator<Item = TopicPartition>) -> Self {
        Self { start: Some(Start::Partitions(partitions.into_iter().collect())), ..self }
    }

    /// How members of the group agree: `group.protocol`. Default classic.
    #[must_use]
    pub fn protocol(mut self, protocol: GroupProtocol) -> Self {
        self.config.group_protocol = protocol;
        self
    }

    /// Where to begin if nothing is committed: `auto.offset.reset`. Default latest.
    #[must_use]
    pub fn start_at(mut self, reset: OffsetReset) -> Self {
        self.config.auto_offset_reset = reset;
        self
    }

    /// Which records are seen: `isolation.level`. Default read uncommitted.
    #[must_use]
    pub fn isolation(mut self, isolation: IsolationLevel) -> Self {
        self.config.isolation_level = isolation;
        self
    }

    /// Whether what was read is committed by itself: `enable.auto.commit`. Default yes, with a group.
    #[must_use]
    pub fn auto_commit(mut self, enable: bool) -> Self {
        self.config.enable_auto_commit = Some(enable);
        self
    }

    /// How long the application may work on an event: `max.poll.interval.ms`. Default 5 minutes.
    #[must_use]
    pub fn poll_interval_max(mut self, interval: Duration) -> Self {
        self.config.poll_interval_ms_max = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
        self
    }

    /// Any config by Kafka's name. A wrong one is an error of [`build`](Self::build).
    #[must_use]
    pub fn config(mut self, key: &str, value: &str) -> Self {
        if let Err(error) = self.config.set(key, value) {
            self.error.get_or_insert(translate(error));
        }
        self
    }

    /// All configs at once.
    #[must_use]
    pub fn configs(self, config: ConsumerConfig) -> Self {
        Self { config, ..self }
    }

    /// Another interceptor, behind those that there are.
    #[must_use]
    pub fn interceptor(mut self, interceptor: impl Interceptor + Send + Sync + 'static) -> Self {
        self.interceptors.push(Box::new(interceptor));
        self
    }

    /// The consumer, which begins at once.
    ///
    /// # Errors
    ///
    /// [`ClientError::Config`] if the configs do not agree, or one was set to what it cannot be; [`ClientError::Usage`] if
    /// it cannot subscribe.
    pub fn build(self) -> Result<Consumer, ClientError> {
        let Self { client, config, start, interceptors, error } = self;
        if let Some(error) = error {
            return Err(error.into());
        }
        let config = config.check().map_err(translate)?;
        let now = client.io.now();
        let mut machine = machine::Consumer::new(config, getrandom::u64().unwrap_or_default(), now);
        match start {
            None => {}
            Some(Start::Topics(topics)) => machine.subscribe(now, topics.into_iter().collect())?,
            Some(Start::Pattern(pattern)) => machine.subscribe_pattern(now, &pattern)?,
            Some(Start::Partitions(partitions)) => machine.assign(now, partitions.into_iter().collect())?,
        }
        let state = State { machine: Some(machine), is_ready: false, waker: None, closing: Vec::new(), due: None };
        let core = Arc::new(Core {
            io: client.io.clone(),
            state: Mutex::new(state),
            event: Condvar::new(),
            work: Arc::new(Notify::default()),
            interceptors: Interceptors::new(interceptors),
        });
        let (shared, life) = (Arc::clone(&core), Arc::clone(&client.life));
        let guard = EndGuard(Some(Arc::clone(&core)));
        client.io.run(move |io| {
            guard.disarm();
            let driver = Driver::new(io, shared, life);
            io.spawn(async move { driver.run().await });
        });
        Ok(Consumer(core))
    }
}

/// Ends the consumer if the thread never gets to run it.
struct EndGuard(Option<Arc<Core>>);

impl EndGuard {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        if let Some(core) = self.0.take() {
            core.end();
        }
    }
}

fn translate(error: machine::ConfigError) -> ConfigError {
    match error {
        machine::ConfigError::Invalid { key, value, allowed } => {
            ConfigError::Invalid { key: key.to_owned(), value, allowed }
        }
        machine::ConfigError::Unknown { key, .. } => {
            let known: Vec<&'static str> = CONSUMER_CONFIG_KEYS.iter().map(|known| known.name).collect();
            ConfigError::Unknown { nearest: nearest(&key, &known), key }
        }
        other => ConfigError::Invalid { key: "consumer".to_owned(), value: other.to_string(), allowed: String::new() },
    }
}
