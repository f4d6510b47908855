//! Stripes of replicas over racks and brokers, as Kafka's `StripedReplicaPlacer` lays them.

use crate::image::BrokerImage;
use highwater_types::NodeId;
use std::collections::BTreeMap;

/// The racks of a cluster, each with its brokers.
///
/// From one partition to the next, racks take turns to lead, and in each rack its brokers. The other replicas go to the
/// racks behind the leader's, one to each before any gets a second: so as many racks as can hold a replica do.
/// A rack gives its active brokers before those that are fenced. After as many partitions as there are active brokers,
/// racks and brokers are put into another order, so that the same ones do not always meet.
#[derive(Debug)]
pub(super) struct Stripes {
    seed: u64,
    racks: Vec<Rack>,
    active_count: usize,
    /// Which order the racks and brokers are in: that of partitions `round * active_count` and on.
    round: usize,
}

/// The brokers of one rack.
#[derive(Clone, Debug, Default)]
struct Rack {
    active: Vec<NodeId>,
    fenced: Vec<NodeId>,
    /// Where its turn began in this round.
    offset: usize,
}

impl Stripes {
    /// The racks of `brokers`; those without a rack form one of their own. A broker in controlled shutdown gets nothing.
    pub(super) fn new<'a>(brokers: impl Iterator<Item = &'a BrokerImage>, seed: u64) -> Self {
        let mut racks: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
        for broker in brokers.filter(|broker| !broker.in_controlled_shutdown) {
            let rack = racks.entry(broker.rack.as_deref()).or_default();
            if broker.fenced { &mut rack.fenced } else { &mut rack.active }.push(broker.node);
        }
        let racks: Vec<Rack> = racks.into_values().collect();
        let active_count = racks.iter().map(|rack| rack.active.len()).sum();
        let mut stripes = Self { seed, racks, active_count, round: 0 };
        stripes.shuffle();
        stripes
    }

    /// Brokers that can have a replica.
    pub(super) fn broker_count(&self) -> usize {
        self.racks.iter().map(|rack| rack.active.len() + rack.fenced.len()).sum()
    }

    /// Brokers that can lead.
    pub(super) fn active_count(&self) -> usize {
        self.active_count
    }

    /// Brokers for a partition, an active one first, all different. Fewer than `replication_factor` if there are fewer.
    ///
    /// # Panics
    ///
    /// If no broker is active.
    pub(super) fn place(&mut self, partition: usize, replication_factor: usize) -> Vec<NodeId> {
        assert!(0 < self.active_count, "an active broker leads");
        let (round, step) = (partition / self.active_count, partition % self.active_count);
        while self.round < round {
            self.round += 1;
            self.shuffle();
        }
        let count = self.racks.len();
        let turn = step / count;
        let leads = |at: &usize| self.racks.get(*at).is_some_and(|rack| !rack.active.is_empty());
        let lead = (step..step + count).map(|at| at % count).find(leads).unwrap_or_default();
        let mut replicas = Vec::with_capacity(replication_factor);
        // Each pass takes one more of every rack, from the leader's on.
        for taken in 0..self.broker_count() {
            for distance in 0..count {
                let rack = self.racks.get((lead + distance) % count);
                let node = rack.and_then(|rack| rack.node(turn + distance, taken));
                replicas.extend(node);
                if replicas.len() == replication_factor {
                    return replicas;
                }
            }
        }
        replicas
    }

    /// The order of racks and brokers in this round.
    fn shuffle(&mut self) {
        let mut random = Random(self.seed ^ (self.round as u64).rotate_left(32));
        random.shuffle(&mut self.racks);
        for rack in &mut self.racks {
            if 0 < self.round {
                random.shuffle(&mut rack.active);
                random.shuffle(&mut rack.fenced);
            }
            rack.offset = random.below(rack.active.len().max(rack.fenced.len()).max(1));
        }
    }
}

impl Rack {
    /// Its broker number `taken` for a partition at `turn`, counted from 0; `None` if it has no more.
    fn node(&self, turn: usize, taken: usize) -> Option<NodeId> {
        let (list, at) = match taken.checked_sub(self.active.len()) {
            None => (&self.active, taken),
            Some(at) => (&self.fenced, at),
        };
        (at < list.len()).then(|| list.get((self.offset + turn + at) % list.len()).copied())?
    }
}

