//! One node: its machine while it runs, its disk always.

use std::collections::BTreeMap;

use highwater_raft::{CorrelationId, Endpoint, Raft, RaftConfig, ReplicaKey, Setup, SnapshotId, VoterSet, VoterSetup};
use highwater_types::{Offset, Ticks};

use super::disk::{Batch, Disk};

/// Who asked, by which of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Token {
    pub(super) node: usize,
    pub(super) incarnation: u64,
    pub(super) correlation: CorrelationId,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) key: ReplicaKey,
    /// Where it is reached; nowhere if the voters are configured.
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) disk: Disk,
    /// From where on its machine knows who decides: it takes no snapshots of what was before.
    pub(super) known_from: Offset,
    /// `None` while it is down.
    pub(super) raft: Option<Raft<Token>>,
    /// Counts its starts.
    pub(super) incarnation: u64,
    /// Nothing happens to it before.
    pub(super) paused_until_ms: u64,
    /// Milliseconds of its clock in a thousand of the world's.
    clock_permille: u64,
    /// Answers to fetches, of which the machine may take a part.
    pub(super) answers: BTreeMap<CorrelationId, Vec<Batch>>,
    /// A snapshot that is being fetched, and how many bytes of it are there.
    pub(super) part: Option<(SnapshotId, u64)>,
    /// Bytes that came with the last part.
    pub(super) bytes: u64,
    /// When the machine will be asked what it has to do, by the world's clock.
    pub(super) wakes_at_ms: Option<u64>,
}

impl Node {
    pub(super) fn new(key: ReplicaKey, clock_permille: u64) -> Self {
        Self {
            key,
            endpoints: Vec::new(),
            disk: Disk::default(),
            known_from: Offset::ZERO,
            raft: None,
            incarnation: 0,
            paused_until_ms: 0,
            clock_permille,
            answers: BTreeMap::new(),
            part: None,
            bytes: 0,
            wakes_at_ms: None,
        }
    }

    pub(super) fn start(&mut self, now_ms: u64, voters: VoterSet, known: VoterSetup, config: RaftConfig, seed: u64) {
        let setup = Setup { key: self.key, voters, state: self.disk.state, log: self.disk.shape(), config, seed };
        self.incarnation += 1;
        self.raft = Some(Raft::with_voters(setup, known, self.ticks(now_ms)));
    }

    /// The node's own clock.
    pub(super) fn ticks(&self, now_ms: u64) -> Ticks {
        Ticks(now_ms * self.clock_permille / 1000)
    }

    /// When its clock will show `ticks`.
    pub(super) fn world_ms(&self, ticks: Ticks) -> u64 {
        (ticks.0 * 1000).div_ceil(self.clock_permille)
    }
}
