//! What kind of history a seed makes.

use crate::Random;
use crate::links::LinkRates;

/// The kinds and rates of one history, drawn from its seed.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Nodes that decide on the metadata.
    pub(super) controllers: usize,
    pub(super) brokers: usize,
    /// Whether the first brokers are the controllers too.
    pub(super) is_combined: bool,
    pub(super) partitions: i32,
    pub(super) replication_factor: i16,
    pub(super) min_insync_replicas: u32,
    /// Whether the topic lets replicas lead that are not in sync.
    pub(super) may_be_unclean: bool,
    /// Whether replicas that leave the in-sync set too early stay eligible (KIP-966).
    pub(super) has_elr: bool,
    /// Before the world heals.
    pub(super) chaos_ms: u64,
    pub(super) links: LinkRates,
    /// How long storing and syncing take.
    pub(super) disk_ms_max: u64,
    /// Mean times between events of a kind.
    pub(super) fault_every_ms: u64,
    pub(super) produce_every_ms: u64,
    pub(super) admin_every_ms: u64,
    pub(super) snapshot_every_ms: u64,
    /// Mean time between syncs of a broker's logs.
    pub(super) flush_every_ms: u64,
    /// Syncs of a broker's logs in a hundred that fail, after which the broker ends.
    pub(super) sync_failure_percent: u64,
    /// Such syncs in a hundred after which leaders delete records at the front of their logs.
    pub(super) delete_percent: u64,
    /// Most batches in an answer.
    pub(super) batches_max: u64,
    /// Answers in a hundred whose records are read from the file only when they are sent.
    pub(super) late_read_percent: u64,
    /// Leader changes, kills and so on that are about a broker's process rather than the network, in a hundred faults.
    pub(super) kill_percent: u64,
    /// Whether the replicas' logs are real ones, with files, beside those in memory.
    pub(super) has_files: bool,
    pub(super) timing: Timing,
}

/// How patient brokers and controllers are: Kafka's defaults, in shorter times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) session_timeout_ms: u64,
    pub(super) heartbeat_ms: u64,
    /// `replica.lag.time.max.ms`.
    pub(super) lag_ms_max: u64,
    /// `replica.fetch.wait.max.ms`.
    pub(super) fetch_wait_ms: u64,
    /// How long requests wait for their answers.
    pub(super) request_timeout_ms: u64,
    /// Pause after a fetch or a registration has failed.
    pub(super) backoff_ms: u64,
}

impl Plan {
    pub(super) fn draw(random: &mut Random) -> Self {
        let (loss_percent, repeat_percent) = random.pick(&[(0, 0), (0, 0), (1, 2), (3, 5), (10, 2)]);
        let delay_ms_max = random.pick(&[1, 5, 5, 30, 200]);
        let is_combined = random.chance(30);
        let brokers = random.pick(&[3, 3, 4, 5]);
        let replication_factor = random.pick(&[2, 3, 3, 3]);
        let lag_ms_max = random.pick(&[500, 1_000, 3_000]);
        let session_timeout_ms = random.pick(&[1_000, 2_000, 4_000]);
        Self {
            controllers: 3,
            brokers,
            is_combined,
            partitions: random.pick(&[1, 1, 2, 3]),
            replication_factor,
            min_insync_replicas: random.pick(&[1, 2, 2, 2]),
            may_be_unclean: random.chance(10),
            has_elr: random.chance(40),
            chaos_ms: random.between(4_000, 15_000),
            links: LinkRates { loss_percent, repeat_percent, delay_ms_max },
            disk_ms_max: random.pick(&[0, 2, 20, 200]),
            fault_every_ms: random.pick(&[200, 500, 1_500, 4_000]),
            produce_every_ms: random.pick(&[10, 40, 200]),
            admin_every_ms: random.pick(&[500, 2_000, 5_000]),
            snapshot_every_ms: random.pick(&[1_000, 4_000, 100_000]),
            flush_every_ms: random.pick(&[100, 2_000, 100_000]),
            sync_failure_percent: random.pick(&[0, 0, 3]),
            delete_percent: random.pick(&[0, 0, 20]),
            batches_max: random.pick(&[1, 3, 100]),
            late_read_percent: random.pick(&[0, 20]),
            kill_percent: random.pick(&[20, 50, 80]),
            // From elsewhere, so that a history with files is the same as without.
            has_files: Random::new(!random.clone().bits()).chance(10),
            timing: Timing {
                session_timeout_ms,
                heartbeat_ms: session_timeout_ms / 4,
                lag_ms_max,
                fetch_wait_ms: random.pick(&[50, 200, 500]),
                request_timeout_ms: 1_000,
                backoff_ms: random.pick(&[20, 100]),
            },
        }
    }

    /// Nodes in all.
    pub(super) fn nodes(&self) -> usize {
        if self.is_combined { self.brokers } else { self.controllers + self.brokers }
    }

    pub(super) fn is_broker(&self, node: usize) -> bool {
        self.is_combined || self.controllers <= node
    }
}
