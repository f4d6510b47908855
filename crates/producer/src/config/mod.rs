//! How a producer behaves.

mod error;
mod key;

pub use error::ConfigError;
pub use key::{ConfigKey, PRODUCER_CONFIG_KEYS};

use highwater_records::{Codec, Compression};

/// Whom a producer waits for before a record counts as acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// `0`: nobody. Records are lost without notice, and offsets are not known.
    Zero,
    /// `1`: the leader.
    One,
    /// `all` or `-1`: every replica in sync.
    #[default]
    All,
}

impl Acks {
    /// The number on the wire.
    #[must_use]
    pub const fn to_wire(self) -> i16 {
        match self {
            Self::Zero => 0,
            Self::One => 1,
            Self::All => -1,
        }
    }
}

/// Which partitioner to use: Kafka's `partitioner.class`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartitionerKind {
    /// Kafka's own: by murmur2 of the key; without a key, one partition until a batch is full.
    #[default]
    Default,
    /// `RoundRobinPartitioner`: every record to the next partition, whatever its key.
    RoundRobin,
    /// librdkafka's `consistent_random`: by CRC-32 of the key; without a key as Kafka's own.
    ConsistentRandom,
}

/// How a producer behaves. Field for field the configs of Kafka's producer, with its defaults.
///
/// Build with `..ProducerConfig::default()`, or from texts with [`set`](Self::set).
#[derive(Clone, Debug, PartialEq)]
pub struct ProducerConfig {
    /// `acks`. Default all.
    pub acks: Acks,
    /// `batch.size`: size at which a batch is full, in bytes. Default 16384.
    pub batch_bytes: u32,
    /// `buffer.memory`: bytes of records that wait to be acknowledged. Default 32 MiB.
    pub buffer_memory_bytes: u64,
    /// `client.rack`: where this client is. Default nowhere.
    pub client_rack: Option<String>,
    /// `compression.type`. Default none.
    pub codec: Codec,
    /// `compression.gzip.level`. Default -1, zlib's own.
    pub gzip_level: i32,
    /// `compression.lz4.level`. Default 9.
    pub lz4_level: i32,
    /// `compression.zstd.level`. Default 3.
    pub zstd_level: i32,
    /// `delivery.timeout.ms`: how long a record may take. At least linger and request timeout together. Default 120
    /// seconds, or those two together if that is longer.
    pub delivery_timeout_ms: Option<u32>,
    /// `enable.idempotence`: whether the brokers notice repeats. Needs `acks=all`, retries, and at most 5 requests in
    /// flight. Default where `acks` and `retries` allow it.
    pub enable_idempotence: Option<bool>,
    /// `linger.ms`: how long a batch waits for more records. Default 5.
    pub linger_ms: u64,
    /// `max.block.ms`: how long sending may wait for metadata and memory. Default 60 seconds.
    pub max_block_ms: u64,
    /// `max.in.flight.requests.per.connection`. Default 5 with idempotence. Without it default 1, where Kafka has 5, since
    /// a retry would put records out of order.
    pub in_flight_requests_max: Option<u32>,
    /// `max.request.size`: largest record, and largest request of more than one batch, in bytes. Default 1 MiB.
    pub request_bytes_max: u32,
    /// `partitioner.class`. Default Kafka's own.
    pub partitioner: PartitionerKind,
    /// `partitioner.adaptive.partitioning.enable`: whether brokers that are faster get more. Default yes.
    pub adaptive_partitioning: bool,
    /// `partitioner.availability.timeout.ms`: how long a broker may take no requests before its partitions are left out.
    /// Default 0, for ever.
    pub availability_timeout_ms: u64,
    /// `partitioner.ignore.keys`: whether Kafka's own partitioner treats every record as one without a key. Default no.
    pub ignore_keys: bool,
    /// `partitioner.rack.aware`: whether partitions whose leader is in [`client_rack`](Self::client_rack) are preferred
    /// for records without a key. Default no.
    pub rack_aware: bool,
    /// `request.timeout.ms`: how long an answer may take. Default 30 seconds.
    pub request_timeout_ms: u32,
    /// `retries`: how often a batch is sent again. Default 2147483647: until the delivery timeout.
    pub retries: u32,
    /// `retry.backoff.ms`: how long the first retry waits; every further one twice as long. Default 100.
    pub retry_backoff_ms: u64,
    /// `retry.backoff.max.ms`: the longest such wait. Default 1000.
    pub retry_backoff_ms_max: u64,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            batch_bytes: 16_384,
            buffer_memory_bytes: 32 << 20,
            client_rack: None,
            codec: Codec::None,
            gzip_level: -1,
            lz4_level: 9,
            zstd_level: 3,
            delivery_timeout_ms: None,
            enable_idempotence: None,
            linger_ms: 5,
            max_block_ms: 60_000,
            in_flight_requests_max: None,
            request_bytes_max: 1 << 20,
            partitioner: PartitionerKind::Default,
            adaptive_partitioning: true,
            availability_timeout_ms: 0,
            ignore_keys: false,
            rack_aware: false,
            request_timeout_ms: 30_000,
            retries: i32::MAX as u32,
            retry_backoff_ms: 100,
            retry_backoff_ms_max: 1_000,
        }
    }
}

