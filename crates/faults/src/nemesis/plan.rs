//! Which faults there are, and when: a function of the seed.

use std::collections::BTreeMap;
use std::time::Duration;

use highwater_sim::Random;
use highwater_testsupport::history::Key;
use highwater_types::NodeId;

use super::{Fault, Kind};
use crate::network::Host;

/// Faults that come one after the other and are then healed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    /// Each with the time until the next one, or the end of the round.
    pub(crate) faults: Vec<(Fault, Duration)>,
    /// From the healing to the next round: often too short for the cluster to recover.
    pub(crate) rest: Duration,
}

/// An endless sequence of rounds.
#[derive(Debug)]
pub(crate) struct Plan {
    random: Random,
    nodes: Vec<NodeId>,
    /// Replicas that a partition needs to stay writable.
    partitions: BTreeMap<Key, usize>,
    kinds: Vec<Kind>,
    /// Kinds that have not had their turn: each comes as often as any other.
    deck: Vec<Kind>,
}

impl Plan {
    /// The plan of a seed. `partitions` have at least so many replicas.
    pub(crate) fn new(seed: u64, nodes: Vec<NodeId>, partitions: BTreeMap<Key, usize>, kinds: Vec<Kind>) -> Self {
        Self { random: Random::new(seed), nodes, partitions, kinds, deck: Vec::new() }
    }

    /// The next round.
    pub(crate) fn round(&mut self) -> Round {
        let count = self.random.pick(&[1, 1, 1, 2, 2, 3]);
        let faults = (0..count).map(|_| {
            let kind = self.kind();
            (self.fault(kind), Duration::from_millis(self.random.between(HOLD_MS_MIN, HOLD_MS_MAX)))
        });
        let faults = faults.collect();
        Round { faults, rest: Duration::from_millis(self.random.between(REST_MS_MIN, REST_MS_MAX)) }
    }

    fn kind(&mut self) -> Kind {
        if self.deck.is_empty() {
            self.deck.clone_from(&self.kinds);
        }
        self.deck.swap_remove(self.random.index(self.deck.len()))
    }

    fn fault(&mut self, kind: Kind) -> Fault {
        let (id, other) = self.two_nodes();
        let (one, two) = (Host::Node(id), Host::Node(other));
        match kind {
            Kind::Kill => Fault::Kill(id),
            Kind::Bounce => Fault::Bounce(id),
            Kind::KillAll => Fault::KillAll,
            Kind::Pause => Fault::Pause(id),
            Kind::OneWayCut => Fault::Cut(vec![(one, two)]),
            Kind::TwoWayCut => Fault::Cut(vec![(one, two), (two, one)]),
            Kind::Isolate => {
                let others = self.nodes.iter().filter(|other| **other != id).map(|other| Host::Node(*other));
                Fault::Cut(others.flat_map(|other| [(one, other), (other, one)]).collect())
            }
            Kind::ClientCut => Fault::Cut(vec![(one, Host::Clients), (Host::Clients, one)]),
            Kind::SlowLinks => Fault::SlowLinks(id),
            Kind::Restart => Fault::Restart(id),
            Kind::RollingRestart => Fault::RollingRestart,
            Kind::FullDisk => Fault::FullDisk(id),
            Kind::FailingSync => Fault::FailingSync(id),
            Kind::MoveLeaders => Fault::MoveLeaders(self.moves(true)),
            Kind::Reassign => Fault::Reassign(self.moves(false)),
        }
    }

    fn two_nodes(&mut self) -> (NodeId, NodeId) {
        let first = self.random.index(self.nodes.len());
        let second = (first + 1 + self.random.index(self.nodes.len() - 1)) % self.nodes.len();
        (self.nodes[first], self.nodes[second])
    }

    /// New replicas for about half of the partitions, and for one at least.
    fn moves(&mut self, is_full: bool) -> Vec<(Key, Vec<NodeId>)> {
        let keys: Vec<(Key, usize)> = self.partitions.iter().map(|(key, least)| (key.clone(), *least)).collect();
        let certain = self.random.index(keys.len());
        let mut moves = Vec::new();
        for (index, (key, least)) in keys.into_iter().enumerate() {
            if index != certain && self.random.chance(50) {
                continue;
            }
            let most = self.nodes.len().min(REPLICAS_MAX);
            let count = if is_full { most } else { least + self.random.index(most - least + 1) };
            let mut left = self.nodes.clone();
            moves.push((key, (0..count).map(|_| left.swap_remove(self.random.index(left.len()))).collect()));
        }
        moves
    }
}

const HOLD_MS_MIN: u64 = 1000;
const HOLD_MS_MAX: u64 = 8000;
const REST_MS_MIN: u64 = 500;
const REST_MS_MAX: u64 = 8000;
const REPLICAS_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::ValueEnum;

    use super::*;

    fn plan(seed: u64, nodes: u32) -> Plan {
        let partitions = BTreeMap::from([(Key::new("a", 0), 2), (Key::new("b", 0), 1)]);
        Plan::new(seed, (1..=nodes).map(NodeId::new).collect(), partitions, Kind::value_variants().to_vec())
    }

    #[test]
    fn a_seed_is_a_plan() {
        let rounds = |seed| {
            let mut plan = plan(seed, 3);
            (0..20).map(|_| plan.round()).collect::<Vec<_>>()
        };
        assert_eq!(rounds(7), rounds(7));
        assert_ne!(rounds(7), rounds(8));
    }

    #[test]
    fn every_kind_has_its_turn() {
        let mut plan = plan(1, 3);
        let kinds: BTreeSet<Kind> = (0..Kind::value_variants().len()).map(|_| plan.kind()).collect();
        assert_eq!(kinds.len(), Kind::value_variants().len());
    }

    #[test]
    fn replicas_are_different_and_enough() {
        for nodes in 3..6 {
            let mut plan = plan(u64::from(nodes), nodes);
            for is_full in [true, false].repeat(50) {
                let moves = plan.moves(is_full);
                assert!(!moves.is_empty());
                for (key, replicas) in moves {
                    let different: BTreeSet<&NodeId> = replicas.iter().collect();
                    let least = if is_full { 3 } else { plan.partitions[&key] };
                    assert!(different.len() == replicas.len() && (least..=3).contains(&replicas.len()), "{replicas:?}");
                }
            }
        }
    }
}
