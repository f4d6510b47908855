//! What kind of history a seed makes.

use crate::Random;

/// The kinds and rates of one history, drawn from its seed.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Steps before the world heals.
    pub(super) chaos_ms: u64,
    pub(super) loss_percent: u64,
    pub(super) repeat_percent: u64,
    pub(super) delay_ms_max: u64,
    /// How long the high watermark may lag.
    pub(super) commit_ms_max: u64,
    pub(super) append_failure_percent: u64,
    /// Mean time between crashes of the coordinator.
    pub(super) crash_every_ms: u64,
    /// Mean time between changes of members and topics.
    pub(super) change_every_ms: u64,
    /// Groups, each with the percentage of its members that speak the consumer protocol.
    pub(super) groups: Vec<u64>,
    pub(super) members: u64,
    pub(super) compacts: bool,
    pub(super) assignment_interval_ms: u32,
    pub(super) initial_delay_ms: u32,
}

impl Plan {
    pub(super) fn draw(random: &mut Random) -> Self {
        let groups = random.between(1, 2);
        let rates = [(0, 0), (0, 0), (2, 2), (5, 10), (20, 5)];
        let (loss_percent, repeat_percent) = random.pick(&rates);
        Self {
            chaos_ms: random.between(20_000, 90_000),
            loss_percent,
            repeat_percent,
            delay_ms_max: random.pick(&[1, 5, 50, 500]),
            commit_ms_max: random.pick(&[0, 2, 100, 1000]),
            append_failure_percent: random.pick(&[0, 0, 1, 10]),
            crash_every_ms: random.pick(&[5_000, 15_000, 60_000, 1_000_000]),
            change_every_ms: random.pick(&[500, 2_000, 10_000]),
            groups: (0..groups).map(|_| random.pick(&[0, 0, 100, 100, 50])).collect(),
            members: random.between(1, 6),
            compacts: random.chance(50),
            assignment_interval_ms: random.pick(&[0, 1000]),
            initial_delay_ms: random.pick(&[0, 500, 3000]),
        }
    }

    /// The same world without faults, for its end.
    pub(super) fn heal(&mut self) {
        self.loss_percent = 0;
        self.repeat_percent = 0;
        self.delay_ms_max = 5;
        self.commit_ms_max = 5;
        self.append_failure_percent = 0;
    }
}