impl ProducerConfig {
    /// Most requests in flight with which the brokers can still notice a repeat.
    pub const IDEMPOTENT_IN_FLIGHT_MAX: u32 = 5;
    const DELIVERY_TIMEOUT_MS: u64 = 120_000;

    /// Whether the brokers are to notice repeats: as asked for, or else wherever acks and retries allow it.
    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        self.enable_idempotence.unwrap_or(self.acks == Acks::All && 0 < self.retries)
    }

    /// The config, once its values are within their ranges and agree.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with the first key that is not.
    pub fn check(self) -> Result<CheckedProducerConfig, ConfigError> {
        for definition in PRODUCER_CONFIG_KEYS {
            definition.check(&self)?;
        }
        self.check_idempotence()?;
        let compression = self.compression()?;
        let timeouts_ms = self.linger_ms.saturating_add(self.request_timeout_ms.into());
        let delivery_timeout_ms = match self.delivery_timeout_ms {
            Some(asked) if u64::from(asked) < timeouts_ms => {
                return Err(ConfigError::invalid(
                    "delivery.timeout.ms",
                    &asked,
                    format!("at least linger.ms + request.timeout.ms, which is {timeouts_ms}"),
                ));
            }
            Some(asked) => asked.into(),
            None => timeouts_ms.max(Self::DELIVERY_TIMEOUT_MS),
        };
        let is_idempotent = self.is_idempotent();
        let in_flight_default = if is_idempotent { Self::IDEMPOTENT_IN_FLIGHT_MAX } else { 1 };
        let in_flight_max = self.in_flight_requests_max.unwrap_or(in_flight_default);
        Ok(CheckedProducerConfig { config: self, compression, delivery_timeout_ms, is_idempotent, in_flight_max })
    }

    fn check_idempotence(&self) -> Result<(), ConfigError> {
        // Kafka judges the requests in flight even where acks or retries turn idempotence off by themselves.
        if self.enable_idempotence == Some(false) {
            return Ok(());
        }
        if let Some(in_flight) = self.in_flight_requests_max.filter(|max| Self::IDEMPOTENT_IN_FLIGHT_MAX < *max) {
            let allowed = "at most 5 for an idempotent producer";
            return Err(ConfigError::invalid("max.in.flight.requests.per.connection", &in_flight, allowed));
        }
        if self.enable_idempotence == Some(true) {
            if self.retries == 0 {
                return Err(ConfigError::invalid("retries", &0, "not zero for an idempotent producer"));
            }
            if self.acks != Acks::All {
                return Err(ConfigError::invalid("acks", &self.acks.to_wire(), "all for an idempotent producer"));
            }
        }
        Ok(())
    }

    fn compression(&self) -> Result<Compression, ConfigError> {
        let (key, level) = match self.codec {
            Codec::None | Codec::Snappy => return Ok(Compression::new(self.codec)),
            Codec::Gzip => ("compression.gzip.level", self.gzip_level),
            Codec::Lz4 => ("compression.lz4.level", self.lz4_level),
            Codec::Zstd => ("compression.zstd.level", self.zstd_level),
        };
        Compression::with_level(self.codec, level)
            .map_err(|_| ConfigError::invalid(key, &level, "a level of the codec"))
    }
}

/// [`ProducerConfig`] that is in order: the only form that a producer takes.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedProducerConfig {
    config: ProducerConfig,
    compression: Compression,
    delivery_timeout_ms: u64,
    is_idempotent: bool,
    in_flight_max: u32,
}

impl CheckedProducerConfig {
    /// How batches are compressed.
    #[must_use]
    pub const fn compression(&self) -> Compression {
        self.compression
    }

    /// How long a record may take.
    #[must_use]
    pub const fn delivery_timeout_ms(&self) -> u64 {
        self.delivery_timeout_ms
    }

    /// Whether the brokers notice repeats.
    #[must_use]
    pub const fn is_idempotent(&self) -> bool {
        self.is_idempotent
    }

    /// Most requests in flight to one broker.
    #[must_use]
    pub const fn in_flight_max(&self) -> u32 {
        self.in_flight_max
    }
}

impl core::ops::Deref for CheckedProducerConfig {
    type Target = ProducerConfig;

    fn deref(&self) -> &ProducerConfig {
        &self.config
    }
}
