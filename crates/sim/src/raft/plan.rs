//! What kind of history a seed makes.

use crate::Random;
use crate::links::LinkRates;

/// The kinds and rates of one history, drawn from its seed.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) voters: usize,
    pub(super) observers: usize,
    /// Whether voters are known by their directories too.
    pub(super) has_directories: bool,
    /// Before the world heals.
    pub(super) chaos_ms: u64,
    pub(super) links: LinkRates,
    /// How long storing and syncing take.
    pub(super) disk_ms_max: u64,
    /// Mean time between faults.
    pub(super) fault_every_ms: u64,
    /// Mean time between appends.
    pub(super) append_every_ms: u64,
    /// Mean time between snapshots.
    pub(super) snapshot_every_ms: u64,
    /// Most batches in an answer.
    pub(super) batches_max: u64,
    /// If the voters are in the log.
    pub(super) changes: Option<Changes>,
}

/// How voters change.
#[derive(Clone, Debug)]
pub(super) struct Changes {
    /// Mean time between what administrators do.
    pub(super) every_ms: u64,
    /// Of 100 of them, how many add a voter.
    pub(super) add_percent: u64,
    /// Whether nodes join by themselves.
    pub(super) auto_join: bool,
    /// Whether the voters are those of the configuration at first.
    pub(super) begins_fixed: bool,
    /// Of 100 starts, how many are at another address.
    pub(super) move_percent: u64,
}

impl Plan {
    pub(super) fn draw(random: &mut Random) -> Self {
        let (loss_percent, repeat_percent) = random.pick(&[(0, 0), (0, 0), (2, 2), (5, 10), (20, 5)]);
        let delay_ms_max = random.pick(&[1, 5, 50, 500]);
        Self {
            voters: random.pick(&[1, 2, 3, 3, 3, 4, 5, 5]),
            observers: random.index(3),
            has_directories: random.chance(50),
            chaos_ms: random.between(10_000, 60_000),
            links: LinkRates { loss_percent, repeat_percent, delay_ms_max },
            disk_ms_max: random.pick(&[0, 5, 100, 1000]),
            fault_every_ms: random.pick(&[300, 1_000, 5_000, 20_000]),
            append_every_ms: random.pick(&[10, 100, 1_000]),
            snapshot_every_ms: random.pick(&[300, 5_000, 100_000]),
            batches_max: random.pick(&[1, 3, 100]),
            changes: None,
        }
    }

    /// One of a history in which voters come and go.
    pub(super) fn draw_changes(random: &mut Random) -> Self {
        let plan = Self::draw(random);
        let changes = Changes {
            every_ms: random.pick(&[100, 1_000, 5_000]),
            add_percent: random.pick(&[30, 50, 70]),
            auto_join: random.chance(25),
            move_percent: random.pick(&[0, 20]),
            begins_fixed: random.chance(25),
        };
        Self {
            voters: random.pick(&[1, 1, 2, 3, 3]),
            observers: random.pick(&[1, 2, 3]),
            has_directories: true,
            changes: Some(changes),
            ..plan
        }
    }
}
