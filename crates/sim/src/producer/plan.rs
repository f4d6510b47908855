//! What kind of history a seed makes.

use highwater_producer::{Acks, CheckedProducerConfig, ProducerConfig};
use highwater_records::Codec;

use crate::Random;

/// The kinds and rates of one history, drawn from its seed.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) config: CheckedProducerConfig,
    pub(super) brokers: u64,
    /// Partitions of each topic.
    pub(super) topics: Vec<u64>,
    /// Before the world heals.
    pub(super) chaos_ms: u64,
    pub(super) delay_ms_max: u64,
    /// How long a broker takes at most.
    pub(super) work_ms_max: u64,
    /// Mean time between faults.
    pub(super) fault_every_ms: u64,
    /// Mean time between bursts of records.
    pub(super) burst_every_ms: u64,
    pub(super) burst_max: u64,
    pub(super) value_bytes_max: u64,
    /// Largest batch that a broker takes.
    pub(super) batch_bytes_max: u64,
    /// Batches in a hundred that fail though nothing is wrong with them.
    pub(super) error_percent: u64,
    /// Records in a thousand that brokers refuse.
    pub(super) bad_permille: u64,
    /// Metadata requests in a hundred that fail.
    pub(super) metadata_loss_percent: u64,
}

impl Plan {
    pub(super) fn draw(random: &mut Random) -> Self {
        let is_idempotent = random.chance(70);
        let acks = if is_idempotent { Acks::All } else { random.pick(&[Acks::All, Acks::One, Acks::One, Acks::Zero]) };
        let linger_ms = random.pick(&[0, 0, 5, 50]);
        let request_timeout_ms = random.pick(&[500u32, 2_000, 5_000]);
        let shortest_ms = request_timeout_ms + linger_ms;
        let delivery_timeout_ms = random.pick(&[shortest_ms, 3 * shortest_ms, 20_000.max(shortest_ms)]);
        let batch_bytes = random.pick(&[0, 100, 400, 2_000, 16_384]);
        let in_flight_requests_max = match random.below(3) {
            0 => None,
            _ if is_idempotent => Some(random.pick(&[1, 2, 3, 5])),
            _ => Some(random.pick(&[1, 1, 2, 5])),
        };
        let config = ProducerConfig {
            acks,
            batch_bytes,
            buffer_memory_bytes: random.pick(&[2_000, 20_000, 200_000]),
            codec: random.pick(&[Codec::None, Codec::None, Codec::Lz4, Codec::Gzip, Codec::Zstd]),
            delivery_timeout_ms: Some(delivery_timeout_ms),
            enable_idempotence: Some(is_idempotent),
            linger_ms: linger_ms.into(),
            in_flight_requests_max,
            request_bytes_max: random.pick(&[1_000, 4_000, 1 << 20]),
            adaptive_partitioning: random.chance(70),
            availability_timeout_ms: random.pick(&[0, 0, 100]),
            request_timeout_ms,
            retries: random.pick(&[i32::MAX as u32, i32::MAX as u32, i32::MAX as u32, 2]),
            retry_backoff_ms: random.pick(&[1, 20, 100]),
            retry_backoff_ms_max: 500,
            ..ProducerConfig::default()
        };
        Self {
            config: config.check().expect("every choice is a valid one"),
            brokers: random.between(1, 4),
            topics: (0..random.between(1, 2)).map(|_| random.between(1, 5)).collect(),
            chaos_ms: random.between(5_000, 30_000),
            delay_ms_max: random.pick(&[1, 10, 100]),
            work_ms_max: random.pick(&[0, 5, 50]),
            fault_every_ms: random.pick(&[200, 1_000, 5_000]),
            burst_every_ms: random.pick(&[5, 50, 300]),
            burst_max: random.pick(&[1, 5, 30]),
            value_bytes_max: random.pick(&[10, 100, 700]),
            batch_bytes_max: random.pick(&[600, 2_000, 100_000]),
            error_percent: random.pick(&[0, 2, 10, 30]),
            bad_permille: random.pick(&[0, 0, 5, 50]),
            metadata_loss_percent: random.pick(&[0, 10, 50]),
        }
    }
}
