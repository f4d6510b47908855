//! How a producer is made.

use std::sync::Arc;
use std::time::Duration;

use highwater_producer as machine;
use highwater_producer::{Acks, Interceptor, Interceptors, PRODUCER_CONFIG_KEYS, Partitioner, ProducerConfig};
use highwater_records::Codec;
use parking_lot::Mutex;

use super::core::{Core, State};
use super::driver::{Acknowledge, Driver};
use super::{Inner, Producer};
use crate::client::Client;
use crate::config::nearest;
use crate::io::Notify;
use crate::{ClientError, ConfigError};

/// Makes a [`Producer`]. What is not set is as in Kafka, `acks=all` and idempotence among it.
pub struct ProducerBuilder<K, V> {
    client: Client,
    config: ProducerConfig,
    partitioner: Option<Box<dyn Partitioner + Send>>,
    interceptors: Vec<Box<dyn Interceptor<K, V> + Send + Sync>>,
    error: Option<ConfigError>,
}

impl<K, V> std::fmt::Debug for ProducerBuilder<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProducerBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Client {
    /// What makes a producer.
    #[must_use]
    pub fn producer<K, V>(&self) -> ProducerBuilder<K, V> {
        let config = ProducerConfig {
            request_timeout_ms: u32::try_from(self.config().request_timeout.as_millis()).unwrap_or(u32::MAX),
            ..ProducerConfig::default()
        };
        ProducerBuilder { client: self.clone(), config, partitioner: None, interceptors: Vec::new(), error: None }
    }
}

impl<K: 'static, V: 'static> ProducerBuilder<K, V> {
    /// Whom to wait for: `acks`. Default all replicas in sync.
    #[must_use]
    pub fn acks(mut self, acks: Acks) -> Self {
        self.config.acks = acks;
        self
    }

    /// How batches are compressed: `compression.type`. Default not at all.
    #[must_use]
    pub fn compression(mut self, codec: Codec) -> Self {
        self.config.codec = codec;
        self
    }

    /// How long a batch waits for more records: `linger.ms`. Default 5 ms.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.config.linger_ms = u64::try_from(linger.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Size at which a batch is full, in bytes: `batch.size`. Default 16 KiB.
    #[must_use]
    pub fn batch_bytes(mut self, batch_bytes: u32) -> Self {
        self.config.batch_bytes = batch_bytes;
        self
    }

    /// Whether the brokers notice repeats: `enable.idempotence`. Default where `acks` and `retries` allow it.
    #[must_use]
    pub fn idempotence(mut self, enable: bool) -> Self {
        self.config.enable_idempotence = Some(enable);
        self
    }

    /// How long a record may take: `delivery.timeout.ms`. Default two minutes.
    #[must_use]
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.config.delivery_timeout_ms = Some(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
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
    pub fn configs(self, config: ProducerConfig) -> Self {
        Self { config, ..self }
    }

    /// A partitioner of the application's.
    #[must_use]
    pub fn partitioner(self, partitioner: impl Partitioner + Send + 'static) -> Self {
        Self { partitioner: Some(Box::new(partitioner)), ..self }
    }

    /// Another interceptor, behind those that there are.
    #[must_use]
    pub fn interceptor(mut self, interceptor: impl Interceptor<K, V> + Send + Sync + 'static) -> Self {
        self.interceptors.push(Box::new(interceptor));
        self
    }

    /// The producer. Connects when there is something to send.
    ///
    /// # Errors
    ///
    /// [`ClientError::Config`] if the configs do not agree, or one was set to what it cannot be.
    pub fn build(self) -> Result<Producer<K, V>, ClientError> {
        let Self { client, config, partitioner, interceptors, error } = self;
        if let Some(error) = error {
            return Err(error.into());
        }
        let config = config.check().map_err(translate)?;
        let seed = getrandom::u64().unwrap_or_default();
        let now = client.io.now();
        let machine = match partitioner {
            Some(partitioner) => machine::Producer::with_partitioner(config, partitioner, seed, now),
            None => machine::Producer::new(config, seed, now),
        };
        let interceptors = (!interceptors.is_empty()).then(|| Arc::new(Interceptors::new(interceptors)));
        let core = Arc::new(Core {
            io: client.io.clone(),
            state: Mutex::new(State::new(machine)),
            work: Arc::new(Notify::default()),
        });
        let acknowledge = interceptors.clone().map(|interceptors| {
            let acknowledge: Arc<Acknowledge> = Arc::new(move |at, result| interceptors.on_acknowledgement(at, result));
            acknowledge
        });
        let (shared, life) = (Arc::clone(&core), Arc::clone(&client.life));
        // Whatever is sent if the thread has ended is told that the producer is closed.
        let guard = EndGuard(Some(Arc::clone(&core)));
        client.io.run(move |io| {
            guard.disarm();
            let driver = Driver::new(io, shared, acknowledge, life);
            io.spawn(async move { driver.run().await });
        });
        Ok(Producer(Arc::new(Inner { core, interceptors })))
    }
}

/// Ends the producer if the thread never gets to run it.
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
        machine::ConfigError::Unknown { key } => {
            let known: Vec<&'static str> = PRODUCER_CONFIG_KEYS.iter().map(|known| known.name).collect();
            ConfigError::Unknown { nearest: nearest(&key, &known), key }
        }
        other => ConfigError::Invalid { key: "producer".to_owned(), value: other.to_string(), allowed: String::new() },
    }
}