/// Numbers that follow from a seed (SplitMix64). Opponents gain nothing by knowing them.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % end as u64).expect("less than a usize")
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (2..=list.len()).rev() {
            list.swap(end - 1, self.below(end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Stripes;
    use crate::image::BrokerImage;
    use highwater_types::{BrokerEpoch, NodeId, Uuid};
    use std::collections::{BTreeMap, BTreeSet};

    /// Brokers 0, 1, ..: for each its rack and whether it is fenced.
    fn brokers(described: &[(&str, bool)]) -> Vec<BrokerImage> {
        let broker = |(node, (rack, fenced)): (usize, &(&str, bool))| BrokerImage {
            node: NodeId::new(u32::try_from(node).unwrap()),
            incarnation: Uuid::ZERO,
            epoch: BrokerEpoch(1),
            endpoints: Vec::new(),
            features: Vec::new(),
            rack: (!rack.is_empty()).then(|| (*rack).to_owned()),
            fenced: *fenced,
            in_controlled_shutdown: false,
            log_dirs: Vec::new(),
        };
        described.iter().enumerate().map(broker).collect()
    }

    fn place(brokers: &[BrokerImage], seed: u64, partitions: usize, factor: usize) -> Vec<Vec<NodeId>> {
        let mut stripes = Stripes::new(brokers.iter(), seed);
        (0..partitions).map(|partition| stripes.place(partition, factor)).collect()
    }

    /// Clusters by the sizes of their racks, and the numbers of fenced brokers in each.
    const CLUSTERS: &[&[(usize, usize)]] = &[
        &[(1, 0)],
        &[(3, 0)],
        &[(6, 2)],
        &[(2, 0), (2, 0)],
        &[(3, 0), (3, 0), (3, 0)],
        &[(4, 0), (1, 0)],
        &[(0, 1), (2, 0)],
        &[(0, 3), (1, 0), (5, 2)],
        &[(1, 1), (1, 1), (0, 1), (1, 0)],
    ];

    fn cluster(racks: &[(usize, usize)]) -> Vec<BrokerImage> {
        let names = ["", "a", "b", "c", "d"];
        let mut described = Vec::new();
        for ((active, fenced), name) in racks.iter().zip(names) {
            described.extend((0..*active).map(|_| (name, false)));
            described.extend((0..*fenced).map(|_| (name, true)));
        }
        brokers(&described)
    }

    #[test]
    fn replicas_are_apart_and_an_active_broker_leads() {
        for racks in CLUSTERS {
            let brokers = cluster(racks);
            let rack_of = |node: &NodeId| brokers[node.value() as usize].rack.clone();
            let active = brokers.iter().filter(|broker| !broker.fenced).count();
            for factor in 1..=brokers.len() {
                for seed in 0..20 {
                    for replicas in place(&brokers, seed, 3 * active + 1, factor) {
                        let what = format!("{replicas:?} of {racks:?}, factor {factor}, seed {seed}");
                        assert_eq!(replicas.len(), factor, "{what}");
                        assert_eq!(replicas.iter().collect::<BTreeSet<_>>().len(), factor, "different: {what}");
                        assert!(!brokers[replicas[0].value() as usize].fenced, "it leads: {what}");
                        let used = replicas.iter().map(rack_of).collect::<BTreeSet<_>>().len();
                        assert_eq!(used, factor.min(racks.len()), "as many racks as there can be: {what}");
                    }
                }
            }
        }
    }

    /// Nobody gets a second replica in a rack while a rack has given none; and active ones come before fenced ones.
    #[test]
    fn a_rack_gives_its_active_brokers_first() {
        let brokers = cluster(&[(2, 2)]);
        for replicas in place(&brokers, 7, 10, 2) {
            assert!(replicas.iter().all(|node| !brokers[node.value() as usize].fenced), "{replicas:?}");
        }
        let brokers = cluster(&[(3, 0), (0, 1)]);
        for replicas in place(&brokers, 7, 10, 2) {
            assert_eq!(replicas[1], NodeId::new(3), "the other rack, though fenced: {replicas:?}");
        }
    }

    /// Over whole rounds everyone leads as often as anyone else, and has as many replicas, if racks are alike.
    #[test]
    fn brokers_of_racks_that_are_alike_have_alike_shares() {
        for racks in CLUSTERS.iter().filter(|racks| racks.iter().all(|rack| *rack == (racks[0].0, 0))) {
            let brokers = cluster(racks);
            for factor in 1..=brokers.len() {
                let (mut leads, mut has): (BTreeMap<_, usize>, BTreeMap<_, usize>) = Default::default();
                for replicas in place(&brokers, 3, 5 * brokers.len(), factor) {
                    *leads.entry(replicas[0]).or_default() += 1;
                    replicas.iter().for_each(|node| *has.entry(*node).or_default() += 1);
                }
                assert!(leads.values().all(|times| *times == 5), "{racks:?}, factor {factor}: {leads:?}");
                assert!(has.values().all(|times| *times == 5 * factor), "{racks:?}, factor {factor}: {has:?}");
            }
        }
    }

    #[test]
    fn a_later_partition_is_placed_as_if_those_before_it_were_placed_too() {
        let brokers = cluster(&[(3, 0), (2, 1)]);
        let all = place(&brokers, 11, 30, 3);
        for (partition, replicas) in all.iter().enumerate() {
            assert_eq!(Stripes::new(brokers.iter(), 11).place(partition, 3), *replicas);
        }
        assert_ne!(all[..5], all[5..10], "another order");
        assert_ne!(all, place(&brokers, 12, 30, 3), "another seed");
    }

    #[test]
    fn a_broker_that_shuts_down_gets_nothing() {
        let mut brokers = cluster(&[(3, 0)]);
        brokers[1].in_controlled_shutdown = true;
        let mut stripes = Stripes::new(brokers.iter(), 1);
        assert_eq!((stripes.broker_count(), stripes.active_count()), (2, 2));
        assert!((0..9).all(|partition| !stripes.place(partition, 3).contains(&NodeId::new(1))));
    }
}
